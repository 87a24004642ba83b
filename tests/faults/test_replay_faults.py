"""Whatever happens to any one request of an import: the next import ends in what a clean one does, once and inert.

CI takes a seeded sample of (request, fault); CMLUTILS_TEST_ALL_FAULTS=1 takes every one.
"""

import os
import random
import shutil
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from cmlutils.application import Application
from cmlutils.bundle import Bundle, write_json
from cmlutils.config import Secret, Section, Workspace
from cmlutils.emulator.faults import Fault
from cmlutils.emulator.server import start_workspace
from cmlutils.emulator.world import World
from cmlutils.errors import CmlutilError, ExitCode, Unreachable
from cmlutils.flows.connect import Connection
from cmlutils.flows.import_project import Replay
from cmlutils.flows.replay import Clock
from cmlutils.job import Job
from cmlutils.model import Model
from cmlutils.project import ProjectSettings
from cmlutils.remote import http
from cmlutils.remote.http import Http, Patience
from cmlutils.remote.v1 import ApiV1
from cmlutils.report import Report
from cmlutils.runtimes import Maps, Runtime

KEY = "target0key0target0key0target0key0"
PYTHON = {"image_identifier": "reg/py:1", "editor": "Workbench", "kernel": "Python 3.9", "edition": "Standard",
          "short_version": "2023.05", "full_version": "2023.05.2-b7"}  # fmt: skip
RUNTIME = Runtime("reg/py:1", "Python 3.9", "Workbench", "Standard", "2023.05", "2023.05.2-b7")
SETTINGS = ProjectSettings(
    "Churn", "monthly", "public", 256, environment={"A": "1"}, owner="dana",
    collaborators=({"username": "kai", "permissions": "write"},),
)  # fmt: skip
MODELS = [Model("Explain", "d", file="serve.py", function="f", runtime=RUNTIME, auth_enabled=False, replicas=2)]
APPLICATIONS = [
    Application("Board", "board", "serve.py", "d", runtime=RUNTIME, cpu=2, memory=4, environment={"T": "x"}),
]
JOBS = [
    Job("ingest", "s.py", 7, type="cron", schedule="0 2 * * *", timezone="Europe/Madrid", runtime=RUNTIME, timeout=60,
        recipients={"failure_recipients": ("ops@example.com",)},
        notifications=({"user_id": 99, "username": "kai", "failure": True},)),
    Job("score", "s.py", 8, 7, "dependent", timezone="UTC", runtime=RUNTIME),
]  # fmt: skip
FAULTS = {
    "503": {"action": "status", "status": 503},
    "429": {"action": "status", "status": 429, "headers": {"Retry-After": "7"}},
    "reset": {"action": "reset"},
    "reset after": {"action": "reset-after"},
    "502 after": {"action": "status-after", "status": 502},
    "html": {"action": "html"},
    "cut json": {"action": "cut-json"},
    "hang": {"action": "hang", "seconds": 1.0},
    "hang after": {"action": "hang-after", "seconds": 1.0},
}
SAMPLE = 4  # requests a fault and target
CRASHES = ("crash before", "crash after")
TARGETS = {
    "all": (),
    "v2": ("job_paused_shown", "job_patch", "application_stop", "dashboard_stop", "application_public_id"),
    "build": ("build_at_create", "model_auth_at_create", "job_parent_id"),
}


class Crash(BaseException):
    """The process is gone: every later call fails too."""


class CrashingHttp(Http):
    """Dies at its nth try, before or after the request had its effect, and stays dead."""

    def __init__(self, workspace, patience, nth, *, after):
        super().__init__(workspace, patience)
        self.left, self.after = nth, after

    def _once(self, call):
        self.left -= 1
        if self.left == 0 and self.after:
            super()._once(call)
        if self.left <= 0:
            raise Crash
        return super()._once(call)


class Time:
    """A clock that only sleeping moves."""

    def __init__(self):
        self.at = 0.0

    def now(self):
        return self.at

    def sleep(self, seconds):
        self.at += max(seconds, 0.001)


class Quiet:
    @contextmanager
    def phase(self, name):
        yield


@dataclass
class Run:
    code: int
    error: BaseException | None = None
    report: Report = field(default_factory=lambda: Report("import", "Churn"))


def write_bundle(folder, settings=SETTINGS, models=MODELS, applications=APPLICATIONS, jobs=JOBS):
    bundle = Bundle(folder)
    bundle.create()
    write_json(bundle.metadata("project"), settings.to_bundle())
    for kind, some in (("models", models), ("applications", applications), ("jobs", jobs)):
        write_json(bundle.metadata(kind), [one.to_bundle() for one in some])
    bundle.seal("source", {})
    return bundle


