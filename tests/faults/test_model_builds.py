"""The models of a project are built at the same time, and all of them are watched meanwhile."""

from dataclasses import replace

import pytest
from replaying import KEY, MODELS, Time, replay, target_of, write_bundle

from cmlutils.emulator.faults import Fault
from cmlutils.errors import ExitCode, NotFound, Unreachable
from cmlutils.flows.replaying import build_watch, model_builds, models
from cmlutils.remote.http import Http, Patience
from cmlutils.remote.v1.workloads import Models
from cmlutils.report import Status
from cmlutils.section import Secret, Workspace

SLOW = {"polls": 4}  # reads until a status moves on
TWO = [MODELS[0], replace(MODELS[0], name="Score")]


@pytest.fixture
def bundle(tmp_path):
    return write_bundle(tmp_path / "bundle", models=TWO, applications=[], jobs=[])


def of(target):
    (project,) = target.world.projects
    return {one.name: one for one in project.models}


def outcomes(run):
    return {one.name: one for one in run.report.outcomes if one.kind == "model"}


def called(target, path):
    return [number for number, one in enumerate(target.requests) if one.path.endswith(path)]


def each_turn(monkeypatch, first, then=lambda: None):
    """Call `first` at the end of the first turn of waiting for builds, and `then` at the end of each later one."""
    turns = []

    def longer(pause):
        turns.append(pause)
        (first if len(turns) == 1 else then)()
        return real(pause)

    real = model_builds.longer
    monkeypatch.setattr(model_builds, "longer", longer)
    return turns


def building(target, **looks):
    """Have the builds of these models end after this many more reads of each."""
    target.world.pace = replace(target.world.pace, polls=0)
    for name, number in looks.items():
        progress = of(target)[name].builds[-1].progress
        progress.status, progress.ahead = "building", [*["building"] * (number - 1), "built"]


def deploy(target, model):
    body = {"modelBuildId": model.builds[-1].id, "cpuMillicores": 1000, "memoryMb": 2048}
    with Http(Workspace(target.url, "dana", Secret(KEY)), Patience(1.0)) as http:
        http.send("POST", "/api/altus-ds-1/models/deploy-model", body)


def test_no_model_waits_for_the_build_of_another(tmp_path, bundle):
    with target_of(tmp_path, pace=SLOW) as target:
        assert replay(target, bundle).code == 0
        first, second = called(target, "create-model")
        assert len([one for one in called(target, "get-model") if first < one < second]) < 4
        assert not target.went_live


def test_a_few_builds_are_under_way_at_a_time_and_no_more(tmp_path, monkeypatch):
    many, seen = [replace(MODELS[0], name=f"model {number}") for number in range(2 * model_builds.AT_ONCE + 1)], []

    def look():
        seen.append(sum(one.builds[-1].progress.status != "built" for one in of(target).values()))

    each_turn(monkeypatch, look, look)
    with target_of(tmp_path, pace=SLOW) as target:
        run = replay(target, write_bundle(tmp_path / "bundle", models=many, applications=[], jobs=[]))
        assert max(seen) == model_builds.AT_ONCE
        assert [one.status for one in outcomes(run).values()] == [Status.CREATED] * len(many)


def test_a_model_that_is_deployed_while_another_is_built_is_taken_away_at_once(tmp_path, bundle, monkeypatch):
    seen = []

    def then():
        there = of(target)
        seen.append((sorted(there), there["Score"].builds[-1].progress.status))
        if "Explain" in there and there["Explain"].builds[-1].progress.status == "built":
            deploy(target, there["Explain"])

    each_turn(monkeypatch, lambda: building(target, Explain=2, Score=30), then)
    with target_of(tmp_path, pace=SLOW) as target:
        run = replay(target, bundle)
        assert (["Explain", "Score"], "building") in seen
        assert (["Score"], "building") in seen
        assert "It was deleted again" in outcomes(run)["Explain"].note
        assert outcomes(run)["Score"].status is Status.CREATED
        assert run.code == ExitCode.NEEDS_HAND
        assert all(one.stopped for one in target.went_live)


def test_builds_that_the_target_does_one_after_another_are_all_waited_for(tmp_path, bundle, monkeypatch):
    turns = each_turn(monkeypatch, lambda: building(target, Explain=9, Score=13))
    monkeypatch.setattr(build_watch, "BUILD_DEADLINE", 30.0)
    with target_of(tmp_path, pace=SLOW) as target:
        run = replay(target, bundle)
        assert sum(turns) > 40
        assert {one.status for one in outcomes(run).values()} == {Status.CREATED}


