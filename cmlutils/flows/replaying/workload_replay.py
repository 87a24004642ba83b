"""What the replays of models, applications and jobs have in common."""

from __future__ import annotations

import logging
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Generic

from cmlutils.errors import ApiError
from cmlutils.flows.replaying.ensure import ensure
from cmlutils.flows.replaying.journal_keys import AnyWorkload
from cmlutils.flows.replaying.runtime_choice import map_file
from cmlutils.flows.replaying.steps import LOOKS, CannotBeInertError, Finished, Step
from cmlutils.flows.replaying.take_away import take_away_live
from cmlutils.journal import JournalEntry
from cmlutils.report import Status, join
from cmlutils.workloads import KINDS, PRIVATE, differences, identity_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cmlutils.flows.replaying.kinds import Kind
    from cmlutils.flows.replaying.steps import Record
    from cmlutils.flows.replaying.target import Target
    from cmlutils.report import Outcome
    from cmlutils.runtimes import Match
    from cmlutils.workloads import Workload

log = logging.getLogger(__name__)


class WorkloadReplay(Step, Generic[AnyWorkload]):
    """One workload on its way to the target: the step that `ensure` does, and what came of it in this run.

    `match` is the runtime that it gets on the target, `outcome` what came of it (None: not yet known).
    """

    def __init__(self, target: Target, wanted: AnyWorkload, key: str, kind: Kind) -> None:
        super().__init__(kind, wanted.name, key, identity_of(wanted), target.journal, target.clock.sleep)
        self.target, self.wanted = target, wanted
        self.match = target.choice.match(wanted)
        self.outcome: Outcome | None = None

    def lacks(self) -> Outcome | None:
        """Return the failure to report where the target has no runtime for it."""
        lack = self.target.choice.lack(self.wanted)
        return self.failed(lack.note, f"{lack.fix}, and import again") if lack else None

    def unlikeness(self, record: Record) -> int:
        """Return the number of fields that differ, asking by id, as a list may not show them all."""
        try:
            whole = self.kind.look_up(JournalEntry(target_id=str(record["id"]))) or record
            there = KINDS[self.kind.name].from_v1(whole, self.target.choice.runtimes)
        except ApiError:
            return len(fields(self.wanted))
        return len(lost(self.wanted, there, self.match))

    def runtime_body(self, key: str) -> Record:
        """Return the part of a request that names its runtime by this key; empty if it has none."""
        return {key: self.match.runtime.id, "kernel": ""} if self.match else {}

    def compare(
        self, there: Workload, *but: str, note: str, todo: str, missing: Sequence[str] = (), fallback: bool = False
    ) -> Finished:
        """Return how it was finished: with this note and that of its runtime, and with what the target did not take.

        That is `missing`, and what differs from the wanted workload except the fields named in `but`.
        """
        if self.match:
            note, fallback = join(self.match.note, note), fallback or self.match.fallback
        return Finished(note, todo, fallback).lacking([*missing, *lost(self.wanted, there, self.match, *but)])

    def failed(self, note: str, todo: str, *, needs_hand: bool = False) -> Outcome:
        """Return the outcome of a failure, which may be due to a runtime that the target has disabled."""
        if self.match and not self.match.runtime.enabled:
            note = join(note, self.match.note)
            todo = join(f"enable that runtime on the target, or map it in {map_file(self.wanted)}", todo)
        return super().failed(note, todo, needs_hand=needs_hand)

    def ensure(self) -> Outcome:
        """Leave it on the target, finished and inert, or report why that failed; it is done once in a run."""
        self.outcome = self.outcome or ensure(self)[0]
        return self.outcome

    def look_again(self, record: Record) -> None:
        """At the end of a run: raise CannotBeInertError when it is live by now and can't be stopped.

        Raises ApiError when that can't be told, or not yet.
        """

    @property
    def pending(self) -> JournalEntry | None:
        """Its entry in the journal, if it was begun and is neither done nor to be deleted."""
        past = self.past
        return None if past is None or past.done or past.doomed else past

    def last_look(self) -> Outcome:
        """Look again at what this run has created or changed, as it may go live late, and only then call it done.

        What failed and may be there is done again; what is live by now is deleted. What can't be looked at is not
        called done, and the outcome asks for another import before a person starts it: that import stops or deletes
        what it finds live, as it can't tell who has started it.
        """
        late = self._made_although_refused()
        if late is not None:
            self.journal.made(self.key, str(late["id"]), self.place_of(late))
        if self._failed_and_may_be_there():
            self.outcome = None  # to be done again
        outcome, past = self.ensure(), self.pending
        if past is None or not outcome.target_id or past.target_id != outcome.target_id:
            return outcome
        record = {"id": outcome.target_id}
        try:
            self._look_again_in_tries(record)
        except CannotBeInertError as error:
            return take_away_live(self, record, error)
        except ApiError as error:
            unsure = f"the last look could not show that it stays inert: {error.message.removesuffix('.')}"
            log.warning("%s %s: %s", self.kind.name, self.name, unsure)
            note = join(outcome.note, unsure)
            todo = join("import again before you start it", outcome.todo)
            return replace(outcome, note=note, todo=todo, needs_hand=True)
        self.journal.done(self.key, left=outcome.needs_hand, note=outcome.note, todo=outcome.todo)
        return outcome

    def _made_although_refused(self) -> Record | None:
        """Return what the target refused to create, if that shows by now."""
        if self.refused_beside is None:
            return None
        try:
            return self.look_for_lost(self.refused_beside, LOOKS[:1])
        except ApiError as error:
            log.warning("%s %s was refused, and can't be looked for again: %s", self.kind.name, self.name, error)
            return None

    def _failed_and_may_be_there(self) -> bool:
        """Tell whether it was begun and failed in this run."""
        past, failed = self.past, self.ensure().status is Status.FAILED
        return failed and past is not None and not past.done

    def _look_again_in_tries(self, record: Record) -> None:
        """Look again, and once more if that fails."""
        try:
            self.look_again(record)
        except ApiError as error:
            log.warning("%s %s: %s Looking once more.", self.kind.name, self.name, error)
            self.sleep(1.0)
            self.look_again(record)


def lost(wanted: Workload, there: Workload, match: Match | None, *but: str) -> list[str]:
    """Name the fields that the target did not take as wanted, each with the wanted value if that is short.

    Fields named in `but` are passed over.
    """
    found = []
    if match and "runtime" not in but and (there.runtime is None or there.runtime.id != match.runtime.id):
        found.append(f"runtime ({match.runtime})")
    for what, left, _ in differences(wanted, there):
        if what in but or what.partition(" ")[0] in but:
            continue
        if what.startswith("environment ") and left == "absent":
            continue  # the target may add variables of its own
        unsaid = what in PRIVATE or what.startswith("environment ") or len(left) > 60
        found.append(what if unsaid else f"{what} ({left})")
    return found
