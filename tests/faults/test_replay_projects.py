"""The project itself on the target: how it is found or made, its settings, and how it is handed over."""

import itertools
from dataclasses import replace

import pytest
from replaying import (
    APPLICATIONS,
    JOBS,
    KEY,
    MODELS,
    SETTINGS,
    delete_project,
    dump,
    outcome,
    project_in,
    replay,
    target_of,
    write_bundle,
)

from cmlutils.emulator.faults import Fault
from cmlutils.emulator.routes import projects
from cmlutils.errors import ExitCode, TunnelError
from cmlutils.job import Job
from cmlutils.remote.http import Http
from cmlutils.remote.v1 import ApiV1
from cmlutils.remote.v1.projects import Projects
from cmlutils.report import Status
from cmlutils.runtimes import Maps
from cmlutils.section import Secret, Workspace

TEAM = [{"username": "crew", "id": 41, "members": {"dana": "owner"}}]
SETTINGS_OF_TEAM = replace(SETTINGS, owner="crew", team="crew")
PROJECT = {"owner": "dana", "name": "Churn", "description": "theirs", "collaborators": {}}


def test_a_project_that_was_there_keeps_its_settings_and_gets_its_workloads(tmp_path):
    with target_of(tmp_path, projects=[PROJECT]) as target:
        run = replay(target, write_bundle(tmp_path / "bundle"))
        assert run.code == 0
        assert outcome(run, "Churn").status.value == "present"
        project = project_in(target)
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
    project = project_in(target)
    assert (project.description, project.visibility, project.collaborators) == ("theirs", "private", {})
    assert len(project.jobs) == 2


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
        assert [job.kernel for job in project_in(target).jobs] == ["python3", "python3"]
        assert project_in(target).models[0].builds[0].engine_image_id == 3
        assert project_in(target).applications[0].kernel == "python3"
        assert project_in(target).engine_type == "legacy_engine"
        delete_project(target)
        run = replay(target, bundle, maps=Maps({}, {"python3": "reg/py:1"}))
        assert {job.runtime_id for job in project_in(target).jobs} == {71}


def test_an_engine_image_that_is_the_same_is_not_worth_a_word(tmp_path):
    with target_of(tmp_path, engine_images=[{"id": 3, "repository": "engine", "tag": "15"}]) as target:
        settings = replace(SETTINGS, engine_type="legacy_engine", engine_image="engine:15")
        run = replay(target, write_bundle(tmp_path / "bundle", settings, [], [], []))
        assert (run.code, outcome(run, "Churn").note, outcome(run, "Churn").todo) == (0, "", "")


def test_a_team_that_the_target_lacks_is_told_before_anything_is_made(tmp_path, target):
    run = replay(target, write_bundle(tmp_path / "bundle", SETTINGS_OF_TEAM))
    assert run.code == ExitCode.FAILED
    assert "crew" in run.error.message
    assert "Create the team" in run.error.hint
    assert {one.method for one in target.requests} == {"GET"}


def test_a_project_of_the_same_name_under_another_owner_is_not_it(tmp_path):
    with target_of(tmp_path, projects=[{"owner": "kai", "name": "Churn", "visibility": "public"}]) as target:
        assert replay(target, write_bundle(tmp_path / "bundle")).code == 0
        assert [len(project.jobs) for project in target.world.projects] == [0, 2]


def test_the_collaborator_whom_the_target_does_not_know_is_said_until_they_are_there(tmp_path, target):
    people = ({"username": "kai", "permissions": "admin"}, {"username": "nobody", "permissions": "read"})
    bundle = write_bundle(tmp_path / "bundle", replace(SETTINGS, collaborators=people))
    run = replay(target, bundle)
    assert run.code == ExitCode.NEEDS_HAND
    assert "add collaborator nobody" in run.report.all_todos()[0]
    assert project_in(target).visibility == "public"
    target.world.users.append(replace(target.world.user("kai"), username="nobody", id=33))
    assert replay(target, bundle).code == 0
    assert project_in(target).collaborators == {"kai": "admin", "nobody": "read"}


def test_what_a_person_changed_after_the_hand_over_stays_though_something_is_left_to_do(tmp_path, target):
    people = ({"username": "kai", "permissions": "admin"}, {"username": "nobody", "permissions": "read"})
    bundle = write_bundle(tmp_path / "bundle", replace(SETTINGS, collaborators=people))
    assert replay(target, bundle).code == ExitCode.NEEDS_HAND
    project_in(target).visibility = "private"
    del project_in(target).collaborators["kai"]
    target.world.users.append(replace(target.world.user("kai"), username="nobody", id=33))
    assert replay(target, bundle).code == 0
    assert project_in(target).collaborators == {"nobody": "read"}
    assert project_in(target).visibility == "private"