def test_a_build_that_does_not_end_is_named_and_the_other_model_is_made(tmp_path, bundle, monkeypatch):
    turns = each_turn(monkeypatch, lambda: building(target, Explain=10_000, Score=2))
    with target_of(tmp_path, pace=SLOW) as target:
        run = replay(target, bundle)
        assert 1200 <= sum(turns) < 1300
        assert "its build, which is building" in outcomes(run)["Explain"].todo
        assert outcomes(run)["Score"].status is Status.CREATED
        assert run.code == ExitCode.NEEDS_HAND


def test_a_model_that_is_deployed_when_its_build_ends_after_the_import_is_taken_away_by_the_next(
    tmp_path, bundle, monkeypatch
):
    each_turn(monkeypatch, lambda: building(target, Explain=10_000, Score=2))
    with target_of(tmp_path, pace=SLOW) as target:
        told = outcomes(replay(target, bundle))["Explain"]
        assert "could not show that it stays inert: its build is building" in told.note
        assert told.todo.startswith("import again before you start it")
        building(target, Explain=1)
        deploy(target, of(target)["Explain"])
        assert "It was deleted again" in outcomes(replay(target, bundle))["Explain"].note
        assert {*of(target)} == {"Score"}


@pytest.mark.parametrize("without", [[], ["build_at_create"]])
def test_a_build_is_asked_and_waited_for_though_the_model_shows_late(tmp_path, bundle, monkeypatch, without):
    real = Models.get

    def late(asked, project, model_id):
        if asked._routes.http._patience.now() < 5:
            raise NotFound("Not there.", status=404)
        return real(asked, project, model_id)

    monkeypatch.setattr(Models, "get", late)
    with target_of(tmp_path, without) as target:
        assert replay(target, bundle).code == 0
        assert {one.builds[-1].progress.status for one in of(target).values()} == {"built"}


def test_builds_that_do_not_end_do_not_give_time_to_one_another(tmp_path, bundle, monkeypatch):
    turns = each_turn(monkeypatch, lambda: building(target, Explain=10_000, Score=10_000))
    with target_of(tmp_path, pace=SLOW) as target:
        begin = models.ModelReplay.begin

        def one_after_another(one):
            begin(one)
            one.target.clock.sleep(60)

        monkeypatch.setattr(models.ModelReplay, "begin", one_after_another)
        assert replay(target, bundle).code == ExitCode.NEEDS_HAND
        assert sum(turns) < 1300


def test_a_model_of_which_the_build_could_not_be_asked_for_is_not_waited_for_without_end(tmp_path, bundle):
    with target_of(tmp_path, ["build_at_create"]) as target:
        target.faults.add(Fault("html", path="get-model"))
        assert replay(target, bundle).code == 0
        assert {one.builds[-1].progress.status for one in of(target).values()} == {"built"}


def test_looks_that_fail_now_and_then_do_not_make_waiting_endless(tmp_path, bundle, monkeypatch):
    turns = each_turn(monkeypatch, lambda: building(target, Explain=10_000, Score=10_000))
    with target_of(tmp_path, pace=SLOW) as target:
        for nth in range(20, 2000, 5):
            target.faults.add(Fault("html", path="get-model", nth=nth))
        assert replay(target, bundle).code == ExitCode.NEEDS_HAND
        assert sum(turns) < 4000


def test_looks_that_fail_in_turn_at_one_model_and_at_the_other_do_not_make_waiting_endless(
    tmp_path, bundle, monkeypatch
):
    turns = each_turn(monkeypatch, lambda: building(target, Explain=10_000, Score=10_000))
    with target_of(tmp_path, pace=SLOW) as target:
        for nth in range(21, 2000, 4):
            target.faults.add(*(Fault("html", path="get-model", nth=one) for one in (nth, nth + 3)))
        assert replay(target, bundle).code == ExitCode.NEEDS_HAND
        assert sum(turns) < 1300


def test_models_that_can_not_be_looked_at_any_more_are_not_waited_for_without_end(tmp_path, bundle, monkeypatch):
    def soon():
        assert len(turns) < 100

    turns = each_turn(monkeypatch, lambda: None, soon)
    with target_of(tmp_path, pace=SLOW) as target:
        target.faults.add(Fault("html", path="get-model", nth=6, times=None))
        run = replay(target, bundle)
        assert run.code == ExitCode.NEEDS_HAND
        assert {one.status for one in outcomes(run).values()} == {Status.FAILED}


