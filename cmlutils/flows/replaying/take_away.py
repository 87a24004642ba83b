"""Stop and delete what must not stay on the target, and make sure that it is gone."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from cmlutils.errors import ApiError, NotFound, Unreachable

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cmlutils.flows.replaying.steps import CannotBeInertError, Record, TargetItem
    from cmlutils.journal import JournalEntry
    from cmlutils.report import Outcome

log = logging.getLogger(__name__)
_REMOVALS = (0.0, 1.0, 2.0, 4.0)  # seconds to wait before each try to delete something
_LOUD = "IS STILL ON THE TARGET AND MAY BE LIVE"


def take_away(item: TargetItem, record: Record, why: str) -> str:
    """Stop it, delete it, and check that it is gone; return why it may still be there (empty: it is gone).

    As long as no deletion has worked, it is tried again even if the thing is not shown: it may just show late.
    """
    item.journal.made(item.key, str(record["id"]), item.place_of(record))
    item.journal.doom(item.key, why)
    _request_stop(item, record)
    past = item.past
    assert past is not None  # noqa: S101
    worked, stays = False, ""
    for pause in _REMOVALS:
        item.sleep(pause)
        refusal = _delete(item, record)
        worked = worked or refusal is None
        shown = _shown(item, past, deleted=worked)
        stays = shown and (refusal or shown)
        if worked and not stays:
            break
    if not stays:
        item.kind.inventory.forget(past.target_id)
        item.journal.gone(item.key)
    return stays


def _delete(item: TargetItem, record: Record) -> str | None:
    """Delete it; return None if that worked, else why not (empty: the target does not have it)."""
    assert item.kind.remove is not None  # noqa: S101
    try:
        item.kind.remove(record)
    except NotFound:
        log.debug("%s %s is gone already", item.kind.name, item.name)
        return ""
    except ApiError as error:
        return error.message
    return None


def _shown(item: TargetItem, past: JournalEntry, *, deleted: bool) -> str:
    """Return why it may still be there (empty: it is not shown).

    The target is asked for the id itself, as a listing may lag behind. But one that is just coming up may answer 404 to
    everything, so a listing must lack it, too, unless it was `deleted`.
    """
    try:
        if item.kind.look_up(past) is not None:
            return "it is still there"
        rows = () if deleted else item.kind.inventory.rows(anew=True)
    except ApiError as error:
        return error.message
    return "it is still listed" if any(str(one["id"]) == past.target_id for one in rows) else ""


def _request_stop(item: TargetItem, record: Record) -> None:
    try:
        item.request_stop(record)
    except NotFound:
        log.debug("%s %s is gone already", item.kind.name, item.name)
    except ApiError as error:
        log.warning("%s %s can't be stopped: %s", item.kind.name, item.name, error)


def take_away_live(item: TargetItem, record: Record, error: CannotBeInertError) -> Outcome:
    """Delete what we created and can't make inert; return the outcome."""
    stays = take_away(item, record, error.message)
    if stays:
        return still_there(item, error.message, stays)
    log.warning("%s It was deleted again.", error)
    return item.failed(f"{error.message} It was deleted again.", error.hint)


def still_there(item: TargetItem, why: str, stays: str) -> Outcome:
    """Return the outcome for what could not be deleted, in words that nobody overlooks."""
    log.error("%s %s %s: %s", item.kind.name, item.name, _LOUD, stays)
    todo = "Stop or delete it on the target at once, then run the import again."
    note = f"{why} IT {_LOUD}: it could not be deleted again ({stays.removesuffix('.')})."
    return item.failed(note, todo, needs_hand=True)


def _may_be_left(item: TargetItem) -> str:
    """Say what we left, or may have left, of something that is not finished; empty when that is nothing."""
    past = item.past
    if item.kind.remove is None or past is None or past.done:
        return ""
    return _LOUD if past.target_id else "MAY BE ON THE TARGET, AND LIVE"


def leftover_warning(item: TargetItem) -> str:
    """Warn of what we left, or may have left, on a target that no longer answers; empty when that is nothing."""
    what = _may_be_left(item)
    return what and f"{item.kind.name} {item.name} {what}."


def half_made(items: Iterable[TargetItem]) -> list[Outcome]:
    """Return the outcomes of those of these which the end of the import left, or may have left, half-made."""
    todo = "Import again, which finishes or removes it; if it runs until then, stop it by hand."
    left = [(one, what) for one in items if (what := _may_be_left(one))]
    return [
        one.failed(f"The import ended before it was finished. IT {what}.", todo, needs_hand=True) for one, what in left
    ]


def with_leftovers(error: Unreachable, items: Iterable[TargetItem]) -> Unreachable:
    """Return the error, with a warning of which of these may be left on the target, unless it has that already."""
    left = [one for one in map(leftover_warning, items) if one and one not in error.message]
    if not left:
        return error
    hint = "Import again as soon as it is back, to finish or remove it."
    return Unreachable(" ".join([error.message, *left]), hint=hint)
