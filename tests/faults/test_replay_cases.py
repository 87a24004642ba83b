"""How an import makes single models, applications and jobs on the target, and what a second import does."""

from dataclasses import replace

import pytest
from emulated import live
from replaying import (
    APPLICATIONS,
    JOBS,
    MODELS,
    PYTHON,
    RUNTIME,
    SETTINGS,
    outcome,
    project_in,
    replay,
    target_of,
    write_bundle,
)

from cmlutils.emulator.calls import Call
from cmlutils.emulator.faults import Fault
from cmlutils.emulator.routes.applications import start
from cmlutils.errors import ExitCode
from cmlutils.job import Job
from cmlutils.model import Model
from cmlutils.remote.v1.workloads import Applications, Jobs
from cmlutils.report import Status
from cmlutils.runtimes import Maps

PROJECT = {"owner": "dana", "name": "Churn", "description": "theirs", "collaborators": {}}


def test_equal_jobs_are_counted(target, tmp_path):
    twins = [Job("twin", "s.py", number, runtime=RUNTIME, arguments=str(number)) for number in (1, 2, 3)]
    bundle = write_bundle(tmp_path / "bundle", jobs=twins)
    assert replay(target, bundle).code == 0
    assert [job.arguments for job in project_in(target).jobs] == ["1", "2", "3"]
    del project_in(target).jobs[0]
    assert replay(target, bundle).code == 0
    assert [job.arguments for job in project_in(target).jobs] == ["2", "3", "1"]


def test_an_equal_that_was_there_counts_as_one(tmp_path):
    there = [{"name": "twin", "script": "s.py", "runtime_id": 71, "arguments": "theirs"}]
    with target_of(tmp_path, projects=[{**PROJECT, "jobs": there}]) as target:
        twins = [Job("twin", "s.py", number, runtime=RUNTIME, arguments="ours") for number in (1, 2)]
        bundle = write_bundle(tmp_path / "bundle", jobs=twins)
        for _ in range(2):
            assert replay(target, bundle).code == 0
            assert [job.arguments for job in project_in(target).jobs] == ["theirs", "ours"]


def test_a_second_import_reads_little_and_writes_nothing(target, bundle):
    replay(target, bundle)
    first = [request.path for request in target.requests]
    assert sum(path.endswith("/jobs") for path in first) == 2 + 1  # one request lists the jobs, two create some
    assert not any("apikey" in path for path in first)
    target.forget_requests()
    run = replay(target, bundle)
    assert len(target.requests) == 6
    assert {r.method for r in target.requests if "list-models" not in r.path} == {"GET"}
    assert run.report.notes == ["Calls of the target's API by the import: 6 (5 GET, 1 POST)."]


def test_who_is_notified_goes_by_name(tmp_path, target):
    rows = [{"user_id": 5, "username": "kai", "stopped": True}, {"user_id": 6, "username": "gone", "failure": True},
            {"user_id": 7, "success": True}]  # fmt: skip
    bundle = write_bundle(tmp_path / "bundle", jobs=[replace(JOBS[0], notifications=tuple(rows))])
    run = replay(target, bundle)
    (job,) = project_in(target).jobs
    assert [(one["user_id"], one["stopped"]) for one in job.notifications] == [(32, True)]
    assert "gone (failure), the source's user number 7 (success)" in outcome(run, "ingest").todo
    assert "kai" not in outcome(run, "ingest").todo


def test_a_person_whom_we_may_not_look_up_is_left_to_do(target, bundle):
    target.faults.add(Fault("status", "GET", r"^/api/v1/users/kai$", status=403, times=None))
    run = replay(target, bundle)
    assert run.code == ExitCode.OK
    assert outcome(run, "ingest").status.value == "created"
    assert "turn its notifications on again for kai (failure)" in outcome(run, "ingest").todo
    assert "job ingest: turn its notifications on again for kai (failure)" in run.report.all_todos()
    ingest, _ = project_in(target).jobs
    assert (ingest.notifications, ingest.paused) == ([], True)
    assert project_in(target).collaborators == {"kai": "write"}


