"""Scripted trouble: what goes wrong, with which requests or sessions, and how often."""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass, field
from typing import Any

BEFORE = frozenset({"status", "reset", "hang", "html"})
"""Actions that keep the request from having its effect."""
AFTER = frozenset({"status-after", "reset-after", "hang-after", "cut-json", "slow", "wrong-type"})
"""Actions on the answer to a request that had its effect."""
SESSION = frozenset({"silent", "unauthorized", "port-taken", "no-port-flag", "cut", "no-rsync", "refused-key"})
"""Actions on what cdswctl starts."""


@dataclass
class Fault:
    """One kind of trouble.

    HTTP actions, matched by ``method``, ``path`` (a regular expression to search for in the path) and ``containing``
    (one to search for in the body):

    - ``status`` answers ``status`` with ``body`` and ``headers`` and does not do what is asked; ``status-after`` does
      it first (as a 502 after the effect);
    - ``reset`` and ``reset-after`` end the connection with a TCP reset before or after the effect;
    - ``hang`` says nothing for ``seconds`` and resets, without effect; ``hang-after`` does what is asked, then waits;
    - ``html`` answers 200 with a page; ``cut-json`` sends half of the answer; ``wrong-type`` sends an array instead of
      an object or the other way round (or sends ``body``); ``slow`` spreads the answer over ``seconds``.

    Session actions, whose ``path`` is searched for in ``owner/slug``: ``silent`` (cdswctl says nothing and stays),
    ``unauthorized``, ``port-taken``, ``no-port-flag`` (the client does not know ``--port``), ``cut`` (the tunnel dies
    after ``after_bytes``), ``no-rsync``, ``refused-key``.

    The fault hits ``times`` matches in a row, starting with the ``nth`` (None: all from there on).
    """

    action: str
    method: str = ""
    path: str = ""
    containing: str = ""
    nth: int = 1
    times: int | None = 1
    status: int = 503
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    seconds: float = 60
    after_bytes: int = 0
    seen: int = field(default=0, init=False, compare=False)

    def __post_init__(self) -> None:
        if self.action not in BEFORE | AFTER | SESSION:
            known = ", ".join(sorted(BEFORE | AFTER | SESSION))
            raise ValueError(f"no fault is called {self.action!r}; there are {known}")
        re.compile(self.path)
        re.compile(self.containing)

    def befalls(self) -> bool:
        """Count a match, and tell whether the fault hits it."""
        self.seen += 1
        return self.seen >= self.nth and (self.times is None or self.seen < self.nth + self.times)


class Faults:
    """The faults of one workspace; safe to use from any thread."""

    def __init__(self, faults: list[Fault]) -> None:
        self._lock = threading.Lock()
        self._faults = faults

    def add(self, *faults: Fault) -> None:
        """Have these faults happen from now on."""
        with self._lock:
            self._faults.extend(faults)

    def clear(self) -> None:
        """Remove all faults."""
        with self._lock:
            self._faults.clear()

    def for_request(self, method: str, path: str, body: bytes) -> Fault | None:
        """Return the fault that hits this request, or None; every matching fault counts the request."""
        text = body.decode(errors="replace")
        with self._lock:
            return _first(
                [
                    fault
                    for fault in self._faults
                    if fault.action not in SESSION
                    and fault.method in {"", method}
                    and re.search(fault.path, path)
                    and re.search(fault.containing, text)
                ]
            )

    def for_session(self, project: str, *actions: str) -> Fault | None:
        """Return the fault with one of these actions that hits a session of ``owner/slug``, or None."""
        with self._lock:
            return _first([f for f in self._faults if f.action in actions and re.search(f.path, project)])


def _first(matching: list[Fault]) -> Fault | None:
    hit = [fault for fault in matching if fault.befalls()]
    return hit[0] if hit else None