def test_a_build_of_which_a_look_or_two_fail_is_waited_for_all_the_same(tmp_path, bundle, monkeypatch):
    turns = each_turn(monkeypatch, lambda: building(target, Explain=30, Score=30))
    with target_of(tmp_path, pace=SLOW) as target:
        for nth in (20, 21, 22, 23):  # two reads of each model in a row
            target.faults.add(Fault("html", path="get-model", nth=nth))
        assert replay(target, bundle).code == 0
        assert len(turns) > 30


def test_deployments_that_may_follow_builds_are_looked_for_all_at_once(tmp_path):
    seconds = []
    for count in (1, 5):
        folder = tmp_path / str(count)
        many = [replace(MODELS[0], name=f"model {number}") for number in range(count)]
        with target_of(folder, ["build_at_create"]) as target:
            run = replay(target, write_bundle(folder / "bundle", models=many, applications=[], jobs=[]))
            assert run.code == 0
            seconds.append(run.seconds)
    assert seconds[1] - seconds[0] < 4 * 2  # for each model, a moment until the build requested with it shows


@pytest.mark.parametrize(("without", "seconds"), [((), 0.1), (("build_at_create",), 5)])
def test_a_deployment_that_follows_a_build_has_a_moment_to_show(tmp_path, bundle, monkeypatch, without, seconds):
    real, built = Time.sleep, []

    def sleep(clock, pause):
        real(clock, pause)
        model = of(target).get("Explain") if target.world.projects else None
        if model and model.builds and model.builds[-1].progress.status == "built":
            built.append(clock.at)
            if clock.at - built[0] >= seconds and not model.deployments:
                deploy(target, model)

    monkeypatch.setattr(Time, "sleep", sleep)
    with target_of(tmp_path, without) as target:
        run = replay(target, bundle)
        assert "It was deleted again" in outcomes(run)["Explain"].note
        assert sorted(of(target)) == ["Score"]
        assert all(one.stopped for one in target.went_live)


def test_a_model_that_is_refused_is_asked_for_once_and_the_others_are_made(tmp_path, bundle):
    with target_of(tmp_path) as target:
        target.faults.add(Fault("status", path="create-model", status=422))
        run = replay(target, bundle)
        assert len(called(target, "create-model")) == 2
        assert {name: one.status for name, one in outcomes(run).items()} == {
            "Explain": Status.FAILED,
            "Score": Status.CREATED,
        }
        assert replay(target, bundle).code == 0
        assert sorted(of(target)) == ["Explain", "Score"]


@pytest.mark.parametrize(
    ("weak", "refused"), [("model_auth_at_create", "set-model-auth"), ("build_at_create", "build-model")]
)
def test_a_model_that_a_person_deployed_stays_though_something_of_it_was_left(tmp_path, bundle, weak, refused):
    with target_of(tmp_path, [weak]) as target:
        target.faults.add(Fault("status", path=refused, status=403, times=None))
        assert replay(target, bundle).code == ExitCode.NEEDS_HAND
        target.faults.clear()
        model = of(target)["Explain"]
        with Http(Workspace(target.url, "dana", Secret(KEY)), Patience(1.0)) as http:
            body = {**MODELS[0].build_body(), "modelId": model.id, "runtimeId": 71, "autoDeployModel": True}
            http.send("POST", "/api/altus-ds-1/models/build-model", body)
        assert outcomes(replay(target, bundle))["Explain"].status is Status.PRESENT
        assert of(target)["Explain"] is model
        assert not any(one.stopped for one in target.went_live)


def test_a_workspace_that_goes_away_while_models_are_built_has_all_of_them_named(tmp_path, bundle):
    with target_of(tmp_path, pace=SLOW) as target:
        target.faults.add(Fault("reset", path="get-model", nth=6, times=None))
        run = replay(target, bundle)
        assert isinstance(run.error, Unreachable)
        for name in ("Explain", "Score"):
            assert f"model {name} IS STILL ON THE TARGET" in run.error.message
        target.faults.clear()
        assert replay(target, bundle).code == 0
        assert sorted(of(target)) == ["Explain", "Score"]


def test_a_workspace_that_goes_away_while_a_model_is_made_has_each_of_them_named_once(tmp_path, bundle):
    with target_of(tmp_path, pace=SLOW) as target:
        target.faults.add(Fault("reset-after", path="create-model", nth=2))
        target.faults.add(Fault("reset", path="list-models", nth=2, times=None))
        run = replay(target, bundle)
        assert isinstance(run.error, Unreachable)
        assert run.error.message.count("model Explain IS STILL ON THE TARGET") == 1
        assert run.error.message.count("model Score MAY BE ON THE TARGET") == 1
