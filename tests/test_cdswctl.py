"""The client is downloaded from the workspace into its own folder, logs in there, and leaves nothing behind."""

import gzip
import io
import resource
import tarfile
import time
from dataclasses import replace

import pytest
import yaml

from cmlutils import interrupts
from cmlutils.errors import CommandError, Interrupted, Rejected, TunnelError
from cmlutils.remote import cdswctl, orphans, process
from cmlutils.remote.private import LOCK
from cmlutils.section import Secret, Workspace

SPACE = Workspace("https://ws.test", "me", Secret("sekrit"), verify="/ca.pem")


@pytest.fixture(autouse=True)
def machine(monkeypatch):
    monkeypatch.setattr(cdswctl.sys, "platform", "linux")
    monkeypatch.setattr(cdswctl.platform, "machine", lambda: "x86_64")


def archive(name="cdsw-2.0/cdswctl", kind=tarfile.REGTYPE, content=b"bin"):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for path, what in (("cdsw-2.0", tarfile.DIRTYPE), ("../evil", tarfile.REGTYPE), (name, kind)):
            member = tarfile.TarInfo(path)
            member.type = what
            member.size = len(content) if what == tarfile.REGTYPE else 0
            tar.addfile(member, io.BytesIO(content))
    return out.getvalue()


def serve(data):
    def download(path, file, limit):
        assert path == "/cli/linux/amd64/cdsw.tar.gz"
        assert limit == 200 << 20
        file.write(data)

    return download


def test_the_archive_is_read_whatever_mode_its_file_was_opened_in(tmp_path):
    class Opened(io.BytesIO):
        mode = "wb+"  # as a temporary file has from Python 3.15 on

    assert cdswctl._unpack(Opened(archive()), tmp_path / "cdswctl", "w").read_bytes() == b"bin"


@pytest.mark.parametrize(
    ("variables", "found"),
    [
        ({"REQUESTS_CA_BUNDLE": "/r.pem", "CURL_CA_BUNDLE": "/c.pem"}, ("/r.pem", None)),
        ({"CURL_CA_BUNDLE": "/c.pem"}, ("/c.pem", None)),
        ({"REQUESTS_CA_BUNDLE": "/"}, (None, "/")),
        ({"REQUESTS_CA_BUNDLE": "/r.pem", "SSL_CERT_FILE": "/s.pem"}, ("/s.pem", None)),
        ({}, (None, None)),
    ],
)
def test_without_a_ca_path_the_client_trusts_what_our_own_requests_trust(monkeypatch, tmp_path, variables, found):
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    env = cdswctl.Client(tmp_path, tmp_path, replace(SPACE, verify=True)).env
    assert (env.get("SSL_CERT_FILE"), env.get("SSL_CERT_DIR")) == found


def test_a_private_client_comes_and_goes():
    with cdswctl.private_client(SPACE, serve(archive())) as client:
        assert client.path.read_bytes() == b"bin"
        assert client.path.stat().st_mode & 0o777 == 0o700
        assert client.home.stat().st_mode & 0o777 == 0o700
        config = client.home / ".cdsw/config.yaml"
        assert config.stat().st_mode & 0o777 == 0o600
        assert yaml.safe_load(config.read_text()) == {
            "username": "me",
            "url": "https://ws.test",
            "auth": {"authtype": 1, "basic": None, "apikey": "sekrit"},
        }
        assert client.env["HOME"] == str(client.home)
        assert client.env["SSL_CERT_FILE"] == "/ca.pem"
        assert client.mask(b"bad key sekrit") == "bad key ***"
        assert sorted(path.name for path in client.home.iterdir()) == [".cdsw", "cdswctl", LOCK]
    assert not client.home.exists()


