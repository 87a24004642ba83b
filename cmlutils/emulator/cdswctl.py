#!/usr/bin/env python3
"""Stand-in for cdswctl: it prints, opens and leaves behind what the real client does, but talks to the emulator.

The emulated workspace serves this very file as the client, so it needs nothing but Python's standard library. Of the
real client's commands it has those that cmlutil runs:

  login          Log in to a workspace
  sessions       list, stop
  ssh-endpoint   Open an SSH endpoint to a new session
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import ssl
import sys
import threading
import urllib.parse
from pathlib import Path
from typing import Any, NoReturn

_BUFFER = 256 * 1024


class Failure(Exception):
    """Raised to end the command with this text on standard error and exit code 1."""


# --- words ---------------------------------------------------------------------------------------------------------

_LETTERS = {
    "login": {"n": "username", "u": "url", "y": "api-key"},
    "sessions": {"p": "project", "s": "session-id"},
    "ssh-endpoint": {"p": "project", "c": "cores", "m": "memory", "g": "gpus", "r": "runtime-id"},
}
_MORE = {"ssh-endpoint": {"port", "addons"}}  # flags that have no letter


def parse(command: str, words: list[str]) -> dict[str, str]:
    """Return the flags by long name, parsed as go-flags does; a flag that takes no value has an empty one."""
    letters = _LETTERS[command]
    known = {*letters.values(), *_MORE.get(command, ()), "insecure-skip-verify"}
    flags: dict[str, str] = {}
    rest = list(words)
    while rest:
        word = rest.pop(0)
        name, given, value = word.lstrip("-").partition("=")
        name = name if word.startswith("--") else letters.get(name, name)
        if not word.startswith("-") or name not in known:
            raise Failure(f"unknown flag `{name}'")
        if name != "insecure-skip-verify" and not given:
            if not rest:
                raise Failure(f"expected argument for flag `--{name}'")
            value = rest.pop(0)
        flags[name] = value
    return flags


def need(flags: dict[str, str], *names: str) -> None:
    """Fail unless all of these flags have a value."""
    for name in names:
        if not flags.get(name):
            raise Failure(f"the required flag `--{name}' was not specified")


# --- the login -----------------------------------------------------------------------------------------------------


def config_file() -> Path:
    """Return the path of the file that keeps the login."""
    return Path(os.environ.get("HOME", "/")) / ".cdsw" / "config.yaml"


def write_config(username: str, url: str, key: str) -> None:
    """Write a login to the file, in the form that the vendor documents."""
    path = config_file()
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    text = f"username: {username}\nurl: {url}\nauth:\n  authtype: 1\n  basic: null\n  apikey: {key}\n"
    path.write_text(text, encoding="utf-8")


def read_config() -> dict[str, str]:
    """Return username, url and apikey of the login; the file may also be written by hand."""
    try:
        lines = config_file().read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise Failure("You are not logged in. Run: cdswctl login") from error
    found = {}
    for line in lines:
        name, colon, value = line.strip().partition(":")
        if colon:
            found[name.strip()] = unquote(value.strip())
    if not all(found.get(name) for name in ("username", "url", "apikey")):
        raise Failure(f"{config_file()}: username, url or auth.apikey is missing")
    return found


def unquote(value: str) -> str:
    """Return a YAML scalar without its quotes."""
    if value[:1] == '"':
        return str(json.loads(value))
    if value[:1] == "'":
        return value[1:-1].replace("''", "'")
    return value


# --- the workspace -------------------------------------------------------------------------------------------------


class Workspace:
    """The workspace at a url, with a key."""

    def __init__(self, url: str, key: str, *, verify: bool) -> None:
        parts = urllib.parse.urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise Failure(f'Get "{url}": unsupported protocol scheme "{parts.scheme}"')
        self.parts = parts
        self.key = key
        self.verify = verify

    def connect(self, timeout: float | None = 60) -> http.client.HTTPConnection:
        """Return a connection that is not yet open."""
        host, port = str(self.parts.hostname), self.parts.port
        if self.parts.scheme == "http":
            return http.client.HTTPConnection(host, port, timeout=timeout)
        context = ssl.create_default_context()
        if not self.verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return http.client.HTTPSConnection(host, port, timeout=timeout, context=context)

    def send(self, connection: http.client.HTTPConnection, method: str, path: str, body: Any = None) -> Any:
        """Return the response to a request; if there is none, fail as the real client does."""
        headers = {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"}
        try:
            connection.request(method, path, json.dumps(body) if body is not None else None, headers)
            return connection.getresponse()
        except ssl.SSLCertVerificationError as error:
            raise Failure(f"{method} {path}: x509: certificate signed by unknown authority") from error
        except (OSError, http.client.HTTPException) as error:
            raise Failure(f"{method} {path}: {error}") from error

    def ask(self, method: str, path: str, body: Any = None, timeout: float = 60) -> Any:
        """Return the JSON of an answer, None if it is empty; fail if it is an error."""
        connection = self.connect(timeout)
        try:
            response = self.send(connection, method, path, body)
            data = response.read()
        finally:
            connection.close()
        if response.status >= 400:
            raise Failure(f"{response.status} {response.reason}: {data.decode(errors='replace')}")
        return json.loads(data) if data else None


def open_workspace(flags: dict[str, str]) -> Workspace:
    """Return the workspace that the login is for."""
    config = read_config()
    return Workspace(config["url"], config["apikey"], verify="insecure-skip-verify" not in flags)


def login(words: list[str]) -> int:
    """Check the key with the workspace and keep the login."""
    flags = parse("login", words)
    need(flags, "username", "url", "api-key")
    workspace = Workspace(flags["url"], flags["api-key"], verify="insecure-skip-verify" not in flags)
    workspace.ask("POST", "/emulator/login", {"username": flags["username"]})
    write_config(flags["username"], flags["url"], flags["api-key"])
    print("Login succeeded")
    return 0


# --- sessions ------------------------------------------------------------------------------------------------------


def sessions(words: list[str]) -> int:
    """List a project's open sessions, or stop one."""
    verb, flags = words[0] if words else "", parse("sessions", words[1:])
    need(flags, "project")
    workspace = open_workspace(flags)
    if verb == "list":
        project = urllib.parse.quote(flags["project"], safe="")
        for session in workspace.ask("GET", f"/emulator/sessions?project={project}"):
            print(f"{session['id']}: {session['state']} {session['project']}")
        return 0
    if verb == "stop":
        need(flags, "session-id")
        workspace.ask("DELETE", f"/emulator/sessions/{flags['session-id']}")
        raise Failure("unexpected end of JSON input")  # the real client ends so, too, when it succeeds
    raise Failure(f"Unknown command `{verb}'")


