"""The parts of a project: environment, collaborators, files, engine image."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cmlutils.emulator.calls import Call, Refused, Reply, Route
from cmlutils.emulator.shapes import engine_image_json

if TYPE_CHECKING:
    from pathlib import Path

    from cmlutils.emulator.records import Project

_PROJECT = "/api/v1/projects/<owner>/<slug>"


def get_environment(call: Call, owner: str, slug: str) -> Reply:
    """Answer with the project's environment."""
    return Reply(call.project(owner, slug).environment)


def put_environment(call: Call, owner: str, slug: str) -> Reply:
    """Replace the whole environment of the project."""
    call.project(owner, slug, "write").environment = dict(call.body)
    return Reply(status=204)


def get_collaborators(call: Call, owner: str, slug: str) -> Reply:
    """Answer with the collaborators."""
    given = call.project(owner, slug).collaborators
    people = [(call.world.find_user(name), permission) for name, permission in given.items()]
    return Reply(
        [
            {
                "permissions": permission, "id": user.id, "username": user.username,
                "name": user.name or user.username, "admin": user.admin, "businessUser": False,
            }
            for user, permission in people
            if user
        ]
    )  # fmt: skip


def put_collaborator(call: Call, owner: str, slug: str, username: str) -> Reply:
    """Add a collaborator or change their permission."""
    project = call.project(owner, slug, "admin")
    if call.world.find_user(username) is None:
        raise Refused(404, "user.notFound")
    if call.body.get("permissions") not in {"read", "operator", "write", "admin"}:
        raise Refused(422, "permissions is not valid")
    project.collaborators[username] = call.body["permissions"]
    return Reply({})


def _file(project: Project, path: str) -> Path:
    """Return the file's path on this machine; refuse with 404 a path that leaves the project."""
    place = (project.files / path).resolve()
    if not place.is_relative_to(project.files.resolve()):
        raise Refused(404, "file.notFound")
    return place


def get_file(call: Call, owner: str, slug: str, path: str) -> Reply:
    """Answer with a file's bytes."""
    place = _file(call.project(owner, slug), path)
    if not place.is_file():
        raise Refused(404, "file.notFound")
    return Reply(place.read_bytes(), content_type="application/octet-stream")


def put_file(call: Call, owner: str, slug: str, path: str) -> Reply:
    """Write a file, whose content is the only part of a multipart body."""
    place = _file(call.project(owner, slug, "write"), path)
    if not call.uploads:
        raise Refused(422, "no file in the request")
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(call.uploads[0])
    return Reply({})


def get_engine_image(call: Call, owner: str, slug: str) -> Reply:
    """Answer with the project's engine image: the one chosen for it, or the first of the workspace."""
    project = call.project(owner, slug)
    images = call.world.engine_images
    chosen = next((image for image in images if image.id == project.engine_image_id), images[0] if images else None)
    return Reply(engine_image_json(chosen) if chosen else {})


def patch_engine_image(call: Call, owner: str, slug: str) -> Reply:
    """Set the project's engine image."""
    project = call.project(owner, slug, "write")
    chosen = call.body.get("engineImageId")
    if chosen not in [image.id for image in call.world.engine_images]:
        raise Refused(422, "engineImageId is not valid")
    project.engine_image_id = chosen
    return get_engine_image(call, owner, slug)


ROUTES = [
    Route("GET", f"{_PROJECT}/environment", get_environment),
    Route("PUT", f"{_PROJECT}/environment", put_environment),
    Route("GET", f"{_PROJECT}/collaborators", get_collaborators),
    Route("PUT", f"{_PROJECT}/collaborators/<username>", put_collaborator),
    Route("GET", f"{_PROJECT}/files/<path:path>", get_file),
    Route("PUT", f"{_PROJECT}/files/<path:path>", put_file),
    Route("GET", f"{_PROJECT}/engine-images", get_engine_image),
    Route("PATCH", f"{_PROJECT}/engine-images", patch_engine_image),
]
