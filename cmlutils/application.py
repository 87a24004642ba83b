"""An application: from a v1 reply, to and from the bundle, to a v1 request."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cmlutils.errors import BundleError
from cmlutils.ours import OURS
from cmlutils.reader import Reader
from cmlutils.runtime import Runtime, engine_to_bundle

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ENDED = {"stopped", "failed"}  # does not run: one that failed is started again by people alone


def hidden_in(record: Mapping[str, Any]) -> set[str]:
    """Name the fields that a v1 reply leaves out, as that of a stopped application without a dashboard may."""
    if record.get("currentDashboard"):
        return set()
    sizes = set[str]() if "cpu" in record else {"cpu", "memory", "gpus"}
    return sizes if record.get("runtime") else sizes | {"runtime"}


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
    identified_by = ("subdomain",)

    @classmethod
    def from_v1(cls, reply: object, known: Sequence[Runtime]) -> Application:
        """Read an application as the workspace shows it. One that never ran has no dashboard."""
        top = Reader.of("Application", reply)
        board = top.inner("currentDashboard")
        has = board if board.data.get("cpu") is not None else top
        return cls(
            name=top.required_text("name"),
            subdomain=top.required_text("subdomain"),
            script=top.text("script"),
            description=top.text("description"),
            bypass_authentication=top.flag("bypass_authentication"),
            kernel=board.text("kernel") or top.text("kernel"),
            runtime=Runtime.of(board, known) or Runtime.of(top, known),
            cpu=has.number("cpu", 1),
            memory=has.number("memory", 1),
            gpus=board.whole("nvidiaGpu", top.whole("nvidia_gpu")),
            environment=top.environment(),
            addons=top.items("addons"),
        )

    def _common(self) -> dict[str, Any]:
        """Return what a bundle's record and a create body have in common."""
        return {
            "name": self.name,
            "subdomain": self.subdomain,
            "script": self.script,
            "description": self.description,
            "bypass_authentication": self.bypass_authentication,
            "cpu": self.cpu,
            "memory": self.memory,
            "nvidia_gpu": self.gpus,
            "environment": dict(self.environment),
        }

    def to_bundle(self) -> dict[str, Any]:
        """Return the record of applications-metadata.json."""
        return {
            **self._common(),
            **engine_to_bundle(self.kernel, self.runtime),
            OURS: {
                "image_identifier": self.runtime.image if self.runtime else "",
                "addons": list(self.addons),
            },
        }

    @classmethod
    def from_bundle(cls, record: object) -> Application:
        """Read a record of applications-metadata.json, written by us or by cloudera/cmlutils."""
        top = Reader(record, "applications-metadata.json: an application", BundleError).named()
        return cls(
            name=top.required_text("name"),
            subdomain=top.required_text("subdomain"),
            script=top.text("script"),
            description=top.text("description"),
            bypass_authentication=top.flag("bypass_authentication"),
            kernel=top.text("kernel"),
            runtime=Runtime.from_bundle(top),
            cpu=top.number("cpu", 1),
            memory=top.number("memory", 1),
            gpus=top.whole("nvidia_gpu"),
            environment=top.environment(),
            addons=top.inner(OURS).items("addons"),
        )

    def to_v1(self) -> dict[str, Any]:
        """Return the create body, without runtime."""
        return {**self._common(), "type": "manual", "kernel": self.kernel}
