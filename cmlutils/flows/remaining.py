"""What a copy still has to do, as a look at both sides has shown it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

from cmlutils.remote import rsync

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence, Sized

    from cmlutils.entries import Differences, Entry

SHORT = 2000  # up to so many names rsync gets a list; on a pull its cost grows with the square


class Look(NamedTuple):
    """What is still to be copied, and how many bytes of that are there half-copied.

    `new` are those names at the root of which the receiver has nothing.
    """

    wanted: list[Entry]
    held: int
    new: frozenset[bytes]


class LookAgain(Protocol):
    """Says how things are after a round of copying."""

    def __call__(self, *, cut: bool) -> Look:
        """Look; what a round that was cut short has left may be anywhere, others touch only what they were told to."""


def look_of(wanted: list[Entry], held: int, differences: Differences) -> Look:
    """Put a look together from what differs."""
    return Look(wanted, held, frozenset(each.path for each in differences.only_left if b"/" not in each.path))


def is_big(entry: Entry) -> bool:
    """Tell whether a file is worth being resumed in its middle."""
    return entry.kind == "f" and entry.size >= rsync.BIG


def is_short(names: Sized) -> bool:
    """Tell whether these are few enough to be named one by one."""
    return len(names) <= SHORT


class Parts(NamedTuple):
    """What to copy, by how rsync is told of it; what is in `tree`, many small files, it finds itself."""

    too_long: Sequence[Entry]
    by_rules: Sequence[Entry]
    listed: Sequence[Entry]
    tree: Sequence[Entry]
    large: Sequence[Entry]


def divided(names: Sequence[Entry], unequal: Collection[bytes]) -> Parts:
    """Divide what there is to copy; no tree has what is `unequal`, for rsync would believe its size and time."""
    others = [entry for entry in names if entry.path not in unequal and len(entry.path) <= rsync.LONGEST]
    large, small = ([entry for entry in others if is_big(entry) is size] for size in (True, False))
    few = is_short(small)
    listed = [*(small if few else ()), *(entry for entry in names if entry.path in unequal)]
    return Parts(
        too_long=[entry for entry in names if len(entry.path) > rsync.LONGEST],
        by_rules=[entry for entry in (*listed, *large) if not rsync.can_name(entry.path)],
        listed=[entry for entry in listed if rsync.can_name(entry.path)],
        tree=() if few else small,
        large=[entry for entry in large if rsync.can_name(entry.path)],
    )
