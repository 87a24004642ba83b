"""The idempotent step: leave exactly one on the target, finished and inert."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, TypeVar

from cmlutils import interrupts
from cmlutils.errors import AnswerLost, ApiError, BundleError, Interrupted, NotFound, Rejected, Unreachable
from cmlutils.flows.replaying.steps import CannotBeInertError, Finished
from cmlutils.flows.replaying.take_away import leftover_warning, still_there, take_away, taken_away, with_leftovers
from cmlutils.report import Outcome, Status, join

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cmlutils.flows.replaying.steps import Record, Sleep, Step, TargetItem
    from cmlutils.journal import Journal, JournalStep

log = logging.getLogger(__name__)
AnyOutcome = TypeVar("AnyOutcome")
_LOOKS = (0.0, 1.0, 2.0, 4.0)  # seconds before each look for what may have been made
_LAST_LOOKS = (0.0, 1.0, 2.0)  # the same, where a run that ends has seconds in all


def ensure(journal: Journal, step: Step, sleep: Sleep = time.sleep) -> tuple[Outcome, Record | None]:
    """Leave exactly one on the target, finished and inert; idempotent, so it is called again after any crash.

    Returns the outcome and the thing's record (None: there is none); a failure of this one is an outcome, not an
    exception. Losing the workspace altogether (Unreachable) goes through: nothing else would work either.
    """

    def whole() -> tuple[Outcome, Record | None]:
        created = _created(journal, step, sleep)
        return created if isinstance(created, tuple) else _concluded(journal, step, created, sleep)

    return _guarded(journal, step, sleep, whole)


def begin(journal: Journal, step: Step, sleep: Sleep) -> tuple[Outcome | None, Record | None]:
    """Do the first half of `ensure`: leave one there, not finished; the outcome is None where a second half is left."""

    def half() -> tuple[Outcome | None, Record | None]:
        created = _created(journal, step, sleep)
        return created if isinstance(created, tuple) else (None, created)

    return _guarded(journal, step, sleep, half)


def _guarded(
    journal: Journal, step: Step, sleep: Sleep, work: Callable[[], tuple[AnyOutcome, Record | None]]
) -> tuple[AnyOutcome | Outcome, Record | None]:
    """Do this work; what goes wrong is stopped, where it may run, and told."""
    try:
        outcome, record = work()
    except (Interrupted, BundleError):  # BundleError: the journal can't be written, which ends the run, too
        with interrupts.held():
            _request_stop(journal, step, _LAST_LOOKS, sleep)
        raise
    except Unreachable as error:
        raise with_leftovers(error, journal, [step]) from error
    except ApiError as error:
        log.warning("%s %s failed: %s", step.kind.name, step.name, error)
        return _failed(journal, step, error, sleep), None
    if record is not None:
        step.claimed.add(str(record["id"]))
    return outcome, record


def _failed(journal: Journal, step: Step, error: ApiError, sleep: Sleep) -> Outcome:
    """Return the outcome of one that failed; what it may have left on the target is asked to stop, and named."""
    todo, past = error.hint or "Run the import again.", journal.step(step.key)
    left = leftover_warning(step, past)
    if not left:
        return Outcome(step.kind.name, step.name, Status.FAILED, note=str(error), todo=todo)
    _request_stop(journal, step, (0.0,), sleep)
    return Outcome(step.kind.name, step.name, Status.FAILED, note=f"{error} {left}", todo=todo, needs_hand=True)


def _request_stop(journal: Journal, step: Step, looks: Sequence[float], sleep: Sleep) -> None:
    """Ask what we may just have made to stop, as this run goes on without it; the next one finishes it."""
    past = journal.step(step.key)
    if step.request_stop is None or past is None or past.done:
        return
    try:
        mine = step.known(past) if past.target_id else _look_for_lost(journal, step, past.before, sleep, looks)
        if mine is not None:
            step.request_stop(mine)
    except NotFound:
        log.debug("%s %s is gone", step.kind.name, step.name)
    except (ApiError, Unreachable) as error:
        log.warning("%s %s may be live until the next import: %s", step.kind.name, step.name, error)


def _created(journal: Journal, step: Step, sleep: Sleep) -> Record | tuple[Outcome, Record | None]:
    """Return the one to be finished, created where none was there; or the outcome, when there is nothing to finish.

    ====================  ===================  =====================================================
    the journal says      on the target        what happens
    ====================  ===================  =====================================================
    doomed                ours                 it is taken away; if it stays, that is said
    nothing, done, made   somebody else's      present, as it is
    done                  ours                 present; `again`, if something was left to a person
    nothing, begun, made  none                 `lacks`, or else it is created, to be finished
    begun, made           ours                 it is to be finished
    ====================  ===================  =====================================================
    """
    past = journal.step(step.key)
    mine = find_ours(journal, step, sleep)
    if past is not None and past.doomed:
        stays = take_away(journal, step, mine, past.doomed, sleep) if mine else ""
        if stays:
            return still_there(step, past.doomed, stays), None
        journal.gone(step.key)
        past = mine = None
    if mine is None:
        surely_not_ours = past is None or past.done or past.target_id
        there = step.find() if surely_not_ours else [one for one in step.find() if not step.ours(one)]
        theirs = _unclaimed(journal, step, (), there)  # or made again by hand: it stays as it is
        if theirs is not None:
            if past is not None:
                journal.gone(step.key)
            return _outcome(step, theirs, _of_another(step, theirs), Status.PRESENT), theirs
    if mine is not None and past is not None and past.done:
        if not past.left or step.again is None:
            return _outcome(step, mine, Finished(past.note, past.todo), Status.PRESENT), mine
        return mine
    if mine is None and step.lacks:
        return step.lacks, None
    record = mine or _create(journal, step, past, sleep)
    journal.made(step.key, str(record["id"]), step.place_of(record))
    step.kind.inventory.add(record)
    return record


def _concluded(journal: Journal, step: Step, record: Record, sleep: Sleep) -> tuple[Outcome, Record | None]:
    """Finish it and say so in the journal, unless a last look comes; take away what can't be made inert."""
    past = journal.step(step.key)
    again = bool(past and past.done)  # an earlier run has finished it, and left something
    try:
        finished = _tried(step, record, sleep, again=again)
    except CannotBeInertError as error:
        return taken_away(journal, step, record, error, sleep), None
    past = journal.step(step.key)
    if not step.last_look or (past and past.done):
        journal.done(step.key, left=finished.needs_hand, note=finished.note, todo=finished.todo)
    made = Status.FALLBACK if finished.fallback else Status.CREATED
    return _outcome(step, record, finished, Status.PRESENT if again else made), record


