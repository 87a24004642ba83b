"""The verification finds what differs, says between which sides, and excuses only what a migration entails."""

import json
import os
from dataclasses import replace
from html import escape

import pytest
from copying import overwrite
from emulated import BUNDLE, EXPORT, IMPORT, VALIDATE, runtime
from foreign import without_ours

from cmlutils.emulator.faults import Fault
from cmlutils.flows.comparing.settings import compare_settings
from cmlutils.flows.comparing.side import ComparedSide
from cmlutils.flows.comparing.workloads import compare_workloads
from cmlutils.flows.replaying import application_stop
from cmlutils.project import ProjectSettings
from cmlutils.remote.v1.workloads import Applications
from cmlutils.report import Group
from cmlutils.runtime import Runtime
from cmlutils.runtimes import Maps
from cmlutils.workloads import Application, Job, Model


@pytest.fixture
def migrated(workspaces, run_line):
    source, target = workspaces()
    run_line(EXPORT)
    run_line(IMPORT)
    return source.project("dana", "churn-model"), target.project("dana", "churn-model")


def unexpected(line):
    """Return (group, where, what) of each difference that is not expected."""
    return {(one["group"], one["where"], one["what"]) for one in line.json["differences"] if not one["expected"]}


def test_a_validation_tells_again_what_the_import_left_to_do(workspaces, run_line, home):
    workspaces()
    run_line(EXPORT)
    left = run_line(f"{IMPORT} --json").json["to_do"]
    assert left
    for _ in range(2):
        assert run_line(f"{VALIDATE} --json").json["to_do"] == left
    page = (home / BUNDLE / "logs/report.html").read_text()
    assert all(escape(one) in page for one in left)


def test_a_damaged_list_of_what_is_left_to_do_is_mended_by_an_import(migrated, run_line, home):
    (home / BUNDLE / "state/to-do.json").write_text("[")
    assert "Run the import again." in run_line(VALIDATE, exit_code=1).err
    run_line(IMPORT)
    run_line(VALIDATE)


def test_a_bundle_without_the_list_of_its_files_is_not_compared_with_itself(migrated, run_line, home):
    (home / BUNDLE / "state/files.list").unlink()
    run_line(VALIDATE)
    (home / "cmlutils/export-config.ini").unlink()  # so that there is no source to compare with either
    line = run_line(f"{VALIDATE} --json", exit_code=4)
    assert unexpected(line) == {("changed in the bundle since the export", "bundle", "state/files.list")}


@pytest.mark.parametrize("lost", ["manifest.json", "state/files.list"])
def test_a_record_of_the_export_that_is_lost_is_told(migrated, run_line, home, lost):
    assert "its export left" not in " ".join(run_line(f"{VALIDATE} --json").json["notes"])
    (home / BUNDLE / lost).unlink()
    notes = run_line(f"{VALIDATE} --json").json["notes"]
    told = f"Whether the bundle is still as its export left it can't be fully checked: it has no {lost}."
    assert notes == [told]


def test_a_source_that_changed_is_told_apart_from_a_lost_file(migrated, run_line):
    source, target = migrated
    (source.files / "new.txt").write_text("x")
    (source.files / "keep.log").write_text("longer than before")
    (source.files / ".env").unlink()
    (target.files / "serve.py").unlink()
    source.jobs[0].arguments = "--some"
    line = run_line(f"{VALIDATE} --json", exit_code=4)
    found = unexpected(line)
    assert {row for row in found if "mtime" not in row[2]} == {
        ("changed on the source since the export", "source file", "'new.txt'"),
        ("changed on the source since the export", "source file", "'keep.log': size"),
        ("changed on the source since the export", "source file", "'.env'"),
        ("changed on the source since the export", "source job ingest", "arguments"),
        ("missing on the target", "target file", "'serve.py'"),
    }
    assert any("export and import again" in one for one in line.json["to_do"])
    assert ("'keep.log': size", "4", "18") in {
        (one["what"], one["left"], one["right"]) for one in line.json["differences"]
    }


