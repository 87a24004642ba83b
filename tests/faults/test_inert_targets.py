"""Targets with many combinations of weaknesses: nothing is live, silently left out or made twice."""

import os
import random
import shutil
from dataclasses import replace

import pytest
from emulated import running
from replaying import (
    APPLICATIONS,
    JOBS,
    MODELS,
    SETTINGS,
    dump,
    outcome,
    project_in,
    replay,
    target_of,
    write_bundle,
)

from cmlutils.application import ENDED
from cmlutils.emulator.faults import Fault
from cmlutils.errors import ExitCode
from cmlutils.remote.v1.workloads import Applications
from cmlutils.report import Status

EVERY = bool(os.environ.get("CMLUTILS_TEST_ALL_FAULTS"))

ASSUMED = (
    "job_paused", "job_paused_shown", "job_patch", "job_parent_id", "job_parent", "job_notifications",
    "application_stop", "dashboard_stop", "application_public_id", "explicit_auto_false", "build_at_create",
    "build_without_deploy", "model_auth_at_create", "project_patch", "project_create_settings",
)  # fmt: skip
SWITCHES = ("no_v2", "environment_as_string", "environment_wanted_as_string")
ODDITIES = ("stop does nothing", "application crashes", "build fails")
WEAKNESSES = (*ASSUMED, *SWITCHES, *ODDITIES)


def combinations():
    """Return no weakness, each one, all of them, and random sets (more with CMLUTILS_TEST_ALL_FAULTS=1)."""
    rng = random.Random("inert")
    count = 400 if EVERY else 24
    drawn = [rng.sample(WEAKNESSES, rng.randint(2, 8)) for _ in range(count)]
    hopeless = [one for one in WEAKNESSES if one not in ODDITIES]
    return [[], *([one] for one in WEAKNESSES), list(WEAKNESSES), hopeless, *drawn]


def weak_target(folder, weak):
    return target_of(
        folder,
        [one for one in weak if one in ASSUMED],
        switches=dict.fromkeys((one for one in weak if one in SWITCHES), True),
        failing_applications=[APPLICATIONS[0].name] if "application crashes" in weak else [],
        failing_builds=[MODELS[0].name] if "build fails" in weak else [],
        faults=[{"action": "status", "status": 200, "body": {}, "path": "[/:]stop$", "times": None}]
        if "stop does nothing" in weak
        else [],
    )


def assert_inert(workspace, weak):
    """Assert that no job was ever live, and that every application and model that had to start has ended."""
    (project,) = workspace.world.projects
    kinds = {event.kind for event in workspace.went_live}
    deploys = {"explicit_auto_false", "build_without_deploy"} & set(weak)
    assert kinds <= {"application-started", *(("model-deployment",) if deploys else ())}
    assert running(workspace) == []
    assert {one.status for one in project.applications} <= ENDED
    assert not any(job.can_fire for job in project.jobs)
    alive = {"pending", "deploying", "deployed"}
    assert not any(step.progress.status in alive for model in project.models for step in model.deployments)
    for things in (project.jobs, project.applications, project.models):
        assert len({one.name for one in things}) == len(things)


