"""The idempotent step: leave exactly one on the target, finished and inert."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, TypeVar

from cmlutils import interrupts
from cmlutils.errors import AnswerLost, ApiError, BundleError, Interrupted, NotFound, Rejected, Unreachable
from cmlutils.flows.replaying.steps import LOOKS, CannotBeInertError, Finished
from cmlutils.flows.replaying.take_away import leftover_warning, still_there, take_away, take_away_live, with_leftovers
from cmlutils.report import Outcome, Status, join

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cmlutils.flows.replaying.steps import Record, Step
    from cmlutils.journal import JournalEntry

log = logging.getLogger(__name__)
AnyOutcome = TypeVar("AnyOutcome")
_LAST_LOOKS = (0.0, 1.0, 2.0)  # seconds to wait before each look, at the end of a run that has only seconds left


def ensure(step: Step) -> tuple[Outcome, Record | None]:
    """Leave exactly one on the target, finished and inert; safe to call again after any crash.

    Returns the outcome and the thing's record (None: there is none). If this one thing fails, that is an outcome and
    not an exception. Only the loss of the whole workspace (Unreachable) is raised: nothing else would work either.
    """

    def create_and_finish() -> tuple[Outcome, Record | None]:
        outcome, record = _find_or_create(step)
        if outcome is not None:
            return outcome, record
        assert record is not None  # noqa: S101 - without an outcome there is one to be finished
        return _finish(step, record)

    return _guarded(step, create_and_finish)


def begin(step: Step) -> tuple[Outcome | None, Record | None]:
    """Do the first half of `ensure`: leave one there, not yet finished.

    The outcome is None where `ensure` still has to finish the record.
    """
    return _guarded(step, lambda: _find_or_create(step))


def _guarded(
    step: Step, work: Callable[[], tuple[AnyOutcome, Record | None]]
) -> tuple[AnyOutcome | Outcome, Record | None]:
    """Do this work; when it fails, ask what may already run on the target to stop, and report it."""
    try:
        outcome, record = work()
    except (Interrupted, BundleError):  # BundleError: the journal can't be written, which also ends the run
        with interrupts.held():
            _stop_what_may_run(step, _LAST_LOOKS)
        raise
    except Unreachable as error:
        raise with_leftovers(error, [step]) from error
    except ApiError as error:
        log.warning("%s %s failed: %s", step.kind.name, step.name, error)
        return _failed(step, error), None
    if record is not None:
        step.claimed.add(str(record["id"]))
    return outcome, record


def _failed(step: Step, error: ApiError) -> Outcome:
    """Return the outcome of a failure; what it may have left on the target is asked to stop, and named."""
    todo, left = error.hint or "Run the import again.", leftover_warning(step)
    if not left:
        return step.failed(str(error), todo)
    _stop_what_may_run(step, (0.0,))
    return step.failed(f"{error} {left}", todo, needs_hand=True)


def _stop_what_may_run(step: Step, looks: Sequence[float]) -> None:
    """Ask what we may just have created to stop: this run goes on without it, and the next one finishes it."""
    past = step.past
    if not step.runs_by_itself or past is None or past.done:
        return
    try:
        mine = step.noted(past) if past.target_id else step.look_for_lost(past.before, looks)
        if mine is not None:
            step.request_stop(mine)
    except NotFound:
        log.debug("%s %s is gone", step.kind.name, step.name)
    except (ApiError, Unreachable) as error:
        log.warning("%s %s may be live until the next import: %s", step.kind.name, step.name, error)


def _find_or_create(step: Step) -> tuple[Outcome | None, Record | None]:
    """Find it, or create it where there is none; return the outcome and the record.

    The outcome is None when the record is still to be finished.

    ====================  ===================  =====================================================
    the journal says      on the target        what happens
    ====================  ===================  =====================================================
    doomed                ours                 it is deleted; if it stays, that is the outcome
    nothing, done, made   somebody else's      present, as it is
    done                  ours                 present; `again`, if something was left to a person
    nothing, begun, made  none                 `lacks`, or else it is created, to be finished
    begun, made           ours                 to be finished
    ====================  ===================  =====================================================
    """
    past = step.past
    mine = step.find_ours()
    if past is not None and past.doomed:
        stays = take_away(step, mine, past.doomed) if mine else ""
        if stays:
            return still_there(step, past.doomed, stays), None
        step.journal.gone(step.key)
        past = mine = None
    if mine is None:
        surely_not_ours = past is None or past.done or past.target_id
        there = [one for one in step.find() if surely_not_ours or not step.may_be_ours(one)]
        there = [one for one in there if not step.may_be_anothers(one)]
        theirs = step.unclaimed(there)  # perhaps created again by hand: it stays as it is
        if theirs is not None:
            if past is not None:
                step.journal.gone(step.key)
            return _outcome(step, theirs, _of_another(step, theirs), Status.PRESENT), theirs
    if mine is not None and past is not None and past.done:
        outcome = None if past.left else _outcome(step, mine, Finished(past.note, past.todo), Status.PRESENT)
        return outcome, mine
    if mine is None and (lacks := step.lacks()):
        return lacks, None
    record = mine or _create(step, past)
    step.journal.made(step.key, str(record["id"]), step.place_of(record))
    step.kind.inventory.add(record)
    return None, record


def _finish(step: Step, record: Record) -> tuple[Outcome, Record | None]:
    """Finish it and note that in the journal, unless a last look is still to come; delete what can't be made inert."""
    past = step.past
    again = bool(past and past.done)  # an earlier run finished it, and left something to a person
    try:
        finished = _finish_in_tries(step, record, again=again)
    except CannotBeInertError as error:
        return take_away_live(step, record, error), None
    past = step.past
    if not step.needs_last_look or (past and past.done):
        step.journal.done(step.key, left=finished.needs_hand, note=finished.note, todo=finished.todo)
    made = Status.FALLBACK if finished.fallback else Status.CREATED
    return _outcome(step, record, finished, Status.PRESENT if again else made), record


