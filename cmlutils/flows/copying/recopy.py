"""Files that a comparison found to differ only in contents: the next copy includes them, however equal they look."""

from __future__ import annotations

import re
from itertools import islice
from typing import TYPE_CHECKING

from cmlutils.entries import by_path, upwards
from cmlutils.filelist import quoted
from cmlutils.flows.copying import remaining
from cmlutils.paths import is_file
from cmlutils.wholefile import write_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from cmlutils.entries import Differences, Entry
    from cmlutils.remote.rsync import Complaint

SOURCE = "source"  # the key of the one source, as a target has its `target_key`
_GROWING = re.compile(rb"(.*/|)\.([^/]+)\.\w{6}")  # the name under which rsync writes a file until it is whole
_SEEN = {"kind", "size", "mtime"}  # what rsync sees of a difference
_ATTRIBUTES = "failed to set "  # so begin complaints about modes and times, which the next look finds by itself


class Recopies:
    """The files that one run has to copy again; each stays on the list until it was copied without a complaint."""

    def __init__(self, entries: Iterable[Entry] = ()) -> None:
        self.entries = list(entries)
        self._untried = by_path(self.entries)
        self._refused: dict[bytes, str] = {}

    def some(self) -> list[Entry]:
        """Return some that were not tried yet, as many as a list of names should hold."""
        return list(islice(self._untried.values(), remaining.SHORT))

    def tried(self, some: Sequence[Entry], complaints: Iterable[Complaint]) -> None:
        """Note that a copy of these came to its end, and its complaints.

        A complaint about a folder applies to everything in it; one that fits none of these may apply to any of them.
        """
        within: dict[bytes, list[Entry]] = {}
        for entry in some:
            self._untried.pop(entry.path, None)
            for each in upwards(entry.path):
                within.setdefault(each, []).append(entry)
        for path, reason in complaints:
            if not reason.startswith(_ATTRIBUTES):
                meant = next((within[end] for end in _ends(path) if end in within), some)
                self._refused.update((entry.path, reason) for entry in meant)

    def left(self, path: bytes) -> bool:
        """Tell whether this file still has to be copied again."""
        return path in self._untried or path in self._refused

    def copied(self) -> list[Entry]:
        """Return those that were copied."""
        return [entry for entry in self.entries if not self.left(entry.path)]

    def problems(self, entries: Mapping[bytes, Entry]) -> tuple[str, ...]:
        """Name those files of a listing that could not be copied, and why."""
        return tuple(
            f"{quoted(path)}: its contents differ, and it could not be copied anew: {reason}"
            for path, reason in self._refused.items()
            if path in entries
        )


def _ends(path: bytes) -> Iterator[bytes]:
    """Yield the paths that rsync may mean by this one, the longest first, as it shows some paths in full."""
    growing = _GROWING.fullmatch(path)
    for one in (path, *([growing[1] + growing[2]] if growing else ())):
        names = one.strip(b"/").split(b"/")
        yield from (b"/".join(names[start:]) for start in range(len(names)))


class RecopyList:
    """A list of files to copy again, kept in the bundle's state; `key` is SOURCE or a `target_key`."""

    def __init__(self, state: Path, key: str) -> None:
        self._path = state / f"unequal-{key}.list"

    def note(self, paths: Iterable[bytes]) -> None:
        """Keep only these names."""
        names = list(paths)
        if names:
            write_bytes(self._path, b"\0".join(names))
        else:
            self._path.unlink(missing_ok=True)

    def add(self, paths: Iterable[bytes]) -> None:
        """Keep these names as well."""
        self.note({*self._names(), *paths})

    def due(self, entries: Mapping[bytes, Entry], differences: Differences) -> Recopies:
        """Return those that are files in this listing, and look so equal that rsync would skip them."""
        names = self._names()
        if not names:
            return Recopies()
        names -= {each.path for each in differences.only_left}
        names -= {each.wanted.path for each in differences.changed if not _SEEN.isdisjoint(each.what)}
        return Recopies(entries[name] for name in sorted(names) if name in entries and entries[name].kind == "f")

    def settle(self, recopies: Recopies, entries: Mapping[bytes, Entry]) -> None:
        """Forget what was copied; keep what still has to be, and what this listing does not show."""
        names = self._names()
        left = {name for name in names if recopies.left(name) or name not in entries}
        if left != names:
            self.note(sorted(left))

    def _names(self) -> set[bytes]:
        return {*self._path.read_bytes().split(b"\0")} if is_file(self._path) else set()
