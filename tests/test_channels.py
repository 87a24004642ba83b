"""Channels that wait for their script work like new ones, and none is left over."""

import contextlib
import os
import select
import shutil
import signal
import subprocess
from pathlib import Path

import pytest
from until import until

from cmlutils.errors import TransferError, TunnelError
from cmlutils.remote import cdswctl, channels, process, tunnel
from cmlutils.section import Secret, Workspace


@pytest.fixture
def way(standin):
    space = Workspace("http://ws.test", "me", Secret("sekrit"), identity_file=standin.base / "id")
    client = cdswctl.logged_in(space, standin.client, standin.base)
    with tunnel.open_tunnel(space, "me/p", client) as one:
        until_ready(one)
        yield one


def until_ready(way):
    """Wait until the shells of all waiting channels have begun."""
    waiting = {child.stderr for child in way._channels._waiting}
    until(lambda: len(select.select(waiting, [], [], 0)[0]) == len(waiting), "the waiting shells", 20)


def waiting(way):
    return [child.pid for child in way._channels._waiting]


def on_the_workspace(standin):
    """Return the pids of the shells that wait in this stand-in's project, and not in those of other tests."""
    waiting = subprocess.run(["pgrep", "-f", "IFS= read -r script"], capture_output=True, text=True, check=False).stdout
    found = []
    for pid in waiting.split():
        with contextlib.suppress(OSError):
            if Path(f"/proc/{pid}/cwd").readlink().is_relative_to(standin.base):
                found.append(pid)
    return found


def test_what_waits_is_used_and_more_can_be_prepared(way):
    first, second = waiting(way)
    assert way.run("cat; echo out; echo err >&2; exit 3", b"a\0b\n", ok=[3]) == (3, b"a\0b\nout\n", b"err\n")
    assert waiting(way) == [second]
    assert b"".join(way.stream("cat; echo streamed")) == b"streamed\n"
    assert waiting(way) == []
    assert way.run("echo anew").out == b"anew\n"
    way.prepare()
    assert len(waiting(way)) == 1
    assert first not in waiting(way)


@pytest.mark.parametrize(
    "script",
    [
        "printf %s 'two\nlines'",
        "printf %s " + "x" * channels.LONGEST,
        "printf %s " + "!" * channels.LONGEST,
        "printf %s \"a\\b\" '  spaces  ' '$HOME' | cat",
        "printf %s '\\n' '\\c' '\\0101' '\\\\' '%d' '\\\n'",
        "printf %s ‘é’",
        "",
    ],
    ids=["lines", "long", "longer when escaped", "quotes", "backslashes", "not ascii", "nothing"],
)
def test_any_script_says_the_same_in_a_channel_that_waited_and_in_a_new_one(way, script):
    new = process.run([*way.ssh_argv, tunnel.LOGIN, script], timeout=20)
    assert len(waiting(way)) == 2
    waited = way.run(script)
    assert waited.out == new.out
    assert len(waiting(way)) == (2 if len(script) > channels.LONGEST else 1)
    way._channels.close()
    assert way.run(script).out == new.out


@pytest.mark.parametrize("shell", [shell for shell in ("sh", "bash", "zsh", "fish", "tcsh") if shutil.which(shell)])
def test_any_login_shell_passes_a_script_on_as_it_is(shell, monkeypatch):
    monkeypatch.setenv("SSH_ORIGINAL_COMMAND", "as if a command of sshd's own had begun here")
    script = "printf '%s\n' 'two\nlines' '!x' !! \"a\\b\" 'c\\' '\\n' '\\0101' '$HOME' \"it's\" ‘é \udcff; cat"
    said = subprocess.run(["sh", "-c", script], input=b"in", capture_output=True, check=True).stdout
    with contextlib.closing(channels.Channels([shell, "-c"])) as way, way.channel(script) as (child, line):
        assert process.finish(child, line + b"in", 20).out == said


def test_a_script_may_name_what_is_not_utf_8(way):
    assert way.run("printf %s \udcff\udcfe").out == b"\xff\xfe"


def test_one_that_is_not_ready_goes_on_waiting_while_a_new_one_answers(monkeypatch):
    monkeypatch.setenv("SSH_ORIGINAL_COMMAND", "as if a command of sshd's own had begun here")
    way = channels.Channels(["sh", "-c", 'case $0 in *"read -r"*) exec sleep 60 ;; esac; eval "$0"'])
    with contextlib.closing(way):
        way.prepare(1)
        with way.channel("echo new; cat") as (child, line):
            assert process.finish(child, line + b"input", 20).out == b"new\ninput"
        assert len(way._waiting) == 1


def test_one_that_has_ended_is_passed_over(way):
    for pid in waiting(way):
        os.killpg(pid, signal.SIGKILL)
    for child in way._channels._waiting:
        child.wait(5)
    assert way.run("echo here").out == b"here\n"
    assert waiting(way) == []


@pytest.mark.parametrize("said", [b"", b"touch seen"])
def test_half_a_script_is_none_and_counts_as_a_broken_connection(way, standin, said):
    with way._channels.channel("touch seen") as (child, _):
        cut = process.finish(child, said, 20)
    assert cut.code == 255
    assert not (standin.project / "seen").exists()


def test_a_connection_that_breaks_under_a_script_is_a_broken_tunnel(way):
    with way._channels.channel("echo in; cat") as (child, line):
        child.stdin.write(line)
        child.stdin.flush()
        assert child.stdout.readline() == b"in\n"
        way.close()
        code, _, err = process.finish(child, b"more", 20)
    with pytest.raises(TunnelError, match="connection broke"):
        tunnel._judge(code, err, range(128))


def test_what_a_login_shell_complains_of_is_no_word_of_the_script(standin):
    config = standin.base / "sshd_config"
    text = config.read_text()
    config.write_text(text.replace("ForceCommand ", "ForceCommand echo find: noise >&2; ", 1))
    assert config.read_text() != text
    space = Workspace("http://ws.test", "me", Secret("sekrit"), identity_file=standin.base / "id")
    client = cdswctl.logged_in(space, standin.client, standin.base)
    with tunnel.open_tunnel(space, "me/p", client) as one:
        until_ready(one)
        for _ in range(3):  # the first two use waiting channels, the third a new one
            assert one.run("echo mine >&2").err == b"mine\n"
        err = bytearray()
        assert list(one.stream("echo out; echo mine >&2; exit 1", ok=[1], err=err)) == [b"out\n"]
        assert err == b"mine\n"
        assert list(one.stream("echo out; echo mine >&2", err=err)) == [b"out\n"]
        assert err == b""


def test_a_script_that_fails_is_no_broken_connection(way):
    with pytest.raises(TransferError, match="exit code 4: why"):
        way.run("echo why >&2; exit 4")
    with pytest.raises(TransferError, match="exit code 5"):
        list(way.stream("exit 5"))


def test_none_is_left_on_either_side(standin):
    space = Workspace("http://ws.test", "me", Secret("sekrit"), identity_file=standin.base / "id")
    client = cdswctl.logged_in(space, standin.client, standin.base)
    with tunnel.open_tunnel(space, "me/p", client) as one:
        one.run("true")
        one.prepare(3)
        mine = [child.pid for child in one._channels._waiting]
        assert len(mine) == 3
        until(lambda: len(on_the_workspace(standin)) == 3, "three shells that wait", 15)
    for pid in mine:
        with pytest.raises(ProcessLookupError):
            os.killpg(pid, 0)
    until(lambda: not on_the_workspace(standin), "the end of the shells that waited", 15)
