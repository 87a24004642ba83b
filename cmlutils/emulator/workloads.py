"""The records of jobs, applications and models; their field names are the keys of a world's YAML."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cmlutils.emulator.records import Json


@dataclass
class Progress:
    """A status that moves on by one step after a number of reads."""

    status: str
    ahead: list[str] = field(default_factory=list)
    reads: int = 0

    def read(self, polls: int) -> str:
        """Return the status, after moving it on if it was read ``polls`` times since the last step."""
        if self.ahead and self.reads >= polls:
            self.status, self.reads = self.ahead.pop(0), 0
        else:
            self.reads += 1
        return self.status


@dataclass
class Job:
    """A job; ``recipients`` maps success, failure, timeout and stopped to an address list or text."""

    name: str
    script: str
    id: int = 0
    type: str = "manual"
    arguments: str = ""
    schedule: str = ""
    timezone: str = "UTC"
    parent_id: int | None = None
    cpu: float = 1
    memory: float = 2
    nvidia_gpu: int = 0
    kernel: str = ""
    runtime_id: int | None = None
    environment: Json = field(default_factory=dict)
    timeout: int | None = None
    timeout_kill: bool = False
    paused: bool = False
    attachments: list[str] = field(default_factory=list)
    recipients: Json = field(default_factory=dict)
    notifications: list[Json] = field(default_factory=list)
    addons: list[int] = field(default_factory=list)
    creator: str = ""
    latest: Json | None = None

    @property
    def can_fire(self) -> bool:
        """Tell whether the job can start by itself."""
        return not self.paused and bool(self.schedule or self.parent_id is not None)


@dataclass
class Application:
    """An application; without ``engine_id`` it was never started and shows no currentDashboard."""

    name: str
    script: str
    subdomain: str
    id: int = 0
    description: str = ""
    type: str = "manual"
    status: str = "running"
    kernel: str = ""
    runtime_id: int | None = None
    cpu: float = 1
    memory: float = 2
    nvidia_gpu: int = 0
    environment: Json = field(default_factory=dict)
    bypass_authentication: bool = False
    addons: list[int] = field(default_factory=list)
    engine_id: str = ""
    ahead: list[str] = field(default_factory=list)
    reads: int = 0


@dataclass
class Build:
    """A model build."""

    id: int
    progress: Progress
    target_file_path: str = ""
    target_function_name: str = ""
    kernel: str = ""
    runtime_id: int | None = None
    engine_image_id: int | None = None
    examples: list[Json] = field(default_factory=list)
    comment: str = ""
    created_at: str = ""
    addons: list[int] = field(default_factory=list)


@dataclass
class Deployment:
    """A deployment of the model build ``build_id``."""

    id: int
    build_id: int
    progress: Progress
    cpu_millicores: int = 1000
    memory_mb: int = 2048
    nvidia_gpus: int = 0
    replicas: int = 1
    environment: Json = field(default_factory=dict)


@dataclass
class Model:
    """A model with its builds and deployments, the latest last."""

    name: str
    id: int = 0
    description: str = ""
    visibility: str = "private"
    access_key: str = ""
    auth_enabled: bool = True
    cpu_millicores: int = 1000
    memory_mb: int = 2048
    nvidia_gpus: int = 0
    replicas: int = 1
    environment: Json = field(default_factory=dict)
    creator: str = ""
    builds: list[Build] = field(default_factory=list)
    deployments: list[Deployment] = field(default_factory=list)