def test_a_refusal_names_a_runtime_that_the_target_has_disabled(tmp_path):
    with target_of(tmp_path, runtimes=[{"id": 71, **PYTHON, "status": "DISABLED"}]) as target:
        target.faults.add(Fault("status", method="POST", path="/jobs$", status=422, body={"message": "no"}))
        run = replay(target, write_bundle(tmp_path / "bundle"))
        disabled = "the target has runtime Python 3.9 Workbench Standard 2023.05.2-b7 disabled or deprecated"
        assert outcome(run, "ingest").status.value == "failed"
        assert outcome(run, "ingest").note.endswith(disabled)
        assert "enable that runtime on the target, or map it in runtime-map.yaml" in outcome(run, "ingest").todo
        assert outcome(run, "Board").note == disabled


def test_addons_go_by_name(tmp_path):
    addons = [{"id": 900, "component": "Spark", "display_name": "Spark 3.2"}]
    with target_of(tmp_path, addons=addons) as target:
        wanted = (
            {"id": 4, "component": "Spark", "name": "Spark 3.2"},
            {"id": 5, "component": "Spark", "name": "Old"},
            6,
        )
        apps = [replace(APPLICATIONS[0], addons=wanted[:1])]
        run = replay(
            target,
            write_bundle(tmp_path / "bundle", jobs=[replace(JOBS[0], addons=wanted)], applications=apps),
        )
        assert project_in(target).jobs[0].addons == project_in(target).applications[0].addons == [900]
        assert "Old, the source's number 6" in outcome(run, "ingest").todo
        assert outcome(run, "Board").todo == ""


@pytest.mark.parametrize("weak", ["can not list them", "does not set them"])
def test_addons_that_a_target_does_not_have_set_are_left_to_a_person(tmp_path, monkeypatch, weak):
    with target_of(tmp_path, addons=[{"id": 900, "component": "Spark", "display_name": "Spark 3.2"}]) as target:
        if weak == "can not list them":
            target.faults.add(Fault("status", path="/runtime-addons$", status=404, times=None))
        else:
            real = Jobs.get
            monkeypatch.setattr(Jobs, "get", lambda *asked: {**real(*asked), "addons": []})
        job = replace(JOBS[0], addons=({"id": 4, "component": "Spark", "name": "Spark 3.2"},))
        run = replay(target, write_bundle(tmp_path / "bundle", models=[], applications=[], jobs=[job]))
        assert (run.code, outcome(run, "ingest").status) == (0, Status.CREATED)
        assert outcome(run, "ingest").todo == "choose its add-ons by hand: Spark 3.2"


def test_a_subdomain_that_another_project_has_is_said(tmp_path):
    other = {"owner": "kai", "name": "Other",
             "applications": [{"name": "x", "script": "s", "subdomain": "board", "runtime_id": 71}]}  # fmt: skip
    with target_of(tmp_path, projects=[other]) as target:
        run = replay(target, write_bundle(tmp_path / "bundle"))
        assert run.code == ExitCode.NEEDS_HAND
        assert outcome(run, "Board").status.value == "failed"
        assert "'board' is taken" in outcome(run, "Board").todo
        assert outcome(run, "ingest").status.value == "created"


def test_open_access_that_the_site_forbids_is_left_out_and_said(tmp_path, target):
    run = replay(
        target, write_bundle(tmp_path / "bundle", applications=[replace(APPLICATIONS[0], bypass_authentication=True)])
    )
    assert outcome(run, "Board").status.value == "fallback"
    assert "unauthenticated" in outcome(run, "Board").todo
    assert not project_in(target).applications[0].bypass_authentication


def test_open_access_that_is_refused_is_left_out_even_if_the_site_shows_no_settings(tmp_path):
    wanted = replace(APPLICATIONS[0], bypass_authentication=True)
    hidden = {"action": "status", "path": "/site/config", "status": 403, "times": None}
    with target_of(tmp_path, faults=[hidden]) as target:
        run = replay(target, write_bundle(tmp_path / "bundle", applications=[wanted]))
    assert "the target forbids unauthenticated access" in outcome(run, "Board").note
    assert not outcome(run, "Board").needs_hand


def test_an_application_that_is_refused_for_another_reason_is_not_tried_without_open_access(tmp_path, target):
    target.faults.add(Fault("status", method="POST", path="/applications$", status=400, body={"message": "too many"}))
    target.world.site_config["allow_unauthenticated_access_to_app"] = True
    wanted = replace(APPLICATIONS[0], bypass_authentication=True)
    run = replay(target, write_bundle(tmp_path / "bundle", applications=[wanted]))
    assert outcome(run, "Board").status.value == "failed"
    assert "enable that runtime" not in outcome(run, "Board").todo
    assert project_in(target).applications == []


