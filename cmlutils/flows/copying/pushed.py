"""What we put into a target's project, as the bundle remembers it, and that target's mtime resolution."""

from __future__ import annotations

import contextlib
import hashlib
from typing import TYPE_CHECKING

from cmlutils import paths
from cmlutils.disk import MTIME_RESOLUTIONS
from cmlutils.errors import TransferError
from cmlutils.saved_listing import read_list, write_list
from cmlutils.urls import workspace_at
from cmlutils.wholefile import write_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from cmlutils.entries import Entry
    from cmlutils.filelist import Records


def target_key(url: str, project: str) -> str:
    """Return how the bundle's state names this project (owner/slug) of this workspace."""
    return hashlib.sha256(f"{workspace_at(url)}\n{project}".encode()).hexdigest()[:16]


def targets_pushed_to(state: Path) -> set[str]:
    """Return the keys of all targets that this bundle was imported into, as far as their imports came to the files."""
    return {path.stem.removeprefix("pushed-") for path in state.glob("pushed-*.*")}


class PushMemory:
    """Remembers, in the bundle's `state`, what we put into this project (owner/slug) of this workspace.

    `target` is its key. What a push is about to put there is noted beforehand, in addition to what is there already:
    after an interruption, either version of a file may be there.
    """

    def __init__(self, state: Path, url: str, project: str) -> None:
        self.target = target_key(url, project)
        self._list = state / f"pushed-{self.target}.list"
        self._begun, self._resolution = self._list.with_suffix(".begun"), self._list.with_suffix(".grain")
        self._about: list[Entry] = []

    def read(self, records: Records) -> Iterator[Entry]:
        """Yield what we put there, or may have put there; a path may come twice. `records` is as in `parse_find`."""
        for path in (self._list, self._begun):
            if paths.exists(path):
                yield from read_list(path, records)

    def begin(self, entries: list[Entry]) -> None:
        """Remember that these are about to be put there."""
        earlier: list[Entry] = []
        if paths.exists(self._begun):
            with contextlib.suppress(TransferError):  # `read` reported it
                earlier = [*read_list(self._begun)]
        self._about = [*earlier, *entries]
        write_list(self._begun, self._about)

    def exists(self) -> bool:
        """Tell whether an earlier push left anything to remember, if only that it put nothing there."""
        return paths.exists(self._list) or paths.exists(self._begun)

    def settle(self, entries: list[Entry], write: Callable[[Path, list[Entry]], None] = write_list) -> None:
        """Remember only these."""
        if self._about and self._about == entries and not paths.is_dir(self._list):
            self._begun.replace(self._list)
            return
        write(self._list, entries)
        self._begun.unlink(missing_ok=True)

    def read_resolution(self) -> int:
        """Return the target's mtime resolution in nanoseconds, as an earlier push found it; 1 if there was none."""
        return _read_resolution(self._resolution)

    def note_resolution(self, nanoseconds: int) -> None:
        """Remember the target's mtime resolution."""
        if nanoseconds != self.read_resolution():
            write_bytes(self._resolution, b"%d\n" % nanoseconds)


def coarsest_resolution(state: Path) -> int:
    """Return the coarsest mtime resolution, in nanoseconds, that any target of this bundle has shown."""
    return max(map(_read_resolution, state.glob("pushed-*.grain")), default=1)


def _read_resolution(path: Path) -> int:
    with contextlib.suppress(OSError, ValueError):
        number = int(path.read_text())
        return number if number in MTIME_RESOLUTIONS else 1
    return 1
