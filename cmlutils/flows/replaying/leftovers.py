"""Delete what an interrupted import began and the bundle no longer has: it may be live, and nobody wants it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cmlutils.errors import ApiError
from cmlutils.flows.replaying.application_stop import ApplicationStop
from cmlutils.flows.replaying.journal_keys import keyed, named
from cmlutils.flows.replaying.kinds import kind_of
from cmlutils.flows.replaying.steps import TargetItem
from cmlutils.flows.replaying.take_away import still_there, take_away
from cmlutils.report import Outcome, Status

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cmlutils.flows.replaying.journal_keys import Named
    from cmlutils.flows.replaying.kinds import Kind
    from cmlutils.flows.replaying.steps import Record
    from cmlutils.flows.replaying.target import Target
    from cmlutils.workloads import Workload

_WHY = "An interrupted import began it, and the bundle no longer has it."


class _LeftApplication(TargetItem):
    """An application that an interrupted import began; it may run."""

    runs_by_itself = True

    def __init__(self, target: Target, kind: Kind, what: Named, key: str) -> None:
        super().__init__(kind, what.name, key, what.identity, target.journal, target.clock.sleep)
        self._target = target

    def request_stop(self, record: Record) -> None:
        """Ask it to stop, as the target may refuse to delete it."""
        ApplicationStop(self._target, self.identity, int(record["id"])).request()


def remove_leftovers(target: Target, wanted: Sequence[Workload]) -> Iterator[Outcome]:
    """Delete what the journal shows as begun and not finished, but for what is `wanted`; yield the outcomes."""
    keys, journal = {key for key, _ in keyed(wanted)}, target.journal
    for key in journal.unfinished():
        what = None if key in keys else named(key)
        if what is None:
            continue
        kind = kind_of(what.kind, target.v1, target.project)
        if what.kind == "application":
            item: TargetItem = _LeftApplication(target, kind, what, key)
        else:
            item = TargetItem(kind, what.name, key, what.identity, journal, target.clock.sleep)
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
