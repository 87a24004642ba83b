"""A project is migrated from end to end, over real ssh and rsync."""

import json
import shutil

import pytest
from emulated import BUNDLE, EXPORT, IMPORT, VALIDATE, live, running
from foreign import without_ours

from cmlutils.emulator.calls import Refused
from cmlutils.emulator.sessions import Sessions
from cmlutils.localtree import walk


def test_a_project_migrates_verified_and_inert(workspaces, run_line, home):
    source, target = workspaces(target_more={"pace": {"polls": 1}})
    there = source.project("dana", "churn-model").files
    before = there.stat().st_mtime_ns, list(walk(there))
    run_line(EXPORT)
    line = run_line(f"{IMPORT} --verify")
    assert "verified: equal" in line.out
    assert (there.stat().st_mtime_ns, list(walk(there))) == before  # the source is only read
    project = target.project("dana", "churn-model")
    assert {job.name: (job.paused, job.schedule) for job in project.jobs} == {
        "ingest": (True, "0 2 * * *"),
        "score": (True, ""),
        "mail": (True, ""),
    }
    by_id = {job.id: job.name for job in project.jobs}
    assert {job.name: by_id.get(job.parent_id) for job in project.jobs} == {
        "ingest": None,
        "score": "ingest",
        "mail": "score",
    }
    assert [one.status for one in project.applications] == ["stopped", "stopped"]
    assert [bool(one.builds) and not one.deployments for one in project.models] == [True, True]
    assert live(target) == []
    assert running(target) == []
    assert project.environment["TOKEN"] == "canary-environment-value"
    assert project.visibility == "public"
    assert project.shared_memory == 256
    files = project.files
    assert (files / "keep.log").exists()
    assert not (files / "a.log").exists()
    assert not (files / ".cache").exists()
    assert (files / "latest").is_symlink()
    assert (files / "empty").is_dir()
    assert (files / "serve.py").stat().st_mode & 0o777 == 0o755
    assert source.sessions == target.sessions == []
    assert {request.method for request in source.requests} <= {"GET", "POST"}
    assert all("list-models" in r.path or "get-model" in r.path for r in source.requests if r.method == "POST")
    metrics = json.loads((home / BUNDLE / "logs/import_metrics.json").read_text())
    assert metrics["isMigrationSuccessful"] is True
    assert metrics["total_job"] == 3
    assert list(metrics["phases"])[:4] == ["project", "open session", "files", "close session"]
    assert sum(metrics["phases"].values()) <= metrics["seconds"] + 0.1  # phases do not overlap
    assert "<html" in (home / BUNDLE / "logs/report.html").read_text()


def test_a_session_that_stays_open_is_left_to_a_person_until_a_run_has_closed_it(workspaces, run_line, home):
    def refuse(*_):
        raise Refused(403, "not allowed")

    _, target = workspaces()
    run_line(EXPORT)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Sessions, "stop", refuse)
        run_line(IMPORT)

    def left():
        metrics = json.loads((home / BUNDLE / "logs/import_metrics.json").read_text())
        return [one for one in metrics["to_do"] if one.startswith("Session ")]

    (session,) = target.sessions
    text = f"Session {session.id} of dana/churn-model may still be running: stop it on {target.url}."
    assert left() == [f"{text} The next run there tries, too."]
    run_line(VALIDATE)
    assert (left(), target.sessions) == ([], [])


def address_both_as_the_source(home):
    """Write an import-config.ini that is a copy of export-config.ini, as if a person had forgotten to change it."""
    text = (home / "cmlutils/export-config.ini").read_text()
    (home / "cmlutils/import-config.ini").write_text(text)


