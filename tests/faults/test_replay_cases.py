"""What an import makes of one thing or another on the target."""

from dataclasses import replace

import pytest
from replaying import (
    APPLICATIONS,
    JOBS,
    KEY,
    MODELS,
    RUNTIME,
    SETTINGS,
    Crash,
    delete_project,
    dump,
    live,
    replay,
    running,
    target_of,
    write_bundle,
)

from cmlutils.emulator.faults import Fault
from cmlutils.emulator.routes import projects
from cmlutils.emulator.routes.applications import start
from cmlutils.errors import ExitCode, TunnelError
from cmlutils.flows import import_project
from cmlutils.flows.replaying import applications as replay_applications
from cmlutils.job import Job
from cmlutils.model import Model
from cmlutils.remote import v2_key
from cmlutils.remote.http import Http, Patience
from cmlutils.remote.v1 import ApiV1
from cmlutils.remote.v1.workloads import Models
from cmlutils.report import Status
from cmlutils.runtimes import Maps
from cmlutils.section import Secret, Workspace

TEAM = [{"username": "crew", "id": 41, "members": {"dana": "owner"}}]
SETTINGS_OF_TEAM = replace(SETTINGS, owner="crew", team="crew")
PROJECT = {"owner": "dana", "name": "Churn", "description": "theirs", "collaborators": {}}


@pytest.fixture
def bundle(tmp_path):
    return write_bundle(tmp_path / "bundle")


def of(workspace):
    (project,) = workspace.world.projects
    return project


def outcome(run, name):
    (found,) = [one for one in run.report.outcomes if one.name == name]
    return found


def test_equal_jobs_are_counted(target, tmp_path):
    twins = [Job("twin", "s.py", number, runtime=RUNTIME, arguments=str(number)) for number in (1, 2, 3)]
    bundle = write_bundle(tmp_path / "bundle", jobs=twins)
    assert replay(target, bundle).code == 0
    assert [job.arguments for job in of(target).jobs] == ["1", "2", "3"]
    del of(target).jobs[0]
    assert replay(target, bundle).code == 0
    assert [job.arguments for job in of(target).jobs] == ["2", "3", "1"]


def test_an_equal_that_was_there_counts_as_one(tmp_path):
    there = [{"name": "twin", "script": "s.py", "runtime_id": 71, "arguments": "theirs"}]
    with target_of(tmp_path, projects=[{**PROJECT, "jobs": there}]) as target:
        twins = [Job("twin", "s.py", number, runtime=RUNTIME, arguments="ours") for number in (1, 2)]
        bundle = write_bundle(tmp_path / "bundle", jobs=twins)
        for _ in range(2):
            assert replay(target, bundle).code == 0
            assert [job.arguments for job in of(target).jobs] == ["theirs", "ours"]


def test_a_project_that_was_there_keeps_its_settings_and_gets_its_workloads(tmp_path):
    with target_of(tmp_path, projects=[PROJECT]) as target:
        run = replay(target, write_bundle(tmp_path / "bundle"))
        assert run.code == 0
        assert outcome(run, "Churn").status.value == "present"
        project = of(target)
        assert (project.description, project.visibility, project.collaborators) == ("theirs", "private", {})
        assert project.environment == {}
        assert len(project.jobs) == 2


def test_a_project_that_was_deleted_is_made_anew_and_whole(target, bundle):
    assert replay(target, bundle).code == 0
    wanted = dump(target)
    delete_project(target)
    assert replay(target, bundle).code == 0
    assert dump(target) == wanted


def test_a_project_that_a_person_made_anew_keeps_its_settings(target, bundle):
    assert replay(target, bundle).code == 0
    delete_project(target)
    with Http(Workspace(target.url, "dana", Secret(KEY))) as client:
        ApiV1(client).projects.create(
            "dana", {"name": "Churn", "template": "blank", "project_visibility": "private", "description": "theirs"}
        )
    assert replay(target, bundle).code == 0
    project = of(target)
    assert (project.description, project.visibility, project.collaborators) == ("theirs", "private", {})
    assert len(project.jobs) == 2


