"""How far it is: phases and a running count of files on standard error."""

from __future__ import annotations

import logging
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from cmlutils.cli.render import human_size
from cmlutils.log import is_quiet

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cmlutils.report import Report

log = logging.getLogger(__name__)
_TTY_EVERY, _FILE_EVERY = 0.2, 30.0  # seconds between two lines of progress


class TextProgress:
    """Phases go to the log with their duration; files as one rewritten line, or a line now and then."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._last = time.monotonic()
        self._tty = sys.stderr.isatty() and not is_quiet()
        self._open = False  # a rewritten line stands on the terminal

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Log a phase when it ends, whatever ends it."""
        started = time.monotonic()
        log.debug("%s …", name)
        try:
            yield
        finally:
            seconds = time.monotonic() - started
            self._clear()
            self._report.phases[name] = self._report.phases.get(name, 0) + seconds
            log.info("%s: %.1f s", name, seconds)

    def step(self, name: str) -> None:
        """Log what begins within a phase."""
        log.debug("%s …", name)

    def files(self, done_bytes: int, total_bytes: int, files_done: int, files_total: int) -> None:
        """Tell how much of the files is done; drops what comes too often."""
        now = time.monotonic()
        if now - self._last < (_TTY_EVERY if self._tty else _FILE_EVERY):
            return
        self._last = now
        percent = 100 * done_bytes // total_bytes if total_bytes else 100
        line = f"files: {percent}% of {human_size(total_bytes)}, {files_done} of {files_total} files"
        if self._tty:
            sys.stderr.write(f"\r\x1b[K{line}\r")
            sys.stderr.flush()
            self._open = True
        else:
            log.info(line)

    def _clear(self) -> None:
        """Take the rewritten line away, so that the next one does not stand in it."""
        if self._open:
            sys.stderr.write("\x1b[K")
            sys.stderr.flush()
            self._open = False
