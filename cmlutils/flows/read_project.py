"""Read a project's settings and workloads from a workspace, as dataclasses or as the workspace's own records."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, TypeVar

from cmlutils.errors import Rejected
from cmlutils.flows.replaying.translate import by_name
from cmlutils.metadata import Metadata
from cmlutils.project import LEGACY_ENGINE, ProjectRef, ProjectSettings, engine_image_name
from cmlutils.workloads import Application, Job, Model

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cmlutils.remote.v1 import ApiV1
    from cmlutils.runtime import Runtime

log = logging.getLogger(__name__)
T = TypeVar("T")


def read_project(v1: ApiV1, project: ProjectRef, runtimes: Sequence[Runtime]) -> Metadata:
    """Read a project's settings and workloads, with names added to the ids of people and add-ons."""
    settings, people = _settings_and_people(v1, project)
    records = read_records(v1, project)
    applications = [Application.from_v1(one, runtimes) for one in records["application"]]
    jobs = [Job.from_v1(one, runtimes) for one in records["job"]]
    applications, jobs = by_name(v1, people, applications, jobs)
    models = [Model.from_v1(one, runtimes) for one in records["model"]]
    return Metadata(settings, models, applications, jobs)


def read_settings(v1: ApiV1, project: ProjectRef) -> ProjectSettings:
    """Read a project's own settings."""
    return _settings_and_people(v1, project)[0]


def _settings_and_people(v1: ApiV1, project: ProjectRef) -> tuple[ProjectSettings, list[object]]:
    """Return the project's settings, and the records of people that came with them."""
    people = _if_shown("collaborators", v1.projects.collaborators, project)
    on_engines = project.engine_type == LEGACY_ENGINE
    image = _if_shown("engine image", v1.projects.engine_image, project) if on_engines else None
    reply = v1.projects.get(project)
    settings = ProjectSettings.from_v1(reply, v1.projects.environment(project), people, engine_image_name(image or {}))
    return settings, [*(people or ()), reply.get("owner"), reply.get("creator")]


def read_records(v1: ApiV1, project: ProjectRef) -> dict[str, list[dict[str, Any]]]:
    """Return the records of a project's workloads by kind, as the workspace gives them."""
    return {
        "model": [_whole_model(v1, project, one) for one in v1.models.of(project)],
        "application": [
            one if one.get("status") else v1.applications.get(project, one["id"])  # a list may leave it out
            for one in v1.applications.of(project)
        ],
        "job": [v1.jobs.get(project, int(one["id"])) for one in v1.jobs.of(project)],
    }


def _whole_model(v1: ApiV1, project: ProjectRef, record: dict[str, Any]) -> dict[str, Any]:
    """Return a model with its build and deployment, which a list may leave out."""
    whole = {"latestModelBuild", "latestModelDeployment"} <= record.keys()
    return record if whole else v1.models.get(project, str(record["id"]))


def _if_shown(what: str, read: Callable[[ProjectRef], T], project: ProjectRef) -> T | None:
    """Return what is read of the project; None, with a warning, if the workspace does not show it."""
    try:
        return read(project)
    except Rejected as error:
        if error.status >= 500:
            raise
        log.warning("The project's %s can't be read: %s", what, error)
        return None