def test_a_second_import_reads_little_and_writes_nothing(target, bundle):
    replay(target, bundle)
    first = [request.path for request in target.requests]
    assert sum(path.endswith("/jobs") for path in first) == 2 + 1  # a list, and two made
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
    (job,) = of(target).jobs
    assert [(one["user_id"], one["stopped"]) for one in job.notifications] == [(32, True)]
    assert "gone (failure), the source's user number 7 (success)" in outcome(run, "ingest").todo
    assert "kai" not in outcome(run, "ingest").todo


def test_a_person_whom_we_may_not_look_up_is_left_to_do(target, bundle):
    target.faults.add(Fault("status", "GET", r"^/api/v1/users/kai$", status=403, times=None))
    run = replay(target, bundle)
    assert run.code == ExitCode.OK
    assert outcome(run, "ingest").status.value == "created"
    assert "turn on again its notifications for kai (failure)" in outcome(run, "ingest").todo
    assert "job ingest: turn on again its notifications for kai (failure)" in run.report.all_todos()
    ingest, _ = of(target).jobs
    assert (ingest.notifications, ingest.paused) == ([], True)
    assert of(target).collaborators == {"kai": "write"}


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
        assert of(target).jobs[0].addons == of(target).applications[0].addons == [900]
        assert "Old, the source's number 6" in outcome(run, "ingest").todo
        assert outcome(run, "Board").todo == ""


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
    assert not of(target).applications[0].bypass_authentication


def test_a_script_outside_of_the_project_is_kept(tmp_path, target):
    script = "/opt/vizapps/tools/arcviz/startup_app.py"
    run = replay(target, write_bundle(tmp_path / "bundle", applications=[replace(APPLICATIONS[0], script=script)]))
    assert run.code == 0
    assert of(target).applications[0].script == script


def test_a_map_that_names_an_image_the_target_lacks_is_said(target, bundle):
    run = replay(target, bundle, maps=Maps({"reg/py:1": "reg/new:9"}, {}))
    assert run.code == ExitCode.NEEDS_HAND
    for name in ("Explain", "Board", "ingest", "score"):
        assert "runtime-map.yaml names reg/new:9" in outcome(run, name).note
    assert of(target).jobs == []


def test_a_project_on_engines_stays_there_with_an_empty_map(tmp_path):
    images = [{"id": 3, "repository": "engine", "tag": "15"}]
    with target_of(tmp_path, engine_images=images) as target:
        settings = replace(SETTINGS, engine_type="legacy_engine", engine_image="mine:2")
        jobs = [replace(one, runtime=None, kernel="python3") for one in JOBS]
        models = [replace(one, runtime=None, kernel="python3") for one in MODELS]
        applications = [replace(one, runtime=None, kernel="python3") for one in APPLICATIONS]
        bundle = write_bundle(tmp_path / "bundle", settings, models, applications, jobs)
        run = replay(target, bundle)
        assert run.code == 0, run
        assert "engine:15 instead of mine:2" in outcome(run, "Churn").note
        assert [job.kernel for job in of(target).jobs] == ["python3", "python3"]
        assert of(target).models[0].builds[0].engine_image_id == 3
        assert of(target).applications[0].kernel == "python3"
        assert of(target).engine_type == "legacy_engine"
        delete_project(target)
        run = replay(target, bundle, maps=Maps({}, {"python3": "reg/py:1"}))
        assert {job.runtime_id for job in of(target).jobs} == {71}


@pytest.mark.parametrize("name", ["a/b & c", 'quo\'te "d"', "Prüfung 100 %", "x" * 255, "../up", "_%"])
def test_odd_names_are_kept(tmp_path, target, name):
    jobs = [replace(JOBS[0], name=name), replace(JOBS[1], name=name)]
    models = [replace(MODELS[0], name=name)]
    bundle = write_bundle(tmp_path / "bundle", replace(SETTINGS, name=name), models, [], jobs)
    for _ in range(2):
        assert replay(target, bundle, name=name).code == 0
        project = of(target)
        assert project.name == name
        assert [job.name for job in project.jobs] == [name, name]
        assert [model.name for model in project.models] == [name]


