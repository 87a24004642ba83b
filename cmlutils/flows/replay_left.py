"""What an interrupted import began and the bundle has no more: it may be live, and nobody wants it."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, NoReturn

from cmlutils.application import Application
from cmlutils.flows.ensure import take_back
from cmlutils.flows.steps import Listing, Step

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from cmlutils.flows.steps import Record
    from cmlutils.journal import Journal
    from cmlutils.project import ProjectRef
    from cmlutils.remote.v1 import ApiV1
    from cmlutils.report import Outcome
    from cmlutils.workloads import Workload

_WHY = "An interrupted import began it, and the bundle has it no more."


def left_behind(
    v1: ApiV1, project: ProjectRef, journal: Journal, wanted: Sequence[Workload], sleep: Callable[[float], None]
) -> Iterator[Outcome]:
    """Take away what the journal has begun and not finished, and is none of these."""
    keys = _keys(wanted)
    for key in journal.unfinished():
        step = None if key in keys else _step(v1, project, key)
        outcome = take_back(journal, step, _WHY, sleep) if step else None
        if outcome:
            yield outcome


def _keys(wanted: Sequence[Workload]) -> set[str]:
    """Return the journal's keys of these; equal models, and equal jobs, are counted."""
    seen, found = Counter[str](), set[str]()
    for one in wanted:
        name = f"{one.kind} {one.key}"
        found.add(name if isinstance(one, Application) else f"{name} {seen[name]}")
        seen[name] += 1
    return found


def _step(v1: ApiV1, project: ProjectRef, key: str) -> Step | None:
    """Return what its key alone tells of it; None for what is no workload."""
    kind, _, rest = key.partition(" ")
    if kind == "application":
        return _unwanted(
            *(kind, rest, key),
            rows=lambda: v1.applications.of(project),
            same=lambda one: str(one.get("subdomain")).lower() == rest.lower(),
            remove=lambda one: v1.applications.delete(project, one["id"]),
        )
    name = rest.rpartition(" ")[0]
    if kind == "model":
        return _unwanted(
            *(kind, name, key),
            rows=lambda: v1.models.of(project),
            same=lambda one: one.get("name") == name,
            remove=lambda one: v1.models.delete(one["id"]),
        )
    if kind == "job":
        identity = json.loads(name)
        return _unwanted(
            *(kind, identity[0], key),
            rows=lambda: v1.jobs.of(project),
            same=lambda one: [one.get("name"), one.get("script") or ""] == identity,
            remove=lambda one: v1.jobs.delete(project, one["id"]),
        )
    return None


def _unwanted(
    kind: str,
    name: str,
    key: str,
    *,
    rows: Callable[[], list[Record]],
    same: Callable[[Record], bool],
    remove: Callable[[Record], None],
) -> Step:
    def never(record: Record | None = None) -> NoReturn:
        raise AssertionError(f"nobody wants {kind} {name}: {record}")

    return Step(kind, name, key, Listing(rows), same, create=never, finish=never, remove=remove)