@pytest.fixture(scope="module")
def clean(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clean")
    with target_of(folder) as workspace:
        assert replay(workspace, write_bundle(folder / "bundle")).code == 0
        return dump(workspace)


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("part", range(8))
def test_a_weak_target_gets_what_it_can_take_and_nothing_is_ever_live(clean, tmp_path, part):
    for number, weak in enumerate(combinations()[part::8]):
        folder = tmp_path / str(number)
        with weak_target(folder, weak) as workspace:
            bundle = write_bundle(folder / "bundle")
            for _ in range(2):
                run = replay(workspace, bundle)
                said = f"{weak}: {run.error or run.report.outcomes}"
                assert run.code in {ExitCode.OK, ExitCode.NEEDS_HAND}, said
                there = dump(workspace)
                assert_inert(workspace, weak)
                assert there["keys"] == [0, 0], said
                assert (run.code == ExitCode.OK) == (there == clean), said
                for one in run.report.outcomes:
                    assert one.todo or not (one.needs_hand or one.status.value == "failed"), said
        shutil.rmtree(folder)


HOPELESS = {"explicit_auto_false", "project_patch", "stop does nothing", "build fails"}  # each leaves something to do


@pytest.mark.parametrize(
    "weak",
    [
        *([one] for one in WEAKNESSES if one not in HOPELESS),
        ["job_paused", "job_paused_shown"],
        ["job_parent_id", "job_parent"],
        ["model_auth_at_create", "build_at_create"],
        ["application_stop", "dashboard_stop"],
        ["application_stop", "dashboard_stop", "application_public_id"],
        *(["no_v2", one] for one in ("application_stop", "dashboard_stop", "job_parent_id", "job_parent")),
    ],
    ids=" and ".join,
)
def test_what_a_target_lacks_is_done_in_another_way_and_makes_no_difference(clean, tmp_path, weak):
    with weak_target(tmp_path, weak) as workspace:
        run = replay(workspace, write_bundle(tmp_path / "bundle"))
        assert (run.error, run.code) == (None, ExitCode.OK)
        assert dump(workspace) == clean
        assert_inert(workspace, weak)


def test_an_application_that_fails_before_it_is_stopped_stays_and_is_named(tmp_path):
    with weak_target(tmp_path, ["stop does nothing", "application crashes"]) as workspace:
        bundle = write_bundle(tmp_path / "bundle", applications=APPLICATIONS[:1])
        for status in ("created", "present"):
            run = replay(workspace, bundle)
            (outcome,) = [one for one in run.report.outcomes if one.kind == "application"]
            assert (run.code, outcome.status.value) == (ExitCode.OK, status)
            assert "it failed when it started" in outcome.note
            assert outcome.todo == "look at its log before you start it"
        assert_inert(workspace, [])


def test_an_application_that_takes_its_time_to_stop_is_waited_for_and_not_stopped_in_other_ways(tmp_path):
    with target_of(tmp_path, pace={"polls": 6}) as workspace:
        run = replay(workspace, write_bundle(tmp_path / "bundle", models=[], jobs=[]))
        assert (run.code, outcome(run, "Board").status) == (ExitCode.OK, Status.CREATED)
        assert [one.path.rpartition("/")[2] for one in workspace.requests if "stop" in one.path] == ["stop"]
        assert_inert(workspace, [])


def test_an_application_is_stopped_through_v2_where_it_shows_no_dashboard(tmp_path, monkeypatch):
    real = Applications.get
    monkeypatch.setattr(Applications, "get", lambda *asked: {**real(*asked), "currentDashboard": None})
    with weak_target(tmp_path, ["application_stop"]) as workspace:
        run = replay(workspace, write_bundle(tmp_path / "bundle", models=[], jobs=[]))
        assert (run.error, outcome(run, "Board").status) == (None, Status.CREATED)
        assert_inert(workspace, [])


@pytest.mark.parametrize(
    ("kind", "weak", "way"),
    [
        ("application", ["stop does nothing"], ("DELETE", "/applications/")),
        ("model", ["explicit_auto_false"], ("POST", "delete-model")),
    ],
)
@pytest.mark.parametrize("trouble", [{"status": 403}, {"status": 500}, {"action": "reset"}, {"action": "html"}])
def test_what_can_not_be_taken_away_is_said_loudly_and_goes_with_the_next_import(tmp_path, kind, weak, way, trouble):
    with weak_target(tmp_path, weak) as workspace:
        bundle = write_bundle(tmp_path / "bundle")
        method, path = way
        workspace.faults.add(Fault(**{"action": "status", "method": method, "path": path, "times": 40, **trouble}))
        run = replay(workspace, bundle)
        (left,) = [one for one in run.report.outcomes if one.kind == kind]
        assert run.code == (ExitCode.FAILED if run.error else ExitCode.NEEDS_HAND)
        assert (left.status, left.needs_hand) == (Status.FAILED, True)
        assert "IT IS STILL ON THE TARGET AND MAY BE LIVE" in left.note
        assert "deleted again." not in left.note
        assert not run.error or "IS STILL ON THE TARGET" in str(run.error)
        before = {event.id for event in workspace.went_live}
        workspace.faults.clear()
        workspace.faults.add(*weak_faults(weak))
        run = replay(workspace, bundle)
        (outcome,) = [one for one in run.report.outcomes if one.kind == kind]
        assert "It was deleted again." in outcome.note
        assert running(workspace) == []
        assert before


def never_paused_again(workspace):
    """Let arming a job take its pause off, and nothing pause it again."""
    workspace.faults.add(Fault("status", method="PATCH", containing=r'^{"paused": true}$', status=403, times=None))


def test_a_live_job_that_can_not_be_deleted_at_first_is_deleted_at_the_end(tmp_path):
    with target_of(tmp_path, ["arming_keeps_pause"]) as workspace:
        never_paused_again(workspace)
        workspace.faults.add(Fault("status", method="DELETE", path="/jobs/", status=403, times=4))
        run = replay(workspace, write_bundle(tmp_path / "bundle", jobs=JOBS[:1]))
        assert run.code == ExitCode.NEEDS_HAND
        assert "It was deleted again." in outcome(run, "ingest").note
        assert running(workspace) == []
        assert project_in(workspace).jobs == []


@pytest.mark.parametrize("crash", [0, *range(6, 14)])
def test_a_job_that_comes_to_life_is_paused_again_also_after_a_crash(tmp_path, crash):
    with target_of(tmp_path, ["arming_keeps_pause"]) as workspace:
        bundle = write_bundle(tmp_path / "bundle", replace(SETTINGS, environment={}), [], [])
        if crash:
            replay(workspace, bundle, crash + 6, after=True)
        assert replay(workspace, bundle).code == ExitCode.OK
        ingest, score = project_in(workspace).jobs
        assert (ingest.schedule, score.parent_id) == ("0 2 * * *", ingest.id)
        assert running(workspace) == []


@pytest.mark.parametrize("crash", [0, *range(6, 14)])
def test_a_job_that_comes_to_life_and_stays_so_is_deleted_also_after_a_crash(tmp_path, crash):
    with target_of(tmp_path, ["arming_keeps_pause"]) as workspace:
        never_paused_again(workspace)
        bundle = write_bundle(tmp_path / "bundle", replace(SETTINGS, environment={}), [], [])
        if crash:
            replay(workspace, bundle, crash + 6, after=True)
        run = replay(workspace, bundle)
        assert run.code == ExitCode.NEEDS_HAND
        ((kept, fires),) = [(job.name, job.can_fire) for job in project_in(workspace).jobs]
        assert (kept, fires) == ("score", False)
        assert "It was deleted again." in outcome(run, "ingest").note
        assert running(workspace) == []


def test_what_was_doomed_is_not_kept_when_the_target_changes_its_mind(tmp_path):
    with weak_target(tmp_path, ["stop does nothing"]) as workspace:
        bundle = write_bundle(tmp_path / "bundle")
        workspace.faults.add(Fault("status", method="DELETE", status=403, times=40))
        replay(workspace, bundle)
        (project,) = workspace.world.projects
        (first,) = project.applications
        workspace.faults.clear()
        assert replay(workspace, bundle).code == ExitCode.OK
        (second,) = project.applications
        assert (second.id != first.id, second.status) == (True, "stopped")


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize(
    "weak", [["explicit_auto_false", "stop does nothing"], ["build_without_deploy", "build_at_create"]]
)
def test_a_crash_on_a_weak_target_leaves_nothing_live_after_the_next_import(tmp_path, weak, after):
    """The crash may come before or after something is found live, and before or after that is deleted."""
    counts = range(1, 200) if EVERY else sorted(random.Random(f"{weak} {after}").sample(range(8, 90), 12))
    for nth in counts:
        folder = tmp_path / str(nth)
        with weak_target(folder, weak) as workspace:
            bundle = write_bundle(folder / "bundle")
            first = replay(workspace, bundle, nth, after=after)
            second = replay(workspace, bundle)
            assert second.code == ExitCode.NEEDS_HAND, (nth, second)
            assert_inert(workspace, weak)
        shutil.rmtree(folder)
        if first.code != 137:
            break


def weak_faults(weak):
    if "stop does nothing" not in weak:
        return []
    return [Fault("status", status=200, body={}, path="[/:]stop$", times=None)]
