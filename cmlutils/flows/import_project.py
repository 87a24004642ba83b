"""Import: from a bundle to the target; every workload once, and inert."""

from __future__ import annotations

import hashlib
import logging
from typing import TYPE_CHECKING, Any

from cmlutils.bundle import read_json
from cmlutils.errors import AnswerLost, CheckFailed, Rejected
from cmlutils.flows import files
from cmlutils.flows.connect import note_files, project_tunnel
from cmlutils.flows.replay import Target
from cmlutils.flows.replay_applications import applications
from cmlutils.flows.replay_jobs import jobs
from cmlutils.flows.replay_models import models
from cmlutils.flows.replay_project import ensure_project, hand_over
from cmlutils.journal import Journal
from cmlutils.project import LEGACY_ENGINE, ProjectSettings
from cmlutils.remote.v2 import ApiV2
from cmlutils.runtimes import Maps, Runtime
from cmlutils.workloads import Application, Job, Model

if TYPE_CHECKING:
    from cmlutils.bundle import Bundle
    from cmlutils.flows.connect import Connection, Progress
    from cmlutils.report import Report

log = logging.getLogger(__name__)


def read_bundle(bundle: Bundle) -> tuple[ProjectSettings, list[Model], list[Application], list[Job]]:
    """Read the four metadata files; a missing list means none, as with cloudera/cmlutils."""

    def records(kind: str) -> list[Any]:
        path = bundle.metadata(kind)
        if bundle.foreign and not path.exists():
            return []
        return list(read_json(path, list))

    return (
        ProjectSettings.from_bundle(read_json(bundle.metadata("project"), dict)),
        [Model.from_bundle(one) for one in records("models")],
        [Application.from_bundle(one) for one in records("applications")],
        [Job.from_bundle(one) for one in records("jobs")],
    )


def journal_of(bundle: Bundle, url: str, context: str) -> Journal:
    """Return the journal of this bundle on this target."""
    digest = hashlib.sha256(f"{url} {context}".encode()).hexdigest()[:16]
    return Journal(bundle.state / f"journal-{digest}.jsonl")


def import_project(connection: Connection, bundle: Bundle, maps: Maps, report: Report, progress: Progress) -> None:
    """Take a bundle up: project, files, models, applications, jobs; the report grows as it goes."""
    settings, model_list, application_list, job_list = read_bundle(bundle)
    workspace = connection.section.workspace
    context = settings.team or workspace.username
    if bundle.foreign:
        report.notes.append("The bundle has no manifest: cloudera/cmlutils wrote it; not all fields are there.")
    engines = settings.engine_type == LEGACY_ENGINE and not maps.engines
    journal = journal_of(bundle, workspace.url, context)
    with progress.phase("project"):
        _check_team(connection, settings)
        runtimes = [Runtime.from_v1(one) for one in connection.v1.runtimes()]
        project, outcome = ensure_project(
            connection.v1, journal, context, connection.section.name, settings, engines=engines
        )
        report.target = f"{workspace.url} {project.path}"
        report.outcomes.append(outcome)
    with progress.phase("session"), project_tunnel(connection, project, runtimes, bundle) as tunnel:
        with progress.phase("files"):
            result = files.push(tunnel, bundle.data, bundle.state, project=project.path, progress=progress)
            note_files(report, result)
    with ApiV2(connection.v1, workspace.username) as v2:
        target = Target(connection.v1, v2, project, journal, runtimes, maps, engines=engines)
        with progress.phase("models"):
            report.outcomes += models(target, model_list)
        with progress.phase("applications"):
            report.outcomes += applications(target, application_list)
        with progress.phase("jobs"):
            report.outcomes += jobs(target, job_list)
    with progress.phase("hand over"):
        report.todos += hand_over(connection.v1, journal, project, settings)


def _check_team(connection: Connection, settings: ProjectSettings) -> None:
    if not settings.team:
        return
    try:
        connection.v1.user(settings.team)
    except (Rejected, AnswerLost) as error:
        raise CheckFailed(
            f"The target has no team {settings.team!r}, to which the project belongs.",
            hint="Create the team on the target, with the migrating user as a member.",
        ) from error
