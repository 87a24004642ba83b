"""The one session that the client opens for us on a workspace, with a local port that leads into it.

cdswctl is the tunnel for as long as it runs; SIGINT ends both it and the session. That the session is gone is
looked up afterwards, and a note on disk lets the next run stop what this one could not, or tell of it.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import socket
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cmlutils import interrupts
from cmlutils.bundle import write_json
from cmlutils.errors import CommandError, Interrupted, TunnelError
from cmlutils.remote import process

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from cmlutils.remote.cdswctl import Client

log = logging.getLogger(__name__)
PORT_TRIES = 5
LEARN_SECONDS = 2.0
PATIENCE = 5.0  # seconds for the client to list or stop sessions; after a signal, what is left of its time
_PORT = re.compile(rb"local port (\d{1,5})\b|ssh -p (\d{1,5})\b")
_SESSION = re.compile(rb"on session (\w+) in project")
_LOGIN = re.compile(rb"log ?in|logged|401|unauthori[sz]ed|config\.yaml|credential", re.IGNORECASE)
_NO_PORT_FLAG = re.compile(rb"(unknown|undefined|not defined|unrecogni[sz]ed).*port", re.IGNORECASE)
_STOPPED = b"unexpected end of JSON input"  # so says the client when it has stopped a session
_UNKNOWN = re.compile(rb"not found|404|no such|does not exist", re.IGNORECASE)
_PORT_TAKEN = re.compile(rb"can.?t listen on port|address already in use", re.IGNORECASE)


@dataclass(frozen=True)
class Endpoint:
    """An open session: its id (empty if the client did not say) and the local port that leads to its sshd."""

    child: process.Running
    port: int
    session: str


@contextlib.contextmanager
def endpoint(
    client: Client, project: str, *, runtime_id: int | None, session_file: Path | None, deadline: float
) -> Iterator[Endpoint]:
    """Open a session of `project` (owner/slug) for the block, then stop it, or note it for the next run."""
    own_port, logged_in = True, False
    for attempt in range(PORT_TRIES):
        argv = [str(client.path), "ssh-endpoint", "-p", project, "-c", "1.0", "-m", "0.5"]
        argv += ["-r", str(runtime_id)] if runtime_id is not None else []
        argv += ["--port", str(_free_port())] if own_port else []
        note = _Note(session_file, client.workspace.url, project)
        with contextlib.ExitStack() as stack:
            stack.callback(_confirm_stopped, client, note)
            note.save()
            running = process.running([*argv, *client.flags], env=client.env, grace=3.5, outspoken=True)
            child = stack.enter_context(running)
            stack.callback(note.ending, child)  # runs before the child is stopped
            try:
                said, port = _await_port(child, note, deadline)
            except Interrupted:
                _learn_session(child, note)
                raise
            if port:
                child.drop()
                yield Endpoint(child, port, note.session)
                return
            code = child.wait(0.1)
        last = attempt + 1 == PORT_TRIES
        killed = code is not None and code < 0 and not note.session
        if killed and not last:
            if _tell_of_nameless(client, project):
                note.closed()
            else:
                note.put_aside()
            continue
        if _PORT_TAKEN.search(said) and not last:
            continue
        if own_port and _NO_PORT_FLAG.search(said):
            own_port = False
        elif _LOGIN.search(said) and not logged_in:
            client.log_in()
            logged_in = True
        else:
            raise _failure(client, project, said, deadline if code is None else 0)
    raise TunnelError("cdswctl could not open a local port.")


def _await_port(child: process.Running, note: _Note, deadline: float) -> tuple[bytes, int]:
    """Read what the client says until it has named port and session; return all it said, and port or 0."""
    said, port, end = b"", 0, time.monotonic() + deadline
    for _, line in child.lines(deadline):
        said = (said + line + b"\n")[-20_000:]
        if found := _SESSION.search(line):
            note.opened(found[1].decode())
        if found := _PORT.search(line):
            port = int(found[1] or found[2])
        if port or _PORT_TAKEN.search(line):
            break
    if port and not note.session:  # the other line may come second
        for _, line in child.lines(min(1.0, max(end - time.monotonic(), 0.1))):
            if found := _SESSION.search(line):
                note.opened(found[1].decode())
                break
    return said, port


def _learn_session(child: process.Running, note: _Note) -> None:
    """Give the client a moment to name the session that it is just opening: one without a name can't be stopped."""
    with interrupts.held():
        for _, line in child.lines(interrupts.at_most(LEARN_SECONDS)):
            if found := _SESSION.search(line):
                note.opened(found[1].decode())
                return
        if child.poll() is None:
            log.warning("A session of %s may be about to start; look in the workspace.", note.project)