def test_a_bundle_that_was_tampered_with_is_found(migrated, run_line, home):
    data = home / BUNDLE / "project-data"
    overwrite(data / "keep.log", b"no!\n")
    (data / "a stranger").write_text("x")
    (data / "odd name é.txt").chmod(0o640)
    metadata = home / BUNDLE / "project-metadata/jobs-metadata.json"
    metadata.write_text(metadata.read_text().replace("--all", "--nil"))
    found = unexpected(run_line(f"{VALIDATE} --json", exit_code=4))
    bundle = "changed in the bundle since the export"
    assert {
        (bundle, "bundle", "jobs-metadata.json"),
        (bundle, "source file", "'keep.log': content"),
        (bundle, "target file", "'keep.log': content"),
        (bundle, "bundle file", "'a stranger'"),
        (bundle, "bundle file", "'odd name é.txt': mode"),
    } <= found
    assert "has changed since the export" in run_line(IMPORT, exit_code=1).err
    metrics = json.loads((home / BUNDLE / "logs/import_metrics.json").read_text())
    assert metrics["isMigrationSuccessful"] is False


def test_a_file_that_the_export_brought_and_is_gone_from_the_bundle_is_found_without_the_source(
    migrated, run_line, home
):
    (home / "cmlutils/export-config.ini").unlink()
    (home / BUNDLE / "project-data/serve.py").unlink()
    line = run_line(f"{VALIDATE} --json", exit_code=4)
    assert {row for row in unexpected(line) if row[1] != "target file"} == {
        ("missing in the bundle", "bundle file", "'serve.py'")
    }
    assert any("source is not compared" in one for one in line.json["notes"])


def test_a_source_that_is_away_fails_after_all_the_rest_was_compared(migrated, run_line, home):
    path = home / "cmlutils/export-config.ini"
    path.write_text(path.read_text().replace("[Churn", "url=http://127.0.0.1:9\n[Churn").replace("url=", "#url=", 1))
    _, target = migrated
    (target.files / "keep.log").unlink()
    line = run_line(f"{VALIDATE} --json", exit_code=1)
    assert ("missing on the target", "target file", "'keep.log'") in unexpected(line)
    assert line.json["isMigrationSuccessful"] is False
    (home / "cmlutils/import-config.ini").write_text(path.read_text())
    run_line(VALIDATE, exit_code=1)
    metrics = json.loads((home / BUNDLE / "logs/import_metrics.json").read_text())
    assert metrics["isMigrationSuccessful"] is False
    assert "can't be reached" in metrics["error"]


@pytest.mark.parametrize("trouble", [{"action": "html"}, {"action": "status", "status": 403}])
def test_a_source_that_can_not_be_asked_fails_after_all_the_rest_was_compared(workspaces, run_line, trouble):
    source, target = workspaces()
    run_line(EXPORT)
    run_line(IMPORT)
    source.faults.add(Fault(**trouble, path="users/dana$", times=None))
    target = target.project("dana", "churn-model")
    (target.files / "keep.log").unlink()
    line = run_line(f"{VALIDATE} --json", exit_code=1)
    assert ("missing on the target", "target file", "'keep.log'") in unexpected(line)
    assert line.json["isMigrationSuccessful"] is False


def test_a_bundle_of_cloudera_cmlutils_is_excused_for_what_it_does_not_carry(workspaces, run_line, home, sample):
    sample["models"][0]["memory_mb"] = 4096
    workspaces()
    run_line(EXPORT)
    without_ours(home / BUNDLE)
    run_line(IMPORT)
    line = run_line(f"{VALIDATE} --json")
    excused = {one["what"] for one in line.json["differences"] if "does not export" in one["note"]}
    assert {"collaborator kai", "memory_mb"} <= excused


def test_what_a_bundle_of_cloudera_cmlutils_lacks_need_not_have_changed_since(workspaces, run_line, home):
    workspaces()
    run_line(EXPORT)
    without_ours(home / BUNDLE)
    (home / BUNDLE / "state/files.list").unlink()
    (home / BUNDLE / "project-data/keep.log").unlink()  # it reads "!" in .exportignore otherwise
    run_line(IMPORT)
    line = run_line(VALIDATE, exit_code=4)
    assert "'keep.log': absent / there" in line.out
    assert "cloudera/cmlutils left it out" in line.out


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read anything")
def test_what_can_not_be_read_on_either_side_is_named(migrated, run_line, home):
    _, target = migrated
    (target.files / "keep.log").chmod(0)
    (target.files / "jobs").chmod(0)
    (home / BUNDLE / "project-data/.env").chmod(0)
    try:
        found = unexpected(run_line(f"{VALIDATE} --json", exit_code=4))
    finally:
        (target.files / "jobs").chmod(0o755)
    unread = {(where, what) for group, where, what in found if group == "can't be read"}
    assert {
        ("target file", "'keep.log': content"),
        ("target file", "'jobs'"),
        ("source file", "'.env': content"),
        ("target file", "'.env': content"),
    } == unread