def _of_another(step: Step, theirs: Record) -> Finished:
    """Report one that the journal does not know: if it runs, a person may want that, or a lost import left it."""
    todo = "stop it, unless somebody wants it to run: this import did not create it" if step.live(theirs) else ""
    return Finished(todo=todo, needs_hand=bool(todo))


def _outcome(step: Step, record: Record, finished: Finished, status: Status) -> Outcome:
    log.info("%s %s: %s", step.kind.name, step.name, status.value)
    note = join(finished.note, step.live(record) if status is Status.PRESENT else "")
    return Outcome(step.kind.name, step.name, status, str(record["id"]), note, finished.todo, finished.needs_hand)


def _create(step: Step, past: JournalEntry | None) -> Record:
    """Create it. After a refusal or a lost answer look whether it is there; after a lost answer try once more."""
    begun = past is not None and not past.target_id  # by an earlier run: what that created may show late
    before = past.before if past and begun else tuple(str(one["id"]) for one in step.kind.inventory.rows())
    step.journal.begin(step.key, list(before))
    try:
        return step.create()
    except Rejected:  # a proxy may say so although it worked, for example because it sent the request twice
        found = step.look_for_lost(before, LOOKS if begun else LOOKS[:1])
        if found is not None:
            return found
        if not begun:
            step.journal.gone(step.key)
            step.refused_beside = before
        raise
    except AnswerLost as error:
        log.warning("%s Looking whether %s %s was created.", error, step.kind.name, step.name)
    found = step.look_for_lost(before)
    if found is not None:
        return found
    try:
        return step.create()
    except (AnswerLost, Rejected):  # refused perhaps because the first one came late
        found = step.look_for_lost(before)
        if found is None:
            raise
        return found


def _finish_in_tries(step: Step, record: Record, *, again: bool) -> Finished:
    """Finish it, trying twice; raise CannotBeInertError when even then it can't be shown to be inert.

    What is not found is tried more often: what was just created may show late, by its id as in a list.
    """
    work, tries, failures = step.again if again else step.finish, 0, 0
    while True:
        try:
            return work(record)
        except ApiError as error:
            tries += 1
            failures += not isinstance(error, NotFound)
            if failures == 2 or tries == len(LOOKS):
                if step.kind.remove is None or again:
                    raise
                hint = error.hint or "Run the import again."
                raise CannotBeInertError(f"It could not be confirmed as inert: {error.message}", hint=hint) from error
            log.warning("%s %s: %s Trying once more.", step.kind.name, step.name, error)
        step.sleep(LOOKS[tries])