def test_open_access_that_the_site_allows_and_does_not_give_is_not_called_forbidden(tmp_path, monkeypatch):
    real, wanted = Applications.get, replace(APPLICATIONS[0], bypass_authentication=True)
    monkeypatch.setattr(Applications, "get", lambda *asked: {**real(*asked), "bypass_authentication": False})
    with target_of(tmp_path, site_config={"allow_unauthenticated_access_to_app": True}) as target:
        run = replay(target, write_bundle(tmp_path / "bundle", applications=[wanted]))
    assert run.code == ExitCode.NEEDS_HAND
    assert "set by hand: bypass_authentication (True)" in outcome(run, "Board").todo


def test_open_access_that_nobody_asked_for_is_said(bundle, target, monkeypatch):
    real = Applications.get
    monkeypatch.setattr(Applications, "get", lambda *asked: {**real(*asked), "bypass_authentication": True})
    run = replay(target, bundle)
    assert (run.code, outcome(run, "Board").status.value) == (ExitCode.NEEDS_HAND, "fallback")
    assert "set by hand: bypass_authentication (False)" in outcome(run, "Board").todo


def test_a_runtime_that_the_target_did_not_take_is_said(bundle, target, monkeypatch):
    monkeypatch.setattr(Call, "runtime_id", lambda *_: None)  # as if it had not been asked for
    run = replay(target, bundle)
    assert run.code == ExitCode.NEEDS_HAND
    for name in ("Explain", "Board", "ingest", "score"):
        todo = outcome(run, name).todo
        assert "set by hand: runtime (Python 3.9 Workbench Standard 2023.05.2-b7)" in todo


def test_a_runtime_that_the_target_hides_while_an_application_is_stopped_is_not_called_lost(
    bundle, target, monkeypatch
):
    real = Applications.get
    monkeypatch.setattr(Applications, "get", lambda *asked: {**real(*asked), "currentDashboard": None})
    assert replay(target, bundle).code == ExitCode.OK


def test_a_script_outside_of_the_project_is_kept(tmp_path, target):
    script = "/opt/vizapps/tools/arcviz/startup_app.py"
    run = replay(target, write_bundle(tmp_path / "bundle", applications=[replace(APPLICATIONS[0], script=script)]))
    assert run.code == 0
    assert project_in(target).applications[0].script == script


def test_a_map_that_names_an_image_the_target_lacks_is_said(target, bundle):
    run = replay(target, bundle, maps=Maps({"reg/py:1": "reg/new:9"}, {}))
    assert run.code == ExitCode.NEEDS_HAND
    for name in ("Explain", "Board", "ingest", "score"):
        assert "runtime-map.yaml names reg/new:9" in outcome(run, name).note
    assert project_in(target).jobs == []


@pytest.mark.parametrize("name", ["a/b & c", 'quo\'te "d"', "Prüfung 100 %", "x" * 255, "../up", "_%"])
def test_odd_names_are_kept(tmp_path, target, name):
    jobs = [replace(JOBS[0], name=name), replace(JOBS[1], name=name)]
    models = [replace(MODELS[0], name=name)]
    bundle = write_bundle(tmp_path / "bundle", replace(SETTINGS, name=name), models, [], jobs)
    for _ in range(2):
        assert replay(target, bundle, name=name).code == 0
        project = project_in(target)
        assert project.name == name
        assert [job.name for job in project.jobs] == [name, name]
        assert [model.name for model in project.models] == [name]


def test_a_model_that_was_never_built_is_not_built(tmp_path, target):
    run = replay(target, write_bundle(tmp_path / "bundle", models=[Model("bare")]))
    assert outcome(run, "bare").status.value == "failed"  # this target requires a file
    assert outcome(run, "bare").todo
    assert not any("build-model" in request.path for request in target.requests)


def test_a_job_whose_parent_is_not_there_is_finished_when_it_is(tmp_path, target):
    jobs = [replace(JOBS[0], runtime=replace(RUNTIME, image="reg/r:1", kernel="R 4.1")), JOBS[1]]
    bundle = write_bundle(tmp_path / "bundle", jobs=jobs)
    run = replay(target, bundle)
    assert run.code == ExitCode.NEEDS_HAND
    assert "parent, job 'ingest'" in outcome(run, "score").todo
    assert replay(target, bundle).code == ExitCode.NEEDS_HAND
    assert replay(target, bundle, maps=Maps({"reg/r:1": "reg/py:1"}, {})).code == 0
    score, ingest = project_in(target).jobs
    assert (score.parent_id, score.paused) == (ingest.id, True)
    assert live(target) == []


