"""Models, applications and jobs: from a v1 reply, to and from the bundle, to a v1 request, comparable."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

from cmlutils.errors import ApiError, BundleError, CmlutilError
from cmlutils.runtimes import Runtime

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

RECIPIENTS = ("success_recipients", "failure_recipients", "timeout_recipients", "stopped_recipients")
OURS = "cmlutil"  # the one key under which our own fields ride along in a bundle's records


class Reader:
    """Typed access to one JSON object; a missing or odd field is an error that names the workload."""

    def __init__(self, data: object, what: str, error: type[CmlutilError] = ApiError) -> None:
        if not isinstance(data, dict):
            raise error(f"{what} is not a JSON object.")
        self.data: dict[str, Any] = data
        self.what = what
        self.error = error

    def text(self, key: str, default: str | None = "") -> str:
        """Return a text; None as default makes the field required."""
        value = self.data.get(key)
        if value is None and default is not None:
            return default
        if not isinstance(value, str):
            raise self.error(f"{self.what} has no usable {key!r}.")
        return value

    def number(self, key: str, default: float = 0) -> float:
        """Return a number; texts of digits count."""
        value = self.data.get(key, default)
        value = default if value is None or value == "" else value
        try:
            return value if isinstance(value, (int, float)) else float(value)
        except (TypeError, ValueError):
            raise self.error(f"{self.what} has no usable {key!r}.") from None

    def flag(self, key: str, *, default: bool = False) -> bool:
        """Return a boolean."""
        value = self.data.get(key)
        return default if value is None else bool(value)

    def inner(self, key: str) -> Reader:
        """Return an object within; an absent one reads as empty."""
        return Reader(self.data.get(key) or {}, f"{self.what}, {key}", self.error)

    def environment(self, key: str = "environment") -> dict[str, str]:
        """Return an environment, whether sent as an object or as a JSON text of one."""
        value = self.data.get(key) or {}
        if isinstance(value, str):
            try:
                value = json.loads(value)
            except ValueError:
                value = None
        if not isinstance(value, dict):
            raise self.error(f"{self.what} has no usable environment.")
        return {str(name): one if isinstance(one, str) else json.dumps(one) for name, one in value.items()}

    def items(self, key: str) -> tuple[Any, ...]:
        """Return a list; a single text counts as one item, an empty one as none."""
        value = self.data.get(key) or ()
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        if not isinstance(value, (list, tuple)):
            raise self.error(f"{self.what} has no usable {key!r}.")
        return tuple(value)


def _runtime_of(reader: Reader, known: Sequence[Runtime]) -> Runtime | None:
    """Return the workload's runtime, joined with the workspace's list by id."""
    inner = reader.data.get("runtime")
    if not inner:
        return None
    runtime = Runtime.from_v1(Reader(inner, f"{reader.what}, runtime").data)
    return next((one for one in known if one.id and one.id == runtime.id), runtime)


def _environment(environment: Mapping[str, str]) -> dict[str, str]:
    return dict(environment)


@dataclass(frozen=True)
class Model:
    """A model with its last build; resources in millicores and MB as v1 has them."""

    name: str
    description: str = ""
    visibility: str = "private"
    auth_enabled: bool = True
    file: str = ""
    function: str = ""
    comment: str = ""
    kernel: str = ""
    runtime: Runtime | None = None
    cpu_millicores: int = 1000
    memory_mb: int = 2048
    gpus: int = 0
    replicas: int = 1
    environment: Mapping[str, str] = field(default_factory=dict)
    examples: tuple[Any, ...] = ()
    kind = "model"

    @property
    def key(self) -> str:
        """What makes it one of a kind in its project."""
        return self.name

    @classmethod
    def from_v1(cls, reply: object, known: Sequence[Runtime]) -> Model:
        """Read one item of list-models."""
        top = Reader(reply, "A model")
        top.what = f"Model {top.text('name', None)!r}"
        build, deployment = top.inner("latestModelBuild"), top.inner("latestModelDeployment")
        resources = top.inner("defaultResources")
        policy = (
            top.inner("defaultReplicationPolicy")
            if top.data.get("defaultReplicationPolicy")
            else deployment.inner("replicationPolicy")
        )
        runtime_id = build.data.get("runtimeId")
        has = deployment if deployment.data.get("cpuMillicores") else resources
        return cls(
            name=top.text("name", None),
            description=top.text("description"),
            visibility=top.text("visibility", "private"),
            auth_enabled=top.flag("authEnabled", default=True),
            file=build.text("targetFilePath"),
            function=build.text("targetFunctionName"),
            comment=build.text("comment"),
            kernel=build.text("kernel"),
            runtime=next((one for one in known if one.id == runtime_id), None) if runtime_id else None,
            cpu_millicores=int(resources.number("cpuMillicores", has.number("cpuMillicores", 1000))),
            memory_mb=int(resources.number("memoryMb", has.number("memoryMb", 2048))),
            gpus=int(resources.number("nvidiaGPUs", has.number("nvidiaGPUs"))),
            replicas=int(policy.number("numReplicas", 1)),
            environment=deployment.environment() or top.environment(),
            examples=build.items("examples"),
        )

    def to_bundle(self) -> dict[str, Any]:
        """Return the record of models-metadata.json."""
        return {
            "name": self.name,
            "description": self.description,
            "disable_authentication": not self.auth_enabled,
            "file_path": self.file,
            "function_name": self.function,
            "comment": self.comment,
            **_engine_to_bundle(self.kernel, self.runtime),
            OURS: {
                "visibility": self.visibility,
                "image_identifier": self.runtime.image if self.runtime else "",
                "cpu_millicores": self.cpu_millicores,
                "memory_mb": self.memory_mb,
                "gpus": self.gpus,
                "replicas": self.replicas,
                "environment": _environment(self.environment),
                "examples": list(self.examples),
            },
        }

    @classmethod
    def from_bundle(cls, record: object) -> Model:
        """Read such a record, ours or one of cloudera/cmlutils."""
        top = Reader(record, "models-metadata.json: a model", BundleError)
        ours = top.inner(OURS)
        return cls(
            name=top.text("name", None),
            description=top.text("description"),
            visibility=ours.text("visibility", "private"),
            auth_enabled=not top.flag("disable_authentication"),
            file=top.text("file_path"),
            function=top.text("function_name"),
            comment=top.text("comment"),
            kernel=top.text("kernel"),
            runtime=_runtime_from_bundle(top),
            cpu_millicores=int(ours.number("cpu_millicores", 1000)),
            memory_mb=int(ours.number("memory_mb", 2048)),
            gpus=int(ours.number("gpus")),
            replicas=int(ours.number("replicas", 1)),
            environment=ours.environment(),
            examples=ours.items("examples"),
        )

    def build_body(self) -> dict[str, Any]:
        """Return what create-model and build-model have in common, without runtime or engine."""
        return {
            "targetFilePath": self.file,
            "targetFunctionName": self.function,
            "kernel": self.kernel,
            "comment": self.comment,
            "examples": list(self.examples),
            "cpuMillicores": self.cpu_millicores,
            "memoryMb": self.memory_mb,
            "nvidiaGPUs": self.gpus,
            "replicationPolicy": {"type": "fixed", "numReplicas": self.replicas},
            "environment": _environment(self.environment),
        }

    def to_v1(self) -> dict[str, Any]:
        """Return the create-model body that neither builds nor deploys."""
        return {
            "name": self.name,
            "description": self.description,
            "visibility": self.visibility,
            "authEnabled": self.auth_enabled,
            "autoBuildModel": False,
            "autoDeployModel": False,
            **self.build_body(),
        }


@dataclass(frozen=True)
class Application:
    """An application; cpu in cores, memory in GiB."""

    name: str
    subdomain: str
    script: str = ""
    description: str = ""
    bypass_authentication: bool = False
    kernel: str = ""
    runtime: Runtime | None = None
    cpu: float = 1
    memory: float = 1
    gpus: int = 0
    environment: Mapping[str, str] = field(default_factory=dict)
    addons: tuple[Any, ...] = ()
    kind = "application"

    @property
    def key(self) -> str:
        """What makes it one of a kind on its workspace."""
        return self.subdomain

    @classmethod
    def from_v1(cls, reply: object, known: Sequence[Runtime]) -> Application:
        """Read one application; one that never ran has no dashboard."""
        top = Reader(reply, "An application")
        top.what = f"Application {top.text('name', None)!r}"
        board = top.inner("currentDashboard")
        has = board if board.data.get("cpu") is not None else top
        return cls(
            name=top.text("name", None),
            subdomain=top.text("subdomain", None),
            script=top.text("script"),
            description=top.text("description"),
            bypass_authentication=top.flag("bypass_authentication"),
            kernel=board.text("kernel") or top.text("kernel"),
            runtime=_runtime_of(board, known) or _runtime_of(top, known),
            cpu=has.number("cpu", 1),
            memory=has.number("memory", 1),
            gpus=int(board.number("nvidiaGpu", top.number("nvidia_gpu"))),
            environment=top.environment(),
            addons=top.items("addons"),
        )

    def to_bundle(self) -> dict[str, Any]:
        """Return the record of applications-metadata.json."""
        return {
            "name": self.name,
            "subdomain": self.subdomain,
            "script": self.script,
            "description": self.description,
            "bypass_authentication": self.bypass_authentication,
            "cpu": self.cpu,
            "memory": self.memory,
            "nvidia_gpu": self.gpus,
            "environment": _environment(self.environment),
            **_engine_to_bundle(self.kernel, self.runtime),
            OURS: {
                "image_identifier": self.runtime.image if self.runtime else "",
                "addons": list(self.addons),
            },
        }

    @classmethod
    def from_bundle(cls, record: object) -> Application:
        """Read such a record, ours or one of cloudera/cmlutils."""
        top = Reader(record, "applications-metadata.json: an application", BundleError)
        return cls(
            name=top.text("name", None),
            subdomain=top.text("subdomain", None),
            script=top.text("script"),
            description=top.text("description"),
            bypass_authentication=top.flag("bypass_authentication"),
            kernel=top.text("kernel"),
            runtime=_runtime_from_bundle(top),
            cpu=top.number("cpu", 1),
            memory=top.number("memory", 1),
            gpus=int(top.number("nvidia_gpu")),
            environment=top.environment(),
            addons=top.inner(OURS).items("addons"),
        )

    def to_v1(self) -> dict[str, Any]:
        """Return the create body, without runtime."""
        return {
            "name": self.name,
            "subdomain": self.subdomain,
            "script": self.script,
            "description": self.description,
            "type": "manual",
            "kernel": self.kernel,
            "cpu": self.cpu,
            "memory": self.memory,
            "nvidia_gpu": self.gpus,
            "environment": _environment(self.environment),
            "bypass_authentication": self.bypass_authentication,
        }


@dataclass(frozen=True)
class Job:
    """A job; `source_id` and `parent_id` count on the source only; timeout is carried as it was read."""

    name: str
    script: str
    source_id: int = 0
    parent_id: int = 0
    type: str = "manual"
    arguments: str = ""
    schedule: str = ""
    timezone: str = ""
    kernel: str = ""
    runtime: Runtime | None = None
    cpu: float = 1
    memory: float = 1
    gpus: int = 0
    environment: Mapping[str, str] = field(default_factory=dict)
    timeout: int | None = None
    timeout_kill: bool = False
    attachments: tuple[str, ...] = ()
    recipients: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    notifications: tuple[Any, ...] = ()
    addons: tuple[Any, ...] = ()
    kind = "job"

    @property
    def key(self) -> str:
        """What tells it from other jobs of its project; equals are counted."""
        return json.dumps([self.name, self.script])

    @classmethod
    def from_v1(cls, reply: object, known: Sequence[Runtime]) -> Job:
        """Read GET jobs/{id}."""
        top = Reader(reply, "A job")
        top.what = f"Job {top.text('name', None)!r}"
        report = top.inner("report")
        timeout = top.data.get("timeout")
        parent = int(top.inner("parent").number("id"))
        schedule = top.text("schedule")
        inferred = "dependent" if parent else "cron" if schedule else "manual"
        return cls(
            name=top.text("name", None),
            script=top.text("script"),
            source_id=int(top.number("id")),
            parent_id=parent,
            type=top.text("type", inferred),
            arguments=top.text("arguments"),
            schedule=schedule,
            timezone=top.text("timezone"),
            kernel=top.text("kernel"),
            runtime=_runtime_of(top, known),
            cpu=top.number("cpu", 1),
            memory=top.number("memory", 1),
            gpus=int(top.number("nvidia_gpu")),
            environment=top.environment(),
            timeout=None if timeout is None else int(top.number("timeout")),
            timeout_kill=top.flag("timeout_kill"),
            attachments=report.items("attachments") or top.items("attachments"),
            recipients={name: report.items(name) for name in RECIPIENTS if report.items(name)},
            notifications=top.items("notifications"),
            addons=top.items("addons"),
        )

    def to_bundle(self) -> dict[str, Any]:
        """Return the record of jobs-metadata.json."""
        record: dict[str, Any] = {
            "name": self.name,
            "script": self.script,
            "arguments": self.arguments,
            "cpu": self.cpu,
            "memory": self.memory,
            "nvidia_gpu": self.gpus,
            "timezone": self.timezone,
            "kill_on_timeout": self.timeout_kill,
            "source_jobid": self.source_id,
            "attachments": list(self.attachments),
            "environment": _environment(self.environment),
            **{name: ",".join(people) for name, people in self.recipients.items()},
            **_engine_to_bundle(self.kernel, self.runtime),
            OURS: {
                "type": self.type,
                "image_identifier": self.runtime.image if self.runtime else "",
                "notifications": list(self.notifications),
                "addons": list(self.addons),
            },
        }
        if self.schedule:
            record["schedule"] = self.schedule
        if self.parent_id:
            record["parent_jobid"] = self.parent_id
        if self.timeout is not None:
            record["timeout"] = self.timeout
        return record

    @classmethod
    def from_bundle(cls, record: object) -> Job:
        """Read such a record, ours or one of cloudera/cmlutils."""
        top = Reader(record, "jobs-metadata.json: a job", BundleError)
        ours = top.inner(OURS)
        parent, schedule = int(top.number("parent_jobid")), top.text("schedule")
        return cls(
            name=top.text("name", None),
            script=top.text("script"),
            source_id=int(top.number("source_jobid")),
            parent_id=parent,
            type=ours.text("type", "dependent" if parent else "cron" if schedule else "manual"),
            arguments=top.text("arguments"),
            schedule=schedule,
            timezone=top.text("timezone"),
            kernel=top.text("kernel"),
            runtime=_runtime_from_bundle(top),
            cpu=top.number("cpu", 1),
            memory=top.number("memory", 1),
            gpus=int(top.number("nvidia_gpu")),
            environment=top.environment(),
            timeout=None if top.data.get("timeout") is None else int(top.number("timeout")),
            timeout_kill=top.flag("kill_on_timeout"),
            attachments=top.items("attachments"),
            recipients={name: top.items(name) for name in RECIPIENTS if top.items(name)},
            notifications=ours.items("notifications"),
            addons=ours.items("addons"),
        )

    def to_v1(self) -> dict[str, Any]:
        """Return the create body of a manual job: no schedule, no parent, asked to be paused."""
        body: dict[str, Any] = {
            "name": self.name,
            "script": self.script,
            "type": "manual",
            "paused": True,
            "arguments": self.arguments,
            "timezone": self.timezone or "UTC",
            "kernel": self.kernel,
            "cpu": self.cpu,
            "memory": self.memory,
            "nvidia_gpu": self.gpus,
            "environment": _environment(self.environment),
            "timeout_kill": self.timeout_kill,
            "attachments": list(self.attachments),
            "report_attachments": list(self.attachments),
            "notifications": [],
            "recipients": {},
            **{name: list(self.recipients.get(name, ())) for name in RECIPIENTS},
        }
        if self.timeout is not None:
            body["timeout"] = self.timeout
        return body


Workload = Model | Application | Job
_UNCOMPARED = {"source_id", "parent_id", "runtime", "kernel", "notifications", "addons"}


def differences(left: Workload, right: Workload) -> list[tuple[str, str, str]]:
    """Return (field, left, right) for each field that differs; an environment's values show as ***."""
    found = []
    for one in fields(left):
        a, b = getattr(left, one.name), getattr(right, one.name)
        if one.name in _UNCOMPARED or a == b:
            continue
        if one.name == "environment":
            found += [
                (f"environment {name}", "***" if name in a else "absent", "***" if name in b else "absent")
                for name in sorted({*a, *b})
                if a.get(name) != b.get(name)
            ]
        else:
            found.append((one.name, str(a), str(b)))
    return found


def _engine_to_bundle(kernel: str, runtime: Runtime | None) -> dict[str, Any]:
    if runtime:
        return runtime.to_bundle()
    return {"kernel": kernel} if kernel else {}


def _runtime_from_bundle(top: Reader) -> Runtime | None:
    """Return the record's runtime; an engine's record has a kernel."""
    return Runtime.from_bundle(top.data, top.inner(OURS).text("image_identifier"))