def test_who_comes_to_the_source_after_a_whole_hand_over_is_not_added_by_a_later_import(tmp_path, target):
    bundle = write_bundle(tmp_path / "bundle")
    assert replay(target, bundle).code == 0
    target.world.users.append(replace(target.world.user("kai"), username="late", id=33))
    people = ({"username": "kai", "permissions": "write"}, {"username": "late", "permissions": "read"})
    assert replay(target, write_bundle(bundle.folder, replace(SETTINGS, collaborators=people))).code == 0
    assert project_in(target).collaborators == {"kai": "write"}


def test_settings_that_a_person_changed_stay_though_something_is_left_to_do(tmp_path):
    with target_of(tmp_path) as target:
        bundle = write_bundle(tmp_path / "bundle", replace(SETTINGS, environment={"A": "1", "B": "2"}))
        target.faults.add(Fault("status", method="PATCH", path="/projects/", status=400, times=None))
        assert replay(target, bundle).code == ExitCode.NEEDS_HAND
        project_in(target).environment["A"] = "theirs"
        del project_in(target).environment["B"]
        project_in(target).description = "theirs"
        target.faults.clear()
        replay(target, bundle)
        assert project_in(target).environment == {"A": "theirs", "B": "2"}
        assert project_in(target).description == "theirs"
        assert project_in(target).shared_memory == 256


def test_an_environment_that_the_target_does_not_show_is_left_to_a_person_and_the_import_goes_on(target, bundle):
    target.faults.add(Fault("status", method="GET", path="/environment$", status=403, times=None))
    run = replay(target, bundle)
    assert (run.error, run.code) == (None, ExitCode.NEEDS_HAND)
    assert outcome(run, "Churn").todo == "set by hand: environment A"
    assert outcome(run, "Churn").note.startswith("the target does not show its environment")
    assert len(project_in(target).jobs) == 2
    assert not any(one.method == "PUT" and one.path.endswith("/environment") for one in target.requests)
    target.faults.clear()
    run = replay(target, bundle)
    assert (run.code, outcome(run, "Churn").note) == (0, "")
    assert project_in(target).environment == {"A": "1"}


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
    assert project_in(target).collaborators == {"kai": "write"}


def test_a_project_that_we_make_where_engines_are_the_default_is_put_on_runtimes(target, bundle, monkeypatch):
    real = projects._engine_type

    def engines_first(call, project):
        real(call, project)
        if project not in call.world.projects:
            project.engine_type = "legacy_engine"

    monkeypatch.setattr(projects, "_engine_type", engines_first)
    run = replay(target, bundle)
    assert run.code == 0, run
    assert project_in(target).engine_type == "ml_runtime"
    assert {job.runtime_id for job in project_in(target).jobs} == {71}


def test_in_a_project_on_engines_workloads_with_a_runtime_get_one(tmp_path, bundle):
    with target_of(tmp_path, projects=[{**PROJECT, "engine_type": "legacy_engine"}]) as target:
        assert replay(target, bundle).code == 0
        assert {job.runtime_id for job in project_in(target).jobs} == {71}
        assert project_in(target).models[0].builds[0].runtime_id == 71
        assert project_in(target).applications[0].runtime_id == 71


def test_ids_that_a_rebuilt_workspace_gave_to_others_are_not_taken_for_ours(target, bundle):
    assert replay(target, bundle).code == 0
    ours = next(job for job in project_in(target).jobs if job.name == "ingest")
    delete_project(target)
    with Http(Workspace(target.url, "dana", Secret(KEY))) as http:
        ApiV1(http).projects.create("dana", {"name": "Churn", "template": "blank", "project_visibility": "private"})
    project_in(target).jobs.append(replace(ours, name="other", script="o.py"))
    run = replay(target, bundle)
    assert outcome(run, "ingest").status.value == "created"
    assert sorted(job.name for job in project_in(target).jobs) == ["ingest", "other", "score"]


@pytest.mark.parametrize(("method", "path"), [("PATCH", "projects/dana/churn$"), ("PUT", "/environment$")])
def test_a_setting_that_a_project_did_not_take_is_written_once_more(target, bundle, method, path):
    target.faults.add(Fault("status", method=method, path=path, status=200, body={}, times=1))
    run = replay(target, bundle)
    assert outcome(run, "Churn").status is Status.CREATED
    assert (project_in(target).description, project_in(target).environment) == ("monthly", {"A": "1"})


def test_a_visibility_that_a_target_does_not_take_is_left_to_a_person(target, bundle):
    target.faults.add(Fault("status", method="PATCH", path="projects/dana/churn$", status=200, body={}, times=None))
    run = replay(target, bundle)
    assert run.code == ExitCode.NEEDS_HAND
    assert any("set the project's visibility to 'public' (it is 'private')" in one for one in run.report.all_todos())


@pytest.mark.parametrize("creator", ["kai", "dana"])
def test_a_project_that_another_made_after_a_kill_is_theirs(tmp_path, creator):
    with target_of(tmp_path, projects=[{**PROJECT, "creator": creator}]) as target:
        bundle = write_bundle(tmp_path / "bundle")
        bundle.journal(target.url, "dana").begin("project dana Churn", [])
        run = replay(target, bundle)
        theirs = creator == "kai"
        assert outcome(run, "Churn").status is (Status.PRESENT if theirs else Status.CREATED)
        assert project_in(target).description == ("theirs" if theirs else "monthly")