def test_a_job_that_a_person_took_over_is_left_alone(tmp_path):
    with target_of(tmp_path, ["job_patch"], switches={"no_v2": True}) as target:
        bundle = write_bundle(tmp_path / "bundle", jobs=JOBS[:1])
        assert replay(target, bundle).code == ExitCode.NEEDS_HAND
        (job,) = project_in(target).jobs
        job.schedule, job.type, job.paused, job.timezone = "0 2 * * *", "cron", False, "Europe/Madrid"
        run = replay(target, bundle)
        assert run.code == 0, run
        assert project_in(target).jobs == [job]
        assert not job.paused


@pytest.mark.parametrize("can_pause", [True, False])
def test_an_unfinished_job_that_a_person_gave_a_schedule_stays_if_it_can_be_paused(tmp_path, can_pause):
    with target_of(tmp_path, [] if can_pause else ["job_patch"], switches={"no_v2": True}) as target:
        bundle = write_bundle(tmp_path / "bundle", models=[], applications=[], jobs=JOBS[:1])
        target.faults.add(Fault("status", method="GET", path="/jobs/", times=None))  # longer than patience lasts
        assert replay(target, bundle).code == ExitCode.FAILED
        target.faults.clear()
        (job,) = project_in(target).jobs
        job.schedule, job.type, job.paused = "5 5 * * *", "cron", False
        run = replay(target, bundle)
        assert ([job.id] == [one.id for one in project_in(target).jobs]) == can_pause  # otherwise it was made anew
        assert not any(one.can_fire for one in project_in(target).jobs)
        assert run.code == (ExitCode.OK if can_pause else ExitCode.NEEDS_HAND)


def test_what_a_target_does_not_show_of_a_model_is_left_to_be_looked_at(tmp_path):
    models = [replace(MODELS[0], visibility="public"), replace(MODELS[0], name="Score", replicas=1)]
    bundle = write_bundle(tmp_path / "bundle", models=models)
    with target_of(tmp_path, without=["model_settings_on_read"]) as target:
        run = replay(target, bundle)
        assert run.code == 0
        assert outcome(run, "Explain").todo == "when you deploy it, check that it has: 2 replicas, visibility public"
        assert not outcome(run, "Score").todo
        assert [one.visibility for one in project_in(target).models] == ["public", "private"]


def test_what_is_done_is_in_the_report_when_the_workspace_goes_away(target, bundle):
    target.faults.add(Fault("status", method="PATCH", path="/jobs/", nth=2, times=None))
    run = replay(target, bundle)
    assert run.code == ExitCode.FAILED
    assert "score" in str(run.error)
    said = {one.name: one.status.value for one in run.report.outcomes}
    assert said == {
        "Churn": "created", "Explain": "created", "Board": "created", "ingest": "created", "score": "failed"
    }  # fmt: skip


def test_an_application_that_runs_is_told_also_where_the_listing_does_not_say_so(tmp_path, target, monkeypatch):
    replay(target, write_bundle(tmp_path / "bundle", models=[], jobs=[]))
    start(target.world, project_in(target), project_in(target).applications[0], "application-started")
    target.settle()
    rows = Applications.of
    monkeypatch.setattr(
        Applications, "of", lambda self, project: [{**one, "status": None} for one in rows(self, project)]
    )
    run = replay(target, write_bundle(tmp_path / "another", models=[], jobs=[]))  # whose journal does not know it
    told = outcome(run, "Board")
    assert (run.code, told.status, told.note) == (ExitCode.NEEDS_HAND, Status.PRESENT, "it is running on the target")


def test_an_application_that_a_person_started_stays_so_though_something_of_it_was_left(tmp_path, target):
    bundle = write_bundle(tmp_path / "bundle")
    unlike = {"name": "Board", "subdomain": "board", "script": "serve.py", "status": "stopped", "cpu": 1, "memory": 4}
    target.faults.add(Fault("wrong-type", method="GET", path=r"/applications/\d+$", times=None, body=unlike))
    assert "cpu" in outcome(replay(target, bundle), "Board").todo
    target.faults.clear()
    [board] = project_in(target).applications
    board.status = "running"
    target.forget_requests()
    assert outcome(replay(target, bundle), "Board").status is Status.PRESENT
    assert board.status == "running"
    assert not [one.path for one in target.requests if "stop" in one.path]
