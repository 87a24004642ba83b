"""The step that can be run again: leave exactly one on the target, finished and inert."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cmlutils.errors import AnswerLost, ApiError, CmlutilError, Unreachable
from cmlutils.report import Outcome, Status

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cmlutils.journal import Journal
    from cmlutils.journal import Step as Past
    from cmlutils.project import ProjectRef
    from cmlutils.remote.v1 import ApiV1
    from cmlutils.remote.v2 import ApiV2
    from cmlutils.runtimes import Maps, Match, Runtime

log = logging.getLogger(__name__)
Record = dict[str, Any]


@dataclass(frozen=True)
class Clock:
    """Time as replay needs it; tests give their own."""

    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep


@dataclass(frozen=True)
class Target:
    """All that a replay step needs of the target."""

    v1: ApiV1
    v2: ApiV2
    project: ProjectRef
    journal: Journal
    runtimes: Sequence[Runtime]
    maps: Maps
    engines: bool = False  # the project stays on legacy engines
    clock: Clock = field(default_factory=Clock)

    def match(self, wanted: Runtime | None, kernel: str) -> Match | None:
        """Return the runtime for a workload; None when the target has none of its kernel."""
        return self.maps.find(wanted, kernel, self.runtimes)


class CannotBeInertError(CmlutilError):
    """What was created can't be made inert; it was taken away again."""


@dataclass(frozen=True)
class Finished:
    """What finishing found: differences worth a note, and what is left to do."""

    note: str = ""
    todo: str = ""
    fallback: bool = False
    needs_hand: bool = False


@dataclass(frozen=True)
class Step:
    """One thing to leave on the target.

    `find` lists all of this identity that are there, oldest first; `nth` says which of equals this one is.
    `create` makes it and returns the reply; `finish` makes it whole and inert, and reads it back.
    """

    kind: str
    name: str
    key: str
    find: Callable[[], list[Record]]
    create: Callable[[], Record]
    finish: Callable[[Record], Finished]
    nth: int = 0


def ensure(journal: Journal, step: Step, sleep: Callable[[float], None] = time.sleep) -> tuple[Outcome, Record | None]:
    """Leave exactly one on the target, finished and inert; safe to call again after any crash.

    Returns the outcome and the thing's record; a failure of this one is an outcome, not an exception. Losing
    the workspace altogether (Unreachable) goes through: nothing else would work either.
    """
    try:
        return _ensure(journal, step, sleep)
    except Unreachable:
        raise
    except CannotBeInertError as error:
        journal.gone(step.key)
        return _failed(step, error), None
    except ApiError as error:
        return _failed(step, error), None


def _failed(step: Step, error: CmlutilError) -> Outcome:
    log.warning("%s %s failed: %s", step.kind, step.name, error)
    todo = error.hint or "Run the import again."
    return Outcome(step.kind, step.name, Status.FAILED, note=str(error), todo=todo)


def _ensure(journal: Journal, step: Step, sleep: Callable[[float], None]) -> tuple[Outcome, Record | None]:
    past = journal.step(step.key)
    there = step.find()
    mine = _mine(past, there)
    if mine is None and (past is None or past.done) and len(there) > step.nth:
        mine = there[step.nth]  # somebody else's, or made again by hand: it stays as it is
        return Outcome(step.kind, step.name, Status.PRESENT, str(mine["id"])), mine
    if mine is not None and past is not None and past.done:
        return Outcome(step.kind, step.name, Status.PRESENT, str(mine["id"])), mine
    record = mine or _create(journal, step, there, sleep)
    journal.made(step.key, str(record["id"]))
    finished = step.finish(record)
    journal.done(step.key)
    status = Status.FALLBACK if finished.fallback else Status.CREATED
    log.info("%s %s: %s", step.kind, step.name, status.value)
    outcome = Outcome(
        step.kind, step.name, status, str(record["id"]), finished.note, finished.todo, finished.needs_hand
    )
    return outcome, record


def _mine(past: Past | None, there: list[Record]) -> Record | None:
    """Return what we made: the id that the journal knows, or what came after we began and lost the answer."""
    if past is None:
        return None
    if past.target_id:
        return next((one for one in there if str(one["id"]) == past.target_id), None)
    return next((one for one in there if str(one["id"]) not in past.before), None)


def _create(journal: Journal, step: Step, there: list[Record], sleep: Callable[[float], None]) -> Record:
    """Create it; after a lost answer look whether it is there, and try once more if it is not."""
    before = [str(one["id"]) for one in there]
    journal.begin(step.key, before)
    try:
        return step.create()
    except AnswerLost as error:
        log.warning("%s; looking whether %s %s was created", error, step.kind, step.name)
        found = _look(step, before, sleep)
    if found is not None:
        return found
    try:
        return step.create()
    except AnswerLost:
        found = _look(step, before, sleep)
        if found is None:
            raise
        return found


def _look(step: Step, before: list[str], sleep: Callable[[float], None]) -> Record | None:
    """Look for what a lost answer may have created, more than once: it may take a moment to show."""
    for pause in (0.0, 1.0, 2.0):
        sleep(pause)
        for one in step.find():
            if str(one["id"]) not in before:
                return one
    return None
