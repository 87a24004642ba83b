"""Builds of a project's models on the target, waited for side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cmlutils.errors import Unreachable
from cmlutils.flows.replaying.take_away import with_leftovers

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cmlutils.flows.replaying.models import ModelReplay
    from cmlutils.flows.replaying.target import Clock

AT_ONCE = 5  # builds of a project that are under way at the same time
_DEPLOYS_LATE = (1.0, 2.0, 3.0)  # seconds to wait after each look for a deployment that may follow a build


def build_side_by_side(clock: Clock, models: Sequence[ModelReplay]) -> Iterator[ModelReplay]:
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
            under_way = [one for one in begun if one.see_to_build()]
            before, ended = ended, sum(one.build.ended for one in begun)
            for one in under_way if ended > before else ():
                one.build.give_full_time()
            if under_way or ended > before:  # also gives a deployment that follows a build a moment to show
                clock.sleep(pause)
                pause = longer(pause)
        for late in _DEPLOYS_LATE if any(one.asked_for_build for one in begun) else ():
            for one in begun:
                one.see_to_build()
            clock.sleep(late)
    except Unreachable as error:
        raise with_leftovers(error, begun) from error
    yield from models


def longer(pause: float) -> float:
    """Return how many seconds to wait before the look after the next one."""
    return min(pause * 1.5, 10.0)
