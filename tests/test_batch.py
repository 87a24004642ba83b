"""The batch scripts: every project runs, none stops the others, and signals reach the children."""

from __future__ import annotations

import io
import json
import os
import pty
import re
import shlex
import signal
import subprocess
import sys
import textwrap
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest
import responses
from rich.cells import cell_len
from rich.console import Console
from until import gone, until

BATCH = Path(__file__).parent.parent / "batch"
sys.path.insert(0, str(BATCH))

import choose  # noqa: E402
import disk  # noqa: E402
import plan  # noqa: E402
import pool  # noqa: E402
import record  # noqa: E402
import results  # noqa: E402
import run  # noqa: E402
import show  # noqa: E402
import workspaces  # noqa: E402
from results import Result  # noqa: E402

from cmlutils.bundle import Bundle  # noqa: E402
from cmlutils.errors import BundleError  # noqa: E402
from cmlutils.section import Secret, Section, Workspace  # noqa: E402

# Takes the place of cmlutil; what it does depends on the project's name.
STUB = """
    import os, pathlib, signal, sys, time
    verb, name = sys.argv[2], sys.argv[3].partition("=")[2]
    print("hello from", name, sys.argv[4:], flush=True)
    seen = pathlib.Path(__file__).with_name(f"{verb} {name}".replace("/", "_"))
    seen.write_text(seen.read_text() + "x" if seen.exists() else "x")
    if name == "wait":
        signal.signal(signal.SIGINT, lambda *_: sys.exit(130))
        print("ready", os.getpid(), flush=True)
        time.sleep(60)
    if name == "killed" or (name == "killed once" and len(seen.read_text()) == 1):
        os.kill(os.getpid(), signal.SIGKILL)
    if "slow" in name:
        time.sleep(0.5)
    if name.startswith("fails"):
        print("error: why it failed", file=sys.stderr)
    sys.exit(int(name.rpartition(" ")[2]) if name[-1].isdigit() else 0)
"""


