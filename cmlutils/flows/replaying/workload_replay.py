"""What the replays of models, applications and jobs have in common."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Generic

from cmlutils.errors import ApiError
from cmlutils.flows.replaying.ensure import ensure
from cmlutils.flows.replaying.journal_keys import AnyWorkload
from cmlutils.flows.replaying.steps import CannotBeInertError
from cmlutils.flows.replaying.take_away import taken_away

if TYPE_CHECKING:
    from cmlutils.flows.replaying.steps import Kind, Record, Step
    from cmlutils.flows.replaying.target import Target
    from cmlutils.report import Outcome

log = logging.getLogger(__name__)


class WorkloadReplay(ABC, Generic[AnyWorkload]):
    """One workload on its way to the target: `match` is the runtime that it gets there, `outcome` what came of it."""

    def __init__(self, target: Target, wanted: AnyWorkload, key: str, kind: Kind) -> None:
        self.target, self.wanted, self.key, self.kind = target, wanted, key, kind
        self.match = target.choice.match(wanted)
        self.outcome: Outcome | None = None

    @abstractmethod
    def step(self) -> Step:
        """Return what there is to do."""

    def ensure(self) -> Outcome:
        """Leave it on the target, finished and inert, or say why not; once in a run."""
        self.outcome = self.outcome or ensure(self.step())[0]
        return self.outcome

    def look_again(self, record: Record) -> None:
        """At the end of a run: raise CannotBeInertError when it is live by now and can't be stopped."""

    def last_look(self) -> Outcome:
        """Look again at what this run has made or touched, as it may go live late, and only then call it done.

        What is live by now is taken away. What can't be looked at is not done, so the next run looks.
        """
        outcome, journal, past = self.ensure(), self.target.journal, self.target.journal.step(self.key)
        if past is None or past.done or past.doomed or not outcome.target_id or past.target_id != outcome.target_id:
            return outcome
        record = {"id": outcome.target_id}
        try:
            self.look_again(record)
        except CannotBeInertError as error:
            return taken_away(self.step(), record, error)
        except ApiError as error:
            log.warning("%s %s can't be looked at again: %s", self.kind.name, self.wanted.name, error)
            return outcome
        journal.done(self.key, left=outcome.needs_hand, note=outcome.note, todo=outcome.todo)
        return outcome
