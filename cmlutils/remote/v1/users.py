"""Users and teams, and the v2 keys of a user."""

from __future__ import annotations

from datetime import timezone
from typing import TYPE_CHECKING

from cmlutils.errors import AnswerLost, NotFound, Rejected
from cmlutils.log import hide
from cmlutils.remote.routes import Json, Routes, a_list, an_object, segment
from cmlutils.section import Secret

if TYPE_CHECKING:
    from datetime import datetime

    from cmlutils.remote.http import Http


def address(username: str) -> str:
    """Return the path of a user or team."""
    return f"/api/v1/users/{segment(username)}"


class Users:
    """Users and teams: v1 keeps both in one place."""

    def __init__(self, routes: Routes) -> None:
        self._routes = routes

    def get(self, username: str) -> Json:
        """Return the record of a user or a team."""
        return self._routes.an_object(address(username))

    def migrating(self, username: str) -> Json:
        """Return the record of the migrating user; raise NotFound, with a hint on what to check, if there is none."""
        try:
            return self.get(username)
        except NotFound as error:
            raise NotFound(
                f"There is no user {username!r} at {self._routes.http.workspace.url} ({error.status}).",
                status=error.status,
                hint="Check username and url: the url is the workspace's, without a path of a project.",
            ) from error

    def is_member(self, team: str, username: str) -> bool:
        """Tell whether a team lists this user, in capitals or not; a team that shows no members is assumed to."""
        try:
            members = self.get(team).get("teamMembers")
        except Rejected:
            return True
        if not isinstance(members, list):
            return True
        names = {str(member.get("username")).lower() for member in members if isinstance(member, dict)}
        return username.lower() in names


class V2Keys:
    """The keys with which a user may use v2."""

    def __init__(self, http: Http) -> None:
        self._http = http

    def of(self, username: str, *, patient: bool = True) -> list[Json]:
        """Return what is known of a user's v2 keys, but not the keys themselves; in one short try unless `patient`."""
        path = f"{address(username)}/apikey"
        return a_list(self._http.send("GET", path, idempotent=True, patient=patient), f"{self._http.host} GET {path}")

    def create(self, username: str, expiry: datetime) -> tuple[Secret, str]:
        """Create a v2 key that expires at this time; return it and its id, which is empty if the reply lacks it."""
        path = f"{address(username)}/apikey"
        until = expiry.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
        route = f"{self._http.host} POST {path}"
        reply = an_object(self._http.send("POST", path, {"expiryDate": until}), route, wrote=True)
        key, keyid = reply.get("apiKey"), reply.get("keyid")
        if not isinstance(key, str) or not key:
            raise AnswerLost(f"{route} returned an object without apiKey.")
        hide(key)
        return Secret(key), keyid if isinstance(keyid, str) else ""

    def delete(self, username: str, keyid: str, *, patient: bool = False) -> None:
        """Revoke a v2 key; in one short try unless `patient`."""
        path = f"{address(username)}/apikey/{segment(keyid)}"
        self._http.send("DELETE", path, idempotent=True, patient=patient)
