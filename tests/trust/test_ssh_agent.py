"""An ssh agent: its key's passphrase is exposed nowhere, and a malicious agent neither hangs a run nor is asked."""

import contextlib
import os
import socket
import socketserver
import subprocess
import threading
import time
import uuid

import pytest
from standin import StandIn
from test_secrets import EXPORT, IMPORT, Sampler, texts_of
from until import until

from cmlutils.remote import agent, cdswctl, tunnel
from cmlutils.section import Secret, Workspace

PASSPHRASE = f"canary passphrase {uuid.uuid4()}"  # unique, as the sampler must not find those of other workers


@pytest.fixture
def locked_key(home, keys):
    """Give the default key a passphrase; return a program that prints it and notes that it was asked."""
    key = home / ".ssh" / "id_ed25519"
    subprocess.run(["ssh-keygen", "-q", "-p", "-P", "", "-N", PASSPHRASE, "-f", key], check=True)
    script = home / "askpass"
    script.write_text(f"#!/bin/sh\ntouch {home}/asked\ncat {home}/passphrase\n")
    script.chmod(0o700)
    (home / "passphrase").write_text(PASSPHRASE + "\n")
    return script


def listens(path):
    """Tell whether somebody listens on this socket; its file is there a moment earlier."""
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(path)) == 0


@pytest.fixture
def own_agent(home, locked_key, monkeypatch):
    """An agent that holds the key, and that the environment of a run names."""
    path = home / "agent"
    child = subprocess.Popen(["ssh-agent", "-D", "-a", path], stdout=subprocess.DEVNULL)
    try:
        until(lambda: listens(path), "an agent that listens", 10)
        monkeypatch.setenv("SSH_AUTH_SOCK", str(path))
        asking = {"SSH_ASKPASS": str(locked_key), "SSH_ASKPASS_REQUIRE": "force", "DISPLAY": ":0"}
        add = ["ssh-add", "-q", home / ".ssh" / "id_ed25519"]
        away = {"stdin": subprocess.DEVNULL, "start_new_session": True}  # so that ssh before 8.4 asks the program, too
        subprocess.run(add, env={**os.environ, **asking}, check=True, **away)
        (home / "asked").unlink()
        yield path
    finally:
        child.kill()
        child.wait()


@pytest.mark.slow
def test_the_passphrase_of_a_key_in_an_agent_is_nowhere(workspaces, own_agent, run_line, home, tmp_path, monkeypatch):
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    workspaces()
    with Sampler([PASSPHRASE]) as sampler:
        lines = [run_line(f"{EXPORT} -v"), run_line(f"{IMPORT} -v"), run_line("cmlutil doctor --deep", {0, 1, 5})]
    assert {b"ssh", b"rsync"} <= sampler.programs
    assert sampler.seen == []
    texts = [text for one in lines for text in (one.out, one.err)]
    for folder in (home / "bundles", tmp_path / "tmp", tmp_path / "source", tmp_path / "target"):
        texts += texts_of(folder).values()
    assert len(texts) > 20
    assert [text for text in texts if PASSPHRASE in text or "PRIVATE KEY" in text] == []


def test_nobody_is_asked_for_a_passphrase(workspaces, locked_key, run_line, home, monkeypatch):
    monkeypatch.setenv("SSH_ASKPASS", str(locked_key))
    monkeypatch.setenv("SSH_ASKPASS_REQUIRE", "force")
    monkeypatch.setenv("DISPLAY", ":0")
    workspaces()
    line = run_line(EXPORT, exit_code=1)
    assert "has a passphrase, and no agent holds it" in line.err
    assert not (home / "asked").exists()
    assert PASSPHRASE not in line.out + line.err


# Agents that are not ours


@pytest.fixture
def planted(tmp_path, monkeypatch):
    """Return a function that starts an agent that does `deed` to all who connect, and returns a list of them."""
    servers = []

    def start(deed):
        came = []

        class Handler(socketserver.BaseRequestHandler):
            def handle(self):
                came.append(self)
                with contextlib.suppress(OSError):
                    deed(self.request)

        server = socketserver.ThreadingUnixStreamServer(str(tmp_path / "planted"), Handler)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        servers.append(server)
        return came

    monkeypatch.setenv("SSH_AUTH_SOCK", str(tmp_path / "planted"))
    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def say_nothing(connection):
    while connection.recv(100):
        pass


def babble(connection):
    while True:
        connection.sendall(b"\xff" * (1 << 16))


@pytest.fixture
def way(tmp_path, monkeypatch):
    """Return a function that opens a tunnel with a key on disk, and returns the seconds until a command got through."""
    standin = StandIn(tmp_path / "standin")
    monkeypatch.setattr(tunnel, "LOGIN", standin.login)
    space = Workspace("http://ws.test", "me", Secret("k"), identity_file=standin.base / "id")
    client = cdswctl.logged_in(space, standin.client, standin.base)

    def seconds():
        begin = time.monotonic()
        with tunnel.open_tunnel(space, "me/p", client) as one:
            assert one.run("echo hello").out == b"hello\n"
        return time.monotonic() - begin

    return seconds


def test_a_silent_agent_is_not_waited_for(way, planted, monkeypatch, caplog):
    monkeypatch.setattr(agent, "SECONDS", 0.5)
    came = planted(say_nothing)
    assert way() < 15
    assert len(came) == 1, "ssh asked it"
    assert "gave no answer within 0.5 s; it is not used" in caplog.text


def test_an_agent_of_another_user_is_not_asked(planted, tmp_path, monkeypatch, caplog):
    came = planted(say_nothing)
    owner = (tmp_path / "planted").stat().st_uid
    monkeypatch.setattr(agent.os, "geteuid", lambda: owner + 1)
    assert agent.options() == ["-o", "IdentityAgent=none"]
    assert came == []
    assert "belongs to another user" in caplog.text


@pytest.mark.parametrize("deed", [lambda connection: None, babble], ids=["hangs up", "babbles"])
def test_an_agent_that_is_none_does_no_harm(way, planted, deed):
    came = planted(deed)
    assert way() < 15
    assert len(came) > 1, "ssh did not ask it"


@pytest.mark.parametrize("kind", ["missing", "dead", "file", "folder"])
def test_where_no_agent_is_none_is_needed(way, tmp_path, monkeypatch, kind):
    path = tmp_path / "none"
    monkeypatch.setenv("SSH_AUTH_SOCK", str(path))
    if kind == "file":
        path.write_text("")
    elif kind == "folder":
        path.mkdir()
    elif kind == "dead":
        with socket.socket(socket.AF_UNIX) as left:
            left.bind(str(path))
    assert way() < 15


def test_with_an_agent_of_our_own_ssh_asks_it(own_agent):
    assert agent.options() == []