def test_a_project_of_the_same_name_under_another_owner_is_not_it(tmp_path):
    with target_of(tmp_path, projects=[{"owner": "kai", "name": "Churn", "visibility": "public"}]) as target:
        assert replay(target, write_bundle(tmp_path / "bundle")).code == 0
        assert [len(project.jobs) for project in target.world.projects] == [0, 2]


def test_a_model_that_was_never_built_is_not_built(tmp_path, target):
    run = replay(target, write_bundle(tmp_path / "bundle", models=[Model("bare")]))
    assert outcome(run, "bare").status.value == "failed"  # this target wants a file
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
    score, ingest = of(target).jobs
    assert (score.parent_id, score.paused) == (ingest.id, True)
    assert live(target) == []


def test_a_job_that_a_person_took_over_is_left_alone(tmp_path):
    with target_of(tmp_path, ["job_patch"], switches={"no_v2": True}) as target:
        bundle = write_bundle(tmp_path / "bundle", jobs=JOBS[:1])
        assert replay(target, bundle).code == ExitCode.NEEDS_HAND
        (job,) = of(target).jobs
        job.schedule, job.type, job.paused, job.timezone = "0 2 * * *", "cron", False, "Europe/Madrid"
        run = replay(target, bundle)
        assert run.code == 0, run
        assert of(target).jobs == [job]
        assert not job.paused


@pytest.mark.parametrize("can_pause", [True, False])
def test_an_unfinished_job_that_a_person_gave_a_schedule_stays_if_it_can_be_paused(tmp_path, can_pause):
    with target_of(tmp_path, [] if can_pause else ["job_patch"], switches={"no_v2": True}) as target:
        bundle = write_bundle(tmp_path / "bundle", models=[], applications=[], jobs=JOBS[:1])
        target.faults.add(Fault("status", method="GET", path="/jobs/", times=None))  # until patience ends
        assert replay(target, bundle).code == ExitCode.FAILED
        target.faults.clear()
        (job,) = of(target).jobs
        job.schedule, job.type, job.paused = "5 5 * * *", "cron", False
        run = replay(target, bundle)
        assert ([job.id] == [one.id for one in of(target).jobs]) == can_pause  # else it was deleted and made anew
        assert not any(one.can_fire for one in of(target).jobs)
        assert run.code == (ExitCode.OK if can_pause else ExitCode.NEEDS_HAND)


def test_the_collaborator_whom_the_target_does_not_know_is_said_until_they_are_there(tmp_path, target):
    people = ({"username": "kai", "permissions": "admin"}, {"username": "nobody", "permissions": "read"})
    bundle = write_bundle(tmp_path / "bundle", replace(SETTINGS, collaborators=people))
    run = replay(target, bundle)
    assert run.code == ExitCode.NEEDS_HAND
    assert "add collaborator nobody" in run.report.all_todos()[0]
    assert of(target).visibility == "public"
    target.world.users.append(replace(target.world.user("kai"), username="nobody", id=33))
    assert replay(target, bundle).code == 0
    assert of(target).collaborators == {"kai": "admin", "nobody": "read"}


def test_what_a_person_changed_after_the_hand_over_stays_though_something_is_left_to_do(tmp_path, target):
    people = ({"username": "kai", "permissions": "admin"}, {"username": "nobody", "permissions": "read"})
    bundle = write_bundle(tmp_path / "bundle", replace(SETTINGS, collaborators=people))
    assert replay(target, bundle).code == ExitCode.NEEDS_HAND
    of(target).visibility = "private"
    del of(target).collaborators["kai"]
    target.world.users.append(replace(target.world.user("kai"), username="nobody", id=33))
    assert replay(target, bundle).code == 0
    assert of(target).collaborators == {"nobody": "read"}
    assert of(target).visibility == "private"


def test_settings_that_a_person_changed_stay_though_something_is_left_to_do(tmp_path):
    with target_of(tmp_path) as target:
        bundle = write_bundle(tmp_path / "bundle", replace(SETTINGS, environment={"A": "1", "B": "2"}))
        target.faults.add(Fault("status", method="PATCH", path="/projects/", status=400, times=None))
        assert replay(target, bundle).code == ExitCode.NEEDS_HAND
        of(target).environment["A"] = "theirs"
        del of(target).environment["B"]
        of(target).description = "theirs"
        target.faults.clear()
        replay(target, bundle)
        assert of(target).environment == {"A": "theirs", "B": "2"}
        assert of(target).description == "theirs"
        assert of(target).shared_memory == 256


