"""Write how far a run is to `state/progress.json`, where `project status` in another shell reads it."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import time
from collections import deque
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING

from cmlutils.log import ROOT, mask
from cmlutils.progress import RunState
from cmlutils.units import utc_time

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cmlutils.bundle import Bundle
    from cmlutils.progress import FileProgress, Progress
    from cmlutils.report import Report

_EVERY = 1.0  # seconds between two updates, at least
_WINDOW = 30.0  # seconds over which the rate is measured
_FORETELLS = 3.0  # seconds of measuring before the time left is estimated


class ProgressFile(logging.Handler):
    """Passes progress on to another Progress, and keeps the latest state in a file that other processes can read."""

    def __init__(self, inner: Progress, report: Report, bundle: Bundle) -> None:
        super().__init__(logging.WARNING)
        self._inner, self._report, self._path = inner, report, bundle.progress
        self._state = RunState(os.getpid(), report.verb, report.started_at)
        self._samples: deque[tuple[float, int]] = deque()
        self._written = 0.0

    @contextmanager
    def open(self) -> Iterator[ProgressFile]:
        """Keep the file for the time of the block; a file that is left over is from a run that was killed."""
        logging.getLogger(ROOT).addHandler(self)
        self._write(at_once=True)
        try:
            yield self
        finally:
            logging.getLogger(ROOT).removeHandler(self)
            with contextlib.suppress(OSError):
                self._path.unlink(missing_ok=True)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Note which phase the block is."""
        before = self._state.phase
        self._enter(name)
        self._write(at_once=True)
        with self._inner.phase(name):
            yield
        self._enter(before)

    def _enter(self, phase: str, step: str = "") -> None:
        self._state.phase, self._state.step, self._state.files = phase, step, {}

    def step(self, name: str) -> None:
        """Note which step of the phase begins."""
        self._samples.clear()
        self._enter(self._state.phase, name)
        self._write(at_once=True)
        self._inner.step(name)

    def files(self, so_far: FileProgress) -> None:
        """Note how much of the files is done, how fast, and how long the rest will take."""
        self._inner.files(so_far)
        now = time.monotonic()
        self._samples.append((now, so_far.bytes_done))
        while now - self._samples[0][0] > _WINDOW:
            self._samples.popleft()
        seconds, size = now - self._samples[0][0], so_far.bytes_done - self._samples[0][1]
        rate = size / seconds if seconds > 0 and size > 0 else 0.0
        left = (so_far.bytes_total - so_far.bytes_done) / rate if rate and seconds >= _FORETELLS else None
        self._state.files = {
            **so_far._asdict(),
            "bytes_per_second": round(rate),
            "seconds_left": None if left is None else round(left),
        }
        self._write()

    def emit(self, record: logging.LogRecord) -> None:
        """Note the latest warning, which may say what the run is waiting for."""
        self._state.warning = mask(record.getMessage())
        self._write(at_once=True)

    def _write(self, *, at_once: bool = False) -> None:
        """Replace the file, without waiting for the disk: it need not survive a crash of the machine."""
        now = time.monotonic()
        if not at_once and now - self._written < _EVERY:
            return
        self._written = now
        self._state.updated_at, self._state.workloads = utc_time(time.time()), self._report.counts()
        new = self._path.with_name(f".{self._path.name}.new")
        with contextlib.suppress(OSError):
            new.write_text(json.dumps(asdict(self._state)), encoding="utf-8")
            new.replace(self._path)
