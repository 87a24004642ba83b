"""Scripted trouble: what goes wrong, with which request or session, how often."""

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

    HTTP actions, matched by ``method``, ``path`` (a regular expression searched in the path) and ``containing`` (one
    searched in the body):

    - ``status`` answers ``status`` with ``body`` and ``headers`` instead of doing anything; ``status-after`` does it
      first (502 after the effect);
    - ``reset`` and ``reset-after`` end the connection with a TCP reset before or after the effect;
    - ``hang`` says nothing for ``seconds`` and resets, without effect; ``hang-after`` does the request, then waits;
    - ``html`` answers 200 with a page; ``cut-json`` half of the answer; ``wrong-type`` an array for an object and the
      other way round (or ``body``); ``slow`` spreads the answer over ``seconds``.

    Session actions, matched against ``owner/slug`` by ``path``: ``silent`` (cdswctl says nothing and stays),
    ``unauthorized``, ``port-taken``, ``no-port-flag`` (the client does not know ``--port``), ``cut`` (the tunnel dies
    after ``after_bytes``), ``no-rsync``, ``refused-key``.

    The fault befalls the ``nth`` match and as many in a row as ``times`` says (None: all from there on).
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
        """Count one more match and tell whether it is hit."""
        self.seen += 1
        return self.seen >= self.nth and (self.times is None or self.seen < self.nth + self.times)


class Faults:
    """The faults of one workspace; safe to use from any thread."""

    def __init__(self, faults: list[Fault]) -> None:
        self._lock = threading.Lock()
        self._faults = faults

    def add(self, *faults: Fault) -> None:
        """Let these happen from now on."""
        with self._lock:
            self._faults.extend(faults)

    def clear(self) -> None:
        """Let nothing happen any more."""
        with self._lock:
            self._faults.clear()

    def for_request(self, method: str, path: str, body: bytes) -> Fault | None:
        """Return the fault that befalls this request, or None; every fault that matches counts it."""
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
        """Return the fault of one of these kinds that befalls a session of ``owner/slug``, or None."""
        with self._lock:
            return _first([f for f in self._faults if f.action in actions and re.search(f.path, project)])


def _first(matching: list[Fault]) -> Fault | None:
    hit = [fault for fault in matching if fault.befalls()]
    return hit[0] if hit else None