def test_an_environment_that_the_target_does_not_show_is_left_to_a_person_and_the_import_goes_on(target, bundle):
    target.faults.add(Fault("status", method="GET", path="/environment$", status=403, times=None))
    run = replay(target, bundle)
    assert (run.error, run.code) == (None, ExitCode.NEEDS_HAND)
    assert outcome(run, "Churn").todo == "set by hand: environment A"
    assert len(of(target).jobs) == 2
    assert not any(one.method == "PUT" and one.path.endswith("/environment") for one in target.requests)
    target.faults.clear()
    assert replay(target, bundle).code == 0
    assert of(target).environment == {"A": "1"}


def test_an_engine_image_that_the_target_does_not_show_is_left_to_a_person(tmp_path):
    with target_of(tmp_path, engine_images=[{"id": 3, "repository": "engine", "tag": "15"}]) as target:
        target.faults.add(Fault("status", path="/engine-images$", status=404, times=None))
        settings = replace(SETTINGS, engine_type="legacy_engine", engine_image="mine:2")
        run = replay(target, write_bundle(tmp_path / "bundle", settings, [], [], [Job("j", "s.py", kernel="python3")]))
        assert (run.error, run.code) == (None, ExitCode.NEEDS_HAND)
        assert "choose the engine image mine:2" in outcome(run, "Churn").todo
        assert outcome(run, "j").status is Status.CREATED


@pytest.mark.parametrize("method", ["GET", "PUT"])
def test_collaborators_of_which_there_is_no_usable_answer_are_left_to_the_next_import(target, bundle, method):
    target.faults.add(Fault("html", method=method, path="/collaborators", times=None))
    run = replay(target, bundle)
    assert (run.error, run.code) == (None, ExitCode.NEEDS_HAND)
    assert "import again to set collaborators" in run.report.all_todos()[0]
    target.faults.clear()
    assert replay(target, bundle).code == 0
    assert of(target).collaborators == {"kai": "write"}


def test_a_project_that_we_make_where_engines_are_the_default_is_put_on_runtimes(target, bundle, monkeypatch):
    real = projects._engine_type

    def engines_first(call, project):
        real(call, project)
        if project not in call.world.projects:
            project.engine_type = "legacy_engine"

    monkeypatch.setattr(projects, "_engine_type", engines_first)
    run = replay(target, bundle)
    assert run.code == 0, run
    assert of(target).engine_type == "ml_runtime"
    assert {job.runtime_id for job in of(target).jobs} == {71}


def test_in_a_project_on_engines_workloads_with_a_runtime_get_one(tmp_path, bundle):
    with target_of(tmp_path, projects=[{**PROJECT, "engine_type": "legacy_engine"}]) as target:
        assert replay(target, bundle).code == 0
        assert {job.runtime_id for job in of(target).jobs} == {71}
        assert of(target).models[0].builds[0].runtime_id == 71
        assert of(target).applications[0].runtime_id == 71


def test_ids_that_a_rebuilt_workspace_gave_to_others_are_not_taken_for_ours(target, bundle):
    assert replay(target, bundle).code == 0
    ours = next(job for job in of(target).jobs if job.name == "ingest")
    delete_project(target)
    with Http(Workspace(target.url, "dana", Secret(KEY))) as http:
        ApiV1(http).projects.create("dana", {"name": "Churn", "template": "blank", "project_visibility": "private"})
    of(target).jobs.append(replace(ours, name="other", script="o.py"))
    run = replay(target, bundle)
    assert outcome(run, "ingest").status.value == "created"
    assert sorted(job.name for job in of(target).jobs) == ["ingest", "other", "score"]


def when_jobs_begin(patch, happens):
    """Have this happen in the midst of an import, when models and applications are done."""
    real = import_project.job_replays

    def late(one, wanted):
        happens()
        yield from real(one, wanted)

    patch.setattr(import_project, "job_replays", late)


def killed():
    """End the run as a kill does."""
    raise Crash


