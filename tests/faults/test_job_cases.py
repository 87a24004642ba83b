"""How an import makes jobs: their order, their triggers, and what it says if the target does not accept something."""

import json
from dataclasses import replace

import pytest
from replaying import JOBS, RUNTIME, SETTINGS, replay, target_of, write_bundle

from cmlutils.emulator.faults import Fault
from cmlutils.errors import ExitCode
from cmlutils.flows.replaying.journal_keys import keyed
from cmlutils.job import ELSEWHERE, Job, parent_of
from cmlutils.journal import Journal
from cmlutils.runtimes import Maps

CRON = replace(JOBS[0], notifications=())
UNPAUSED = "the target does not show it as paused, so nothing was set that could start it"
SCHEDULE = "its schedule '0 2 * * *' in time zone Europe/Madrid"
R = replace(RUNTIME, image="reg/r:1", kernel="R 4.1")


class Import:
    """An import of jobs only: its exit code, its outcomes by name, and the jobs on the target."""

    def __init__(self, target, folder, jobs, maps=None):
        bundle = write_bundle(folder / "bundle", replace(SETTINGS, environment={}), [], [], jobs)
        target.forget_requests()
        run = replay(target, bundle, maps=maps)
        assert run.error is None, run
        (project,) = target.world.projects
        self.code, self.jobs = run.code, project.jobs
        self.outcomes = {one.name: one for one in run.report.outcomes if one.kind == "job"}
        self.patches = [one for one in target.requests if one.method == "PATCH" and "/jobs/" in one.path]

    def said(self, name):
        return self.outcomes[name].note, self.outcomes[name].todo


def job(name, number=0, parent=0, **more):
    return Job(name, "s.py", number, parent, **{"timezone": "UTC", "runtime": RUNTIME, **more})


def test_parents_come_before_their_children_whatever_their_order(target, tmp_path):
    jobs = [job("c", 3, 2, type="dependent"), job("b", 2, 1, type="dependent"), job("x", 4), job("a", 1)]
    done = Import(target, tmp_path, jobs)
    assert [one.name for one in done.jobs] == ["x", "a", "b", "c"]
    names = {one.id: one.name for one in done.jobs}
    assert [names.get(one.parent_id) for one in done.jobs] == [None, None, "a", "b"]
    assert done.code == ExitCode.OK
    assert len(done.patches) == 2  # jobs without a schedule or parent are only created


def test_jobs_that_wait_for_each_other_come_without_what_is_not_there_yet(target, tmp_path):
    done = Import(target, tmp_path, [job("a", 1, 2, type="dependent"), job("b", 2, 1, type="dependent")])
    assert [(one.name, bool(one.parent_id)) for one in done.jobs] == [("a", False), ("b", True)]
    note = "its parent was not on the target yet; the target did not take its parent, job 'b'"
    assert done.said("a") == (note, "set by hand: its parent, job 'b'")
    assert done.said("b") == ("", "")


def test_a_parent_that_is_not_in_the_bundle_is_said_and_no_other_is_set(tmp_path):
    there = {"owner": "dana", "name": "Churn", "jobs": [{"id": 1, "name": "x", "script": "x.py", "runtime_id": 71}]}
    with target_of(tmp_path, projects=[there]) as target:
        done = Import(target, tmp_path, [job("a", 2, 9, type="dependent")])
        assert done.jobs[1].parent_id is None
        gone = "its parent, which the bundle does not have (it may have been deleted on the source)"
        assert done.said("a") == (f"the target did not take {gone}", f"set by hand: {gone}")
        assert done.patches == []


def test_a_job_without_a_number_is_nobodys_parent_but_may_have_one(target, tmp_path):
    """A bundle of another tool may have such jobs."""
    jobs = [job("a"), job("b"), job("c", 3, 9, type="dependent"), job("d", 0, 4, type="dependent"), job("e", 4)]
    done = Import(target, tmp_path, jobs)
    names = {one.id: one.name for one in done.jobs}
    parents = {one.name: names.get(one.parent_id) for one in done.jobs}
    assert parents == {"a": None, "b": None, "c": None, "d": "e", "e": None}
    assert done.said("b") == done.said("d") == ("", "")
    assert "its parent, which the bundle does not have" in done.said("c")[1]


def test_a_job_that_is_refused_does_not_keep_the_others_away(target, tmp_path):
    target.faults.add(Fault("status", method="POST", path="/jobs$", status=400, times=1))
    done = Import(target, tmp_path, [job("a", 1), job("b", 2, 1, type="dependent"), job("c", 3)])
    assert [done.outcomes[name].status.value for name in "acb"] == ["failed", "created", "fallback"]
    assert "its parent was not on the target yet" in done.said("b")[0]


def test_a_job_for_which_there_is_no_runtime_is_not_even_asked_for(target, tmp_path):
    done = Import(target, tmp_path, [job("a", runtime=R)])
    assert done.said("a")[0].startswith("the target has no runtime for R 4.1")
    assert done.said("a")[1].startswith("add a runtime for R 4.1")
    assert done.said("a")[1].endswith(", and import again")
    assert not any(request.path.endswith("/jobs") and request.method == "POST" for request in target.requests)


