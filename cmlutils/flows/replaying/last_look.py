"""The last look of a run at what it has made, as that may go live late; only then does it count as done."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from cmlutils.errors import ApiError
from cmlutils.flows.replaying.steps import CannotBeInertError
from cmlutils.flows.replaying.take_away import taken_away

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from cmlutils.flows.replaying.target import Target
    from cmlutils.flows.replaying.workload_replay import WorkloadReplay
    from cmlutils.report import Outcome

log = logging.getLogger(__name__)


def last_looks(target: Target, replays: Iterable[WorkloadReplay[Any]], outcomes: Sequence[Outcome]) -> list[Outcome]:
    """Look at what this run has made or touched, and say in the journal that it is done; return what became of each.

    What is live by now is taken away. What can't be looked at is not done, so the next run looks.
    """
    return [_last_look(target, one, outcome) for one, outcome in zip(replays, outcomes, strict=True)]


def _last_look(target: Target, replay: WorkloadReplay[Any], outcome: Outcome) -> Outcome:
    step = replay.step()
    journal, past = target.journal, target.journal.step(step.key)
    if past is None or past.done or past.doomed or not outcome.target_id or past.target_id != outcome.target_id:
        return outcome
    record = {"id": outcome.target_id}
    try:
        replay.look_again(record)
    except CannotBeInertError as error:
        return taken_away(journal, step, record, error, target.clock.sleep)
    except ApiError as error:
        log.warning("%s %s can't be looked at again: %s", step.kind.name, step.name, error)
        return outcome
    journal.done(step.key, left=outcome.needs_hand, note=outcome.note, todo=outcome.todo)
    return outcome
