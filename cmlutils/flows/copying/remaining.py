"""What remains to be copied, as a look at both sides has shown."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple, Protocol

from cmlutils.flows.copying import shares
from cmlutils.remote import rsync

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence, Sized

    from cmlutils.entries import Differences, Entry
    from cmlutils.flows.copying.listing import KeptListing

SHORT = 2000  # names that rsync may get as a list, however small the tree is
_SMALL_TREE = 10_000  # names; a list for a larger tree may be longer


class Remaining(NamedTuple):
    """What remains to be copied, and how many bytes of it the receiver already has in partial files.

    `new` are the names at the root that the receiver does not have.
    """

    wanted: list[Entry]
    partial_bytes: int
    new: frozenset[bytes]


class LookAgain(Protocol):
    """Returns what remains after a round of copying."""

    def __call__(self, *, cut: bool) -> Remaining:
        """Look. With `cut`, the round was cut short, so more may have changed than what it was told to copy."""


def remaining_of(wanted: list[Entry], partial_bytes: int, differences: Differences) -> Remaining:
    """Return what remains to be copied of what differs."""
    return Remaining(
        wanted, partial_bytes, frozenset(each.path for each in differences.only_left if b"/" not in each.path)
    )


def to_fetch(differences: Differences) -> list[Entry]:
    """Return what a pull has to copy."""
    return but_folders(differences).to_copy()


def but_folders(differences: Differences) -> Differences:
    """Leave out existing folders' modes and times: a pull sets them itself, at the end."""
    changed = [each for each in differences.changed if each.wanted.kind != "d" or "kind" in each.what]
    return replace(differences, changed=changed)


def is_big(entry: Entry) -> bool:
    """Tell whether a file is large enough to be resumed in the middle."""
    return entry.kind == "f" and entry.size >= rsync.BIG


def is_short(names: Sized, tree: Sized) -> bool:
    """Tell whether these, of a whole tree, are few enough to be named one by one."""
    return len(names) <= longest_list(tree)


def longest_list(tree: Sized) -> int:
    """Return up to how many names of a tree are copied and checked faster by a list than by going through the tree.

    On a pull, a list costs 11 ns times its length squared, and going through the tree about 6 us for each of its names,
    so the length grows with the tree's square root.
    """
    return int(SHORT * max(1.0, len(tree) / _SMALL_TREE) ** 0.5)


def top(path: bytes) -> bytes:
    """Return the name at the root that a path lies in, or is."""
    return path.partition(b"/")[0]


def total_weight(entries: Iterable[Entry]) -> int:
    """Return how much there is to copy: bytes, plus something for each name."""
    return sum(map(shares.weight, entries))


def worth_staging(now: Remaining, kept: KeptListing) -> bool:
    """Tell whether staging pays: much is new, and few other names at the root have to be excluded."""
    few = (entry for entry in now.wanted if entry.size < rsync.BIG and top(entry.path) in now.new)
    if not any(islice(few, longest_list(kept.entries), None)):
        return False
    return sum(b"/" not in path and path not in now.new for path in kept.entries) <= rsync.MAX_LITERALS


class Parts(NamedTuple):
    """What to copy, divided by how rsync is told; it finds `tree`, many small files, by itself."""

    too_long: Sequence[Entry]
    by_rules: Sequence[Entry]
    listed: Sequence[Entry]
    tree: Sequence[Entry]
    large: Sequence[Entry]


def divided(names: Sequence[Entry], tree: Sized, *, anew: bool = False) -> Parts:
    """Divide what there is to copy of a tree.

    With `anew` every file is named, as rsync would else trust its size and mtime.
    """
    others = [entry for entry in names if len(entry.path) <= rsync.LONGEST]
    large = [entry for entry in others if is_big(entry) and not anew]
    small = [entry for entry in others if anew or not is_big(entry)]
    few = anew or is_short(small, tree)
    listed = small if few else []
    return Parts(
        too_long=[entry for entry in names if len(entry.path) > rsync.LONGEST],
        by_rules=[entry for entry in (*listed, *large) if not rsync.can_name(entry.path)],
        listed=[entry for entry in listed if rsync.can_name(entry.path)],
        tree=() if few else small,
        large=[entry for entry in large if rsync.can_name(entry.path)],
    )
