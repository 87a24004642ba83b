"""A shell that outlives a kill -9 of ours for some seconds, ends what we left running, and removes our folders.

It reads from a pipe that only we hold open. Every process that we start is announced there, as the leader of its group.
One that was just started, and not announced yet, is found by a token in its environment, if there is a /proc; without
one, that moment is a gap. When the pipe ends without the word `end`, each group gets one SIGINT, which tells cdswctl to
close its session (a second one might interrupt that), then a few seconds, then SIGKILL. This also works where there is
no parent-death signal (macOS), and for the children of a client that is a script.
"""

from __future__ import annotations

import contextlib
import functools
import os
import secrets
import signal
import threading
import time
from typing import TYPE_CHECKING

from cmlutils import interrupts
from cmlutils.errors import CommandError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MARK = "CMLUTILS_WATCHED"  # the variable that holds the token
GRACE = 3.0  # seconds for cdswctl to close its session
_SCRIPT = r"""
trap '' HUP INT TERM
cd /
token=$1 groups= told= last=0
shift
while read -r word value; do
    case $word in
        group) groups="$groups $value" last=${value%%:*} ;;
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
for one in $(grep -Fls "$token-$((last + 1))." /proc/[0-9]*/environ); do
    one=${one#/proc/} groups="$groups 0:${one%/environ}"
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


def _spawn(stdin: int, token: str, environ: dict[str, str]) -> int:
    """Start the shell, out of reach of signals to our process group or session; return its process id."""
    actions = [
        (os.POSIX_SPAWN_DUP2, stdin, 0),
        (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
        (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
    ]
    argv = ["sh", "-c", _SCRIPT, "sh", token]
    try:
        return os.posix_spawn("/bin/sh", argv, environ, file_actions=actions, setsigmask=(), setsid=True)
    except NotImplementedError:
        return os.posix_spawn("/bin/sh", argv, environ, file_actions=actions, setsigmask=(), setpgroup=0)


class Watchdog:
    """The shell of one process: if that dies by `kill -9`, what it left is gone in little more than `grace` seconds."""

    def __init__(self, grace: float = GRACE) -> None:
        self._grace = grace
        self._count = 0
        self._token = secrets.token_hex(16)
        self._starting = threading.Lock()
        reader, self._pipe = os.pipe()
        environ = {"PATH": os.environ.get("PATH", os.defpath), "TENTHS": str(round(grace * 10))}
        try:
            self._pid = _spawn(reader, self._token, environ)
        except OSError as error:
            os.close(self._pipe)
            raise CommandError(f"The program sh can't be started: {error.strerror}.") from error
        finally:
            os.close(reader)

    def _say(self, words: str) -> None:
        with contextlib.suppress(OSError):  # the shell was killed: we go on without
            os.write(self._pipe, words.encode("utf-8", "surrogateescape") + b"\n")

    @contextlib.contextmanager
    def starting(self) -> Iterator[dict[str, str]]:
        """Let a process be started and enrolled within the block; yield what has to be in its environment.

        Raises RuntimeError once the shell was told to end everything, as it would not know of this process.
        """
        with self._starting:
            if self._pipe < 0:
                raise RuntimeError
            yield {MARK: f"{self._token}-{self._count + 1}."}

    def enrol(self, pid: int) -> int:
        """Announce a process as the leader of its group; return a number for it which, unlike its id, is not reused."""
        self._count += 1
        self._say(f"group {self._count}:{pid}")
        return self._count

    def told(self, number: int) -> None:
        """Tell the shell that this group already got a SIGINT from us."""
        self._say(f"told {number}")

    def gone(self, number: int) -> None:
        """Tell the shell that this process and its group are gone."""
        self._say(f"gone {number}")

    def remove_later(self, folder: Path) -> None:
        """Have a folder of ours removed in case we can't; it may be gone by then."""
        self._say(f"folder {folder}")

    def end(self) -> None:
        """End the shell without letting it end anything, and wait until it is gone."""
        self._say("end")
        if not self._close(2):
            os.kill(self._pid, signal.SIGKILL)
            os.waitpid(self._pid, 0)

    def leave(self) -> None:
        """Let the shell do its work now, while we still live, and wait for it; on a slow machine it outlives us."""
        self._close(self._grace + 0.3)

    def _close(self, seconds: float) -> bool:
        """Close the pipe, and tell whether the shell has ended within these seconds."""
        alone = self._starting.acquire(timeout=1)  # so that what is just being started gets enrolled
        pipe, self._pipe = self._pipe, -1  # another thread may still have something to say
        if alone:
            self._starting.release()
        if pipe >= 0:  # else another thread has closed it, and waits as well
            os.close(pipe)
        deadline = time.monotonic() + seconds
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(self._pid, os.WNOHANG) == (0, 0):
                if time.monotonic() > deadline:
                    return False
                time.sleep(0.002)
        return True


@functools.cache
def ours() -> Watchdog:
    """Return this process's watchdog, started at first use."""
    return Watchdog()


def dismiss() -> None:
    """End this process's watchdog, if it has one.

    If a signal has come, it first ends what still runs: the signal may have cut a clean-up short as that began.
    """
    if ours.cache_info().currsize:
        one = ours()
        ours.cache_clear()
        if interrupts.ending():
            one.leave()
        else:
            one.end()


def leave() -> None:
    """Let this process's watchdog, if it has one, end all that still runs."""
    if ours.cache_info().currsize:
        ours().leave()
