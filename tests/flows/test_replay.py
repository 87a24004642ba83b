"""What all kinds of workloads have in common."""

import json
from dataclasses import replace

import pytest

from cmlutils.application import Application
from cmlutils.errors import AnswerLost, Rejected
from cmlutils.flows.replaying.runtime_choice import Lack, RuntimeChoice
from cmlutils.flows.replaying.steps import Finished
from cmlutils.flows.replaying.target import create_by
from cmlutils.flows.replaying.translate import by_name
from cmlutils.flows.replaying.workload_replay import lost
from cmlutils.job import Job
from cmlutils.model import Model
from cmlutils.report import join
from cmlutils.runtime import Runtime
from cmlutils.runtimes import Maps, Match

WANTED = Runtime("reg/py:1", "Python 3.9", "Workbench", "Standard", "2023.05", "2023.05.2-b7")
THERE = Runtime("reg/py:1", "Python 3.9", "Workbench", "Standard", "2023.05", "2023.05.2-b7", id=71)
OTHER = Runtime("reg/r:1", "R 4.1", id=72)


def choice(images=(), engines=(), runtimes=(THERE,), *, on_engines=False):
    return RuntimeChoice(runtimes, Maps(dict(images), dict(engines)), on_engines)


# Runtimes


def test_a_workload_gets_its_runtime_by_the_maps_and_what_the_target_has():
    wanted, engine = Job("a", "s.py", runtime=WANTED), Job("a", "s.py", kernel="python3")
    assert choice().match(wanted) == Match(THERE)
    assert choice(runtimes=(OTHER,)).match(wanted) is None
    assert choice({"reg/py:1": "reg/r:1"}, runtimes=(THERE, OTHER)).match(wanted).runtime is OTHER
    assert choice(engines={"python3": "reg/py:1"}).match(engine).runtime is THERE
    assert choice(engines={"python3": "reg/py:1"}).match(replace(engine, kernel="r")) is None


def test_in_a_project_on_engines_what_has_a_runtime_keeps_one():
    on_engines = choice(engines={"python3": "reg/py:1"}, on_engines=True)
    assert on_engines.match(Job("a", "s.py", kernel="python3")) is None
    assert on_engines.lack(Job("a", "s.py", kernel="python3")) is None
    assert on_engines.match(Job("a", "s.py", runtime=WANTED)) == Match(THERE)
    assert on_engines.lack(Job("a", "s.py", runtime=OTHER)).fix.endswith("runtime-map.yaml")


@pytest.mark.parametrize(
    ("workload", "wanted", "file"),
    [
        (
            Job("a", "s.py", runtime=WANTED, kernel="python3"),
            "Python 3.9 Workbench Standard 2023.05.2-b7",
            "runtime-map.yaml",
        ),
        (Job("a", "s.py", kernel="python3"), "python3", "engine-map.yaml"),
        (Job("a", "s.py"), "its engine", "engine-map.yaml"),
    ],
)
def test_a_runtime_that_the_target_lacks_is_named_with_what_to_do(workload, wanted, file):
    fix = f"add a runtime for {wanted} to the target, or map it in {file}"
    assert choice(runtimes=(OTHER,)).lack(workload) == Lack(f"the target has no runtime for {wanted}", fix)


@pytest.mark.parametrize(
    ("maps", "workload", "note"),
    [
        (
            {"images": {"reg/py:1": "reg/new:9"}},
            Model("a", runtime=WANTED),
            "runtime-map.yaml names reg/new:9 for Python 3.9 Workbench Standard 2023.05.2-b7",
        ),
        ({"engines": {"r": "reg/new:9"}}, Model("a", kernel="r"), "the engine map names reg/new:9 for r"),
    ],
)
def test_a_map_that_names_what_the_target_lacks_is_to_blame(maps, workload, note):
    note += ", which the target does not have"
    assert choice(**maps).lack(workload) == Lack(note, "add that image to the target's catalogue, or correct the map")


# People


def test_people_are_named_as_far_as_the_source_tells_who_they_are():
    people = [{"id": 3, "username": "kai"}, {"id": 4, "username": ""}, {"id": "5", "username": "eve"}, "kai"]
    rows = (
        {"user_id": 3},
        {"user_id": 4},
        {"user_id": [3]},
        {"user_id": 3, "user": {"username": "dan"}},
        {"user": 3},
        3,
    )
    _, [job] = by_name(None, people, [], [Job("a", "s.py", notifications=rows)])  # no add-on is asked for
    told = [one.get("username", "") if isinstance(one, dict) else one for one in job.notifications]
    assert told == ["kai", "", "", "dan", "", 3]


