"""What the replays of all kinds of workloads need of the target, and what they have in common."""

from __future__ import annotations

import json
import logging
import time
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from cmlutils.errors import ApiError, Rejected
from cmlutils.flows.replaying.steps import Finished
from cmlutils.flows.replaying.translate import Addons, People
from cmlutils.report import Outcome, Status, join
from cmlutils.workloads import PRIVATE, differences

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from cmlutils.flows.replaying.runtime_choice import RuntimeChoice
    from cmlutils.journal import Journal
    from cmlutils.project import ProjectRef
    from cmlutils.remote.v1 import ApiV1
    from cmlutils.remote.v2 import ApiV2
    from cmlutils.runtimes import Match
    from cmlutils.workloads import Workload

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Clock:
    """Time as replay needs it; tests give their own."""

    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep


@dataclass(frozen=True)
class Target:
    """Everything that the replay of a workload needs of the target."""

    v1: ApiV1
    v2: ApiV2
    project: ProjectRef
    journal: Journal
    choice: RuntimeChoice
    clock: Clock = field(default_factory=Clock)

    @cached_property
    def addons(self) -> Addons:
        """The target's add-ons."""
        return Addons(self.v1)

    @cached_property
    def people(self) -> People:
        """The target's users."""
        return People(self.v1)

    def lacks(self, workload: Workload) -> Outcome | None:
        """Return the failure to report for a new workload if the target has no runtime for it; None when it has."""
        lack = self.choice.lack(workload)
        if lack is None:
            return None
        todo = f"{lack.fix}, and import again"
        return Outcome(workload.kind, workload.name, Status.FAILED, note=lack.note, todo=todo)


def lost(wanted: Workload, there: Workload, match: Match | None, *but: str) -> list[str]:
    """Name the fields that the target did not take as wanted, each with the wanted value if that is short.

    Fields named in `but` are passed over.
    """
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
    """Return how a workload was finished; `missing` names the fields that the target did not take."""
    if not missing:
        return Finished(note=note, todo=todo, fallback=fallback)
    names = ", ".join(missing)
    return Finished(
        note=join(note, f"the target did not take {names}"),
        todo=join(f"set by hand: {names}", todo),
        fallback=True,
        needs_hand=True,
    )


def create_by(send: Callable[[Mapping[str, Any]], dict[str, Any]], body: dict[str, Any]) -> dict[str, Any]:
    """Create a thing by sending this body; a target that refuses the environment as an object gets it as a text."""
    try:
        return send(body)
    except Rejected as error:
        if "environment" not in error.message.lower() or not body.get("environment"):
            raise
    return send({**body, "environment": json.dumps(body["environment"])})


def tried(what: str, way: Callable[[], object]) -> bool:
    """Try one way to change something; return False when the target refused it, so that nothing can have changed.

    After any other failure it may have changed: the caller has to read it back.
    """
    try:
        way()
    except Rejected as error:
        log.debug("%s: %s", what, error)
        return error.status >= 500
    except ApiError as error:
        log.debug("%s: %s", what, error)
    return True
