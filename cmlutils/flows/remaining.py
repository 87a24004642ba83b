"""What a copy still has to do, as a look at both sides has shown it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

from cmlutils.remote import rsync

if TYPE_CHECKING:
    from collections.abc import Sized

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
