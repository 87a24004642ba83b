"""The last step of an import: collaborators and visibility of a project that we created."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from cmlutils.errors import ApiError, Rejected
from cmlutils.flows.replaying.target import tried
from cmlutils.report import Outcome, Status

if TYPE_CHECKING:
    from collections.abc import Container

    from cmlutils.journal import Journal
    from cmlutils.project import ProjectRef, ProjectSettings
    from cmlutils.remote.v1 import ApiV1

log = logging.getLogger(__name__)


def hand_over(v1: ApiV1, journal: Journal, project: ProjectRef, settings: ProjectSettings) -> list[Outcome]:
    """Add collaborators and set the visibility, last of all and once, to a project that we created.

    Returns what is left to do, if anything is; the next import tries that again.
    """
    if not _is_due(journal, project):
        return []
    try:
        todos = _hand_over(v1, project, settings, _Given(journal, project))
    except ApiError as error:
        return _left(project, f"import again to set collaborators and visibility: {error.message}")
    journal.done(_key(project), left=bool(todos))
    return _left(project, "; ".join(todos)) if todos else []


def people_to_add(
    journal: Journal, settings: ProjectSettings, owner: str, project: ProjectRef | None
) -> dict[str, str]:
    """Return whom an import has still to add, with their permission; `project` is None when it is to be set up."""
    if project is None:
        return _people(settings, owner)
    return _people(settings, project.owner, _Given(journal, project)) if _is_due(journal, project) else {}


def _is_due(journal: Journal, project: ProjectRef) -> bool:
    step = journal.step(_key(project))
    return str(project.id) in journal.ids("project") and not (step and step.done and not step.left)


def _key(project: ProjectRef) -> str:
    return f"hand over {project.id}"


def _people(settings: ProjectSettings, owner: str, given: Container[str] = ()) -> dict[str, str]:
    """Return the source's collaborators with their permission, but the owner and who was added already."""
    return {
        str(one["username"]): str(one.get("permissions") or "read")
        for one in settings.collaborators
        if one.get("username") and one["username"] != owner and f"collaborator {one['username']}" not in given
    }


def _left(project: ProjectRef, todo: str) -> list[Outcome]:
    note = "collaborators or visibility are not as on the source"
    return [Outcome("hand over", project.name, Status.FALLBACK, str(project.id), note, todo, needs_hand=True)]


class _Given:
    """What earlier runs have handed over already: people may have changed it since, so it is not set again."""

    def __init__(self, journal: Journal, project: ProjectRef) -> None:
        self._journal, self._key = journal, _key(project)

    def __contains__(self, what: object) -> bool:
        step = self._journal.step(f"{self._key}: {what}")
        return step is not None and step.done

    def add(self, what: str) -> None:
        """Remember it."""
        if what not in self:
            self._journal.done(f"{self._key}: {what}")


def _hand_over(v1: ApiV1, project: ProjectRef, settings: ProjectSettings, given: _Given) -> list[str]:
    todos = [
        f"add collaborator {name} with permission {permissions!r} (is it a user of the target?)"
        for name, permissions in _collaborators(v1, project, settings, given).items()
    ]
    if "visibility" in given:
        return todos
    seen = v1.projects.get(project).get("project_visibility")
    if seen != settings.visibility:
        change = {"project_visibility": settings.visibility}
        tried("PATCH project visibility", lambda: v1.projects.patch(project, change))
        seen = v1.projects.get(project).get("project_visibility")
    if seen != settings.visibility:
        todos.append(f"set the project's visibility to {settings.visibility!r} (it is {seen!r})")
    else:
        given.add("visibility")
    return todos


def _collaborators(v1: ApiV1, project: ProjectRef, settings: ProjectSettings, given: _Given) -> dict[str, str]:
    """Add those that are not there yet; return those that then are still not, with their permission."""
    wanted = _people(settings, project.owner, given)

    def absent() -> dict[str, str]:
        there = {str(one.get("username")): one.get("permissions") for one in v1.projects.collaborators(project)}
        return {name: permissions for name, permissions in wanted.items() if there.get(name) != permissions}

    missing = absent() if wanted else {}
    for name, permissions in missing.items():
        _collaborate(v1, project, name, permissions)
    left = absent() if missing else {}
    for name in wanted.keys() - left.keys():
        given.add(f"collaborator {name}")
    return left


def _collaborate(v1: ApiV1, project: ProjectRef, name: str, permissions: str) -> None:
    """Add a collaborator; a refusal shows when they are read back."""
    body = {"username": name, "permissions": permissions}
    try:
        v1.projects.put_collaborator(project, name, body)
    except Rejected as error:
        log.warning("collaborator %s: %s", name, error)
