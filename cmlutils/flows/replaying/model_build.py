"""Builds of models on the target: asked for where it did not begin one at creation, and waited for side by side."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from cmlutils.errors import ApiError, Unreachable
from cmlutils.flows.replaying.take_away import with_leftovers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from cmlutils.flows.replaying.models import ModelReplay
    from cmlutils.flows.replaying.steps import Record
    from cmlutils.flows.replaying.target import Clock, Target

log = logging.getLogger(__name__)
AT_ONCE = 5  # so many builds of a project are under way at a time
BUILD_DEADLINE = 1200.0  # seconds that a build may take before it is left to itself
BUILT, BROKEN = {"built"}, {"build failed", "failed", "timedout", "unknown"}
TRIES = 2  # for what may be asked for again when the first answer got lost, or a look that failed
_NO_BUILD_DEADLINE = 5.0  # seconds until a build that was asked for has to show
_NO_BUILD_LOOKS = (0.0, 0.5, 1.0)  # seconds before each look for a build that was asked for at creation
_DEPLOYS_LATE = (1.0, 2.0, 3.0)  # seconds after each look for a deployment that may follow a build


def built_side_by_side(target: Target, models: Sequence[ModelReplay]) -> Iterator[ModelReplay]:
    """Create these models and have a few built at the same time; yield each when all builds have ended.

    All that were begun are looked at in each turn. The time that builds may take begins anew when one of them has
    ended: the target may build them one after another.
    """
    begun: list[ModelReplay] = []
    under_way: list[ModelReplay] = []
    ended, pause = 0, 0.2
    try:
        while under_way or len(begun) < len(models):
            for one in models[len(begun) : len(begun) + AT_ONCE - len(under_way)]:
                begun.append(one)
                one.begin()
            under_way = [one for one in begun if one.is_being_built()]
            before, ended = ended, sum(one.build.ended for one in begun)
            for one in under_way if ended > before else ():
                one.build.wait_longer()
            if under_way or ended > before:  # a deployment that follows a build has a moment to show
                target.clock.sleep(pause)
                pause = longer(pause)
        for late in _DEPLOYS_LATE if any(one.build.asked for one in begun) else ():
            for one in begun:
                one.is_being_built()
            target.clock.sleep(late)
    except Unreachable as error:
        raise with_leftovers(error, begun) from error
    yield from models


def longer(pause: float) -> float:
    """Return the seconds before the next look at the builds."""
    return min(pause * 1.5, 10.0)


def build_status(record: Record) -> str:
    """Return how far a model's latest build has come; empty when it has none."""
    build = record.get("latestModelBuild")
    return str(build.get("status") or "") if isinstance(build, dict) else ""


class ModelBuild:
    """The build of one model.

    `read` returns the model of an id, and raises CannotBeInertError when it is deployed. `ask` asks for a build, and
    tells whether the target agrees.
    """

    def __init__(self, clock: Clock, read: Callable[[str], Record], ask: Callable[[str], bool]) -> None:
        self._clock, self._read, self._ask = clock, read, ask
        self.asked = self.ended = self._begun = False
        self._since = 0.0
        self._unseen = 0  # so many looks in a row have failed
        self._in_time = True  # whether the one before those saw it under way

    def is_under_way(self, model_id: str) -> bool:
        """Have it begun, look at it, and tell whether it may still end well and in time; a look or two may fail."""
        try:
            self._begin(model_id)
            status = build_status(self._read(model_id))
        except ApiError as error:
            log.debug("build of model %s: %s", model_id, error)
            self._unseen += 1
            return self._in_time and self._unseen <= TRIES
        self._unseen = 0
        patience = BUILD_DEADLINE if status else _NO_BUILD_DEADLINE
        has_ended = status in BUILT | BROKEN
        self.ended = self.ended or has_ended
        self._in_time = not has_ended and self._clock.now() - self._since < patience
        return self._in_time

    def wait_longer(self) -> None:
        """Let the time that it may take begin anew."""
        self._since = self._clock.now()

    def _begin(self, model_id: str) -> None:
        """Have it begun, once: the target may have done so by itself."""
        if self._begun:
            return
        for _ in range(TRIES):
            if self.asked or self._is_there(model_id):
                break
            self.asked = self._ask(model_id)
        self._begun = True
        self.wait_longer()

    def _is_there(self, model_id: str) -> bool:
        """Tell whether a build is there; one that was asked for at creation may take a moment to show."""
        for pause in _NO_BUILD_LOOKS:
            self._clock.sleep(pause)
            if self._read(model_id).get("latestModelBuild"):
                return True
        return False
