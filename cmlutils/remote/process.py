"""Programs that we run: `run` waits for one to end, `running` lets one run during a block.

For a program that was started by `start` (child.py), `finish` feeds it and waits for its end, and `beside` reads its
output in threads as it comes.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import queue
import re
import signal
import sys
import threading
import time
from collections import deque
from typing import IO, TYPE_CHECKING, NamedTuple

from cmlutils import interrupts
from cmlutils.errors import CommandError
from cmlutils.remote import pipes
from cmlutils.remote.child import Child, start

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

TAIL = 1 << 16  # bytes of standard error that are kept
MAX_LINE = 1 << 16  # bytes; a longer line is passed on before its end came
ROOMY = 1 << 20  # bytes that a pipe may hold while we are busy: a far-away peer that has to wait starts again slowly
MAX_CHUNK = 1 << 18
_LINE_END = re.compile(rb"\r\n|\r|\n")


class Result(NamedTuple):
    """How a program ended: its exit code (-N: killed by signal N) and what it wrote."""

    code: int
    out: bytes
    err: bytes


def text(data: bytes, lines: int = 12) -> str:
    """Return the last lines of a program's output as a text for messages."""
    return "\n".join(data.decode("utf-8", "backslashreplace").strip().splitlines()[-lines:])


def run(
    argv: Sequence[str | bytes],
    *,
    env: Mapping[str, str] | None = None,
    timeout: float,
    check: bool = True,
    secret: str = "",
) -> Result:
    """Run a program to its end; raise CommandError if it is missing, slow, writes too much or, with `check`, fails.

    No secret belongs into `argv`, which any user of the machine can see. Words of it that occur in `secret` are masked
    in the log.
    """
    with contextlib.ExitStack() as stack:
        with interrupts.held():
            child = stack.enter_context(start(argv, env, secret=secret))
            stack.callback(child.end_group)
        result = finish(child, b"", timeout)
    if check and result.code:
        said = text(result.err or result.out)
        raise CommandError(f"{os.fsdecode(argv[0])} ended with exit code {result.code}: {said}")
    return result


def finish(child: Child, data: bytes, timeout: float) -> Result:
    """Feed a program that was started, and wait for its end; raise CommandError if it is slow or writes too much."""
    end, code = time.monotonic() + interrupts.at_most(timeout), None
    out, err = b"", b""
    try:
        with contextlib.suppress(TimeoutError):
            out, err = pipes.communicate(child.stdin, (child.stdout, child.stderr), data, end)
            code = child.wait_for(max(end - time.monotonic(), 0.1))
    except pipes.TooMuch as error:
        raise CommandError(f"{child.program} was ended: it wrote more than {pipes.MAX_OUTPUT >> 20} MiB.") from error
    if code is None:
        raise CommandError(f"{child.program} did not end within {timeout:g} s.")
    return Result(code, out, err)