@pytest.fixture(autouse=True)
def handlers():
    kept = {one: signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    yield
    for one, handler in kept.items():
        signal.signal(one, handler)


@pytest.fixture
def stub(tmp_path):
    path = tmp_path / "stub.py"
    path.write_text(textwrap.dedent(STUB))
    return (sys.executable, str(path))


def a_plan(names, tmp_path, steps=("export",), sections=None, **more):
    """Return a plan for these projects; `sections` are those of the export, by project."""
    found = {name: {"export": one} for name, one in (sections or {}).items()}
    items, said = [plan.Item(name, found.get(name, {}), steps) for name in names], []
    one = plan.Plan(items, tmp_path / "logs", ["--extra"], said.append, lambda: None, **more)
    one.said = said
    return one


def section(tmp_path, name="p", url="http://one", key="k"):
    return Section("export", name, Workspace(url, "me", Secret(key)), "", tmp_path / "out", tmp_path / "ini")


def test_one_failure_does_not_stop_the_others(stub, tmp_path):
    names = ["fails 1", "fine", "odd/../name", "hand 5", "-dash"]
    one = a_plan(names, tmp_path)
    pool.Pool(stub, 2).run(one)
    found = one.results()
    assert [each.project for each in found] == names
    assert [each.exit_code for each in found] == [1, 0, 0, 5, 0]
    assert found[0].reason == "why it failed"
    assert "hello from fine ['--extra']" in Path(found[1].log).read_text()
    assert {Path(each.log).parent for each in found} == {tmp_path / "logs/export"}
    assert Path(found[0].log).stat().st_mode & 0o777 == 0o600


def test_at_most_size_run_at_once(stub, tmp_path):
    most = []
    one, all_ = a_plan(["slow", "b", "c", "d", "e"], tmp_path), pool.Pool(stub, 2)
    all_.run(one, lambda: most.append(len(all_.running)))
    assert max(most) == 2


def test_a_batch_does_not_write_over_what_another_writes_to_the_same_log(stub, tmp_path):
    one, log = a_plan(["fails slowly 1"], tmp_path), tmp_path / "logs/export/fails slowly 1.log"

    def write_too():
        if "hello" in log.read_text() and "another" not in log.read_text():
            with log.open("a") as file:
                file.write("what another batch writes\n")

    pool.Pool(stub, 1).run(one, write_too)
    assert "what another batch writes\nerror: why it failed\n" in log.read_text()


def test_what_is_killed_is_started_again_three_times_at_most(stub, tmp_path, monkeypatch):
    monkeypatch.setattr(pool, "COOL_SECONDS", 0.1)
    one = a_plan(["killed", "killed once"], tmp_path)
    pool.Pool(stub, 2).run(one)
    assert [each.exit_code for each in one.results()] == [137, 0]
    assert (tmp_path / "export killed").read_text() == "xxx"
    assert (tmp_path / "export killed once").read_text() == "xx"


def test_the_place_of_a_killed_one_stays_empty_until_its_session_is_closed(stub, tmp_path, monkeypatch):
    monkeypatch.setattr(pool, "COOL_SECONDS", 1.0)
    begin = time.monotonic()
    pool.Pool(stub, 1).run(a_plan(["killed once"], tmp_path))
    assert time.monotonic() - begin > 1


@pytest.mark.parametrize(
    ("codes", "signum", "expected"),
    [
        ([], 0, 0),
        ([0, 0], 0, 0),
        ([5, 4], 0, 4),
        ([4, 2, 5], 0, 2),
        ([2, 1, 4], 0, 1),
        ([1, 3], 0, 3),
        ([1, 143, 3], 0, 143),
        ([0, None], 0, 1),
        ([0, None], 2, 130),
    ],
)
def test_a_signal_and_then_the_worst_of_the_projects_is_the_exit_code(codes, signum, expected):
    assert results.worst([Result("p", code) for code in codes], signum) == expected


def test_each_exit_code_has_its_words():
    assert Result("p").words == "not started"
    assert Result("p", 130).words == "ended by signal 2"
    assert Result("p", 4).words == "differences"
    assert Result("p", 77).words == "exit code 77"


def test_reasons_come_from_the_last_error_or_from_the_report():
    assert results.reason_of(1, "error: one\nx\nerror: two\n  hint\n", {}) == "two"
    assert results.reason_of(2, "Usage: x\n\nError: No such option '--y'.\n", {}) == "No such option '--y'."
    assert results.reason_of(3, "no error\nlast\n", {}) == "last"
    assert (
        results.reason_of(1, "warning: x\n  a plan\n  ! No team 't'.\n  ? y\n\n  Dry run: 1 create.\n", {})
        == "No team 't'."
    )
    failed = {"kind": "job", "name": "j", "status": "failed", "note": "no runtime"}
    assert results.reason_of(5, "", {"outcomes": [failed], "file_problems": ["f"]}) == "job j: no runtime (and 1 more)"
    row = {"where": "target file", "what": "a", "left": "there", "right": "absent", "expected": False}
    assert results.reason_of(4, "", {"differences": [row]}) == "target file a: there, absent"
    assert results.reason_of(4, "", {"outcomes": [failed], "differences": [row]}) == "job j: no runtime (and 1 more)"
    assert results.reason_of(0, "error: old", {"outcomes": [failed]}) == ""


def script(tmp_path, stub, names):
    path = tmp_path / "run.py"
    path.write_text(
        f"import sys; sys.path.insert(0, {str(BATCH)!r})\n"
        "from pathlib import Path\n"
        "import plan, pool, results\n"
        f"what = plan.Plan([plan.Item(n, {{}}, ('export',)) for n in {names!r}], Path({str(tmp_path)!r}), [],"
        " print, lambda: None)\n"
        f"one = pool.Pool({stub!r}, 1)\n"
        "one.run(what)\n"
        "print([each.exit_code for each in what.results()])\n"
        "sys.exit(results.worst(what.results(), one.signum))\n"
    )
    process = subprocess.Popen(
        ["sh", "-c", 'trap "" INT HUP; exec "$@"', "sh", sys.executable, str(path)], stdout=subprocess.PIPE
    )
    log = tmp_path / "export/wait.log"
    until(lambda: log.exists() and "ready" in log.read_text(), "a child that is ready", 30)
    return process, int(log.read_text().split()[-1])


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_reaches_the_children_even_under_nohup(stub, tmp_path, signum):
    process, _ = script(tmp_path, stub, ["wait", "never"])
    process.send_signal(signal.SIGHUP)  # nohup has it ignored; were it not, it would be handled before the next signal
    process.send_signal(signum)
    out, _ = process.communicate(timeout=30)
    assert process.returncode == 128 + signum
    assert out.decode().splitlines()[-1] == f"[{128 + signum}, None]"


def test_a_signal_reaches_the_children_at_once_also_while_the_batch_itself_is_busy(stub, tmp_path, monkeypatch):
    monkeypatch.setattr(pool, "END_SECONDS", 0.5)
    one, log = a_plan(["wait"], tmp_path), tmp_path / "logs/export/wait.log"

    def busy():
        if "ready" in log.read_text() and not batch.signum:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(2)  # as if a large bundle were just being removed

    batch = pool.Pool(stub, 1)
    batch.run(one, busy)
    assert one.results()[0].exit_code == 130  # not killed because its time was over before it heard of the signal


def test_kill_9_of_the_batch_interrupts_its_children(stub, tmp_path):
    process, child = script(tmp_path, stub, ["wait"])
    process.kill()
    process.communicate(timeout=30)
    until(lambda: gone(child), "the child's end", 10)


def answers(*rows):
    left = list(rows)
    return lambda _: left.pop(0) if len(left) > 1 else left[0]


def settle(gate, clock, seconds=3):
    """Let a gate get its answers, with the clock advancing by a second per turn."""
    for _ in range(seconds):
        while True:
            gate.look()
            if gate._asked is None:
                break
            gate._asked.join(5)
        clock[0] += 1


def a_gate(rows, said, *, answered=True):
    clock = [0.0]
    gate = workspaces.Gate("http://one", 3600, said.append, ask=answers(*rows), now=lambda: clock[0], answered=answered)
    return gate, clock


@pytest.mark.parametrize(
    ("answer", "state", "why"),
    [
        ({"json": {"username": "me"}}, "fine", ""),
        ({"json": {}, "status": 400}, "fine", ""),
        ({"json": {}, "status": 401}, "refused", "(401)"),
        ({"body": "Service Unavailable", "status": 503}, "away", "status 503"),
        ({"body": "<html>Maintenance until ten", "content_type": "text/html"}, "away", ": HTML, not JSON"),
        ({"body": "", "status": 302, "headers": {"Location": "https://login.test/"}}, "away", "to https://login.test"),
        ({"body": ""}, "away", "returned nothing"),
    ],
)
@responses.activate
def test_a_workspace_in_whose_place_something_else_answers_is_away(tmp_path, answer, state, why):
    responses.get("http://one/api/v1/users/me", **answer)
    found = workspaces.ask(section(tmp_path))
    assert found[0] == state
    assert why in found[1]


def test_a_workspace_that_is_away_is_waited_for(tmp_path):
    said = []
    gate, clock = a_gate([("away", "refused"), ("away", "refused"), ("fine", "")], said)
    gate.doubt(section(tmp_path))
    assert not gate.open
    settle(gate, clock, 1)
    assert gate.waits
    settle(gate, clock, 20)
    assert gate.open
    assert [line.partition(" ")[0] for line in said] == ["waiting", "http://one"]


def test_patience_ends_an_hour_after_the_last_answer_and_after_a_minute_without_any(tmp_path):
    for answered, seconds in ((True, 3600), (False, 60)):
        gate, clock = a_gate([("away", "connection refused")], [], answered=answered)
        gate.doubt(section(tmp_path))
        settle(gate, clock, seconds)
        assert not gate.lost
        settle(gate, clock, 65)
        assert gate.lost == "connection refused"
        assert not gate.open


def test_a_refused_key_stops_its_projects_with_one_message(stub, tmp_path):
    names = ["fails 1", *(f"p{letter}" for letter in "abcde")]
    sections = {name: section(tmp_path, name, key="another" if name == "pe" else "k") for name in names}
    one = a_plan(names, tmp_path, sections=sections)
    one.gates["http://one"].ask = lambda one: ("refused", f"401 for {one.name}")
    pool.Pool(stub, 1).run(one)
    assert [each.exit_code for each in one.results()] == [1, None, None, None, None, 0]
    assert one.results()[1].reason == "401 for fails 1"
    assert sum("401" in line for line in one.said) == 1


def test_what_failed_while_its_workspace_was_away_runs_again(stub, tmp_path):
    one = a_plan(["fails 1"], tmp_path, sections={"fails 1": section(tmp_path, "fails 1")})
    one.gates["http://one"].ask = answers(("away", "gone"), ("fine", ""))
    pool.Pool(stub, 1).run(one)
    assert (tmp_path / "export fails 1").read_text() == "xx"
    assert one.results()[0].exit_code == 1


def test_a_migration_goes_step_by_step_and_removes_what_is_equal(stub, tmp_path):
    names = ["good", "hand 5", "differs 4", "fails 1"]
    for name in names:
        data = tmp_path / "out" / name / "project-data"
        (data / "locked").mkdir(parents=True)
        (data / "locked/file").touch()
        (data / "locked").chmod(0o555)
        (data.parent / "logs").mkdir()
        (data.parent / "state").mkdir()
    steps = ("export", "import", "validate-migration")
    one = a_plan(names, tmp_path, steps, {name: section(tmp_path, name) for name in names}, remove=True)
    for gate in one.gates.values():
        gate.ask = lambda _: ("fine", "")
    pool.Pool(stub, 2).run(one)
    found = {each.project: each for each in one.results()}
    assert {name: (each.exit_code, each.verb) for name, each in found.items()} == {
        "good": (0, "validate-migration"),
        "hand 5": (5, "validate-migration"),
        "differs 4": (4, "export"),
        "fails 1": (1, "export"),
    }
    assert found["good"].removed
    assert not (tmp_path / "out/good/project-data").exists()
    assert (tmp_path / "out/good/logs").exists()
    assert (tmp_path / "out/hand 5/project-data").exists()


def test_a_bundle_that_can_not_be_removed_whole_is_none_any_more(stub, tmp_path, monkeypatch):
    data = tmp_path / "out/good/project-data"
    data.mkdir(parents=True)
    (data.parent / "state").mkdir()
    (data.parent / "manifest.json").touch()

    def fails(path):
        raise OSError(5, "Input/output error", str(path))

    monkeypatch.setattr(disk, "remove_tree", fails)
    one = a_plan(["good"], tmp_path, ("validate-migration",), {"good": section(tmp_path, "good")}, remove=True)
    pool.Pool(stub, 1).run(one)
    assert (one.results()[0].exit_code, one.results()[0].removed) == (0, False)
    assert not (data.parent / "manifest.json").exists()
    assert f"good: its bundle stays: {data} can't be removed: Input/output error." in one.said


def test_a_bundle_at_which_another_run_is_stays(stub, tmp_path):
    bundle = Bundle(tmp_path / "out/good")
    bundle.create()
    one = a_plan(["good"], tmp_path, ("validate-migration",), {"good": section(tmp_path, "good")}, remove=True)
    with bundle.lock():
        pool.Pool(stub, 1).run(one)
    assert (one.results()[0].exit_code, one.results()[0].removed) == (0, False)
    assert bundle.data.exists()
    assert f"its bundle stays: {bundle.folder} is in use by process {os.getpid()}" in "".join(one.said)


def test_a_size_has_a_number_and_a_unit():
    assert disk.parse_size("200G") == 200 << 30
    assert disk.parse_size("1.5 MiB") == 3 << 19
    for wrong in ("", "0", "G", "-1G", "ten"):
        with pytest.raises(ValueError, match="is not a size"):
            disk.parse_size(wrong)


def test_exports_start_while_they_fit_and_one_alone_always(tmp_path):
    one = disk.Disk(10 << 20)
    for name in "abc":
        (tmp_path / name).mkdir()
        one.add(name, tmp_path / name)
    assert one.fits("a")
    one.begin("a")
    leave_bundle(tmp_path / "a", 6 << 20, complete=True)
    (tmp_path / "a/state").mkdir()
    one.ended("a")
    one.exported("a")
    assert not one.fits("b")  # a takes 6 MiB, and b is expected to take as much
    one.remove("a")
    assert one.fits("b")
    one.begin("b")
    assert not one.fits("c")


def leave_bundle(folder, size, *, complete):
    (folder / "project-data").mkdir(parents=True)
    (folder / "project-data/file").write_bytes(b"x" * size)
    if complete:
        (folder / "manifest.json").touch()


@pytest.mark.parametrize("complete", ["abc", "b", ""])
def test_bundles_that_an_earlier_batch_left_never_keep_their_own_projects_waiting(stub, tmp_path, complete):
    one = a_plan("abc", tmp_path, sections={name: section(tmp_path, name) for name in "abc"})
    one.disk.budget = 2 << 20
    for name in "abc":
        leave_bundle(tmp_path / "out" / name, 1 << 20, complete=name in complete)
        one.disk.add(name, tmp_path / "out" / name)
    began = [one.begin_next().project]
    assert one.begin_next() is None  # as the budget is exceeded, no two run at a time
    assert began == [complete[0] if complete else "a"]


def test_a_complete_bundle_is_not_expected_to_grow(tmp_path):
    one = disk.Disk(10 << 20)
    for name in "abc":
        leave_bundle(tmp_path / name, 3 << 20, complete=True)
        one.add(name, tmp_path / name)
    one.add("large", tmp_path / "large")
    one.begin("large")
    leave_bundle(tmp_path / "large", 9 << 20, complete=True)
    (tmp_path / "large/state").mkdir()
    one.ended("large")
    one.exported("large")
    one.remove("large")
    one.begin("a")
    assert one.fits("b")


def test_the_size_of_an_export_that_failed_says_nothing_about_others(stub, tmp_path):
    one = a_plan(["fails 1"], tmp_path, sections={"fails 1": section(tmp_path, "fails 1")})
    one.gates["http://one"].ask = lambda _: ("fine", "")
    one.disk.budget = 10 << 20
    leave_bundle(tmp_path / "out/fails 1", 5000, complete=False)
    pool.Pool(stub, 1).run(one)
    one.disk.add("another", None)
    one.disk.begin("another")
    assert one.disk.used() > 1 << 20


def test_the_youngest_export_is_stopped_when_they_outgrow_the_budget(tmp_path):
    class Child:
        def __init__(self, name, began):
            self.task, self.began, self.signals = pool.Task(name, "export", (), tmp_path), began, 0

        def interrupt(self):
            self.signals += 1

    one = disk.Disk(1 << 20)
    children = [Child("a", 1.0), Child("b", 2.0)]
    for name in "ab":
        (tmp_path / name).mkdir()
        one.add(name, tmp_path / name)
        one.begin(name)
        (tmp_path / name / "data").write_bytes(b"x" * (1 << 20))
    one.measure(children)
    assert [child.signals for child in children] == [0, 1]
    assert one.ended("b")
    assert not one.ended("a")


@pytest.fixture
def ini(tmp_path):
    path = tmp_path / "export-config.ini"
    path.write_text("[DEFAULT]\napiv1_key=hush\n[one]\n[two & a half]\n")
    path.chmod(0o600)
    return tmp_path


def fake_run(seen, code=5):
    def go(self, what, show=None):
        seen.append(([one.project for one in what.items], self.size, list(what.extra)))
        for one in what.items:
            one.result = one.result or Result(one.project, code, 1.0, "log")

    return go


def test_main_takes_the_sections_and_writes_both_reports(ini, monkeypatch, capsys):
    seen = []
    monkeypatch.setattr(pool.Pool, "run", fake_run(seen))
    argv = [f"--config-dir={ini}", f"--report-dir={ini}", "--batch-size=3", "--patience=5", "--", "--verbose"]
    assert run.main("export", 10, argv) == 5
    assert seen == [(["one", "two & a half"], 3, [f"--config-dir={ini}", "--patience=5", "--verbose"])]
    report, page = (ini / "batch-report.json").read_text(), (ini / "batch-report.html").read_text()
    assert [one["project"] for one in json.loads(report)["projects"]] == ["one", "two & a half"]
    assert "two &amp; a half" in page
    assert "http" not in page
    out = capsys.readouterr().out
    assert "two & a half" in out
    assert "hush" not in out + report + page


def test_only_failed_picks_up_the_rest_and_keeps_what_is_done(ini, monkeypatch):
    done = [Result("one", 0), Result("two & a half", 1), Result("three")]
    record.Record(ini, "export").write(done, 1)
    seen = []
    monkeypatch.setattr(pool.Pool, "run", fake_run(seen, 0))
    assert run.main("export", 10, [f"--config-dir={ini}", f"--report-dir={ini}", "--only-failed"]) == 0
    assert seen[0][0] == ["two & a half", "three"]
    assert {one.project: one.exit_code for one in record.read(ini, "export")} == {
        "one": 0,
        "two & a half": 0,
        "three": 0,
    }
    with pytest.raises(BundleError, match="is of export, and not of import"):
        record.read(ini, "import")


def test_a_run_by_name_keeps_what_the_report_has_of_the_others(ini, monkeypatch, capsys):
    done = [Result("one", 0, removed=True), Result("two & a half", 1, reason="why")]
    record.Record(ini, "migrate").write(done, 1)
    monkeypatch.setattr(pool.Pool, "run", fake_run([], 0))
    where = [f"--config-dir={ini}", f"--report-dir={ini}"]
    assert run.main("migrate", 10, ["three", *where]) == 0  # the code counts only projects of this run
    assert [(one.project, one.exit_code) for one in record.read(ini, "migrate")] == [
        ("one", 0),
        ("two & a half", 1),
        ("three", 0),
    ]
    out = capsys.readouterr().out
    assert "two & a half" not in out
    assert "\n1 done\n" in out
    assert "have the same, and 1 done, 1 failed of other batches." in out
    page = (ini / "batch-report.html").read_text()
    assert "migrate of 3 projects" in page
    assert "1 done; ended with exit code 0; of other batches: 1 done, 1 failed." in page
    assert re.findall("<tr class=.*?<td>(.*?)<", page) == ["two &amp; a half", "one", "three"]  # what is not done first
    rows = json.loads((ini / "batch-report.json").read_text())["projects"]
    assert [one["earlier"] for one in rows] == [True, True, False]
    assert run.main("migrate", 10, where) == 0
    assert {one.project: one.removed for one in record.read(ini, "migrate")}["one"]


def test_a_project_that_can_not_be_imported_is_told_before_its_export(tmp_path, monkeypatch, capsys):
    (tmp_path / "link").symlink_to(tmp_path)
    shared = f"[DEFAULT]\nusername=me\nurl=https://x.test\napiv1_key=hush\noutput_dir={tmp_path}\n[both]\n"
    linked, other = f"[linked]\noutput_dir={tmp_path}/link\n", f"[other]\noutput_dir={tmp_path}/other\n"
    for side, more in (("export", "[one]\n[linked]\n[other]\n"), ("import", linked + other)):
        (tmp_path / f"{side}-config.ini").write_text(shared + more)
    monkeypatch.setattr(pool.Pool, "run", fake_run([], 0))
    assert run.main("migrate", 10, [f"--config-dir={tmp_path}", f"--report-dir={tmp_path}"]) == 2
    assert {one.project: (one.exit_code, one.verb) for one in record.read(tmp_path, "migrate")} == {
        "both": (0, ""),
        "one": (2, "import"),
        "linked": (0, ""),
        "other": (2, "import"),
    }
    told = capsys.readouterr()
    assert f"other: import: bad configuration, so it is not exported: the export writes to {tmp_path}, and" in told.err
    assert "one: import: bad configuration, so it is not exported: " in told.err
    assert "import-config.ini has no section [one]." in told.err
    assert "import-config.ini has no section [one]." in told.out


@pytest.mark.parametrize(
    "rows", [5, {"a": 1}, [1], [{"exit_code": 1}], [{"project": 5}], [{"project": "a", "log": []}]], ids=str
)
def test_a_damaged_report_is_told_where_it_is_needed_and_replaced_where_it_is_not(ini, monkeypatch, capsys, rows):
    (ini / "batch-report.json").write_text(json.dumps({"verb": "export", "projects": rows}))
    monkeypatch.setattr(pool.Pool, "run", fake_run([], 0))
    where = [f"--config-dir={ini}", f"--report-dir={ini}"]
    assert run.main("export", 10, [*where, "--only-failed"]) == 2
    assert "Leave out --only-failed." in capsys.readouterr().err
    assert run.main("export", 10, [*where, "one"]) == 0
    assert [one.project for one in record.read(ini, "export")] == ["one"]


def test_two_batches_at_a_time_keep_what_the_other_reports(ini, monkeypatch):
    where = [f"--config-dir={ini}", f"--report-dir={ini}"]

    def meanwhile(self, what, show=None):
        monkeypatch.setattr(pool.Pool, "run", fake_run([]))
        assert run.main("export", 10, [*where, "two & a half"]) == 5
        fake_run([], 0)(self, what)

    monkeypatch.setattr(pool.Pool, "run", meanwhile)
    assert run.main("export", 10, [*where, "one"]) == 0
    assert {one.project: one.exit_code for one in record.read(ini, "export")} == {"one": 0, "two & a half": 5}


def test_batches_write_a_report_in_turn(tmp_path):
    names = [f"p{number}" for number in range(40)]
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda name: record.Record(tmp_path, "export").write([Result(name, 0)], 0), names))
    assert sorted(one.project for one in record.read(tmp_path, "export")) == sorted(names)