def test_a_child_keeps_its_parent_that_is_there_though_it_could_not_be_made_today(target, tmp_path):
    jobs = [job("a", 1), job("b", 2, 1, type="dependent")]
    Import(target, tmp_path, jobs[:1])
    done = Import(target, tmp_path, [replace(jobs[0], runtime=R), jobs[1]])
    assert [done.outcomes[name].status.value for name in "ab"] == ["present", "created"]
    assert [bool(one.parent_id) for one in done.jobs] == [False, True]


def test_a_job_that_a_crash_has_left_gets_the_parent_that_the_bundle_has_by_now(target, tmp_path):
    jobs = [job("a", 1), job("b", 2, 1, type="dependent")]
    Import(target, tmp_path, jobs[1:])
    (journal,) = (tmp_path / "bundle/state").glob("journal-*")
    lines = journal.read_text().splitlines(True)
    journal.write_text("".join(line for line in lines if not ('"job ' in line and '"done"' in line)))
    done = Import(target, tmp_path, jobs)
    assert done.code == ExitCode.OK
    assert [(one.name, bool(one.parent_id)) for one in done.jobs] == [("b", True), ("a", False)]


def test_a_job_gets_its_runtime_in_place_of_its_engine_and_says_so(target, tmp_path):
    jobs = [job("a", runtime=None, kernel="python3"), job("b", runtime=R)]
    done = Import(target, tmp_path, jobs, Maps({"reg/r:1": "reg/py:1"}, {"python3": "reg/py:1"}))
    assert [(one.kernel, one.runtime_id) for one in done.jobs] == [("", 71)] * 2
    assert done.said("a")[0].startswith("engine python3 became runtime")
    assert done.said("b")[0] == "runtime-map.yaml: reg/py:1 for reg/r:1"


@pytest.mark.parametrize("late", [False, True])
def test_of_jobs_of_one_name_whose_answers_got_lost_each_keeps_its_own_trigger(target, tmp_path, late):
    """The first one shows when it was given up already: together with the second one or, if that is late, before it."""
    jobs = [job("a", 1, arguments="1"), job("a", 2, arguments="2"), job("child", 3, 2, type="dependent")]
    target.faults.add(Fault("reset-after", method="POST", path="/jobs$", times=2))
    target.faults.add(Fault("wrong-type", method="GET", path="/jobs$", nth=2, times=4))
    if late:
        first = {"id": 5002, "name": "a", "script": "s.py", "arguments": "1"}
        target.faults.add(Fault("status", method="GET", path="/jobs$", status=200, body=[first], nth=6, times=2))
    for _ in range(2):
        done = Import(target, tmp_path, jobs)
    arguments = {one.id: one.arguments for one in done.jobs}
    assert arguments[5002] == "1"
    assert sorted(arguments.values()) == ["", "1", "2"]
    assert [arguments.get(one.parent_id) for one in done.jobs if one.name == "child"] == ["2"]
    assert done.code == ExitCode.OK


def test_equals_are_told_apart_in_the_journal_by_their_number(target, tmp_path):
    Import(target, tmp_path, [job("a"), job("b"), job("a")])
    (journal,) = (tmp_path / "bundle/state").glob("journal-*")
    keys = [json.loads(line)["key"] for line in journal.read_text().splitlines()]
    assert {key for key in keys if key.startswith("job ")} == {f'job ["{one}", "s.py"] {n}' for one, n in
                                                                 (("a", 0), ("a", 1), ("b", 0))}  # fmt: skip


def test_a_job_that_is_never_shown_paused_is_without_its_trigger_and_says_so(tmp_path):
    with target_of(tmp_path, ["job_paused", "job_paused_shown"], switches={"no_v2": True}) as target:
        jobs = [replace(CRON, type="cron"), job("b", 9, CRON.source_id, type="dependent"), job("manual", 10)]
        done = Import(target, tmp_path, jobs)
        assert [(one.schedule, one.parent_id) for one in done.jobs] == [("", None)] * 3
        assert done.said("ingest") == (f"{UNPAUSED}; the target did not take {SCHEDULE}", f"set by hand: {SCHEDULE}")
        parent = "its parent, job 'ingest'"
        assert done.said("b") == (f"{UNPAUSED}; the target did not take {parent}", f"set by hand: {parent}")
        assert done.said("manual") == ("", "")


def test_a_trigger_that_a_paused_job_does_not_take_is_all_that_is_said(tmp_path):
    with target_of(tmp_path, ["job_patch"], switches={"no_v2": True}) as target:
        jobs = [CRON, job("bare", 8, type="cron", schedule="0 3 * * *", timezone="")]
        done = Import(target, tmp_path, jobs)
        assert all(one.paused and not one.schedule for one in done.jobs)
        assert done.said("ingest") == (f"the target did not take {SCHEDULE}", f"set by hand: {SCHEDULE}")
        assert done.said("bare")[1] == "set by hand: its schedule '0 3 * * *' in time zone UTC"


