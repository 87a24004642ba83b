"""What `ensure` has to know of one thing that an import leaves on the target."""

from __future__ import annotations

import logging
import unicodedata
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cmlutils.errors import ApiError, CmlutilError
from cmlutils.flows.replaying.journal_keys import without_number
from cmlutils.report import Outcome, Status, join

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from cmlutils.flows.replaying.kinds import Kind
    from cmlutils.journal import Journal, JournalEntry
    from cmlutils.workloads import Identity

log = logging.getLogger(__name__)
Record = dict[str, Any]
Sleep = Callable[[float], None]  # seconds
LOOKS = (0.0, 1.0, 2.0, 4.0)  # seconds to wait before each look for what may have been created


class CannotBeInertError(CmlutilError):
    """What we created is live, or can't be shown to be inert, so it has to be deleted again."""


@dataclass(frozen=True)
class Finished:
    """How finishing went: differences worth a note, and what is left for a person to do."""

    note: str = ""
    todo: str = ""
    fallback: bool = False
    needs_hand: bool = False

    def lacking(self, fields: Sequence[str]) -> Finished:
        """Return it with a note and a to-do for these fields, which the target did not take."""
        if not fields:
            return self
        names = ", ".join(fields)
        note, todo = join(self.note, f"the target did not take {names}"), join(f"set by hand: {names}", self.todo)
        return Finished(note, todo, fallback=True, needs_hand=True)


