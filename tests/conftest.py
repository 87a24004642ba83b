"""What every test gets: its own home folder, no network beyond loopback, and a way to run command lines."""

import json
import os
import shlex
import signal
import socket
from dataclasses import dataclass

import pytest
import responses
from standin import StandIn

from cmlutils.cli.main import run
from cmlutils.remote import cdswctl, rsync, tunnel
from cmlutils.section import Secret, Workspace

# As the program does: with SIGINT ignored, as in the background of a script, all that the tests start would ignore it.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def home(tmp_path_factory, monkeypatch):
    """A new HOME for the test, without the developer's environment variables."""
    folder = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("HOME", str(folder))
    for name in list(os.environ):
        if (
            name.startswith(("CMLUTILS_", "GIT_", "SSH_", "REQUESTS_", "CURL_", "SSL_"))
            or name.lower().endswith("_proxy")
            or name in {"COLUMNS", "NO_COLOR", "FORCE_COLOR", "PYTHONUNBUFFERED"}
        ):
            monkeypatch.delenv(name)
    return folder


@pytest.fixture(autouse=True)
def usual_umask():
    """The usual umask of users; a command that ran in this process may have changed it."""
    old = os.umask(0o022)
    yield
    os.umask(old)


@pytest.fixture(autouse=True)
def only_loopback(monkeypatch):
    """Fail a test that connects beyond loopback."""
    real = socket.socket.connect

    def connect(self, address):
        if self.family in {socket.AF_INET, socket.AF_INET6} and address[0] not in {
            "127.0.0.1",
            "::1",
            "localhost",
        }:
            raise AssertionError(f"a test wants to connect to {address}")
        return real(self, address)

    monkeypatch.setattr(socket.socket, "connect", connect)


@pytest.fixture
def program(tmp_path_factory, monkeypatch):
    """Return a function that writes an executable script into a folder at the front of PATH and returns its path."""
    folder = tmp_path_factory.mktemp("programs")
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")

    def write(name, script, interpreter="/bin/sh"):
        path = folder / name
        path.write_text(f"#!{interpreter}\n{script}\n")
        path.chmod(0o755)
        return path

    return write


@pytest.fixture
def standin(tmp_path, monkeypatch):
    """A fake cdswctl whose sessions are served by a real sshd."""
    found = StandIn(tmp_path / "standin")
    monkeypatch.setattr(tunnel, "LOGIN", found.login)
    monkeypatch.setattr(rsync, "REMOTE_ROOT", found.login + ":./")
    return found


@pytest.fixture
def way(standin):
    """A tunnel into the stand-in's project; checks afterwards that no session is open."""
    space = Workspace("http://ws.test", "me", Secret("k"), identity_file=standin.base / "id")
    with tunnel.open_tunnel(space, "me/p", cdswctl.logged_in(space, standin.client, standin.base)) as one:
        yield one
    assert not standin.open_session()


@pytest.fixture
def mock():
    """Prepared replies to HTTP requests; the test fails if one of them is not used."""
    with responses.RequestsMock() as mocked:
        yield mocked


@dataclass
class Line:
    """What a command line printed and how it ended."""

    exit_code: int
    out: str
    err: str

    @property
    def json(self):
        return json.loads(self.out)


@pytest.fixture
def run_line(capfd, monkeypatch):
    """Return a function that runs a command line, and fails with its output on an unexpected exit code.

    No import waits before its last look; that it does so is tested with a clock of its own.
    """
    monkeypatch.setattr("cmlutils.flows.import_project.SETTLING", 0.0)

    def type_line(line, exit_code=0):
        words = shlex.split(line)
        assert words[0] == "cmlutil"
        code = run(words[1:])
        out, err = capfd.readouterr()
        wanted = {exit_code} if isinstance(exit_code, int) else set(exit_code)
        assert code in wanted, f"exit code {code}\n--- out\n{out}\n--- err\n{err}"
        return Line(code, out, err)

    return type_line
