"""How a signal ends a run: it interrupts anything but a clean-up, and all clean-ups together have a few seconds.

Python runs a signal's handler between any two steps of the main thread, in a `finally` too: raised there, it
would leave undone what the `finally` is for. `held()` keeps it out until the block is over.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from cmlutils.errors import Interrupted

if TYPE_CHECKING:
    from collections.abc import Iterator

SECONDS = 5.5  # for all clean-ups together; the user is promised ten


class _Heard:
    """The signal that ends this process. It is global, as signals belong to the whole process."""

    def __init__(self) -> None:
        self.signum = 0
        self.deadline = 0.0
        self.holds = 0
        self.raised = False

    def let_go(self) -> None:
        if self.signum and not self.holds and not self.raised:
            self.raised = True
            raise Interrupted(self.signum)


_heard = _Heard()


def forget() -> None:
    """Forget any signal, at the beginning or end of a run."""
    _heard.signum, _heard.deadline, _heard.raised = 0, 0.0, False


def hear(signum: int) -> None:
    """Take note of a signal, and raise Interrupted unless a clean-up is under way; later signals change nothing."""
    if not _heard.signum:
        _heard.signum, _heard.deadline = signum, time.monotonic() + SECONDS
    _heard.let_go()


def lost() -> None:
    """Take note that Python ignored Interrupted, as it does where a finaliser raises it; the next signal raises it."""
    _heard.raised = False


def over() -> None:
    """Let no signal interrupt any more: the report says how the run ended, and nothing else is left to do."""
    _heard.raised = True


@contextmanager
def held() -> Iterator[None]:
    """Let no signal interrupt this block; one that came meanwhile is raised at the end of the outermost such block."""
    _heard.holds += 1
    try:
        yield
    finally:
        _heard.holds -= 1
        _heard.let_go()


def ending() -> bool:
    """Tell whether a signal has come, so that only cleaning up is left to do."""
    return bool(_heard.signum)


def at_most(seconds: float) -> float:
    """Return how long a step may take: `seconds`, or what is left of the time to clean up after a signal."""
    if not _heard.signum:
        return seconds
    return min(seconds, max(_heard.deadline - time.monotonic(), 0.1))
