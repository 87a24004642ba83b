"""A job: from a v1 reply, to and from the bundle, to a v1 request."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cmlutils.errors import BundleError
from cmlutils.ours import OURS
from cmlutils.reader import Reader
from cmlutils.runtime import Runtime, engine_to_bundle

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

RECIPIENTS = ("success_recipients", "failure_recipients", "timeout_recipients", "stopped_recipients")
ELSEWHERE = -1  # a parent that the reply names by something else than a number


def parent_of(reply: Mapping[str, Any]) -> int:
    """Return the id of a job's parent; 0 for none. `parent` is an object with an id, or the id itself."""
    parent = reply.get("parent") or reply.get("parent_id")
    parent = parent.get("id") if isinstance(parent, dict) else parent
    if isinstance(parent, bool) or not parent:
        return 0
    return int(parent) if re.fullmatch(r"[0-9]{1,18}", str(parent)) else ELSEWHERE


def fires(reply: Mapping[str, Any]) -> bool:
    """Tell whether something would start this job if it were not paused."""
    return bool(reply.get("schedule") or reply.get("parent") or reply.get("parent_id"))


def _type(parent: int, schedule: str) -> str:
    """Return the type of a job whose record does not say it."""
    return "dependent" if parent else "cron" if schedule else "manual"


def _recipients(reader: Reader) -> dict[str, tuple[str, ...]]:
    """Return who gets which mail. A list's item may be empty or hold several addresses with commas, as a text does."""
    texts = {name: ",".join(reader.texts(name)).split(",") for name in RECIPIENTS}
    found = {name: tuple(one.strip() for one in parts if one.strip()) for name, parts in texts.items()}
    return {name: people for name, people in found.items() if people}


@dataclass(frozen=True)
class Job:
    """A job. `source_id` and `parent_id` are ids on the source; `timeout` is carried over as it was read."""

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
    identified_by = ("name", "script")  # several jobs may have the same

    @classmethod
    def from_v1(cls, reply: object, known: Sequence[Runtime]) -> Job:
        """Read the reply of GET jobs/{id}."""
        top = Reader.of("Job", reply)
        report = top.inner("report")
        parent, schedule = parent_of(top.data), top.text("schedule")
        return cls(
            name=top.required_text("name"),
            script=top.text("script"),
            source_id=top.whole("id"),
            parent_id=parent,
            type=top.text("type", _type(parent, schedule)),
            arguments=top.text("arguments"),
            schedule=schedule,
            timezone=top.text("timezone"),
            kernel=top.text("kernel"),
            runtime=Runtime.of(top, known),
            cpu=top.number("cpu", 1),
            memory=top.number("memory", 1),
            gpus=top.whole("nvidia_gpu"),
            environment=top.environment(),
            timeout=None if top.data.get("timeout") is None else top.whole("timeout"),
            timeout_kill=top.flag("timeout_kill"),
            attachments=report.texts("attachments") or top.texts("attachments"),
            recipients=_recipients(report),
            notifications=top.items("notifications"),
            addons=top.items("addons"),
        )

    def _common(self) -> dict[str, Any]:
        """Return what a bundle's record and a create body have in common."""
        return {
            "name": self.name,
            "script": self.script,
            "arguments": self.arguments,
            "cpu": self.cpu,
            "memory": self.memory,
            "nvidia_gpu": self.gpus,
            "attachments": list(self.attachments),
            "environment": dict(self.environment),
            **({} if self.timeout is None else {"timeout": self.timeout}),
        }

    def to_bundle(self) -> dict[str, Any]:
        """Return the record of jobs-metadata.json."""
        return {
            **self._common(),
            **({"schedule": self.schedule} if self.schedule else {}),
            **({"parent_jobid": self.parent_id} if self.parent_id else {}),
            "timezone": self.timezone,
            "kill_on_timeout": self.timeout_kill,
            "source_jobid": self.source_id,
            **{name: ",".join(people) for name, people in self.recipients.items()},
            **engine_to_bundle(self.kernel, self.runtime),
            OURS: {
                "type": self.type,
                "image_identifier": self.runtime.image if self.runtime else "",
                "notifications": list(self.notifications),
                "addons": list(self.addons),
            },
        }

    @classmethod
    def from_bundle(cls, record: object) -> Job:
        """Read a record of jobs-metadata.json, written by us or by cloudera/cmlutils."""
        top = Reader(record, "jobs-metadata.json: a job", BundleError).named()
        ours = top.inner(OURS)
        parent, schedule = top.whole("parent_jobid"), top.text("schedule")
        return cls(
            name=top.required_text("name"),
            script=top.text("script"),
            source_id=top.whole("source_jobid"),
            parent_id=parent,
            type=ours.text("type", _type(parent, schedule)),
            arguments=top.text("arguments"),
            schedule=schedule,
            timezone=top.text("timezone"),
            kernel=top.text("kernel"),
            runtime=Runtime.from_bundle(top),
            cpu=top.number("cpu", 1),
            memory=top.number("memory", 1),
            gpus=top.whole("nvidia_gpu"),
            environment=top.environment(),
            timeout=None if top.data.get("timeout") is None else top.whole("timeout"),
            timeout_kill=top.flag("kill_on_timeout"),
            attachments=top.texts("attachments"),
            recipients=_recipients(top),
            notifications=ours.items("notifications"),
            addons=ours.items("addons"),
        )

    def to_v1(self) -> dict[str, Any]:
        """Return the body that creates it as a manual job: without schedule or parent, and paused."""
        return {
            **self._common(),
            "type": "manual",
            "paused": True,
            "timezone": self.timezone or "UTC",
            "kernel": self.kernel,
            "timeout_kill": self.timeout_kill,
            "report_attachments": list(self.attachments),
            "notifications": [],
            "recipients": {},
            **{name: list(self.recipients.get(name, ())) for name in RECIPIENTS},
        }
