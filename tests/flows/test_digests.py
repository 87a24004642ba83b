"""Digests computed over a real ssh, with each tool that a workspace may have."""

import os
import shutil
import sys

import pytest

from cmlutils.errors import TransferError
from cmlutils.flows.comparing import digests
from cmlutils.flows.comparing.digests import UNREADABLE, Digests
from cmlutils.localtree import walk
from cmlutils.remote import cdswctl, tunnel
from cmlutils.section import Secret, Workspace

# What is not UTF-8 becomes U+FFFD.
AS_OF_UUTILS = """
import hashlib, os, sys
for path in map(os.fsencode, sys.argv[3:]):
    if os.path.exists(path):
        name = path.decode("utf-8", "replace").encode()
        sys.stdout.buffer.write(hashlib.sha256(open(path, "rb").read()).hexdigest().encode() + b"  " + name + b"\\0")"""
ODD = [b"plain", b"-dash", b"new\nline", b"back\\slash", b"\xff\xfe", b"a *[b]?"]


@pytest.fixture
def line(standin):
    space = Workspace("http://ws.test", "me", Secret("sekrit"), identity_file=standin.base / "id")
    with tunnel.open_tunnel(space, "me/p", cdswctl.logged_in(space, standin.client, standin.base)) as one:
        yield one


@pytest.fixture
def data(standin, tmp_path):
    """Equal files on both sides, with names that would confuse a tool that reads lines."""
    folder = tmp_path / "data"
    folder.mkdir()
    for name in ODD:
        for root in (folder, standin.project):
            (root / os.fsdecode(name)).write_bytes(name * 100)
    return folder


@pytest.mark.parametrize("tool", ["b2sum", "sha256sum"])
def test_only_what_differs_is_named_whatever_the_names_are(line, standin, data, tool, monkeypatch):
    if shutil.which(tool) is None:
        pytest.skip(f"needs {tool}")
    monkeypatch.setattr(digests, "_TOOLS", {tool: digests._TOOLS[tool]})
    monkeypatch.setattr(digests, "_FILES", 2)  # so that there are several batches
    files, told = list(walk(data)), []
    one = Digests(data)
    assert list(one.differing(line, files, told.append)) == []
    size = sum(entry.size for entry in files)
    assert told[-1] == (size, size, len(files), len(files))
    (standin.project / "plain").write_bytes(b"PLAIN" * 100)
    (standin.project / "-dash").unlink()
    found = {path: (left, right) for path, left, right in one.differing(line, files, lambda _: None)}
    assert set(found) == {b"plain", b"-dash"}
    assert found[b"-dash"][1] == UNREADABLE
    assert len(found[b"plain"][0]) == len(found[b"plain"][1]) == 64


def test_names_that_a_tool_prints_as_text_are_known_again(line, standin, data, monkeypatch):
    monkeypatch.setattr(digests, "_TOOLS", {"sha256sum": "sha256sum"})
    standin.program("sha256sum", AS_OF_UUTILS, sys.executable)
    assert list(Digests(data).differing(line, list(walk(data)), lambda _: None)) == []
    (standin.project / os.fsdecode(b"\xff\xfe")).write_bytes(b"other")
    (standin.project / "plain").unlink()
    found = Digests(data).differing(line, list(walk(data)), lambda _: None)
    assert {path: there == UNREADABLE for path, _, there in found} == {b"\xff\xfe": False, b"plain": True}


def test_a_digest_that_a_policy_of_this_machine_forbids_is_not_asked_for(line, standin, data, monkeypatch):
    def forbidden(**_):
        raise ValueError("blake2b is not allowed in FIPS mode")

    monkeypatch.setattr(digests.hashlib, "blake2b", forbidden)
    (standin.project / "plain").write_bytes(b"PLAIN" * 100)
    files = list(walk(data))
    assert [path for path, _, _ in Digests(data).differing(line, files, lambda _: None)] == [b"plain"]


def test_a_workspace_that_has_no_tool_for_digests_is_told(line, data, monkeypatch):
    monkeypatch.setattr(digests, "_TOOLS", {"nosuchsum": "nosuchsum"})
    with pytest.raises(TransferError, match="can't compute digests") as caught:
        list(Digests(data).differing(line, list(walk(data)), lambda _: None))
    assert "--quick" in caught.value.hint


def test_a_file_that_can_not_be_read_here_is_never_equal(line, data, standin):
    files = list(walk(data))
    for path in (data / "plain", standin.project / "plain"):
        path.unlink()
    assert list(Digests(data).differing(line, files, lambda _: None)) == [(b"plain", UNREADABLE, UNREADABLE)]
