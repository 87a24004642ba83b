"""The tunnel, over a real sshd: it opens, runs, reopens, and leaves no session behind."""

import json
import os
import shutil
import signal
import subprocess
import time

import pytest

from cmlutils import interrupts
from cmlutils.errors import CommandError, Interrupted, TransferError, TunnelError
from cmlutils.remote import cdswctl, endpoint, process, tunnel
from cmlutils.section import Secret, Workspace


@pytest.fixture
def space(standin):
    return Workspace("http://ws.test", "me", Secret("sekrit"), identity_file=standin.base / "id")


@pytest.fixture
def client(standin, space):
    return cdswctl.logged_in(space, standin.client, standin.base)


def test_it_runs_and_streams_and_leaves_nothing(standin, space, client, tmp_path):
    note = tmp_path / "session.json"
    (standin.project / "x").write_text("hello")
    with tunnel.open_tunnel(space, "me/p", client, session_file=note) as one:
        assert json.loads(note.read_text())["id"] == one.session == "abcd1234abcd1234"
        assert one.run("cat x").out == b"hello"
        assert one.run("cat", b"in\0put").out == b"in\0put"
        assert b"".join(one.stream("cat x; cat x")) == b"hellohello"
        with pytest.raises(TransferError, match="exit code 3: why"):
            one.run("echo why >&2; exit 3")
        with pytest.raises(TransferError, match="exit code 4"):
            list(one.stream("echo a; exit 4"))
        assert one.alive()
        assert (one._folder / "s").exists()
    assert not standin.open_session()
    assert not note.exists()
    assert not any("sekrit" in call for call in standin.calls())
    assert client.home.joinpath(".cdsw/config.yaml").stat().st_mode & 0o777 == 0o600


