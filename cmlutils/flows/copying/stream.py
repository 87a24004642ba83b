"""One running rsync: how far it is, and how it ends."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, NamedTuple

from cmlutils.remote import process, rsync

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cmlutils.entries import Entry

STREAMS, STREAMS_NEAR = 4, 2  # rsyncs at a time; a far connection needs more channels to be filled
PACE = 0.01  # seconds between two reads of rsync's progress, of which it may write much
TAIL = 400  # bytes of rsync's output in which its last line is found
MAX_ERRORS = 1 << 20  # bytes of rsync's complaints that are worth reading


class Copy(NamedTuple):
    """The command line of one rsync; `lands` is a large file that is moved to its place when it has arrived."""

    argv: list[str]
    lands: Entry | None = None


@contextlib.contextmanager
def streaming(copy: Copy) -> Iterator[Stream]:
    """Run an rsync during the block; it is stopped at the end."""
    with process.running(copy.argv, pace=PACE, grace=2.0) as child:
        yield Stream(child, copy.lands)


class Stream:
    """One running rsync. It may write a line for each file, so only the last line is looked at, now and then."""

    def __init__(self, child: process.Running, lands: Entry | None) -> None:
        self._child, self.pid, self.lands = child, child.pid, lands
        self._err, self._tail, self._now = bytearray(), b"", rsync.ProgressLine(0)

    def read(self, seconds: float) -> bool:
        """Read its output for this long; return whether it has ended."""
        for name, chunk in self._child.chunks(seconds):
            if name == "out":
                self._tail = (self._tail + chunk)[-TAIL:]
            elif len(self._err) < MAX_ERRORS:
                self._err += chunk
        return self._child.ended

    def now(self) -> rsync.ProgressLine:
        """Return how far it was when it last said so."""
        lines = self._tail.replace(b"\n", b"\r").split(b"\r")
        self._now = next(filter(None, map(rsync.progress, reversed(lines))), self._now)
        return self._now

    def end(self) -> tuple[int, bytes]:
        """Return its exit code and its complaints."""
        code = self._child.wait(30)
        self._child.stop()  # now, and not hours later, when its process id may belong to another program
        return -9 if code is None else code, bytes(self._err)
