"""The legacy v1 API: one method a route, replies checked for their shape at the door."""

from __future__ import annotations

import json
import logging
import re
from datetime import timezone
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from cmlutils.config import Secret
from cmlutils.errors import AnswerLost, ApiError, ConfigError, Rejected
from cmlutils.log import hide

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from cmlutils.remote.http import Http

log = logging.getLogger(__name__)

Json = dict[str, Any]
MAX_SEGMENT = 1000
_UNFIT = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
PAGE = 30
MAX_PAGES = 1000


def segment(text: object) -> str:
    """Return one path segment, quoted; refuse what would change the path."""
    name = str(text)
    if name in {"", ".", ".."} or len(name) > MAX_SEGMENT or _UNFIT.search(name):
        raise ApiError(f"{name[:80]!r} can't be part of an address.")
    return quote(name, safe="")


def _project(owner: str, slug: str) -> str:
    return f"/api/v1/projects/{segment(owner)}/{segment(slug)}"


def _user(username: str) -> str:
    return f"/api/v1/users/{segment(username)}"


def _model(verb: str) -> str:
    return f"/api/altus-ds-1/models/{verb}"


def an_object(reply: object, route: str, *, wrote: bool = False) -> Json:
    """Return a reply that is a JSON object; after a write, anything else is a lost answer."""
    if isinstance(reply, dict):
        return reply
    raise (AnswerLost if wrote else ApiError)(f"{route} gave {_kind(reply)} where an object was expected.")


def a_list(reply: object, route: str) -> list[Json]:
    """Return a reply that is a JSON array of objects."""
    if not isinstance(reply, list):
        raise ApiError(f"{route} gave {_kind(reply)} where a list was expected.")
    for item in reply:
        if not isinstance(item, dict):
            raise ApiError(f"{route} gave a list with {_kind(item)} where objects were expected.")
    return reply


def _kind(reply: object) -> str:
    names = {dict: "an object", list: "a list", str: "a text", type(None): "nothing", bool: "true or false"}
    return names.get(type(reply), "a number")


def _created(reply: object, route: str) -> Json:
    """Return what was created; it must have an id, else nobody knows whether it was."""
    made = an_object(reply, route, wrote=True)
    if not _is_id(made.get("id")):
        raise AnswerLost(f"{route} gave an object without id.")
    return made


def _is_id(value: object) -> bool:
    """Whether it is a whole number above 0, as a number or as a text."""
    if type(value) is int:
        return 0 < value < 1 << 63
    return isinstance(value, str) and re.fullmatch(r"[1-9][0-9]{0,17}", value) is not None


def _numbered(rows: list[Json], route: str) -> list[Json]:
    """Return a list of things that each have an id, of their own."""
    ids = [str(row["id"]) if _is_id(row.get("id")) else "" for row in rows]
    if "" in ids:
        raise ApiError(f"{route} gave a list with something without a usable id.")
    if len({*ids}) < len(ids):
        raise ApiError(f"{route} gave a list in which two things have the same id.")
    return rows


def _the_one(reply: Json, wanted: object, route: str) -> Json:
    """Return a reply that is about what was asked for; it may leave the id out."""
    if str(reply.setdefault("id", wanted)) != str(wanted):
        raise ApiError(f"{route} gave something else than was asked for.")
    return reply


def _person(row: Json, role: str) -> Json:
    """Return the owner or creator of a project row; empty when it is missing."""
    value = row.get(role)
    return value if isinstance(value, dict) else {}


