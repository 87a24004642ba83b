"""What must not stay on the target, or must not run there: stopped, deleted, and looked after."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from cmlutils.errors import ApiError, NotFound
from cmlutils.report import Outcome, Status

if TYPE_CHECKING:
    from collections.abc import Callable

    from cmlutils.flows.steps import CannotBeInertError, Record, Thing
    from cmlutils.journal import Journal, Past

    Sleep = Callable[[float], None]

log = logging.getLogger(__name__)
_REMOVALS = (0.0, 1.0, 2.0, 4.0)  # seconds before each try to take something away
_LOUD = "IS STILL ON THE TARGET AND MAY BE LIVE"


def take_away(journal: Journal, thing: Thing, record: Record, why: str, sleep: Sleep) -> str:
    """Stop it, delete it, and look that it is gone; return why it is still there (empty: it is gone)."""
    assert thing.remove is not None  # noqa: S101
    journal.made(thing.key, str(record["id"]), thing.place_of(record))
    journal.doom(thing.key, why)
    _quieten(thing, record)
    past = journal.step(thing.key)
    assert past is not None  # noqa: S101
    stays = ""
    for pause in _REMOVALS:
        sleep(pause)
        stays = _removed(thing, record) or _seen(thing, past)
        if stays and _answers_that_it_is_gone(thing, past):
            stays = ""
        if not stays:
            thing.inventory.forget(past.target_id)
            journal.gone(thing.key)
            break
    return stays


def _removed(thing: Thing, record: Record) -> str:
    """Delete it; return why that did not work."""
    assert thing.remove is not None  # noqa: S101
    try:
        thing.remove(record)
    except NotFound:
        log.debug("%s %s is gone already", thing.kind, thing.name)
    except ApiError as error:
        return error.message
    return ""


def _seen(thing: Thing, past: Past) -> str:
    """Return how it is still seen after its deletion: a listing alone may lag behind, so it is asked for as well."""
    try:
        if any(str(one["id"]) == past.target_id for one in thing.inventory.rows(anew=True)):
            return "it is still listed"
        return "" if thing.asked_for(past) is None else "it is still there"
    except ApiError as error:
        return error.message


def _answers_that_it_is_gone(thing: Thing, past: Past) -> bool:
    """Tell whether the target says that it has none of this id, whatever it answered to the deletion."""
    try:
        return thing.asked_for(past) is None
    except ApiError:
        return False


def _quieten(thing: Thing, record: Record) -> None:
    """Ask it to stop, if it is one that runs by itself."""
    if thing.hush is None:
        return
    try:
        thing.hush(record)
    except NotFound:
        log.debug("%s %s is gone already", thing.kind, thing.name)
    except ApiError as error:
        log.warning("%s %s can't be stopped: %s", thing.kind, thing.name, error)


def taken_away(journal: Journal, thing: Thing, record: Record, error: CannotBeInertError, sleep: Sleep) -> Outcome:
    """Delete again what can't be inert, and say so."""
    stays = take_away(journal, thing, record, error.message, sleep)
    if stays:
        return still_there(thing, error.message, stays)
    log.warning("%s It was deleted again.", error)
    note = f"{error.message} It was deleted again."
    return Outcome(thing.kind, thing.name, Status.FAILED, note=note, todo=error.hint)


def still_there(thing: Thing, why: str, stays: str) -> Outcome:
    """Say loudly what could not be taken away."""
    log.error("%s %s %s: %s", thing.kind, thing.name, _LOUD, stays)
    return Outcome(
        thing.kind,
        thing.name,
        Status.FAILED,
        note=f"{why} IT {_LOUD}: it could not be deleted again ({stays}).",
        todo="Stop or delete it on the target at once, then run the import again.",
        needs_hand=True,
    )


def leftover_warning(thing: Thing, past: Past | None) -> str:
    """Return what is left, or may be, of a thing on a target that can't be asked any more; empty for nothing."""
    if thing.remove is None or past is None or past.done:
        return ""
    what = _LOUD if past.target_id else "MAY BE ON THE TARGET, AND LIVE"
    return f"{thing.kind} {thing.name} {what}."
