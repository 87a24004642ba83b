"""Which runtime of the target a workload gets, both in an import and in its dry run."""

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
    """The target's runtimes and the user's maps to choose from; with `engines`, the project uses legacy engines."""

    runtimes: Sequence[Runtime]
    maps: Maps
    engines: bool = False

    def _needs_runtime(self, workload: Workload) -> bool:
        """Tell whether it needs a runtime. In a project on engines, only workloads that had one on the source do."""
        return not self.engines or workload.runtime is not None

    def match(self, workload: Workload) -> Match | None:
        """Return the runtime for a workload; None when it needs none, or the target has none with its kernel."""
        if not self._needs_runtime(workload):
            return None
        return self.maps.find(workload.runtime, workload.kernel, self.runtimes)

    def lack(self, workload: Workload) -> Lack | None:
        """Return what is lacking if the workload needs a runtime and the target has none for it; None otherwise."""
        if not self._needs_runtime(workload) or self.match(workload):
            return None
        wanted = str(workload.runtime or workload.kernel or "its engine")
        mapped = self.maps.named(workload.runtime, workload.kernel)
        if mapped:
            note = f"{mapped} for {wanted}, which the target does not have"
            return Lack(note, "add that image to the target's catalogue, or correct the map")
        fix = f"add a runtime for {wanted} to the target, or map it in {map_file(workload)}"
        return Lack(f"the target has no runtime for {wanted}", fix)


def map_file(workload: Workload) -> str:
    """Name the file in which a user can map this workload's runtime or engine."""
    return "runtime-map.yaml" if workload.runtime else "engine-map.yaml"