class TargetItem:
    """One thing that may be on the target. The journal says under `key` how far an import has come with it.

    `identity` is what `kind.identity_of` returns for its row in the target's listing. What `runs_by_itself` may be
    started by the target without being asked to; then `request_stop` asks for a stop.
    """

    runs_by_itself = False

    def __init__(self, kind: Kind, name: str, key: str, identity: Identity, journal: Journal, sleep: Sleep) -> None:
        self.kind, self.name, self.key, self.identity = kind, name, key, identity
        self.journal, self.sleep = journal, sleep

    def request_stop(self, record: Record) -> None:
        """Ask the target to stop it, and do not wait until it has stopped."""

    def may_be_ours(self, record: Record) -> bool:  # noqa: ARG002 - for those who override it
        """Tell whether a thing of this identity that appeared after we began can be the one we created."""
        return True

    def unlikeness(self, record: Record) -> int:  # noqa: ARG002 - for those who override it
        """Return in how much a thing of this identity differs: of several, the most alike is taken for this one."""
        return 0

    def place_of(self, record: Record) -> str:  # noqa: ARG002 - for those who override it
        """Return what `kind.read` needs to find it again, besides its id."""
        return ""

    @property
    def past(self) -> JournalEntry | None:
        """How far it has come; None when it was never begun."""
        return self.journal.entry(self.key)

    def failed(self, note: str, todo: str, *, needs_hand: bool = False) -> Outcome:
        """Return the outcome for a thing that is not there, or not as it should be."""
        return Outcome(self.kind.name, self.name, Status.FAILED, note=note, todo=todo, needs_hand=needs_hand)

    @property
    def claimed(self) -> set[str]:
        """The ids that this run has assigned to it and to others of the same identity."""
        return self.kind.claimed[self.identity]

    def find(self) -> list[Record]:
        """Return everything on the target that has this identity, oldest first."""
        return [one for one in self.kind.inventory.rows() if self.kind.identity_of(one) == self.identity]

    def noted(self, past: JournalEntry) -> Record | None:
        """Return the one whose id is in the journal, whatever it is called by now; None when it is gone.

        A listing may lag behind, so one that is not listed is asked for by its id.
        """
        listed = [one for one in self.kind.inventory.rows() if str(one["id"]) == past.target_id]
        return listed[0] if listed else self.kind.look_up(past)

    def find_ours(self) -> Record | None:
        """Return the one we created: by its id, or, if the answer got lost, what appeared after we began.

        One that is not finished may show late, as a run that was killed may have created it a moment ago. One that is
        finished may show late while the workspace is starting: only the first of these that seems to be missing is
        waited for, and after that a missing one is taken for gone.
        """
        past = self.past
        if past is None:
            return None
        if not past.target_id:
            return self.look_for_lost(past.before)
        inventory = self.kind.inventory
        for pause in LOOKS[:1] if past.done and inventory.waited else LOOKS:
            self.sleep(pause)
            if mine := self.noted(past):
                return mine
        inventory.waited = True
        return None

    def look_for_lost(self, before: Sequence[str], looks: Sequence[float] = LOOKS) -> Record | None:
        """Look for what we may have created although the answer got lost; repeatedly, as it may take a moment to show.

        `before` are the ids that existed beforehand, `looks` the seconds to wait before each look. If another
        of this identity lost its answer, too, that one may show first, so only the last look counts. Raises ApiError
        when the last look failed, so that nobody can tell.
        """
        trouble, found = None, None
        at_once = not self._lost_others()
        for pause in looks:
            self.sleep(pause)
            try:
                rows, trouble = self._find_alike(), None
            except ApiError as error:
                log.debug("%s %s: %s", self.kind.name, self.name, error)
                trouble = error
                continue
            found = self.unclaimed([one for one in rows if self.may_be_ours(one)], before)
            if found is not None and at_once:
                return found
        if trouble is not None:
            raise trouble
        return found

    def _lost_others(self) -> list[JournalEntry]:
        """Return how far others of this identity have come that were begun, and whose answer got lost, too."""
        name = without_number(self.key)
        others = [key for key in self.journal.unfinished() if key != self.key and without_number(key) == name]
        return [entry for entry in map(self.journal.entry, others) if entry and not entry.target_id]

    def may_be_anothers(self, record: Record) -> bool:
        """Tell whether it may be that of another item of this identity, which began before it and lost its answer."""
        return any(str(record["id"]) not in one.before for one in self._lost_others())

    def unclaimed(self, there: Iterable[Record], before: Sequence[str] = ()) -> Record | None:
        """Return the most alike of these that were not there before and belong to no other thing of this identity.

        An exact identity comes before one that is spelled otherwise; of what is equally alike, the oldest.
        """
        known = {*before, *self.claimed, *self.journal.ids(self.kind.name, self.key)}
        free = [one for one in there if str(one["id"]) not in known]
        if len(free) < 2:
            return free[0] if free else None
        return min(free, key=lambda one: (self.kind.identity_of(one) != self.identity, self.unlikeness(one)))

    def _find_alike(self) -> list[Record]:
        """List again, and return what may have this identity: a target may change the spelling."""
        wanted, identity_of = _bare(self.identity), self.kind.identity_of
        return [one for one in self.kind.inventory.rows(anew=True) if _bare(identity_of(one)) == wanted]


class Step(TargetItem, ABC):
    """One thing that an import has to leave on the target: what `ensure` needs to create and to finish it.

    What `needs_last_look` may go live late, so it only counts as done after another look at the end of the run.
    `refused_beside` are the ids that were there when the target refused to create it (None: it did not refuse).
    """

    needs_last_look = False
    refused_beside: Sequence[str] | None = None

    @abstractmethod
    def create(self) -> Record:
        """Create it, and return the target's reply."""

    @abstractmethod
    def finish(self, record: Record) -> Finished:
        """Complete it, make it inert and read it back; raise CannotBeInertError when it can't be made inert."""

    @abstractmethod
    def again(self, record: Record) -> Finished:
        """Repeat what is harmless of `finish`, for one that an earlier run finished but for some manual work."""

    def lacks(self) -> Outcome | None:
        """Return the outcome to report if it is not there and can't be created; None when it can."""
        return None

    def live(self, row: Record) -> str:  # noqa: ARG002 - for those who override it
        """Say what of it runs, judging by its row in the target's listing; empty when nothing does."""
        return ""


def _bare(identity: Identity) -> Identity:
    """Return an identity without what a target may spell differently: case, punctuation, forms of letters."""
    parts = (unicodedata.normalize("NFKC", part).casefold() for part in identity)
    return tuple("".join(letter for letter in part if letter.isalnum()) or part for part in parts)
