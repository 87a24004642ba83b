"""A child process: in a group of its own that the watchdog knows. The only import of subprocess in this package.

A child gets its own session, so a Ctrl-C on the terminal reaches only us, and we end the child in order. The watchdog
knows its process group, so not even a kill -9 of ours leaves one behind. None of our code runs between fork and exec,
as another thread of ours might hold a lock at that moment. Signals that we handle have their defaults in a child.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import signal
import subprocess
from typing import TYPE_CHECKING

from cmlutils.errors import CommandError
from cmlutils.remote import watchdog
from cmlutils.section import KEY_VARIABLES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

log = logging.getLogger(__name__)
_NOT_STARTED = {
    errno.ENOEXEC: "It was made for another kind of machine.",
    errno.EACCES: "Its folder may be mounted noexec: let TMPDIR name another one.",
}
_OPENSSH = "apt-get install openssh-client, dnf install openssh-clients or brew install openssh"
HOW_TO_INSTALL = {
    "rsync": "apt-get install rsync, dnf install rsync or brew install rsync",
    "ssh": _OPENSSH,
    "ssh-keygen": _OPENSSH,
}


class Child(subprocess.Popen[bytes]):
    """A program in a process group of its own, which the watchdog knows.

    With `outspoken`, it holds both ends of its output pipes, so that after we were killed it can still write, and does
    not die of SIGPIPE.
    """

    def __init__(
        self, argv: Sequence[str | bytes], env: Mapping[str, str] | None, *, fed: bool, outspoken: bool = False
    ) -> None:
        self.program = os.fsdecode(argv[0])
        self._ended = False
        self._dog = watchdog.ours()
        with _pipes(both_ends=outspoken) as (readers, writers), self._dog.starting() as mark:
            super().__init__(
                list(argv),
                env=_for_child(env) | mark,
                stdin=subprocess.PIPE if fed else subprocess.DEVNULL,
                stdout=writers[0],
                stderr=writers[1],
                pass_fds=readers,
                start_new_session=True,
                cwd=_standing_place(),
            )
            self._number = self._dog.enrol(self.pid)
            if readers:
                self.stdout, self.stderr = (open(reader, "rb") for reader in readers)  # noqa: PTH123, SIM115

    def feed(self, data: bytes) -> None:
        """Write all of the program's input, which must be small enough to fit into the pipe."""
        assert self.stdin is not None  # noqa: S101
        with contextlib.suppress(BrokenPipeError):
            self.stdin.write(data)
            self.stdin.close()

    def wait_for(self, seconds: float) -> int | None:
        """Wait for the program to end, `seconds` at most; return its exit code, or None if it still runs."""
        try:
            return self.wait(seconds)
        except subprocess.TimeoutExpired:
            return None

    def signal_group(self, number: int) -> None:
        """Send a signal to the program and everything that it started."""
        if number == signal.SIGINT:
            self._dog.told(self._number)
        with contextlib.suppress(OSError):
            os.killpg(self.pid, number)

    def end_group(self) -> int:
        """Kill what still runs of the program and what it started; return its exit code."""
        if not self._ended:
            self.signal_group(signal.SIGKILL)
            self.wait()
            self._dog.gone(self._number)
            self._ended = True
        return self.wait()


@contextlib.contextmanager
def _pipes(*, both_ends: bool) -> Iterator[tuple[list[int], list[int]]]:
    """Yield the ends to read and to write of a child's output; with `both_ends`, of pipes whose ends it gets both."""
    if not both_ends:
        yield [], [subprocess.PIPE, subprocess.PIPE]
        return
    pipes = [os.pipe(), os.pipe()]
    readers, writers = ([pipe[end] for pipe in pipes] for end in (0, 1))
    with contextlib.ExitStack() as always, contextlib.ExitStack() as on_failure:
        for reader, writer in pipes:
            always.callback(os.close, writer)
            on_failure.callback(os.close, reader)
        yield readers, writers
        on_failure.pop_all()


def _standing_place() -> str | None:
    """Return another folder for a child if our working folder was deleted, where rsync would not start."""
    try:
        os.getcwd()  # noqa: PTH109
    except OSError:
        return "/"
    return None


def _for_child(env: Mapping[str, str] | None) -> dict[str, str]:
    """Return a child's environment: ours without API keys and without rsync's own variables."""
    ours = env or os.environ
    return {name: ours[name] for name in ours if name not in KEY_VARIABLES.values() and not name.startswith("RSYNC_")}


def start(
    argv: Sequence[str | bytes],
    env: Mapping[str, str] | None = None,
    *,
    fed: bool = False,
    secret: str = "",
    outspoken: bool = False,
) -> Child:
    """Start a program with pipes for its output, and for its input if `fed`; raise CommandError if it can't be started.

    No secret belongs into `argv`, which any user of the machine can see. Words of it that occur in `secret` are masked
    in the log.
    """
    program = os.fsdecode(argv[0])
    words = (b"***" if os.fsdecode(word) in secret else os.fsencode(word) for word in argv)
    log.debug("running %s", b" ".join(words).decode("utf-8", "backslashreplace"))
    try:
        return Child(argv, env, fed=fed, outspoken=outspoken)
    except FileNotFoundError as error:
        how = HOW_TO_INSTALL.get(program)
        hint = f"Install it: {how}." if how else "Check the path."
        raise CommandError(f"The program {program} is not installed.", hint=hint) from error
    except OSError as error:
        hint = _NOT_STARTED.get(error.errno or 0, "")
        raise CommandError(f"The program {program} can't be started: {error.strerror}.", hint=hint) from error
    except RuntimeError as error:
        raise CommandError(f"The program {program} was not started: the run is ending.") from error
    except ValueError as error:
        raise CommandError(f"The program {program} can't be given a name that contains a NUL.") from error
