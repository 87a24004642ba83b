"""If a workspace goes away, every phase waits for it; a key that is refused is not tried again."""

import threading
import time

import pytest
from background import big_file, session_commands
from emulated import EXPORT, IMPORT

from cmlutils.emulator.faults import Fault
from cmlutils.errors import TunnelError, Unreachable
from cmlutils.remote import tunnel
from cmlutils.remote.http import Http, Patience
from cmlutils.section import Secret, Workspace

SOURCE_KEY = "source0key0source0key0source0key0"


def outage(workspace, seconds):
    """Shut a workspace down now, and bring it back after some seconds."""
    workspace.go_down()
    back = threading.Timer(seconds, workspace.come_up)
    back.start()
    return back


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_an_outage_of_twenty_seconds_during_rsync_is_waited_out(workspaces, background):
    source, _ = workspaces()
    big_file(source, 1 << 30)
    one = background(EXPORT)
    one.until(lambda: source.sessions and "--server" in session_commands(source), "an rsync in a session")
    back = outage(source, 20)
    assert one.wait(300) == 0, one.text()
    back.join()
    assert "waiting for 127.0.0.1" in one.text()
    assert source.sessions == []
    assert one.left() == []


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize("where", ["before the session", "models", "the comparison"])
def test_an_outage_in_any_phase_of_an_import_is_waited_out(workspaces, background, run_line, where):
    source, target = workspaces()
    run_line(EXPORT)
    source.forget_requests()
    seen = {
        "before the session": lambda: any("runtimes" in str(one) for one in target.requests),
        "models": lambda: any("create-model" in str(one) for one in target.requests),
        "the comparison": lambda: any("list-models" in str(one) for one in source.requests),
    }[where]
    one = background(f"{IMPORT} --verify")
    one.until(seen, where)
    back = outage(target, 4)
    assert one.wait(300) == 0, one.text()
    back.join()
    assert len(target.project("dana", "churn-model").models) == 2
    assert source.sessions == target.sessions == []


def test_patience_ends_and_says_how_to_go_on(workspaces, background):
    source, _ = workspaces()
    source.faults.add(Fault("status", path="/runtimes", status=503, times=None))
    begin = time.monotonic()
    one = background(f"{EXPORT} --patience 0.05")
    assert one.wait(60) == 1
    assert time.monotonic() - begin < 30
    assert "did not come back within 3 s" in one.text()
    assert "Run the same command again" in one.text()


def test_a_refused_key_is_tried_once(workspaces, run_line, home):
    source, _ = workspaces()
    ini = home / "cmlutils/export-config.ini"
    ini.write_text(ini.read_text().replace(SOURCE_KEY, "mistaken0key"))
    run_line(EXPORT, exit_code=1)
    assert len(source.requests) == 1


def test_an_hour_is_waited_and_no_longer(workspaces):
    source, _ = workspaces()
    clock, said = [0.0], []

    def sleep(seconds):
        clock[0] += seconds

    space = Workspace(source.url, "dana", Secret(SOURCE_KEY))
    with Http(space, Patience(3600, sleep, lambda: clock[0], said.append)) as http:
        http.get("/api/v1/users/dana")
        source.faults.add(Fault("status", status=503, times=None))
        with pytest.raises(Unreachable, match="3600 s"):
            http.get("/api/v1/users/dana")
    assert 3600 <= clock[0] < 3640
    assert said[0].startswith("waiting for 127.0.0.1")
    assert 10 < len(said) < 20  # the message is repeated every five minutes


def test_an_outage_is_no_vain_attempt_to_reopen_a_tunnel(monkeypatch, tmp_path):
    waits, pauses, dials = [], [], []
    monkeypatch.setattr(tunnel.time, "sleep", pauses.append)

    def dial():
        dials.append(1)
        raise TunnelError("the workspace is away")

    def wait_until_back():
        waits.append(1)
        return True

    one = tunnel.Tunnel(Workspace("http://ws.test", "me", Secret("k")), tmp_path, dial, wait_until_back)
    with pytest.raises(TunnelError, match="dropped 6 times"):
        one.reopen()
    assert len(waits) == len(dials) + 1 == tunnel.REOPENINGS + 1  # each attempt waits until the workspace answers
