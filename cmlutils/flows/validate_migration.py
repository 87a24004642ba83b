"""The one and only verification: source, bundle and target, file by file and field by field."""

from __future__ import annotations

import logging
from collections import defaultdict
from typing import TYPE_CHECKING

from cmlutils.flows.compare_files import compare_files
from cmlutils.flows.connect import find_project, project_tunnel
from cmlutils.flows.export_project import read_source
from cmlutils.flows.import_project import read_bundle
from cmlutils.report import Difference
from cmlutils.runtimes import Runtime
from cmlutils.workloads import differences

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cmlutils.bundle import Bundle
    from cmlutils.flows.connect import Connection, Progress
    from cmlutils.project import ProjectSettings
    from cmlutils.report import Report
    from cmlutils.runtimes import Maps
    from cmlutils.workloads import Job, Workload

log = logging.getLogger(__name__)


def validate_migration(
    source: Connection | None,
    target: Connection,
    bundle: Bundle,
    maps: Maps,
    report: Report,
    progress: Progress,
) -> None:
    """Compare bundle and target, and the source with the bundle where it can be reached.

    The differences go into the report; `report.verified` is set at the end.
    """
    found: list[Difference] = []
    if source is None:
        report.notes.append("The source was not compared: there is no usable export section.")
    else:
        with progress.phase("compare source"):
            found += _compare(source, bundle, "source", maps)
    with progress.phase("compare target"):
        found += _compare(target, bundle, "target", maps)
    report.differences += found
    report.verified = not report.unexpected


def _compare(connection: Connection, bundle: Bundle, side: str, maps: Maps) -> list[Difference]:
    project = find_project(connection)
    runtimes = [Runtime.from_v1(one) for one in connection.v1.runtimes()]
    settings, there = read_source(connection.v1, project, runtimes)
    wanted_settings, models, applications, jobs = read_bundle(bundle)
    found = _settings(wanted_settings, settings, side)
    found += _workloads(models, there["models"], side, maps, runtimes)
    found += _workloads(applications, there["applications"], side, maps, runtimes)
    found += _workloads(jobs, there["jobs"], side, maps, runtimes)
    found += _parents(jobs, there["jobs"], side)
    with project_tunnel(connection, project, runtimes, bundle) as tunnel:
        found += compare_files(tunnel, bundle, side)
    return found


def _settings(wanted: ProjectSettings, there: ProjectSettings, side: str) -> list[Difference]:
    found = []
    for field in ("name", "description", "visibility", "shared_memory_limit"):
        left, right = getattr(wanted, field), getattr(there, field)
        if left != right:
            found.append(Difference(f"{side} project", field, str(left), str(right)))
    for name in sorted({*wanted.environment, *there.environment}):
        left, right = wanted.environment.get(name), there.environment.get(name)
        if left != right:
            added = left is None and side == "target"
            row = (f"{side} project", f"environment {name}", _secret(left), _secret(right))
            found.append(Difference(*row, expected=added))
    return found


def _secret(value: str | None) -> str:
    return "absent" if value is None else "***"


def _workloads(
    wanted: Sequence[Workload],
    there: Sequence[Workload],
    side: str,
    maps: Maps,
    runtimes: Sequence[Runtime],
) -> list[Difference]:
    """Pair by key and, among equals, by order; what has no partner is a difference of its own."""
    left: dict[str, list[Workload]] = defaultdict(list)
    right: dict[str, list[Workload]] = defaultdict(list)
    for one in wanted:
        left[one.key].append(one)
    for one in there:
        right[one.key].append(one)
    found = []
    for key in {**left, **right}:
        for index in range(max(len(left[key]), len(right[key]))):
            a = left[key][index] if index < len(left[key]) else None
            b = right[key][index] if index < len(right[key]) else None
            if a is None or b is None:
                alone = a or b
                where = f"{side} {alone.kind} {alone.name}" if alone else side
                here, yonder = ("there", "absent") if b is None else ("absent", "there")
                found.append(Difference(where, "existence", here, yonder))
                continue
            where = f"{side} {a.kind} {a.name}"
            rows = differences(a, b)
            found += [
                Difference(where, what, x, y, expected=_expected(side, a.kind, (what, x, y))) for what, x, y in rows
            ]
            found += _runtime(a, b, where, side, maps, runtimes)
    return found


def _expected(side: str, kind: str, row: tuple[str, str, str]) -> bool:
    """Tell what a migration can't keep or read back.

    That is a forbidden bypass, an environment key that the target adds, and the environment of a model that
    is not deployed: v1 shows it with the deployment only.
    """
    field, left, right = row
    if side == "source":
        return False
    return (field == "bypass_authentication" and left == "True" and right == "False") or (
        field.startswith("environment ") and (left == "absent" or (kind == "model" and right == "absent"))
    )


def _runtime(
    a: Workload, b: Workload, where: str, side: str, maps: Maps, runtimes: Sequence[Runtime]
) -> list[Difference]:
    wanted, there = a.runtime, b.runtime
    if (wanted.image if wanted else a.kernel) == (there.image if there else b.kernel):
        return []
    match = maps.find(wanted, a.kernel, runtimes) if side == "target" else None
    expected = bool(match and there and match.runtime.image == there.image)
    return [Difference(where, "runtime", str(wanted or a.kernel), str(there or b.kernel), expected=expected)]


def _parents(wanted: Sequence[Job], there: Sequence[Job], side: str) -> list[Difference]:
    """Compare each job's parent by name."""
    left = {job.source_id: job.name for job in wanted}
    right = {job.source_id: job.name for job in there}
    by_key = defaultdict(list)
    for job in there:
        by_key[job.key].append(right.get(job.parent_id, "none"))
    found = []
    for job in wanted:
        name = left.get(job.parent_id, "none")
        others = by_key.get(job.key, [name])
        if name not in others:
            found.append(Difference(f"{side} job {job.name}", "parent", name, ", ".join(others)))
    return found
