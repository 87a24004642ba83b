"""Which runtime of the target a workload gets; an import and its dry run choose alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cmlutils.runtime import Runtime
    from cmlutils.runtimes import Maps, Match
    from cmlutils.workloads import Workload


class Lack(NamedTuple):
    """What the target does not have for a workload, and what a person can do about it."""

    note: str
    fix: str


@dataclass(frozen=True)
class RuntimeChoice:
    """What there is to choose from; with `engines`, the project has legacy engines."""

    runtimes: Sequence[Runtime]
    maps: Maps
    engines: bool = False

    def needs_runtime(self, workload: Workload) -> bool:
        """Tell whether it needs a runtime: in a project on engines only one that has a runtime on the source."""
        return not self.engines or workload.runtime is not None

    def match(self, workload: Workload) -> Match | None:
        """Return the runtime for a workload; None when it needs none, or the target has none of its kernel."""
        if not self.needs_runtime(workload):
            return None
        return self.maps.find(workload.runtime, workload.kernel, self.runtimes)

    def lack(self, workload: Workload) -> Lack | None:
        """Say that the target has no runtime for a workload which needs one; None when it has."""
        if not self.needs_runtime(workload) or self.match(workload):
            return None
        wanted = str(workload.runtime or workload.kernel or "its engine")
        mapped = self.maps.named(workload.runtime, workload.kernel)
        if mapped:
            note = f"{mapped} for {wanted}, which the target does not have"
            return Lack(note, "add that image to the target's catalogue, or correct the map")
        fix = f"add a runtime for {wanted} to the target, or map it in {map_file(workload)}"
        return Lack(f"the target has no runtime for {wanted}", fix)


def map_file(workload: Workload) -> str:
    """Name the file in which a user may map this one's runtime, or engine."""
    return "runtime-map.yaml" if workload.runtime else "engine-map.yaml"
