"""The step that can be run again: leave exactly one on the target, finished and inert."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from cmlutils import interrupts
from cmlutils.errors import AnswerLost, ApiError, BundleError, Interrupted, NotFound, Rejected, Unreachable
from cmlutils.flows.steps import CannotBeInertError, Finished
from cmlutils.report import Outcome, Status

if TYPE_CHECKING:
    from collections.abc import Callable

    from cmlutils.flows.steps import Record, Step
    from cmlutils.journal import Journal, Past

log = logging.getLogger(__name__)
_LOOKS = (0.0, 1.0, 2.0, 4.0)  # seconds before each look for what a lost answer may have made
_REMOVALS = (0.0, 1.0, 2.0, 4.0)  # seconds before each try to take something away


def ensure(journal: Journal, step: Step, sleep: Callable[[float], None] = time.sleep) -> tuple[Outcome, Record | None]:
    """Leave exactly one on the target, finished and inert; safe to call again after any crash.

    Returns the outcome and the thing's record (None: there is none); a failure of this one is an outcome, not an
    exception. Losing the workspace altogether (Unreachable) goes through: nothing else would work either.
    """
    try:
        outcome, record = _ensure(journal, step, sleep)
    except (Interrupted, BundleError):  # BundleError: the journal can't be written, which ends the run, too
        with interrupts.held():
            _hush(journal, step)
        raise
    except ApiError as error:
        log.warning("%s %s failed: %s", step.kind, step.name, error)
        todo = error.hint or "Run the import again."
        return Outcome(step.kind, step.name, Status.FAILED, note=str(error), todo=todo), None
    if record is not None:
        step.taken.add(str(record["id"]))
    return outcome, record


def _hush(journal: Journal, step: Step) -> None:
    """Quieten what we may just have made, before the run ends; the next run finishes it."""
    past = journal.step(step.key)
    if step.hush is None or past is None or past.done:
        return
    try:
        step.listing.rows(anew=True)
        mine = _made_by_us(journal, step, past)
        if mine is not None:
            step.hush(mine)
    except (ApiError, Unreachable) as error:
        log.warning("%s %s may be live until the next import: %s", step.kind, step.name, error)


def _ensure(journal: Journal, step: Step, sleep: Callable[[float], None]) -> tuple[Outcome, Record | None]:
    past = journal.step(step.key)
    mine = _made_by_us(journal, step, past)
    if past is not None and past.doomed:
        stays = _take_away(journal, step, mine, past.doomed, sleep) if mine else ""
        if stays:
            return _still_there(step, past.doomed, stays), None
        journal.gone(step.key)
        past = mine = None
    if mine is None and (past is None or past.done):
        mine = _made_by_others(journal, step)  # somebody else's, or made again by hand: it stays as it is
        if mine is not None:
            return Outcome(step.kind, step.name, Status.PRESENT, str(mine["id"])), mine
    if mine is not None and past is not None and past.done:
        if not past.left or step.again is None:
            return _outcome(step, mine, Finished(past.note, past.todo), Status.PRESENT), mine
        return _concluded(journal, step, mine, sleep, again=True)
    if mine is None and step.lacks:
        return step.lacks, None
    record = mine or _create(journal, step, sleep)
    journal.made(step.key, str(record["id"]))
    step.listing.add(record)
    return _concluded(journal, step, record, sleep, again=False)


def _concluded(
    journal: Journal, step: Step, record: Record, sleep: Callable[[float], None], *, again: bool
) -> tuple[Outcome, Record | None]:
    """Finish it and say so in the journal; take away what can't be made inert."""
    try:
        finished = _tried(step, record, sleep, again=again)
    except Unreachable as error:
        raise _left_behind(step, error) from error
    except CannotBeInertError as error:
        return taken_away(journal, step, record, error, sleep), None
    journal.done(step.key, left=finished.needs_hand, note=finished.note, todo=finished.todo)
    made = Status.FALLBACK if finished.fallback else Status.CREATED
    return _outcome(step, record, finished, Status.PRESENT if again else made), record


def take_back(journal: Journal, step: Step, why: str, sleep: Callable[[float], None] = time.sleep) -> Outcome | None:
    """Take away what an interrupted run has made, or may have, and nobody wants; None where there is nothing."""
    past = journal.step(step.key)
    try:
        mine = _made_by_us(journal, step, past)
        stays = _take_away(journal, step, mine, why, sleep) if mine else ""
    except ApiError as error:
        return _still_there(step, why, error.message)
    if stays:
        return _still_there(step, why, stays)
    if mine is None:
        journal.gone(step.key)
        return None
    name = str(mine.get("name") or step.name)
    return Outcome(step.kind, name, Status.SKIPPED, str(mine["id"]), f"{why} It was deleted again.")