def test_an_import_verifies_quickly_when_asked(workspaces, run_line, home):
    _, target = workspaces()
    run_line(EXPORT)
    run_line(IMPORT)
    overwrite(target.project("dana", "churn-model").files / "keep.log", b"no!\n")
    line = run_line(f"{IMPORT} --verify --quick --json")
    assert line.json["isMigrationSuccessful"] is True
    assert any("--quick" in one for one in line.json["notes"])
    run_line(f"{VALIDATE}", exit_code=4)
    assert "--verify" in run_line(f"{IMPORT} --quick", exit_code=2).err


def test_quick_looks_at_sizes_and_times_only(migrated, run_line):
    _, target = migrated
    overwrite(target.files / "keep.log", b"no!\n")
    assert run_line(f"{VALIDATE} --quick --json").json["isMigrationSuccessful"] is True
    (target.files / ".cache").mkdir()  # as a session does
    line = run_line(f"{VALIDATE} --quick --json")
    assert ("'.cache'", True) in {(one["what"], one["expected"]) for one in line.json["differences"]}
    (target.files / "keep.log").write_text("longer than before")
    assert any("size" in what for _, _, what in unexpected(run_line(f"{VALIDATE} --quick --json", exit_code=4)))


def test_what_a_person_started_later_is_a_note(migrated, run_line):
    _, target = migrated
    target.applications[0].status = "running"
    target.jobs[0].paused = target.jobs[1].paused = False  # of these, one has a schedule, one a parent
    line = run_line(f"{VALIDATE} --json")
    assert {(one["where"], one["right"]) for one in line.json["differences"] if one["group"].startswith("live")} == {
        ("target application What if", "running"),
        ("target job ingest", "not paused"),
        ("target job score", "not paused"),
    }
    assert line.json["total_job"] == 3
    assert line.json["source"] != line.json["target"]
    assert line.json["source"].endswith(" dana/churn-model")
    assert line.json["target"].endswith(" dana/churn-model")


def test_what_an_import_could_not_stop_is_nobodys_choice_in_a_later_validation(
    workspaces, run_line, sample, monkeypatch
):
    monkeypatch.setattr(application_stop, "_LINGER", {})
    monkeypatch.setattr(application_stop, "_LINGER_ELSE", 0.5)
    sample["applications"] = sample["applications"][:1]
    _, target = workspaces()
    run_line(EXPORT)
    target.faults.add(
        Fault("status", path="[/:]stop$", status=200, body={}, times=None),
        Fault("status", method="DELETE", path="/applications/", status=403, times=None),
    )
    assert "IS STILL ON THE TARGET" in run_line(f"{IMPORT} --json", exit_code=5).out
    target.faults.clear()
    line = run_line(f"{VALIDATE} --json", exit_code=4)
    assert line.json["isMigrationSuccessful"] is False
    assert any(where == "target application What if" for _, where, _ in unexpected(line))


def test_what_a_list_does_not_show_yet_is_asked_for(workspaces, run_line):
    _, target = workspaces()
    run_line(EXPORT)
    run_line(IMPORT)
    for method, path in ("GET", "/jobs$"), ("GET", "/applications$"), ("POST", "/list-models$"):
        target.faults.add(Fault("status", method=method, path=path, status=200, body=[]))
    run_line(VALIDATE)
    target.project("dana", "churn-model").jobs.pop()
    line = run_line(f"{VALIDATE} --json", exit_code=4)
    assert {group for group, _, _ in unexpected(line)} == {"missing on the target"}


def test_a_pause_that_only_v2_shows_is_seen(workspaces, run_line):
    _, target = workspaces(without=["job_paused_shown"])
    run_line(EXPORT)
    line = run_line(f"{IMPORT} --verify --json")
    assert [job.schedule for job in target.project("dana", "churn-model").jobs] == ["0 2 * * *", "", ""]
    assert not any(one["group"].startswith("live") for one in line.json["differences"])
    assert target.world.user("dana").v2_keys == []


