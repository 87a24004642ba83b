"""Stop and delete what must not stay on the target, and make sure that it is gone."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from cmlutils.errors import ApiError, NotFound, Unreachable
from cmlutils.report import Outcome, Status

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cmlutils.flows.replaying.steps import CannotBeInertError, Record, Sleep, TargetItem
    from cmlutils.journal import Journal, JournalStep

log = logging.getLogger(__name__)
_REMOVALS = (0.0, 1.0, 2.0, 4.0)  # seconds before each try to take something away
_LOUD = "IS STILL ON THE TARGET AND MAY BE LIVE"


def take_away(journal: Journal, item: TargetItem, record: Record, why: str, sleep: Sleep) -> str:
    """Stop it, delete it, and check that it is gone; return why it may still be there (empty: it is gone)."""
    assert item.kind.remove is not None  # noqa: S101
    journal.made(item.key, str(record["id"]), item.place_of(record))
    journal.doom(item.key, why)
    _request_stop(item, record)
    past = journal.step(item.key)
    assert past is not None  # noqa: S101
    stays = ""
    for pause in _REMOVALS:
        sleep(pause)
        stays = _deleted(item, record, past)
        if not stays:
            item.kind.inventory.forget(past.target_id)
            journal.gone(item.key)
            break
    return stays


def _deleted(item: TargetItem, record: Record, past: JournalStep) -> str:
    """Delete it; return why it may still be there, unless the target says that it has none of this id.

    It is asked for by its id, as a listing may lag behind, and also when the deletion failed.
    """
    assert item.kind.remove is not None  # noqa: S101
    why = ""
    try:
        item.kind.remove(record)
    except NotFound:
        log.debug("%s %s is gone already", item.kind.name, item.name)
    except ApiError as error:
        why = error.message
    try:
        return "" if item.kind.asked_for(past) is None else why or "it is still there"
    except ApiError as error:
        return why or error.message


def _request_stop(item: TargetItem, record: Record) -> None:
    """Ask it to stop, if it is one that runs by itself."""
    if item.request_stop is None:
        return
    try:
        item.request_stop(record)
    except NotFound:
        log.debug("%s %s is gone already", item.kind.name, item.name)
    except ApiError as error:
        log.warning("%s %s can't be stopped: %s", item.kind.name, item.name, error)


def taken_away(journal: Journal, item: TargetItem, record: Record, error: CannotBeInertError, sleep: Sleep) -> Outcome:
    """Delete again what can't be inert, and say so."""
    stays = take_away(journal, item, record, error.message, sleep)
    if stays:
        return still_there(item, error.message, stays)
    log.warning("%s It was deleted again.", error)
    note = f"{error.message} It was deleted again."
    return Outcome(item.kind.name, item.name, Status.FAILED, note=note, todo=error.hint)


def still_there(item: TargetItem, why: str, stays: str) -> Outcome:
    """Say loudly what could not be taken away."""
    log.error("%s %s %s: %s", item.kind.name, item.name, _LOUD, stays)
    return Outcome(
        item.kind.name,
        item.name,
        Status.FAILED,
        note=f"{why} IT {_LOUD}: it could not be deleted again ({stays}).",
        todo="Stop or delete it on the target at once, then run the import again.",
        needs_hand=True,
    )


def leftover_warning(item: TargetItem, past: JournalStep | None) -> str:
    """Return what is left, or may be, of a thing on a target that can't be asked any more; empty for nothing."""
    if item.kind.remove is None or past is None or past.done:
        return ""
    what = _LOUD if past.target_id else "MAY BE ON THE TARGET, AND LIVE"
    return f"{item.kind.name} {item.name} {what}."


def with_leftovers(error: Unreachable, journal: Journal, items: Sequence[TargetItem]) -> Unreachable:
    """Return the error, with what of these is left on the target, or may be."""
    left = [leftover_warning(one, journal.step(one.key)) for one in items]
    if not any(left):
        return error
    hint = "Import again as soon as it is back, to finish it or take it away."
    return Unreachable(" ".join(filter(None, [error.message, *left])), hint=hint)
