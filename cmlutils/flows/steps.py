"""What there is to say of one thing that an import leaves on the target: a step for `ensure`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cmlutils.errors import ApiError, CmlutilError

if TYPE_CHECKING:
    from collections.abc import Callable

    from cmlutils.report import Outcome

Record = dict[str, Any]


class CannotBeInertError(CmlutilError):
    """What was created is live, or can't be shown to be inert: it has to be taken away again."""


@dataclass(frozen=True)
class Finished:
    """What finishing found: differences worth a note, and what is left to do."""

    note: str = ""
    todo: str = ""
    fallback: bool = False
    needs_hand: bool = False


class Listing:
    """What a project has of one kind: listed once, added to as we create, listed anew where there is doubt."""

    def __init__(self, read: Callable[[], list[Record]]) -> None:
        self._read = read
        self._rows: list[Record] | None = None

    def rows(self, *, anew: bool = False) -> list[Record]:
        """Return all of them, oldest first."""
        if anew or self._rows is None:
            rows = self._read()
            if any(not isinstance(one.get("id"), (int, str)) for one in rows):
                raise ApiError("The target lists something without an id.")
            self._rows = sorted(rows, key=lambda one: (len(str(one["id"])), str(one["id"])))
        return list(self._rows)

    def add(self, row: Record) -> None:
        """Know one more."""
        if self._rows is not None and all(str(one["id"]) != str(row["id"]) for one in self._rows):
            self._rows.append(row)


@dataclass(frozen=True)
class Step:
    """One thing to leave on the target.

    `same` tells whether a row of the listing has its identity. `create` makes it and returns the reply; `finish`
    makes it whole and inert and reads it back; `again` does what is harmless of that for one that was finished with
    something left to a person. `remove` takes it away (None: it is never taken away), `hush` asks it to stop and does
    not wait (None: it does not run by itself). `taken` are the ids that its equals have got in this run. `lacks` says
    why it can't be made, where it is not there.
    """

    kind: str
    name: str
    key: str
    listing: Listing
    same: Callable[[Record], bool]
    create: Callable[[], Record]
    finish: Callable[[Record], Finished]
    again: Callable[[Record], Finished] | None = None
    remove: Callable[[Record], None] | None = None
    hush: Callable[[Record], None] | None = None
    taken: set[str] = field(default_factory=set)
    lacks: Outcome | None = None

    def find(self, *, anew: bool = False) -> list[Record]:
        """Return all of this identity that are there, oldest first."""
        return [one for one in self.listing.rows(anew=anew) if self.same(one)]
