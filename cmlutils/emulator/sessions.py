"""The sessions of a workspace: real ssh (asyncssh) into a project's folder, real commands, real rsync."""

from __future__ import annotations

import asyncio
import secrets
import string
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from cmlutils.emulator import ssh

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from pathlib import Path

    from cmlutils.emulator.faults import Faults
    from cmlutils.emulator.records import Project, Runtime, User

T = TypeVar("T")

_ALPHABET = string.ascii_lowercase + string.digits


@dataclass
class Session:
    """A session, running or not; times are seconds since the epoch."""

    id: str
    project: str
    user: str
    runtime_id: int | None
    started: float
    stopped: float | None = None
    how: str = ""
    """How it ended: interrupted (cdswctl got SIGINT), sessions stop, project deleted, workspace closed."""
    port: int = 0
    cut_after: int = 0
    """Bytes after which cdswctl's tunnel dies; 0 for never."""
    sshd: ssh.Sshd = field(default_factory=ssh.Sshd, repr=False)
    tunnels: list[threading.Event] = field(default_factory=list, repr=False)
    """An event for each cdswctl that is connected to the session; setting it ends that connection."""


class Sessions:
    """All sessions of one workspace; its asyncio thread starts with the first of them."""

    def __init__(self, faults: Faults, scratch: Path, *, ready_after: float = 0) -> None:
        self.faults = faults
        self.log: list[Session] = []
        self._lock = threading.RLock()
        self._scratch = scratch
        self._ready_after = ready_after
        self._closing = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def running(self) -> list[Session]:
        """Return the open sessions."""
        with self._lock:
            return [session for session in self.log if session.stopped is None]

    def open(self, user: User, project: Project, runtime: Runtime | None) -> Session:
        """Start a session in the project that accepts the user's ssh keys."""
        self._closing.wait(self._ready_after)
        refused = self.faults.for_session(project.path, "refused-key")
        no_rsync = self.faults.for_session(project.path, "no-rsync")
        cut = self.faults.for_session(project.path, "cut")
        session_id = "".join(secrets.choice(_ALPHABET) for _ in range(16))
        session = Session(session_id, project.path, user.username, runtime.id if runtime else None, time.time())
        session.cut_after = cut.after_bytes if cut else 0
        session.sshd = ssh.Sshd(
            folder=project.files,
            keys="" if refused else ssh.authorized_keys(user.ssh_keys),
            has_rsync=not no_rsync and (runtime is None or runtime.has_rsync),
            scratch=self._scratch,
        )
        session.port = self._do(session.sshd.listen())
        with self._lock:
            self.log.append(session)
        return session

    def stop(self, session: Session, how: str) -> None:
        """Stop a session and everything that runs in it; ``how`` is kept in the log."""
        with self._lock:
            if session.stopped is not None:
                return
            session.stopped, session.how = time.time(), how
        self._do(session.sshd.close())
        _lose(session)

    def stop_all(self, project: str, how: str) -> None:
        """Stop the sessions of the project ``owner/slug``, or of all projects if ``project`` is empty."""
        for session in self.running():
            if project in {"", session.project}:
                self.stop(session, how)

    def hold(self, session_id: str) -> threading.Event:
        """Return an event that is set when a cdswctl is to lose this session, at once if the session has ended."""
        lost = threading.Event()
        with self._lock:
            for session in self.log:
                if session.id == session_id and session.stopped is None:
                    session.tunnels.append(lost)
                    return lost
        lost.set()
        return lost

    def cut(self) -> None:
        """Cut all tunnels; the sessions go on."""
        for session in self.running():
            _lose(session)
            self._do(session.sshd.drop_connections())

    def close(self) -> None:
        """Stop all sessions and the thread."""
        self._closing.set()
        self.stop_all("", "workspace closed")
        with self._lock:
            loop, thread, self._loop, self._thread = self._loop, self._thread, None, None
        if loop and thread:
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            loop.close()

    def _do(self, work: Coroutine[Any, Any, T]) -> T:
        """Run this in the asyncio thread and wait for it."""
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(target=self._loop.run_forever, name="sessions", daemon=True)
                self._thread.start()
            loop = self._loop
        return asyncio.run_coroutine_threadsafe(work, loop).result()


def _lose(session: Session) -> None:
    tunnels, session.tunnels = session.tunnels, []
    for lost in tunnels:
        lost.set()