def _failure(client: Client, project: str, said: bytes, deadline: float) -> TunnelError:
    if said:
        return TunnelError(
            f"cdswctl could not open a session of {project}: {client.mask(said)}",
            hint="Check the API key and whether the user may start sessions in the project.",
        )
    waited = f"gave no output at all for {deadline:g} s" if deadline else "ended without a word"
    return TunnelError(
        f"cdswctl {waited}: {project} could not start a session, or the name is wrong.",
        hint="Check the user's quota, the cluster's free capacity, and that remote editing is allowed.",
    )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class _Note:
    """The open session on disk, or that one is being opened, for the next run if this one can't stop it."""

    def __init__(self, path: Path | None, url: str, project: str) -> None:
        self.path, self.url, self.project, self.session = path, url, project, ""
        self._child: process.Running | None = None
        self._lived = False

    def save(self) -> None:
        """Write it down; without an id as long as the session has not named itself."""
        if self.path:
            note = {"id": self.session, "project": self.project, "url": self.url, "pid": os.getpid()}
            write_json(self.path, note)

    def opened(self, session: str) -> None:
        self.session = session
        self.save()

    def ending(self, child: process.Running) -> None:
        """Keep the client in mind, and whether it lives to be interrupted."""
        self._child, self._lived = child, child.poll() is None

    @property
    def ended(self) -> bool:
        """Whether the client, if there was one, ended by itself: no session of it is left without a name."""
        code = self._child.poll() if self._child else 0
        return code is not None and code >= 0

    @property
    def interrupted(self) -> bool:
        """Whether the client took our SIGINT and ended by itself, as it does when it stops its session."""
        return self._lived and self.ended

    def closed(self) -> None:
        if self.path:
            self.path.unlink(missing_ok=True)

    def put_aside(self) -> None:
        """Keep it under another name, for the next run to try again."""
        if self.path and self.path.exists():
            _put_aside(self.path, self.session)


def _confirm_stopped(client: Client, note: _Note) -> None:
    with interrupts.held():
        if note.session:
            gone = stop_session(client, note.project, note.session, interrupted=note.interrupted)
        else:
            gone = note.ended
        if gone:
            note.closed()


def stop_session(client: Client, project: str, session: str, *, interrupted: bool = False) -> bool:
    """Stop a session unless it is gone already; return whether it is. Never raises an expected failure.

    That a list does not name it proves it gone if the list names others, or if its client was `interrupted`;
    an empty list alone may be all that a client has to say.
    """
    try:
        listed = client.sessions("list", "-p", project, timeout=PATIENCE)
        unlisted = not listed.code and session.encode() not in listed.out
        if unlisted and (interrupted or listed.out.strip()):
            return True
        stopped = client.sessions("stop", "-s", session, "-p", project, timeout=PATIENCE)
        said = stopped.out + stopped.err
        gone = not stopped.code or _STOPPED in said or bool(unlisted and _UNKNOWN.search(said))
    except CommandError as error:
        log.debug("stopping the session: %s", error)
        gone = False
    if not gone:
        log.warning("Session %s of %s may still be running; stop it in the workspace.", session, project)
    return gone


def _tell_of_nameless(client: Client, project: str) -> bool:
    """Name the sessions, one of which may be what was just being opened when we were killed; return whether it is done.

    None is stopped: it may be somebody's work.
    """
    try:
        listed = client.sessions("list", "-p", project, timeout=PATIENCE)
    except CommandError:
        return False
    if names := client.mask(listed.out):
        log.warning(
            "A run was killed while it opened a session of %s. Stop it in the workspace if it is one of these:\n%s",
            project,
            names,
        )
    return not listed.code


def close_orphan(client: Client, session_file: Path) -> None:
    """Stop the sessions that were left behind, if their notes are of this workspace.

    The note of one that can't be stopped now gets another name, for the next run to try again.
    """
    for path in (session_file, *session_file.parent.glob(f"{session_file.stem}-*.json")):
        try:
            note = json.loads(path.read_text(encoding="utf-8"))
            session, project, url = str(note["id"]), str(note["project"]), str(note["url"])
        except (OSError, ValueError, KeyError, TypeError):
            continue
        if url != client.workspace.url:
            continue
        done = stop_session(client, project, session) if session else _tell_of_nameless(client, project)
        if done:
            path.unlink(missing_ok=True)
        elif path == session_file:
            _put_aside(path, session)


def _put_aside(path: Path, session: str) -> None:
    name = session or "nameless"
    if name.isalnum():
        path.replace(path.with_name(f"{path.stem}-{name}.json"))
