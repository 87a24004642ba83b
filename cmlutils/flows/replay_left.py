"""What an interrupted import began and the bundle has no more: it may be live, and nobody wants it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from cmlutils.flows.ensure import take_back
from cmlutils.flows.journal_keys import Named, keyed, named
from cmlutils.flows.steps import Listing, Step

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from cmlutils.flows.steps import Record
    from cmlutils.journal import Journal
    from cmlutils.project import ProjectRef
    from cmlutils.remote.v1 import ApiV1
    from cmlutils.report import Outcome
    from cmlutils.workloads import Workload

    _Ways = tuple[Callable[[], list[Record]], Callable[[Record], bool], Callable[[Record], None]]
_WHY = "An interrupted import began it, and the bundle has it no more."


def left_behind(
    v1: ApiV1, project: ProjectRef, journal: Journal, wanted: Sequence[Workload], sleep: Callable[[float], None]
) -> Iterator[Outcome]:
    """Take away what the journal has begun and not finished, and is none of these."""
    keys = {key for key, _ in keyed(wanted)}
    for key in journal.unfinished():
        what = None if key in keys else named(key)
        outcome = take_back(journal, _step(v1, project, key, what), _WHY, sleep) if what else None
        if outcome:
            yield outcome


def _step(v1: ApiV1, project: ProjectRef, key: str, what: Named) -> Step:
    """Return the step of a workload of which nothing but its key is known."""

    def never(record: Record | None = None) -> NoReturn:
        raise AssertionError(f"nobody wants {what.kind} {what.name}: {record}")

    rows, same, remove = _ways(v1, project, what)
    return Step(what.kind, what.name, key, Listing(rows), same, create=never, finish=never, remove=remove)


def _ways(v1: ApiV1, project: ProjectRef, what: Named) -> _Ways:
    """Return how to list what is of its kind, to tell whether a row is it, and to delete that."""
    if what.kind == "application":
        return (
            lambda: v1.applications.of(project),
            lambda one: str(one.get("subdomain")).lower() == what.name.lower(),
            lambda one: v1.applications.delete(project, one["id"]),
        )
    if what.kind == "model":
        return (
            lambda: v1.models.of(project),
            lambda one: one.get("name") == what.name,
            lambda one: v1.models.delete(one["id"]),
        )
    return (
        lambda: v1.jobs.of(project),
        lambda one: (one.get("name"), one.get("script") or "") == (what.name, what.script),
        lambda one: v1.jobs.delete(project, one["id"]),
    )
