"""A shell beside us that outlives a kill -9 of ours for seconds: it ends what we left running, and removes our folders.

It reads a pipe that only we hold open. Every process we start writes its own group into it before it becomes its
program, so there is no moment at which one is unknown. When the pipe ends without a word, each group gets one
SIGINT, which tells cdswctl to close its session (a second might break that off), then a few seconds, then SIGKILL.
It works where there is no parent-death signal (macOS), and reaches the children of a client that is a script.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import os
import signal
import time
from typing import TYPE_CHECKING

from cmlutils.errors import CommandError

if TYPE_CHECKING:
    from pathlib import Path

GRACE = 3.0  # seconds for cdswctl to close its session
_SCRIPT = r"""
trap '' HUP INT TERM
cd /
groups= told=
while read -r word value; do
    case $word in
        group) groups="$groups $value" ;;
        told) told="$told $value " ;;
        gone)
            kept=
            for one in $groups; do
                case $one in "$value":*) ;; *) kept="$kept $one" ;; esac
            done
            groups=$kept ;;
        folder) set -- "$@" "$value" ;;
        end) exit 0 ;;
    esac
done
for one in $groups; do
    case $told in *" ${one%%:*} "*) ;; *) kill -INT "-${one#*:}" ;; esac
done
each() { for one in $groups; do kill "$1" "-${one#*:}" && any=1; done; }
tries=$TENTHS
while [ "$tries" -gt 0 ]; do
    any=
    each -0
    [ "$any" ] || break
    sleep 0.1
    tries=$((tries - 1))
done
each -KILL
[ $# = 0 ] || rm -rf -- "$@"
"""


def _spawn(stdin: int, environ: dict[str, str]) -> int:
    """Start the shell, out of reach of what is sent to our process group or session; return its id."""
    actions = [
        (os.POSIX_SPAWN_DUP2, stdin, 0),
        (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
        (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
    ]
    argv = ["sh", "-c", _SCRIPT]
    try:
        return os.posix_spawn("/bin/sh", argv, environ, file_actions=actions, setsigmask=(), setsid=True)
    except NotImplementedError:
        return os.posix_spawn("/bin/sh", argv, environ, file_actions=actions, setsigmask=(), setpgroup=0)


class Watchdog:
    """One shell; a process that dies by `kill -9` leaves nothing for longer than `grace` seconds and a moment."""

    def __init__(self, grace: float = GRACE) -> None:
        self._grace = grace
        self._numbers = itertools.count(1)
        reader, self._pipe = os.pipe()
        environ = {"PATH": os.environ.get("PATH", os.defpath), "TENTHS": str(round(grace * 10))}
        try:
            self._pid = _spawn(reader, environ)
        except OSError as error:
            os.close(self._pipe)
            raise CommandError(f"The program sh can't be started: {error.strerror}.") from error
        finally:
            os.close(reader)

    def _say(self, words: str) -> None:
        with contextlib.suppress(OSError):  # it was killed: we do without
            os.write(self._pipe, words.encode("utf-8", "surrogateescape") + b"\n")

    def number(self) -> int:
        """Return a number for a process to come; ids of processes are used again, these are not."""
        return next(self._numbers)

    def enrol(self, number: int) -> None:
        """Write down the calling process, between fork and exec, as the leader of its group.

        Raises RuntimeError once the shell was told to end everything: nobody would know of this process.
        """
        if self._pipe < 0:
            raise RuntimeError
        before = signal.signal(signal.SIGPIPE, signal.SIG_IGN)
        self._say(f"group {number}:{os.getpid()}")
        signal.signal(signal.SIGPIPE, before)

    def told(self, number: int) -> None:
        """Note that a group has had its SIGINT from us."""
        self._say(f"told {number}")

    def gone(self, number: int) -> None:
        """Strike a process and its group out."""
        self._say(f"gone {number}")

    def folder(self, path: Path) -> None:
        """Name a folder of ours to be removed if we can't; that it is gone already does no harm."""
        self._say(f"folder {path}")

    def end(self) -> None:
        """Send it away and wait for its end."""
        self._say("end")
        self._close(2)

    def leave(self) -> None:
        """Let it do its work now, while we still live, and wait until it is done."""
        self._close(self._grace + 2)

    def _close(self, seconds: float) -> None:
        pipe, self._pipe = self._pipe, -1  # another thread may still have something to say
        os.close(pipe)
        deadline = time.monotonic() + seconds
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(self._pid, os.WNOHANG) == (0, 0):
                if time.monotonic() > deadline:
                    os.kill(self._pid, signal.SIGKILL)
                time.sleep(0.002)


@functools.cache
def ours() -> Watchdog:
    """Return this process's watchdog, started at first use."""
    return Watchdog()


def dismiss() -> None:
    """End this process's watchdog, if it has one: all is in order."""
    if ours.cache_info().currsize:
        one = ours()
        ours.cache_clear()
        one.end()


def leave() -> None:
    """Let this process's watchdog, if it has one, end all that still runs."""
    if ours.cache_info().currsize:
        ours().leave()
