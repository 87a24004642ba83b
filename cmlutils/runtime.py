"""A runtime: from a v1 reply, to and from the bundle."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from cmlutils.ours import OURS
from cmlutils.reader import Reader

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True)
class Runtime:
    """A runtime as a workspace lists it; `id` is valid on that workspace only (0: unknown)."""

    image: str
    kernel: str = ""
    editor: str = ""
    edition: str = ""
    short_version: str = ""
    full_version: str = ""
    id: int = 0
    enabled: bool = True

    @classmethod
    def from_v1(cls, reply: object) -> Runtime:
        """Read an item of GET runtimes, or the runtime object inside a workload."""
        top = Reader(reply, "A runtime")
        number = top.whole("id")
        top.what = f"Runtime {number}"
        return cls(
            image=top.text("imageIdentifier"),
            kernel=top.text("kernel"),
            editor=top.text("editor"),
            edition=top.text("edition"),
            short_version=top.text("shortVersion"),
            full_version=top.text("fullVersion"),
            id=number,
            enabled=(top.text("status") or "ENABLED").upper() in {"ENABLED", "AVAILABLE"},
        )

    @classmethod
    def of(cls, workload: Reader, known: Sequence[Runtime]) -> Runtime | None:
        """Return a workload's runtime, as the workspace's list has it if it does; None if it has an engine."""
        inner = workload.inner("runtime").data
        return cls.from_v1(inner).among(known) if inner else None

    def among(self, known: Sequence[Runtime]) -> Runtime:
        """Return the same runtime from a workspace's list: by id, else image, else kernel, editor, edition and version.

        If only an id is known and it is not in the list, the runtime gets an image that no catalogue has, so that it is
        not taken for an engine.
        """
        for one in known:
            if self.id == one.id if self.id else self._same(one):
                return one
        return self if self.image or self.kernel else replace(self, image=f"unknown-runtime-{self.id}")

    def _same(self, other: Runtime) -> bool:
        if self.image:
            return self.image == other.image
        return bool(self.kernel) and self.to_bundle() == other.to_bundle()

    def to_bundle(self) -> dict[str, str]:
        """Return the fields that cloudera/cmlutils writes for a runtime."""
        return {
            "runtime_kernel": self.kernel,
            "runtime_editor": self.editor,
            "runtime_edition": self.edition,
            "runtime_shortversion": self.short_version,
            "runtime_fullversion": self.full_version,
        }

    @classmethod
    def from_bundle(cls, top: Reader) -> Runtime | None:
        """Read the runtime of a workload's record; None if it has neither those fields nor an image, but an engine."""
        image = top.inner(OURS).text("image_identifier") or top.text("runtime_identifier")
        if not image and not top.text("runtime_kernel"):
            return None
        return cls(
            image=image,
            kernel=top.text("runtime_kernel"),
            editor=top.text("runtime_editor"),
            edition=top.text("runtime_edition"),
            short_version=top.text("runtime_shortversion"),
            full_version=top.text("runtime_fullversion"),
        )

    def __str__(self) -> str:
        words = " ".join(filter(None, (self.kernel, self.editor, self.edition, self.full_version)))
        return words or self.image


def engine_to_bundle(kernel: str, runtime: Runtime | None) -> dict[str, str]:
    """Return the part of a bundle's record that names the runtime or the engine."""
    if runtime:
        return runtime.to_bundle()
    return {"kernel": kernel} if kernel else {}