def test_a_model_that_is_deployed_after_its_build_was_seen_is_deleted_again(target, bundle, monkeypatch):
    with monkeypatch.context() as patch:
        when_jobs_begin(patch, lambda: deploy(target))
        run = replay(target, bundle)
    assert "It was deleted again" in outcome(run, "Explain").note
    assert of(target).models == []
    assert run.code == ExitCode.NEEDS_HAND
    assert replay(target, bundle).code == 0
    assert len(of(target).models) == 1


def deploy(target):
    """Deploy the model."""
    body = {"modelBuildId": of(target).models[0].builds[-1].id, "cpuMillicores": 1000, "memoryMb": 2048}
    with Http(Workspace(target.url, "dana", Secret(KEY)), Patience(1.0)) as http:
        http.send("POST", "/api/altus-ds-1/models/deploy-model", body)


def started_by_now(target):
    """Start the application as the target does that begins late what was created."""
    application = of(target).applications[0]
    start(target.world, of(target), application, "application-started")
    return application


def test_an_application_that_starts_after_it_was_seen_stopped_is_stopped_again(target, bundle, monkeypatch):
    with monkeypatch.context() as patch:
        when_jobs_begin(patch, lambda: started_by_now(target))
        run = replay(target, bundle)
    assert (run.code, outcome(run, "Board").status) == (0, Status.CREATED)
    assert of(target).applications[0].status == "stopped"
    assert not running(target)


def test_what_comes_to_life_between_a_kill_and_the_next_import_is_not_somebodys_choice(target, bundle, monkeypatch):
    with monkeypatch.context() as patch:
        when_jobs_begin(patch, killed)
        assert replay(target, bundle).code == 137
    application = started_by_now(target)
    deploy(target)
    run = replay(target, bundle)
    assert "It was deleted again" in outcome(run, "Explain").note
    assert (outcome(run, "Board").status, application.status) == (Status.CREATED, "stopped")
    assert of(target).models == []


def test_a_model_that_a_later_import_builds_is_not_done_before_its_last_look(tmp_path, monkeypatch):
    with target_of(tmp_path, ["build_at_create"]) as target:
        bundle = write_bundle(tmp_path / "bundle")
        target.faults.add(Fault("status", path="build-model", status=403, times=2))
        assert replay(target, bundle).code == ExitCode.NEEDS_HAND
        with monkeypatch.context() as patch:
            when_jobs_begin(patch, killed)
            assert replay(target, bundle).code == 137
        deploy(target)
        assert "It was deleted again" in outcome(replay(target, bundle), "Explain").note
        assert of(target).models == []


def test_an_application_that_says_stopped_before_it_starts_is_looked_at_again(target, tmp_path, monkeypatch):
    real = replay_applications.ApplicationReplay._read

    def not_yet(work, application_id):
        record = real(work, application_id)
        return {**record, "status": "stopped"} if work.target.clock.now() < 1.5 else record

    monkeypatch.setattr(replay_applications.ApplicationReplay, "_read", not_yet)
    target.faults.add(Fault("status", method="PUT", path="/stop", status=422, times=1))
    run = replay(target, write_bundle(tmp_path / "bundle", models=[], jobs=[]))
    assert outcome(run, "Board").status is Status.CREATED
    target.settle()
    assert not running(target)


def test_an_application_that_is_created_as_stopped_is_looked_at_until_it_has_started(target, tmp_path, monkeypatch):
    bundle = write_bundle(tmp_path / "bundle", models=[], jobs=[])
    real = replay_applications.ApplicationReplay._read
    starts = []

    def late(work, application_id):
        if work.target.clock.now() > 0.5 and not starts:
            starts.append(started_by_now(target))
        return real(work, application_id)

    def not_yet(work, body):
        made = work.target.v1.applications.create(work.target.project, body)
        of(target).applications[0].status, of(target).applications[0].ahead = "stopped", []
        return {**made, "status": "stopped"}

    monkeypatch.setattr(replay_applications.ApplicationReplay, "_read", late)
    monkeypatch.setattr(replay_applications.ApplicationReplay, "_send", not_yet)
    run = replay(target, bundle)
    assert outcome(run, "Board").status is Status.CREATED
    target.settle()
    assert starts
    assert not running(target)


