"""What a copy still has to do, as a look at both sides has shown it."""

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

SHORT = 2000  # up to so many names rsync gets a list; on a pull its cost grows with the square


class Remaining(NamedTuple):
    """What is still to be copied, and how many bytes of that the receiver has in partial files.

    `new` are those names at the root that the receiver does not have.
    """

    wanted: list[Entry]
    partial_bytes: int
    new: frozenset[bytes]


class LookAgain(Protocol):
    """Says how things are after a round of copying."""

    def __call__(self, *, cut: bool) -> Remaining:
        """Look; what an interrupted round has left may be anywhere, others touch only what they were told to."""


def remaining_of(wanted: list[Entry], partial_bytes: int, differences: Differences) -> Remaining:
    """Return what remains to be copied of what differs."""
    return Remaining(
        wanted, partial_bytes, frozenset(each.path for each in differences.only_left if b"/" not in each.path)
    )


def to_fetch(differences: Differences) -> list[Entry]:
    """Name what a pull has to copy."""
    return but_folders(differences).to_copy()


def but_folders(differences: Differences) -> Differences:
    """Leave out existing folders' modes and times: a pull sets them itself, at the end."""
    changed = [each for each in differences.changed if each.wanted.kind != "d" or "kind" in each.what]
    return replace(differences, changed=changed)


def is_big(entry: Entry) -> bool:
    """Tell whether a file is worth being resumed in its middle."""
    return entry.kind == "f" and entry.size >= rsync.BIG


def is_short(names: Sized) -> bool:
    """Tell whether these are few enough to be named one by one."""
    return len(names) <= SHORT


def top(path: bytes) -> bytes:
    """Return the name of the root that a path lies in, or is."""
    return path.partition(b"/")[0]


def total_weight(entries: Iterable[Entry]) -> int:
    """Say how much there is to copy: bytes, and something for each name."""
    return sum(map(shares.weight, entries))


def worth_staging(now: Remaining, kept: KeptListing) -> bool:
    """Tell whether much is new; and rsync must be told in few words what else there is at the root."""
    few = (entry for entry in now.wanted if entry.size < rsync.BIG and top(entry.path) in now.new)
    others = sum(b"/" not in path and path not in now.new for path in kept.entries)
    return any(islice(few, SHORT, None)) and others <= rsync.MAX_LITERALS


class Parts(NamedTuple):
    """What to copy, by how rsync is told of it; what is in `tree`, many small files, it finds itself."""

    too_long: Sequence[Entry]
    by_rules: Sequence[Entry]
    listed: Sequence[Entry]
    tree: Sequence[Entry]
    large: Sequence[Entry]


def divided(names: Sequence[Entry], *, anew: bool = False) -> Parts:
    """Divide what there is to copy; to copy it `anew`, all is named: otherwise rsync would believe size and time."""
    others = [entry for entry in names if len(entry.path) <= rsync.LONGEST]
    large = [entry for entry in others if is_big(entry) and not anew]
    small = [entry for entry in others if anew or not is_big(entry)]
    few = anew or is_short(small)
    listed = small if few else []
    return Parts(
        too_long=[entry for entry in names if len(entry.path) > rsync.LONGEST],
        by_rules=[entry for entry in (*listed, *large) if not rsync.can_name(entry.path)],
        listed=[entry for entry in listed if rsync.can_name(entry.path)],
        tree=() if few else small,
        large=[entry for entry in large if rsync.can_name(entry.path)],
    )
