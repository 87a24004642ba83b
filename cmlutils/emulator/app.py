"""The Flask application of a workspace: routes to views, keys to users, refusals to JSON."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any

from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException

from cmlutils.emulator import calls
from cmlutils.emulator.records import User
from cmlutils.emulator.routes import ROUTES

if TYPE_CHECKING:
    from cmlutils.emulator.sessions import Sessions
    from cmlutils.emulator.world import World


def make_app(world: World, sessions: Sessions) -> Flask:
    """Return the Flask application that serves the routes from this world."""
    app = Flask("cmlutils.emulator", static_folder=None)
    app.url_map.strict_slashes = True
    app.url_map.merge_slashes = False
    for route in ROUTES:
        view = _view(route, world, sessions)
        app.add_url_rule(route.path, f"{route.method} {route.path}", view, methods=[route.method])
    app.register_error_handler(HTTPException, lambda error: _json({"message": error.name}, error.code or 500))
    return app


def _view(route: calls.Route, world: World, sessions: Sessions) -> Any:
    """Return the Flask view of a route: it checks the caller, locks the world, and turns refusals into JSON."""

    def view(**place: Any) -> Response:
        body = calls.read_body(request)
        uploads = [part.read() for part in request.files.values()] + [v.encode() for v in request.form.values()]
        with contextlib.nullcontext() if route.kind == "session" else world.lock:
            try:
                user = _caller(route, world)
                call = calls.Call(world, sessions, user, request.args.to_dict(), body, uploads)
                reply = route.view(call, **place)
            except calls.Refused as refused:
                return _refusal(route, refused)
        return _json(reply.body, reply.status, reply.content_type)

    return view


def _caller(route: calls.Route, world: World) -> User:
    """Return the calling user; refuse with 401 if the key is unknown, with 404 if the workspace lacks this API."""
    if route.kind == "v2" and world.switches.no_v2:
        raise calls.Refused(404, "Not Found")
    if route.kind == "public":
        return User("nobody")
    return calls.authenticate(world, request.headers.get("Authorization", ""), route.kind)


def _refusal(route: calls.Route, refused: calls.Refused) -> Response:
    body: dict[str, Any] = {"message": refused.message}
    if route.kind == "v2":
        body |= {"error": refused.message, "code": {401: 16, 403: 7, 404: 5}.get(refused.status, 3), "details": []}
    return _json(body, refused.status)


def _json(body: Any, status: int, content_type: str = "application/json; charset=utf-8") -> Response:
    if status == 204:
        return Response(status=204)
    data = body if isinstance(body, bytes) else json.dumps(body)
    return Response(data, status, content_type=content_type)