def taken_away(
    journal: Journal, step: Step, record: Record, error: CannotBeInertError, sleep: Callable[[float], None]
) -> Outcome:
    """Delete again what can't be inert, and say so."""
    stays = _take_away(journal, step, record, error.message, sleep)
    if stays:
        return _still_there(step, error.message, stays)
    log.warning("%s It was deleted again.", error)
    note = f"{error.message} It was deleted again."
    return Outcome(step.kind, step.name, Status.FAILED, note=note, todo=error.hint)


def _outcome(step: Step, record: Record, finished: Finished, status: Status) -> Outcome:
    log.info("%s %s: %s", step.kind, step.name, status.value)
    target_id = str(record["id"])
    return Outcome(step.kind, step.name, status, target_id, finished.note, finished.todo, finished.needs_hand)


def _made_by_us(journal: Journal, step: Step, past: Past | None) -> Record | None:
    """Return what we made: the id that the journal knows, or what came after we began and lost the answer."""
    if past is None:
        return None
    if past.target_id:  # by its id alone: the target may spell its name in another way
        return next((one for one in step.listing.rows() if str(one["id"]) == past.target_id), None)
    return _unclaimed(journal, step, past.before, step.find())


def _unclaimed(journal: Journal, step: Step, before: tuple[str, ...], there: list[Record]) -> Record | None:
    known = {*before, *step.taken, *journal.ids(step.kind, step.key)}
    return next((one for one in there if str(one["id"]) not in known), None)


def _made_by_others(journal: Journal, step: Step) -> Record | None:
    """Return one that is there and that no step of ours has claimed."""
    return _unclaimed(journal, step, (), step.find())


def _create(journal: Journal, step: Step, sleep: Callable[[float], None]) -> Record:
    """Create it; after a lost answer look whether it is there, and try once more if it is not."""
    before = tuple(str(one["id"]) for one in step.find())
    journal.begin(step.key, list(before))
    try:
        return step.create()
    except Rejected:
        journal.gone(step.key)  # refused outright: nothing was made
        raise
    except AnswerLost as error:
        log.warning("%s Looking whether %s %s was created.", error, step.kind, step.name)
    found = _look_for_lost(journal, step, before, sleep)
    if found is not None:
        return found
    try:
        return step.create()
    except (AnswerLost, Rejected):  # refused perhaps because the first one came late
        found = _look_for_lost(journal, step, before, sleep)
        if found is None:
            raise
        return found


def _look_for_lost(
    journal: Journal, step: Step, before: tuple[str, ...], sleep: Callable[[float], None]
) -> Record | None:
    """Look for what a lost answer may have created, more than once: it may take a moment to show."""
    for pause in _LOOKS:
        sleep(pause)
        found = _unclaimed(journal, step, before, step.find(anew=True))
        if found is not None:
            return found
    return None


def _tried(step: Step, record: Record, sleep: Callable[[float], None], *, again: bool) -> Finished:
    """Finish it, with a second try; what then can't be shown to be inert has to go."""
    work = step.again if again and step.again else step.finish
    try:
        return work(record)
    except ApiError as error:
        log.warning("%s %s: %s Trying once more.", step.kind, step.name, error)
    sleep(1.0)
    try:
        return work(record)
    except ApiError as error:
        if step.remove is None or again:
            raise
        hint = error.hint or "Run the import again."
        raise CannotBeInertError(f"It can't be shown to be inert: {error.message}", hint=hint) from error


def _take_away(journal: Journal, step: Step, record: Record, why: str, sleep: Callable[[float], None]) -> str:
    """Remove it and look that it is gone; return why it is still there (empty: it is gone)."""
    assert step.remove is not None  # noqa: S101
    journal.doom(step.key, why)
    stays = "it is still listed"
    for pause in _REMOVALS:
        sleep(pause)
        try:
            step.remove(record)
        except Unreachable as error:
            raise _left_behind(step, error) from error
        except NotFound:
            log.debug("%s %s is gone already", step.kind, step.name)
        except ApiError as error:
            stays = error.message
        try:
            if all(str(one["id"]) != str(record["id"]) for one in step.listing.rows(anew=True)):
                journal.gone(step.key)
                return ""
        except Unreachable as error:
            raise _left_behind(step, error) from error
        except ApiError as error:
            stays = error.message
    return stays


def _left_behind(step: Step, error: Unreachable) -> Unreachable:
    """Return the error with what is left on a workspace that went away."""
    if step.remove is None:
        return error
    text = f"{error.message} {step.kind} {step.name} IS STILL ON THE TARGET AND MAY BE LIVE."
    return Unreachable(text, hint="Import again as soon as it is back, to finish it or take it away.")


def _still_there(step: Step, why: str, stays: str) -> Outcome:
    log.error("%s %s IS STILL ON THE TARGET AND MAY BE LIVE: %s", step.kind, step.name, stays)
    return Outcome(
        step.kind,
        step.name,
        Status.FAILED,
        note=f"{why} IT IS STILL ON THE TARGET AND MAY BE LIVE: it could not be deleted again ({stays}).",
        todo="Stop or delete it on the target at once, then run the import again.",
        needs_hand=True,
    )
