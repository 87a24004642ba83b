"""The target as the replays see it: what it offers, and how it is asked to create and to change things."""

from __future__ import annotations

import json
import logging
import time
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from cmlutils.errors import ApiError, Rejected
from cmlutils.flows.replaying.translate import Addons, People

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from cmlutils.flows.replaying.runtime_choice import RuntimeChoice
    from cmlutils.journal import Journal
    from cmlutils.project import ProjectRef
    from cmlutils.remote.v1 import ApiV1
    from cmlutils.remote.v2 import ApiV2

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
    clock: Clock

    @cached_property
    def addons(self) -> Addons:
        """The target's add-ons."""
        return Addons(self.v1)

    @cached_property
    def people(self) -> People:
        """The target's users."""
        return People(self.v1)


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
