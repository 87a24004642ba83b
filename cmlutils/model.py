"""A model with its last build: from a v1 reply, to and from the bundle, to v1 requests."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cmlutils.errors import BundleError
from cmlutils.ours import OURS
from cmlutils.reader import Reader
from cmlutils.runtime import Runtime, engine_to_bundle

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

LIVE = {"pending", "deploying", "deployed"}  # statuses of a deployment; one that is in neither set is unknown to us
_NOT_LIVE = {"", "stopping", "stopped", "failed"}


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
    identified_by = ("name",)

    @classmethod
    def from_v1(cls, reply: object, known: Sequence[Runtime]) -> Model:
        """Read one item of list-models."""
        top = Reader.of("Model", reply)
        build, deployment = top.inner("latestModelBuild"), top.inner("latestModelDeployment")
        resources = top.inner("defaultResources")
        policy = (
            top.inner("defaultReplicationPolicy")
            if top.data.get("defaultReplicationPolicy")
            else deployment.inner("replicationPolicy")
        )
        runtime_id = build.whole("runtimeId")
        has = deployment if deployment.data.get("cpuMillicores") else resources
        return cls(
            name=top.required_text("name"),
            description=top.text("description"),
            visibility=top.text("visibility", "private"),
            auth_enabled=top.flag("authEnabled", default=True),
            file=build.text("targetFilePath"),
            function=build.text("targetFunctionName"),
            comment=build.text("comment"),
            kernel=build.text("kernel"),
            runtime=Runtime("", id=runtime_id).among(known) if runtime_id else None,
            cpu_millicores=resources.whole("cpuMillicores", has.whole("cpuMillicores", 1000)),
            memory_mb=resources.whole("memoryMb", has.whole("memoryMb", 2048)),
            gpus=resources.whole("nvidiaGPUs", has.whole("nvidiaGPUs")),
            replicas=policy.whole("numReplicas", 1),
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
            **engine_to_bundle(self.kernel, self.runtime),
            OURS: {
                "visibility": self.visibility,
                "image_identifier": self.runtime.image if self.runtime else "",
                "cpu_millicores": self.cpu_millicores,
                "memory_mb": self.memory_mb,
                "gpus": self.gpus,
                "replicas": self.replicas,
                "environment": dict(self.environment),
                "examples": list(self.examples),
            },
        }

    @classmethod
    def from_bundle(cls, record: object) -> Model:
        """Read a record of models-metadata.json, written by us or by cloudera/cmlutils."""
        top = Reader(record, "models-metadata.json: a model", BundleError).named()
        ours = top.inner(OURS)
        return cls(
            name=top.required_text("name"),
            description=top.text("description"),
            visibility=ours.text("visibility", "private"),
            auth_enabled=not top.flag("disable_authentication"),
            file=top.text("file_path"),
            function=top.text("function_name"),
            comment=top.text("comment"),
            kernel=top.text("kernel"),
            runtime=Runtime.from_bundle(top),
            cpu_millicores=ours.whole("cpu_millicores", 1000),
            memory_mb=ours.whole("memory_mb", 2048),
            gpus=ours.whole("gpus"),
            replicas=ours.whole("replicas", 1),
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
            "environment": dict(self.environment),
        }

    def to_v1(self) -> dict[str, Any]:
        """Return the body of create-model: it builds what was ever built on the source, and never deploys."""
        return {
            "name": self.name,
            "description": self.description,
            "visibility": self.visibility,
            "authEnabled": self.auth_enabled,
            "autoBuildModel": bool(self.file),
            "autoDeployModel": False,
            **self.build_body(),
        }


def live_status(record: Mapping[str, Any]) -> str:
    """Return the status of the latest deployment in a workspace's record of a model; empty if none is live.

    A status that we do not know is returned, too: the deployment may be live.
    """
    deployment = record.get("latestModelDeployment")
    status = str(deployment.get("status") or "") if isinstance(deployment, dict) else ""
    return "" if status in _NOT_LIVE else status