@pytest.mark.parametrize(("method", "path"), [("PATCH", "projects/dana/churn$"), ("PUT", "/environment$")])
def test_a_setting_that_a_project_did_not_take_is_written_once_more(target, bundle, method, path):
    target.faults.add(Fault("status", method=method, path=path, status=200, body={}, times=1))
    run = replay(target, bundle)
    assert outcome(run, "Churn").status is Status.CREATED
    assert (of(target).description, of(target).environment) == ("monthly", {"A": "1"})


@pytest.mark.parametrize("creator", ["kai", "dana"])
def test_a_project_that_another_made_after_a_kill_is_theirs(tmp_path, creator):
    with target_of(tmp_path, projects=[{**PROJECT, "creator": creator}]) as target:
        bundle = write_bundle(tmp_path / "bundle")
        bundle.journal(target.url, "dana").begin("project dana Churn", [])
        run = replay(target, bundle)
        theirs = creator == "kai"
        assert outcome(run, "Churn").status is (Status.PRESENT if theirs else Status.CREATED)
        assert of(target).description == ("theirs" if theirs else "monthly")


def test_a_project_whose_answer_was_lost_is_not_made_again_where_a_team_is_said_to_migrate(tmp_path):
    lost = 0
    for crash in range(1, 10):
        bundle = write_bundle(tmp_path / f"bundle {crash}", SETTINGS_OF_TEAM)
        with target_of(tmp_path / str(crash), teams=TEAM) as target:
            replay(target, bundle, crash, after=True, username="crew")
            lost += len(target.world.projects)
            assert replay(target, bundle, username="crew").code == 0
            assert (of(target).creator, of(target).visibility) == ("dana", "public"), crash
    assert lost


@pytest.mark.parametrize("renamed", ["CHURN", "something else"])
def test_a_project_that_the_target_calls_otherwise_is_not_made_again(target, bundle, renamed):
    replay(target, bundle)
    of(target).name = renamed
    run = replay(target, bundle)
    assert outcome(run, "Churn").status is Status.PRESENT
    assert of(target).name == renamed


def test_a_project_that_the_target_calls_otherwise_is_handed_over(target, bundle):
    def cut(*_):
        raise TunnelError("The tunnel dropped.")

    assert replay(target, bundle, push=cut).code == 1
    of(target).name = "something else"
    assert replay(target, bundle).code == 0
    assert (of(target).visibility, of(target).collaborators) == ("public", {"kai": "write"})
    of(target).collaborators.clear()
    assert replay(target, bundle).code == 0
    assert not of(target).collaborators  # once


def test_what_a_target_does_not_show_of_a_model_is_left_to_be_looked_at(tmp_path):
    models = [replace(MODELS[0], visibility="public"), replace(MODELS[0], name="Score", replicas=1)]
    bundle = write_bundle(tmp_path / "bundle", models=models)
    with target_of(tmp_path, without=["model_settings_on_read"]) as target:
        run = replay(target, bundle)
        assert run.code == 0
        assert outcome(run, "Explain").todo == "when you deploy it, check that it has: 2 replicas, visibility public"
        assert not outcome(run, "Score").todo
        assert [one.visibility for one in of(target).models] == ["public", "private"]


def test_a_model_whose_deployment_has_a_status_that_nobody_knows_is_told_of_and_stays(target, bundle, monkeypatch):
    shown, parked = Models.get, {"latestModelDeployment": {"status": "parked"}}
    monkeypatch.setattr(Models, "get", lambda self, model_id: {**shown(self, model_id), **parked})
    run = replay(target, bundle)
    told = outcome(run, "Explain")
    assert (run.code, told.status, "'parked', which may be live" in told.note) == (5, Status.CREATED, True)
    assert told.todo.startswith("look whether it is deployed, and stop it")
    assert [one.name for one in of(target).models] == ["Explain"]


def test_what_a_person_started_after_the_import_stays_so_and_is_said(target, bundle):
    replay(target, bundle)
    application = started_by_now(target)
    target.settle()
    run = replay(target, bundle)
    assert run.code == 0
    assert outcome(run, "Board").note == "it is running on the target"
    assert application.status == "running"


