"""How much disk the bundles of a batch take, and whether one more export fits into the budget."""

from __future__ import annotations

import contextlib
import os
import re
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cmlutils.bundle import Bundle
from cmlutils.errors import BundleError
from cmlutils.flows.copying.own_folders import remove_tree
from cmlutils.lock import taken

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pool import Running

_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_REST = 20  # the pause after a measurement is this many times as long as the measurement took
_REMOVED = ("project-metadata", "manifest.json", "project-data")  # data last: a part of it must not pass for a bundle
_NOTHING = 1 << 20  # bytes of a removed bundle's logs and state that do not count
SLOT = 10  # before the first export is complete, each is expected to take 1/SLOT of the budget


def parse_size(text: str) -> int:
    """Return the number of bytes that a text such as 200G means; raise ValueError."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]?)i?B?", text.strip(), re.IGNORECASE)
    if not found or not float(found[1]):
        raise ValueError(f"{text!r} is not a size: write 200G, for example.")
    return int(float(found[1]) * _UNITS[found[2].upper()])


def size_of(folder: Path | None) -> int:
    """Return the bytes that a folder takes on the disk; 0 if there is no such folder."""
    total, todo = 0, [os.fspath(folder)] if folder else []
    while todo:
        with contextlib.suppress(OSError), os.scandir(todo.pop()) as entries:
            for entry in entries:
                with contextlib.suppress(OSError):
                    total += entry.stat(follow_symlinks=False).st_blocks * 512
                    if entry.is_dir(follow_symlinks=False):
                        todo.append(entry.path)
    return total


@dataclass
class Disk:
    """The bytes that bundles take; a budget of 0 is no limit. A running export counts at its expected size.

    A complete bundle takes no more when it is exported again, and may be removed when it has been validated.
    """

    budget: int = 0
    _folders: dict[str, Path | None] = field(default_factory=dict)
    _sizes: dict[str, int] = field(default_factory=dict)
    _exporting: list[str] = field(default_factory=list)
    _stopped: set[str] = field(default_factory=set)
    _complete: set[str] = field(default_factory=set)
    _exported: list[int] = field(default_factory=list)
    _next: float = 0.0

    def add(self, project: str, folder: Path | None) -> None:
        """Add a project, and count what its bundle takes already."""
        self._folders[project] = folder
        self._look(project)

    def _look(self, project: str) -> None:
        folder = self._folders[project]
        self._sizes[project] = size_of(folder) if self.budget else 0
        self._complete.discard(project)
        with contextlib.suppress(OSError):  # it may lie where we may not look
            if folder and Bundle(folder).manifest.exists():
                self._complete.add(project)

    def _expected(self, project: str) -> int:
        if project in self._complete:
            return self._sizes[project]
        mean = sum(self._exported) // len(self._exported) if self._exported else self.budget // SLOT
        return max(self._sizes[project], mean)

    def used(self) -> int:
        """Return the bytes that all bundles take, with running exports counted at their expected size."""
        running = {project: self._expected(project) for project in self._exporting}
        return sum({**self._sizes, **running}.values())

    def fits(self, project: str) -> bool:
        """Tell whether this export may start: there is room, or nothing would ever start if this one did not.

        The latter, for one at a time: there is no other bundle, its own is complete, or is begun and no other complete.
        """
        if not self.budget:
            return True
        own, others = self._sizes[project], self.used() - self._sizes[project]
        if not self._exporting:
            only = not any(self._sizes[one] for one in self._sizes if one != project)
            if only or project in self._complete or (own and not self._complete):
                return True
        return others + self._expected(project) <= self.budget

    def begin(self, project: str) -> None:
        """Count an export as running."""
        self._exporting.append(project)

    def measure(self, running: Sequence[Running]) -> None:
        """Measure the running exports; if all exceeds the budget, interrupt the youngest, which is resumed later."""
        now = time.monotonic()
        if not self.budget or now < self._next:
            return
        for project in self._exporting:
            self._sizes[project] = size_of(self._folders[project])
        self._next = now + max(2.0, _REST * (time.monotonic() - now))
        exports = [one for one in running if one.task.project in self._exporting]
        if sum(self._sizes.values()) > self.budget and len(exports) > 1 and not self._stopped:
            youngest = max(exports, key=lambda one: one.began)
            self._stopped.add(youngest.task.project)
            youngest.interrupt()

    def ended(self, project: str) -> bool:
        """Note that the process of a project has ended; tell whether `measure` had interrupted it."""
        if project in self._exporting:
            self._exporting.remove(project)
            self._look(project)
        stopped = project in self._stopped
        self._stopped.discard(project)
        return stopped

    def exported(self, project: str) -> None:
        """Use the size of a complete export to estimate the sizes of others."""
        if self._sizes[project]:
            self._exported.append(self._sizes[project])

    def remove(self, project: str) -> None:
        """Remove a bundle's files and metadata, but not its logs and state; raise BundleError if some of it stays.

        Nothing goes while another run is at the bundle: an import would take what goes meanwhile for lost, and delete
        it on the target.
        """
        folder = self._folders[project]
        if folder is None:
            raise BundleError("its place is not known.")
        with taken(Bundle(folder).lock_file, folder):
            failures = [_remove(folder / name) for name in _REMOVED]
        self._look(project)
        if self._sizes[project] < _NOTHING:
            self._sizes[project] = 0
        if any(failures):
            raise BundleError(next(filter(None, failures)))


def _remove(path: Path) -> str:
    """Remove a file or folder; return why it can't be removed, empty if it is gone."""
    try:
        if path.is_dir():
            remove_tree(path)
        else:
            path.unlink(missing_ok=True)
    except OSError as error:
        return f"{error.filename or path} can't be removed: {error.strerror}."
    return ""
