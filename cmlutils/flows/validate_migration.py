"""The one and only verification: source, bundle and target, file by file and field by field."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from cmlutils import paths
from cmlutils.errors import CheckFailed, NotFound
from cmlutils.flows.comparing.files import FileCheck
from cmlutils.flows.comparing.settings import compare_settings
from cmlutils.flows.comparing.side import ComparedSide
from cmlutils.flows.comparing.workloads import compare_workloads
from cmlutils.flows.connect import api_v2, find_project, project_tunnel
from cmlutils.flows.copying.pushed import target_key
from cmlutils.flows.read_project import read_records, read_settings
from cmlutils.flows.replaying.job_triggers import paused_in_v2
from cmlutils.flows.replaying.journal_keys import unfinished
from cmlutils.flows.replaying.kinds import add_unlisted
from cmlutils.flows.replaying.project import project_there
from cmlutils.flows.replaying.translate import with_ids
from cmlutils.job import fires
from cmlutils.left_out import LeftOut, to_fill_in
from cmlutils.metadata import read_metadata
from cmlutils.report import Difference, Group, Outcome, Status

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cmlutils.bundle import Bundle
    from cmlutils.flows.connect import Connection
    from cmlutils.journal import Journal
    from cmlutils.metadata import Metadata
    from cmlutils.progress import Progress
    from cmlutils.project import ProjectRef
    from cmlutils.remote.v1 import ApiV1
    from cmlutils.report import Report
    from cmlutils.runtimes import Maps
    from cmlutils.workloads import Workload

_SIDES = ("source", "target")


def validate_migration(
    source: Connection | None,
    target: Connection,
    bundle: Bundle,
    maps: Maps,
    report: Report,
    progress: Progress,
    *,
    quick: bool = False,
) -> None:
    """Compare the bundle with the export's record, with the target, and with the source unless that is None.

    The report gets the differences as they are found; `report.verified` is set at the end. With `quick`, sizes and
    times are compared instead of contents.
    """
    metadata = read_metadata(bundle)
    with progress.phase("check bundle"):
        files = FileCheck(bundle, progress, quick=quick, alone=source is None)
        report.differences += bundle_damage(bundle) + files.bundle()
    one = _Validation(bundle, maps, report, metadata, files)
    report.notes += _unrecorded(bundle)
    if quick:
        report.notes.append("Contents were not compared (--quick): sizes and times were.")
    if source is not None:
        with progress.phase("compare source"):
            one.compare_source(source)
    with progress.phase("compare target"):
        one.compare_target(target)
    report.differences = _without_values(report.differences, to_fill_in(bundle))
    report.todos += _advice(report, foreign=bundle.foreign)
    if report.verb == "validate-migration":  # it overwrites the import's report
        report.todos += bundle.todos()
    report.verified = not report.unexpected


def _imported(target: Connection, journal: Journal, owner: str) -> ProjectRef:
    """Return the project that an import would fill, and no other of its name; raise CheckFailed if there is none."""
    project = None
    with suppress(NotFound):  # the target does not have this owner
        project = project_there(target, journal, owner)[0]
    if project is None:
        section = target.section
        raise CheckFailed(
            f"{section.workspace.host} has no project {section.name!r} of {owner}.",
            hint="Run 'cmlutil project import' first.",
        )
    return project


def _without_values(rows: list[Difference], left_out: list[LeftOut]) -> list[Difference]:
    """Mark as expected the differences in environment variables whose values the export left out."""
    known = {(f"{side} {one.owner}", f"environment {one.variable}") for side in _SIDES for one in left_out}
    why = "its value was left out of the bundle"
    return [row.excused(why) if row.left == "absent" and (row.where, row.what) in known else row for row in rows]


def bundle_damage(bundle: Bundle) -> list[Difference]:
    """Return a difference for each metadata file that was changed since the export."""
    return [
        Difference("bundle", f"{part}-metadata.json", "as exported", "changed", group=Group.BUNDLE)
        for part in bundle.changed_metadata()
    ]


def _unrecorded(bundle: Bundle) -> list[str]:
    """Name what the bundle is not compared with, as it is not there."""
    records = (bundle.manifest, bundle.file_list)
    lost = [str(path.relative_to(bundle.folder)) for path in records if not paths.exists(path)]
    if not lost:
        return []
    what = " and ".join(lost)
    return [f"Whether the bundle is still as its export left it can't be fully checked: it has no {what}."]


def _advice(report: Report, *, foreign: bool) -> list[str]:
    files = {one.group for one in report.unexpected if one.where == "target file"}
    groups = {one.group for one in report.unexpected if one.group is not Group.DIFFERENT} | files
    advice = {
        Group.SOURCE: (
            "cloudera/cmlutils left it out, or the source changed since: export with cmlutil and import again."
            if foreign
            else "The source changed since the export: export and import again to bring that over."
        ),
        Group.BUNDLE: "The bundle has changed since the export: export again, then import.",
        Group.LOST: "The bundle lacks files that the source had: export again, then import.",
        Group.MISSING: "Run the import again: it creates what is missing, except what somebody renamed on the target.",
        Group.DIFFERENT: "Run the import again where files differ: it copies them again, even if they look equal.",
    }
    return [text for group, text in advice.items() if group in groups]


@dataclass(frozen=True)
class _Validation:
    """What both sides are compared with, and the report about it."""

    bundle: Bundle
    maps: Maps
    report: Report
    metadata: Metadata
    files: FileCheck

    def compare_source(self, source: Connection) -> None:
        """Compare the source: settings, workloads, then files through a session of its own."""
        v1, workspace, project = source.v1, source.section.workspace, find_project(source)
        self.report.source = self.report.source or f"{workspace.url} {project.path}"
        runtimes = v1.runtimes.all()
        side = ComparedSide("source", runtimes, self.maps, workspace.username, foreign=self.bundle.foreign)
        self._compare(v1, project, side, self.metadata.by_kind(), read_records(v1, project))
        with project_tunnel(source, project, runtimes, self.bundle) as tunnel:
            self.report.differences += self.files.source(tunnel)

    def compare_target(self, target: Connection) -> None:
        """Compare the target in the same way, as what an import leaves there."""
        v1, workspace, report = target.v1, target.section.workspace, self.report
        owner = self.metadata.settings.team or workspace.username
        journal = self.bundle.journal(workspace.url, owner)
        project = _imported(target, journal, owner)
        report.target = report.target or f"{workspace.url} {project.path}"
        runtimes = v1.runtimes.all()
        asks = any(one.bypass_authentication for one in self.metadata.applications)
        allowed = v1.site.bypass_allowed() if asks else True
        side = ComparedSide(
            "target", runtimes, self.maps, workspace.username, bypass_allowed=allowed, fresh=self._fresh(journal)
        )
        records = read_records(v1, project)
        add_unlisted(v1, project, journal, records)
        self._ask_for_pauses(target, project, journal, records["job"])
        self._compare(v1, project, side, with_ids(v1, self.metadata.by_kind()), records)
        if report.verb == "validate-migration":
            rows = [(kind, str(one.get("name"))) for kind, some in records.items() for one in some]
            report.outcomes += [Outcome(kind, name, Status.PRESENT) for kind, name in rows]
        with project_tunnel(target, project, runtimes, self.bundle) as tunnel:
            report.differences += self.files.target(tunnel, target_key(workspace.url, project.path))

    def _compare(
        self,
        v1: ApiV1,
        project: ProjectRef,
        side: ComparedSide,
        wanted: Mapping[str, Sequence[Workload]],
        records: Mapping[str, list[dict[str, Any]]],
    ) -> None:
        """Compare one side's settings and workloads; `wanted` are the bundle's, with the ids of this side."""
        settings, there, report = self.metadata.settings, read_settings(v1, project), self.report
        if not there.shows_collaborators:
            report.notes.append(f"The {side.name} does not show its collaborators: compare them by hand.")
            there = replace(there, collaborators=settings.collaborators)
        report.differences += compare_settings(settings, there, side)
        for kind, workloads in wanted.items():
            report.differences += compare_workloads(kind, workloads, records[kind], side)

    def _ask_for_pauses(
        self, target: Connection, project: ProjectRef, journal: Journal, jobs: list[dict[str, Any]]
    ) -> None:
        """Complete the records of jobs that could start: if v1 does not say whether one is paused, ask v2."""
        with api_v2(target, self.bundle, journal, self.report) as v2:
            for one in jobs:
                if fires(one) and not isinstance(one.get("paused"), bool):
                    one["paused"] = paused_in_v2(v2, project, one)

    def _fresh(self, journal: Journal) -> frozenset[tuple[str, str]]:
        """Return what must not be live on the target: what an import created just now, or never finished."""
        made = {(one.kind, one.name) for one in self.report.outcomes if one.made}
        return frozenset(made | {(one.kind, one.name) for one in unfinished(journal, self.metadata.workloads())})