def test_a_project_whose_answer_was_lost_is_not_made_again_where_a_team_is_said_to_migrate(tmp_path):
    lost = 0
    for crash in range(1, 10):
        bundle = write_bundle(tmp_path / f"bundle {crash}", SETTINGS_OF_TEAM)
        with target_of(tmp_path / str(crash), teams=TEAM) as target:
            replay(target, bundle, crash, after=True, username="crew")
            lost += len(target.world.projects)
            assert replay(target, bundle, username="crew").code == 0
            assert (project_in(target).creator, project_in(target).visibility) == ("dana", "public"), crash
    assert lost


def test_a_project_is_looked_for_where_the_reply_does_not_say_where_it_is(target, bundle):
    target.faults.add(Fault("status-after", method="POST", path="/users/dana/projects$", status=201, body={"id": 1}))
    run = replay(target, bundle)
    assert (run.error, run.code) == (None, ExitCode.OK)
    assert outcome(run, "Churn").status is Status.CREATED
    assert len(target.world.projects) == 1


@pytest.mark.parametrize("renamed", ["CHURN", "something else"])
def test_a_project_that_the_target_calls_otherwise_is_not_made_again(target, bundle, renamed):
    replay(target, bundle)
    project_in(target).name = renamed
    run = replay(target, bundle)
    assert outcome(run, "Churn").status is Status.PRESENT
    assert project_in(target).name == renamed


def test_a_project_that_the_target_calls_otherwise_is_handed_over(target, bundle):
    def cut(*_):
        raise TunnelError("The tunnel dropped.")

    assert replay(target, bundle, push=cut).code == 1
    project_in(target).name = "something else"
    assert replay(target, bundle).code == 0
    assert (project_in(target).visibility, project_in(target).collaborators) == ("public", {"kai": "write"})
    project_in(target).collaborators.clear()
    assert replay(target, bundle).code == 0
    assert not project_in(target).collaborators  # they are handed over only once


def test_a_target_that_makes_a_teams_project_for_the_user_makes_it_once_and_that_is_said(tmp_path, monkeypatch):
    real = Projects.create
    monkeypatch.setattr(Projects, "create", lambda self, context, body: real(self, "dana", body))
    bundle = write_bundle(tmp_path / "bundle", SETTINGS_OF_TEAM)
    with target_of(tmp_path, teams=TEAM) as target:
        for _ in range(2):
            run = replay(target, bundle)
            assert run.code == ExitCode.FAILED
            assert run.error.message.startswith("The project Churn can't be created and set up: ")
            assert "belongs to dana instead of crew" in run.error.message
            project = project_in(target)
            assert (project.owner, project.visibility, project.jobs) == ("dana", "private", [])
        project.owner = "crew"
        assert replay(target, bundle).code == 0
        assert len(project_in(target).jobs) == 2


def test_a_target_that_was_set_up_anew_may_give_the_same_numbers_to_other_things(tmp_path, monkeypatch):
    bundle = write_bundle(tmp_path / "bundle")
    with target_of(tmp_path, projects=[{"owner": "dana", "name": "Other"}]) as target:
        assert replay(target, bundle).code == 0
        other, ours = target.world.projects
        model, number = ours.models[0], ours.id
        target.world.projects.remove(ours)
        other.models.append(model)
        numbers = itertools.chain([number], itertools.count(model.id + 1))
        monkeypatch.setattr(target.world, "next_id", lambda: next(numbers))
        run = replay(target, bundle)
        ours = target.world.projects[-1]
        assert (run.code, ours.id) == (0, number)
        assert outcome(run, "Explain").status is Status.CREATED
        assert [one.name for one in ours.models] == ["Explain"]
        assert (ours.visibility, ours.collaborators) == ("public", {"kai": "write"})
        assert replay(target, bundle).code == 0
        assert len(ours.models) == len(other.models) == 1


@pytest.mark.parametrize("done", [True, False])
def test_a_model_of_another_project_is_not_ours_whatever_its_number(tmp_path, done):
    bundle = write_bundle(tmp_path / "bundle")
    with target_of(tmp_path, projects=[{"owner": "dana", "name": "Other"}]) as target:
        assert replay(target, bundle).code == 0
        other, ours = target.world.projects
        other.models.append(ours.models.pop())
        (path,) = bundle.state.glob("journal-*")
        lines = path.read_text().splitlines(keepends=True)
        path.write_text("".join(one for one in lines if done or "model Explain" not in one or "done" not in one))
        assert replay(target, write_bundle(bundle.folder, models=[])).code == 0
        assert [len(one.models) for one in (other, ours)] == [1, 0]
        assert outcome(replay(target, write_bundle(bundle.folder)), "Explain").status is Status.CREATED
        assert [len(one.models) for one in (other, ours)] == [1, 1]
