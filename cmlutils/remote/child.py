"""A child process: in a group of its own that the watchdog knows. The only import of subprocess in this package.

A child gets its own session, so a Ctrl-C on the terminal reaches us alone and we end it in order. The watchdog
knows its process group, so not even a kill -9 of ours leaves one behind. Nothing of ours runs between fork and exec:
we have threads, and one of them might hold a lock just then. The signals that we hear are back at their defaults in it.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import signal
import subprocess
from typing import TYPE_CHECKING

from cmlutils.errors import CommandError
from cmlutils.remote import watchdog
from cmlutils.section import KEY_VARIABLES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

log = logging.getLogger(__name__)
_NOT_STARTED = {
    errno.ENOEXEC: "It was made for another kind of machine.",
    errno.EACCES: "Its folder may be mounted noexec: let TMPDIR name another one.",
}
PACKAGES = {"rsync": "rsync", "ssh": "openssh-client", "ssh-keygen": "openssh-client"}  # of Debian, by program


class Child(subprocess.Popen[bytes]):
    """A program in a process group of its own, of which the watchdog knows.

    `outspoken`: it holds both ends of its output, so that writing after we were killed does not end it with SIGPIPE.
    """

    def __init__(
        self, argv: Sequence[str | bytes], env: Mapping[str, str] | None, *, fed: bool, outspoken: bool = False
    ) -> None:
        self.program = os.fsdecode(argv[0])
        self._ended = False
        self._dog = watchdog.ours()
        with _pipes(both_ends=outspoken) as (readers, writers), self._dog.starting() as mark:
            super().__init__(
                list(argv),
                env=_for_child(env) | mark,
                stdin=subprocess.PIPE if fed else subprocess.DEVNULL,
                stdout=writers[0],
                stderr=writers[1],
                pass_fds=readers,
                start_new_session=True,
                cwd=_standing_place(),
            )
            self._number = self._dog.enrol(self.pid)
            if readers:
                self.stdout, self.stderr = (open(reader, "rb") for reader in readers)  # noqa: PTH123, SIM115

    def feed(self, data: bytes) -> None:
        """Write all of the program's input, which must be little enough for a pipe to hold."""
        assert self.stdin is not None  # noqa: S101
        with contextlib.suppress(BrokenPipeError):
            self.stdin.write(data)
            self.stdin.close()

    def wait_for(self, seconds: float) -> int | None:
        """Wait at most so many seconds for the program to end; return its exit code, or None."""
        try:
            return self.wait(seconds)
        except subprocess.TimeoutExpired:
            return None

    def signal_group(self, number: int) -> None:
        """Send a signal to the program and to what it started."""
        if number == signal.SIGINT:
            self._dog.told(self._number)
        with contextlib.suppress(OSError):
            os.killpg(self.pid, number)

    def end_group(self) -> int:
        """Kill what is left of the program and of what it started, once; return its exit code."""
        if not self._ended:
            self.signal_group(signal.SIGKILL)
            self.wait()
            self._dog.gone(self._number)
            self._ended = True
        return self.wait()


@contextlib.contextmanager
def _pipes(*, both_ends: bool) -> Iterator[tuple[list[int], list[int]]]:
    """Make pipes for a child's output, of which it gets both ends: yields those to read and to write."""
    if not both_ends:
        yield [], [subprocess.PIPE, subprocess.PIPE]
        return
    pipes = [os.pipe(), os.pipe()]
    readers, writers = ([pipe[end] for pipe in pipes] for end in (0, 1))
    with contextlib.ExitStack() as always, contextlib.ExitStack() as on_failure:
        for reader, writer in pipes:
            always.callback(os.close, writer)
            on_failure.callback(os.close, reader)
        yield readers, writers
        on_failure.pop_all()


def _standing_place() -> str | None:
    """Return where a child is to begin when the folder that we are in was deleted: rsync would not start there."""
    try:
        os.getcwd()  # noqa: PTH109
    except OSError:
        return "/"
    return None


def _for_child(env: Mapping[str, str] | None) -> dict[str, str]:
    """Return a child's environment: ours without API keys, and without what would change how rsync works."""
    ours = env or os.environ
    return {name: ours[name] for name in ours if name not in KEY_VARIABLES.values() and not name.startswith("RSYNC_")}


def start(
    argv: Sequence[str | bytes],
    env: Mapping[str, str] | None = None,
    *,
    fed: bool = False,
    secret: str = "",
    outspoken: bool = False,
) -> Child:
    """Start a program, its pipes open (standard input only if `fed`); raise CommandError if it can't be started.

    No secret belongs into `argv`, as any user of the machine can see it; no word of it that is in `secret` is logged.
    """
    program = os.fsdecode(argv[0])
    log.debug("running %s", " ".join("***" if os.fsdecode(word) in secret else os.fsdecode(word) for word in argv))
    try:
        return Child(argv, env, fed=fed, outspoken=outspoken)
    except FileNotFoundError as error:
        package = PACKAGES.get(program)
        hint = f"apt-get install {package}, or brew install {program}." if package else "Check the path."
        raise CommandError(f"The program {program} is not installed.", hint=hint) from error
    except OSError as error:
        hint = _NOT_STARTED.get(error.errno or 0, "")
        raise CommandError(f"The program {program} can't be started: {error.strerror}.", hint=hint) from error
    except RuntimeError as error:
        raise CommandError(f"The program {program} was not started: the run is ending.") from error
    except ValueError as error:
        raise CommandError(f"The program {program} can't be given a name with a NUL in it.") from error
