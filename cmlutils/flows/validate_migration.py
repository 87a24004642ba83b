"""The one and only verification: source, bundle and target, file by file and field by field."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from cmlutils.contents import read_bundle
from cmlutils.flows.comparing.files import FileCheck
from cmlutils.flows.comparing.settings import compare_settings
from cmlutils.flows.comparing.side import ComparedSide
from cmlutils.flows.comparing.workloads import compare_workloads, fires
from cmlutils.flows.connect import api_v2, find_project, project_tunnel
from cmlutils.flows.read_project import read_records, read_settings
from cmlutils.flows.replaying.job_triggers import paused_in_v2
from cmlutils.flows.replaying.journal_keys import unfinished
from cmlutils.flows.replaying.kinds import add_unlisted
from cmlutils.flows.replaying.project import project_there
from cmlutils.flows.replaying.translate import with_ids
from cmlutils.left_out import LeftOut, to_fill_in
from cmlutils.report import Difference, Group, Outcome, Status

if TYPE_CHECKING:
    from collections.abc import Callable

    from cmlutils.bundle import Bundle
    from cmlutils.contents import Contents
    from cmlutils.flows.connect import Connection
    from cmlutils.journal import Journal
    from cmlutils.progress import Progress
    from cmlutils.project import ProjectRef
    from cmlutils.remote.tunnel import Tunnel
    from cmlutils.report import Report
    from cmlutils.runtime import Runtime
    from cmlutils.runtimes import Maps

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
    one = _Validation(bundle, maps, report, read_bundle(bundle))
    with progress.phase("check bundle"):
        files = FileCheck(bundle, progress, quick=quick, alone=source is None)
        report.differences += bundle_damage(bundle) + files.bundle()
    report.notes += _unrecorded(bundle)
    if quick:
        report.notes.append("Contents were not compared (--quick): sizes and times were.")
    if source is None:
        report.notes.append("Bundle and target alone were compared: the source was not available.")
    else:
        with progress.phase("compare source"):
            one.compare(source, "source", files.source)
    with progress.phase("compare target"):
        one.compare(target, "target", files.target)
    report.differences = _without_values(report.differences, to_fill_in(bundle))
    report.todos += _advice(report)
    if report.verb == "validate-migration":  # it overwrites the import's report
        report.todos += bundle.todos()
    report.verified = not report.unexpected


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
    lost = [str(path.relative_to(bundle.folder)) for path in (bundle.manifest, bundle.file_list) if not path.exists()]
    if not lost:
        return []
    what = " and ".join(lost)
    return [f"Whether the bundle is still as its export left it can't be fully checked: it has no {what}."]


def _advice(report: Report) -> list[str]:
    files = {one.group for one in report.unexpected if one.where == "target file"}
    groups = {one.group for one in report.unexpected if one.group is not Group.DIFFERENT} | files
    advice = {
        Group.SOURCE: "The source changed since the export: export and import again to bring that over.",
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
    contents: Contents

    def compare(self, connection: Connection, side: str, files: Callable[[Tunnel], list[Difference]]) -> None:
        """Compare one side: settings, workloads, then files through a session of its own."""
        v1, report, workspace = connection.v1, self.report, connection.section.workspace
        settings, on_target = self.contents.settings, side == "target"
        if on_target:
            owner = settings.team or workspace.username
            journal = self.bundle.journal(workspace.url, owner)
            project = project_there(connection, journal, owner)[0] or find_project(connection)
            report.target = report.target or f"{workspace.url} {project.path}"
        else:
            journal, project = None, find_project(connection)
            report.source = report.source or f"{workspace.url} {project.path}"
        runtimes = v1.runtimes.all()
        compared = self._compared_side(connection, side, runtimes, journal)
        there, records = read_settings(v1, project), read_records(v1, project)
        if journal:
            add_unlisted(v1, project, journal, records)
            self._ask_for_pauses(connection, project, journal, records["job"])
        if not there.shows_collaborators:
            report.notes.append(f"The {side} does not show its collaborators: compare them by hand.")
            there = replace(there, collaborators=settings.collaborators)
        report.differences += compare_settings(settings, there, compared)
        for kind, workloads in self.contents.by_kind().items():
            here = with_ids(v1, workloads) if on_target else workloads
            report.differences += compare_workloads(kind, here, records[kind], compared)
            if on_target and report.verb == "validate-migration":
                names = [str(one.get("name")) for one in records[kind]]
                report.outcomes += [Outcome(kind, name, Status.PRESENT) for name in names]
        with project_tunnel(connection, project, runtimes, self.bundle) as tunnel:
            report.differences += files(tunnel)

    def _ask_for_pauses(
        self, connection: Connection, project: ProjectRef, journal: Journal, jobs: list[dict[str, Any]]
    ) -> None:
        """Complete the records of jobs that could start: if v1 does not say whether one is paused, ask v2."""
        with api_v2(connection, self.bundle, journal, self.report) as v2:
            for one in jobs:
                if fires(one) and not isinstance(one.get("paused"), bool):
                    one["paused"] = paused_in_v2(v2, project, one)

    def _compared_side(
        self, connection: Connection, side: str, runtimes: list[Runtime], journal: Journal | None
    ) -> ComparedSide:
        """Return how to judge a side; what an import created just now, or never finished, must not be live."""
        fresh = {(one.kind, one.name) for one in self.report.outcomes if one.made}
        if journal:
            fresh |= {(one.kind, one.name) for one in unfinished(journal, self.contents.workloads())}
        asks = journal and any(one.bypass_authentication for one in self.contents.applications)
        allowed = connection.v1.site.bypass_allowed() if asks else True
        user, foreign = connection.section.workspace.username, self.bundle.foreign
        return ComparedSide(side, runtimes, self.maps, user, allowed, foreign=foreign, fresh=frozenset(fresh))
