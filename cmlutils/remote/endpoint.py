"""The one session that the client opens for us on a workspace, with a local port that leads into it.

The tunnel lasts as long as cdswctl runs; SIGINT ends both cdswctl and the session. orphans.py deals with sessions that
outlive it.
"""

from __future__ import annotations

import contextlib
import logging
import re
import socket
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cmlutils import interrupts
from cmlutils.errors import Interrupted, TunnelError
from cmlutils.remote import process
from cmlutils.remote.orphans import Note, confirm_stopped, warn_or_keep_note

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from cmlutils.remote.cdswctl import Client

log = logging.getLogger(__name__)
PORT_TRIES = 5
LEARN_SECONDS = 2.0
_PORT = re.compile(rb"local port (\d{1,5})\b|ssh -p (\d{1,5})\b")
_SESSION = re.compile(rb"on session (\w+) in project")
_PORT_TAKEN = re.compile(rb"can.?t listen on port|address already in use", re.IGNORECASE)
_NO_PORT_FLAG = re.compile(rb"(unknown|undefined|not defined|unrecogni[sz]ed).*port", re.IGNORECASE)
_NO_LOGIN = re.compile(rb"log ?in|logged|401|unauthori[sz]ed|config\.yaml|credential", re.IGNORECASE)


@dataclass(frozen=True)
class Endpoint:
    """An open session: its id (empty if the client did not name it), and the local port that leads to its sshd."""

    child: process.Running
    port: int
    session: str


@contextlib.contextmanager
def endpoint(
    client: Client, project: str, *, runtime_id: int | None, session_file: Path, deadline: float
) -> Iterator[Endpoint]:
    """Open a session of `project` (owner/slug) for the block; then stop it, or leave a note for the next run."""
    own_port, logged_in = True, False  # own_port: we choose the local port, if the client can be told
    for _ in range(PORT_TRIES):
        argv = [str(client.path), "ssh-endpoint", "-p", project, "-c", "1.0", "-m", "0.5"]
        argv += ["-r", str(runtime_id)] if runtime_id is not None else []
        argv += ["--port", str(_free_port())] if own_port else []
        note = Note(session_file, client.workspace.url, project)
        with _noted(client, [*argv, *client.flags], note) as child:
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
        known = [_PORT_TAKEN, *([_NO_PORT_FLAG] if own_port else []), _NO_LOGIN]
        why = next((form for form in known if form.search(said)), None)
        killed = False
        if code is not None and why is None and not note.session:  # perhaps its session was already opening
            killed = code < 0
            warn_or_keep_note(client, note, killed=killed)
        if why is _NO_PORT_FLAG:
            own_port = False
        elif why is _NO_LOGIN and not logged_in:
            client.log_in()
            logged_in = True
        elif why is not _PORT_TAKEN and not killed:
            break
    raise _failure(client, project, said, deadline if code is None else 0)


@contextlib.contextmanager
def _noted(client: Client, argv: Sequence[str], note: Note) -> Iterator[process.Running]:
    """Run the client for the block, noted on disk; at the end, make sure that its session is gone, or keep the note."""
    with contextlib.ExitStack() as stack:
        stack.callback(confirm_stopped, client, note)
        note.save()
        child = stack.enter_context(process.running(argv, env=client.env, grace=3.5, outspoken=True))
        stack.callback(note.ending, child)  # runs before the child is stopped
        yield child


def _await_port(child: process.Running, note: Note, deadline: float) -> tuple[bytes, int]:
    """Read the client's output until it has named port and session; return the output, and the port (0: none)."""
    said, port, end = b"", 0, time.monotonic() + deadline
    for _, line in child.lines(deadline):
        said = (said + line + b"\n")[-20_000:]
        if found := _SESSION.search(line):
            note.opened(found[1].decode())
        if found := _PORT.search(line):
            port = int(found[1] or found[2])
        if port or _PORT_TAKEN.search(line):
            break
    if port and not note.session:  # the lines come in any order
        for _, line in child.lines(min(1.0, max(end - time.monotonic(), 0.1))):
            if found := _SESSION.search(line):
                note.opened(found[1].decode())
                break
    return said, port


def _learn_session(child: process.Running, note: Note) -> None:
    """Give the client a moment to name the session that it is opening, as a session without a name can't be stopped."""
    with interrupts.held():
        for _, line in child.lines(interrupts.at_most(LEARN_SECONDS)):
            if found := _SESSION.search(line):
                note.opened(found[1].decode())
                return
        if child.poll() is None:
            log.warning("A session of %s may be about to start; check in the workspace.", note.project)


def _failure(client: Client, project: str, said: bytes, deadline: float) -> TunnelError:
    if said:
        hint = "Check the API key and whether the user may start sessions in the project."
        if b"x509:" in said:
            hint = "Name a file with its CA's certificates (PEM) as ca_path; on macOS, add them to the keychain, too."
        return TunnelError(f"cdswctl could not open a session of {project}: {client.mask(said)}", hint=hint)
    waited = f"gave no output at all for {deadline:g} s" if deadline else "ended without any output"
    return TunnelError(
        f"cdswctl {waited}: {project} could not start a session, or the name is wrong.",
        hint="May the user start sessions in the project, and not only view it? Check also the user's quota, the "
        "cluster's free capacity, and that remote editing is allowed.",
    )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