def test_the_project_that_was_imported_is_the_one_that_is_compared(workspaces, run_line, sample):
    sample["owner"] = "crew"
    team = {"username": "crew", "id": 50, "type": "organization", "members": {"dana": "owner"}}
    own = {"projects": [{"owner": "dana", "name": "Churn Model"}]}
    _, target = workspaces(teams=[team], target_more=own, more="owner_username=crew\n")
    run_line(EXPORT)
    line = run_line(f"{IMPORT} --verify --json")
    assert line.json["target"].endswith(" crew/churn-model")
    assert len(target.project("crew", "churn-model").jobs) == 3


@pytest.mark.parametrize("owner", ["dana", "crew"])
def test_a_project_that_no_import_would_fill_is_not_compared(workspaces, run_line, sample, owner):
    team = {"username": "crew", "id": 50, "type": "organization", "members": {"dana": "owner"}}
    other = {"teams": [team], "projects": [{"owner": "crew", "name": "Churn Model"}]} if owner == "dana" else {}
    sample["owner"] = owner
    _, target = workspaces(source_more={"teams": [team]}, target_more=other)
    run_line(EXPORT)
    told = run_line(VALIDATE, exit_code=1).err
    assert f"has no project 'Churn Model' of {owner}.\n" in told
    assert "Run 'cmlutil project import' first." in told
    assert target.session_log == []


@pytest.mark.parametrize("again", [False, True])
def test_a_project_that_was_renamed_on_the_target_is_compared_under_its_new_name(migrated, run_line, again):
    _, target = migrated
    target.name = "Churn, done"
    if again:
        run_line(IMPORT)
    line = run_line(f"{VALIDATE} --json", exit_code=4)
    assert unexpected(line) == {("different on the target", "target project", "name")}


def test_a_target_that_has_no_such_project_or_no_runtime_for_a_session_is_told(workspaces, run_line):
    workspaces(target_more={"runtimes": [runtime(72)]})
    run_line(EXPORT)
    told = run_line(VALIDATE, exit_code=1).err
    assert "has no project 'Churn Model' of dana.\n" in told
    assert "Run 'cmlutil project import' first." in told
    said = run_line(IMPORT, exit_code=1).err
    assert "has no rsync-enabled runtime" in said
    assert "Add cloudera/ml-runtime-workbench" in said


def test_in_place_of_a_project_that_is_gone_the_one_of_its_name_is_compared(migrated, run_line):
    _, target = migrated
    target.id += 1000
    run_line(VALIDATE)


def test_an_owner_in_the_targets_section_does_not_hide_what_was_imported(workspaces, run_line, sample):
    sample["owner"] = "kai"
    sample["collaborators"] = {"dana": "admin"}
    workspaces(more="owner_username=kai\n")
    run_line(EXPORT)
    line = run_line(f"{IMPORT} --verify --json")
    assert line.json["target"].endswith(" dana/churn-model")


def test_settings_and_people_are_compared(migrated, run_line, home):
    _, target = migrated
    target.collaborators.clear()
    target.visibility = "private"
    target.shared_memory = 0
    target.environment["CDSW_APP_POLLING_ENDPOINT"] = "."
    line = run_line(f"{VALIDATE} --json", exit_code=4)
    assert {what for _, _, what in unexpected(line)} == {"collaborator kai", "visibility", "shared_memory_limit"}
    added = next(one for one in line.json["differences"] if "POLLING" in one["what"])
    assert (added["left"], added["right"], added["expected"]) == ("absent", "***", True)
    metrics = json.loads((home / BUNDLE / "logs/import_metrics.json").read_text())
    assert metrics["isMigrationSuccessful"] is False


def test_collaborators_that_a_workspace_does_not_show_are_left_to_a_person(workspaces, run_line):
    _, target = workspaces()
    run_line(EXPORT)
    run_line(IMPORT)
    target.faults.add(Fault("status", path="/collaborators$", status=403, times=None))
    line = run_line(f"{VALIDATE} --json")
    assert "The target does not show its collaborators: compare them by hand." in line.json["notes"]
    assert not any("collaborator" in one["what"] for one in line.json["differences"])


def test_collaborators_that_the_source_does_not_show_are_not_said_to_be_none(workspaces, run_line):
    source, _ = workspaces()
    source.faults.add(Fault("status", path="/collaborators$", status=403, times=None))
    todo = "The source does not show the project's collaborators: add them on the target by hand."
    assert todo in run_line(f"{EXPORT} --json").json["to_do"]
    run_line(IMPORT)
    line = run_line(f"{VALIDATE} --json")
    assert "The source does not show its collaborators: compare them by hand." in line.json["notes"]