def knows(setting):
    """Tell whether this machine's ssh, which may be an old one, takes such a setting."""
    return subprocess.run(["ssh", "-G", "-o", setting, "localhost"], capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize("name", ["k%h", "100% mine %%d", 'h"o %e', "{plain}"])
def test_a_key_is_found_whatever_its_name_means_to_ssh(standin, client, name):
    if '"' in name and not knows('IdentityFile="h\\"o x"'):
        pytest.skip("this ssh has no way to write a quote in a setting")
    key = standin.base / name
    shutil.copy(standin.base / "id", key)
    with tunnel.open_tunnel(Workspace("http://ws.test", "me", Secret("k"), identity_file=key), "me/p", client) as one:
        assert one.run("echo in").out == b"in\n"


@pytest.mark.parametrize(
    "settings",
    [
        "AddressFamily inet6",
        "BindAddress 192.0.2.1",
        "CanonicalizeHostname always\nCanonicalizeFallbackLocal no",
        "PreferredAuthentications gssapi-with-mic,password",
        "PubkeyAuthentication no",
        "KnownHostsCommand /bin/false",
        "RevokedHostKeys /nonexistent",
    ],
)
def test_settings_for_hosts_elsewhere_do_not_keep_ssh_from_this_one(standin, space, client, program, settings):
    if not knows(settings.partition("\n")[0].replace(" ", "=", 1)):
        pytest.skip("this ssh does not know the setting")
    config = standin.base / "ssh_config"
    config.write_text(f"Host *\n{settings}\n")
    program("ssh", f'exec {shutil.which("ssh")} -F "{config}" "$@"')
    tunnel.ssh.check_settings()
    with tunnel.open_tunnel(space, "me/p", client) as one:
        assert one.run("echo in").out == b"in\n"


def test_ssh_asks_nobody_keeps_alive_and_has_the_runs_own_known_hosts(space, tmp_path):
    argv = tunnel.ssh.command(space, 5104, tmp_path)
    said = subprocess.run([*argv, "-G", "localhost"], capture_output=True, text=True, check=True).stdout
    found = dict(line.partition(" ")[::2] for line in said.splitlines())
    assert found["userknownhostsfile"] == str(tmp_path / "known-5104")  # the user's may have another key for it
    assert found["globalknownhostsfile"] == "/dev/null"
    assert found["batchmode"] == "yes"
    assert int(found["serveraliveinterval"]) * int(found["serveralivecountmax"]) == 60
    assert int(found["connecttimeout"]) > 0
    assert (found["identityfile"], found["identitiesonly"]) == (str(space.identity_file), "yes")  # not an agent's


def test_how_far_away_it_is_the_first_word_of_a_script_tells_not_the_mark_before_it(space, client):
    with tunnel.open_tunnel(space, "me/p", client) as one:
        list(one.stream("sleep 1; echo a; sleep 0.1; echo b"))
        assert 1 <= one.answered_in < 30
        one.run("true")
        assert one.answered_in < 1


def test_an_interrupt_closes_the_session_in_time(standin, space, client):
    with pytest.raises(KeyboardInterrupt), tunnel.open_tunnel(space, "me/p", client):
        begin = time.monotonic()
        raise KeyboardInterrupt
    assert time.monotonic() - begin < 8
    assert not standin.open_session()


def test_a_signal_while_a_session_opens_waits_until_it_has_a_name(standin, space, client):
    standin.mode("opening")
    before = signal.signal(signal.SIGALRM, lambda *_: interrupts.hear(signal.SIGTERM))
    signal.setitimer(signal.ITIMER_REAL, 0.5)
    try:
        with pytest.raises(Interrupted), tunnel.open_tunnel(space, "me/p", client):
            pytest.fail("it opened")
    finally:
        signal.signal(signal.SIGALRM, before)
        interrupts.forget()
    assert not standin.open_session()
    assert standin.calls()


@pytest.mark.parametrize("mode", ["taken", "noport", "login", "stays"])
def test_a_client_may_start_in_other_ways(standin, space, client, mode, tmp_path):
    standin.mode(mode)
    with tunnel.open_tunnel(space, "me/p", client, session_file=tmp_path / "n", runtime_id=7) as one:
        assert one.run("true").code == 0
    assert not standin.open_session()
    assert not (tmp_path / "n").exists()
    assert any("-r 7" in call for call in standin.calls())


def test_a_client_that_says_nothing_is_given_up(standin, space, client):
    standin.mode("silent")
    with (
        pytest.raises(TunnelError, match="no output at all") as caught,
        tunnel.open_tunnel(space, "me/p", client, deadline=0.5),
    ):
        pass
    assert "not only view it" in caught.value.hint


def test_a_client_that_was_denied_shows_no_key(standin, space, client):
    standin.mode("denied")
    with pytest.raises(TunnelError) as caught, tunnel.open_tunnel(space, "me/p", client):
        pass
    assert "401" in caught.value.message
    assert "sekrit" not in caught.value.message


def test_a_key_that_is_not_uploaded_or_locked_is_told(standin, space, client, tmp_path):
    (standin.base / "id.pub").write_text("")
    with (
        pytest.raises(TunnelError, match="accepted no ssh key") as caught,
        tunnel.open_tunnel(space, "me/p", client),
    ):
        pass
    assert "Remote Editing" in caught.value.hint
    key = standin.base / "id"
    subprocess.run(["ssh-keygen", "-q", "-p", "-P", "", "-N", "secret", "-f", key], check=True)
    with pytest.raises(TunnelError, match="has a passphrase"), tunnel.open_tunnel(space, "me/p", client):
        pass
    key.chmod(0o644)
    with pytest.raises(TunnelError, match="may be read by others") as caught, tunnel.open_tunnel(space, "me/p", client):
        pass
    assert caught.value.hint == f"Run: chmod 600 {key}."
    key.chmod(0o600)
    key.write_text("no key\n")
    with pytest.raises(TunnelError, match="is not a private key"), tunnel.open_tunnel(space, "me/p", client):
        pass


def test_ssh_that_has_no_cipher_or_key_type_in_common_is_told_at_once_with_its_reason(
    standin, space, client, monkeypatch
):
    monkeypatch.setattr(tunnel.ssh, "SETTINGS", ("HostKeyAlgorithms=ssh-rsa", *tunnel.ssh.SETTINGS))
    began = time.monotonic()
    with (
        pytest.raises(TunnelError, match="no matching host key type found") as caught,
        tunnel.open_tunnel(space, "me/p", client),
    ):
        pass
    assert time.monotonic() - began < 15
    assert "Permanently added" not in caught.value.message
    assert ".ssh/config" in caught.value.hint
    assert not standin.open_session()


def test_a_master_that_hangs_is_given_up_and_plain_connections_do(standin, space, client, program, monkeypatch):
    monkeypatch.setattr(tunnel.ssh, "CONNECT_SECONDS", 1)
    real = shutil.which("ssh")
    program("ssh", f'case "$*" in *ControlMaster=yes*) exec sleep 60;; esac\nexec {real} -o ConnectTimeout=10 "$@"')
    with tunnel.open_tunnel(space, "me/p", client) as one:
        assert not (one._folder / "s").exists()
        assert one.run("echo in").out == b"in\n"


def test_a_tunnel_whose_client_died_reopens(standin, space, client, monkeypatch):
    monkeypatch.setattr(tunnel.time, "sleep", lambda _: None)
    with tunnel.open_tunnel(space, "me/p", client) as one:
        os.killpg(one._endpoint.child.pid, signal.SIGKILL)
        one._endpoint.child.wait(2)
        assert not one.alive()
        one.reopen()
        assert one.run("true").code == 0
    assert not standin.open_session()


def test_an_ssh_that_hangs_while_a_tunnel_is_reopened_is_tried_again(standin, space, client, monkeypatch):
    monkeypatch.setattr(tunnel.Tunnel, "sleep", staticmethod(lambda _: None))
    connect, hangs = tunnel.Tunnel._connect, [True]

    def connecting(one):
        if hangs and hangs.pop():
            hang()
        connect(one)

    def hang(*_):
        raise CommandError("ssh did not end within 40 s.")

    with tunnel.open_tunnel(space, "me/p", client) as one:
        with monkeypatch.context() as slow:
            slow.setattr(one, "_plain", hang)
            assert not one.alive()
        os.killpg(one._endpoint.child.pid, signal.SIGKILL)
        one._endpoint.child.wait(2)
        monkeypatch.setattr(tunnel.Tunnel, "_connect", connecting)
        one.reopen()
        assert (hangs, one.run("true").code) == ([], 0)
    assert not standin.open_session()


def test_a_session_that_is_opened_anew_may_have_another_host_key_at_the_same_port(standin, space, client, monkeypatch):
    port = endpoint._free_port()
    monkeypatch.setattr(endpoint, "_free_port", lambda: port)  # as a client that chooses it does now and then
    monkeypatch.setattr(tunnel.time, "sleep", lambda _: None)
    with tunnel.open_tunnel(space, "me/p", client) as one:
        os.killpg(one._endpoint.child.pid, signal.SIGKILL)
        one._endpoint.child.wait(2)
        (standin.base / "host").unlink()
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", standin.base / "host"], check=True)
        one.reopen()
        assert one.run("true").code == 0
        assert one._endpoint.port == port


def test_a_key_that_is_refused_on_reopening_is_not_tried_again(standin, space, client):
    with tunnel.open_tunnel(space, "me/p", client) as one:
        (standin.base / "id.pub").write_text("")
        os.killpg(one._endpoint.child.pid, signal.SIGKILL)
        one._endpoint.child.wait(2)
        with pytest.raises(TunnelError, match="accepted no ssh key"):
            one.reopen()
    assert not standin.open_session()


def test_a_session_that_an_earlier_run_left_is_closed(standin, space, client, tmp_path):
    note = tmp_path / "session.json"
    (standin.base / "sessions").write_text("oldoldoldoldoldo")
    note.write_text(json.dumps({"id": "oldoldoldoldoldo", "project": "me/p", "url": space.url, "pid": 1}))
    with tunnel.open_tunnel(space, "me/p", client, session_file=note):
        assert "sessions stop -s oldoldoldoldoldo -p me/p" in standin.calls()


def test_an_orphan_that_can_not_be_stopped_yet_is_not_forgotten(standin, space, client, tmp_path, monkeypatch):
    note = tmp_path / "session-1.json"
    (standin.base / "sessions").write_text("oldoldoldoldoldo")
    note.write_text(json.dumps({"id": "oldoldoldoldoldo", "project": "me/p", "url": space.url, "pid": 1}))
    with monkeypatch.context() as busy:
        busy.setattr(tunnel.orphans, "stop_session", lambda _client, _project, session, **_: "old" not in session)
        with tunnel.open_tunnel(space, "me/p", client, session_file=note) as one:
            assert json.loads(note.read_text())["id"] == one.session
    assert [path.name for path in tmp_path.glob("session*")] == ["session-1-oldoldoldoldoldo.json"]
    (standin.base / "sessions").write_text("oldoldoldoldoldo")
    with tunnel.open_tunnel(space, "me/p", client, session_file=note):
        assert "sessions stop -s oldoldoldoldoldo -p me/p" in standin.calls()
    assert list(tmp_path.glob("session*")) == []


def test_a_session_that_could_not_be_stopped_is_stopped_before_the_next_is_opened(
    standin, space, client, tmp_path, monkeypatch
):
    monkeypatch.setattr(tunnel.Tunnel, "sleep", staticmethod(lambda _: None))
    note, tries, stop = tmp_path / "session-1.json", [], tunnel.orphans.stop_session

    def away_at_first(*words, **more):
        tries.append(sum("ssh-endpoint" in call for call in standin.calls()))
        return len(tries) > 1 and stop(*words, **more)

    monkeypatch.setattr(tunnel.orphans, "stop_session", away_at_first)
    with tunnel.open_tunnel(space, "me/p", client, session_file=note) as one:
        os.killpg(one._endpoint.child.pid, signal.SIGKILL)
        one._endpoint.child.wait(2)
        one.reopen()
        assert tries == [1, 1]
        assert one.run("true").code == 0
    assert list(tmp_path.glob("session*")) == []


@pytest.mark.parametrize("away", [0, 1, 3, 4])
def test_a_session_is_stopped_in_a_few_tries_as_the_workspace_may_be_away(
    standin, space, client, tmp_path, monkeypatch, caplog, away
):
    note, tries, pauses = tmp_path / "session-1.json", [], []

    def away_at_first(*_words, **_more):
        tries.append(1)
        return len(tries) > away

    monkeypatch.setattr(tunnel.orphans, "stop_session", away_at_first)
    monkeypatch.setattr(tunnel.orphans.time, "sleep", pauses.append)
    known = tunnel.orphans.Note(note, space.url, "me/p")
    known.opened("oldoldoldoldoldo")
    tunnel.orphans.confirm_stopped(client, known)
    assert pauses == [0.0, 1.0, 2.0, 4.0][: away + 1]
    assert note.exists() == ("may still be running" in caplog.text) == (away == 4)


def test_what_a_run_left_that_was_killed_before_its_session_had_a_name_is_told_and_not_stopped(
    standin, space, client, tmp_path, caplog, monkeypatch
):
    note = tmp_path / "session-1.json"
    standin.mode("opening")

    def killed(*_):
        raise SystemExit

    with monkeypatch.context() as dying:  # as if we were killed: it neither learns the session's id nor looks it up
        dying.setattr(tunnel.endpoint, "_await_port", killed)
        dying.setattr(tunnel.endpoint, "confirm_stopped", lambda *_: None)
        with pytest.raises(SystemExit), tunnel.open_tunnel(space, "me/p", client, session_file=note):
            pass
    assert json.loads(note.read_text())["id"] == ""
    standin.mode("")
    (standin.base / "sessions").write_text("oldoldoldoldoldo")
    with monkeypatch.context() as busy:
        busy.setattr(cdswctl.Client, "run", lambda *_, **__: process.Result(1, b"", b"busy"))
        tunnel.orphans.close_orphan(client, note)
    assert [path.name for path in tmp_path.glob("session*")] == ["session-1-nameless.json"]
    told = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert told == []
    tunnel.orphans.close_orphan(client, note)
    told = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert "oldoldoldoldoldo" in told[0]
    assert list(tmp_path.glob("session*")) == []
    assert not any("sessions stop" in call for call in standin.calls())
    (standin.base / "sessions").unlink()


@pytest.mark.parametrize(("mode", "kept"), [("denied", False), ("silent", True)])
def test_only_a_client_that_had_to_be_killed_may_have_left_a_session_without_a_name(
    standin, space, client, tmp_path, mode, kept
):
    standin.mode(mode)
    note = tmp_path / "session-1.json"
    with pytest.raises(TunnelError), tunnel.open_tunnel(space, "me/p", client, session_file=note, deadline=0.5):
        pass
    assert note.exists() == kept


def test_a_client_that_is_killed_before_it_says_a_word_is_started_again(standin, space, client, tmp_path):
    real = client.path.rename(client.path.with_name("real"))
    client.path.write_text(
        f'#!/bin/sh\n[ "$1" = ssh-endpoint ] && [ ! -e {tmp_path}/killed ] && touch {tmp_path}/killed && kill -9 $$\n'
        f'exec {real} "$@"\n'
    )
    client.path.chmod(0o755)
    with tunnel.open_tunnel(space, "me/p", client) as way:
        assert way.run("echo in").out == b"in\n"
    assert (tmp_path / "killed").exists()


@pytest.mark.parametrize(
    ("said", "away"),
    [
        ("Forwarding local port 1 to port 2222 on session abcd1234abcd1234 in project me/p", False),
        ("no route to host", True),
    ],
)
def test_a_client_that_ends_before_ssh_gets_in_is_started_again_if_the_workspace_was_away_or_let_us_connect(
    standin, space, client, tmp_path, monkeypatch, said, away
):
    monkeypatch.setattr(tunnel.Tunnel, "sleep", staticmethod(lambda _: None))
    real, ended = client.path.rename(client.path.with_name("real")), tmp_path / "ended"
    client.path.write_text(
        f'#!/bin/sh\n[ "$1" != ssh-endpoint ] || [ -e {ended} ] || {{ touch {ended}; echo {said}; exit 1; }}\n'
        f'exec {real} "$@"\n'
    )
    client.path.chmod(0o755)
    with tunnel.open_tunnel(space, "me/p", client, wait_until_back=lambda: away) as way:
        assert way.run("echo in").out == b"in\n"
    assert ended.exists()
    assert not standin.open_session()


def test_a_session_that_lets_nobody_in_yet_is_waited_for_not_replaced_by_another(standin, space, client):
    standin.mode("late")
    with tunnel.open_tunnel(space, "me/p", client) as way:
        assert way.run("echo in").out == b"in\n"
    assert sum("ssh-endpoint" in call for call in standin.calls()) == 1


def test_what_a_killed_client_may_have_left_is_told_before_another_is_started(standin, space, client, tmp_path, caplog):
    real = client.path.rename(client.path.with_name("real"))
    client.path.write_text(
        f'#!/bin/sh\n[ "$1" = ssh-endpoint ] && [ ! -e {tmp_path}/killed ] && touch {tmp_path}/killed && '
        f'echo orphan0orphan0 > {standin.base}/sessions && kill -9 $$\nexec {real} "$@"\n'
    )
    client.path.chmod(0o755)
    with tunnel.open_tunnel(space, "me/p", client, session_file=tmp_path / "session.json") as way:
        assert way.run("echo in").out == b"in\n"
    assert "orphan0orphan0" in caplog.text
    assert not [*tmp_path.glob("session*")]


def test_what_a_killed_client_had_asked_for_and_begins_later_is_told_at_the_end(
    standin, space, client, tmp_path, caplog
):
    real, late = client.path.rename(client.path.with_name("real")), tmp_path / "late"
    client.path.write_text(
        f'#!/bin/sh\n[ "$1" = ssh-endpoint ] && [ ! -e {tmp_path}/killed ] && touch {tmp_path}/killed && kill -9 $$\n'
        f'[ "$1" != ssh-endpoint ] || exec {real} "$@"\n'
        f'{real} "$@"; code=$?; [ "$1 $2" != "sessions list" ] || [ ! -e {late} ] || echo orphan0orphan0; exit $code\n'
    )
    client.path.chmod(0o755)
    with tunnel.open_tunnel(space, "me/p", client, session_file=tmp_path / "session.json"):
        assert "ended while it was opening" not in caplog.text
        late.touch()
    assert "orphan0orphan0" in caplog.text
    assert not any("sessions stop -s orphan" in call for call in standin.calls())
    assert not [*tmp_path.glob("session*")]


@pytest.mark.parametrize(("away", "left"), [(False, []), (True, ["session-nameless.json"])])
def test_what_a_client_may_have_left_that_failed_before_it_named_its_session_is_told_now_or_by_the_next_run(
    standin, space, client, tmp_path, caplog, away, left
):
    (standin.base / "sessions").write_text("orphan0orphan0")
    real, flag = client.path.rename(client.path.with_name("real")), tmp_path / "away"
    client.path.write_text(
        f'#!/bin/sh\n[ "$1" != ssh-endpoint ] || {{ echo "unexpected EOF" >&2; exit 1; }}\n'
        f'[ ! -e {flag} ] || {{ echo "no route to host" >&2; exit 1; }}\nexec {real} "$@"\n'
    )
    client.path.chmod(0o755)
    if away:
        flag.touch()
    note = tmp_path / "session.json"
    opened = tunnel.open_tunnel(space, "me/p", client, session_file=note)
    with pytest.raises(TunnelError, match="unexpected EOF"), opened:
        pass
    assert ("orphan0orphan0" in caplog.text) != away
    assert [path.name for path in tmp_path.glob("session*")] == left
    flag.unlink(missing_ok=True)
    tunnel.orphans.close_orphan(client, note)
    assert "orphan0orphan0" in caplog.text
    assert not [*tmp_path.glob("session*")]
    assert not any("sessions stop" in call for call in standin.calls())
    (standin.base / "sessions").unlink()
