"""Back-off while a workspace is away: how long to wait for it, and how often to try again."""

from __future__ import annotations

import logging
import random
import time
from dataclasses import dataclass
from datetime import timezone
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from cmlutils.errors import Unreachable

if TYPE_CHECKING:
    from collections.abc import Callable

log = logging.getLogger(__name__)

_SAY_AGAIN = 300.0
GATEWAY = {502, 503, 504}
_CENTURY = 3.2e9  # seconds
_LONGEST_WAIT = 600.0  # seconds: the most that is waited at a time for a Retry-After
_random = random.SystemRandom()


@dataclass(frozen=True)
class Patience:
    """How many seconds one call waits for a workspace that is away; clock and output are parameters for tests."""

    seconds: float = 3600.0
    sleep: Callable[[float], None] = time.sleep
    now: Callable[[], float] = time.monotonic
    say: Callable[[str], None] = log.warning


class NoAnswer(Exception):
    """There was no usable answer. `sent`: whether the request may have been carried out.

    With a `status` there was a reply. `wait`: the seconds that it asks for.
    """

    def __init__(
        self, why: str, *, hint: str = "", sent: bool = True, status: int = 0, wait: float | None = None
    ) -> None:
        super().__init__(why)
        self.why = why
        self.hint = hint
        self.sent = sent
        self.status = status
        self.wait = wait

    @property
    def not_from_api(self) -> bool:
        """Whether something that is not the workspace's API answered: a page, a redirect, JSON that was cut."""
        return 0 < self.status < 400

    @property
    def passes_soon(self) -> bool:
        """Whether the same request may well succeed within seconds, and not later."""
        return self.not_from_api or (self.status >= 500 and self.status not in {*GATEWAY, 501})


class Backoff:
    """The exponential back-off of one call, with jitter, until patience runs out."""

    def __init__(self, host: str, patience: Patience, call: object) -> None:
        self._host = host
        self._patience = patience
        self._call = call
        self._since: float | None = None
        self._tries = 0
        self._said: tuple[str, float] | None = None

    def wait(self, failure: NoAnswer) -> None:
        """Sleep before the next retry; raise Unreachable when patience has run out."""
        now = self._patience.now()
        self._since = now if self._since is None else self._since
        left = self._since + self._patience.seconds - now
        if left <= 0:
            raise Unreachable(
                f"{self._host} {Unreachable.NO_LONGER} within {self._patience.seconds:.0f} s: "
                f"{failure.why}{f' ({self._call})' if failure.sent else ''}.",
                hint="Run the same command again when it is back; it continues where it stopped.",
            ) from failure
        step = min(30.0, 2.0**self._tries)
        pause = max(1.0, _random.uniform(step / 2, step) if failure.wait is None else min(failure.wait, _LONGEST_WAIT))
        self._tries = min(self._tries + 1, 10)
        if self._said is None or self._said[0] != failure.why or now - self._said[1] >= _SAY_AGAIN:
            self._said = (failure.why, now)
            what = f" to answer {self._call}" if failure.sent else ""  # perhaps it does not answer just this
            self._patience.say(f"waiting for {self._host}{what}: {failure.why} (for at most {left:.0f} s more)")
        self._patience.sleep(min(pause, left))


def clock_ahead(date: str) -> float:
    """Return by how many seconds the sender of a Date header is ahead of our clock; 0 if it is no believable date."""
    then = _unix_time(date)
    ahead = 0.0 if then is None else then - time.time()
    return ahead if abs(ahead) < _CENTURY else 0.0


def retry_after(text: str, date: str = "") -> float | None:
    """Return the seconds that a Retry-After header asks for, by a number or a date; None if it is neither.

    `date` is the same reply's Date header: a date is one by the workspace's clock, not by ours.
    """
    text = text.strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    then = _unix_time(text)
    return None if then is None else max(0.0, then - time.time() - clock_ahead(date))


def _unix_time(date: str) -> float | None:
    """Read a date of a header; None if it is none. One without a time zone is in UTC."""
    try:
        when = parsedate_to_datetime(date)
        return (when if when.tzinfo else when.replace(tzinfo=timezone.utc)).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
