"""Users, teams and API keys."""

from __future__ import annotations

import re
import secrets
from typing import TYPE_CHECKING

from cmlutils.emulator.calls import Call, Refused, Reply, Route
from cmlutils.emulator.records import User, V2Key
from cmlutils.emulator.shapes import user_json
from cmlutils.emulator.world import now

if TYPE_CHECKING:
    from cmlutils.emulator.records import Json


def _user(call: Call, username: str) -> User:
    found = call.world.find_user(username)
    if found is None:
        raise Refused(404, "user.notFound")
    return found


def _self(call: Call, username: str) -> User:
    user = _user(call, username)
    if user is not call.user and not call.user.admin:
        raise Refused(403, "forbidden")
    return user


def get_user(call: Call, username: str) -> Reply:
    """Answer with a user or team."""
    return Reply(user_json(call.world, _user(call, username), call.user))


def list_users(call: Call) -> Reply:
    """Answer with all users and teams."""
    return Reply([user_json(call.world, user, call.user) for user in call.world.users])


def list_site_users(call: Call) -> Reply:
    """Answer with a page of users or teams (administrators only)."""
    call.need_admin()
    wanted = [user for user in call.world.users if call.query.get("type") in (None, user.type)]
    offset = int(call.query.get("offset", 0))
    page = wanted[offset : offset + int(call.query.get("limit", 100))]
    return Reply([user_json(call.world, user, call.user) for user in page])


def create_user(call: Call) -> Reply:
    """Create a user (administrators only) or a team, whose creator becomes its owner."""
    call.required("username")
    team = call.body.get("type") == "organization"
    if not team:
        call.need_admin()
    username = str(call.body["username"])
    if call.world.find_user(username):
        raise Refused(422, "username already exists")
    user = User(
        username, str(call.body.get("name") or username), call.world.next_id(),
        type="organization" if team else "user", api_key="" if team else secrets.token_hex(16),
        members={call.user.username: "owner"} if team else {},
    )  # fmt: skip
    call.world.users.append(user)
    return Reply(user_json(call.world, user, call.user), 201)


def add_member(call: Call, username: str) -> Reply:
    """Add a user to a team."""
    team = _user(call, username)
    call.required("username", "permission")
    member = _user(call, str(call.body["username"]))
    if not call.user.admin and team.members.get(call.user.username) != "owner":
        raise Refused(403, "forbidden")
    if member.username in team.members:
        raise Refused(422, f"{member.username} is already a member of this team")
    team.members[member.username] = str(call.body["permission"])
    return Reply(user_json(call.world, team, call.user), 201)


def create_key(call: Call, username: str) -> Reply:
    """Create a v2 key."""
    user = _self(call, username)
    expiry = str(call.body.get("expiryDate", ""))
    if not re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", expiry):
        raise Refused(422, "expiryDate is not a date")
    key_id = secrets.token_hex(32)
    key = V2Key(key_id, f"{secrets.token_hex(32)}.{secrets.token_hex(32)}", now(), expiry)
    user.v2_keys.append(key)
    return Reply({"apiKey": key.api_key, **_key_json(key), "comments": None})


def _key_json(key: V2Key) -> Json:
    return {"keyid": key.key_id, "created_at": key.created_at[:10], "expiry_date": key.expiry_date[:10]}


def list_keys(call: Call, username: str) -> Reply:
    """Answer with the v2 keys of a user, without the keys themselves."""
    return Reply([_key_json(key) for key in _self(call, username).v2_keys])


def delete_key(call: Call, username: str, key_id: str) -> Reply:
    """Delete a v2 key."""
    user = _self(call, username)
    kept = [key for key in user.v2_keys if key.key_id != key_id]
    if len(kept) == len(user.v2_keys):
        raise Refused(404, "apikey.notFound")
    user.v2_keys[:] = kept
    return Reply({})


ROUTES = [
    Route("GET", "/api/v1/users", list_users),
    Route("POST", "/api/v1/users", create_user),
    Route("GET", "/api/v1/users/<username>", get_user),
    Route("POST", "/api/v1/users/<username>/members", add_member),
    Route("GET", "/api/v1/users/<username>/apikey", list_keys),
    Route("POST", "/api/v1/users/<username>/apikey", create_key),
    Route("DELETE", "/api/v1/users/<username>/apikey/<key_id>", delete_key),
    Route("GET", "/api/v1/site/users", list_site_users),
]
