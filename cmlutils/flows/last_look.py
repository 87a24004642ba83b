"""The last look of a run at what it has made and what may come to life late; only then it counts as done."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from cmlutils.errors import ApiError
from cmlutils.flows.steps import CannotBeInertError
from cmlutils.flows.take_away import taken_away

if TYPE_CHECKING:
    from collections.abc import Callable

    from cmlutils.flows.replay import Target
    from cmlutils.flows.steps import Record, Step
    from cmlutils.report import Outcome

log = logging.getLogger(__name__)


def last_look(target: Target, step: Step, look: Callable[[Record], object], outcome: Outcome) -> Outcome:
    """Look at one that this run has made or touched, and say in the journal that it is done; return its outcome.

    `look` raises CannotBeInertError for one that is live by now: it is taken away. One that can't be looked at is not
    done, so the next run looks.
    """
    journal, past = target.journal, target.journal.step(step.key)
    if past is None or past.done or past.doomed or not outcome.target_id or past.target_id != outcome.target_id:
        return outcome
    record = {"id": outcome.target_id}
    try:
        look(record)
    except CannotBeInertError as error:
        return taken_away(journal, step, record, error, target.clock.sleep)
    except ApiError as error:
        log.warning("%s %s can't be looked at again: %s", step.kind, step.name, error)
        return outcome
    journal.done(step.key, left=outcome.needs_hand, note=outcome.note, todo=outcome.todo)
    return outcome