def test_a_disk_without_room_for_the_client_is_told_as_that():
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8192, limits[1]))
    try:
        with (
            pytest.raises(CommandError, match=r"^\S+ can't be written: File too large\.$") as caught,
            cdswctl.private_client(SPACE, serve(archive(content=bytes(100_000)))),
        ):
            pass
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert "TMPDIR" in caught.value.hint


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"<html>log in", "is not an archive"),
        (b"", "is not an archive"),
        (archive()[:40], "can't be unpacked"),
        (archive("cdsw/other"), "holds no cdswctl"),
        (archive(kind=tarfile.SYMTYPE), "holds no cdswctl"),
    ],
    ids=["page", "empty", "cut", "other", "link"],
)
def test_an_archive_without_a_client_is_refused(data, words, tmp_path):
    with pytest.raises(TunnelError, match=words):
        cdswctl.fetch(serve(data), tmp_path)
    assert list(tmp_path.glob("cdswctl")) == []


def test_a_client_whose_archive_has_a_wrong_checksum_is_refused(tmp_path):
    with pytest.raises(TunnelError, match="can't be unpacked: CRC check failed"):
        cdswctl.fetch(serve(archive()[:-8] + bytes(8)), tmp_path)


def test_a_client_behind_very_many_other_files_is_not_looked_for(tmp_path, monkeypatch):
    monkeypatch.setattr(cdswctl, "MAX_MEMBERS", 1)
    with pytest.raises(TunnelError, match="holds no cdswctl"):
        cdswctl.fetch(serve(archive()), tmp_path)
    monkeypatch.setattr(cdswctl, "MAX_MEMBERS", 2)
    assert cdswctl.fetch(serve(archive()), tmp_path).exists()


def test_a_client_of_impossible_size_is_not_begun(tmp_path):
    member = tarfile.TarInfo("cdswctl")
    member.size = cdswctl.MAX_CLIENT + 1
    with pytest.raises(TunnelError, match=f"its cdswctl has {member.size} bytes"):
        cdswctl.fetch(serve(gzip.compress(member.tobuf())), tmp_path)
    assert not (tmp_path / "cdswctl").exists()


def test_a_processor_that_the_workspace_has_no_client_for_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr(cdswctl.platform, "machine", lambda: "aarch64")

    def download(path, file, limit):
        assert path == "/cli/linux/arm64/cdsw.tar.gz"
        raise Rejected("no", status=404)

    with pytest.raises(TunnelError, match=r"no cdswctl for this machine \(Linux on arm64\)"):
        cdswctl.fetch(download, tmp_path)


def test_a_client_that_is_refused_to_a_usual_machine_is_told_as_the_workspace_says(tmp_path):
    def download(path, file, limit):
        raise Rejected("not today", status=403)

    with pytest.raises(Rejected, match="not today"):
        cdswctl.fetch(download, tmp_path)


@pytest.mark.parametrize("machine", ["x86_64", "arm64"])
def test_a_mac_takes_the_one_client_that_there_is_for_it(monkeypatch, tmp_path, machine):
    monkeypatch.setattr(cdswctl.sys, "platform", "darwin")
    monkeypatch.setattr(cdswctl.platform, "machine", lambda: machine)

    def download(path, file, limit):
        assert path == "/cli/darwin/amd64/cdsw.tar.gz"
        file.write(archive())

    assert cdswctl.fetch(download, tmp_path).read_bytes() == b"bin"


CLIENT = """#!/bin/sh
case "$1 $2" in
    "sessions list") echo list >> "$HOME/calls"; {listed} ;;
    "sessions stop") echo stop >> "$HOME/calls"; {stopped} ;;
esac
"""


@pytest.mark.parametrize(
    ("listed", "stopped", "interrupted", "gone"),
    [
        ("exit 0", "exit 1", True, True),  # it ended on SIGINT, and no session is listed
        ("echo other: running", "exit 1", False, True),
        ("exit 0", "echo something >&2; exit 1", False, False),  # an empty list alone proves nothing
        ("exit 0", "echo session not found >&2; exit 1", False, True),
        ("exit 1", "exit 1", True, False),  # listing fails
        ("echo mine: running", "echo 'unexpected end of JSON input' >&2; exit 1", True, True),
        ("echo mine: running", "echo 'no such session' >&2; exit 1", True, False),
        ("sleep 9", "exit 1", True, False),
    ],
)
def test_a_session_is_gone_only_when_that_is_proved(tmp_path, listed, stopped, interrupted, gone):
    path = tmp_path / "cdswctl"
    path.write_text(CLIENT.format(listed=listed, stopped=stopped))
    path.chmod(0o700)
    client = cdswctl.logged_in(SPACE, path, tmp_path)
    assert orphans.stop_session(client, "me/p", "mine", interrupted=interrupted) is gone


