"""Builds of models on the target: requested where creating the model began none, and waited for side by side."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from cmlutils.errors import ApiError, Unreachable
from cmlutils.flows.replaying.steps import LOOKS
from cmlutils.flows.replaying.take_away import with_leftovers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from cmlutils.flows.replaying.models import ModelReplay
    from cmlutils.flows.replaying.steps import Record
    from cmlutils.flows.replaying.target import Clock, Target

log = logging.getLogger(__name__)
AT_ONCE = 5  # builds of a project that are under way at the same time
BUILD_DEADLINE = 1200.0  # seconds that we wait for a build
BUILT, BROKEN = {"built"}, {"build failed", "failed", "timedout", "unknown"}
TRIES = 2  # how often something is requested whose first answer got lost, or looked at after a look that failed
_NO_BUILD_DEADLINE = 5.0  # seconds until a build that was requested has to show
_NO_BUILD_LOOKS = (0.0, 0.5, 1.0)  # seconds to wait before each look for the build that creating the model should begin
_DEPLOYS_LATE = (1.0, 2.0, 3.0)  # seconds to wait after each look for a deployment that may follow a build


def built_side_by_side(target: Target, models: Sequence[ModelReplay]) -> Iterator[ModelReplay]:
    """Create these models, a few being built at the same time; when all builds have ended, yield the models.

    Each turn looks at all models created so far. When a build ends, the others get their full time again, as the target
    may build them one after another.
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
            if under_way or ended > before:  # also gives a deployment that follows a build a moment to show
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
    """Return how many seconds to wait before the look after the next one."""
    return min(pause * 1.5, 10.0)


def build_status(record: Record) -> str:
    """Return the status of a model's latest build; empty when it has none."""
    build = record.get("latestModelBuild")
    return str(build.get("status") or "") if isinstance(build, dict) else ""


class ModelBuild:
    """The build of one model.

    `read` returns the model with an id, and raises CannotBeInertError when it is deployed. `ask` requests a build, and
    returns whether the target agreed. `asked`: one was requested. `ended`: it was seen to have ended.
    """

    def __init__(self, clock: Clock, read: Callable[[str], Record], ask: Callable[[str], bool]) -> None:
        self._clock, self._read, self._ask = clock, read, ask
        self.asked = self.ended = self._begun = False
        self._since = 0.0
        self._unseen = 0  # how many looks in a row have failed
        self._unseen_since = 0.0
        self._in_time = True  # whether the last look that did not fail saw it under way

    def is_under_way(self, model_id: str) -> bool:
        """Make sure that it has begun, and tell whether to go on waiting for it.

        A look or two may fail, and more for a moment: what was just created may show late.
        """
        try:
            self._begin(model_id)
            status = build_status(self._read(model_id))
        except ApiError as error:
            log.debug("build of model %s: %s", model_id, error)
            self._unseen_since = self._unseen_since if self._unseen else self._clock.now()
            self._unseen += 1
            unseen_for = self._clock.now() - self._unseen_since
            return self._in_time and (self._unseen <= TRIES or unseen_for < sum(LOOKS))
        self._unseen = 0
        patience = BUILD_DEADLINE if status else _NO_BUILD_DEADLINE
        has_ended = status in BUILT | BROKEN
        self.ended = self.ended or has_ended
        self._in_time = not has_ended and self._clock.now() - self._since < patience
        return self._in_time

    def wait_longer(self) -> None:
        """Give it its full time again."""
        self._since = self._clock.now()

    def _begin(self, model_id: str) -> None:
        """Make sure, the first time, that a build begins: creating the model may have begun one already."""
        if self._begun:
            return
        for _ in range(TRIES):
            if self.asked or self._is_there(model_id):
                break
            self.asked = self._ask(model_id)
        self._begun = True
        self.wait_longer()

    def _is_there(self, model_id: str) -> bool:
        """Tell whether the target shows a build; one that began at creation may take a moment to show."""
        for pause in _NO_BUILD_LOOKS:
            self._clock.sleep(pause)
            if self._read(model_id).get("latestModelBuild"):
                return True
        return False
