"""Sessions that may outlive us: noted on disk while they are open, stopped at the end, or else by the next run.

Whether a session is gone is always checked. Sessions that can't be stopped, or have no name, are reported.
"""

from __future__ import annotations

import logging
import os
import re
import time
from typing import TYPE_CHECKING

from cmlutils import interrupts, strict_json
from cmlutils.errors import CommandError
from cmlutils.urls import same_workspace
from cmlutils.wholefile import write_json

if TYPE_CHECKING:
    from pathlib import Path

    from cmlutils.remote import process
    from cmlutils.remote.cdswctl import Client

log = logging.getLogger(__name__)
PATIENCE = 5.0  # seconds for the client to list or stop sessions; fewer after a signal
_TRIES = (0.0, 1.0, 2.0, 4.0)  # seconds to wait before each try to stop our own session
_STOPPED = b"unexpected end of JSON input"  # the client says this although it stopped the session
_UNKNOWN = re.compile(rb"not found|404|no such|does not exist", re.IGNORECASE)


class Note:
    """A note on disk that a session is open, or being opened, for the next run in case this one can't stop it."""

    def __init__(self, path: Path, url: str, project: str) -> None:
        self.path, self.url, self.project, self.session = path, url, project, ""
        self._child: process.Running | None = None
        self._lived = False

    def save(self) -> None:
        """Write the note; it has no id until the client has named the session."""
        write_json(self.path, {"id": self.session, "project": self.project, "url": self.url, "pid": os.getpid()})

    def opened(self, session: str) -> None:
        """Add the session's id to the note."""
        self.session = session
        self.save()

    def ending(self, child: process.Running) -> None:
        """Remember the client, which is about to be stopped, and whether it still runs."""
        self._child, self._lived = child, child.poll() is None

    @property
    def ended(self) -> bool:
        """Whether the client ended without being killed by a signal; also true if there was none."""
        code = self._child.poll() if self._child else 0
        return code is not None and code >= 0

    @property
    def interrupted(self) -> bool:
        """Whether the client handled our SIGINT and then ended by itself, as it does when it stops its session."""
        return self._lived and self.ended

    def closed(self) -> None:
        """Remove the note: the session is gone."""
        self.path.unlink(missing_ok=True)


def confirm_stopped(client: Client, note: Note) -> None:
    """Make sure that the session is gone; otherwise keep its note for the next run."""
    with interrupts.held():
        gone = _stop_in_time(client, note) if note.session else note.ended
        if gone:
            note.closed()


def _stop_in_time(client: Client, note: Note) -> bool:
    """Try a few times to stop the session, as the workspace may be away; after a signal, while time is left."""
    for pause in _TRIES:
        if interrupts.at_most(pause) < pause:
            break
        time.sleep(pause)
        if stop_session(client, note.project, note.session, interrupted=note.interrupted):
            return True
    _warn(note.session, note.project)
    return False


def stop_session(client: Client, project: str, session: str, *, interrupted: bool = False) -> bool:
    """Stop a session unless it is gone already; return whether it is gone. Raises none of our errors.

    A list without the session proves that it is gone if the list names others, or if its client was `interrupted`;
    a list that is just empty may mean that the client can't list.
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
    return gone


def _warn(session: str, project: str) -> None:
    log.warning("Session %s of %s may still be running; stop it in the workspace.", session, project)


def warn_or_keep_note(client: Client, note: Note, *, killed: bool) -> None:
    """Warn of a session that the client may have left without naming it.

    The note stays, so that `warn_again` or the next run tries once more, if sessions can't be listed now, or if none is
    listed and the client was `killed`: the session that it had just asked for may begin a moment later.
    """
    names = warn_of_nameless(client, note.project)
    if names is None or (killed and not names):
        note.save()
        _put_aside(note.path, note.session)
    else:
        note.closed()


def warn_again(client: Client, session_file: Path) -> None:
    """At the end of a tunnel, warn of what a client of this run may have left without naming it."""
    _settle(client, _aside(session_file, ""))


def warn_of_nameless(client: Client, project: str) -> str | None:
    """Warn of the project's sessions, one of which may be ours, and return what was told; None: they can't be listed.

    None is stopped: any of them may be somebody's work.
    """
    try:
        listed = client.sessions("list", "-p", project, timeout=PATIENCE)
    except CommandError:
        return None
    if names := client.mask(listed.out):
        log.warning(
            "cdswctl ended while it was opening a session of %s. If it is one of these, stop it in the workspace:\n%s",
            project,
            names,
        )
    return None if listed.code else names


def close_orphan(client: Client, session_file: Path) -> None:
    """Stop the sessions that earlier runs left behind on this workspace, as their notes say.

    The note of a session that can't be stopped now is kept under another name, for the next run to try again.
    """
    for path in (session_file, *session_file.parent.glob(f"{session_file.stem}-*.json")):
        left = _settle(client, path)
        if left is not None and path == session_file:
            _put_aside(path, left)


def left_open(folder: Path) -> list[str]:
    """Return a to-do for each session that a note in this folder says may still be running."""
    notes = [note for path in sorted(folder.glob("session-*.json")) if (note := _noted(path))]
    return [
        f"{f'Session {session}' if session else 'A session'} of {project} may still be running: stop it on {url}. "
        "The next run there tries, too."
        for session, project, url in notes
    ]


def _noted(path: Path) -> tuple[str, str, str] | None:
    """Return session, project and url of a note; None if there is none, or it is damaged."""
    try:
        note = strict_json.loads(path.read_bytes())
        return str(note["id"]), str(note["project"]), str(note["url"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _settle(client: Client, path: Path) -> str | None:
    """Stop the session of a note, or warn of one without a name, then remove the note; return its id if it stays."""
    note = _noted(path)
    if note is None:
        return None
    session, project, url = note
    if not same_workspace(url, client.workspace.url):
        return None
    done = stop_session(client, project, session) if session else warn_of_nameless(client, project) is not None
    if done:
        path.unlink(missing_ok=True)
        return None
    if session:
        _warn(session, project)
    return session


def _put_aside(path: Path, session: str) -> None:
    """Keep a note under another name, for the next run to try again."""
    if not session or session.isalnum():
        path.replace(_aside(path, session))


def _aside(path: Path, session: str) -> Path:
    return path.with_name(f"{path.stem}-{session or 'nameless'}.json")
