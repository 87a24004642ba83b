"""The records of a running workspace's state; their field names are the keys of a world's YAML."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cmlutils.emulator.workloads import Application, Job, Model

Json = dict[str, Any]
"""A JSON object, as it goes over the wire."""


@dataclass
class V2Key:
    """A key for API v2, as made by ``POST users/{username}/apikey``."""

    key_id: str
    api_key: str
    created_at: str
    expiry_date: str


@dataclass
class User:
    """A user, or a team (``type`` is ``organization``; ``members`` maps usernames to owner, write, read, admin)."""

    username: str
    name: str = ""
    id: int = 0
    type: str = "user"
    email: str = ""
    api_key: str = ""
    admin: bool = False
    ssh_keys: list[str] = field(default_factory=list)
    """Lines of authorized_keys, or paths of such files (``~`` and ``*`` work), read when a session opens."""
    environment: dict[str, str] = field(default_factory=dict)
    members: dict[str, str] = field(default_factory=dict)
    v2_keys: list[V2Key] = field(default_factory=list)

    @property
    def is_team(self) -> bool:
        """Tell whether this is a team."""
        return self.type == "organization"


@dataclass
class Runtime:
    """A runtime with the fields of v1; ``id`` is local to the workspace."""

    image_identifier: str
    editor: str
    kernel: str
    edition: str
    short_version: str
    full_version: str
    id: int = 0
    maintenance_version: int = 1
    description: str = ""
    is_latest: bool | None = None
    """None: true unless a runtime of the same kernel, editor and edition has a higher full version."""
    status: str = "ENABLED"

    @property
    def has_rsync(self) -> bool:
        """Tell whether sessions with this runtime have rsync."""
        return "rsync" in self.edition.lower()


@dataclass
class EngineImage:
    """An image for projects that use legacy engines."""

    repository: str
    tag: str
    description: str = ""
    id: int = 0


@dataclass
class Addon:
    """A runtime add-on; its ``id`` is what jobs and applications name under ``addons``."""

    component: str
    display_name: str = ""
    id: int = 0


@dataclass
class Generate:
    """Files to generate: ``count`` of ``size`` bytes below ``tree``, a hundred per folder, always the same bytes."""

    count: int
    size: int = 1000
    tree: str = "data"
    suffix: str = ".csv"


@dataclass
class Tree:
    """The initial content of a project's folder."""

    files: dict[str, str] = field(default_factory=dict)
    generate: list[Generate] = field(default_factory=list)
    symlinks: dict[str, str] = field(default_factory=dict)
    folders: list[str] = field(default_factory=list)
    modes: dict[str, str] = field(default_factory=dict)
    """Octal digits by path."""
    copy_from: str = ""
    """A folder to copy; ``from`` in YAML."""


@dataclass
class Project:
    """A project; ``files`` is its folder on this machine once the workspace runs."""

    owner: str
    name: str
    slug: str = ""
    id: int = 0
    creator: str = ""
    visibility: str = "private"
    description: str = ""
    engine_type: str = "ml_runtime"
    shared_memory: int = 0
    environment: Json = field(default_factory=dict)
    collaborators: dict[str, str] = field(default_factory=dict)
    engine_image_id: int | None = None
    created_at: str = "2024-03-01T10:00:00.000Z"
    updated_at: str = "2026-01-12T08:00:00.000Z"
    tree: Tree = field(default_factory=Tree)
    jobs: list[Job] = field(default_factory=list)
    models: list[Model] = field(default_factory=list)
    applications: list[Application] = field(default_factory=list)
    files: Path = Path()

    @property
    def path(self) -> str:
        """Return ``owner/slug``."""
        return f"{self.owner}/{self.slug}"


@dataclass
class Event:
    """Something that became live or able to start by itself: its kind, project, and time (in seconds since the epoch).

    Kinds: ``job-live`` (on a schedule or after a parent, not paused), ``job-started``, ``application-started`` (the
    unavoidable start at creation), ``application-restarted``, ``model-deployment``. ``reached`` is the latest status
    of an application or deployment, ``stopped`` the time when it was stopped or deleted (None if it was not).
    """

    kind: str
    project: str
    name: str
    id: int
    when: float
    reached: str = ""
    stopped: float | None = None


@dataclass
class Pace:
    """How fast things go: reads until a status moves on by a step, seconds until a session is ready."""

    polls: int = 1
    session_seconds: float = 0


def public_identifier(kind: str, number: int) -> str:
    """Return the id under which API v2 shows the thing that has this number in v1."""
    digits = hashlib.sha256(f"{kind} {number}".encode()).hexdigest()
    return "-".join(digits[start : start + 4] for start in range(0, 16, 4))


def engine_id(kind: str, number: int) -> str:
    """Return an id in the form that engines and sessions have: sixteen lower-case letters and digits."""
    return hashlib.sha256(f"engine of {kind} {number}".encode()).hexdigest()[:16]
