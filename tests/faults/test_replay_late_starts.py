"""What becomes live on the target after it was seen inert, and what people start there."""

import pytest
from emulated import running
from replaying import KEY, Crash, outcome, project_in, replay, target_of, write_bundle

from cmlutils.emulator.faults import Fault
from cmlutils.emulator.routes.applications import start
from cmlutils.errors import ExitCode
from cmlutils.flows import import_project
from cmlutils.flows.replaying.applications import ApplicationReplay
from cmlutils.remote.http import Http, Patience
from cmlutils.remote.v1.workloads import Applications, Models
from cmlutils.report import Status
from cmlutils.section import Secret, Workspace


def when_jobs_begin(patch, happens):
    """Call `happens` in the middle of an import, when models and applications are done."""
    real = import_project.Replay._phase

    def phase(one, name, replays):
        if name == "jobs":
            happens()
        return real(one, name, replays)

    patch.setattr(import_project.Replay, "_phase", phase)


def seconds_on(applications):
    """Return the time on the clock of the import that asks for applications."""
    return applications._routes.http._patience.now()


def killed():
    """End the import as a kill would."""
    raise Crash


def test_a_model_that_is_deployed_after_its_build_was_seen_is_deleted_again(target, bundle, monkeypatch):
    with monkeypatch.context() as patch:
        when_jobs_begin(patch, lambda: deploy(target))
        run = replay(target, bundle)
    assert "It was deleted again" in outcome(run, "Explain").note
    assert project_in(target).models == []
    assert run.code == ExitCode.NEEDS_HAND
    assert replay(target, bundle).code == 0
    assert len(project_in(target).models) == 1


@pytest.mark.parametrize("kind", ["applications", "jobs", "models"])
def test_what_the_target_refused_although_it_made_it_and_shows_late_is_finished_at_the_end(target, bundle, kind):
    create, read = ("/create-model$", "/list-models$") if kind == "models" else (f"/{kind}$", f"/{kind}$")
    target.faults.add(Fault("status-after", method="POST", path=create, status=401))
    asks = "POST" if kind == "models" else "GET"
    target.faults.add(Fault("status", method=asks, path=read, status=200, body=[], nth=2, times=1))
    run = replay(target, bundle)
    assert running(target) == []
    child = Status.FALLBACK if kind == "jobs" else Status.CREATED  # it came before its parent was seen
    assert [one.status for one in run.report.outcomes] == [Status.CREATED] * 4 + [child]
    again = replay(target, bundle)
    assert (again.code, {one.status for one in again.report.outcomes}) == (0, {Status.PRESENT})
    project = project_in(target)
    assert [len(project.models), len(project.applications), len(project.jobs)] == [1, 1, 2]
    assert [bool(one.schedule or one.parent_id) for one in project.jobs] == [True, True]


def test_what_was_refused_and_can_not_be_looked_for_again_does_not_end_the_import(target, bundle):
    target.faults.add(Fault("status", method="POST", path="/jobs$", status=403))
    target.faults.add(Fault("html", method="GET", path="/jobs$", nth=3, times=None))
    run = replay(target, bundle)
    assert (run.error, run.code) == (None, ExitCode.NEEDS_HAND)
    assert [outcome(run, name).status for name in ("ingest", "score")] == [Status.FAILED, Status.FALLBACK]


@pytest.mark.parametrize("kind", ["applications", "models"])
def test_what_got_lost_while_the_target_answered_nonsense_is_finished_at_the_end(target, bundle, kind):
    create, read = ("/create-model$", "/list-models$") if kind == "models" else (f"/{kind}$", f"/{kind}$")
    target.faults.add(Fault("reset-after", method="POST", path=create))
    target.faults.add(Fault("html", method="POST" if kind == "models" else "GET", path=read, nth=2, times=5))
    run = replay(target, bundle)
    assert (run.code, running(target)) == (0, [])
    assert [one.status for one in run.report.outcomes] == [Status.CREATED] * 5
    assert [len(getattr(project_in(target), each)) for each in ("models", "applications", "jobs")] == [1, 1, 2]


def deploy(target):
    """Deploy the first model of the project."""
    body = {"modelBuildId": project_in(target).models[0].builds[-1].id, "cpuMillicores": 1000, "memoryMb": 2048}
    with Http(Workspace(target.url, "dana", Secret(KEY)), Patience(1.0)) as http:
        http.send("POST", "/api/altus-ds-1/models/deploy-model", body)


def started_by_now(target):
    """Start the application, as a target would that starts late what was created."""
    application = project_in(target).applications[0]
    start(target.world, project_in(target), application, "application-started")
    return application


def test_an_application_that_starts_after_it_was_seen_stopped_is_stopped_again(target, bundle, monkeypatch):
    with monkeypatch.context() as patch:
        when_jobs_begin(patch, lambda: started_by_now(target))
        run = replay(target, bundle)
    assert (run.code, outcome(run, "Board").status) == (0, Status.CREATED)
    assert project_in(target).applications[0].status == "stopped"
    assert not running(target)