def test_an_empty_part_says_so_and_leaves_the_report_alone(ini, capsys):
    record.Record(ini, "export").write([Result("one", 1)], 1)
    before = (ini / "batch-report.json").read_bytes()
    where = [f"--config-dir={ini}", f"--report-dir={ini}"]
    assert run.main("export", 10, [*where, "--shard=7/900"]) == 0
    assert run.main("export", 10, [*where, "--only-failed", "--shard=7/900"]) == 0
    assert run.main("export", 10, [*where, "--only-failed", "two & a half"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "No section is in part 7/900.",
        "No section that is left to run is in part 7/900.",
        "No section is left to run.",
    ]
    assert (ini / "batch-report.json").read_bytes() == before


def test_a_dry_run_is_foreseen_and_not_recorded(ini, stub, monkeypatch, capsys):
    record.Record(ini, "export").write([Result("one", 1)], 1)
    before = (ini / "batch-report.json").read_bytes()
    monkeypatch.setattr(run, "Pool", lambda _, size: pool.Pool(stub, size))
    where = [f"--config-dir={ini}", f"--report-dir={ini}"]
    assert run.main("export", 10, [*where, "one", "fine", "--", "--dry-run"]) == 0
    out = capsys.readouterr().out
    assert [line.split()[1] for line in out.splitlines()[1:3]] == ["foreseen", "foreseen"]
    assert "nothing of it is recorded" in out
    assert (ini / "batch-report.json").read_bytes() == before
    assert [path.name for path in (ini / "batch-logs").iterdir()] == ["dry-run"]


@pytest.mark.parametrize(("verb", "word", "text"), [
    ("migrate", "--dry-run", "can't be foreseen"),
    ("validate-migration", "--dry-run", "only compares"),
    ("export", "--help", "'cmlutil project export --help'"),
    ("import", "-h", "'cmlutil project import --help'"),
])  # fmt: skip
def test_words_that_make_no_sense_for_each_project_are_refused(ini, capsys, verb, word, text):
    assert run.main(verb, 10, [f"--report-dir={ini / 'new'}", "one", "--", word]) == 2
    assert text in capsys.readouterr().err
    assert not (ini / "new").exists()


def test_what_a_migration_removed_is_not_done_again(ini, monkeypatch):
    record.Record(ini, "migrate").write([Result("one", 0, removed=True), Result("two & a half", 0)], 0)
    monkeypatch.setattr(pool.Pool, "run", fake_run([], 4))
    assert run.main("migrate", 10, [f"--config-dir={ini}", f"--report-dir={ini}"]) == 4
    assert [one.exit_code for one in record.read(ini, "migrate")] == [0, 4]


def test_an_option_of_cmlutil_is_told_its_place(capsys):
    with pytest.raises(SystemExit):
        run.main("import", 10, ["--dry-run"])
    said = capsys.readouterr().err
    assert said.endswith("unrecognized arguments: --dry-run; what is for each cmlutil goes after --\n")


def test_shards_are_stable_and_share_everything():
    names = [f"project {number}" for number in range(300)]
    parts = [[name for name in names if choose.in_shard(name, (i, 3))] for i in (1, 2, 3)]
    assert sorted(name for part in parts for name in part) == sorted(names)
    assert all(70 < len(part) < 130 for part in parts)
    assert choose.in_shard("Churn Model", (1, 3))  # must never change: hosts with different versions share a list


def test_main_takes_names_from_the_line_and_from_a_file(tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(pool.Pool, "run", fake_run(seen, 0))
    listed = tmp_path / "names"
    listed.write_text("b\n\na\n")
    argv = ["a", f"--from-file={listed}", f"--report-dir={tmp_path}", "--verify"]
    assert run.main("import", 10, argv) == 0
    assert seen[0][0] == ["a", "b"]


def test_what_can_not_be_read_or_made_is_named_without_a_number(tmp_path, ini, capsys):
    (tmp_path / "bytes").write_bytes(b"\xff")
    (tmp_path / "file").touch()
    for words, text in (
        ([f"--from-file={tmp_path / 'none'}"], f"{tmp_path / 'none'} can't be read: No such file or directory."),
        ([f"--from-file={tmp_path / 'bytes'}"], f"{tmp_path / 'bytes'} is not UTF-8 text (byte 0)."),
        (["--only-failed", f"--report-dir={tmp_path}"], f"{tmp_path}/batch-report.json is missing. Leave out"),
        ([f"--report-dir={tmp_path / 'file/x'}", "one"], f"{tmp_path / 'file/x'} can't be created: Not a directory."),
    ):
        assert run.main("export", 10, words) == 2
        assert capsys.readouterr().err.startswith(text)


def test_no_ini_file_is_one_sentence(tmp_path, capsys):
    argv = [f"--config-dir={tmp_path}", f"--report-dir={tmp_path}"]
    assert run.main("validate-migration", 10, argv) == 2
    assert "There is no import-config.ini" in capsys.readouterr().err
    loop = tmp_path / "import-config.ini"
    loop.write_text("[DEFAULT]\nusername=me\n")
    assert run.main("validate-migration", 10, argv) == 2
    assert capsys.readouterr().err == f"{loop} has no section. Add one for each project.\n"
    loop.unlink()
    loop.symlink_to(loop)
    assert run.main("validate-migration", 10, argv) == 2
    assert capsys.readouterr().err.startswith(f"{loop} can't be read: Too many levels of symbolic links.")


@pytest.mark.parametrize(
    "wrong",
    [
        "--shard=0/3", "--shard=4/3", "--batch-size=0", "--batch-size=x", "--disk-budget=much",
        "--patience=-5", "--patience=nan", "--patience=inf", "--patience=x",
    ],
)  # fmt: skip
def test_a_wrong_option_is_a_usage_error(tmp_path, wrong):
    with pytest.raises(SystemExit) as caught:
        run.main("migrate", 10, [wrong, f"--report-dir={tmp_path}"])
    assert caught.value.code == 2
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["export_all.py", "import_all.py", "validate_all.py", "migrate_all.py"])
def test_each_script_starts(name):
    done = subprocess.run(
        [sys.executable, str(BATCH / name), "--help"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "--batch-size" in done.stdout


@pytest.mark.parametrize(("kind", "drawn"), [("xterm", True), ("dumb", False)])
def test_on_a_terminal_a_table_shows_what_runs(stub, tmp_path, kind, drawn):
    code = (
        f"import sys; sys.path.insert(0, {str(BATCH)!r})\n"
        "from pathlib import Path\n"
        "import plan, pool, show\n"
        "show.SUMMARY_SECONDS = 0.1\n"
        "slow = [plan.Item('slow \\x07', {}, ('export',))]\n"
        "with show.view() as view:\n"
        f"    what = plan.Plan(slow, Path({str(tmp_path)!r}), [], view.say, lambda: None)\n"
        f"    one = pool.Pool({stub!r}, 1)\n"
        "    one.run(what, lambda: view.look(what.results(), one.running))\n"
    )
    ours, theirs = pty.openpty()
    subprocess.run([sys.executable, "-c", code], stderr=theirs, check=True, env={**os.environ, "TERM": kind})
    os.close(theirs)
    seen = os.read(ours, 1 << 16).decode()
    os.close(ours)
    assert "1 running, 0 waiting" in seen
    assert ("\x1b" in seen) == drawn
    assert "slow ?: export: done" in seen
    assert "\x07" not in seen


def test_a_long_name_leaves_room_in_the_table_for_the_step_and_its_seconds():
    live = SimpleNamespace(update=lambda table, refresh: console.print(table))
    console = Console(width=60, record=True, file=io.StringIO())
    task = SimpleNamespace(project="Customer Lifetime Value, all regions of the world", verb="validate-migration")
    show.Table(live).look([], [SimpleNamespace(task=task, seconds=345.6)])
    assert "Customer Lifetime Value,… │ validate-migration │     346 │" in console.export_text()


def test_a_migration_that_ends_half_way_says_which_step_is_done(stub, tmp_path):
    one = a_plan(["fine", "later"], tmp_path, ("export", "import"))
    one.items[0].step, one.items[0].seconds = 1, 2.0
    assert [(each.words, each.seconds) for each in one.results()] == [
        ("unfinished (export done)", 2.0),
        ("not started", 0.0),
    ]
    record.Record(tmp_path, "migrate").write(one.results(), 130)
    assert [each.words for each in record.read(tmp_path, "migrate")] == ["unfinished (export done)", "not started"]
    assert "unfinished (export done)        2  " in results.table(one.results())


def test_the_table_folds_reasons_and_leaves_paths_whole():
    rows = [Result("p", 1, reason="one two three four five six"), Result("q", 0, log="/a b/c d/e f/g h/i j/k l")]
    lines = results.table(rows, 60).splitlines()
    assert max(len(line) for line in lines[2:]) <= 60
    assert len(lines) == 4
    assert lines[1].endswith("/a b/c d/e f/g h/i j/k l")  # projects that are done come first


def test_the_table_stands_below_its_head_whatever_letters_a_name_has():
    lines = results.table([Result(name, 1, reason="why") for name in ("plain", "売上予測モデル")]).splitlines()
    assert len({cell_len(line[: line.index("why")]) for line in lines}) == 1


def test_one_long_name_does_not_set_the_others_apart():
    lines = results.table([Result(name, 1, reason="why") for name in ("plain", "x" * 255)]).splitlines()
    assert cell_len(lines[1]) < 90


def test_the_table_shows_no_control_character():
    assert results.table([Result("a\tb \x1b[31m", 1, reason="why\x07")]).splitlines()[1].split() == [
        "a", "b", "?[31m", "failed", "0", "why?",
    ]  # fmt: skip


def test_why_a_project_failed_is_set_apart(stub, tmp_path):
    one = a_plan(["fails 1"], tmp_path)
    pool.Pool(stub, 1).run(one)
    assert re.fullmatch(r"fails 1: export: failed after \d+ s: why it failed", one.said[-1])
    assert Result("p", 2).words == "bad configuration"


@pytest.mark.parametrize(("name", "text"), [("FORCE_COLOR", "1"), ("COLUMNS", "40")])
def test_why_a_project_failed_is_read_whatever_terminal_the_shell_tells_of(tmp_path, ini, monkeypatch, name, text):
    monkeypatch.setenv(name, text)
    one = a_plan(["nope"], tmp_path)
    one.extra = [f"--config-dir={ini}"]
    pool.Pool((sys.executable, "-m", "cmlutils"), 1).run(one)
    assert one.results()[0].reason == f"{ini}/export-config.ini has no section [nope]."


def test_a_file_in_the_current_folder_does_not_pass_for_a_module(ini, monkeypatch, capsys):
    (ini / "click.py").write_text("raise SystemExit(0)\n")
    monkeypatch.chdir(ini)
    assert run.main("export", 10, [f"--config-dir={ini}", f"--report-dir={ini}"]) == 2
    assert "the key url is missing" in capsys.readouterr().out


def test_a_report_that_can_not_be_written_in_the_middle_does_not_end_the_batch(ini, monkeypatch, capsys):
    path, where = ini / "batch-report.json", [f"--config-dir={ini}", f"--report-dir={ini}"]

    def go(self, what, show=None, *, back=False):
        path.unlink()
        path.mkdir()  # a folder can't be replaced by a file
        for one in what.items:
            one.result = Result(one.project, 0)
            what.changed()
        if back:
            path.rmdir()

    monkeypatch.setattr(pool.Pool, "run", go)
    assert run.main("export", 10, where) == 1
    out, err = capsys.readouterr()
    assert "two & a half  done" in out
    assert "batch-report.html have the same" not in out
    assert err.count("It is tried again at the end.") == 1
    assert err.count(f"{path} can't be written: Is a directory.") == 2
    assert run.main("export", 10, where) == 2  # it ends before anything runs
    path.rmdir()
    monkeypatch.setattr(pool.Pool, "run", lambda self, what, show: go(self, what, back=True))
    assert run.main("export", 10, where) == 0
    assert [one.exit_code for one in record.read(ini, "export")] == [0, 0]


def test_a_log_that_can_not_be_written_does_not_end_the_batch(stub, tmp_path):
    (tmp_path / "logs").touch()
    one = a_plan(["fine", "fails 1"], tmp_path)
    pool.Pool(stub, 1).run(one)
    assert [each.exit_code for each in one.results()] == [0, 1]


def test_on_a_full_disk_a_project_does_not_fail_for_want_of_a_log(stub, tmp_path, monkeypatch):
    full = os.statvfs_result((4096, 4096, 100, 0, 0, 100, 50, 50, 0, 255))
    monkeypatch.setattr(pool.os, "statvfs", lambda _: full)
    one = a_plan(["fine"], tmp_path)
    pool.Pool(stub, 1).run(one)
    assert [each.exit_code for each in one.results()] == [0]
    assert not (tmp_path / "logs/export/fine.log").exists()


def test_a_cmlutil_that_can_not_be_started_has_failed(tmp_path):
    one = a_plan(["fine"], tmp_path)
    pool.Pool([str(tmp_path / "none")], 1).run(one)
    assert one.results()[0].reason == "cmlutil can't be started: No such file or directory."


def test_what_runs_is_ended_when_something_goes_wrong_here(stub, tmp_path):
    def fail():
        if "ready" in (tmp_path / "logs/export/wait.log").read_text():
            raise RuntimeError

    one = pool.Pool(stub, 1)
    with pytest.raises(RuntimeError):
        one.run(a_plan(["wait"], tmp_path), fail)
    assert one.running[0].process.wait(10) == 130


def a_script(tmp_path, stub, *words):
    """Return the command line of a batch that runs the stub."""
    path = tmp_path / "batch.py"
    path.write_text(
        f"import sys; sys.path.insert(0, {str(BATCH)!r})\n"
        "import pool, run\n"
        f"run.Pool = lambda _, size: pool.Pool({stub!r}, size)\n"
        "run.script('export', 2)\n"
    )
    return [sys.executable, str(path), f"--report-dir={tmp_path / 'r'}", *words]


@pytest.mark.parametrize(("after", "code"), [
    ("2>/dev/full; echo $? >&3", 0),
    (">/dev/full; echo $? >&3", 1),
    (">/dev/full 2>&1; echo $? >&3", 1),
    ("2>&1; echo $? >&3; } | true", 0),
    (">&- 2>&-; echo $? >&3", 0),
])  # fmt: skip
def test_streams_that_can_not_be_written_do_not_end_the_batch(tmp_path, stub, after, code):
    line = f"{'{ sleep 0.3; ' if 'true' in after else ''}{shlex.join(a_script(tmp_path, stub, 'slow', 'fine'))} {after}"
    done = subprocess.run(["bash", "-c", f"exec 3>&1; {line}"], capture_output=True, text=True, check=False)
    assert done.stdout.split()[-1] == str(code)
    assert "Exception" not in done.stderr
    assert [one.exit_code for one in record.read(tmp_path / "r", "export")] == [0, 0]


def test_a_signal_ends_the_batch_with_its_code_also_when_nobody_reads_it(tmp_path, stub):
    argv = a_script(tmp_path, stub, "wait", "fine")
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    process.stdout.readline()
    process.stdout.close()
    log = tmp_path / "r/batch-logs/export/wait.log"
    end = time.monotonic() + 30
    while not (log.exists() and "ready" in log.read_text()):
        assert time.monotonic() < end
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 130
    assert json.loads((tmp_path / "r/batch-report.json").read_text())["exit_code"] == 130


@pytest.mark.parametrize("before", ["", "trap '' INT; "])
def test_a_signal_while_modules_are_read_ends_the_batch_without_a_traceback(tmp_path, before):
    (tmp_path / "tempfile.py").write_text("import time; print('reading', flush=True); time.sleep(60)")
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
    argv = ["bash", "-c", f"{before}exec {sys.executable} {BATCH / 'export_all.py'}"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environ, text=True) as started:
        assert started.stdout.readline() == "reading\n"
        started.send_signal(signal.SIGINT)
        _, said = started.communicate(timeout=30)
    assert (started.returncode, said) == (-signal.SIGINT, "")


def test_another_version_of_the_package_is_told_of(tmp_path):
    (tmp_path / "cmlutils").mkdir()
    (tmp_path / "cmlutils/__init__.py").touch()
    environ = {**os.environ, "PYTHONPATH": str(tmp_path)}
    argv = [sys.executable, str(BATCH / "export_all.py")]
    done = subprocess.run(argv, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "or is of another version than this script" in done.stderr


def test_a_python_without_the_package_is_told_so():
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    argv = [sys.executable, "-S", str(BATCH / "export_all.py")]
    done = subprocess.run(argv, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("cmlutils is not installed for this Python")


def test_no_names_are_not_all_names(tmp_path, ini, capsys):
    (tmp_path / "none.txt").write_text("\n")
    assert run.main("export", 2, [f"--config-dir={tmp_path}", f"--from-file={tmp_path / 'none.txt'}"]) == 2
    assert "names no section" in capsys.readouterr().err


def test_a_batch_of_none_is_refused_also_where_the_script_says_so(tmp_path, capsys):
    with pytest.raises(SystemExit, match="2"):
        run.main("export", 0, [f"--config-dir={tmp_path}"])
    assert "'0' is not a whole number of at least 1." in capsys.readouterr().err
