"""A request as the routes see it: the user, the body and the world; and the reply that they give."""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cmlutils.emulator.world import World, now

if TYPE_CHECKING:
    from collections.abc import Callable

    from flask import Request

    from cmlutils.emulator.records import Json, Project, User
    from cmlutils.emulator.sessions import Sessions


class Refused(Exception):
    """Raised by a route to have the workspace answer with an error status and ``message``."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


@dataclass
class Reply:
    """An answer: a body to be sent as JSON (or bytes as they are), and a status."""

    body: Any = None
    status: int = 200
    content_type: str = "application/json; charset=utf-8"


@dataclass
class Call:
    """A request by a known user."""

    world: World
    sessions: Sessions
    user: User
    query: dict[str, str]
    body: Json
    uploads: list[bytes] = field(default_factory=list)

    def project(self, owner: str, slug: str, need: str = "read") -> Project:
        """Return the project; refuse with 404 if the caller may not read it, with 403 if they lack ``need``."""
        project = self.world.find_project(owner, slug)
        return self._allowed(project, need)

    def project_by_id(self, project_id: Any, need: str = "read") -> Project:
        """Return the project with this id (a number or decimal text); refuse as ``project`` does."""
        found = next((p for p in self.world.projects if str(p.id) == str(project_id)), None)
        return self._allowed(found, need)

    def _allowed(self, project: Project | None, need: str) -> Project:
        if project is None or not self.world.may(self.user, project, "read"):
            raise Refused(404, "project.notFound")
        if not self.world.may(self.user, project, need):
            raise Refused(403, "forbidden")  # ASSUMED: no public capture of a 403
        return project

    def need_admin(self) -> None:
        """Refuse with 403 unless the caller is a site administrator."""
        if not self.user.admin:
            raise Refused(403, "forbidden")

    def required(self, *names: str) -> None:
        """Refuse with 422 unless the body has all of these fields."""
        for name in names:
            if self.body.get(name) in (None, ""):
                raise Refused(422, f"{name} is required")

    def numbers(self, *names: str) -> None:
        """Refuse with 422 if the body has one of these fields and it is not a number."""
        for name in names:
            value = self.body.get(name, 0)
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                raise Refused(422, f"{name} is not a number")

    def runtime_id(self, project: Project, key: str) -> int | None:
        """Return the runtime's id in the body under ``key``; refuse with 422 if unknown, or missing but needed."""
        runtime_id = self.body.get(key)
        if runtime_id is None:
            if project.engine_type == "ml_runtime":
                raise Refused(422, f"{key} is required in a project that uses runtimes")
            return None
        if isinstance(runtime_id, bool) or not isinstance(runtime_id, int) or self.world.runtime(runtime_id) is None:
            raise Refused(422, f"Failed to fetch runtime info for runtime {runtime_id} : record not found")
        return runtime_id

    def addons(self) -> list[int]:
        """Return the ids of the add-ons that the body names; refuse with 422 if the workspace lacks one."""
        wanted = self.body.get("addons") or []
        known = {addon.id for addon in self.world.addons}
        if not isinstance(wanted, list) or not known.issuperset(wanted):
            raise Refused(422, f"could not process runtime addons {wanted}")
        return list(wanted)

    def environment(self) -> Json:
        """Return the environment in the body; refuse with 422 if it is not an object (or text, if so switched)."""
        value = self.body.get("environment") or {}
        if self.world.switches.environment_wanted_as_string and value:
            if not isinstance(value, str):
                raise Refused(422, "environment expects a JSON string")
            value = json.loads(value)
        if not isinstance(value, dict):
            raise Refused(422, "environment expects JSON object")
        return dict(value)


@dataclass(frozen=True)
class Route:
    """A method, a path (in the notation of Flask), and the view that answers."""

    method: str
    path: str
    view: Callable[..., Reply]
    kind: str = "v1"
    """``v1``, ``v2`` (Bearer with a v2 key), ``public`` (no key), ``session`` (slow: the world is not locked)."""


def read_body(request: Request) -> Json:
    """Return the JSON object in the body; empty for GET and DELETE, and for a body that is not a JSON object."""
    if request.method in {"GET", "DELETE"}:
        return {}
    try:
        body = json.loads(request.get_data() or b"{}")
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def offered_key(header: str) -> tuple[str, str]:
    """Return scheme and key of an Authorization header; the key is empty when there is none."""
    scheme, _, rest = header.partition(" ")
    if scheme.lower() != "basic":
        return scheme.lower(), rest.strip()
    try:
        return "basic", base64.b64decode(rest).decode().partition(":")[0]
    except (binascii.Error, UnicodeDecodeError):
        return "basic", ""


def authenticate(world: World, header: str, kind: str) -> User:
    """Return the user whose key is in the Authorization header; refuse with 401 if there is none."""
    scheme, key = offered_key(header)
    for user in world.users:
        v2_keys = [v2.api_key for v2 in user.v2_keys if v2.expiry_date > now()]
        if kind == "v2" and scheme == "bearer" and key and key in v2_keys:
            return user
        v2_will_do = world.assume.v2_key_on_v1 and world.personality == "cml"
        if kind != "v2" and key and (key == user.api_key or (v2_will_do and key in v2_keys)):
            return user
    raise Refused(401, "Unauthorized")
