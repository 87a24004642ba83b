"""Projects: find, create, change, give to another owner, delete. The parts of a project are in project_parts.py."""

from __future__ import annotations

import re
import shutil
from typing import TYPE_CHECKING

from cmlutils.emulator.calls import Call, Refused, Reply, Route
from cmlutils.emulator.records import Project
from cmlutils.emulator.shapes import project_json
from cmlutils.emulator.world import now

if TYPE_CHECKING:
    from cmlutils.emulator.records import User
    from cmlutils.emulator.workloads import Application, Job, Model

_PROJECT = "/api/v1/projects/<owner>/<slug>"
_SUMMARY = (
    "id", "name", "slug_raw", "slug", "public_identifier", "project_visibility", "owner", "creator", "updated_at",
)  # fmt: skip
_VISIBILITIES = {"private", "organization", "public"}


def _like(name: str, pattern: str) -> bool:
    """Tell whether SQL's ``name LIKE '%pattern%'`` holds; ``%`` and ``_`` match more than themselves."""
    parts = [{"%": ".*", "_": "."}.get(letter, re.escape(letter)) for letter in pattern]
    return re.search("".join(parts), name, re.IGNORECASE | re.DOTALL) is not None


def list_projects(call: Call, username: str) -> Reply:
    """Answer with the projects of a user or team that the caller may see."""
    if call.world.find_user(username) is None:
        raise Refused(404, "user.notFound")
    owned = [p for p in call.world.projects if p.owner == username and call.world.may(call.user, p, "read")]
    return Reply([project_json(call.world, project) for project in owned])


def summarize_projects(call: Call, username: str) -> Reply:
    """Answer with the projects of any owner whose name is LIKE the one asked for; CDSW ignores limit and offset."""
    if call.world.find_user(username) is None:
        raise Refused(404, "user.notFound")
    pattern = call.query.get("projectName", "")
    visible = [p for p in call.world.projects if call.world.may(call.user, p, "read") and _like(p.name, pattern)]
    visible.sort(key=lambda project: (project.updated_at, project.id), reverse=True)
    if call.world.personality == "cml":
        offset = int(call.query.get("offset", 0))
        visible = visible[offset : offset + int(call.query.get("limit", 30))]
    full = [project_json(call.world, project) for project in visible]
    return Reply([{key: project[key] for key in _SUMMARY} for project in full])


def create_project(call: Call, username: str) -> Reply:
    """Create a project; if its slug is taken, it gets another one."""
    owner = call.world.find_user(username)
    if owner is None:
        raise Refused(404, "user.notFound")
    _may_create(call, owner)
    call.required("name", "template", "project_visibility")
    _check_visibility(str(call.body["project_visibility"]))
    name = str(call.body["name"])
    project = Project(
        username, name, call.world.free_slug(username, name), call.world.next_id(), call.user.username,
        str(call.body["project_visibility"]), created_at=now(), updated_at=now(),
    )  # fmt: skip
    if call.world.assume.project_create_settings:
        _settings(call, project)
    project.files = call.world.state_dir / project.path
    project.files.mkdir(parents=True, exist_ok=True)  # an earlier workspace with the same --state-dir may have left it
    call.world.projects.append(project)
    return Reply(project_json(call.world, project), 201)


def _may_create(call: Call, owner: User) -> None:
    if owner.is_team and not call.world.assume.team_project_create:
        raise Refused(404, "Not Found")
    member = owner.members.get(call.user.username) in {"owner", "admin", "write"}
    if not (owner is call.user or call.user.admin or member):
        raise Refused(403, "forbidden")


def _check_visibility(visibility: str) -> None:
    if visibility not in _VISIBILITIES:
        raise Refused(422, f"project_visibility {visibility} is not valid")


def _settings(call: Call, project: Project) -> None:
    """Apply the settings that create and PATCH are ASSUMED to take (no public capture)."""
    project.description = str(call.body.get("description", project.description) or "")
    project.shared_memory = int(call.body.get("shared_memory_limit", project.shared_memory) or 0)
    _engine_type(call, project)


def _engine_type(call: Call, project: Project) -> None:
    engine_type = call.body.get("default_project_engine_type", project.engine_type)
    if engine_type not in {"ml_runtime", "legacy_engine"}:
        raise Refused(422, f"default_project_engine_type {engine_type} is not valid")
    project.engine_type = engine_type


def get_project(call: Call, owner: str, slug: str) -> Reply:
    """Answer with a project."""
    return Reply(project_json(call.world, call.project(owner, slug)))


def patch_project(call: Call, owner: str, slug: str) -> Reply:
    """Change a project; a new owner makes it private and changes its path."""
    project = call.project(owner, slug, "admin")
    if "project_visibility" in call.body:
        _check_visibility(str(call.body["project_visibility"]))
        project.visibility = str(call.body["project_visibility"])
    _engine_type(call, project)
    if call.world.assume.project_patch:
        _settings(call, project)
        project.name = str(call.body.get("name", project.name))
    if "newOwnerId" in call.body:
        _give(call, project)
    project.updated_at = now()
    return Reply(project_json(call.world, project))


def _give(call: Call, project: Project) -> None:
    owner = next((user for user in call.world.users if user.id == call.body["newOwnerId"]), None)
    if owner is None:
        raise Refused(404, "user.notFound")
    slug = call.world.free_slug(owner.username, project.slug)
    folder = call.world.state_dir / owner.username / slug
    folder.parent.mkdir(parents=True, exist_ok=True)
    project.files.rename(folder)
    project.owner, project.slug, project.files, project.visibility = owner.username, slug, folder, "private"


def delete_project(call: Call, owner: str, slug: str) -> Reply:
    """Delete a project with its files, sessions and workloads."""
    project = call.project(owner, slug, "admin")
    call.sessions.stop_all(project.path, "project deleted")
    workloads: list[Job | Application | Model] = [*project.jobs, *project.applications, *project.models]
    for thing in workloads:
        call.world.reached("", thing, "deleted")
    call.world.projects.remove(project)
    shutil.rmtree(project.files)
    return Reply(status=204)


ROUTES = [
    Route("GET", "/api/v1/users/<username>/projects", list_projects),
    Route("POST", "/api/v1/users/<username>/projects", create_project),
    Route("GET", "/api/v1/users/<username>/projects-summary", summarize_projects),
    Route("GET", _PROJECT, get_project),
    Route("PATCH", _PROJECT, patch_project),
    Route("DELETE", _PROJECT, delete_project),
]