@contextmanager
def target_of(tmp_path, without=(), **more):
    world = {
        "users": [{"username": "dana", "id": 31, "api_key": KEY}, {"username": "kai", "id": 32}],
        "runtimes": [{"id": 71, **PYTHON}],
        "assume": dict.fromkeys(without, False),
        "pace": {"polls": 0},
        **more,
    }
    with start_workspace(World.load(world), state_dir=tmp_path / "target") as workspace:
        yield workspace


def replay(workspace, bundle, crash=0, *, after=False, maps=None):
    """Import once, without the files; an error becomes the exit code that the command line would give."""
    time = Time()
    place = Workspace(workspace.url, "dana", Secret(KEY))
    section = Section("import", "Churn", place, "", bundle.folder.parent, Path("ini"))
    patience = Patience(600.0, time.sleep, time.now, lambda _: None)
    report = Report("import", "Churn")
    client = CrashingHttp(place, patience, crash, after=after) if crash else Http(place, patience)
    with client:
        client.answered = True  # the real command has asked for the user before
        connection = Connection(section, client, ApiV1(client))
        work = Replay(connection, bundle, maps or Maps({}, {}), report, Quiet(), Clock(time.now, time.sleep))
        try:
            work.run(lambda project, runtimes: None)
        except CmlutilError as error:
            return Run(int(error.exit_code), error, report)
        except Crash as error:
            return Run(137, error, report)
    return Run(int(report.exit_code), None, report)


def dump(workspace):
    """Return the target without ids and times."""
    workspace.settle()
    with workspace.world.lock:
        (project,) = workspace.world.projects
        names = {job.id: job.name for job in project.jobs}
        return {
            "project": (project.owner, project.name, project.description, project.visibility, project.shared_memory,
                        project.environment, project.collaborators),
            "jobs": sorted((job.name, job.script, job.type, job.schedule, job.timezone, job.paused, job.timeout,
                            names.get(job.parent_id, ""), str(job.recipients), str(job.notifications), job.runtime_id)
                           for job in project.jobs),
            "applications": sorted((one.name, one.subdomain, one.status, one.cpu, str(one.environment))
                                   for one in project.applications),
            "models": sorted((one.name, one.auth_enabled, one.replicas, len(one.builds), len(one.deployments),
                              one.builds[-1].progress.status if one.builds else "") for one in project.models),
            "keys": [len(user.v2_keys) for user in workspace.world.users],
        }  # fmt: skip


def live(workspace):
    """What was live that must never be: anything but the start of an application at its creation."""
    return [event for event in workspace.went_live if event.kind != "application-started"]


def running(workspace):
    return [event for event in workspace.went_live if event.stopped is None]


@pytest.fixture(autouse=True)
def short_time_outs(monkeypatch):
    monkeypatch.setattr(http, "TIMEOUTS", (5.0, 0.5))
    monkeypatch.setattr(http, "SHORT_TIMEOUTS", (5.0, 0.5))


@pytest.fixture(scope="module")
def clean(tmp_path_factory):
    """What a clean import of each target makes, and how many requests it takes."""
    found = {}
    for name, without in TARGETS.items():
        folder = tmp_path_factory.mktemp("clean")
        with target_of(folder, without) as workspace:
            run = replay(workspace, write_bundle(folder / "bundle"))
            assert run.code == 0, run
            assert not live(workspace)
            found[name] = (dump(workspace), len(workspace.requests))
    return found


def cases(count, name):
    """Return the requests to hit: all of them, or a few that the name draws."""
    every = range(1, count + 1)
    if os.environ.get("CMLUTILS_TEST_ALL_FAULTS"):
        return every
    return sorted(random.Random(name).sample(every, SAMPLE))


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("fault", [*FAULTS, *CRASHES])
@pytest.mark.parametrize("which", TARGETS)
def test_after_one_fault_the_next_import_ends_as_a_clean_one(clean, tmp_path, which, fault):
    wanted, count = clean[which]
    for nth in cases(count, f"{which} {fault}"):
        folder = tmp_path / str(nth)
        with target_of(folder, TARGETS[which]) as workspace:
            bundle = write_bundle(folder / "bundle")
            where = f"{fault} at request {nth}"
            if fault in FAULTS:
                workspace.faults.add(Fault(nth=nth, **FAULTS[fault]))
                first = replay(workspace, bundle)
            else:
                first = replay(workspace, bundle, nth, after=fault == "crash after")
            hit = workspace.requests[nth - 1] if len(workspace.requests) >= nth else "after the end"
            where += f" ({hit}): {first.error or first.report.outcomes}"
            if first.code == ExitCode.OK:
                assert {**dump(workspace), "keys": 0} == {**wanted, "keys": 0}, where
            if not isinstance(first.error, (Crash, Unreachable)):
                assert not running(workspace), where
            workspace.faults.clear()
            second = replay(workspace, bundle)
            assert second.code == ExitCode.OK, f"{where}, then {second.error or second.report.outcomes}"
            assert dump(workspace) == wanted, where
            assert not live(workspace), where
            assert not running(workspace), where
        shutil.rmtree(folder)
