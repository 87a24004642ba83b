"""Runs cmlutil processes side by side: starts them, notes how they end, and passes signals on to them."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from cmlutils.errors import ExitCode
from cmlutils.remote.watchdog import Watchdog

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import FrameType

    from plan import Plan

END_SECONDS = 9.5  # time that all children have to end after a signal
COOL_SECONDS = 5.0  # time until the session of a killed child is closed
_PLAIN = {"COLUMNS": "", "NO_COLOR": "1"}  # neither folded nor coloured, as we read what they say


@dataclass(frozen=True)
class Task:
    """One cmlutil to run: the words after `cmlutil`, the log for its output, whether to append to an existing log."""

    project: str
    verb: str
    words: Sequence[str]
    log: Path
    append: bool = False


@dataclass(frozen=True)
class Ended:
    """How one process ended: `code` is as in a shell; `killed` if by a signal although we had sent none."""

    code: int
    killed: bool
    seconds: float
    output: str


@dataclass
class Running:
    """One running cmlutil; `log` is the file its output really goes to, `told` the number of signals we sent it."""

    task: Task
    process: subprocess.Popen[bytes]
    number: int
    began: float
    log: Path
    offset: int
    told: int = 0

    @property
    def seconds(self) -> float:
        """The seconds since it was started."""
        return time.monotonic() - self.began

    def interrupt(self, signum: int = signal.SIGINT) -> None:
        """Send it a signal, so that it ends in good order."""
        self.told += 1
        self.process.send_signal(signum)

    def end(self, code: int) -> Ended:
        """Return how it ended, with its output: the last 50,000 bytes at most."""
        output = ""
        with contextlib.suppress(OSError), self.log.open("rb") as file:
            file.seek(max(self.offset, os.fstat(file.fileno()).st_size - 50_000))
            output = file.read().decode(errors="replace")
        return Ended(128 - code if code < 0 else code, code < 0 and not self.told, round(self.seconds, 1), output)


def _open_log(task: Task) -> tuple[int, Path]:
    """Open a task's log. If there is no room for one, its output is dropped: its bundle has a log too.

    It is always appended to, as another batch may have begun to write to the same log.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | (0 if task.append else os.O_TRUNC)
    try:
        task.log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        room = os.statvfs(task.log.parent)
        if room.f_bavail or not room.f_blocks:  # a disk that reports no blocks does not tell what is free
            return os.open(task.log, flags, 0o600), task.log
    except OSError:
        pass
    return os.open(os.devnull, os.O_WRONLY), Path(os.devnull)


@dataclass
class Pool:
    """Runs the tasks of a plan, `size` at a time. A signal to us is passed on to every child, which ends in good order.

    If we are killed by kill -9, the watchdog sends the children a SIGINT.
    """

    command: Sequence[str]
    size: int
    signum: int = 0
    signals: int = 0
    running: list[Running] = field(default_factory=list)
    _cooling: list[float] = field(default_factory=list)
    _deadline: float = 0.0
    _dog: Watchdog = field(init=False)

    def run(self, plan: Plan, show: Callable[[], None] = lambda: None) -> None:
        """Run until nothing is left, or until a signal has ended everything; call `show` often."""
        self._dog = Watchdog(grace=10)
        self._listen()
        try:
            while self.running or (plan.left() and not self.signum):
                self._fill(plan)
                self._pass_on()
                self._reap(plan)
                plan.look(self.running, ending=bool(self.signum))
                show()
                time.sleep(0.05)
        finally:
            self._end_rest()
            self._dog.end()

    def _listen(self) -> None:
        """Handle SIGINT even if it was ignored at our start (nohup in a script); leave SIGHUP ignored if it is."""
        signal.signal(signal.SIGINT, self._heard)
        signal.signal(signal.SIGTERM, self._heard)
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
            signal.signal(signal.SIGHUP, self._heard)

    def _heard(self, signum: int, _frame: FrameType | None) -> None:
        self.signum = self.signum or signum
        self.signals += 1
        self._deadline = self._deadline or time.monotonic() + END_SECONDS
        self._pass_on()  # at once: the loop may be busy for minutes, as with removing a large bundle

    def _fill(self, plan: Plan) -> None:
        now = time.monotonic()
        self._cooling = [until for until in self._cooling if until > now]
        while len(self.running) + len(self._cooling) < self.size and not self.signum:
            task = plan.begin_next()
            if task is None:
                return
            try:
                self.running.append(self._start(task))
            except OSError as error:
                why = f"error: cmlutil can't be started: {error.strerror}."
                plan.ended(task, Ended(ExitCode.FAILED, killed=False, seconds=0.0, output=why))

    def _start(self, task: Task) -> Running:
        handle, log = _open_log(task)
        with os.fdopen(handle, "ab") as output:
            offset = output.tell()
            with self._dog.starting() as mark:
                process = subprocess.Popen(
                    [*self.command, *task.words],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    env={**os.environ, **_PLAIN, **mark},
                    start_new_session=True,  # so that a Ctrl-C reaches it only once, through us
                )
                number = self._dog.enrol(process.pid)
        return Running(task, process, number, time.monotonic(), log, offset)

    def _pass_on(self) -> None:
        for one in self.running:
            while one.told < self.signals:
                self._dog.told(one.number)
                one.interrupt(self.signum)
        if self._deadline and time.monotonic() > self._deadline:
            for one in self.running:
                with contextlib.suppress(OSError):
                    one.process.kill()

    def _end_rest(self) -> None:
        """After an error here, interrupt what still runs, and kill what does not end in time."""
        end = time.monotonic() + END_SECONDS
        for one in self.running:
            one.interrupt()
        for one in self.running:
            try:
                one.process.wait(max(0.0, end - time.monotonic()))
            except subprocess.TimeoutExpired:  # noqa: PERF203
                one.process.kill()

    def _reap(self, plan: Plan) -> None:
        for one in list(self.running):
            code = one.process.poll()
            if code is None:
                continue
            self.running.remove(one)
            self._dog.gone(one.number)
            if code < 0:
                self._cooling.append(time.monotonic() + COOL_SECONDS)
            plan.ended(one.task, one.end(code))