def _of_another(step: Step, theirs: Record) -> Finished:
    """Say that one runs of which no journal tells who made it: a person, or an import whose journal was lost."""
    todo = "stop it, unless somebody wants it to run: this import did not make it" if step.live(theirs) else ""
    return Finished(todo=todo, needs_hand=bool(todo))


def _outcome(step: Step, record: Record, finished: Finished, status: Status) -> Outcome:
    log.info("%s %s: %s", step.kind.name, step.name, status.value)
    note = join(finished.note, step.live(record) if status is Status.PRESENT else "")
    return Outcome(step.kind.name, step.name, status, str(record["id"]), note, finished.todo, finished.needs_hand)


def find_ours(journal: Journal, item: TargetItem, sleep: Sleep) -> Record | None:
    """Return what we made: of the id that the journal knows, or what came after we began and lost the answer."""
    past = journal.step(item.key)
    if past is None:
        return None
    if past.target_id:
        return item.known(past)
    return _look_for_lost(journal, item, past.before, sleep)


def _unclaimed(journal: Journal, item: TargetItem, before: Sequence[str], there: Sequence[Record]) -> Record | None:
    """Return the first of these that was not there before, and that no equal has claimed."""
    known = {*before, *item.claimed, *journal.ids(item.kind.name, item.key)}
    return next((one for one in there if str(one["id"]) not in known), None)


def _create(journal: Journal, step: Step, past: JournalStep | None, sleep: Sleep) -> Record:
    """Create it; after a lost answer or a refusal look whether it is there, and after a lost one try once more."""
    begun = past is not None and not past.target_id  # by an earlier run: what that made may show late
    before = past.before if past and begun else tuple(str(one["id"]) for one in step.kind.inventory.rows())
    journal.begin(step.key, list(before))
    try:
        return step.create()
    except Rejected:  # a proxy may say so of what is done: because it asked twice, for one
        found = _look_for_lost(journal, step, before, sleep, _LOOKS if begun else _LOOKS[:1])
        if found is not None:
            return found
        if not begun:
            journal.gone(step.key)
        raise
    except AnswerLost as error:
        log.warning("%s Looking whether %s %s was created.", error, step.kind.name, step.name)
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
    journal: Journal, item: TargetItem, before: Sequence[str], sleep: Sleep, looks: Sequence[float] = _LOOKS
) -> Record | None:
    """Look for what a lost answer may have created, more than once: it may take a moment to show.

    Raises ApiError when the last of these looks failed, so that nobody can tell.
    """
    trouble: ApiError | None = None
    for pause in looks:
        sleep(pause)
        try:
            rows, trouble = item.find_alike(), None
        except ApiError as error:
            log.debug("%s %s: %s", item.kind.name, item.name, error)
            trouble = error
            continue
        found = _unclaimed(journal, item, before, [one for one in rows if item.ours(one)])
        if found is not None:
            return found
    if trouble is not None:
        raise trouble
    return None


def _tried(step: Step, record: Record, sleep: Sleep, *, again: bool) -> Finished:
    """Finish it, with a second try; raise CannotBeInertError for what then can't be shown to be inert."""
    work = step.again if again and step.again else step.finish
    try:
        return work(record)
    except ApiError as error:
        log.warning("%s %s: %s Trying once more.", step.kind.name, step.name, error)
    sleep(1.0)
    try:
        return work(record)
    except ApiError as error:
        if step.kind.remove is None or again:
            raise
        hint = error.hint or "Run the import again."
        raise CannotBeInertError(f"It can't be shown to be inert: {error.message}", hint=hint) from error
