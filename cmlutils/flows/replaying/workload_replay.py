"""What the replays of models, applications and jobs have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Generic

from cmlutils.flows.replaying.ensure import ensure
from cmlutils.flows.replaying.journal_keys import AnyWorkload

if TYPE_CHECKING:
    from cmlutils.flows.replaying.steps import Kind, Record, Step
    from cmlutils.flows.replaying.target import Target
    from cmlutils.report import Outcome


class WorkloadReplay(ABC, Generic[AnyWorkload]):
    """One workload on its way to the target; `match` is the runtime that it gets there."""

    def __init__(self, target: Target, wanted: AnyWorkload, key: str, kind: Kind) -> None:
        self.target, self.wanted, self.key, self.kind = target, wanted, key, kind
        self.match = target.choice.match(wanted)

    def ensure(self) -> Outcome:
        """Leave it on the target, finished and inert, or say why not."""
        return ensure(self.target.journal, self.step(), self.target.clock.sleep)[0]

    @abstractmethod
    def step(self) -> Step:
        """Return what there is to do."""

    def look_again(self, record: Record) -> None:
        """At the end of a run: raise CannotBeInertError when it is live by now and can't be stopped."""
