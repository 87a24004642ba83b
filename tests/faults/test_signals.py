"""A signal ends a run in good order at any time, and kill -9 leaves nothing behind; the next run resumes."""

import os
import signal
import threading
import time
from pathlib import Path

import pytest
from background import PLAIN, big_file, session_commands
from emulated import EXPORT, IMPORT

from cmlutils import interrupts
from cmlutils.cli import runs
from cmlutils.cli.render import show
from cmlutils.emulator.faults import Fault
from cmlutils.errors import Interrupted


def seen(workspace, *parts):
    return lambda: any(all(part in str(one) for part in parts) for one in workspace.requests)


def rsync_runs(workspace):
    """Return a function that tells whether a session of the workspace runs an rsync."""
    return lambda: "--server" in session_commands(workspace)


def polling(workspace):
    """Return a function that tells whether the latest requests ask for the same things again and again."""
    return lambda: len(workspace.requests) > 20 and len({str(one) for one in workspace.requests[-9:]}) < 4


def ended(one, workspaces, signum, result):
    """Assert that the run ended by this signal, in time, and that nothing is left."""
    code, seconds = result
    assert code == 128 + signum, one.text()
    assert seconds < 10
    assert "Traceback" not in one.text()
    assert "again to continue" in one.text()
    assert [each.sessions for each in workspaces] == [[], []]
    assert one.left() == []


def phase(name, source):
    """Make an export stay in this phase; return a function that tells whether it has got there."""
    if name == "a call":
        source.faults.add(Fault("hang", path="/runtimes", seconds=90))
        return seen(source, "runtimes")
    if name == "an outage":
        source.faults.add(Fault("status", path="/runtimes", status=503, times=None))
        return lambda: sum("runtimes" in str(one) for one in source.requests) > 1
    if name == "a silent client":
        source.faults.add(Fault("silent", path="", times=None))
        return seen(source, "cdsw.tar.gz")
    if name == "an opening session":
        sessions, asked = source._sessions, []
        sessions._ready_after, opened = 1.0, sessions.open
        sessions.open = lambda *who: (asked.append(who), opened(*who))[1]
        return lambda: asked
    if name == "a session":
        return lambda: source.sessions
    big_file(source)
    return rsync_runs(source)


@pytest.mark.parametrize(
    ("where", "signum"),
    [
        ("a call", signal.SIGINT),
        ("an outage", signal.SIGTERM),
        ("a silent client", signal.SIGINT),
        ("an opening session", signal.SIGTERM),
        ("a session", signal.SIGTERM),
        ("rsync", signal.SIGINT),
        ("rsync", signal.SIGTERM),
    ],
)
def test_a_signal_ends_an_export_and_the_next_one_goes_on(workspaces, background, run_line, where, signum):
    both = source, _ = workspaces()
    there = phase(where, source)
    one = background(EXPORT)
    one.until(there, where)
    ended(one, both, signum, one.send(signum))
    source.faults.clear()
    (source.project("dana", "churn-model").files / "big.bin").unlink(missing_ok=True)
    run_line(EXPORT)
    assert source.sessions == []


def test_a_signal_ends_a_doctor_that_waits_for_an_answer(workspaces, background):
    both = source, _ = workspaces()
    there = phase("a call", source)
    one = background("cmlutil doctor")
    one.until(there, "a call")
    ended(one, both, signal.SIGINT, one.send(signal.SIGINT))


def test_a_signal_after_the_report_changes_nothing(workspaces, run_line, monkeypatch):
    workspaces()
    monkeypatch.setattr(runs, "show", lambda *what, **how: (show(*what, **how), os.kill(os.getpid(), signal.SIGTERM)))
    assert run_line(f"{EXPORT} --json", exit_code=0).json["exit_code"] == 0


def test_hangup_ends_a_run_that_nohup_does_not_keep(workspaces, background):
    both = source, _ = workspaces()
    there = phase("rsync", source)
    one = background(EXPORT, script=PLAIN)
    one.until(there, "rsync")
    ended(one, both, signal.SIGHUP, one.send(signal.SIGHUP))


def test_under_nohup_a_hangup_is_none(workspaces, background):
    both = source, _ = workspaces()
    there = phase("an outage", source)
    one = background(EXPORT)
    one.until(there, "an outage")
    os.kill(one.pid, signal.SIGHUP)
    count = len(source.requests)
    one.until(lambda: len(source.requests) > count, "another request")
    ended(one, both, signal.SIGINT, one.send(signal.SIGINT))


@pytest.mark.parametrize("where", ["a poll", "a push", "a comparison"])
def test_a_signal_ends_an_import_and_the_next_one_goes_on(workspaces, background, run_line, where):
    both = source, target = workspaces(target_more={"pace": {"polls": 5000}} if where == "a poll" else None)
    if where == "a push":
        big_file(source, 400 << 20)
    run_line(EXPORT)
    if where == "a comparison":
        source.faults.add(Fault("hang", path="list-models", seconds=90))
        source.forget_requests()
    there = {
        "a poll": polling(target),
        "a push": rsync_runs(target),
        "a comparison": seen(source, "list-models"),
    }[where]
    one = background(f"{IMPORT} --verify")
    one.until(there, where)
    ended(one, both, signal.SIGINT, one.send(signal.SIGINT))
    target.settle()
    source.faults.clear()
    if where != "a poll":
        run_line(IMPORT)
        assert len(target.project("dana", "churn-model").models) == 2


