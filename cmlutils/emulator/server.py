"""A workspace on 127.0.0.1: ``with start_workspace(World.load(path), personality="cdsw") as workspace: …``."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import tempfile
import threading
import time
import urllib.parse
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from werkzeug.test import run_wsgi_app

from cmlutils.emulator import app, certs, wire
from cmlutils.emulator.faults import BEFORE, Faults
from cmlutils.emulator.routes import applications, models
from cmlutils.emulator.sessions import Session, Sessions

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cmlutils.emulator.records import Event, Project
    from cmlutils.emulator.world import World

Personality = Literal["cdsw", "cml"]

_STEPS = 4  # more steps than any status has left to go
_HOLD = re.compile(r"/emulator/sessions/(\w+)/hold")


@dataclass
class Recorded:
    """A request that came in: ``json`` is its body if that was JSON, ``status`` is 0 if there was no answer."""

    method: str
    path: str
    query: dict[str, str]
    json: Any
    status: int = 0
    when: float = field(default_factory=time.time)

    def __str__(self) -> str:
        return f"{self.method} {self.path} -> {self.status or 'no answer'}"


class Workspace:
    """A running workspace; use it as a context manager, or call ``close``."""

    def __init__(
        self,
        world: World,
        personality: Personality,
        state_dir: Path,
        *,
        port: int = 0,
        tls: bool = False,
    ) -> None:
        if re.search(r"[^\w./-]", str(state_dir)):
            raise ValueError(
                f"{state_dir}: the state folder's path may hold letters, digits, '.', '_', '-' and '/' only"
            )
        state_dir.mkdir(parents=True, exist_ok=True)
        world.open(personality, state_dir)
        self.world = world
        self.personality = personality
        self.state_dir = state_dir
        self.faults = Faults(world.faults)
        self._scratch = tempfile.TemporaryDirectory(prefix="cmlutils-emulator-")
        self._sessions = Sessions(self.faults, Path(self._scratch.name), ready_after=world.pace.session_seconds)
        self._requests: list[Recorded] = []
        self._requests_lock = threading.Lock()
        self._released = threading.Event()
        self._place_holder: socket.socket | None = None
        self.ca_file: Path | None = state_dir / "ca.pem" if tls else None
        self._tls = certs.server_context(self.ca_file) if self.ca_file else None
        self._app = app.make_app(world, self._sessions)
        try:
            self._server: wire.Server | None = wire.Server(port, self._answer, self._released, self._tls)
        except BaseException:
            self._scratch.cleanup()
            raise
        self.port = int(self._server.server_address[1])
        self.url = f"{'https' if tls else 'http'}://{'localhost' if tls else '127.0.0.1'}:{self.port}"
        world.url = self.url

    def __enter__(self) -> Workspace:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def requests(self) -> list[Recorded]:
        """Return the requests so far, in the order in which they came, without those of cdswctl."""
        with self._requests_lock:
            return list(self._requests)

    def forget_requests(self) -> None:
        """Empty ``requests``."""
        with self._requests_lock:
            self._requests.clear()

    @property
    def sessions(self) -> list[Session]:
        """Return the open sessions."""
        return self._sessions.running()

    @property
    def session_log(self) -> list[Session]:
        """Return all sessions, both open and ended."""
        return list(self._sessions.log)

    @property
    def went_live(self) -> list[Event]:
        """Return the events of things that went live since the workspace started, in order."""
        with self.world.lock:
            return list(self.world.went_live)

    def settle(self) -> None:
        """Bring everything under way to its end: builds, deployments, starts and stops of applications."""
        with self.world.lock:
            pace, self.world.pace = self.world.pace, replace(self.world.pace, polls=0)
            for project in self.world.projects:
                for _ in range(_STEPS):
                    for application in project.applications:
                        applications.polled(self.world, project, application)
                    for model in project.models:
                        models.polled(self.world, model)
            self.world.pace = pace

    def project(self, owner: str, slug: str) -> Project:
        """Return a project, whose field ``files`` is its folder; raise KeyError."""
        with self.world.lock:
            return self.world.project(owner, slug)

    def cut_tunnels(self) -> None:
        """Break every tunnel, as a gateway does; cdswctl and the sessions stay."""
        self._sessions.cut()

    def go_down(self) -> None:
        """Refuse connections and reset those that are open; sessions stay, their tunnels die."""
        server, self._server = self._server, None
        if server is None:
            return
        server.close()
        self._place_holder = socket.socket()  # reserves the port without listening, so connections are refused
        self._place_holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._place_holder.bind(("127.0.0.1", self.port))

    def come_up(self) -> None:
        """Serve again, on the same port."""
        if self._server is not None:
            return
        if self._place_holder:
            self._place_holder.close()
            self._place_holder = None
        self._server = wire.Server(self.port, self._answer, self._released, self._tls)

    def close(self) -> None:
        """Stop everything: hanging requests, sessions and what runs in them, the server."""
        self._released.set()
        self.go_down()
        self._sessions.close()
        if self._place_holder:
            self._place_holder.close()
            self._place_holder = None
        self._scratch.cleanup()

    def _answer(self, incoming: wire.Request) -> wire.Answer:
        if incoming.path.startswith("/emulator/"):
            held = _HOLD.fullmatch(incoming.path)
            return wire.Answer(until=self._sessions.hold(held[1])) if held else self._apply(incoming)
        recorded = self._record(incoming)
        fault = self.faults.for_request(incoming.method, incoming.path, incoming.body)
        if fault and fault.action in BEFORE:
            answer = wire.before(fault, self._released)
        else:
            answer = self._apply(incoming)
            answer = wire.after(fault, answer, self._released) if fault else answer
        recorded.status = 0 if answer.reset else answer.status
        return answer

    def _record(self, incoming: wire.Request) -> Recorded:
        try:
            body = json.loads(incoming.body) if incoming.body else None
        except ValueError:
            body = None
        query = dict(urllib.parse.parse_qsl(incoming.query))
        recorded = Recorded(incoming.method, incoming.path, query, body)
        with self._requests_lock:
            self._requests.append(recorded)
        return recorded

    def _apply(self, incoming: wire.Request) -> wire.Answer:
        parts, status, headers = run_wsgi_app(self._app, incoming.environ(), buffered=True)
        kept = {name: value for name, value in headers.items() if name != "Content-Length"}
        return wire.Answer(int(status.split()[0]), b"".join(parts), kept)


@contextlib.contextmanager
def start_workspace(
    world: World,
    *,
    personality: Personality = "cml",
    tls: bool = False,
    port: int = 0,
    state_dir: Path | None = None,
) -> Iterator[Workspace]:
    """Run a workspace that uses this world as its live state; raise OSError if the port is taken.

    Without ``state_dir`` the projects' files live in a temporary folder that is removed at the end.
    """
    with contextlib.ExitStack() as stack:
        folder = state_dir or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="cmlutils-workspace-")))
        yield stack.enter_context(Workspace(world, personality, folder.resolve(), port=port, tls=tls))
