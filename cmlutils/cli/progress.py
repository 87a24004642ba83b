"""Show how far a run is: phases, and a bar for files on a terminal; elsewhere, a plain line every 30 seconds.

A phase may wait for a workspace and have nothing to count, so a thread shows regularly that it is still going on.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

from cmlutils import interrupts
from cmlutils.log import ROOT, is_quiet
from cmlutils.screen import can_redraw, columns
from cmlutils.units import human_size, human_time

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cmlutils.progress import FileProgress
    from cmlutils.report import Report

log = logging.getLogger(__name__)
_EVERY = 30.0  # seconds between two plain lines
_LONG = 1.0  # seconds until a phase that counts no files is shown, and between two updates of its time
_FILES_FROM, _RATE_FROM = 60, 80  # the width from which on a terminal has room for these beside the bar


class TextProgress:
    """Shows progress as text: phases with their duration in the log; files as a bar, or as lines without a terminal."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._began = self._last = time.monotonic()
        self._step = ""
        self._phases: list[tuple[str, float]] = []
        self._bar: _Bar | None = _Bar() if can_redraw(sys.stderr) and not is_quiet() else None

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Log a phase and its duration when it ends, even if by an exception."""
        started = time.monotonic()
        log.debug("%s …", name)
        self._phases.append((name, started))
        try:
            with nullcontext() if len(self._phases) > 1 else self._watched():
                yield
        finally:
            with interrupts.held():
                self._phases.pop()
                seconds = time.monotonic() - started
                if self._bar:
                    self._bar.close()
                self._report.phases[name] = self._report.phases.get(name, 0) + seconds
                log.info("%s: %.1f s", name, seconds)

    @contextmanager
    def _watched(self) -> Iterator[None]:
        """Report it regularly when the block takes long."""
        over = threading.Event()
        watch = threading.Thread(target=self._watch, args=(over,), daemon=True)
        watch.start()
        try:
            yield
        finally:
            with interrupts.held():
                over.set()
                watch.join()

    def _watch(self, over: threading.Event) -> None:
        while not over.wait(_LONG):
            name, began = self._phases[-1]
            now = time.monotonic()
            if self._bar:
                self._bar.waiting(name, now - began)
            elif now - max(self._last, began) >= _EVERY:
                self._last = now
                log.info("%s: %s so far", name, human_time(now - began))

    def step(self, name: str) -> None:
        """Log what begins within a phase."""
        log.debug("%s …", name)
        self._step = name
        self._began = time.monotonic()
        if self._bar:
            self._bar.step(name)

    def files(self, so_far: FileProgress) -> None:
        """Show how much of the files is done; without a terminal, only now and then."""
        if self._bar:
            self._bar.files(so_far)
            return
        now = time.monotonic()
        if now - self._last >= _EVERY:
            self._last = now
            log.info("%s: %s", self._step or "files", line(so_far, now - self._began))


def line(so_far: FileProgress, seconds: float) -> str:
    """Return the progress in one line: share, bytes, files, rate and time left, after so many `seconds`."""
    percent = min(100, 100 * so_far.bytes_done // so_far.bytes_total) if so_far.bytes_total else 100
    rate = so_far.bytes_done / seconds if seconds > 0 else 0
    left = f", {human_time(max(0, so_far.bytes_total - so_far.bytes_done) / rate)} left" if rate else ""
    counted = f"{so_far.files_done} of {so_far.files_total} files"
    return f"{percent} % of {human_size(so_far.bytes_total)}, {counted}, {human_size(int(rate))}/s{left}"


def _of(done: int, total: int) -> str:
    """Return DONE/TOTAL, with the unit only once if both have the same."""
    number, unit = human_size(done).split()
    return f"{number if human_size(total).endswith(f' {unit}') else human_size(done)}/{human_size(total)}"


class _Bar:
    """The bar in the terminal's last line. Log lines appear above it, as rich writes them while the bar is shown."""

    def __init__(self) -> None:
        self._terminal = sys.stderr
        self._lock = threading.RLock()
        self._counts = False
        self._live: Any = None
        self._task: Any = None
        self._handlers: list[tuple[logging.StreamHandler[Any], Any]] = []

    def step(self, name: str) -> None:
        with self._lock:
            if self._live is None:
                self._open()
            self._live.update(self._task, description=name)

    def waiting(self, name: str, seconds: float) -> None:
        """Show which phase is taking so long, unless the bar counts files."""
        with self._lock:
            if self._live is None:
                self.step(name)
            if not self._counts:
                self._live.update(self._task, told=human_time(seconds))

    def files(self, so_far: FileProgress) -> None:
        with self._lock:
            self._count(so_far)

    def _count(self, so_far: FileProgress) -> None:
        self._counts = True
        if self._live is None:
            self.step("files")
        self._live.update(self._task, completed=so_far.bytes_done, total=max(so_far.bytes_total, 1))
        (task,), width = self._live.tasks, self._fit()
        told = [_of(so_far.bytes_done, so_far.bytes_total)]
        told += [f"{so_far.files_done}/{so_far.files_total} files"] if width >= _FILES_FROM else []
        told += [f"{human_size(int(task.speed))}/s"] if width >= _RATE_FROM and task.speed else []
        told += [f"{human_time(task.time_remaining)} left"] if task.time_remaining else []
        self._live.update(self._task, told=", ".join(told))

    def _fit(self) -> int:
        """Use the terminal's width minus room for an echoed ^C, which would otherwise wrap and leave the bar behind."""
        width = columns(self._terminal) or 80
        self._live.console.width = width - len("^C") - 1
        return width

    def _open(self) -> None:
        from rich import progress  # here and not at the top, to start faster
        from rich.console import Console

        console = Console(stderr=True)
        # A hidden cursor would stay hidden in the shell when the run is stopped (Ctrl-Z) or killed.
        console.show_cursor = lambda _show=True: False  # type: ignore[assignment, method-assign]
        self._live = progress.Progress(
            progress.TextColumn("{task.description}"),
            progress.BarColumn(),
            progress.TextColumn("{task.fields[told]}"),
            console=console,
            transient=True,
            refresh_per_second=5,
            redirect_stdout=False,
        )
        self._task = self._live.add_task("files", total=None, told="")
        self._fit()
        self._live.start()
        for handler in logging.getLogger(ROOT).handlers:
            if isinstance(handler, logging.StreamHandler) and handler.stream is self._terminal:
                self._handlers.append((handler, handler.setStream(sys.stderr)))

    def close(self) -> None:
        with self._lock:
            if self._live is None:
                return
            self._live.stop()
            for handler, stream in self._handlers:
                handler.setStream(stream)
            self._live, self._handlers, self._counts = None, [], False
