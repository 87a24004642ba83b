"""A session's programs or files give endless output: it is refused with a reason, and without using much memory."""

import resource
import sys
import time

import pytest
from copying import pull
from standin import StandIn

from cmlutils import filelist
from cmlutils.errors import CommandError, ConfigError, TransferError
from cmlutils.remote import cdswctl, process, rsync, tunnel
from cmlutils.section import Secret, Workspace

ROOT = r"printf 'd\0000\0000.0\000755\000\000\000'; "
ENDLESS_NAMES = ROOT + "exec seq -f 'f|1|1.0|644|%.0f|' inf | tr '|\\n' '\\000\\000'"


@pytest.fixture
def programs(tmp_path, monkeypatch):
    """Return a function that writes a program into a folder at the front of the session's PATH."""
    standin = StandIn(tmp_path / "standin")
    monkeypatch.setattr(tunnel, "LOGIN", standin.login)
    monkeypatch.setattr(rsync, "REMOTE_ROOT", standin.login + ":./")
    folder = tmp_path / "programs"
    folder.mkdir()
    with (standin.base / "sshd_config").open("a") as file:
        file.write(f"SetEnv PATH={folder}:/usr/local/bin:/usr/bin:/bin\n")

    def program(name, script):
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)

    program.standin = standin
    return program


@pytest.fixture
def pulled(programs, tmp_path):
    """Return a function that runs a pull that must fail, checks its time and memory, and returns the error."""
    space = Workspace("http://ws.test", "me", Secret("k"), identity_file=programs.standin.base / "id")
    client = cdswctl.logged_in(space, programs.standin.client, programs.standin.base)
    (tmp_path / "bundle" / "state").mkdir(parents=True)

    def fails(kind):
        before, begin = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
        with tunnel.open_tunnel(space, "me/p", client) as way, pytest.raises(kind) as caught:
            pull(way, tmp_path / "bundle")
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        assert grown * (1 if sys.platform == "darwin" else 1024) < 400 << 20
        assert time.monotonic() - begin < 60
        return caught.value

    return fails


def test_an_endless_version_of_rsync(programs, pulled):
    programs("rsync", "exec yes rsync version 3.2.7")
    assert "ssh was ended: it wrote more than 64 MiB" in str(pulled(CommandError))


@pytest.mark.parametrize("rules", [False, True])
def test_an_endless_listing(programs, pulled, monkeypatch, rules):
    if rules:  # find is asked for their time, too
        (programs.standin.project / ".exportignore").touch()
    monkeypatch.setattr(filelist, "MAX_NAMES", 200_000)
    programs("find", ENDLESS_NAMES)
    assert "the source's listing holds more than 200000 names" in str(pulled(TransferError))


def test_an_endless_name_in_a_listing(programs, pulled):
    programs("find", ROOT + "exec tr '\\000' x </dev/zero")
    assert "malformed: a name of more than 1 MiB" in str(pulled(TransferError))


@pytest.mark.parametrize("noise", ["yes 'find: x: no'", "cat /dev/zero"])
def test_endless_complaints_about_a_listing(programs, pulled, monkeypatch, noise):
    monkeypatch.setattr(tunnel, "MAX_ERRORS", 8 << 20)
    programs("find", f"exec {noise} >&2")
    assert "A command on the workspace writes errors without end" in str(pulled(TransferError))


@pytest.mark.parametrize("rules", ["/dev/zero", "/dev/stdin", "pipe"])
def test_rules_that_are_no_file(programs, pulled, rules):
    project = programs.standin.project
    if rules == "pipe":
        process.run(["mkfifo", str(project / "pipe")], timeout=5)
    (project / ".exportignore").symlink_to(rules)
    error = pulled(TransferError)
    assert "The source's .exportignore can't be read: it is no file" in str(error)


def test_rules_that_are_too_long(programs, pulled):
    with (programs.standin.project / ".exportignore").open("wb") as file:
        file.truncate(10 << 30)
    assert "has more than 1 MiB" in str(pulled(ConfigError))
