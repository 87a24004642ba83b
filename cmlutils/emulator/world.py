"""The state of a workspace: its users, what they have, and what was ever live."""

from __future__ import annotations

import re
import threading
import time
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cmlutils.emulator import reading, tree
from cmlutils.emulator.assumptions import Assumptions, Switches
from cmlutils.emulator.records import Addon, EngineImage, Event, Json, Pace, Project, Runtime, User, engine_id

if TYPE_CHECKING:
    from cmlutils.emulator.faults import Fault
    from cmlutils.emulator.workloads import Application, Job, Model

_RANKS = ("read", "operator", "write", "admin")
_FIRST_IDS = {"cdsw": 100, "cml": 5000}  # far apart, so that an id of one workspace finds nothing on the other

DEMO = Path(__file__).with_name("demo.yaml")
"""The sample source: a CDSW workspace with one project."""
DEMO_TARGET = Path(__file__).with_name("demo-target.yaml")
"""The sample target: a CML workspace without projects."""


@dataclass
class World:
    """The whole state of a workspace. Hold ``lock`` to read more than one thing, or to change anything."""

    release: str = "1.10.4"
    users: list[User] = field(default_factory=list)
    runtimes: list[Runtime] = field(default_factory=list)
    engine_images: list[EngineImage] = field(default_factory=list)
    addons: list[Addon] = field(default_factory=list)
    site_config: Json = field(default_factory=dict)
    projects: list[Project] = field(default_factory=list)
    assume: Assumptions = field(default_factory=Assumptions)
    switches: Switches = field(default_factory=Switches)
    pace: Pace = field(default_factory=Pace)
    faults: list[Fault] = field(default_factory=list)
    runtimes_loading: int = 0
    """How many more calls of GET runtimes answer 501."""
    failing_builds: list[str] = field(default_factory=list)
    """Names of models whose builds fail."""
    failing_applications: list[str] = field(default_factory=list)
    """Names of applications that fail instead of running."""

    def __post_init__(self) -> None:
        self.lock = threading.RLock()
        self.personality = "cml"
        self.url = ""
        self.state_dir = Path()
        self.went_live: list[Event] = []
        self._last_id = 0

    @classmethod
    def load(cls, source: Path | str | Json) -> World:
        """Read a world from a YAML file, or from the data of one; raise WorldError."""
        return cls(**reading.read_world(source))

    def open(self, personality: str, state_dir: Path) -> None:
        """Become a workspace: give ids to everything without one, and write the projects' files below ``state_dir``."""
        self.personality, self.state_dir = personality, state_dir
        self._last_id = max([_FIRST_IDS[personality], *_ids(self)])
        self.site_config.setdefault("allow_unauthenticated_access_to_app", self.switches.unauthenticated_applications)
        things: list[Any] = [*self.users, *self.runtimes, *self.engine_images, *self.addons]
        for thing in things:
            thing.id = thing.id or self.next_id()
        for project in self.projects:
            self._open_project(project)

    def _open_project(self, project: Project) -> None:
        project.id = project.id or self.next_id()
        project.creator = project.creator or project.owner
        project.slug = project.slug or self.free_slug(project.owner, project.name)
        project.files = self.state_dir / project.path
        tree.lay_out(project.tree, project.files)
        workloads: list[Job | Model | Application] = [*project.jobs, *project.models, *project.applications]
        for workload in workloads:
            workload.id = workload.id or self.next_id()
        reading.link(project, self.runtimes)
        for application in project.applications:
            if application.status != "never-started":
                application.engine_id = application.engine_id or engine_id("application", application.id)
        for model in project.models:
            model.access_key = model.access_key or engine_id("access key", model.id) * 2
            steps: list[Any] = [*model.builds, *model.deployments]
            for step in steps:
                step.id = step.id or self.next_id()
            for deployment in model.deployments:
                deployment.build_id = deployment.build_id or model.builds[-1].id

    def next_id(self) -> int:
        """Return an unused id."""
        self._last_id += 1
        return self._last_id

    def user(self, username: str) -> User:
        """Return the user or team of this name; raise KeyError."""
        found = self.find_user(username)
        if found is None:
            raise KeyError(f"no user {username}")
        return found

    def find_user(self, username: str) -> User | None:
        """Return the user or team of this name, or None."""
        return next((user for user in self.users if user.username == username), None)

    def project(self, owner: str, slug: str) -> Project:
        """Return the project at ``owner/slug``; raise KeyError."""
        found = self.find_project(owner, slug)
        if found is None:
            raise KeyError(f"no project {owner}/{slug}")
        return found

    def find_project(self, owner: str, slug: str) -> Project | None:
        """Return the project at ``owner/slug``, or None."""
        return next((p for p in self.projects if (p.owner, p.slug) == (owner, slug)), None)

    def runtime(self, runtime_id: Any) -> Runtime | None:
        """Return the runtime of this id, or None."""
        return next((runtime for runtime in self.runtimes if runtime.id == runtime_id), None)

    def free_slug(self, owner: str, name: str) -> str:
        """Return a free slug for a new project: its name in lower case, with a number if that slug is taken."""
        stem = re.sub(r"[^a-z0-9_]+", "-", name.lower()).strip("-") or "project"
        slug, number = stem, 0
        while self.find_project(owner, slug):
            number += 1
            slug = f"{stem}-{number}"
        return slug

    def permission(self, user: User, project: Project) -> str | None:
        """Return the user's permission in the project: read, operator, write, admin, or None."""
        if user.admin or project.owner == user.username:
            return "admin"
        given = [project.collaborators.get(user.username, "")]
        owner = self.find_user(project.owner)
        if owner is not None and owner.is_team:
            role = owner.members.get(user.username, "")
            given.append("admin" if role == "owner" else role)
        if project.visibility in {"public", "organization"}:
            given.append("read")
        ranked = [rank for rank in _RANKS if rank in given]
        return ranked[-1] if ranked else None

    def may(self, user: User, project: Project, what: str) -> bool:
        """Tell whether the user has at least this permission in the project."""
        held = self.permission(user, project)
        return held is not None and _RANKS.index(held) >= _RANKS.index(what)

    def live(self, kind: str, project: Project, thing: Job | Application | Model, reached: str = "") -> None:
        """Note that something became live now."""
        self.went_live.append(Event(kind, project.path, thing.name, thing.id, time.time(), reached))

    def reached(self, kind: str, thing: Job | Application | Model, status: str) -> None:
        """Note in this thing's open events which status it has reached; ``stopped`` and the like end them."""
        for event in self.went_live:
            if event.id == thing.id and event.kind.startswith(kind) and event.stopped is None:
                event.reached = status
                if status in {"stopped", "stopping", "deleted", "failed"}:
                    event.stopped = time.time()


def _ids(world: World) -> list[int]:
    """Return all ids that the YAML gives."""
    things: list[Any] = [*world.users, *world.runtimes, *world.engine_images, *world.addons, *world.projects]
    for project in world.projects:
        things += [*project.jobs, *project.models, *project.applications]
        for model in project.models:
            things += [*model.builds, *model.deployments]
    return [thing.id for thing in things]


def now() -> str:
    """Return the time as v1 writes it."""
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
