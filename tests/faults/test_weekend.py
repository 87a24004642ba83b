"""A small weekend: many projects in the background, some of them bad, killed workers, a workspace away for a while.

WEEKEND_PROJECTS and WEEKEND_BATCH make it larger; 300 and 8 take eleven minutes on two cores.
"""

import json
import os
import random
import re
import signal
import time
from pathlib import Path

import pytest
from emulated import live

from cmlutils.emulator.faults import Fault

PROJECTS, BATCH = int(os.environ.get("WEEKEND_PROJECTS", "10")), int(os.environ.get("WEEKEND_BATCH", "4"))
MIGRATE = Path(__file__).parents[2] / "batch/migrate_all.py"


def a_project(sample, number):
    one = {key: value for key, value in sample.items() if key not in {"generate", "applications"}}
    return one | {
        "name": f"Project {number:02}",
        "slug": f"project-{number:02}",
        "files": {**sample["files"], f"own-{number}.txt": f"{number}\n" * 50},
        "applications": [],
        "models": sample["models"][:1],
    }


def tree(folder):
    """Return the content of a folder by path: bytes for files, None for folders."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
        if ".cache" not in path.parts and path.name != "a.log"
    }


def most_at_once(workspace):
    """Return the highest number of sessions that were open at the same time."""
    changes = [(one.started, 1) for one in workspace.session_log]
    changes += [(one.stopped or time.time(), -1) for one in workspace.session_log]
    most = now = 0
    for _, change in sorted(changes):
        now += change
        most = max(most, now)
    return most


def workers(batch):
    """Return the pids of the cmlutil processes that a batch has started."""
    return [pid for pid, words in batch.processes().items() if " project " in words and pid != batch.pid]


def kill_one(batch, killed, chance):
    """Kill a worker whose project was not killed yet, if any: a batch rightly gives up what is killed repeatedly."""
    running = [(pid, re.search(r"Project \d+|Nobody knows", batch.processes().get(pid, ""))) for pid in workers(batch)]
    victims = [(pid, name[0]) for pid, name in running if name and name[0] not in killed]
    if not victims:
        return False
    pid, name = chance.choice(victims)
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:  # it has just ended
        return False
    killed.add(name)
    return True


@pytest.fixture
def weekend(workspaces, sample, home):
    """Source and target with many projects, a tenth of which can't be migrated, and what is wrong with those."""
    projects = [a_project(sample, number) for number in range(PROJECTS)]
    wrong = {}
    projects[1]["models"] = [{**projects[1]["models"][0], "runtime_id": 13}]  # a kernel that the target lacks
    wrong["Project 01"] = (4, "model Explain")
    own, pace = {"projects": projects}, {"pace": {"polls": 1}}  # builds and stops take time, as on a real workspace
    source, target = workspaces(source_more=own, target_more=pace, source_runtimes=[(13, "Julia 1")])
    names = [one["name"] for one in projects]
    sections = "".join(f"[{name}]\n" for name in [*names, "Nobody knows"])
    bad_key = [f"Project {number:02}" for number in range(2, PROJECTS, 30)]
    for side in ("export", "import"):
        ini = home / "cmlutils" / f"{side}-config.ini"
        ini.write_text(ini.read_text().partition("[Churn")[0] + sections)
    ini = home / "cmlutils/export-config.ini"
    for name in bad_key:
        ini.write_text(ini.read_text().replace(f"[{name}]\n", f"[{name}]\napiv1_key=mistaken0key{name[-2:]}\n"))
        wrong[name] = (1, "(401)")
    for number in range(3, PROJECTS, 30):
        source.faults.add(Fault("refused-key", path=f"project-{number:02}$", times=None))
        wrong[f"Project {number:02}"] = (1, "accepted no ssh key")
    wrong["Nobody knows"] = (1, "no project 'Nobody knows'")
    return source, target, names, wrong


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_weekend(weekend, background, tmp_path):
    source, target, names, wrong = weekend
    chance = random.Random(7)
    reports = tmp_path / "reports"
    line = (MIGRATE, f"--batch-size={BATCH}", f"--report-dir={reports}", "--remove-bundles", "--disk-budget=20M")
    batch, killed = background(*line), set()
    for number in range(max(3, PROJECTS // 6)):
        batch.until(lambda number=number: len(source.session_log) > 3 + 3 * number, "more sessions", 300)
        batch.until(lambda: kill_one(batch, killed, chance), "a worker that was not killed yet", 300)
        if number == 1:
            batch.until(lambda: not source.sessions, "a moment without sessions", 300)
            source.go_down()
            time.sleep(3)
            unnamed = {one.id for one in source.sessions}  # they were just being opened: nobody can close them
            source.come_up()
    code = batch.wait(1500)
    report = {one["project"]: one for one in json.loads((reports / "batch-report.json").read_text())["projects"]}
    found = {name: (one["exit_code"], one["reason"]) for name, one in report.items() if one["exit_code"] != 0}
    assert set(found) == set(wrong), batch.text()
    for name, (expected, words) in wrong.items():
        assert found[name][0] == expected
        assert words in found[name][1]
    assert code == 1
    good = [name for name in names if name not in wrong]
    there = [project.name for project in target.world.projects]
    assert sorted(there) == sorted({*good, "Project 01"})
    for name in good:
        slug = name.lower().replace(" ", "-")
        left, right = source.project("dana", slug), target.project("dana", slug)
        assert tree(left.files) == tree(right.files)
        assert len(right.jobs) == 3
        assert len(right.models) == 1
        assert report[name]["removed"]
    assert live(target) == []
    assert [one for one in source.sessions if one.id not in unnamed] == target.sessions == []
    told = "".join(path.read_text() for path in reports.rglob("*.log"))
    assert [one.id for one in source.sessions if one.id not in told] == []
    assert max(most_at_once(source), most_at_once(target)) <= BATCH + len(unnamed)
    batch.vanishes(10)
    print(batch.text()[-1500:])


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_signal_ends_a_batch_and_the_next_one_goes_on(weekend, background, tmp_path):
    source, target, names, _ = weekend
    source.faults.add(Fault("hang", path="list-models", nth=3, times=2, seconds=90))
    line = (MIGRATE, "--batch-size=3", f"--report-dir={tmp_path}", *names[4:7])
    batch = background(*line)
    batch.until(lambda: len(workers(batch)) == 3 and source.sessions, "three workers and a session")
    code, seconds = batch.send(signal.SIGINT)
    assert code == 130
    assert seconds < 10
    assert source.sessions == target.sessions == []
    batch.vanishes(10 - seconds)
    source.faults.clear()
    again = background(*line)
    assert again.wait(300) == 0, again.text()
    assert sorted(project.name for project in target.world.projects) == sorted(names[4:7])


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_kill_9_of_a_batch_leaves_nothing(weekend, background, tmp_path):
    source, target, names, _ = weekend
    source.faults.add(Fault("hang", path="list-models", nth=3, times=2, seconds=90))
    batch = background(MIGRATE, "--batch-size=3", f"--report-dir={tmp_path}", *names[4:7])
    batch.until(lambda: len(workers(batch)) == 3 and source.sessions, "three workers and a session")
    assert batch.send(signal.SIGKILL)[0] == 137
    batch.vanishes(15)
    assert source.sessions == target.sessions == []
    rows = json.loads((tmp_path / "batch-report.json").read_text())["projects"]
    assert [one["project"] for one in rows] == names[4:7]
