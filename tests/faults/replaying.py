"""Imports without files into an emulated target: the bundle they import, and what they make on the target."""

import shutil
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from cmlutils.application import ENDED, Application
from cmlutils.bundle import Bundle
from cmlutils.emulator.server import start_workspace
from cmlutils.emulator.world import World
from cmlutils.errors import CmlutilError
from cmlutils.flows.connect import Connection
from cmlutils.flows.import_project import Replay
from cmlutils.flows.replaying.target import Clock
from cmlutils.job import Job
from cmlutils.model import Model
from cmlutils.progress import Silent
from cmlutils.project import ProjectSettings
from cmlutils.remote.http import Http, Patience
from cmlutils.remote.v1 import ApiV1
from cmlutils.report import Report
from cmlutils.runtime import Runtime
from cmlutils.runtimes import Maps
from cmlutils.section import Secret, Section, Workspace
from cmlutils.wholefile import write_json

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
        environment={"M": "1"},
        recipients={"failure_recipients": ("ops@example.com",)},
        notifications=({"user_id": 99, "username": "kai", "failure": True},)),
    Job("score", "s.py", 8, 7, "dependent", timezone="UTC", runtime=RUNTIME),
]  # fmt: skip


class Crash(BaseException):
    """Stands for the death of the process: every later call fails too."""


class CrashingHttp(Http):
    """Raises Crash at the nth request, before or after that has its effect, and at every later one."""

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
    """A clock that advances only by sleeping."""

    def __init__(self):
        self.at = 0.0

    def now(self):
        return self.at

    def sleep(self, seconds):
        self.at += max(seconds, 0.001)


@dataclass
class Run:
    code: int
    error: BaseException | None = None
    report: Report = field(default_factory=lambda: Report("import", "Churn"))
    seconds: float = 0.0


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


def replay(
    workspace, bundle, crash=0, *, after=False, maps=None, name="Churn", push=lambda *_: None, url="", username="dana"
):
    """Import once, without files; an error becomes the exit code that the command line would return."""
    time = Time()
    place = Workspace(url or workspace.url, username, Secret(KEY))
    section = Section("import", name, place, "", bundle.folder.parent, Path("ini"))
    patience = Patience(600.0, time.sleep, time.now, lambda _: None)
    report = Report("import", name)
    client = CrashingHttp(place, patience, crash, after=after) if crash else Http(place, patience)
    with client:
        client.answered = True  # as in the real command, which has asked for the user before
        connection = Connection(section, ApiV1(client))
        work = Replay(connection, bundle, maps or Maps({}, {}), report, Silent(), Clock(time.now, time.sleep))
        try:
            work.run(push)
        except CmlutilError as error:
            return Run(int(error.exit_code), error, report, time.at)
        except Crash as error:
            return Run(137, error, report, time.at)
    return Run(int(report.exit_code), None, report, time.at)


def project_in(workspace):
    (project,) = workspace.world.projects
    return project


def outcome(run, name):
    (found,) = [one for one in run.report.outcomes if one.name == name]
    return found


def dump(workspace):
    """Return the target's state without ids and times."""
    workspace.settle()
    with workspace.world.lock:
        (project,) = workspace.world.projects
        names = {job.id: job.name for job in project.jobs}
        return {
            "project": (project.owner, project.name, project.description, project.visibility, project.shared_memory,
                        project.environment, project.collaborators),
            "jobs": sorted((job.name, job.script, job.type, job.schedule, job.timezone, job.paused, job.timeout,
                            names.get(job.parent_id, ""), str(job.environment), str(job.recipients),
                            str(job.notifications), job.runtime_id)
                           for job in project.jobs),
            "applications": sorted((one.name, one.subdomain, one.status in ENDED, one.cpu, str(one.environment))
                                   for one in project.applications),
            "models": sorted((one.name, one.auth_enabled, one.replicas, len(one.builds), len(one.deployments),
                              one.builds[-1].progress.status if one.builds else "") for one in project.models),
            "keys": [len(user.v2_keys) for user in workspace.world.users],
        }  # fmt: skip


def delete_project(workspace):
    """Delete the only project, as a person does."""
    with workspace.world.lock:
        (project,) = workspace.world.projects
        shutil.rmtree(project.files)
        workspace.world.projects.clear()