def _make_roomy(pipe: int) -> None:
    """Enlarge a pipe's buffer, on Linux, if this user's limit allows it."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, ROOMY)


class Running:
    """A program that runs beside us. Threads read its pipes into a queue; after `drop`, they discard what they read."""

    def __init__(self, process: Child, *, pace: float) -> None:
        self.pid = process.pid
        self.err = b""  # the end of its standard error
        self.ended = False  # whether `chunks` has yielded all there was
        self._process, self._pace = process, pace
        self._lines: deque[tuple[str, bytes]] = deque()  # read, and not yielded yet
        self._rests = {"out": b"", "err": b""}  # of lines that have no end yet
        self._queue: queue.Queue[tuple[str, bytes] | None] = queue.Queue(maxsize=64)  # 16 MiB of chunks
        self._dropping = threading.Event()
        assert process.stdout is not None  # noqa: S101
        assert process.stderr is not None  # noqa: S101
        outputs = (("out", process.stdout), ("err", process.stderr))
        self._left = len(outputs)
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._drain, args=pipe, daemon=True) for pipe in outputs]
        for thread in self._threads:
            thread.start()

    def _drain(self, name: str, pipe: IO[bytes]) -> None:
        with pipe:  # an ssh master may hold its other end for longer than the program lives
            if name == "out":
                _make_roomy(pipe.fileno())
            while chunk := os.read(pipe.fileno(), MAX_CHUNK):
                if name == "err":
                    self.err = (self.err + chunk)[-TAIL:]
                self._put((name, chunk))
                time.sleep(self._pace if name == "out" else 0)
        with self._lock:
            self._left -= 1
            last = not self._left
        if last:
            self._put(None)

    def _put(self, item: tuple[str, bytes] | None) -> None:
        while not self._dropping.is_set():
            with contextlib.suppress(queue.Full):
                self._queue.put(item, timeout=0.5)
                return

    def chunks(self, timeout: float | None = None) -> Iterator[tuple[str, bytes]]:
        """Yield ("out" or "err", chunk) as they come, until both pipes end or `timeout` seconds have passed."""
        end = time.monotonic() + (threading.TIMEOUT_MAX / 2 if timeout is None else timeout)
        while True:
            try:
                item = self._queue.get(timeout=max(end - time.monotonic(), 0.001))
            except queue.Empty:
                return
            if item is None:
                self._dropping.set()
                self.ended = True
                return
            yield item
            if time.monotonic() > end:  # it may write without a pause
                return

    def lines(self, timeout: float | None = None) -> Iterator[tuple[str, bytes]]:
        """Yield ("out" or "err", line) as `chunks` does; a carriage return also ends a line."""
        chunks = self.chunks(timeout)
        while True:
            while self._lines:
                yield self._lines.popleft()
            name, chunk = next(chunks, ("", b""))
            if not name:
                break
            *lines, rest = _LINE_END.split(self._rests[name] + chunk)
            if len(rest) > MAX_LINE:
                lines, rest = [*lines, rest], b""
            self._rests[name] = rest
            self._lines.extend((name, line) for line in lines)
        if self.ended:
            yield from ((name, self._rests.pop(name)) for name in tuple(self._rests) if self._rests[name])

    def drop(self) -> None:
        """Read on, but keep only the end of standard error."""
        self._dropping.set()
        with contextlib.suppress(queue.Empty):
            while True:
                self._queue.get_nowait()

    def poll(self) -> int | None:
        """Return its exit code, or None while it runs."""
        return self._process.poll()

    def wait(self, timeout: float) -> int | None:
        """Wait for its end, no longer than `timeout` seconds; return its exit code or None."""
        return self._process.wait_for(timeout)

    def stop(self, grace: float = 3.0) -> int:
        """Send SIGINT, then SIGTERM, then SIGKILL, to it and what it started; return its exit code."""
        for number, patience in ((signal.SIGINT, grace), (signal.SIGTERM, 0.5)):
            if self.poll() is None:
                self._process.signal_group(number)
                self.wait(interrupts.at_most(patience))
        code = self._process.end_group()
        self.drop()
        with contextlib.suppress(queue.Full):  # a thread that still reads learns that it is over
            self._queue.put_nowait(None)
        for thread in self._threads:
            thread.join(1.0)
        return code


@contextlib.contextmanager
def running(
    argv: Sequence[str | bytes],
    *,
    env: Mapping[str, str] | None = None,
    pace: float = 0.0,
    grace: float = 3.0,
    outspoken: bool = False,
) -> Iterator[Running]:
    """Run a program during the block; it is stopped on every way out.

    `outspoken`: it can still write after a kill -9 of ours, as cdswctl does when it closes its session. `pace`: the
    seconds between two reads of its output, so that thousands of short writes don't wake us thousands of times.
    """
    with contextlib.ExitStack() as stack:
        with interrupts.held():
            child = start(argv, env, outspoken=outspoken)
            program = stack.enter_context(beside(child, pace=pace, grace=grace))
        yield program


@contextlib.contextmanager
def beside(child: Child, *, pace: float = 0.0, grace: float = 3.0) -> Iterator[Running]:
    """Read the output of a program that was started, during the block; it is stopped on every way out."""
    with contextlib.ExitStack() as stack:
        with interrupts.held():
            program = Running(child, pace=pace)
            stack.callback(_stop, program, grace)
        yield program


def _stop(program: Running, grace: float) -> None:
    with interrupts.held():
        program.stop(grace)