def test_a_signal_stops_the_application_that_was_just_created(workspaces, background, run_line, sample):
    sample["models"] = []
    both = _, target = workspaces(target_more={"pace": {"polls": 5000}})
    run_line(EXPORT)
    target.faults.add(Fault("hang-after", method="POST", path="/applications$", seconds=90))
    one = background(f"{IMPORT} --verify")
    one.until(lambda: target.went_live, "an application")
    ended(one, both, signal.SIGTERM, one.send(signal.SIGTERM))
    (made,) = target.project("dana", "churn-model").applications
    assert made.status == "stopping"


def test_a_signal_ends_in_time_also_when_the_application_can_not_be_stopped(workspaces, background, run_line, sample):
    sample["models"] = []
    both = _, target = workspaces()
    run_line(EXPORT)
    target.faults.add(Fault("hang", path="[/:]stop$", seconds=90, times=None))
    one = background(f"{IMPORT} --verify")
    one.until(lambda: target.went_live, "an application")
    ended(one, both, signal.SIGTERM, one.send(signal.SIGTERM))
    assert "may be live until the next import" in one.text()


def test_a_signal_while_the_session_closes_leaves_it_closed(workspaces, background):
    both = source, _ = workspaces()
    one = background(EXPORT)
    one.until(lambda: source.session_log and not rsync_runs(source)() and source.sessions == [], "a closing session")
    code, seconds = one.send(signal.SIGINT)
    assert code in {0, 130}
    assert seconds < 10
    assert [each.sessions for each in both] == [[], []]
    assert one.left() == []


def test_a_second_signal_ends_it_at_once_and_leaves_no_process(workspaces, background):
    source, _ = workspaces()
    there = phase("rsync", source)
    one = background(EXPORT)
    one.until(there, "rsync")
    stuck = next(pid for pid, words in one.processes().items() if "ssh-endpoint" in words)
    os.kill(stuck, signal.SIGSTOP)  # so the client no longer reacts
    threading.Timer(0.5, os.kill, (one.pid, signal.SIGINT)).start()
    code, seconds = one.send(signal.SIGINT)
    assert code == 130
    assert seconds < 6
    assert one.left() == []


def test_a_terminal_that_closes_sends_hup_twice_and_the_run_still_ends_in_order(workspaces, background):
    both = source, _ = workspaces()
    there = phase("rsync", source)
    one = background(EXPORT, script=PLAIN)
    one.until(there, "rsync")
    for seconds in (0.05, 0.15):
        threading.Timer(seconds, os.kill, (one.pid, signal.SIGHUP)).start()
    ended(one, both, signal.SIGHUP, one.send(signal.SIGHUP))


def test_kill_9_leaves_nothing_and_the_next_run_goes_on(workspaces, background, run_line):
    both = source, _ = workspaces()
    there = phase("rsync", source)
    one = background(EXPORT)
    one.until(there, "rsync")
    code, _ = one.send(signal.SIGKILL)
    assert code == 137
    one.vanishes(20)
    assert [each.sessions for each in both] == [[], []]
    (source.project("dana", "churn-model").files / "big.bin").unlink()
    run_line(EXPORT)


def test_what_even_the_watchdog_could_not_close_the_next_run_closes(workspaces, background, run_line):
    source, _ = workspaces()
    there = phase("rsync", source)
    one = background(EXPORT)
    one.until(there, "rsync")
    client = next(pid for pid, words in one.processes().items() if "ssh-endpoint" in words)
    os.kill(client, signal.SIGKILL)
    one.send(signal.SIGKILL)
    one.vanishes(20)
    [orphan] = source.sessions
    (source.project("dana", "churn-model").files / "big.bin").unlink()
    run_line(EXPORT)
    assert source.sessions == []
    assert orphan.how == "sessions stop"


def test_a_session_that_nobody_could_close_or_name_is_told_by_the_next_run(
    workspaces, background, run_line, monkeypatch
):
    source, _ = workspaces()
    opening, dead, opens = threading.Event(), threading.Event(), source._sessions.open

    def slowly(*words):
        opening.set()
        assert dead.wait(40)
        return opens(*words)

    monkeypatch.setattr(source._sessions, "open", slowly)
    one = background(EXPORT)
    one.until(opening.is_set, "an opening session")
    source.go_down()
    one.send(signal.SIGKILL)
    dead.set()
    [orphan] = one.until(lambda: source.sessions, "the session")
    one.vanishes(20)
    source.come_up()
    assert orphan.id in run_line(EXPORT).err
    assert source.sessions == [orphan]
    assert orphan.id not in run_line(EXPORT).err


def test_the_recipe_of_the_readme(workspaces, background, tmp_path):
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    assert "\nnohup cmlutil project export -p" in readme
    assert "\nkill -INT PID" in readme
    both = source, _ = workspaces()
    there = phase("rsync", source)
    one = background(EXPORT)
    one.until(there, "rsync")
    os.system(f"kill -INT {one.pid}")
    assert one.wait() == 130
    assert [each.sessions for each in both] == [[], []]
    assert one.left() == []


def test_a_signal_waits_for_the_end_of_a_clean_up():
    interrupts.forget()
    done = []
    try:
        with pytest.raises(Interrupted), interrupts.held():
            with interrupts.held():
                interrupts.hear(signal.SIGTERM)
                done.append("inner")
            done.append("outer")
            assert interrupts.at_most(60) <= interrupts.SECONDS
            time.sleep(0)
        interrupts.hear(signal.SIGTERM)  # a later signal interrupts nothing
        assert done == ["inner", "outer"]
    finally:
        interrupts.forget()
    assert interrupts.at_most(60) == 60