@pytest.mark.parametrize(
    ("client", "lives", "gone"),
    [
        ("trap 'exit 1' INT; echo; while :; do sleep 0.05; done", True, True),
        ("trap '' INT; echo; while :; do sleep 0.05; done", True, False),  # it has to be killed
        ("echo; exit 1", False, False),  # it ended by itself, nobody knows why
    ],
)
def test_that_no_session_is_listed_proves_something_only_of_a_client_that_ended_on_our_interrupt(
    tmp_path, monkeypatch, caplog, client, lives, gone
):
    monkeypatch.setattr(orphans, "_TRIES", (0,))
    path = tmp_path / "cdswctl"
    path.write_text(CLIENT.format(listed="exit 0", stopped="exit 1"))
    path.chmod(0o700)
    note = orphans.Note(tmp_path / "session.json", SPACE.url, "me/p")
    note.opened("mine")
    with process.running(["sh", "-c", client], grace=0.3) as child:
        assert next(child.lines(5)) == ("out", b"")
        assert lives or child.wait(5) == 1
        note.ending(child)
    orphans.confirm_stopped(cdswctl.logged_in(SPACE, path, tmp_path), note)
    assert note.path.exists() == ("may still be running" in caplog.text) == (not gone)


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"id": "mine", "project": "me/p"}'])
def test_a_damaged_note_of_a_session_ends_no_run(tmp_path, text):
    note = tmp_path / "session.json"
    note.write_text(text)
    orphans.close_orphan(cdswctl.logged_in(SPACE, tmp_path / "cdswctl", tmp_path), note)


@pytest.mark.parametrize("knows", [True, False])
def test_a_client_that_checks_no_certificate_does_so_for_sessions_if_it_can(tmp_path, knows):
    path = tmp_path / "cdswctl"
    without = "echo 'x509: certificate signed by unknown authority' >&2; exit 1"
    with_it = "echo other: running" if knows else "echo 'unknown flag `insecure-skip-verify' >&2; exit 1"
    flag = f'case "$*" in *--insecure*) {with_it} ;; *) {without if knows else "echo other: running"} ;; esac'
    path.write_text(CLIENT.format(listed=flag, stopped="exit 1"))
    path.chmod(0o700)
    client = cdswctl.logged_in(replace(SPACE, verify=False), path, tmp_path)
    assert orphans.stop_session(client, "me/p", "mine")


@pytest.mark.parametrize("stream", ["", ">&2"])
def test_a_login_that_fails_is_told_without_the_key(tmp_path, stream):
    path = tmp_path / "cdswctl"
    path.write_text(f"#!/bin/sh\necho wrong key sekrit {stream}; exit 1\n")
    path.chmod(0o700)
    with pytest.raises(TunnelError, match=r"can't log in to ws\.test: wrong key [*]{3}\.$"):
        cdswctl.logged_in(SPACE, path, tmp_path).log_in()


def test_a_hurried_end_shortens_what_asks_for_the_session(tmp_path):
    path = tmp_path / "cdswctl"
    path.write_text(CLIENT.format(listed="sleep 9", stopped="sleep 9"))
    path.chmod(0o700)
    client = cdswctl.logged_in(SPACE, path, tmp_path)
    with pytest.raises(Interrupted), interrupts.held():
        interrupts.hear(2)
        interrupts._heard.deadline = time.monotonic() + 0.3
        begin = time.monotonic()
        assert not orphans.stop_session(client, "me/p", "mine")
        assert time.monotonic() - begin < 2
    interrupts.forget()
