"""What every replay of a workload needs of the target, and what they share."""

from __future__ import annotations

import json
import logging
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cmlutils.errors import ApiError, Rejected
from cmlutils.flows.replaying.steps import Finished
from cmlutils.project import LEGACY_ENGINE
from cmlutils.report import Outcome, Status, join
from cmlutils.workloads import PRIVATE, differences

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from cmlutils.journal import Journal
    from cmlutils.project import ProjectRef
    from cmlutils.remote.v1 import ApiV1
    from cmlutils.remote.v2 import ApiV2
    from cmlutils.runtimes import Maps, Match, Runtime
    from cmlutils.workloads import Workload

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Clock:
    """Time as replay needs it; tests give their own."""

    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep


@dataclass(frozen=True)
class Target:
    """All that a replay step needs of the target."""

    v1: ApiV1
    v2: ApiV2
    project: ProjectRef
    journal: Journal
    runtimes: Sequence[Runtime]
    maps: Maps
    clock: Clock = field(default_factory=Clock)

    @property
    def on_engines(self) -> bool:
        """Whether the project has legacy engines."""
        return self.project.engine_type == LEGACY_ENGINE

    def needs_runtime(self, workload: Workload) -> bool:
        """Tell whether it needs a runtime: in a project on engines only one that has a runtime on the source."""
        return not self.on_engines or workload.runtime is not None

    def match(self, workload: Workload) -> Match | None:
        """Return the runtime for a workload; None when it needs none, or the target has none of its kernel."""
        if not self.needs_runtime(workload):
            return None
        return self.maps.find(workload.runtime, workload.kernel, self.runtimes)

    def lacks(self, workload: Workload, match: Match | None) -> Outcome | None:
        """Return the outcome of a workload that is not there yet, and for which the target has no runtime."""
        if match is not None or not self.needs_runtime(workload):
            return None
        wanted = str(workload.runtime or workload.kernel or "its engine")
        mapped = self.maps.named(workload.runtime, workload.kernel)
        note = f"the target has no runtime for {wanted}"
        todo = f"Add a runtime for {wanted} to the target (or map it in {map_file(workload)}), import again."
        if mapped:
            note = f"{mapped} for {wanted}, which the target does not have"
            todo = "Add that image to the target's catalogue, or correct the map, and import again."
        return Outcome(workload.kind, workload.name, Status.FAILED, note=note, todo=todo)


def map_file(workload: Workload) -> str:
    """Name the file in which a user may map this one's runtime, or engine."""
    return "runtime-map.yaml" if workload.runtime else "engine-map.yaml"


def lost(wanted: Workload, there: Workload, match: Match | None, *but: str) -> list[str]:
    """Name the fields that the target did not take as wanted, with the value wanted where it is short."""
    found = []
    if match and there.runtime and there.runtime.id != match.runtime.id:
        found.append(f"runtime ({match.runtime})")
    for what, left, _ in differences(wanted, there):
        if what in but or what.partition(" ")[0] in but:
            continue
        if what.startswith("environment ") and left == "absent":
            continue  # the target may add variables of its own
        unsaid = what in PRIVATE or what.startswith("environment ") or len(left) > 60
        found.append(what if unsaid else f"{what} ({left})")
    return found


def finished(note: str, todo: str, missing: Sequence[str], *, fallback: bool) -> Finished:
    """Return the result for a workload of which the target did not take these fields."""
    if not missing:
        return Finished(note=note, todo=todo, fallback=fallback)
    names = ", ".join(missing)
    return Finished(
        note=join(note, f"the target did not take {names}"),
        todo=join(f"set by hand: {names}", todo),
        fallback=True,
        needs_hand=True,
    )


def create(send: Callable[[Mapping[str, Any]], dict[str, Any]], body: dict[str, Any]) -> dict[str, Any]:
    """Create with this body; a target that refuses an environment as object gets it as text."""
    try:
        return send(body)
    except Rejected as error:
        if "environment" not in error.message.lower() or not body.get("environment"):
            raise
    return send({**body, "environment": json.dumps(body["environment"])})


def tried(what: str, way: Callable[[], object]) -> bool:
    """Try one way to change something; return False when the target refused it, so that nothing can have changed.

    After any other failure it may have changed: who reads it back will see.
    """
    try:
        way()
    except Rejected as error:
        log.debug("%s: %s", what, error)
        return error.status >= 500
    except ApiError as error:
        log.debug("%s: %s", what, error)
    return True
