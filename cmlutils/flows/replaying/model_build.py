"""A model's build on the target: asked for where the target did not begin it at creation, and waited for."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from cmlutils.flows.replaying.steps import Record
    from cmlutils.flows.replaying.target import Clock

BUILD_DEADLINE = 1200.0  # seconds that a build may take before it is left to itself
BUILT, BROKEN = {"built"}, {"build failed", "failed", "timedout", "unknown"}
TRIES = 2  # for what may be asked for again when the first answer got lost
_NO_BUILD_DEADLINE = 5.0  # seconds until a build that was asked for has to show
_NO_BUILD_LOOKS = (0.0, 0.5, 1.0)  # seconds before each look for a build that was asked for at creation
_DEPLOYS_LATE = (1.0, 2.0, 3.0)  # seconds before each look for a deployment that may follow a build


class ModelBuild:
    """The build of one model.

    `read` returns the model of an id, and raises CannotBeInertError when it is deployed. `ask` asks for a build, and
    tells whether the target agrees.
    """

    def __init__(self, clock: Clock, read: Callable[[str], Record], ask: Callable[[str], bool]) -> None:
        self._clock, self._read, self._ask = clock, read, ask
        self.ended = False  # as it was last seen
        self._asked = False
        self._since: float | None = None  # None: not begun

    def begin(self, model_id: str) -> None:
        """Have it begun, once: the target may have done so by itself."""
        if self._since is not None:
            return
        for _ in range(TRIES):
            if self._asked or self._is_there(model_id):
                break
            self._asked = self._ask(model_id)
        self.wait_longer()

    def wait_longer(self) -> None:
        """Let the time that it may take begin anew."""
        self._since = self._clock.now()

    def _is_there(self, model_id: str) -> bool:
        """Tell whether a build is there; one that was asked for at creation may take a moment to show."""
        for pause in _NO_BUILD_LOOKS:
            self._clock.sleep(pause)
            if self._read(model_id).get("latestModelBuild"):
                return True
        return False

    def is_under_way(self, model_id: str) -> bool:
        """Look at the model, and tell whether its build was begun and may still end well and in time."""
        status = build_status(self._read(model_id))
        patience = BUILD_DEADLINE if status else _NO_BUILD_DEADLINE
        in_time = self._since is not None and self._clock.now() - self._since < patience
        self.ended = status in BUILT | BROKEN
        return in_time and not self.ended

    def wait(self, model_id: str) -> Record:
        """Wait for the build to end, looking at each turn that nothing is deployed; return the model."""
        pause = 0.2
        while self.is_under_way(model_id):
            self._clock.sleep(pause)
            pause = longer(pause)
        self._clock.sleep(pause)  # a deployment that follows the build has a moment to show
        for late in _DEPLOYS_LATE if self._asked else ():  # a target may deploy what it is asked to build
            self._read(model_id)
            self._clock.sleep(late)
        return self._read(model_id)


def longer(pause: float) -> float:
    """Return the seconds before the next look at a build."""
    return min(pause * 1.5, 10.0)


def build_status(record: Record) -> str:
    """Return how far a model's latest build has come; empty when it has none."""
    build = record.get("latestModelBuild")
    return str(build.get("status") or "") if isinstance(build, dict) else ""
