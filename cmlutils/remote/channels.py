"""Channels of one ssh connection, some of which are opened before there is anything to run.

Opening a channel costs two round trips and the start of a login shell. A waiting channel has that behind it: it reads
its script as one line from standard input, escaped for printf's %b; what follows is the script's own input. If none is
ready yet, a new channel with the script on its command line answers sooner: sshd passes no input on before the login
shell runs.
"""

from __future__ import annotations

import contextlib
import os
import select
import shlex
from collections import deque
from typing import TYPE_CHECKING

from cmlutils import interrupts
from cmlutils.remote.child import Child, start

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

LONGEST = 32 << 10  # bytes: a script of this length surely fits into a pipe
LONGEST_TOLD = 100 << 10  # bytes: a script of this length surely fits into one word of a command line
# A line that is cut short, or does not come, is not run: the exit code means that the connection broke.
_WAITER = 'IFS= read -r script && script=$(printf %b "$script") || exit 255; eval "$script"'
# For printf's %b. In single quotes, fish reads two backslashes as one, and tcsh takes no line end and expands `!`.
_ESCAPES = {ord(sign): f"\\0{ord(sign):03o}" for sign in "\\\n'!"}
_TOLD = "script=$(printf %b '{}') || exit 255; eval \"$script\""
MISLED = 253
# sshd starts a shell in the home folder. A shell that is elsewhere was led away by a startup file such as .bashrc, and
# would show something else than the project, or only a part of it. (sshd may also run a command of its own in between,
# which may change the folder on purpose: then nothing is checked.)
_AT_HOME = f"""
misled() {{ pwd >&2; exit {MISLED}; }};
led() {{ grep -qsE "^ *(cd|pushd) " ~/.bashrc ~/.bash_profile ~/.profile; }};
[ "$SSH_ORIGINAL_COMMAND" ] || case $PWD in
    "$HOME"|"") ;;
    "${{HOME:-/}}"/?*) misled ;;
    *) [ "$(pwd -P)" = "$(cd && pwd -P)" ] || ! led || misled ;;
esac;
""".replace("\n", " ")  # a login shell such as tcsh takes no line ends in quotes
_BEGIN = "cmlutil begins"  # written to standard error, where the login shell may have written before


class Channels:
    """The channels of one connection; `argv` is ssh with its options and destination."""

    def __init__(self, argv: Sequence[str]) -> None:
        self._argv = argv
        self._waiting: deque[Child] = deque()

    def prepare(self, count: int) -> None:
        """Open channels until this many are waiting; if one fails, the command that gets it will open its own."""
        with interrupts.held():
            while len(self._waiting) < count:
                self._waiting.append(self._start(_WAITER))

    @contextlib.contextmanager
    def channel(self, script: str) -> Iterator[tuple[Child, bytes]]:
        """Yield a channel for `script`, a waiting one if possible, and the line that it must be fed first."""
        escaped = script.translate(_ESCAPES)
        line = os.fsencode(escaped) + b"\n"
        with contextlib.ExitStack() as stack:
            with interrupts.held():
                child = self._ready() if len(line) < LONGEST else None
                if child is None and len(line) < LONGEST_TOLD:
                    child, line = self._start(_TOLD.format(escaped)), b""
                child = child or self._start(_WAITER)
                stack.callback(_end, child)
            yield child, line

    def _start(self, script: str) -> Child:
        whatever_the_login_shell = f"exec sh -c {shlex.quote(f'echo {_BEGIN} >&2;{_AT_HOME}{script}')}"
        return start([*self._argv, whatever_the_login_shell], fed=True)

    def _ready(self) -> Child | None:
        """Return one that waits for its script, if there is any; take out those that have ended."""
        for child in [*self._waiting]:
            ended = child.poll() is not None
            assert child.stderr is not None  # noqa: S101
            if ended or select.select([child.stderr], [], [], 0)[0]:  # it said _BEGIN
                self._waiting.remove(child)
                if not ended:
                    return child
                _end(child)
        return None

    def close(self) -> None:
        """End the channels that still wait."""
        with interrupts.held():
            while self._waiting:
                _end(self._waiting.popleft())


def own_errors(err: bytes) -> bytes:
    """Return standard error without what ssh or the login shell wrote before the script began."""
    _, begun, after = err.partition(_BEGIN.encode() + b"\n")
    return after if begun else err


def _end(child: Child) -> None:
    with child:  # closes its pipes
        child.end_group()