def test_many_differences_stay_short_on_the_terminal_and_whole_in_the_file(migrated, run_line, home):
    _, target = migrated
    for number in range(500):
        (target.files / f"extra-{number}").touch()
    line = run_line(VALIDATE, exit_code=4)
    assert "only on the target: 500" in line.out
    assert len(line.out.splitlines()) < 60
    metrics = json.loads((home / BUNDLE / "logs/import_metrics.json").read_text())
    assert sum(one["group"] == "only on the target" for one in metrics["differences"]) == 500


PYTHON = Runtime("reg/python:1", "Python 3.9", "Workbench", "Standard", "2023.05", "2023.05.1", 1)
NEWER = Runtime("reg/python:2", "Python 3.9", "Workbench", "Standard", "2023.08", "2023.08.1", 2)
R = Runtime("reg/r:1", "R 4.1", "Workbench", "Standard", "2023.05", "2023.05.1", 3)


def compared_side(*runtimes, images=None, fresh=(), **more):
    return ComparedSide("target", runtimes, Maps(images or {}, {}), "dana", fresh=frozenset(fresh), **more)


def job_record(**more):
    return {"id": 1, "name": "j", "script": "j.py", "type": "manual", "paused": True, **more}


def runtime_of(one):
    return {"runtime": {"id": one.id, "imageIdentifier": one.image, "kernel": one.kernel}}


@pytest.mark.parametrize(
    ("there", "catalogue", "images", "expected"),
    [
        (NEWER, (NEWER, R), {}, True),
        (NEWER, (PYTHON, NEWER), {}, False),  # the same image was available
        (R, (R,), {}, False),
        (R, (NEWER, R), {PYTHON.image: R.image}, False),
    ],
    ids=["nearest", "not nearest", "another kernel", "another kernel by map"],
)
def test_only_the_nearest_runtime_of_the_same_kernel_is_excused(there, catalogue, images, expected):
    job = Job("j", "j.py", runtime=PYTHON)
    rows = compare_workloads("job", [job], [job_record(**runtime_of(there))], compared_side(*catalogue, images=images))
    assert [(row.what, row.expected) for row in rows] == [("runtime", expected)]


def test_what_this_run_made_must_not_be_live():
    fires = job_record(schedule="0 * * * *", type="cron", paused=False)
    records = {
        "job": ([Job("j", "j.py", schedule="0 * * * *", type="cron")], fires),
        "application": ([Application("a", "a")], {"id": 1, "name": "a", "subdomain": "a", "status": "starting"}),
        "model": ([Model("m")], {"id": "1", "name": "m", "latestModelDeployment": {"status": "deploying"}}),
    }
    for kind, (wanted, record) in records.items():
        for fresh in (True, False):
            made = {(wanted[0].kind, wanted[0].name)} if fresh else ()
            rows = [
                one
                for one in compare_workloads(kind, wanted, [record], compared_side(fresh=made))
                if one.what == "state"
            ]
            assert [(row.group, row.expected) for row in rows] == [(Group.LIVE, not fresh)], kind


@pytest.mark.parametrize(("shown", "expected"), [({}, True), ({"visibility": "private"}, False)])
def test_a_visibility_is_excused_only_where_the_target_does_not_show_it(shown, expected):
    wanted = [Model("m", visibility="public")]
    [row] = compare_workloads("model", wanted, [{"id": "1", "name": "m", **shown}], compared_side())
    assert (row.what, row.expected) == ("visibility", expected)


def test_an_application_in_capitals_is_the_same():
    record = {"id": 1, "name": "a", "subdomain": "A-b", "status": "stopped", "cpu": 1, "memory": 1}
    wanted = [Application.from_v1({**record, "subdomain": "a-B"}, [])]
    assert compare_workloads("application", wanted, [record], compared_side()) == []


def test_an_application_that_failed_does_not_run():
    record = {"id": 1, "name": "a", "subdomain": "a", "status": "failed"}
    side = compared_side(fresh={("application", "a")})
    rows = compare_workloads("application", [Application("a", "a")], [record], side)
    assert [row for row in rows if row.what == "state"] == []