@pytest.mark.parametrize("action", ["html", "wrong-type"])
def test_a_job_whose_pause_neither_version_shows_is_kept_without_its_trigger(tmp_path, action):
    fault = {"action": action, "method": "GET", "path": "/api/v2/", "times": None}
    with target_of(tmp_path, without=["job_paused_shown"], faults=[fault]) as target:
        seen = Import(target, tmp_path, [CRON, job("plain")])
        assert [each.schedule for each in seen.jobs] == ["", ""]
        assert seen.code == ExitCode.NEEDS_HAND


def test_a_schedule_of_a_job_that_calls_itself_manual_is_all_there_is(target, tmp_path):
    assert Import(target, tmp_path, [replace(CRON, type="manual")]).code == 0


@pytest.mark.parametrize(("shown", "id_"), [({"parent": {"id": 7}}, 7), ({"parent": 7}, 7), ({"parent_id": "7"}, 7),
    ({"parent": None, "parent_id": None}, 0), ({}, 0), ({"parent_id": "p9x1-22bc"}, ELSEWHERE)])  # fmt: skip
def test_a_parent_may_be_shown_in_several_ways(shown, id_):
    assert parent_of(shown) == id_
    assert Job.from_v1({"name": "a", "id": 9, **shown}, []).parent_id == id_


def test_a_job_that_is_whole_has_nothing_to_say_also_without_time_zone_or_timeout(target, tmp_path):
    jobs = [CRON, job("zoneless", 8, type="cron", schedule="0 3 * * *", timezone=""), job("odd", 9, type="dependent"),
            job("no", 10, timeout=0)]  # fmt: skip
    done = Import(target, tmp_path, jobs)
    assert [done.said(one.name) for one in jobs] == [("", "")] * 4
    assert done.code == ExitCode.OK
    assert [one.timezone for one in done.jobs][:2] == ["Europe/Madrid", "UTC"]


@pytest.mark.parametrize(
    ("wanted", "there", "todo"),
    [
        (CRON, {"timeout": 5}, "timeout (60)"),
        (CRON, {"timeout": None}, "timeout (60)"),
        (CRON, {"type": "manual"}, "type (cron)"),
        (CRON, {"timezone": "Asia/Tokyo", "paused": False}, SCHEDULE),  # a person has armed it meanwhile
        (job("a", timezone="Asia/Tokyo"), {"timezone": "UTC"}, "timezone (Asia/Tokyo)"),
        (job("a", timeout=0), {"timeout": None}, ""),
        (job("a"), {"timeout": 0}, ""),
        (job("a"), {"type": "cron"}, ""),
    ],
)
def test_a_job_that_the_target_keeps_otherwise_is_said(target, tmp_path, wanted, there, todo):
    Import(target, tmp_path, [wanted])
    (kept,) = target.world.projects[0].jobs
    for key, value in there.items():
        setattr(kept, key, value)
    (journal,) = (tmp_path / "bundle/state").glob("journal-*")
    [(key, _)] = keyed([wanted])
    Journal(journal).done(key, left=True)  # so that the import checks it again
    assert Import(target, tmp_path, [wanted]).said(wanted.name)[1] == (todo and f"set by hand: {todo}")


def test_a_parent_that_a_person_gave_a_job_is_not_called_missing(target, tmp_path):
    jobs = [job("a", 1), job("b", 2)]
    first, second = Import(target, tmp_path, jobs).jobs
    second.parent_id = first.id
    (journal,) = (tmp_path / "bundle/state").glob("journal-*")
    Journal(journal).done('job ["b", "s.py"] 0', left=True)
    todo = "set by hand: that it has no parent"
    assert Import(target, tmp_path, jobs).said("b") == ("the target did not take that it has no parent", todo)


def test_a_job_is_the_one_of_its_name_and_script(tmp_path):
    there = [{"name": "a", "script": "other.py"}, {"name": "x", "script": "s.py"}, {"name": "b", "script": ""}]
    project = {"owner": "dana", "name": "Churn", "jobs": [{**one, "runtime_id": 71} for one in there]}
    with target_of(tmp_path, projects=[project]) as target:
        done = Import(target, tmp_path, [job("a"), replace(job("b"), script="")])
        assert [one.status.value for one in done.outcomes.values()] == ["created", "present"]
        assert [(one.name, one.script) for one in done.jobs[3:]] == [("a", "s.py")]


def test_a_job_that_stays_on_its_engine_has_nothing_to_say(tmp_path):
    with target_of(tmp_path, engine_images=[{"id": 3, "repository": "engine", "tag": "15"}]) as target:
        settings = replace(SETTINGS, environment={}, engine_type="legacy_engine", engine_image="mine:2")
        bundle = write_bundle(tmp_path / "bundle", settings, [], [], [job("a", runtime=None, kernel="python3")])
        (outcome,) = [one for one in replay(target, bundle).report.outcomes if one.kind == "job"]
        assert (outcome.status.value, outcome.note, outcome.todo) == ("created", "", "")
        assert [(one.kernel, one.runtime_id) for one in target.world.projects[0].jobs] == [("python3", None)]
