"""Runs cmlutil processes side by side: starts them, hears how they end, and passes signals on to them."""

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

END_SECONDS = 9.5  # for all children to end by a signal
COOL_SECONDS = 5.0  # until the session of a child that was killed is closed


@dataclass(frozen=True)
class Task:
    """One cmlutil to run: the words after `cmlutil`, where its output goes, and whether to add to what is there."""

    project: str
    verb: str
    words: Sequence[str]
    log: Path
    append: bool = False


@dataclass(frozen=True)
class Ended:
    """How one process ended: `code` as a shell tells it, `killed` if that was by nobody's order that we know of."""

    code: int
    killed: bool
    seconds: float
    output: str


@dataclass
class Running:
    """One running cmlutil; `log` is where its output really goes, and `told` how many signals it had."""

    task: Task
    process: subprocess.Popen[bytes]
    number: int
    began: float
    log: Path
    offset: int
    told: int = 0

    @property
    def seconds(self) -> float:
        """How long it has been running."""
        return time.monotonic() - self.began

    def interrupt(self, signum: int = signal.SIGINT) -> None:
        """Ask it to end in good order."""
        self.told += 1
        self.process.send_signal(signum)

    def end(self, code: int) -> Ended:
        """Return how it ended, with what it wrote."""
        output = ""
        with contextlib.suppress(OSError), self.log.open("rb") as file:
            file.seek(max(self.offset, os.fstat(file.fileno()).st_size - 50_000))
            output = file.read().decode(errors="replace")
        return Ended(128 - code if code < 0 else code, code < 0 and not self.told, round(self.seconds, 1), output)


def _open_log(task: Task) -> tuple[int, Path]:
    """Open a task's log; where there is no room for one, the log that its bundle has must do."""
    flags = os.O_WRONLY | os.O_CREAT | (os.O_APPEND if task.append else os.O_TRUNC)
    try:
        task.log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        room = os.statvfs(task.log.parent)
        if room.f_bavail or not room.f_blocks:  # a disk without blocks does not tell
            return os.open(task.log, flags, 0o600), task.log
    except OSError:
        pass
    return os.open(os.devnull, os.O_WRONLY), Path(os.devnull)


@dataclass
class Pool:
    """Runs what a plan gives, `size` at a time; a signal to us goes to every child, which ends in good order.

    A kill -9 of ours is a SIGINT for them, sent by the watchdog.
    """

    command: Sequence[str]
    size: int
    signum: int = 0
    signals: int = 0
    running: list[Running] = field(default_factory=list)
    _cooling: list[float] = field(default_factory=list)
    _deadline: float = 0.0

    def run(self, plan: Plan, show: Callable[[], None] = lambda: None) -> None:
        """Run until nothing is left, or a signal has ended it; `show` is called often."""
        self._listen()
        dog = Watchdog(grace=10)
        try:
            while self.running or (plan.left() and not self.signum):
                self._fill(plan, dog)
                self._pass_on(dog)
                self._reap(plan, dog)
                plan.look(self.running, ending=bool(self.signum))
                show()
                time.sleep(0.05)
        finally:
            self._end_rest()
            dog.end()

    def _listen(self) -> None:
        """Hear SIGINT even where it came ignored (nohup in a script); leave an ignored SIGHUP to nohup."""
        signal.signal(signal.SIGINT, self._heard)
        signal.signal(signal.SIGTERM, self._heard)
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
            signal.signal(signal.SIGHUP, self._heard)

    def _heard(self, signum: int, _frame: FrameType | None) -> None:
        self.signum = self.signum or signum
        self.signals += 1
        self._deadline = self._deadline or time.monotonic() + END_SECONDS

    def _fill(self, plan: Plan, dog: Watchdog) -> None:
        now = time.monotonic()
        self._cooling = [until for until in self._cooling if until > now]
        while len(self.running) + len(self._cooling) < self.size and not self.signum:
            task = plan.next()
            if task is None:
                return
            try:
                self.running.append(self._start(task, dog))
            except OSError as error:
                why = f"error: cmlutil can't be started: {error.strerror}."
                plan.ended(task, Ended(ExitCode.FAILED, killed=False, seconds=0.0, output=why))

    def _start(self, task: Task, dog: Watchdog) -> Running:
        handle, log = _open_log(task)
        with os.fdopen(handle, "ab") as output:
            offset = output.tell()
            with dog.starting() as mark:
                process = subprocess.Popen(
                    [*self.command, *task.words],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    env={**os.environ, **mark},
                    start_new_session=True,  # Ctrl-C reaches it once, through us
                )
                number = dog.enrol(process.pid)
        return Running(task, process, number, time.monotonic(), log, offset)

    def _pass_on(self, dog: Watchdog) -> None:
        for one in self.running:
            while one.told < self.signals:
                dog.told(one.number)
                one.interrupt(self.signum)
        if self._deadline and time.monotonic() > self._deadline:
            for one in self.running:
                with contextlib.suppress(OSError):
                    one.process.kill()

    def _end_rest(self) -> None:
        """End what runs in good order when something has gone wrong here."""
        end = time.monotonic() + END_SECONDS
        for one in self.running:
            one.interrupt()
        for one in self.running:
            try:
                one.process.wait(max(0.0, end - time.monotonic()))
            except subprocess.TimeoutExpired:  # noqa: PERF203
                one.process.kill()

    def _reap(self, plan: Plan, dog: Watchdog) -> None:
        for one in list(self.running):
            code = one.process.poll()
            if code is None:
                continue
            self.running.remove(one)
            dog.gone(one.number)
            if code < 0:
                self._cooling.append(time.monotonic() + COOL_SECONDS)
            plan.ended(one.task, one.end(code))
