"""Delete what an interrupted import began and the bundle no longer has: it may be live, and nobody wants it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cmlutils.errors import ApiError
from cmlutils.flows.replaying.journal_keys import keyed, named
from cmlutils.flows.replaying.kinds import kind_of
from cmlutils.flows.replaying.steps import Sleep, TargetItem
from cmlutils.flows.replaying.take_away import still_there, take_away
from cmlutils.report import Outcome, Status

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cmlutils.journal import Journal
    from cmlutils.project import ProjectRef
    from cmlutils.remote.v1 import ApiV1
    from cmlutils.workloads import Workload

_WHY = "An interrupted import began it, and the bundle no longer has it."


def remove_leftovers(
    v1: ApiV1, project: ProjectRef, journal: Journal, wanted: Sequence[Workload], sleep: Sleep
) -> Iterator[Outcome]:
    """Delete what the journal shows as begun and not finished, but for what is `wanted`; yield the outcomes."""
    keys = {key for key, _ in keyed(wanted)}
    for key in journal.unfinished():
        what = None if key in keys else named(key)
        if what is None:
            continue
        kind = kind_of(what.kind, v1, project)
        item = TargetItem(kind, what.name, key, what.identity, journal, sleep)
        if outcome := _take_back(item):
            yield outcome


def _take_back(item: TargetItem) -> Outcome | None:
    """Delete it; return the outcome, None where nothing was there."""
    try:
        mine = item.find_ours()
        if mine is None:
            item.journal.gone(item.key)
            return None
        stays = take_away(item, mine, _WHY)
    except ApiError as error:
        return still_there(item, _WHY, error.message)
    if stays:
        return still_there(item, _WHY, stays)
    name = str(mine.get("name") or item.name)
    return Outcome(item.kind.name, name, Status.SKIPPED, str(mine["id"]), f"{_WHY} It was deleted again.")