@pytest.mark.parametrize("fresh", [True, False])
def test_an_application_without_a_status_is_not_shown_to_be_stopped(fresh):
    record = {"id": 1, "name": "a", "subdomain": "a", "cpu": 1, "memory": 1}
    side = compared_side(fresh={("application", "a")} if fresh else ())
    [row] = compare_workloads("application", [Application("a", "a")], [record], side)
    assert (row.what, row.left, row.right) == ("state", "stopped", "not shown")
    assert (row.expected, row.note) == ((False, "") if fresh else (True, "the target does not show it"))


def test_a_status_that_the_list_of_applications_lacks_is_asked_for(migrated, run_line, monkeypatch):
    real = Applications.of
    monkeypatch.setattr(
        Applications, "of", lambda *asked: [{k: v for k, v in one.items() if k != "status"} for one in real(*asked)]
    )
    assert not [one for one in run_line(f"{VALIDATE} --json").json["differences"] if one["what"] == "state"]


def test_a_forbidden_bypass_is_excused_only_where_it_is_forbidden():
    record = {"id": 1, "name": "a", "subdomain": "a", "status": "stopped", "cpu": 1, "memory": 1}
    wanted = [Application("a", "a", bypass_authentication=True)]
    for allowed in (True, False):
        [row] = compare_workloads("application", wanted, [record], compared_side(bypass_allowed=allowed))
        assert row.expected is not allowed


def test_equal_names_are_paired_with_whom_they_resemble():
    wanted = [Job("j", "j.py", arguments="a"), Job("j", "j.py", arguments="b")]
    records = [job_record(arguments="b"), job_record(id=2, arguments="a")]
    assert compare_workloads("job", wanted, records, compared_side()) == []
    [row] = compare_workloads("job", wanted, records[:1], compared_side())
    assert row.group is Group.MISSING
    twice = [job_record(id=number, arguments="a") for number in (1, 2)]
    [row] = compare_workloads("job", wanted[:1], twice, compared_side())
    assert row.group is Group.EXTRA


def test_a_time_out_of_zero_is_none():
    for wanted, there in ((None, 0), (0, None)):
        assert (
            compare_workloads("job", [Job("j", "j.py", timeout=wanted)], [job_record(timeout=there)], compared_side())
            == []
        )
    [row] = compare_workloads("job", [Job("j", "j.py")], [job_record(timeout=60)], compared_side())
    assert row.what == "timeout"


def test_a_parent_is_more_than_its_name():
    first, second = Job("j", "a.py", source_id=1, arguments="1"), Job("j", "a.py", source_id=2, arguments="2")
    other, child = Job("j", "b.py", source_id=3), Job("child", "c.py", source_id=4, parent_id=1)
    records = [job_record(id=10 + job.source_id, script=job.script, arguments=job.arguments) for job in (second, other)]
    records.append(job_record(id=11, script="a.py", arguments="1"))

    def rows(wanted, parent, **changed):
        there = job_record(id=14, name="child", script="c.py", parent={"id": parent})
        found = [{**one, **changed} if one["id"] == 11 else one for one in records]
        compared = compare_workloads("job", [first, second, other, *wanted], [*found, there], compared_side())
        return [(row.where, row.what, row.left, row.right) for row in compared if row.what != "type"]

    assert rows([child], 11) == []
    assert rows([child], 12) == [("target job child", "parent", "j (a.py)", "another j (a.py)")]
    assert rows([child], 13) == [("target job child", "parent", "j (a.py)", "another j (b.py)")]
    assert rows([child], 99) == [("target job child", "parent", "j", "one that is not there")]
    assert [row[:2] for row in rows([child], 11, cpu=9)] == [("target job j", "cpu")]


def test_children_of_equals_are_paired_by_their_parents():
    parents = [Job("j", "a.py", source_id=number, arguments=str(number)) for number in (1, 2)]
    children = [Job("child", "c.py", source_id=number + 2, parent_id=number) for number in (1, 2)]
    records = [job_record(id=10 + one.source_id, script="a.py", arguments=one.arguments) for one in parents]
    there = [job_record(id=20 - n, name="child", script="c.py", parent={"id": 10 + n}) for n in (2, 1)]
    assert not [
        row
        for row in compare_workloads("job", [*parents, *children], [*records, *there], compared_side())
        if row.what != "type"
    ]


