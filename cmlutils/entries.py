"""What a listing of files is made of: entries, their totals, and how two listings differ."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator

MODES = tuple(range(0o10000))  # one number each, however many entries share it


class Entry(NamedTuple):
    """One name in a tree. `path` is relative and never empty; `link` is a symbolic link's target, else empty.

    `kind` is find's letter: f(ile), d(irectory), l(ink), p(ipe), s(ocket), b(lock) or c(haracter device).
    """

    path: bytes
    kind: str
    size: int
    mtime_ns: int
    mode: int
    link: bytes = b""


@dataclass(frozen=True)
class Totals:
    """How much a listing holds: `bytes` is that of regular files; `others` are pipes, sockets and devices."""

    files: int = 0
    folders: int = 0
    links: int = 0
    others: int = 0
    bytes: int = 0


def upwards(path: bytes) -> Iterator[bytes]:
    """Yield a path, then each folder that it lies in, nearest first, without the root."""
    while path:
        yield path
        path = path.rpartition(b"/")[0]


def above(path: bytes) -> Iterator[bytes]:
    """Yield only the folders that a path lies in, nearest first, without the root."""
    return upwards(path.rpartition(b"/")[0])


def by_path(entries: Iterable[Entry]) -> dict[bytes, Entry]:
    """Return a listing as a mapping from each path to its entry."""
    return {entry.path: entry for entry in entries}


def totals(entries: Iterable[Entry]) -> Totals:
    """Count a listing."""
    count = dict.fromkeys("fdlpsbc", 0)
    size = 0
    for entry in entries:
        count[entry.kind] += 1
        if entry.kind == "f":
            size += entry.size
    return Totals(count["f"], count["d"], count["l"], sum(map(count.__getitem__, "psbc")), size)


def totals_by_folder(entries: Iterable[Entry]) -> dict[str, dict[str, int]]:
    """Return the number of files and bytes in each folder at the root; "." stands for the files at the root itself."""
    found: dict[bytes, list[int]] = {}
    for entry in entries:
        if entry.kind == "f":
            top, slash, _ = entry.path.partition(b"/")
            counts = found.setdefault(top if slash else b".", [0, 0])
            counts[0] += 1
            counts[1] += entry.size
    return {
        name.decode("utf-8", "backslashreplace"): {"files": files, "bytes": size}
        for name, (files, size) in sorted(found.items())
    }


class Change(NamedTuple):
    """One path as it is wanted and as it was found, and what differs: kind, or some of size, mtime, mode and link."""

    wanted: Entry
    found: Entry
    what: tuple[str, ...]


@dataclass(frozen=True)
class Differences:
    """What `compare` found. It is true if the sides differ; `not_carried` (pipes, devices) does not count for that."""

    only_left: list[Entry] = field(default_factory=list)
    only_right: list[Entry] = field(default_factory=list)
    changed: list[Change] = field(default_factory=list)
    not_carried: list[Entry] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.only_left or self.only_right or self.changed)

    def to_copy(self) -> list[Entry]:
        """Return what has to be copied from the left side to the right one."""
        return [*self.only_left, *(each.wanted for each in self.changed)]


def compare(
    wanted: Iterable[Entry] | Mapping[bytes, Entry],
    found: Iterable[Entry] | Mapping[bytes, Entry],
    *,
    folder_times: bool = False,
    resolution_ns: int = 1,
) -> Differences:
    """Compare two listings. The first is held in memory, the second may be a stream.

    Mtimes of files that are less than `resolution_ns` apart are equal, as the receiving file system may not keep finer
    ones. Mtimes of folders are compared only with `folder_times`.

    The size of a folder or link and the mode of a link are never compared. A wanted pipe, socket or device is
    listed as not carried; anything else that is found in its place is extra.
    """
    held = wanted if isinstance(wanted, Mapping) else by_path(wanted)
    result = Differences()
    seen: set[bytes] = set()
    there: Container[bytes] = seen
    if isinstance(found, Mapping):
        there = found  # of two listings that were read with the same records, most are the same objects
        found = [right for path, right in found.items() if held.get(path) is not right]
    for right in found:
        left = held.get(right.path)
        if left is None or (left.kind not in "fdl" and right.kind != left.kind):
            result.only_right.append(right)
            continue
        seen.add(left.path)
        if left == right or left.kind not in "fdl":
            continue
        if what := _changes(left, right, folder_times=folder_times, resolution_ns=resolution_ns):
            result.changed.append(Change(left, right, what))
    for path, left in held.items():
        if left.kind not in "fdl":
            result.not_carried.append(left)
        elif path not in there:
            result.only_left.append(left)
    return result


def _changes(left: Entry, right: Entry, *, folder_times: bool, resolution_ns: int) -> tuple[str, ...]:
    if left.kind != right.kind:
        return ("kind",)
    kind = left.kind
    # rsync does not change the mtime of a folder or link that is right to the second
    apart = abs(left.mtime_ns - right.mtime_ns) >= (resolution_ns if kind == "f" else max(resolution_ns, 10**9))
    different = {
        "size": kind == "f" and left.size != right.size,
        "mtime": (kind != "d" or folder_times) and apart,
        "mode": kind != "l" and left.mode != right.mode,
        "link": left.link != right.link,
    }
    return tuple(name for name, differs in different.items() if differs)
