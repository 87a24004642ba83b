"""The project itself: found or created by owner and name, set once, handed over last."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from cmlutils.errors import AnswerLost, ApiError, Rejected
from cmlutils.flows.replay import Finished, Record, Step, ensure
from cmlutils.project import LEGACY_ENGINE, ProjectRef, ProjectSettings

if TYPE_CHECKING:
    from cmlutils.journal import Journal
    from cmlutils.remote.v1 import ApiV1
    from cmlutils.report import Outcome

log = logging.getLogger(__name__)
HANDED_OVER = "hand over"


def ensure_project(
    v1: ApiV1, journal: Journal, context: str, name: str, settings: ProjectSettings, *, engines: bool
) -> tuple[ProjectRef, Outcome]:
    """Return the target's project of this name and owner, created private where there was none.

    Settings and environment are written only to a project that we created.
    """

    def find() -> list[Record]:
        found = v1.find_project(name, context, context)
        return [found] if found else []

    def finish(record: Record) -> Finished:
        ref = ProjectRef.from_v1(record, context)
        return _settle(v1, ref, settings, engines=engines)

    body = {"name": name, "template": "blank", "project_visibility": "private"}
    outcome, record = ensure(
        journal,
        Step(
            "project",
            name,
            f"project {context} {name}",
            find,
            lambda: v1.create_project(context, body),
            finish,
        ),
    )
    if record is None:
        raise ApiError(f"The project can't be created: {outcome.note}", hint=outcome.todo)
    ref = ProjectRef.from_v1(record, context)
    return ProjectRef.from_v1(v1.project(ref.owner, ref.slug), ref.owner), outcome


def _settle(v1: ApiV1, ref: ProjectRef, settings: ProjectSettings, *, engines: bool) -> Finished:
    """Write settings one by one, read them back, and name those that the target did not take."""
    wanted: dict[str, Any] = {"description": settings.description}
    if settings.shared_memory_limit:
        wanted["shared_memory_limit"] = settings.shared_memory_limit
    if engines:
        wanted["default_project_engine_type"] = LEGACY_ENGINE
    there = v1.project(ref.owner, ref.slug)
    for field, value in wanted.items():
        if (there.get(field) or "") != value:
            try:
                v1.patch_project(ref.owner, ref.slug, {field: value})
            except Rejected as error:
                log.debug("PATCH project %s: %s", field, error)
    there = v1.project(ref.owner, ref.slug)
    lost = [f"{field} ({value})" for field, value in wanted.items() if (there.get(field) or "") != value]
    environment = v1.environment(ref.owner, ref.slug)
    if any(environment.get(name) != value for name, value in settings.environment.items()):
        v1.put_environment(ref.owner, ref.slug, {**environment, **settings.environment})
    environment = v1.environment(ref.owner, ref.slug)
    lost += [f"environment {one}" for one, value in settings.environment.items() if environment.get(one) != value]
    if not lost:
        return Finished()
    return Finished(
        note=f"the target did not take {', '.join(lost)}",
        todo=f"set by hand: {', '.join(lost)}",
        fallback=True,
        needs_hand=True,
    )


def hand_over(v1: ApiV1, journal: Journal, project: ProjectRef, settings: ProjectSettings) -> list[str]:
    """Add collaborators and set the visibility, last of all and once; return what is left to do."""
    step = journal.step(HANDED_OVER)
    created = journal.step(f"project {project.owner} {project.name}")
    if (step and step.done) or created is None:
        return []
    todos = [_collaborator(v1, project, dict(one)) for one in settings.collaborators]
    if settings.visibility != "private":
        try:
            v1.patch_project(project.owner, project.slug, {"project_visibility": settings.visibility})
        except (Rejected, AnswerLost) as error:
            log.debug("PATCH project visibility: %s", error)
        there = v1.project(project.owner, project.slug).get("project_visibility")
        if there != settings.visibility:
            todos.append(f"Set the project's visibility to {settings.visibility} (it is {there}).")
    journal.done(HANDED_OVER)
    return [one for one in todos if one]


def _collaborator(v1: ApiV1, project: ProjectRef, person: dict[str, Any]) -> str:
    name, permissions = str(person.get("username") or ""), str(person.get("permissions") or "read")
    if not name or name == project.owner:
        return ""
    try:
        v1.put_collaborator(project.owner, project.slug, name, {"username": name, "permissions": permissions})
    except (Rejected, AnswerLost) as error:
        return f"Add collaborator {name} ({permissions}): {error}"
    return ""
