"""Export: from the source to a bundle; the source is only read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cmlutils.flows.connect import Connection, find_project, tunnel_in_phases
from cmlutils.flows.copying.pull import pull
from cmlutils.flows.copying.result import note_files
from cmlutils.flows.copying.survey import listing_here, survey
from cmlutils.flows.read_project import read_project
from cmlutils.left_out import leave_out
from cmlutils.report import Outcome, Status
from cmlutils.wholefile import write_json

if TYPE_CHECKING:
    from cmlutils.bundle import Bundle
    from cmlutils.metadata import Metadata
    from cmlutils.progress import Progress
    from cmlutils.project import ProjectSettings
    from cmlutils.report import Report
    from cmlutils.workloads import Workload


def export_project(
    connection: Connection, bundle: Bundle, report: Report, progress: Progress, *, values: bool = True
) -> None:
    """Bring a project down: files, settings, models, applications, jobs; without `values`, no environment values.

    The report grows as it goes; a failure is raised as an exception of `cmlutils.errors`.
    """
    with progress.phase("project"):
        project = find_project(connection)
        report.source = f"{connection.section.workspace.url} {project.path}"
        runtimes = connection.v1.runtimes.all()
    bundle.check_owner(project.path)
    with progress.phase("metadata"):
        metadata = read_project(connection.v1, project, runtimes)
        if not metadata.settings.shows_collaborators:
            text = "The source does not show the project's collaborators: add them on the target by hand."
            report.todos.append(text)
    with (
        listing_here(bundle) as here,  # listed while the session opens, as both take time
        tunnel_in_phases(connection, project, runtimes, bundle, progress) as tunnel,
        progress.phase("files"),
    ):
        surveyed = survey(tunnel, bundle, here, progress)  # raises for what can't be used: nothing is changed yet
        bundle.begin_export(report.source)  # from here on, an earlier export is no longer complete
        write_metadata(metadata, bundle, report, values=values)
        note_files(report, pull(tunnel, bundle, surveyed, progress))
    counts = {f"{kind}s": len(workloads) for kind, workloads in metadata.by_kind().items()}
    bundle.seal(report.source, {**counts, "files": report.files.get("files", 0)}, project.id)


def write_metadata(metadata: Metadata, bundle: Bundle, report: Report, *, values: bool) -> None:
    """Write the four metadata files, and report what is in them."""
    settings = metadata.settings
    write_json(bundle.metadata("project"), _record(settings, values=values))
    for kind, workloads in metadata.by_kind().items():
        write_json(bundle.metadata(f"{kind}s"), [_record(one, values=values) for one in workloads])
        report.outcomes += [Outcome(one.kind, one.name, Status.CREATED) for one in workloads]
    if settings.team:
        report.notes.append(f"The project belongs to team {settings.team}: it must exist on the target.")
    if not values:
        report.notes.append("The values of environment variables are not in the bundle: an import lists them.")


def _record(one: ProjectSettings | Workload, *, values: bool) -> dict[str, Any]:
    return one.to_bundle() if values else leave_out(one.to_bundle())