def test_an_application_that_starts_a_moment_after_all_is_done_is_stopped_again(target, bundle, monkeypatch):
    real, stopped_at, starts = Applications.get, [], []

    def late(applications, project, application_id):
        if stopped_at and not starts and seconds_on(applications) - stopped_at[0] >= 1.5:
            starts.append(started_by_now(target))
        record = real(applications, project, application_id)
        if record["status"] == "stopped":
            stopped_at.append(seconds_on(applications))
        return record

    monkeypatch.setattr(Applications, "get", late)
    run = replay(target, bundle)
    assert (run.code, outcome(run, "Board").status, len(starts)) == (0, Status.CREATED, 1)
    target.settle()
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
    assert project_in(target).models == []


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
        assert project_in(target).models == []


def test_an_application_that_says_stopped_before_it_starts_is_looked_at_again(target, tmp_path, monkeypatch):
    real = Applications.get

    def not_yet(applications, project, application_id):
        record = real(applications, project, application_id)
        return {**record, "status": "stopped"} if seconds_on(applications) < 1.5 else record

    monkeypatch.setattr(Applications, "get", not_yet)
    target.faults.add(Fault("status", method="PUT", path="/stop", status=422, times=1))
    run = replay(target, write_bundle(tmp_path / "bundle", models=[], jobs=[]))
    assert outcome(run, "Board").status is Status.CREATED
    target.settle()
    assert not running(target)


@pytest.mark.parametrize("said", [{"status": "stopped"}, {}])
def test_an_application_that_is_not_created_as_starting_is_looked_at_until_it_has(target, tmp_path, monkeypatch, said):
    bundle = write_bundle(tmp_path / "bundle", models=[], jobs=[])
    real = Applications.get
    starts = []

    def late(applications, project, application_id):
        if seconds_on(applications) > 0.5 and not starts:
            starts.append(started_by_now(target))
        return real(applications, project, application_id)

    def not_yet(work, body):
        made = work.target.v1.applications.create(work.target.project, body)
        project_in(target).applications[0].status, project_in(target).applications[0].ahead = "stopped", []
        return {**{key: value for key, value in made.items() if key != "status"}, **said}

    monkeypatch.setattr(Applications, "get", late)
    monkeypatch.setattr(ApplicationReplay, "_send", not_yet)
    run = replay(target, bundle)
    assert outcome(run, "Board").status is Status.CREATED
    target.settle()
    assert starts
    assert not running(target)


@pytest.mark.parametrize("status", ["pending", "deploying", "deployed"])
def test_a_model_is_taken_away_as_soon_as_its_deployment_begins(target, bundle, monkeypatch, status):
    shown = Models.get
    monkeypatch.setattr(Models, "get", lambda *asked: {**shown(*asked), "latestModelDeployment": {"status": status}})
    run = replay(target, bundle)
    assert (run.code, outcome(run, "Explain").status) == (ExitCode.NEEDS_HAND, Status.FAILED)
    assert "It was deleted again" in outcome(run, "Explain").note
    assert project_in(target).models == []


def test_a_model_whose_deployment_has_a_status_that_nobody_knows_is_told_of_and_stays(target, bundle, monkeypatch):
    shown, parked = Models.get, {"latestModelDeployment": {"status": "parked"}}
    monkeypatch.setattr(Models, "get", lambda *asked: {**shown(*asked), **parked})
    run = replay(target, bundle)
    told = outcome(run, "Explain")
    assert (run.code, told.status, "'parked', which may be live" in told.note) == (5, Status.CREATED, True)
    assert told.todo.startswith("check whether it is deployed, and stop it")
    assert [one.name for one in project_in(target).models] == ["Explain"]


def test_what_a_person_started_after_the_import_stays_so_and_is_said(target, bundle):
    replay(target, bundle)
    application = started_by_now(target)
    target.settle()
    run = replay(target, bundle)
    assert run.code == 0
    assert outcome(run, "Board").note == "it is running on the target"
    assert application.status == "running"


@pytest.mark.parametrize(("path", "name"), [("/applications/", "Board"), ("get-model", "Explain")])
def test_what_can_not_be_looked_at_again_is_said_not_to_be_finished(target, bundle, monkeypatch, path, name):
    with monkeypatch.context() as patch:
        when_jobs_begin(patch, lambda: target.faults.add(Fault("html", path=path, times=None)))
        run = replay(target, bundle)
    told = outcome(run, name)
    assert (run.code, told.status) == (ExitCode.NEEDS_HAND, Status.CREATED)
    assert "the last look could not show that it stays inert" in told.note
    assert told.todo.startswith("import again before you start it")
    target.faults.clear()
    assert replay(target, bundle).code == 0


def test_a_last_look_that_fails_once_is_tried_once_more(target, bundle, monkeypatch):
    with monkeypatch.context() as patch:
        when_jobs_begin(patch, lambda: target.faults.add(Fault("html", path="/applications/")))
        run = replay(target, bundle)
    assert (run.code, outcome(run, "Board").note) == (0, "")
    application = started_by_now(target)
    target.settle()
    assert replay(target, bundle).code == 0
    assert application.status == "running"


def test_a_target_that_goes_away_during_the_last_look_leaves_nothing_untold(target, bundle, monkeypatch):
    def late():
        deploy(target)
        target.faults.add(Fault("status", method="GET", path="/applications/", status=503, times=None))

    with monkeypatch.context() as patch:
        when_jobs_begin(patch, late)
        run = replay(target, bundle)
    assert run.code == ExitCode.FAILED
    assert "application Board IS STILL ON THE TARGET AND MAY BE LIVE" in run.error.message
    told = outcome(run, "Explain")
    assert (told.status, "It was deleted again" in told.note) == (Status.FAILED, True)