class ApiV1:
    """The v1 routes of one workspace, in its own words: plain JSON in and out.

    A write that got no usable answer raises AnswerLost: look first, then decide. What may be done twice (PUT,
    PATCH, DELETE) is repeated by itself, so NotFound from a delete may mean that an earlier try did it.
    """

    def __init__(self, http: Http) -> None:
        self.http = http

    def _get(self, path: str, **params: object) -> Json:
        return an_object(self.http.get(path, params=params or None), f"{self.http.host} GET {path}")

    def _list(self, path: str, **params: object) -> list[Json]:
        return a_list(self.http.get(path, params=params or None), f"{self.http.host} GET {path}")

    def _create(self, path: str, body: Mapping[str, Any]) -> Json:
        return _created(self.http.send("POST", path, body), f"{self.http.host} POST {path}")

    # Users, teams, site

    def user(self, username: str) -> Json:
        """Return the record of a user or a team."""
        return self._get(_user(username))

    def teams(self, username: str) -> list[str]:
        """Return the teams, of those that own a project visible to this user, that the user belongs to."""
        owners = {
            str(_person(row, "owner").get("username", ""))
            for row in self.projects(username)
            if _person(row, "owner").get("type") == "organization"
        }
        return sorted(team for team in owners if team and self._is_member(team, username))

    def _is_member(self, team: str, username: str) -> bool:
        """Whether a team lists this user; a team that shows no members gets the benefit of the doubt."""
        try:
            members = self.user(team).get("teamMembers")
        except Rejected:
            return True
        if not isinstance(members, list):
            return True
        return any(isinstance(member, dict) and member.get("username") == username for member in members)

    def site_config(self) -> Json:
        """Return the site's settings."""
        return self._get("/api/v1/site/config")

    def bypass_allowed(self) -> bool:
        """Tell whether applications may be open to all; a workspace that does not say is taken to allow it."""
        try:
            return self.site_config().get("allow_unauthenticated_access_to_app") is not False
        except Rejected:
            return True

    def release(self) -> str:
        """Return the workspace's release as it calls itself; empty when it does not say."""
        try:
            stats = self._list("/api/v1/site/stats")
        except Rejected:
            return ""
        values = [row.get("value") for row in stats if row.get("key") == "config.release"]
        return str(values[0]) if values and values[0] is not None else ""

    def create_v2_key(self, username: str, expiry: datetime) -> tuple[Secret, str]:
        """Make a v2 key that ends at this time; return it with its id."""
        path = f"{_user(username)}/apikey"
        until = expiry.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
        route = f"{self.http.host} POST {path}"
        reply = an_object(self.http.send("POST", path, {"expiryDate": until}), route, wrote=True)
        key, keyid = reply.get("apiKey"), reply.get("keyid")
        if not isinstance(key, str) or not key or not isinstance(keyid, str):
            raise AnswerLost(f"{route} gave an object without apiKey and keyid.")
        hide(key)
        return Secret(key), keyid

    def v2_keys(self, username: str) -> list[Json]:
        """Return the v2 keys of a user by their ids, without the keys themselves."""
        return self._list(f"{_user(username)}/apikey")

    def delete_v2_key(self, username: str, keyid: str, *, patient: bool = False) -> None:
        """Revoke a v2 key; in one short try at the end of a run, unless `patient`."""
        path = f"{_user(username)}/apikey/{segment(keyid)}"
        self.http.send("DELETE", path, repeat=True, patient=patient)

    # Projects

    def projects(self, username: str, name: str = "") -> list[Json]:
        """Return the projects visible to this user whose name is like this one, each once.

        CML gives pages; CDSW ignores limit and offset and gives everything each time.
        """
        path = f"{_user(username)}/projects-summary"
        params: Json = {"all": "true", "scope": "all", "context": username, "sortColumn": "updated_at"}
        if name:
            params["projectName"] = name
        found: dict[str, Json] = {}
        for page in range(MAX_PAGES):
            rows = self._list(path, **params, limit=PAGE, offset=page * PAGE)
            before = len(found)
            for row in rows:
                found.setdefault(_identity(row), row)
            if len(rows) != PAGE or len(found) == before:
                return list(found.values())
        raise ApiError(f"{self.http.host} GET {path} does not come to an end after {MAX_PAGES} pages.")

    def find_project(self, name: str, username: str, owner: str = "") -> Json | None:
        """Return the summary row of the project of exactly this name, None when there is none.

        Its owner is `owner`, else `username`, else the only team of the user that has one.
        Raises ConfigError when several teams have.
        """
        rows = [row for row in self.projects(username, name) if row.get("name") == name]
        wanted = owner or username
        own = [row for row in rows if _person(row, "owner").get("username") == wanted]
        if not own and owner and owner != username:
            own = self._owned(owner, name)
        if not own and not owner:
            own = [row for row in rows if self._in_team(row, username)]
        if len(own) > 1:
            owners = sorted({str(_person(row, "owner").get("username")) for row in own})
            raise ConfigError(
                f"{self.http.host} has {len(own)} projects named {name!r}, of {', '.join(owners)}.",
                hint="Say which one with owner_username in the ini file."
                if len(owners) > 1
                else "Rename all but one of them.",
            )
        if own and not owner and _person(own[0], "owner").get("username") != username:
            log.info("project %r is taken from the team %s", name, _person(own[0], "owner").get("username"))
        return own[0] if own else None

    def _owned(self, owner: str, name: str) -> list[Json]:
        """Return this owner's projects of this name as the owner's own list shows them."""
        try:
            rows = self.projects(owner, name)
        except Rejected:
            return []
        return [row for row in rows if row.get("name") == name and _person(row, "owner").get("username") == owner]

    def _in_team(self, row: Json, username: str) -> bool:
        """Whether a project is in a team that this user belongs to."""
        owner = _person(row, "owner")
        team = owner.get("username")
        if owner.get("type") != "organization" or not isinstance(team, str) or not team:
            return False
        return _person(row, "creator").get("username") == username or self._is_member(team, username)

    def project(self, owner: str, slug: str) -> Json:
        """Return a whole project."""
        return self._get(_project(owner, slug))

    def create_project(self, context: str, body: Mapping[str, Any]) -> Json:
        """Create a project of this user or team."""
        return self._create(f"{_user(context)}/projects", body)

    def patch_project(self, owner: str, slug: str, body: Mapping[str, Any]) -> None:
        """Change a project's settings; a change of owner moves its path, so it is not repeated."""
        self.http.send("PATCH", _project(owner, slug), body, repeat="newOwnerId" not in body)

    def environment(self, owner: str, slug: str) -> Json:
        """Return the project's environment variables."""
        path = f"{_project(owner, slug)}/environment"
        found = self._get(path)
        if not all(isinstance(value, (str, int, float)) for value in found.values()):
            raise ApiError(f"{self.http.host} GET {path} gave a value that is not a text.")
        return {name: value if isinstance(value, str) else json.dumps(value) for name, value in found.items()}

    def put_environment(self, owner: str, slug: str, body: Mapping[str, Any]) -> None:
        """Replace the whole environment of a project."""
        self.http.send("PUT", f"{_project(owner, slug)}/environment", body, repeat=True)

    def file(self, owner: str, slug: str, path: str) -> bytes:
        """Return a project file's bytes."""
        quoted = "/".join(segment(part) for part in path.split("/"))
        return self.http.content(f"{_project(owner, slug)}/files/{quoted}")

    def collaborators(self, owner: str, slug: str) -> list[Json]:
        """Return who else may use the project."""
        return self._list(f"{_project(owner, slug)}/collaborators")

    def put_collaborator(self, owner: str, slug: str, username: str, body: Mapping[str, Any]) -> None:
        """Let a user or team use the project."""
        path = f"{_project(owner, slug)}/collaborators/{segment(username)}"
        self.http.send("PUT", path, body, repeat=True)

    def engine_image(self, owner: str, slug: str) -> Json:
        """Return the project's default engine image."""
        return self._get(f"{_project(owner, slug)}/engine-images")

    # Jobs

    def jobs(self, owner: str, slug: str) -> list[Json]:
        """Return the project's jobs; `job` gives more of each."""
        path = f"{_project(owner, slug)}/jobs"
        return _numbered(self._list(path), f"{self.http.host} GET {path}")

    def job(self, owner: str, slug: str, job_id: object) -> Json:
        """Return a whole job."""
        path = f"{_project(owner, slug)}/jobs/{segment(job_id)}"
        return _the_one(self._get(path), job_id, f"{self.http.host} GET {path}")

    def create_job(self, owner: str, slug: str, body: Mapping[str, Any]) -> Json:
        """Create a job; one with a schedule is live at once."""
        return self._create(f"{_project(owner, slug)}/jobs", body)

    def patch_job(self, owner: str, slug: str, job_id: object, body: Mapping[str, Any]) -> None:
        """Change a job (a route that no public capture proves: read back)."""
        self.http.send("PATCH", f"{_project(owner, slug)}/jobs/{segment(job_id)}", body, repeat=True)

    def delete_job(self, owner: str, slug: str, job_id: object) -> None:
        """Delete a job."""
        self.http.send("DELETE", f"{_project(owner, slug)}/jobs/{segment(job_id)}", repeat=True)

    # Applications

    def applications(self, owner: str, slug: str) -> list[Json]:
        """Return the project's applications."""
        path = f"{_project(owner, slug)}/applications"
        return _numbered(self._list(path), f"{self.http.host} GET {path}")

    def application(self, owner: str, slug: str, app_id: object) -> Json:
        """Return one application."""
        path = f"{_project(owner, slug)}/applications/{segment(app_id)}"
        return _the_one(self._get(path), app_id, f"{self.http.host} GET {path}")

    def create_application(self, owner: str, slug: str, body: Mapping[str, Any]) -> Json:
        """Create an application, which starts it."""
        return self._create(f"{_project(owner, slug)}/applications", body)

    def stop_application(self, owner: str, slug: str, app_id: object) -> None:
        """Stop an application (a route that no public capture proves: read back)."""
        path = f"{_project(owner, slug)}/applications/{segment(app_id)}/stop"
        self.http.send("PUT", path, {}, repeat=True)

    def stop_dashboard(self, owner: str, slug: str, dashboard_id: object) -> None:
        """Stop an engine, as an application's current one."""
        path = f"{_project(owner, slug)}/dashboards/{segment(dashboard_id)}/stop"
        self.http.send("PUT", path, {}, repeat=True)

    def delete_application(self, owner: str, slug: str, app_id: object) -> None:
        """Delete an application."""
        self.http.send("DELETE", f"{_project(owner, slug)}/applications/{segment(app_id)}", repeat=True)

    # Models

    def models(self, project_id: int | str) -> list[Json]:
        """Return a project's models with their latest build and deployment."""
        path = _model("list-models")
        body = {"projectId": project_id, "latestModelDeployment": True, "latestModelBuild": True}
        route = f"{self.http.host} POST {path}"
        rows = _numbered(a_list(self.http.send("POST", path, body, repeat=True), route), route)
        return [row for row in rows if str(_person(row, "project").get("id", project_id)) == str(project_id)]

    def model(self, model_id: object) -> Json:
        """Return a whole model with its latest build and deployment."""
        path = _model("get-model")
        body = {"id": str(model_id), "latestModelDeployment": True, "latestModelBuild": True}
        route = f"{self.http.host} POST {path}"
        return _the_one(an_object(self.http.send("POST", path, body, repeat=True), route), model_id, route)

    def create_model(self, body: Mapping[str, Any]) -> Json:
        """Create a model; unless the body says otherwise it is built and deployed too."""
        return self._create(_model("create-model"), body)

    def build_model(self, body: Mapping[str, Any]) -> object:
        """Build a model (which may deploy it too: read back)."""
        reply: object = self.http.send("POST", _model("build-model"), body)
        return reply

    def delete_model(self, model_id: object) -> None:
        """Delete a model."""
        self.http.send("POST", _model("delete-model"), {"id": str(model_id)})

    def set_model_auth(self, model_id: object, *, enabled: bool) -> None:
        """Say whether calling a model needs a key."""
        self.http.send("POST", _model("set-model-auth"), {"id": str(model_id), "enableAuth": enabled})

    # Runtimes

    def runtimes(self) -> list[Json]:
        """Return all runtimes, also old and disabled ones."""
        path = "/api/v1/runtimes"
        reply = self._get(path, includeAll="true", runtimeCatalog="true")
        return a_list(reply.get("runtimes"), f"{self.http.host} GET {path}")

    def runtime_addons(self, component: str = "Spark") -> list[Json]:
        """Return the runtime addons of a component."""
        path = "/api/v1/runtime-addons"
        reply = self.http.send("POST", path, {"component": component}, repeat=True)
        return a_list(reply, f"{self.http.host} POST {path}")


def _identity(row: Json) -> str:
    """Return what tells one project from another: the id, else owner and slug."""
    if row.get("id") is not None:
        return f"id {row['id']}"
    if row.get("public_identifier"):
        return f"public {row['public_identifier']}"
    return f"slug {_person(row, 'owner').get('username')}/{row.get('slug_raw') or row.get('name')}"
