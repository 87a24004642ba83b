"""`project status` from another shell: it says how far a run is, and never that a killed run still goes on."""

import json
import os
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest
from emulated import EXPORT
from until import until

from cmlutils.bundle import Bundle
from cmlutils.cli import overview
from cmlutils.cli.progress_file import ProgressFile
from cmlutils.emulator.faults import Fault
from cmlutils.flows import status
from cmlutils.flows.status import SideState, status_of
from cmlutils.lock import holder_of
from cmlutils.progress import FileProgress, Silent
from cmlutils.report import Outcome, Report, Status

STATUS = 'cmlutil project status -p "Churn Model" --json'


@pytest.fixture
def bundle(tmp_path):
    bundle = Bundle(tmp_path / "P")
    bundle.create()
    return bundle


def test_another_shell_sees_phase_files_rate_and_outcomes(bundle, monkeypatch):
    report = Report("import", "P")
    with bundle.lock(), ProgressFile(Silent(), report, bundle).open() as progress:
        report.outcomes += [Outcome("job", "a", Status.CREATED), Outcome("job", "b", Status.FAILED)]
        with progress.phase("files"):
            progress.step("copying")
            progress._written = 0
            progress.files(FileProgress(0, 1000, 0, 10))
            time.sleep(0.05)
            progress._written = 0
            progress.files(FileProgress(500, 1000, 5, 10))
            seen = status_of(bundle, "import")
            assert (seen.running, seen.pid, seen.phase, seen.step) == (True, os.getpid(), "files", "copying")
            assert (seen.files["bytes_done"], seen.files["files_total"]) == (500, 10)
            assert seen.files["bytes_per_second"] > 0
            assert seen.files["seconds_left"] is None  # it is too early to tell
            monkeypatch.setattr("cmlutils.cli.progress_file._FORETELLS", 0)
            progress._written = 0
            progress.files(FileProgress(500, 1000, 5, 10))
            assert status_of(bundle, "import").files["seconds_left"] >= 0
            assert seen.workloads == {"job": {"created": 1, "failed": 1}}
            assert not status_of(bundle, "export").running
    assert not status_of(bundle, "import").running


def test_progress_is_written_once_a_second_at_most(bundle):
    path = bundle.state / "progress.json"
    with bundle.lock(), ProgressFile(Silent(), Report("export", "P"), bundle).open() as progress:
        progress.step("copying")
        before = path.stat().st_ino, path.read_text()
        for number in range(1000):
            progress.files(FileProgress(number, 1000, number, 1000))
        assert (path.stat().st_ino, path.read_text()) == before
    assert not path.exists()


def test_a_run_that_was_killed_does_not_read_as_running(workspaces, run_line, home):
    _, target = workspaces()
    run_line(EXPORT)
    target.faults.add(Fault("hang", method="POST", path="/jobs$", seconds=600))

    def at_jobs():
        return next((one for one in run_line(STATUS).json if one["phase"] == "jobs"), None)

    argv = [sys.executable, "-m", "cmlutils", "project", "import", "-p", "Churn Model"]
    with subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            row = until(at_jobs, "the phase jobs", 60)
            assert (row["side"], row["running"], row["pid"]) == ("import", True, process.pid)
            assert row["workloads"]["model"] == {"created": 2}
            assert "process" in row["holder"]
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait(30)
    export, row = run_line(STATUS).json
    assert not row["running"]
    assert "killed in jobs" in row["state"]
    assert export["state"].startswith("done")
    assert "killed in jobs" in run_line("cmlutil project status").out


@pytest.mark.parametrize("begins", [True, False])
def test_a_run_that_begins_or_ends_between_two_looks_was_not_killed(bundle, monkeypatch, begins):
    def run():
        with bundle.lock(), ProgressFile(Silent(), Report("import", "P"), bundle).open():
            yield

    other = run()
    if not begins:
        next(other)

    def at_that_moment(path):
        before = holder_of(path)
        next(other, None)
        return before if begins else holder_of(path)

    monkeypatch.setattr(status, "holder_of", at_that_moment)
    assert status_of(bundle, "import").state == "not begun"


def test_a_lock_file_of_a_dead_process_holds_nobody_up(bundle):
    (bundle.state / "lock").write_text("process 999999999 since then\n")
    (bundle.state / "progress.json").write_text(json.dumps({"pid": 999999999, "verb": "export", "phase": "files"}))
    assert not status_of(bundle, "export").running
    (bundle.state / "progress.json").write_text("{cut")
    assert status_of(bundle, "export").state == "not begun"


@pytest.mark.parametrize("odd", [None, 1, "x", [1], {"x": [1]}, {"model": {"created": "x"}, "bytes_total": "x"}])
@pytest.mark.parametrize("name", ["state/progress.json", "logs/export_metrics.json"])
def test_values_of_a_wrong_type_are_left_out(workspaces, run_line, home, name, odd):
    workspaces()
    folder = home / "bundles/Churn Model"
    for each in ("state", "logs"):
        (folder / each).mkdir(parents=True)
    keys = ("pid", "started_at", "updated_at", "phase", "step", "warning", "files", "workloads", "outcomes", "error")
    (folder / name).write_text(json.dumps(dict.fromkeys(keys, odd) | {"verb": "export"}))
    assert "Churn Model  export  " in run_line("cmlutil project status").out


def test_a_state_that_can_not_be_read_is_told(bundle):
    (bundle.state / "lock").symlink_to("elsewhere")
    assert "can't be read" in status_of(bundle, "export").state