# What the target did not accept


def test_only_parts_that_say_something_are_joined():
    assert join("", "a", "", "b") == "a; b"
    assert join("a", "") == "a"
    assert join() == join("", "") == ""


def test_each_field_that_the_target_did_not_take_is_named_with_the_short_value_that_was_wanted():
    wanted = Job("a", "s.py", cpu=2, timezone="x" * 60, schedule="x" * 61, arguments="--key canary")
    assert lost(wanted, wanted, None) == []
    assert lost(wanted, Job("a", "s.py"), None) == ["arguments", "schedule", f"timezone ({'x' * 60})", "cpu (2)"]
    assert lost(wanted, Job("a", "s.py"), None, "schedule", "timezone", "cpu") == ["arguments"]
    assert lost(wanted, Job("a", "s.py"), None, "arguments", "schedule", "timezone") == ["cpu (2)"]


def test_what_is_private_or_long_is_named_without_its_value():
    wanted = Model("a", description="canary", examples=({"request": "canary"},), environment={"A": "canary"})
    assert lost(wanted, Model("a"), None) == ["description", "environment A", "examples"]


def test_variables_are_named_and_those_that_the_target_adds_are_its_own():
    wanted = Job("a", "s.py", environment={"A": "1", "C": "2"})
    there = Job("a", "s.py", environment={"B": "", "C": "3"})
    assert lost(wanted, there, None) == ["environment A", "environment C"]
    assert lost(wanted, there, None, "environment A") == ["environment C"]
    assert lost(wanted, there, None, "environment") == []


def test_another_runtime_than_the_chosen_one_is_named():
    def there(runtime):
        return Application("a", "a", runtime=runtime)

    wanted, match = there(WANTED), Match(THERE)
    assert lost(wanted, there(OTHER), match) == ["runtime (Python 3.9 Workbench Standard 2023.05.2-b7)"]
    assert lost(wanted, there(THERE), match) == []
    assert lost(wanted, there(None), match) == ["runtime (Python 3.9 Workbench Standard 2023.05.2-b7)"]
    assert lost(wanted, there(None), match, "runtime") == []  # the target does not show it
    assert lost(wanted, there(OTHER), None) == []  # none was chosen, as the target stays on engines


@pytest.mark.parametrize("fallback", [True, False])
def test_a_workload_that_the_target_took_whole_has_only_its_notes(fallback):
    assert Finished("a note", "to do", fallback).lacking([]) == Finished("a note", "to do", fallback, needs_hand=False)


def test_a_workload_that_the_target_took_in_part_needs_a_hand():
    note, todo = "a note; the target did not take cpu (2), type (cron)", "set by hand: cpu (2), type (cron); to do"
    both = Finished("a note", "to do").lacking(["cpu (2)", "type (cron)"])
    assert both == Finished(note, todo, fallback=True, needs_hand=True)
    assert Finished().lacking(["type"]).todo == "set by hand: type"


# Creating


class Sender:
    """A target that gives its prepared answers to the bodies it is sent."""

    def __init__(self, *answers):
        self.answers, self.bodies = list(answers), []

    def __call__(self, body):
        self.bodies.append(body)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


BODY = {"name": "a", "environment": {"A": "1"}}


def test_a_body_that_is_taken_is_sent_once():
    send = Sender({"id": 7})
    assert create_by(send, BODY) == {"id": 7}
    assert send.bodies == [BODY]


def test_a_target_that_wants_the_environment_as_text_gets_it_so():
    send = Sender(Rejected("Environment: not a string.", status=400), {"id": 7})
    assert create_by(send, BODY) == {"id": 7}
    assert send.bodies == [BODY, {"name": "a", "environment": json.dumps({"A": "1"})}]
    assert BODY["environment"] == {"A": "1"}


@pytest.mark.parametrize(
    ("error", "body"),
    [
        (Rejected("No such script.", status=400), BODY),
        (Rejected("environment", status=400), {"name": "a", "environment": {}}),
        (Rejected("environment", status=400), {"name": "a"}),
        (AnswerLost("environment"), BODY),
    ],
)
def test_any_other_failure_is_the_callers_and_nothing_is_sent_twice(error, body):
    send = Sender(error)
    with pytest.raises(type(error)) as caught:
        create_by(send, body)
    assert caught.value is error
    assert send.bodies == [body]