def test_what_a_target_hides_or_adds_is_excused_only_there():
    needs = {"runtime": PYTHON, "cpu": 2, "memory": 4, "gpus": 1}
    board, stopped = Application("a", "a", **needs), {"id": 1, "name": "a", "subdomain": "a", "status": "stopped"}
    model = Model("m", cpu_millicores=500, memory_mb=4096, gpus=1, replicas=2, environment={"A": "1"})
    resources = {"cpuMillicores": 1000, "memoryMb": 2048}
    sizes = dict.fromkeys(("cpu", "memory", "gpus"), False)
    hidden, bare = {"cpu": True, "memory": True, "gpus": True, "runtime": True}, {"id": "1", "name": "m"}
    of_model = {"cpu_millicores": True, "memory_mb": True, "gpus": True, "replicas": True, "environment A": True}
    seen = dict.fromkeys(("cpu_millicores", "memory_mb", "gpus"), False)
    daily = Job("j", "j.py", environment={"A": "1"})
    cases = [
        ("application", board, stopped, hidden),
        (
            "application",
            board,
            stopped | {"cpu": 1, "memory": 1},
            hidden | sizes,
        ),
        ("application", board, stopped | {"currentDashboard": {"cpu": 1}}, dict.fromkeys(hidden, False)),
        ("application", board, stopped | runtime_of(R), {**hidden, "runtime": False}),
        ("model", model, bare, of_model),
        ("model", model, bare | {"defaultResources": resources}, of_model | seen),
        ("model", model, bare | {"defaultReplicationPolicy": {"numReplicas": 1}}, of_model | {"replicas": False}),
        ("model", model, bare | {"environment": {"A": "2"}}, of_model | {"environment A": False}),
        ("model", model, bare | {"latestModelDeployment": {"status": "stopped"}}, dict.fromkeys(of_model, False)),
        ("job", replace(daily, runtime=PYTHON), job_record(environment={"A": "1"}), {"runtime": False}),
        ("job", Job("j", "j.py", kernel="python3"), job_record(**runtime_of(PYTHON)), {"runtime": False}),
        ("job", daily, job_record(environment={"A": "1", "B": "2"}), {"environment B": True}),
        ("job", daily, job_record(), {"environment A": False}),
        ("job", replace(daily, environment={}), job_record(timezone="UTC"), {"timezone": True}),
        ("job", replace(daily, environment={}), job_record(timezone="CET"), {"timezone": False}),
        ("job", replace(daily, environment={}, timezone="CET"), job_record(timezone="UTC"), {"timezone": False}),
    ]
    for kind, wanted, record, expected in cases:
        rows = compare_workloads(kind, [wanted], [record], compared_side(PYTHON, R))
        assert {row.what: row.expected for row in rows} == expected, record


def test_of_a_bundle_of_cloudera_cmlutils_only_what_it_does_not_carry_is_excused_and_on_the_source_alone():
    sizes = ["cpu_millicores", "memory_mb", "gpus"]
    lacks = {
        "project": ["engine_type", "owner", "collaborator kai", "environment CDSW_APP_POLLING_ENDPOINT"],
        "model m": ["visibility", *sizes, "replicas", "examples", "environment A", "runtime"],
        "application a": ["runtime", "addons"],
        "job j": ["type", "notifications", "runtime", "addons"],
    }
    carries = {
        "project": ["name", "description", "visibility", "environment A"],
        "model m": ["file", "function", "auth_enabled"],
        "application a": ["cpu", "memory", "environment A", "script"],
        "job j": ["cpu", "schedule", "parent", "environment A"],
    }

    def excused(fields, name="source", *, foreign=True):
        side = ComparedSide(name, (), Maps({}, {}), "dana", foreign=foreign)
        return {side.difference(where, what, "a", "b").expected for where, those in fields.items() for what in those}

    assert excused(lacks) == {True}
    assert excused(carries) == excused(lacks, foreign=False) == excused(lacks, "target") == {False}


def test_an_addon_or_person_is_excused_only_where_the_target_hides_it_or_adds_one_itself():
    job = Job("j", "j.py", addons=(7,), notifications=({"user_id": 3, "failure": True},))
    shown = {"addons": [7], "notifications": [{"user_id": 3, "failure": True, "id": 1}]}
    cases = [
        ({}, {}),
        ({"addons": [8]}, {"addons": False}),
        ({"addons": []}, {"addons": False}),
        ({"addons": None}, {"addons": True}),
        ({"addons": [8, 7]}, {"addons": True}),
        ({"notifications": [{"user_id": 3, "success": True}]}, {"notifications": False}),
        ({"notifications": [*shown["notifications"], {"user_id": 4, "failure": True}]}, {"notifications": False}),
        ({"notifications": None}, {"notifications": True}),
    ]
    for changed, expected in cases:
        rows = compare_workloads("job", [job], [job_record(**{**shown, **changed})], compared_side())
        assert {row.what: row.expected for row in rows} == expected, changed