def test_a_pipe_in_place_of_the_lock_holds_nobody_up(bundle):
    os.mkfifo(bundle.state / "lock")
    assert status_of(bundle, "export").state == "not begun"


def test_it_is_told_in_lines_that_a_narrow_terminal_holds(workspaces, run_line, monkeypatch):
    workspaces()
    run_line(EXPORT)
    monkeypatch.setenv("COLUMNS", "60")
    lines = run_line("cmlutil project status").out.splitlines()
    assert max(map(len, lines)) <= 60
    assert lines[0].startswith("Churn Model  export  done (")
    assert "    models: 2 exported; applications: 2 exported; jobs: 3" in lines


def test_what_runs_is_told_last_where_one_looks(workspaces, run_line, home):
    workspaces()
    with (home / "cmlutils/export-config.ini").open("a") as ini:
        ini.write("[Other]\n")
    bundle = Bundle(home / "bundles/Churn Model")
    bundle.create()
    with bundle.lock(), ProgressFile(Silent(), Report("export", "Churn Model"), bundle).open():
        lines = run_line("cmlutil project status").out.splitlines()
        rows = run_line("cmlutil project status --json").json
    assert lines[:-1] == ["Other        export  not begun", "Churn Model  import  not begun"]
    assert lines[-1].startswith("Churn Model  export  running; in use by process")
    assert [one["section"] for one in rows] == ["Churn Model", "Other", "Churn Model"]  # as in the files


def test_watching_ends_with_the_last_run(workspaces, run_line, home):
    workspaces()
    run_line(EXPORT)
    bundle = Bundle(home / "bundles/Churn Model")
    with bundle.lock(), ProgressFile(Silent(), Report("import", "P"), bundle).open():
        argv = [sys.executable, "-m", "cmlutils", "project", "status", "--watch"]
        with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as watching:
            lines = [watching.stdout.readline() for _ in range(4)]
            assert any("in use by process" in line for line in lines), lines
            assert watching.poll() is None
            bundle.state.joinpath("progress.json").unlink()
            (bundle.state / "lock").write_text("")
            assert watching.wait(60) == 0


def test_watching_outlasts_the_pause_between_two_projects_of_a_batch(workspaces, run_line, monkeypatch):
    workspaces()
    slept = []
    clock = SimpleNamespace(monotonic=lambda: float(sum(slept)), sleep=slept.append)
    monkeypatch.setattr(overview, "time", clock)
    monkeypatch.setattr(overview, "status_of", lambda *_: SideState("", running=sum(slept) in {0, 1, 4}))
    run_line("cmlutil project status --watch")
    assert sum(slept) == 9  # five seconds after the last run
    run_line("cmlutil project status --watch")
    assert sum(slept) == 9  # nothing runs, and nothing is waited for


def test_no_key_is_needed_to_look_and_a_malformed_file_is_told(workspaces, run_line, home):
    workspaces()
    ini = home / "cmlutils/export-config.ini"
    ini.write_text("".join(line for line in ini.read_text().splitlines(True) if "apiv1_key" not in line))
    assert "export" in run_line('cmlutil project status -p "Churn Model"').out
    ini.write_text(ini.read_text() + "[Churn Model]\n")
    for command in ("status", "list"):
        line = run_line(f"cmlutil project {command}", exit_code=2)
        assert "section [Churn Model] appears twice" in line.err


def test_sections_that_can_not_be_used_are_not_none(run_line, home):
    (home / "cmlutils").mkdir()
    ini = home / "cmlutils/export-config.ini"
    ini.write_text("[DEFAULT]\nusername=me\n[A]\n[B]\noutput_dir=~/out\nurl=https://x.test\n")
    assert run_line("cmlutil project status -p A --json", exit_code=2).json == {
        "exit_code": 2,
        "error": f"{ini}, section [A]: the key url is missing.",
        "hint": "Add url=… (the workspace's address, http or https).",
    }
    line = run_line("cmlutil project status --json")
    assert [one["section"] for one in line.json] == ["B"]
    assert line.err.count("section [A]: the key url is missing.") == 1
    ini.write_text("[DEFAULT]\nusername=me\noutput_dir=~/out\n  [A]\n")
    for command in ("status", "list"):
        assert run_line(f"cmlutil project {command} --json", exit_code=2).json["error"] == "No ini file has a section."
    assert f"{ini} has no section" in run_line("cmlutil doctor", exit_code=1).out


def test_another_file_than_the_one_that_was_meant_is_told(workspaces, run_line, home, monkeypatch):
    workspaces()
    monkeypatch.setenv("CMLUTILS_CONFIG_DIR", "/nowhere")
    for command in ("status", "list"):
        told = run_line(f"cmlutil project {command}").err
        assert told.count("CMLUTILS_CONFIG_DIR names /nowhere, which has no export-config.ini") == 1


@pytest.mark.parametrize(
    ("code", "error", "told"),
    [
        (0, "", "validation done (then)"),
        (4, "", "validation ended with exit code 4: see the report (then)"),
        (143, "ended by signal 15", "validation ended with exit code 143: ended by signal 15 (then)"),
    ],
)
def test_the_end_of_a_validation_is_not_told_as_the_imports(bundle, code, error, told):
    report = {"verb": "validate-migration", "exit_code": code, "error": error, "started_at": "then"}
    bundle.metrics("import").write_text(json.dumps(report))
    assert status_of(bundle, "import").state == told
    bundle.metrics("import").write_text(json.dumps(report | {"verb": "import"}))
    assert status_of(bundle, "import").state == told.removeprefix("validation ")
