"""Channels of one ssh connection, some of them opened before there is anything to run.

To open one costs two round trips and the start of a login shell. One that waits has done that already: it reads its
script as a line from standard input, in the form of printf's %b, and what follows the line is the script's own input.
"""

from __future__ import annotations

import contextlib
import os
import shlex
from collections import deque
from typing import TYPE_CHECKING

from cmlutils import interrupts
from cmlutils.remote.child import Child, start

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

LONGEST = 32 << 10  # bytes of a script that surely fit into a pipe
# A line that is cut short, or never comes, is no script: it counts as a broken connection.
_WAITER = 'IFS= read -r script && script=$(printf %b "$script") || exit 255; eval "$script"'
MISLED = 253
# sshd begins in the home folder. Where no command of its own is in between, which may go elsewhere, a shell that is not
# there was led away by a startup file such as .bashrc: what it shows is not the project, or only a part of it.
_AT_HOME = f"""
misled() {{ pwd >&2; exit {MISLED}; }};
led() {{ grep -qsE "^ *(cd|pushd) " ~/.bashrc ~/.bash_profile ~/.profile; }};
[ "$SSH_ORIGINAL_COMMAND" ] || case $PWD in
    "$HOME"|"") ;;
    "${{HOME:-/}}"/?*) misled ;;
    *) [ "$(pwd -P)" = "$(cd && pwd -P)" ] || ! led || misled ;;
esac;
""".replace("\n", " ")  # no line ends: a login shell such as tcsh has none in quotes
_BEGIN = "cmlutil begins"  # on standard error, where a login shell may have complained before


class Channels:
    """Channels that `argv`, of ssh and its destination, opens."""

    def __init__(self, argv: Sequence[str]) -> None:
        self._argv = argv
        self._waiting: deque[Child] = deque()

    def prepare(self, count: int) -> None:
        """Have this many channels waiting; where one can't be opened, the command that needs it opens its own."""
        with interrupts.held():
            while len(self._waiting) < count:
                self._waiting.append(self._start(_WAITER))

    @contextlib.contextmanager
    def one(self, script: str) -> Iterator[tuple[Child, bytes]]:
        """Yield a channel for `script`, and what it must be fed first; a waiting one if there is any."""
        line = os.fsencode(script.replace("\\", r"\\").replace("\n", r"\n")) + b"\n"
        with contextlib.ExitStack() as stack:
            with interrupts.held():
                if len(line) < LONGEST:
                    child = self._waiter() or self._start(_WAITER)
                else:
                    child, line = self._start(script), b""
                stack.callback(_end, child)
            yield child, line

    def _start(self, script: str) -> Child:
        whatever_the_login_shell = f"exec sh -c {shlex.quote(f'echo {_BEGIN} >&2;{_AT_HOME}{script}')}"
        return start([*self._argv, whatever_the_login_shell], fed=True)

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


def own_errors(err: bytes) -> bytes:
    """Leave out what the login shell, or ssh, complained of before the script began."""
    _, begun, after = err.partition(_BEGIN.encode() + b"\n")
    return after if begun else err


def _end(child: Child) -> None:
    with child:  # closes its pipes
        child.end_group()