@pytest.mark.parametrize("odd", [None, 7, True, ["user"]])
@pytest.mark.parametrize("side", ["source", "target"])
def test_a_notification_that_is_no_object_is_of_someone(odd, side):
    wanted, other = (Job("j", "j.py", source_id=1, notifications=(one,)) for one in (odd, {"user_id": 3}))
    compared = ComparedSide(side, (), Maps({}, {}), "dana")
    assert compare_workloads("job", [wanted], [job_record(notifications=[odd])], compared) == []
    [row] = compare_workloads("job", [other], [job_record(notifications=[odd])], compared)
    assert (row.what, row.left, row.right) == ("notifications", "user 3", "someone")


def test_a_model_that_was_not_built_is_a_difference():
    wanted = [Model("m", file="m.py", function="f", environment={"A": "secret"})]
    build = {"status": "build failed", "targetFilePath": "m.py", "targetFunctionName": "f"}
    record = {"id": "1", "name": "m", "latestModelBuild": build}
    rows = {row.what: row for row in compare_workloads("model", wanted, [record], compared_side())}
    assert not rows["build"].expected
    assert rows["environment A"].expected
    assert "secret" not in str(rows)


def test_a_description_that_differs_is_not_repeated():
    [row] = compare_settings(ProjectSettings("p", description="secret"), ProjectSettings("p"), compared_side())
    assert (row.what, row.left, row.right) == ("description", "***", "none")


@pytest.mark.parametrize(
    ("exported", "there", "engines", "expected"),
    [
        ("legacy_engine", "ml_runtime", {"python3": "image:1"}, True),
        ("legacy_engine", "ml_runtime", {}, False),
        ("ml_runtime", "legacy_engine", {"python3": "image:1"}, False),
    ],
)
def test_engines_may_become_runtimes_where_a_map_says_so_and_never_the_other_way(exported, there, engines, expected):
    side = ComparedSide("target", (), Maps({}, engines), "dana")
    wanted, found = (ProjectSettings("p", engine_type=one) for one in (exported, there))
    [row] = compare_settings(wanted, found, side)
    assert (row.what, row.expected) == ("engine_type", expected)


def test_an_owner_who_migrates_is_expected_and_another_is_not():
    wanted = ProjectSettings("p", owner="kai")
    for owner, expected in (("dana", True), ("eve", False)):
        [row] = compare_settings(wanted, ProjectSettings("p", owner=owner), compared_side())
        assert (row.what, row.expected) == ("owner", expected)
    team = ProjectSettings("p", owner="crew", team="crew")
    assert compare_settings(team, ProjectSettings("p", owner="crew"), compared_side()) == []
    assert [row.expected for row in compare_settings(team, ProjectSettings("p", owner="dana"), compared_side())] == [
        False
    ]


def test_a_permission_that_differs_is_found_and_none_means_read():
    def people(permissions):
        return ProjectSettings("p", collaborators=({"username": "kai", "permissions": permissions},))

    assert compare_settings(people("read"), people(None), compared_side()) == []
    [row] = compare_settings(people("write"), people(None), compared_side())
    assert (row.what, row.left, row.right, row.expected) == ("collaborator kai", "write", "read", False)


@pytest.mark.parametrize("where", ["target", "bundle"])
def test_contents_that_differ_alone_are_mended_by_running_it_again(migrated, run_line, home, where):
    _, target = migrated
    path = (target.files if where == "target" else home / BUNDLE / "project-data") / "keep.log"
    overwrite(path, b"???\n")
    line = run_line(f"{VALIDATE} --json", exit_code=4)
    assert any("'keep.log': content" in one for *_, one in unexpected(line))
    assert any("again" in one for one in line.json["to_do"])
    if where == "bundle":
        run_line(EXPORT)
        overwrite(target.files / "keep.log", b"bad\n")  # as if the spoiled file had been imported
    run_line(IMPORT)
    assert path.read_text() == "yes\n"
    run_line(VALIDATE)
