"""What a crash or kill leaves on the target, and how the next import deals with it."""

import pytest
from emulated import live, running
from replaying import KEY, RUNTIME, Crash, dump, outcome, project_in, replay, target_of, write_bundle

from cmlutils.emulator.faults import Fault
from cmlutils.errors import ExitCode, TunnelError
from cmlutils.flows.replaying.applications import ApplicationReplay
from cmlutils.job import Job
from cmlutils.remote import v2_key
from cmlutils.remote.v1.workloads import Jobs
from cmlutils.report import Status
from cmlutils.runtimes import Maps


def test_what_a_killed_run_left_running_is_stopped_before_the_files_are_sent(target, bundle, monkeypatch):
    def killed(*_, **__):
        raise Crash

    with monkeypatch.context() as patch:
        patch.setattr(ApplicationReplay, "finish", killed)
        assert replay(target, bundle).code == 137
    (application,) = project_in(target).applications
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
        next(n for n in range(1, 100) if _keys_after_a_kill(target, bundle, n))  # after the kill, a job is unfinished
        target.faults.add(Fault("status", method="DELETE", path="/apikey/", status=403, times=None))
        todos = [one for one in replay(target, bundle).report.all_todos() if one.startswith("Revoke")]
        assert len(todos) == 1, todos


def _keys_after_a_kill(target, bundle, nth):
    replay(target, bundle, nth, after=True)
    return target.world.user("dana").v2_keys and KEY


def crashes(tmp_path, without=(), *, after=True, localhost=False):
    """Yield target and bundle after an import that died at its nth request, for each n until an import gets through."""
    for nth in range(1, 80):
        bundle = write_bundle(tmp_path / f"bundle {nth}")
        with target_of(tmp_path / str(nth), without) as target:
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
        assert {one.name for one in _workloads(project_in(target))} - there <= told, bundle.folder.name
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
        assert {one.name for one in left} - {one.name for one in _workloads(project_in(target))} == {*gone}
        less += len(gone)
    assert less > 3


def test_what_a_crash_has_left_and_can_not_be_looked_for_is_said_loudly_until_it_is_taken_away(
    target, bundle, monkeypatch
):
    def killed(*_, **__):
        raise Crash

    with monkeypatch.context() as patch:
        patch.setattr(ApplicationReplay, "finish", killed)
        assert replay(target, bundle).code == 137
    target.faults.add(Fault("html", method="GET", path="/applications$", times=None))
    bundle = write_bundle(bundle.folder, models=[], applications=[], jobs=[])
    run = replay(target, bundle)
    assert (run.error, run.code) == (None, ExitCode.NEEDS_HAND)
    assert "IS STILL ON THE TARGET" in outcome(run, "board").note
    target.faults.clear()
    assert outcome(replay(target, bundle), "Board").status is Status.SKIPPED
    assert _workloads(project_in(target)) == []


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
        done = replay(target, bundle)
        todos = done.report.todos
        assert done.code == ExitCode.NEEDS_HAND or not todos
        assert any("began application board" in one for one in todos) or not left, bundle.folder.name
        told |= {one.split(" in a project")[0] for one in todos}
    assert {"An interrupted import began application board", "An interrupted import began job ingest"} <= told


def test_of_equals_only_what_is_wanted_no_more_is_taken_away(tmp_path, target):
    twins = [Job("twin", "s.py", number, runtime=RUNTIME) for number in (1, 2)]
    bundle = write_bundle(tmp_path / "bundle", models=[], applications=[], jobs=twins)
    replay(target, bundle)
    first, second = project_in(target).jobs
    (path,) = bundle.state.glob("journal-*")
    path.write_text("".join(line for line in path.read_text().splitlines(True) if '1", "event": "done"' not in line))
    done = replay(target, write_bundle(bundle.folder, models=[], applications=[], jobs=twins[:1]))
    assert project_in(target).jobs == [first]
    assert [one.name for one in done.report.outcomes if one.status is Status.SKIPPED] == [second.name]


def test_of_equals_one_that_was_refused_does_not_take_what_a_crash_has_left_of_another(tmp_path, target, monkeypatch):
    twins = [Job("twin", "s.py", number, schedule=f"0 {number} * * *", runtime=RUNTIME) for number in (1, 2, 3)]
    bundle = write_bundle(tmp_path / "bundle", models=[], applications=[], jobs=twins)
    target.faults.add(Fault("status", method="POST", path="/jobs$", status=403))
    real = Jobs.create

    def killed(jobs, project, body):
        made = real(jobs, project, body)
        if len(project_in(target).jobs) == 2:
            raise Crash
        return made

    with monkeypatch.context() as patch:
        patch.setattr(Jobs, "create", killed)
        assert replay(target, bundle).code == 137
    assert replay(target, bundle).code == 0
    assert sorted(job.schedule for job in project_in(target).jobs) == [job.schedule for job in twins]


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


@pytest.mark.parametrize("without", [(), ("application_stop", "dashboard_stop")])
def test_an_application_that_a_crash_left_running_is_stopped_though_it_can_not_be_deleted(tmp_path, without):
    seen = 0
    for target, bundle in crashes(tmp_path, without):
        if running(target):
            seen += 1
            target.faults.add(Fault("status", "DELETE", "/applications/", status=409, body="{}", times=None))
            run = replay(target, write_bundle(bundle.folder, models=[], applications=[], jobs=[]))
            target.settle()
            assert run.code == ExitCode.NEEDS_HAND
            assert not running(target), bundle.folder.name
    assert seen
