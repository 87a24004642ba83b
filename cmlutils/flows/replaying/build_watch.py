"""How long to wait for the build of a model, judging by what looks at it have shown."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cmlutils.flows.replaying.steps import LOOKS

if TYPE_CHECKING:
    from cmlutils.flows.replaying.steps import Record
    from cmlutils.flows.replaying.target import Clock

BUILD_DEADLINE = 1200.0  # seconds that we wait for a build
BUILT, BROKEN = {"built"}, {"build failed", "failed", "timedout", "unknown"}
TRIES = 2  # how often something is requested whose first answer got lost, or looked at after a look that failed
_NO_BUILD_DEADLINE = 5.0  # seconds until a build that was requested has to show


def build_status(record: Record) -> str:
    """Return the status of a model's latest build; empty when it has none."""
    build = record.get("latestModelBuild")
    return str(build.get("status") or "") if isinstance(build, dict) else ""


class BuildWatch:
    """The build of one model, as the looks at it show it. `ended`: it was seen to have ended."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.ended = False
        self._since = 0.0
        self._unseen = 0  # how many looks in a row have failed
        self._unseen_since = 0.0
        self._in_time = True  # whether the last look that did not fail saw it under way

    def give_full_time(self) -> None:
        """Count the time that it may take from now on."""
        self._since = self._clock.now()

    def saw(self, status: str) -> bool:
        """Note the status that a look showed; return whether to go on waiting."""
        self._unseen = 0
        patience = BUILD_DEADLINE if status else _NO_BUILD_DEADLINE
        has_ended = status in BUILT | BROKEN
        self.ended = self.ended or has_ended
        self._in_time = not has_ended and self._clock.now() - self._since < patience
        return self._in_time

    def missed(self) -> bool:
        """Note that a look failed; return whether to go on waiting.

        A look or two may fail, and more for a moment: what was just created may show late.
        """
        self._unseen_since = self._unseen_since if self._unseen else self._clock.now()
        self._unseen += 1
        unseen_for = self._clock.now() - self._unseen_since
        return self._in_time and (self._unseen <= TRIES or unseen_for < sum(LOOKS))