def test_an_import_into_the_very_project_of_the_export_is_refused(workspaces, run_line, home):
    source, _ = workspaces()
    run_line(EXPORT)
    newer = source.project("dana", "churn-model").files / "serve.py"
    newer.write_text("newer work\n")
    address_both_as_the_source(home)
    before = len(source.requests)
    for more in ("--dry-run", "", "--verify"):
        line = run_line(f"{IMPORT} {more}", exit_code=2)
        assert "dana/churn-model is the same project that the bundle was exported from" in line.err
    line = run_line('cmlutil doctor -p "Churn Model"', exit_code=1)
    assert "the same project" in line.out
    assert newer.read_text() == "newer work\n"
    assert {one.method for one in source.requests[before:]} == {"GET"}


def test_a_project_that_is_gone_from_the_source_can_be_put_back(workspaces, run_line, home):
    source, _ = workspaces()
    run_line(EXPORT)
    gone = source.project("dana", "churn-model")
    source.world.projects.remove(gone)
    shutil.rmtree(gone.files)
    address_both_as_the_source(home)
    run_line(IMPORT, exit_code={0, 5})
    run_line(IMPORT, exit_code={0, 5})
    assert (source.project("dana", "churn-model").files / "serve.py").exists()


def test_a_list_that_cloudera_cmlutils_did_not_come_to_write_is_named(workspaces, run_line, home):
    _, target = workspaces()
    run_line(EXPORT)
    without_ours(home / BUNDLE)
    (home / BUNDLE / "project-metadata/jobs-metadata.json").unlink()
    line = run_line(f"{IMPORT} --dry-run", exit_code=5)
    assert "jobs-metadata.json" in line.out
    line = run_line(f"{IMPORT} --json", exit_code=5)
    [row] = [one for one in line.json["outcomes"] if one["kind"] == "bundle"]
    assert (row["name"], row["status"]) == ("jobs-metadata.json", "skipped")
    assert "the export did not finish" in row["note"]
    assert target.project("dana", "churn-model").jobs == []
    assert len(target.project("dana", "churn-model").models) == 2


def test_two_applications_of_one_subdomain_are_refused_before_anything_is_written(workspaces, run_line, home):
    _, target = workspaces()
    run_line(EXPORT)
    without_ours(home / BUNDLE)
    path = home / BUNDLE / "project-metadata/applications-metadata.json"
    first, *others = json.loads(path.read_text())
    path.write_text(json.dumps([first, *others, {**first, "name": "Again", "subdomain": first["subdomain"].upper()}]))
    for options in ("--dry-run", ""):
        line = run_line(f"{IMPORT} {options}", exit_code=1)
        assert f"the applications '{first['name']}' and 'Again' have the same subdomain" in line.err
    assert not target.world.projects


def test_people_and_addons_travel_by_name(workspaces, run_line, sample):
    sample["jobs"][0] |= {"notifications": [{"user_id": 22, "failure": True}], "addons": [5]}
    sample["applications"][0]["addons"] = [5]
    addon = {"component": "Spark", "display_name": "Spark 3.2"}
    _, target = workspaces(source_more={"addons": [{**addon, "id": 5}]}, target_more={"addons": [{**addon, "id": 905}]})
    target.world.user("kai").id = 7022
    run_line(EXPORT)
    run_line(IMPORT)
    job = next(job for job in target.project("dana", "churn-model").jobs if job.name == "ingest")
    assert job.addons == [905]
    assert [(one["user_id"], one["failure"]) for one in job.notifications] == [(7022, True)]
    validate = f"{VALIDATE} --json"
    target.forget_requests()
    assert not {"addons", "notifications"} & {one["what"] for one in run_line(validate).json["differences"]}
    assert sum(one.path.endswith("/runtime-addons") for one in target.requests) == 1
    job.addons, job.notifications = [], [{"user_id": 7001, "failure": True}]
    found = {one["what"]: one for one in run_line(validate, exit_code=4).json["differences"] if not one["expected"]}
    assert (found["addons"]["left"], found["addons"]["right"]) == ("905", "none")
    assert found["notifications"]["left"] == "user 7022 (failure)"
