"""Projects: listing them, finding the one that is meant, and their settings."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from cmlutils.errors import ApiError, ConfigError, Rejected
from cmlutils.project import creator_of, owner_of, team_of
from cmlutils.reader import Reader
from cmlutils.remote.routes import Json, Routes, an_object, segment
from cmlutils.remote.v1 import users

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cmlutils.project import ProjectRef

log = logging.getLogger(__name__)

PAGE = 30
MAX_PAGES = 1000


def address(project: ProjectRef) -> str:
    """Return the path of a project."""
    return f"/api/v1/projects/{segment(project.owner)}/{segment(project.slug)}"


class Projects:
    """The projects of a workspace."""

    def __init__(self, routes: Routes, people: users.Users) -> None:
        self._routes = routes
        self._users = people

    def visible_to(self, username: str, name: str = "") -> list[Json]:
        """Return the projects visible to this user, with a name like `name` if one is given, each once.

        CML returns pages; CDSW ignores limit and offset, and always returns everything.
        """
        path = f"{users.address(username)}/projects-summary"
        params: Json = {"all": "true", "scope": "all", "context": username, "sortColumn": "updated_at"}
        if name:
            params["projectName"] = name
        found: dict[str, Json] = {}
        for page in range(MAX_PAGES):
            rows = self._routes.a_list(path, **params, limit=PAGE, offset=page * PAGE)
            before = len(found)
            for row in rows:
                found.setdefault(_identity(row), row)
            if len(rows) != PAGE or len(found) == before:
                return list(found.values())
        raise ApiError(f"{self._routes.http.host} GET {path} has not come to an end after {MAX_PAGES} pages.")

    def find(self, name: str, username: str, owner: str = "") -> Json | None:
        """Return the summary row of the project with exactly this name; None if there is none.

        Its owner is `owner`; if that is empty, `username`, or else the only one of the user's teams with such a
        project. Raises ConfigError if several teams have one.
        """
        rows = [row for row in self.visible_to(username, name) if row.get("name") == name]
        wanted = owner or username
        own = [row for row in rows if owner_of(row) == wanted]
        if not own and owner and owner != username:
            own = self._owned(owner, name)
        if not own and not owner:
            own = [row for row in rows if self._in_team(row, username)]
        if len(own) > 1:
            owners = sorted({owner_of(row) for row in own})
            raise ConfigError(
                f"{self._routes.http.host} has {len(own)} projects named {name!r}, of {', '.join(owners)}.",
                hint="Say which one with owner_username in the ini file."
                if len(owners) > 1
                else "Rename all but one of them.",
            )
        if own and not owner and owner_of(own[0]) != username:
            log.info("project %r is taken from the team %s", name, owner_of(own[0]))
        return own[0] if own else None

    def _owned(self, owner: str, name: str) -> list[Json]:
        """Return this owner's projects with this name, as the owner's own list shows them."""
        try:
            rows = self.visible_to(owner, name)
        except Rejected:
            return []
        return [row for row in rows if row.get("name") == name and owner_of(row) == owner]

    def _in_team(self, row: Json, username: str) -> bool:
        """Tell whether a project belongs to a team of which this user is a member."""
        team = team_of(row)
        made = creator_of(row) == username
        return bool(team) and (made or self._users.is_member(team, username))

    def teams_of(self, username: str) -> list[str]:
        """Return the teams of which this user is a member, among those that own a project visible to the user."""
        teams = {team_of(row) for row in self.visible_to(username)}
        return sorted(team for team in teams if team and self._users.is_member(team, username))

    def get(self, project: ProjectRef) -> Json:
        """Return a whole project; raise ApiError if the workspace returns another one than that of this id."""
        path = address(project)
        return self._routes.the_one(path, project.id) if project.id else self._routes.an_object(path)

    def create(self, context: str, body: Mapping[str, Any]) -> Json:
        """Create a project of this user or team."""
        return self._routes.create(f"{users.address(context)}/projects", body)

    def patch(self, project: ProjectRef, body: Mapping[str, Any]) -> None:
        """Change a project's settings."""
        self._routes.change("PATCH", address(project), body)

    def environment(self, project: ProjectRef) -> dict[str, str]:
        """Return the project's environment variables."""
        path = f"{address(project)}/environment"
        reply = {"environment": self._routes.an_object(path)}
        return Reader(reply, f"{self._routes.http.host} GET {path}").environment()

    def put_environment(self, project: ProjectRef, body: Mapping[str, str]) -> None:
        """Replace the whole environment of a project."""
        self._routes.change("PUT", f"{address(project)}/environment", body)

    def file(self, project: ProjectRef, path: str) -> bytes:
        """Return a project file's bytes."""
        quoted = "/".join(segment(part) for part in path.split("/"))
        return self._routes.http.content(f"{address(project)}/files/{quoted}")

    def collaborators(self, project: ProjectRef) -> list[Json]:
        """Return who else may use the project."""
        return self._routes.a_list(f"{address(project)}/collaborators")

    def put_collaborator(self, project: ProjectRef, username: str, body: Mapping[str, Any]) -> None:
        """Let a user or team use the project."""
        self._routes.change("PUT", f"{address(project)}/collaborators/{segment(username)}", body)

    def engine_image(self, project: ProjectRef) -> Json:
        """Return the project's default engine image; empty if it has none, however the workspace says so."""
        path = f"{address(project)}/engine-images"
        return an_object(self._routes.http.get(path) or {}, f"{self._routes.http.host} GET {path}")


def _identity(row: Json) -> str:
    """Return what identifies a project: its id, else owner and slug."""
    if row.get("id") is not None:
        return f"id {row['id']}"
    if row.get("public_identifier"):
        return f"public {row['public_identifier']}"
    return f"slug {owner_of(row)}/{row.get('slug_raw') or row.get('name')}"