class Interrupted(BaseException):
    """Raised on Ctrl-C."""


def interrupt(*_: object) -> NoReturn:
    """Turn SIGINT into an exception."""
    raise Interrupted


def ssh_endpoint(words: list[str]) -> int:
    """Start a session and forward a local port to it until Ctrl-C, which stops the session.

    Hang without output where the real client does.
    """
    flags = parse("ssh-endpoint", words)
    need(flags, "project")
    runtime = flags.get("runtime-id", "")
    if runtime and not runtime.isdigit():
        raise Failure(f"invalid argument for flag `-r, --runtime-id' (expected int): {runtime}")
    workspace = open_workspace(flags)
    listener = listen(int(flags.get("port") or 0))
    wanted = {"project": flags["project"], "runtime_id": int(runtime) if runtime else None, "port": flags.get("port")}
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # or an interrupted start would leave a session open
    session = workspace.ask("POST", "/emulator/sessions", wanted)
    try:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        while session.get("silent"):
            signal.pause()
        if "error" in session:
            raise Failure(session["error"])
        Tunnel(workspace, session).serve(listener, flags["project"])
    except Interrupted:
        if "id" in session:
            stop(workspace, session["id"])
    return 1


def listen(port: int) -> socket.socket:
    """Return a socket that listens on the local port; 0 means any free port."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", port))
    except OSError as error:
        raise Failure(f"can't listen on port {port}: {error.strerror}") from error
    listener.listen(64)
    return listener


def stop(workspace: Workspace, session_id: str) -> None:
    """Stop the session, if the workspace can be reached."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        workspace.ask("DELETE", f"/emulator/sessions/{session_id}?how=interrupted", timeout=5)
    except Failure as failure:
        print(failure, file=sys.stderr)


