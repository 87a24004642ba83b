"""Export: from the source to a bundle; the source is only read."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from cmlutils.bundle import write_json
from cmlutils.errors import Rejected
from cmlutils.flows import files
from cmlutils.flows.connect import Connection, find_project, note_files, session
from cmlutils.flows.replay_project import engine_image_name
from cmlutils.flows.translate import by_name
from cmlutils.left_out import leave_out
from cmlutils.project import LEGACY_ENGINE, ProjectRef, ProjectSettings
from cmlutils.report import Outcome, Status
from cmlutils.workloads import Application, Job, Model

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from cmlutils.bundle import Bundle
    from cmlutils.flows.connect import Progress
    from cmlutils.remote.v1 import ApiV1
    from cmlutils.report import Report
    from cmlutils.runtimes import Runtime
    from cmlutils.workloads import Workload

log = logging.getLogger(__name__)
READERS: dict[str, Callable[[object, Sequence[Runtime]], Workload]] = {
    "models": Model.from_v1,
    "applications": Application.from_v1,
    "jobs": Job.from_v1,
}


def export_project(
    connection: Connection, bundle: Bundle, report: Report, progress: Progress, *, values: bool = True
) -> None:
    """Bring a project down: files, settings, models, applications, jobs; without `values`, no environment's.

    Everything it learns goes into the report as it learns it; a failure is an exception of `cmlutils.errors`.
    """
    with progress.phase("project"):
        project = find_project(connection)
        report.source = f"{connection.section.workspace.url} {project.path}"
        runtimes = connection.v1.runtimes.all()
    bundle.check_owner(project.path)
    with progress.phase("metadata"):
        settings, workloads = read_source(connection.v1, project, runtimes)
    with (
        files.listing_here(bundle.data) as begun,  # it takes time, as a session does
        session(connection, project, runtimes, bundle, progress) as tunnel,
        progress.phase("files"),
    ):
        bundle.begin_export(report.source)  # from here on, what an earlier export has left is no whole one
        counts = write_metadata(settings, workloads, bundle, report, values=values)
        note_files(report, files.pull(tunnel, bundle.data, bundle.state, progress=progress, begun=begun))
    bundle.seal(report.source, {**counts, "files": report.files.get("files", 0)})


def write_metadata(
    settings: ProjectSettings,
    workloads: Mapping[str, Sequence[Workload]],
    bundle: Bundle,
    report: Report,
    *,
    values: bool = True,
) -> dict[str, int]:
    """Write the four metadata files; return how many workloads of each kind there are."""
    kept = dict[str, Any] if values else leave_out
    write_json(bundle.metadata("project"), kept(settings.to_bundle()))
    for kind, found in workloads.items():
        write_json(bundle.metadata(kind), [kept(one.to_bundle()) for one in found])
        report.outcomes += [Outcome(one.kind, one.name, Status.CREATED) for one in found]
    if settings.team:
        report.notes.append(f"The project belongs to team {settings.team}: it must exist on the target.")
    if not values:
        report.notes.append("The values of environment variables are not in the bundle: an import lists them.")
    return {kind: len(found) for kind, found in workloads.items()}


def read_source(
    v1: ApiV1, project: ProjectRef, runtimes: Sequence[Runtime]
) -> tuple[ProjectSettings, dict[str, Sequence[Any]]]:
    """Read a project's settings and workloads from a workspace."""
    settings, people = _read_project(v1, project)
    records = read_records(v1, project)
    applications = [Application.from_v1(one, runtimes) for one in records["applications"]]
    jobs = [Job.from_v1(one, runtimes) for one in records["jobs"]]
    applications, jobs = by_name(v1, people, applications, jobs)
    models = [Model.from_v1(one, runtimes) for one in records["models"]]
    return settings, {"models": models, "applications": applications, "jobs": jobs}


def read_settings(v1: ApiV1, project: ProjectRef) -> ProjectSettings:
    """Read a project's own settings from a workspace."""
    return _read_project(v1, project)[0]


def _read_project(v1: ApiV1, project: ProjectRef) -> tuple[ProjectSettings, list[object]]:
    """Return the project's settings, and the records of the people whom it names."""
    people = _collaborators(v1, project)
    image = engine_image_name(v1.projects.engine_image(project)) if project.engine_type == LEGACY_ENGINE else ""
    reply = v1.projects.get(project)
    settings = ProjectSettings.from_v1(reply, v1.projects.environment(project), people, image)
    return settings, [*people, reply.get("owner"), reply.get("creator")]


def read_records(v1: ApiV1, project: ProjectRef) -> dict[str, list[dict[str, Any]]]:
    """Return what a workspace says of a project's models, applications and jobs, in its own words."""
    return {
        "models": [_whole_model(v1, one) for one in v1.models.of(project)],
        "applications": v1.applications.of(project),
        "jobs": [v1.jobs.get(project, int(one["id"])) for one in v1.jobs.of(project)],
    }


def _whole_model(v1: ApiV1, record: dict[str, Any]) -> dict[str, Any]:
    """Return a model with its build, which a list may leave out."""
    return record if "latestModelBuild" in record else v1.models.get(str(record["id"]))


def _collaborators(v1: ApiV1, project: ProjectRef) -> list[dict[str, Any]]:
    try:
        return v1.projects.collaborators(project)
    except Rejected as error:
        if error.status >= 500:
            raise
        log.warning("Collaborators can't be read: %s", error)
        return []
