"""Sessions with a stand-in for cdswctl, but real ssh and rsync."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import socket
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
import requests
from until import gone, until

from cmlutils.emulator.faults import Fault
from cmlutils.emulator.ssh import Sshd, authorized_keys

from .conftest import DANA, KAI

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from cmlutils.emulator.server import Workspace

    from .conftest import Client

CHURN = ("-p", "dana/churn-model", "-r", "85")


def tree(folder: Path) -> dict[str, object]:
    """Return the content of a folder: file contents, link targets, modes and times by path."""
    found: dict[str, object] = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_symlink():
            found[name] = str(path.readlink())
        elif path.is_dir():
            found[name] = None
        else:
            found[name] = (path.read_bytes(), path.stat().st_mode, path.stat().st_mtime_ns)
    return found


def test_rsync_down_and_up(workspace: Workspace, client: Callable[..., Client], tmp_path: Path) -> None:
    cdswctl = client(workspace)
    process, port = cdswctl.tunnel(*CHURN)
    files = workspace.project("dana", "churn-model").files
    control = f"{' '.join(cdswctl.ssh(port))} -oControlMaster=auto -oControlPath={tmp_path}/c -oControlPersist=9"
    down, remote = tmp_path / "down", "cdsw@localhost:/home/cdsw/"
    subprocess.run(["rsync", "-a", "-e", control, remote, f"{down}/"], check=True, timeout=30)
    assert tree(down) == tree(files)
    (down / "more").write_bytes(os.urandom(3_000_000))
    subprocess.run(["rsync", "-a", "-e", control, f"{down}/", f"{remote}up/"], check=True, timeout=30)
    assert tree(files / "up") == tree(down)
    subprocess.run([*control.split(), "-O", "exit", "cdsw@localhost"], check=True, capture_output=True, timeout=9)
    process.send_signal(signal.SIGINT)
    process.wait(10)
    assert workspace.sessions == []
    (session,) = workspace.session_log
    assert (session.project, session.how, len(session.id)) == ("dana/churn-model", "interrupted", 16)
    assert session.stopped is not None


def test_commands_run_in_the_project(workspace: Workspace, client: Callable[..., Client]) -> None:
    cdswctl = client(workspace)
    _, port = cdswctl.tunnel(*CHURN)
    done = cdswctl.on(port, "pwd; cat; echo err >&2; ls '/home/cdsw/a b' ~/jobs; exit 7", b"in\0put")
    files = workspace.project("dana", "churn-model").files
    assert done.returncode == 7
    assert done.stdout.startswith(f"{files}\nin\0put{files}".encode())
    assert "ü.txt".encode() in done.stdout
    assert done.stderr == b"err\n"
    big = os.urandom(2_000_000)
    assert {cdswctl.on(port, "cat", big).stdout == big for _ in range(12)} == {True}  # a bug once cut one in four short
    assert cdswctl.on(port, "", b"echo shell\n").stdout == b"shell\n"


def test_only_the_right_user_and_key_get_in(
    workspace: Workspace, client: Callable[..., Client], tmp_path: Path
) -> None:
    cdswctl = client(workspace)
    _, port = cdswctl.tunnel(*CHURN)
    stranger = subprocess.run([*cdswctl.ssh(port), "root@localhost", "id"], capture_output=True, timeout=9, check=False)
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "other"], check=True)
    cdswctl.ssh_key = tmp_path / "other"
    for refused in (stranger, cdswctl.on(port, "id")):
        assert refused.returncode == 255
        assert b"Permission denied (publickey)" in refused.stderr


def test_keys_come_from_lines_and_files(tmp_path: Path) -> None:
    (tmp_path / "a.pub").write_text("ssh-ed25519 AAAA a\n\n")
    (tmp_path / "b.pub").write_text("ssh-ed25519 BBBB b\n")
    text = authorized_keys([f"{tmp_path}/*.pub", "ssh-ed25519 CCCC c", f"{tmp_path}/none.pub"])
    assert [line[-1] for line in text.splitlines()] == ["a", "b", "c"]


@pytest.mark.parametrize(("words", "text"), [
    (("-p", "dana/churn-model"), "runtime-id is required"),
    (("-p", "dana/churn-model", "-r", "1"), "record not found"),
    (("-p", "dana/churn-model", "-r", "img"), "expected int"),
    (("-p", "dana/churn-model", "--odd"), "unknown flag `odd'"),
    (("-p",), "expected argument for flag `--project'"),
    (("-r", "85"), "the required flag `--project' was not specified"),
])  # fmt: skip
def test_what_ssh_endpoint_refuses(
    workspace: Workspace, client: Callable[..., Client], words: tuple[str, ...], text: str
) -> None:
    done = client(workspace).run("ssh-endpoint", *words)
    assert (done.returncode, done.stdout) == (1, "")
    assert text in done.stderr
    assert workspace.session_log == []


def test_legacy_engines_take_no_runtime_and_have_rsync(workspace: Workspace, client: Callable[..., Client]) -> None:
    cdswctl = client(workspace, log_in=False)
    cdswctl.run("login", "--username=kai", "--url", workspace.url, "--api-key", KAI)
    assert "must not be given" in cdswctl.run("ssh-endpoint", "-p", "kai/open", "-r", "85").stderr
    workspace.world.user("kai").ssh_keys = workspace.world.user("dana").ssh_keys
    _, port = cdswctl.tunnel("-p", "open", "-c", "1", "-m", "0.5", "-g=0", "--addons=7")
    assert cdswctl.on(port, "rsync --version").returncode == 0


@pytest.mark.parametrize("fault", [False, True])
def test_a_session_may_lack_rsync(workspace: Workspace, client: Callable[..., Client], fault: bool) -> None:
    if fault:
        workspace.faults.add(Fault("no-rsync", path="churn"))
    cdswctl = client(workspace)
    _, port = cdswctl.tunnel("-p", "dana/churn-model", "-r", "85" if fault else "84")
    done = cdswctl.on(port, "rsync --server .")
    assert (done.returncode, done.stderr) == (127, b"sh: rsync: command not found\n")


@pytest.mark.parametrize("project", ["dana/Churn Model", "kai/secret", "nobody/x", "kai/open"])
def test_a_wrong_project_is_met_with_silence(workspace: Workspace, client: Callable[..., Client], project: str) -> None:
    process = client(workspace).spawn("ssh-endpoint", "-p", project, "-r", "85")
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(3)  # long enough for its request to arrive, even on a busy machine
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=5) == ("", "")
    assert workspace.session_log == []


@pytest.mark.parametrize(("action", "text"), [
    ("unauthorized", "401"), ("port-taken", "can't listen on port 20543"), ("no-port-flag", "unknown flag `port'"),
])  # fmt: skip
def test_faults_of_the_endpoint(workspace: Workspace, client: Callable[..., Client], action: str, text: str) -> None:
    cdswctl = client(workspace)
    workspace.faults.add(Fault(action))
    done = cdswctl.run("ssh-endpoint", *CHURN, "--port", "20543")
    assert (done.returncode, done.stdout) == (1, "")
    assert text in done.stderr
    cdswctl.tunnel(*CHURN)


def test_silence_by_fault_and_keys_refused(workspace: Workspace, client: Callable[..., Client]) -> None:
    workspace.faults.add(Fault("silent"), Fault("refused-key"))
    cdswctl = client(workspace)
    with pytest.raises(subprocess.TimeoutExpired):
        cdswctl.spawn("ssh-endpoint", *CHURN).wait(3)
    _, port = cdswctl.tunnel(*CHURN)
    assert b"Permission denied" in cdswctl.on(port, "id").stderr


def test_the_port_asked_for_or_a_sentence(workspace: Workspace, client: Callable[..., Client]) -> None:
    cdswctl = client(workspace)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        assert "can't listen on port" in cdswctl.run("ssh-endpoint", *CHURN, "--port", port).stderr
    _, got = cdswctl.tunnel(*CHURN, "--port", port)
    assert got == int(port)


def test_tunnels_cut_on_command_stay_cut(workspace: Workspace, client: Callable[..., Client]) -> None:
    cdswctl = client(workspace)
    process, port = cdswctl.tunnel(*CHURN)
    running = subprocess.Popen(
        [*cdswctl.ssh(port), "cdsw@localhost", "touch going; exec sleep 60"], stderr=subprocess.PIPE
    )
    going = workspace.project("dana", "churn-model").files / "going"
    until(going.exists, "a command that runs")
    workspace.cut_tunnels()
    running.communicate(timeout=10)
    assert running.returncode == 255
    until(lambda: cdswctl.on(port, "id").returncode == 255, "a tunnel that is cut")
    assert process.poll() is None
    assert len(workspace.sessions) == 1
    process.send_signal(signal.SIGINT)
    process.wait(10)
    assert workspace.sessions == []


def test_a_tunnel_cut_after_some_bytes(workspace: Workspace, client: Callable[..., Client]) -> None:
    workspace.faults.add(Fault("cut", after_bytes=200_000))
    cdswctl = client(workspace)
    _, port = cdswctl.tunnel(*CHURN)
    done = cdswctl.on(port, "head -c 5000000 /dev/zero")
    assert done.returncode == 255
    assert len(done.stdout) < 2_000_000
    assert cdswctl.on(port, "id").returncode == 255


def test_a_tunnel_dies_with_the_workspace_and_the_session_does_not(
    workspace: Workspace, client: Callable[..., Client]
) -> None:
    cdswctl = client(workspace)
    process, port = cdswctl.tunnel(*CHURN)
    workspace.go_down()
    until(lambda: cdswctl.on(port, "id").returncode == 255, "a tunnel that is cut")
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    assert "refused" in process.communicate(timeout=10)[1]
    workspace.come_up()
    assert len(workspace.sessions) == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_other_signals_leave_the_session(
    workspace: Workspace, client: Callable[..., Client], number: signal.Signals
) -> None:
    cdswctl = client(workspace)
    process, _ = cdswctl.tunnel(*CHURN)
    process.send_signal(number)
    process.wait(5)
    (session,) = workspace.sessions
    assert cdswctl.run("sessions", "list", "-p", "dana/churn-model").stdout.startswith(f"{session.id}: running")
    stopped = cdswctl.run("sessions", "stop", "-s", session.id, "-p", "dana/churn-model")
    assert (stopped.returncode, stopped.stderr) == (1, "unexpected end of JSON input\n")
    assert "404" in cdswctl.run("sessions", "stop", "-s", session.id, "-p", "dana/churn-model").stderr
    assert workspace.session_log[0].how == "sessions stop"
    assert cdswctl.run("sessions", "list", "-p", "dana/churn-model").stdout == ""


@pytest.mark.parametrize("pause", [0, 0.5])
def test_the_end_of_a_session_ends_what_runs_in_it(
    pause: float, workspace: Workspace, client: Callable[..., Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = asyncio.create_subprocess_exec

    async def begun(*words: Any, **settings: Any) -> Any:
        child = await real(*words, **settings)
        await asyncio.sleep(pause)  # as on a busy machine: it runs, and its creator does not know it yet
        return child

    monkeypatch.setattr(asyncio, "create_subprocess_exec", begun)
    cdswctl = client(workspace)
    _, port = cdswctl.tunnel(*CHURN)
    running = subprocess.Popen(
        [*cdswctl.ssh(port), "cdsw@localhost", "sleep 987 & echo $! > pid; wait"], stderr=subprocess.PIPE
    )
    pid = workspace.project("dana", "churn-model").files / "pid"
    until(lambda: pid.exists() and pid.read_text().strip(), "a command that runs")
    workspace.close()
    running.communicate(timeout=10)
    until(lambda: gone(int(pid.read_text())), "the end of what ran in the session")
    assert workspace.session_log[0].how == "workspace closed"


@pytest.mark.parametrize("turns", range(6))
def test_who_connects_in_the_moment_of_a_sessions_end_is_not_forgotten(turns: int, tmp_path: Path) -> None:
    async def connect_at_the_end() -> bytes:
        sshd = Sshd(folder=tmp_path, scratch=tmp_path)
        port = await sshd.listen()
        with socket.socket() as caller:
            caller.setblocking(False)
            caller.connect_ex(("127.0.0.1", port))
            for _ in range(turns):  # of the loop
                await asyncio.sleep(0)
            await sshd.close()
            caller.settimeout(5)
            try:
                return caller.recv(1000).partition(b"-")[0]
            except ConnectionResetError:
                return b""

    assert asyncio.run(connect_at_the_end()) in {b"", b"SSH"}
    gc.collect()  # pytest fails for a socket that is left open


def test_deleting_a_project_ends_its_sessions(workspace: Workspace, client: Callable[..., Client]) -> None:
    client(workspace).tunnel(*CHURN)
    requests.delete(f"{workspace.url}/api/v1/projects/dana/churn-model", auth=(DANA, ""), timeout=9)
    assert workspace.session_log[0].how == "project deleted"


def test_tls_is_checked_unless_skipped(start: Callable[..., Workspace], client: Callable[..., Client]) -> None:
    workspace = start(tls=True)
    cdswctl = client(workspace, log_in=False)
    words = ("login", "-n", "dana", "-u", workspace.url, "-y", DANA)
    refused = cdswctl.run(*words)
    assert refused.returncode == 1
    assert "x509: certificate signed by unknown authority" in refused.stderr
    assert cdswctl.run(*words, SSL_CERT_FILE=str(workspace.ca_file)).stdout == "Login succeeded\n"
    assert cdswctl.run(*words, "--insecure-skip-verify").stdout == "Login succeeded\n"
    _, port = cdswctl.tunnel(*CHURN, "--insecure-skip-verify")
    assert cdswctl.on(port, "true").returncode == 0


def test_login_writes_the_documented_file(workspace: Workspace, client: Callable[..., Client]) -> None:
    cdswctl = client(workspace, log_in=False)
    assert "not logged in" in cdswctl.run("sessions", "list", "-p", "open").stderr
    for name, key in (("dana", "wrong"), ("kai", DANA)):
        done = cdswctl.run("login", "-n", name, "-u", workspace.url, "-y", key)
        assert (done.returncode, done.stdout) == (1, "")
        assert "401" in done.stderr
    assert cdswctl.run("login", "-n", "DANA", "-u", workspace.url, "-y", DANA).returncode == 0
    config = cdswctl.folder / ".cdsw" / "config.yaml"
    assert config.read_text() == (
        f"username: DANA\nurl: {workspace.url}\nauth:\n  authtype: 1\n  basic: null\n  apikey: {DANA}\n"
    )
    workspace.faults.add(Fault("unauthorized"))
    assert "401" in cdswctl.run("login", "-n", "dana", "-u", workspace.url, "-y", DANA).stderr
    assert "unsupported protocol" in cdswctl.run("login", "-n", "dana", "-u", "nowhere", "-y", DANA).stderr


def test_a_file_written_by_hand_will_do(workspace: Workspace, client: Callable[..., Client]) -> None:
    cdswctl = client(workspace, log_in=False)
    config = cdswctl.folder / ".cdsw" / "config.yaml"
    config.parent.mkdir()
    config.write_text(f"auth:\n  apikey: '{DANA}'\nurl: \"{workspace.url}\"\n")
    words = ("sessions", "list", "-p", "dana/churn-model")
    assert "is missing" in cdswctl.run(*words).stderr
    config.write_text(f"username: dana\n{config.read_text()}")
    assert cdswctl.run(*words).returncode == 0


def test_the_client_needs_no_python3_on_path(
    workspace: Workspace, client: Callable[..., Client], tmp_path: Path
) -> None:
    old = tmp_path / "python3"
    old.write_text("#!/bin/sh\necho 'future feature annotations is not defined' >&2\nexit 1\n")
    old.chmod(0o755)
    assert "ssh-endpoint" in client(workspace, log_in=False).run(PATH=str(tmp_path)).stdout


def test_help_and_nonsense(workspace: Workspace, client: Callable[..., Client]) -> None:
    cdswctl = client(workspace)
    assert "ssh-endpoint" in cdswctl.run().stdout
    for words in (("odd",), ("sessions", "odd", "-p", "x")):
        done = cdswctl.run(*words)
        assert (done.returncode, "Unknown command" in done.stderr) == (1, True)


def test_clients_exist_for_amd64_only(workspace: Workspace) -> None:
    for place, status in (("linux/amd64", 200), ("darwin/amd64", 200), ("linux/arm64", 404), ("windows/amd64", 404)):
        assert requests.get(f"{workspace.url}/cli/{place}/cdsw.tar.gz", timeout=5).status_code == status
