"""Finds out whether a workspace is to blame for a failure: asks it, waits while it is away, gives up if it refuses."""

from __future__ import annotations

import hashlib
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cmlutils.errors import ApiError, CmlutilError, Rejected, Unauthorized, Unreachable
from cmlutils.flows.connect import connect

if TYPE_CHECKING:
    from collections.abc import Callable

    from cmlutils.section import Section

UNKNOWN_SECONDS = 60.0  # patience with a workspace that never answered: more likely the url is wrong
_LONGEST_PAUSE = 60.0


def login_of(section: Section) -> str:
    """Return a digest that identifies the user and key of a section."""
    one = section.workspace
    text = f"{one.username}\0{one.api_key.reveal()}\0{one.key_command}"
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def ask(section: Section) -> tuple[str, str]:
    """Ask a workspace whether it answers and accepts the key; return "fine", "away" or "refused", and why."""
    try:
        with connect(section, patience=0):
            return "fine", ""
    except Unauthorized as error:
        return "refused", error.message
    except Unreachable as error:
        return "away", error.message
    except Rejected as error:
        return ("away", error.message) if error.status >= 500 else ("fine", "")
    except ApiError as error:
        return "away", error.message  # a page or a redirect: something else answers in its place
    except CmlutilError:
        return "fine", ""  # not the workspace's fault: the project's own error says more


@dataclass
class Gate:
    """Whether projects may use a workspace: open, closed while the workspace is asked or away, or lost for good."""

    url: str
    patience: float
    say: Callable[[str], None]
    ask: Callable[[Section], tuple[str, str]] = ask
    now: Callable[[], float] = time.monotonic
    answered: bool = False
    lost: str = ""
    refused: dict[str, str] = field(default_factory=dict)
    _asked: threading.Thread | None = None
    _answer: tuple[str, str] = ("", "")
    _section: Section | None = None
    _since: float | None = None
    _pause: float = 0.0
    _next: float = 0.0

    @property
    def open(self) -> bool:
        """Whether a project may start."""
        return self._section is None and not self.lost

    @property
    def waits(self) -> bool:
        """Whether the workspace is away at the moment."""
        return self._since is not None

    def doubt(self, section: Section) -> None:
        """Close the gate and have the workspace asked; its answer opens the gate again or makes it lost."""
        if self._section is None and not self.lost:
            self._section, self._since, self._pause, self._next = section, None, 1.0, self.now()

    def look(self) -> None:
        """Ask the workspace when it is time, and act on the answer when it has come; never block."""
        if self._section is None:
            return
        if self._asked is None:
            if self.now() >= self._next:
                self._asked = threading.Thread(target=self._put, args=(self._section,), daemon=True)
                self._asked.start()
        elif not self._asked.is_alive():
            self._asked = None
            self._heard(self._section, *self._answer)

    def _put(self, section: Section) -> None:
        self._answer = self.ask(section)

    def _heard(self, section: Section, state: str, why: str) -> None:
        now = self.now()
        if state != "away":
            if self._since is not None:
                self.say(f"{self.url} is back after {now - self._since:.0f} s")
            if state == "refused" and login_of(section) not in self.refused:
                self.refused[login_of(section)] = why
                self.say(f"{why} No more projects with this key are started.")
            self.answered = True
            self._section = self._since = None
            return
        patience = self.patience if self.answered else min(self.patience, UNKNOWN_SECONDS)
        if self._since is None:
            self._since = now
            self.say(f"waiting for {self.url}, {patience / 60:.0f} min at most: {why}")
        if now - self._since >= patience:
            self.lost = why
            self._section = self._since = None
            self.say(f"{self.url} did not come back: its projects are not started.")
            return
        self._pause = min(self._pause * 2, _LONGEST_PAUSE)
        self._next = min(now + self._pause, self._since + patience)