def test_what_a_killed_run_left_running_is_stopped_before_the_files_are_sent(target, bundle, monkeypatch):
    def killed(*_, **__):
        raise Crash

    with monkeypatch.context() as patch:
        patch.setattr(replay_applications.ApplicationReplay, "finish", killed)
        assert replay(target, bundle).code == 137
    (application,) = of(target).applications
    assert application.status != "stopped"

    def push(project, runtimes):
        assert application.status == "stopped"
        raise TunnelError("no session")

    run = replay(target, bundle, push=push)
    assert str(run.error) == "no session."
    assert [one.name for one in run.report.outcomes if one.status is not Status.SKIPPED] == [
        "Churn",
        "Board",
        "Explain",
    ]
    assert sorted(one.name for one in run.report.outcomes) == ["Board", "Churn", "Explain", "ingest", "score"]
    run = replay(target, bundle)
    assert run.code == 0
    assert sorted(one.name for one in run.report.outcomes) == ["Board", "Churn", "Explain", "ingest", "score"]


def test_what_is_done_is_in_the_report_when_the_workspace_goes_away(target, bundle):
    target.faults.add(Fault("status", method="PATCH", path="/jobs/", nth=2, times=None))
    run = replay(target, bundle)
    assert run.code == ExitCode.FAILED
    assert "score" in str(run.error)
    said = {one.name: one.status.value for one in run.report.outcomes}
    assert said == {
        "Churn": "created", "Explain": "created", "Board": "created", "ingest": "created", "score": "skipped"
    }  # fmt: skip


def test_a_key_that_a_killed_run_left_is_revoked(tmp_path):
    with target_of(tmp_path, ["job_patch"]) as target:
        bundle = write_bundle(tmp_path / "bundle")
        count = next(n for n in range(1, 100) if _keys_after_a_kill(target, bundle, n))
        assert count
        assert replay(target, bundle).code == 0
        assert dump(target)["keys"] == [0, 0]


def test_a_key_that_could_not_be_revoked_is_left_to_a_person_by_its_id_alone(tmp_path):
    with target_of(tmp_path, ["job_patch"]) as target:
        target.faults.add(Fault("status", method="DELETE", path="/apikey/", status=403, times=None))
        run = replay(target, write_bundle(tmp_path / "bundle"))
        (key,) = target.world.user("dana").v2_keys
        (todo,) = [one for one in run.report.all_todos() if key.key_id in one]
        assert todo.startswith(f"Revoke the API key {key.key_id} of dana on 127.0.0.1:")
        assert key.api_key not in str(run.report.to_json())


def test_a_key_that_stays_is_told_once_though_the_run_opens_v2_twice(tmp_path, monkeypatch):
    monkeypatch.setattr(v2_key, "_TRIES", (0.0,))
    with target_of(tmp_path, ["job_patch"]) as target:
        bundle = write_bundle(tmp_path / "bundle")
        next(n for n in range(1, 100) if _keys_after_a_kill(target, bundle, n))  # and a job is not finished
        target.faults.add(Fault("status", method="DELETE", path="/apikey/", status=403, times=None))
        todos = [one for one in replay(target, bundle).report.all_todos() if one.startswith("Revoke")]
        assert len(todos) == 1, todos


def _keys_after_a_kill(target, bundle, nth):
    replay(target, bundle, nth, after=True)
    return target.world.user("dana").v2_keys and KEY


def crashes(tmp_path, *, after=True, localhost=False):
    """Yield a target and a bundle of which an import died at its nth call, for each n until one comes through."""
    for nth in range(1, 60):
        bundle = write_bundle(tmp_path / f"bundle {nth}")
        with target_of(tmp_path / str(nth)) as target:
            url = target.url.replace("127.0.0.1", "localhost") if localhost else ""
            if replay(target, bundle, nth, after=after, url=url).error is None:
                return
            yield target, bundle
    pytest.fail("the import takes more calls than this test has crashes")


