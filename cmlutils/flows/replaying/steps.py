"""What `ensure` has to know of one thing that an import leaves on the target."""

from __future__ import annotations

import logging
import time
import unicodedata
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cmlutils.errors import ApiError, CmlutilError, Rejected
from cmlutils.report import Outcome, Status

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from cmlutils.journal import Journal, JournalStep

log = logging.getLogger(__name__)
Record = dict[str, Any]
Identity = tuple[str, ...]
Sleep = Callable[[float], None]  # seconds
LOOKS = (0.0, 1.0, 2.0, 4.0)  # seconds before each look for what may have been made
_GONE = {400, 404, 410, 422}  # what a workspace may answer when it is asked for an id that it does not have


class CannotBeInertError(CmlutilError):
    """What was created is live, or can't be shown to be inert: it has to be taken away again."""


@dataclass(frozen=True)
class Finished:
    """What finishing found: differences worth a note, and what is left to do."""

    note: str = ""
    todo: str = ""
    fallback: bool = False
    needs_hand: bool = False


class Inventory:
    """What a project has of one kind: listed once, added to as we create, listed anew where there is doubt."""

    def __init__(self, read: Callable[[], list[Record]]) -> None:
        self._read = read
        self._rows: list[Record] | None = None
        self._gone: set[str] = set()

    def rows(self, *, anew: bool = False) -> list[Record]:
        """Return all of them, oldest first."""
        if anew or self._rows is None:
            rows = self._read()
            if any(not isinstance(one.get("id"), (int, str)) for one in rows):
                raise ApiError("The target lists something without an id.")
            there = [one for one in rows if str(one["id"]) not in self._gone]
            self._rows = sorted(there, key=lambda one: (len(str(one["id"])), str(one["id"])))
        return list(self._rows)

    def add(self, row: Record) -> None:
        """Know one more."""
        if self._rows is not None and all(str(one["id"]) != str(row["id"]) for one in self._rows):
            self._rows.append(row)

    def forget(self, number: str) -> None:
        """Know that this one is gone, though a listing that lags behind may still show it."""
        self._gone.add(number)
        self._rows = None if self._rows is None else [one for one in self._rows if str(one["id"]) != number]


@dataclass(frozen=True, kw_only=True)
class Kind:
    """How things of one kind are listed, told apart, asked for and deleted on a target.

    `identity_of` is what makes a row of the inventory the one that is meant. `read` asks the target for one of which
    the journal knows the id. `remove` deletes one (None: it is never deleted). `claimed` are the ids that those of one
    identity have got in this run.
    """

    name: str
    inventory: Inventory
    identity_of: Callable[[Record], Identity]
    read: Callable[[JournalStep], Record]
    remove: Callable[[Record], None] | None = None
    claimed: dict[Identity, set[str]] = field(default_factory=lambda: defaultdict(set))

    def asked_for(self, past: JournalStep) -> Record | None:
        """Ask the target for the journal's id itself; None when there is none."""
        try:
            reply = self.read(past)
        except Rejected as error:
            if error.status in _GONE:
                return None
            raise
        return reply if str(reply.get("id")) == past.target_id else None


@dataclass(frozen=True, kw_only=True)
class TargetItem:
    """One thing that may be on the target; the journal says under its key how far it has come.

    `request_stop` asks it to stop and does not wait (None: it does not run by itself). `ours` tells whether one of its
    identity that appeared after we began can be ours. `place_of` is what the kind's `read` needs beside the id.
    """

    kind: Kind
    name: str
    key: str
    identity: Identity
    journal: Journal
    sleep: Sleep = time.sleep
    request_stop: Callable[[Record], object] | None = None
    ours: Callable[[Record], bool] = lambda _: True
    place_of: Callable[[Record], str] = lambda _: ""

    @property
    def past(self) -> JournalStep | None:
        """How far it has come; None when it was never begun."""
        return self.journal.step(self.key)

    def failed(self, note: str, todo: str, *, needs_hand: bool = False) -> Outcome:
        """Return the outcome of one that is not there as it should be."""
        return Outcome(self.kind.name, self.name, Status.FAILED, note=note, todo=todo, needs_hand=needs_hand)

    @property
    def claimed(self) -> set[str]:
        """The ids that it and its equals have got in this run."""
        return self.kind.claimed[self.identity]

    def find(self) -> list[Record]:
        """Return all of this identity that are there, oldest first."""
        return [one for one in self.kind.inventory.rows() if self.kind.identity_of(one) == self.identity]

    def known(self, past: JournalStep) -> Record | None:
        """Return the one that has the journal's id, whatever its name by now; None when it is gone.

        A listing may lag behind, so what it lacks is asked for by its id.
        """
        listed = [one for one in self.kind.inventory.rows() if str(one["id"]) == past.target_id]
        return listed[0] if listed else self.kind.asked_for(past)

    def find_ours(self) -> Record | None:
        """Return what we made: of the id that the journal knows, or what came after we began and lost the answer."""
        past = self.past
        if past is None:
            return None
        return self.known(past) if past.target_id else self.look_for_lost(past.before)

    def look_for_lost(self, before: Sequence[str], looks: Sequence[float] = LOOKS) -> Record | None:
        """Look for what a lost answer may have created, more than once: it may take a moment to show.

        `before` are the ids that were there already, `looks` the seconds before each look. Raises ApiError when the
        last of these failed, so that nobody can tell.
        """
        trouble: ApiError | None = None
        for pause in looks:
            self.sleep(pause)
            try:
                rows, trouble = self._find_alike(), None
            except ApiError as error:
                log.debug("%s %s: %s", self.kind.name, self.name, error)
                trouble = error
                continue
            found = self.unclaimed([one for one in rows if self.ours(one)], before)
            if found is not None:
                return found
        if trouble is not None:
            raise trouble
        return None

    def unclaimed(self, there: Iterable[Record], before: Sequence[str] = ()) -> Record | None:
        """Return the first of these that was not there before, and that no equal has claimed."""
        known = {*before, *self.claimed, *self.journal.ids(self.kind.name, self.key)}
        return next((one for one in there if str(one["id"]) not in known), None)

    def _find_alike(self) -> list[Record]:
        """List anew, and return those that may be of this identity, the surest first: a target may spell it anew."""
        wanted, identity_of = _bare(self.identity), self.kind.identity_of
        alike = [one for one in self.kind.inventory.rows(anew=True) if _bare(identity_of(one)) == wanted]
        return sorted(alike, key=lambda one: identity_of(one) != self.identity)


@dataclass(frozen=True, kw_only=True)
class Step(TargetItem):
    """One thing to leave on the target.

    `create` makes it and returns the reply; `finish` makes it whole and inert and reads it back; `again` does what is
    harmless of that for one that was finished with something left to a person. `lacks` says why it can't be made,
    where it is not there. With `last_look`, it counts as done when it was looked at once more, at the end of the run.
    `live` says of a row of the listing what of it runs.
    """

    create: Callable[[], Record]
    finish: Callable[[Record], Finished]
    again: Callable[[Record], Finished] | None = None
    lacks: Outcome | None = None
    last_look: bool = False
    live: Callable[[Record], str] = lambda _: ""


def _bare(identity: Identity) -> Identity:
    """Return an identity without what a target may spell in its own way: case, marks, kinds of letters."""
    parts = (unicodedata.normalize("NFKC", part).casefold() for part in identity)
    return tuple("".join(letter for letter in part if letter.isalnum()) or part for part in parts)
