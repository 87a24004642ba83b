"""Channels of one ssh connection, some of them opened before there is anything to run.

To open one costs two round trips and the start of a login shell. One that waits has done that already: it reads its
script as a line from standard input, and what follows the line is the script's own input.
"""

from __future__ import annotations

import contextlib
import os
from collections import deque
from typing import TYPE_CHECKING

from cmlutils import interrupts
from cmlutils.remote.child import Child, start

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

LONGEST = 32 << 10  # bytes of a script that surely fit into a pipe
# A line that is cut short, or never comes, is no script: it counts as a broken connection.
_WAITER = "exec sh -c 'IFS= read -r script || exit 255; eval \"$script\"'"


class Channels:
    """Channels that `argv`, of ssh and its destination, opens."""

    def __init__(self, argv: Sequence[str]) -> None:
        self._argv = argv
        self._waiting: deque[Child] = deque()

    def prepare(self, count: int) -> None:
        """Have this many waiting; one that can't be opened is none, and what needs it opens its own."""
        with interrupts.held():
            while len(self._waiting) < count:
                self._waiting.append(start([*self._argv, _WAITER], fed=True))

    @contextlib.contextmanager
    def one(self, script: str) -> Iterator[tuple[Child, bytes]]:
        """Yield a channel for `script`, and what it must be fed first; a waiting one if there is any."""
        line = os.fsencode(script) + b"\n"
        with contextlib.ExitStack() as stack:
            with interrupts.held():
                child = self._waiter() if line.count(b"\n") == 1 and len(line) < LONGEST else None
                if child is None:
                    child, line = start([*self._argv, script], fed=True), b""
                stack.callback(_end, child)
            yield child, line

    def _waiter(self) -> Child | None:
        while self._waiting:
            child = self._waiting.popleft()
            if child.poll() is None:
                return child
            _end(child)
        return None

    def close(self) -> None:
        """End those that still wait."""
        with interrupts.held():
            while self._waiting:
                _end(self._waiting.popleft())


def _end(child: Child) -> None:
    with child:  # closes its pipes
        child.end_group()
