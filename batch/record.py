"""The reports of a batch on the disk, which know of earlier batches, too; a full disk does not end what runs."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import results

from cmlutils.errors import BundleError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from results import Result


@dataclass
class Record:
    """batch-report.json and .html in one folder; `earlier`: what they have of projects that this batch leaves alone."""

    folder: Path
    verb: str
    earlier: Sequence[Result]
    dry: bool = False
    began: float = field(default_factory=time.time)
    _warned: bool = False

    def begin(self, found: Sequence[Result]) -> None:
        """Write them for the first time; raise BundleError where that can't be."""
        if not self.dry:
            results.write(self.folder, self.verb, self.began, found, None, self.earlier)

    def note(self, found: Sequence[Result], say: Callable[[str], None]) -> None:
        """Bring them up to date; the first time that this can't be it is said."""
        try:
            self.begin(found)
        except BundleError as error:
            if not self._warned:
                say(f"{error.message} It is tried again at the end.")
            self._warned = True

    def end(self, found: Sequence[Result], code: int) -> bool:
        """Write them for the last time; say why, and return False, where that can't be."""
        try:
            if not self.dry:
                results.write(self.folder, self.verb, self.began, found, code, self.earlier)
        except BundleError as error:
            print(f"{error.message} {error.hint}", file=sys.stderr)
            return False
        return True

    def words(self) -> str:
        """Say where they are, and what else they hold."""
        if self.dry:
            return "A dry run: nothing of it is recorded."
        more = f", and {results.summary(self.earlier)} of earlier batches" if self.earlier else ""
        return f"{self.folder / 'batch-report.json'} and batch-report.html have the same{more}."