@pytest.mark.parametrize("after", [False, True])
def test_what_a_crash_has_left_is_made_inert_though_its_runtime_is_gone_from_the_map(tmp_path, after):
    seen = 0
    for target, bundle in crashes(tmp_path, after=after):
        seen += bool(running(target))
        replay(target, bundle, maps=Maps({RUNTIME.image: "reg/typing-mistake:1"}, {}))
        target.settle()
        assert not running(target), bundle.folder.name
        assert not live(target), bundle.folder.name
    assert seen


@pytest.mark.parametrize("after", [False, True])
def test_what_is_made_by_the_import_after_a_crash_is_told_to_be_made_by_it(tmp_path, after):
    made = set()
    for target, bundle in crashes(tmp_path, after=after):
        there = {one.name for project in target.world.projects for one in _workloads(project)}
        run = replay(target, bundle)
        told = {one.name for one in run.report.outcomes if one.status is Status.CREATED} - {"Churn"}
        assert {one.name for one in _workloads(of(target))} - there <= told, bundle.folder.name
        made |= told
    assert made == {"Explain", "Board", "ingest", "score"}


def test_what_a_crash_has_left_and_the_bundle_has_no_more_is_taken_away(tmp_path):
    less = 0
    for target, bundle in crashes(tmp_path):
        left = [one for project in target.world.projects for one in _workloads(project)]
        done = replay(target, write_bundle(bundle.folder, models=[], applications=[], jobs=[]))
        target.settle()
        assert not running(target), bundle.folder.name
        assert not live(target), bundle.folder.name
        assert done.code in {ExitCode.OK, ExitCode.NEEDS_HAND}
        gone = [one.name for one in done.report.outcomes if one.status is Status.SKIPPED]
        assert {one.name for one in left} - {one.name for one in _workloads(of(target))} == {*gone}
        less += len(gone)
    assert less > 3


def test_what_a_crash_has_left_is_finished_though_the_address_is_spelled_anew(tmp_path):
    made = []
    for target, bundle in crashes(tmp_path, localhost=True):
        spelled_anew = target.url.replace("127.0.0.1", "LOCALHOST")
        assert replay(target, bundle, url=spelled_anew).code == 0, bundle.folder.name
        made.append(dump(target))
    assert all(one == made[0] for one in made)
    assert made[0]["jobs"][0][3] == "0 2 * * *"


def test_what_a_crash_has_left_in_a_project_that_is_somebody_elses_by_now_is_told(tmp_path):
    told = set()
    for target, bundle in crashes(tmp_path):
        left = running(target)
        for project in target.world.projects:
            project.owner, project.files = "kai", project.files.rename(project.files.with_name("moved"))
        todos = replay(target, bundle).report.todos
        assert any("began application board" in one for one in todos) or not left, bundle.folder.name
        told |= {one.split(" in a project")[0] for one in todos}
    assert {"An interrupted import began application board", "An interrupted import began job ingest"} <= told


def test_of_equals_only_what_is_wanted_no_more_is_taken_away(tmp_path, target):
    twins = [Job("twin", "s.py", number, runtime=RUNTIME) for number in (1, 2)]
    bundle = write_bundle(tmp_path / "bundle", models=[], applications=[], jobs=twins)
    replay(target, bundle)
    first, second = of(target).jobs
    (path,) = bundle.state.glob("journal-*")
    path.write_text("".join(line for line in path.read_text().splitlines(True) if '1", "event": "done"' not in line))
    done = replay(target, write_bundle(bundle.folder, models=[], applications=[], jobs=twins[:1]))
    assert of(target).jobs == [first]
    assert [one.name for one in done.report.outcomes if one.status is Status.SKIPPED] == [second.name]


def _workloads(project):
    return [*project.models, *project.applications, *project.jobs]


def test_an_application_that_a_crash_left_running_does_not_wait_for_models(tmp_path):
    for nth in range(1, 200):
        with target_of(tmp_path / str(nth)) as target:
            bundle = write_bundle(tmp_path / f"bundle{nth}")
            assert replay(target, bundle, nth, after=True).code == 137
            if running(target):
                target.forget_requests()
                assert replay(target, bundle).code == 0
                paths = [one.path for one in target.requests]
                stopped, looked = ([word in path for path in paths].index(True) for word in ("/stop", "-model"))
                assert stopped < looked
                return
    pytest.fail("no crash left it running")
