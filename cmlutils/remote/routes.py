"""What the routes of v1 and v2 have in common: addresses of quoted parts, and checks of the shape of replies."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from cmlutils.errors import AnswerLost, ApiError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cmlutils.remote.http import Http

Json = dict[str, Any]
MAX_SEGMENT = 1000
_UNFIT = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")


def segment(text: object) -> str:
    """Return the text quoted as one segment of a path; raise ApiError for what would change the path."""
    name = str(text)
    if name in {"", ".", ".."} or len(name) > MAX_SEGMENT or _UNFIT.search(name):
        raise ApiError(f"{name[:80]!r} can't be part of an address.")
    return quote(name, safe="")


def an_object(reply: object, route: str, *, wrote: bool = False) -> Json:
    """Return the reply if it is a JSON object; otherwise raise ApiError, or AnswerLost after a write."""
    if isinstance(reply, dict):
        return reply
    raise (AnswerLost if wrote else ApiError)(f"{route} returned {_kind(reply)} where an object was expected.")


def a_list(reply: object, route: str) -> list[Json]:
    """Return the reply if it is a JSON array of objects; otherwise raise ApiError."""
    if not isinstance(reply, list):
        raise ApiError(f"{route} returned {_kind(reply)} where a list was expected.")
    for item in reply:
        if not isinstance(item, dict):
            raise ApiError(f"{route} returned a list with {_kind(item)} in it where objects were expected.")
    return reply


def _kind(reply: object) -> str:
    names = {dict: "an object", list: "a list", str: "a text", type(None): "nothing", bool: "true or false"}
    return names.get(type(reply), "a number")


def _is_id(value: object) -> bool:
    """Tell whether it is a whole number above 0, given as a number or as a text."""
    if type(value) is int:
        return 0 < value < 1 << 63
    return isinstance(value, str) and re.fullmatch(r"[1-9][0-9]{0,17}", value) is not None


class Routes:
    """The ways to ask v1, each of which checks the reply.

    With `question`, a POST with this body is sent, which only asks; otherwise a GET.
    """

    def __init__(self, http: Http) -> None:
        self.http = http

    def an_object(self, path: str, **params: object) -> Json:
        """Return the object at this path."""
        return an_object(self.http.get(path, params=params or None), f"{self.http.host} GET {path}")

    def a_list(self, path: str, *, question: Json | None = None, **params: object) -> list[Json]:
        """Return the list of objects at this path."""
        return a_list(*self._asked(path, question, params))

    def numbered(self, path: str, *, question: Json | None = None) -> list[Json]:
        """Return the list at this path, whose items must have different ids."""
        reply, route = self._asked(path, question, {})
        rows = a_list(reply, route)
        if not all(_is_id(row.get("id")) for row in rows):
            raise ApiError(f"{route} returned a list in which something has no usable id.")
        if len({str(row["id"]) for row in rows}) < len(rows):
            raise ApiError(f"{route} returned a list in which two things have the same id.")
        return rows

    def the_one(self, path: str, wanted: object, *, question: Json | None = None) -> Json:
        """Return the thing with the id `wanted`; a reply without an id is accepted."""
        reply, route = self._asked(path, question, {})
        found = an_object(reply, route)
        if str(found.setdefault("id", wanted)) != str(wanted):
            raise ApiError(f"{route} returned something other than what was asked for.")
        return found

    def _asked(self, path: str, question: Json | None, params: Json) -> tuple[object, str]:
        """Return the reply, and the route as a text for errors."""
        if question is None:
            return self.http.get(path, params=params or None), f"{self.http.host} GET {path}"
        return self.http.send("POST", path, question, idempotent=True), f"{self.http.host} POST {path}"

    def create(self, path: str, body: Mapping[str, Any]) -> Json:
        """Return what was created; without an id in the reply, nobody knows whether it was, so that is AnswerLost."""
        route = f"{self.http.host} POST {path}"
        made = an_object(self.http.send("POST", path, body), route, wrote=True)
        if not _is_id(made.get("id")):
            raise AnswerLost(f"{route} returned an object without an id.")
        return made

    def change(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> None:
        """Send an idempotent request (PUT, PATCH, DELETE), which is repeated if its answer gets lost."""
        self.http.send(method, path, body, idempotent=True)