class Tunnel:
    """Connections between the local port and the session. All of them die with the workspace; the port stays."""

    def __init__(self, workspace: Workspace, session: Any) -> None:
        self.workspace = workspace
        self.session = session
        self.dead = threading.Event()
        self.lock = threading.Lock()
        self.ends: list[socket.socket] = []
        self.passed = 0

    def serve(self, listener: socket.socket, project: str) -> NoReturn:
        """Print how to connect, and forward connections for ever."""
        self.hold()
        port = listener.getsockname()[1]
        print(f"Forwarding local port {port} to port 2222 on session {self.session['id']} in project {project}")
        print(f"You can SSH to the session using\n    ssh -p {port} cdsw@localhost", flush=True)
        while True:
            near, _ = listener.accept()
            threading.Thread(target=self.forward, args=(near,), daemon=True).start()

    def hold(self) -> None:
        """Open a connection to the workspace; when it ends, so does the tunnel."""
        connection = self.workspace.connect(timeout=None)
        response = self.workspace.send(connection, "GET", f"/emulator/sessions/{self.session['id']}/hold")
        response.readline()
        threading.Thread(target=self.watch, args=(connection, response), daemon=True).start()

    def watch(self, connection: Any, response: Any) -> None:
        """Wait until the workspace ends the connection, then end the tunnel."""
        with contextlib.suppress(OSError):
            response.readline()
        connection.close()
        self.die()

    def die(self) -> None:
        """Drop all connections; from now on every new one is dropped at once."""
        with self.lock:
            self.dead.set()
            ends, self.ends = self.ends, []
        for end in ends:
            shut(end, socket.SHUT_RDWR)

    def forward(self, near: socket.socket) -> None:
        """Connect a local connection to the session and copy in both directions."""
        if self.dead.is_set():
            near.close()
            return
        try:
            far = socket.create_connection((self.session["host"], self.session["port"]), timeout=30)
        except OSError:
            near.close()
            return
        far.settimeout(None)
        for end in (near, far):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with self.lock:
            self.ends += [near, far]
        if self.dead.is_set():
            self.die()
        back = threading.Thread(target=self.copy, args=(far, near), daemon=True)
        back.start()
        self.copy(near, far)
        back.join()
        with self.lock:
            self.ends = [end for end in self.ends if end not in (near, far)]
        near.close()
        far.close()

    def copy(self, source: socket.socket, sink: socket.socket) -> None:
        """Copy one direction to its end; drop everything once the session's ``cut_after`` bytes have passed."""
        limit = self.session["cut_after"]
        buffer = memoryview(bytearray(_BUFFER))
        try:
            while size := source.recv_into(buffer):
                sink.sendall(buffer[:size])
                self.passed += size
                if limit and self.passed >= limit:
                    self.die()
        except OSError:
            shut(source, socket.SHUT_RDWR)
        shut(sink, socket.SHUT_WR)


def shut(end: socket.socket, how: int) -> None:
    """Shut a socket that may be closed already."""
    with contextlib.suppress(OSError):
        end.shutdown(how)


def main(words: list[str]) -> int:
    """Run a command line; return the exit code."""
    commands = {"login": login, "sessions": sessions, "ssh-endpoint": ssh_endpoint}
    if not words or words[0] in {"-h", "--help"} or "--help" in words:
        print(__doc__)
        return 0
    if words[0] not in commands:
        print(f"Unknown command `{words[0]}'", file=sys.stderr)
        return 1
    signal.signal(signal.SIGINT, interrupt)  # even if a script started it in the background, with SIGINT ignored
    try:
        return commands[words[0]](words[1:])
    except Failure as failure:
        print(failure, file=sys.stderr)
        return 1
    except Interrupted:
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
