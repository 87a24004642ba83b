"""What a run tells other shells of itself while it goes on: `state/progress.json`, for `project status`."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import time
from collections import deque
from contextlib import contextmanager
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from cmlutils.log import ROOT, mask

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cmlutils.bundle import Bundle
    from cmlutils.flows.connect import Progress
    from cmlutils.report import Report

_EVERY = 1.0  # seconds between two writings, at least
_WINDOW = 30.0  # seconds over which the rate is taken
_FORETELLS = 3.0  # seconds of it that it takes to foretell how long the rest will take


class Live(logging.Handler):
    """Passes progress on, and keeps its latest state in a file that is whole at any moment."""

    def __init__(self, inner: Progress, report: Report, bundle: Bundle) -> None:
        super().__init__(logging.WARNING)
        self._inner, self._report, self._path = inner, report, bundle.progress
        self._state: dict[str, Any] = {"phase": "", "step": "", "warning": "", "files": None}
        self._seen: deque[tuple[float, int]] = deque()
        self._written = 0.0

    @contextmanager
    def open(self) -> Iterator[Live]:
        """Keep the file for as long as the block takes: one that is left over is of a run that was killed."""
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
        """Tell what goes on within the block."""
        before = self._state["phase"]
        self._state |= {"phase": name, "step": "", "files": None}
        self._write(at_once=True)
        with self._inner.phase(name):
            yield
        self._state |= {"phase": before, "step": "", "files": None}

    def step(self, name: str) -> None:
        """Tell what begins within a phase."""
        self._seen.clear()
        self._state |= {"step": name, "files": None}
        self._write(at_once=True)
        self._inner.step(name)

    def files(self, done_bytes: int, total_bytes: int, files_done: int, files_total: int) -> None:
        """Tell how much of the files is done, how fast, and how long the rest will take."""
        self._inner.files(done_bytes, total_bytes, files_done, files_total)
        now = time.monotonic()
        self._seen.append((now, done_bytes))
        while now - self._seen[0][0] > _WINDOW:
            self._seen.popleft()
        seconds, size = now - self._seen[0][0], done_bytes - self._seen[0][1]
        rate = size / seconds if seconds > 0 and size > 0 else 0.0
        left = (total_bytes - done_bytes) / rate if rate and seconds >= _FORETELLS else None
        self._state["files"] = {
            "bytes_done": done_bytes,
            "bytes_total": total_bytes,
            "files_done": files_done,
            "files_total": files_total,
            "bytes_per_second": round(rate),
            "seconds_left": None if left is None else round(left),
        }
        self._write()

    def emit(self, record: logging.LogRecord) -> None:
        """Tell the last warning, such as what is waited for."""
        self._state["warning"] = mask(record.getMessage())
        self._write(at_once=True)

    def _write(self, *, at_once: bool = False) -> None:
        """Replace the file; it may be lost in a crash of the machine, so nothing waits for the disk."""
        now = time.monotonic()
        if not at_once and now - self._written < _EVERY:
            return
        self._written = now
        state = {
            "pid": os.getpid(),
            "verb": self._report.verb,
            "started_at": datetime.fromtimestamp(self._report.started, timezone.utc).isoformat(timespec="seconds"),
            "updated_at": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            **self._state,
            "workloads": self._report.counts(),
        }
        new = self._path.with_name(f".{self._path.name}.new")
        with contextlib.suppress(OSError):
            new.write_text(json.dumps(state), encoding="utf-8")
            new.replace(self._path)
