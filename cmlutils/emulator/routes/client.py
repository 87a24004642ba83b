"""The client's archive, and the private routes by which the client starts and stops sessions.

Nothing below ``/emulator`` exists on a real workspace: there, cdswctl speaks a protocol of its own.
"""

from __future__ import annotations

import gzip
import io
import os
import sys
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING

from cmlutils.emulator.calls import Call, Refused, Reply, Route

if TYPE_CHECKING:
    from cmlutils.emulator.records import Json, Project
    from cmlutils.emulator.sessions import Session

_VERSION = "2.0.0.91635"
_LONGEST = 127  # bytes of a first line that every system reads
_CDSWCTL = Path(__file__).parent.parent / "cdswctl.py"


def client_archive(os_name: str) -> bytes:
    """Return a gzipped tar with one folder that holds the stand-in cdswctl."""
    folder = f"cdsw-{_VERSION}-{os_name}-amd64"
    packed = io.BytesIO()
    with gzip.GzipFile(fileobj=packed, mode="wb", mtime=0) as zipped, tarfile.open(fileobj=zipped, mode="w") as tar:
        directory = tarfile.TarInfo(folder)
        directory.type, directory.mode = tarfile.DIRTYPE, 0o755
        tar.addfile(directory)
        program = _program()
        member = tarfile.TarInfo(f"{folder}/cdswctl")
        member.size, member.mode = len(program), 0o755
        tar.addfile(member, io.BytesIO(program))
    return packed.getvalue()


def _program() -> bytes:
    """Return the stand-in cdswctl, run by this very Python, as `python3` may be absent or too old for it."""
    line, _, rest = _CDSWCTL.read_bytes().partition(b"\n")
    own = b"#!" + os.fsencode(Path(sys.executable).resolve())
    fits = len(own) < _LONGEST and b" " not in own
    return (own if fits else line) + b"\n" + rest


def get_archive(call: Call, os_name: str, arch: str) -> Reply:  # noqa: ARG001 - every view gets the call
    """Answer with the client for an operating system; refuse with 404 any architecture but amd64."""
    if os_name not in {"linux", "darwin"} or arch != "amd64":
        raise Refused(404, "Not Found")
    return Reply(client_archive(os_name), content_type="application/x-gzip")


def login(call: Call) -> Reply:
    """Answer with the name of the key's user; refuse with 401 if the body has another username."""
    if str(call.body.get("username", "")).lower() != call.user.username.lower():
        raise Refused(401, "Unauthorized")
    if call.sessions.faults.for_session("", "unauthorized"):
        raise Refused(401, "Unauthorized")
    return Reply({"username": call.user.username})


def _session_json(session: Session) -> Json:
    return {
        "id": session.id, "project": session.project, "state": "running", "host": "127.0.0.1",
        "port": session.port, "cut_after": session.cut_after,
    }  # fmt: skip


def _refused(text: str) -> Reply:
    return Reply({"error": text})


def open_session(call: Call) -> Reply:
    """Start a session; answer ``silent`` if the real client would say nothing."""
    name = str(call.body.get("project", ""))
    owner, _, slug = name.rpartition("/")
    project = call.world.find_project(owner or call.user.username, slug)
    trouble = call.sessions.faults.for_session(name, "silent", "unauthorized", "port-taken", "no-port-flag")
    if trouble and trouble.action == "unauthorized":
        raise Refused(401, "Unauthorized")
    if trouble and trouble.action == "no-port-flag" and call.body.get("port"):
        return _refused("unknown flag `port'")
    if trouble and trouble.action == "port-taken":
        return _refused(f"can't listen on port {call.body.get('port') or 7468}")
    if project is None or not call.world.may(call.user, project, "write") or (trouble and trouble.action == "silent"):
        return Reply({"silent": True})
    return _start(call, project)


def _start(call: Call, project: Project) -> Reply:
    wanted = call.body.get("runtime_id")
    runtime = call.world.runtime(wanted)
    if project.engine_type == "ml_runtime" and wanted is None:
        return _refused("runtime-id is required for a project that uses ML runtimes")
    if project.engine_type != "ml_runtime" and wanted is not None:
        return _refused("runtime-id must not be given for a project that uses the legacy engine")
    if wanted is not None and runtime is None:
        return _refused(f"Failed to fetch runtime info for runtime {wanted} : record not found")
    session = call.sessions.open(call.user, project, runtime)
    return Reply(_session_json(session), 201)


def list_sessions(call: Call) -> Reply:
    """Answer with the open sessions of a project."""
    wanted = call.query.get("project", "")
    return Reply([_session_json(session) for session in call.sessions.running() if session.project == wanted])


def stop_session(call: Call, session_id: str) -> Reply:
    """Stop a session; refuse with 404 if no such one is open."""
    for session in call.sessions.running():
        if session.id == session_id:
            call.sessions.stop(session, call.query.get("how", "sessions stop"))
            return Reply(status=204)
    raise Refused(404, "session not found")


ROUTES = [
    Route("GET", "/cli/<os_name>/<arch>/cdsw.tar.gz", get_archive, "public"),
    Route("POST", "/emulator/login", login),
    Route("POST", "/emulator/sessions", open_session, "session"),
    Route("GET", "/emulator/sessions", list_sessions),
    Route("DELETE", "/emulator/sessions/<session_id>", stop_session, "session"),
]
