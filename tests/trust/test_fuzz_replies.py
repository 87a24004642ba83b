"""One reply of a workspace is spoilt: there is never a traceback, a hang, a duplicate or a false success.

No files are copied here. FUZZ_RUNS=2000 in the environment makes it try more than the few usual cases.
"""

import os
import random
import shutil

import pytest
from emulated import EXPORT, IMPORT
from spoil import spoilt

RUNS = int(os.environ.get("FUZZ_RUNS", "16"))
FIRST = int(os.environ.get("FUZZ_FIRST", "0"))


class Spoiler:
    """Spoils the n-th reply, and notes what it did."""

    def __init__(self, nth, chance):
        self.nth, self.chance, self.seen, self.did = nth, chance, 0, ""

    def __call__(self, method, path, reply):
        self.seen += 1
        if self.seen == self.nth:
            reply, did = spoilt(reply, self.chance)
            self.did = f"{method} {path}: {did}"
        return reply


def what_is_there(workspace):
    """Return everything that matters of the project on the target; empty if there is no project."""
    found = [one for one in workspace.world.projects if one.name == "Churn Model"]
    assert len(found) <= 1, "the project is there twice"
    if not found:
        return {}
    [project] = found
    names = {job.id: job.name for job in project.jobs}
    return {
        "project": (project.owner, project.description, project.environment, project.visibility, project.shared_memory),
        "jobs": sorted(
            (job.name, job.script, job.schedule, job.paused, names.get(job.parent_id), job.arguments, job.environment)
            for job in project.jobs
        ),
        "applications": sorted(
            (one.name, one.subdomain, one.script, one.status, one.environment) for one in project.applications
        ),
        "models": sorted((one.name, bool(one.builds), bool(one.deployments)) for one in project.models),
    }


def live_or_twice(workspace):
    """Yield faults that a target must not have after any run, good or bad: what is live or there twice."""
    there = what_is_there(workspace)
    for kind in ("jobs", "applications", "models"):
        names = [one[0] for one in there.get(kind, ())]
        if len(names) != len(set(names)):
            yield f"{kind} are there twice ({names})"
    for project in workspace.world.projects:
        yield from (f"job {job.name} can fire" for job in project.jobs if job.can_fire)
        yield from (f"model {one.name} is deployed" for one in project.models if one.deployments)
        yield from (f"application {one.name} runs" for one in project.applications if one.status != "stopped")


@pytest.fixture
def clean(workspaces, without_files, run_line, home):
    """Export and import once without trouble; return source, target, what must be there, a way to start anew."""
    source, target = workspaces(target_more={"pace": {"polls": 0}}, source_more={"pace": {"polls": 0}})
    run_line(EXPORT)
    bundle = home / "bundles" / "Churn Model"
    kept = home / "kept"
    shutil.copytree(bundle, kept)
    run_line(IMPORT)
    wanted = what_is_there(target)
    assert len(wanted["jobs"]) == 3

    def anew():
        shutil.rmtree(bundle)
        shutil.copytree(kept, bundle)
        with target.world.lock:
            for project in target.world.projects:
                shutil.rmtree(project.files)
            target.world.projects.clear()

    return source, target, wanted, anew


def replies(answering, workspace, act):
    """Return the number of replies that an undisturbed run gets."""
    counter = Spoiler(0, random.Random(0))
    undo = answering(workspace, counter)
    act()
    undo()
    return counter.seen


def told(spoiler, seed, line):
    return f"seed {seed}: {spoiler.did}: exit {line.exit_code}\n{line.err}"


def faults_of_import(seed, count, target, wanted, answering, run_line):
    """Import with one bad reply, then again without; yield everything that went wrong."""
    chance = random.Random(seed)
    spoiler = Spoiler(chance.randint(1, count), chance)
    undo = answering(target, spoiler)
    line = run_line(IMPORT, exit_code=range(256))
    undo()
    said = told(spoiler, seed, line)
    if line.exit_code not in {0, 1, 5} or "Traceback" in line.err or "\x1b" in line.err + line.out:
        yield said
    yield from (f"{one}: {said}" for one in live_or_twice(target))
    if line.exit_code == 0 and what_is_there(target) != wanted:
        yield f"a false success: {said}\n{what_is_there(target)}"
    again = run_line(IMPORT, exit_code=range(256))
    yield from (f"{one} after a second run: {said}" for one in live_or_twice(target))
    if again.exit_code not in {0, 5} or (again.exit_code == 0 and what_is_there(target) != wanted):
        yield f"{said}\nand then exit {again.exit_code}\n{again.err}\n{what_is_there(target)}"


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_an_import_that_gets_one_bad_reply(clean, answering, run_line):
    _, target, wanted, anew = clean
    anew()
    count = replies(answering, target, lambda: run_line(IMPORT))
    faults = []
    for seed in range(FIRST, FIRST + RUNS):
        anew()
        faults += faults_of_import(seed, count, target, wanted, answering, run_line)
    assert not faults, f"{len(faults)} faults\n" + "\n\n".join(faults)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_an_export_that_gets_one_bad_reply(clean, answering, run_line):
    source, _, _, anew = clean
    count = replies(answering, source, lambda: run_line(EXPORT))
    faults = []
    for seed in range(FIRST, FIRST + RUNS):
        anew()
        chance = random.Random(seed)
        spoiler = Spoiler(chance.randint(1, count), chance)
        undo = answering(source, spoiler)
        line = run_line(EXPORT, exit_code=range(256))
        undo()
        said = told(spoiler, seed, line)
        if line.exit_code not in {0, 1, 2} or "Traceback" in line.err or "\x1b" in line.err + line.out:
            faults.append(said)
        elif line.exit_code == 0:
            again = run_line(IMPORT, exit_code=range(256))
            if again.exit_code not in {0, 1, 5}:
                faults.append(f"{said}\nimport: exit {again.exit_code}\n{again.err}")
    assert not faults, f"{len(faults)} faults\n" + "\n\n".join(faults)
