"""Drive rsync until all is copied: what changed under way is looked at again, what dropped is reopened."""

from __future__ import annotations

import contextlib
import functools
import logging
from collections import deque
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from cmlutils.errors import TransferError, TunnelError
from cmlutils.flows import remaining, shares
from cmlutils.flows.remaining import is_big, is_short
from cmlutils.flows.transfer import Progress, Silent
from cmlutils.remote import process, progress_signal, rsync

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from pathlib import Path

    from cmlutils.entries import Entry
    from cmlutils.flows.remaining import Look, LookAgain
    from cmlutils.flows.rsyncs import Rsyncs
    from cmlutils.flows.transfer import Kept
    from cmlutils.remote.tunnel import Tunnel

log = logging.getLogger(__name__)
ROUNDS = 3
STREAMS = 4  # rsyncs at once
EVERY = 0.2  # seconds between two tellings of progress
PACE = 0.01  # seconds between two looks at rsync's progress, of which there may be 64 KiB by then
TAIL = 400  # bytes of rsync's output in which its last line is found
MAX_ERRORS = 1 << 20  # bytes of rsync's complaints that are worth reading


class Aside(NamedTuple):
    """A folder of ours on the receiving side, where whole new names of the root grow; files grow in place there.

    `end` and `temp` are what rsync is told; `move_in` moves names to where they belong, unless something is there.
    """

    end: str
    temp: str
    move_in: Callable[[Sequence[bytes]], None]


class Mover:
    """Copies one way between the workspace and a local folder; `complaints` are what rsync could not copy.

    `holes` tells which of some large files have holes: only those are worth the search for them, which is slow.
    `resumes` tells whether the receiver's rsync passes `rsync.RESUME_PROBE`.
    """

    def __init__(
        self,
        tunnel: Tunnel,
        ends: tuple[str, str],
        *,
        work: Path,
        partial: str,
        rsyncs: Rsyncs,
        aside: Aside,
        temp: str = "",
    ) -> None:
        self.tunnel, self.ends, self.work, self.aside = tunnel, ends, work, aside
        self.temp, self.partial, self.both = temp, partial, rsyncs.both
        self._asks = progress_signal.answers(rsyncs.ours)
        self.progress: Progress = Silent()
        self.complaints: list[rsync.Complaint] = []
        self.holes: Callable[[Sequence[Entry]], Collection[bytes]] = lambda _: ()
        self.resumes: Callable[[], bool] = lambda: True
        self.space: Callable[[], str] = lambda: "an unknown number of"
        self._number = 0

    def rounds(self, look: LookAgain, kept: Callable[[], Kept], now: Look) -> None:
        """Copy until nothing more is wanted, or no round brings it any nearer.

        `look` says after each round how things are, and hears whether that was cut short; `now` is how they are
        before the first. `kept` is the sender's listing.
        Raises TunnelError when the tunnel drops again and again and nothing gets through in between.
        """
        tried, before, least, aside = 0, list["Entry"](), _weight(now.wanted), True
        while now.wanted and now.wanted != before and tried < ROUNDS:
            self.progress.step("copying")
            self.tunnel.prepare()
            new = now.new if aside and _worth_it(now, kept()) else frozenset[bytes]()
            cut = False
            try:
                if new:
                    self._grow_aside([each for each in now.wanted if _top(each.path) in new], kept(), new)
                    aside, before = False, []
                else:
                    self._run(self._jobs(now.wanted, kept(), streams=1 if tried else STREAMS), now.wanted)
                    tried, before = tried + 1, now.wanted
            except TunnelError as error:
                log.warning("%s", error)
                self.tunnel.reopen()
                before, cut = [], True
            self.progress.step("checking")
            now = look(cut=cut)
            left = _weight(now.wanted) - now.held
            if left < least:
                self.tunnel.progressed()
                least = left

    def _grow_aside(self, wanted: Sequence[Entry], kept: Kept, new: Collection[bytes]) -> None:
        """Copy these whole new names of the root to where nobody looks, then move them in."""
        others = [entry for path, entry in kept.entries.items() if b"/" not in path and path not in new]
        without = [rsync.literal(b"/" + entry.path, folder=entry.kind == "d") for entry in others]
        self._run(self._jobs(wanted, kept, streams=STREAMS, without=without), wanted)
        self.aside.move_in(sorted(new))

    def _jobs(
        self, names: Sequence[Entry], kept: Kept, *, streams: int, without: Sequence[bytes] | None = None
    ) -> list[list[str]]:
        """Build what rsync is told, in parts that may run at once; many small files it finds itself.

        With `without`, rules for what is not meant, all of it goes aside.
        """
        inplace = without is not None
        ends = (self.ends[0], self.aside.end) if inplace else self.ends
        base = {"temp": self.aside.temp if inplace else self.temp}
        big = [entry for entry in names if is_big(entry)]
        few = [entry for entry in names if not is_big(entry)]
        ssh, jobs = self.tunnel.ssh_argv, []
        if not is_short(few):
            excludes = [*(without or ()), *kept.excludes()]
            for share in shares.by_folder(few, kept.entries, streams):
                path = self._file("rules", rsync.rules_file([*share, *excludes]))
                jobs.append(
                    rsync.tree(ssh, *ends, **base, rules=path, both=self.both, inplace=inplace, asked=self._asks)
                )
        elif few:
            path = self._file("names", rsync.names_file(entry.path for entry in few))
            jobs.append(rsync.short(ssh, *ends, **base, names=path, both=self.both))
        sparse = self.holes(big) if big else ()
        partial = self._partial_dir if big else ""
        for some in shares.by_name(big, streams):
            holes = any(entry.path in sparse for entry in some)
            for start in range(0, len(some), remaining.SHORT):
                path = self._file(
                    "names", rsync.names_file(entry.path for entry in some[start : start + remaining.SHORT])
                )
                jobs.append(rsync.big(ssh, *ends, **base, names=path, partial=partial, sparse=holes))
        return jobs

    @functools.cached_property
    def _partial_dir(self) -> str:
        """Return where half files are kept; "" where the receiver's rsync could not go on with them."""
        if self.resumes():
            return self.partial
        log.warning(
            "The rsync at %s can't go on with half a file (mended in 3.4.4): a large one that is cut begins anew.",
            self.ends[1],
        )
        return ""

    def _file(self, kind: str, content: bytes) -> Path:
        self._number += 1
        path = self.work / f"{kind}-{self._number}"
        path.write_bytes(content)
        return path

    def _run(self, jobs: Sequence[list[str]], names: Sequence[Entry]) -> None:
        """Run them, a few at once; raise TransferError for what no repetition helps, TunnelError for a cut."""
        self.complaints = []
        waiting, running, ended = deque(jobs), list[_Stream](), list[_Stream]()
        sizes = [entry.size for entry in names if entry.kind == "f"]
        total, well = sum(sizes), True
        with contextlib.ExitStack() as stack:
            while waiting or running:
                while waiting and len(running) < STREAMS:
                    child = stack.enter_context(process.running(waiting.popleft(), raw=True, pace=PACE, grace=2.0))
                    running.append(_Stream(child))
                for stream in tuple(running):
                    if self._asks:
                        progress_signal.ask(stream.pid)
                    if stream.read(EVERY / len(running)):
                        running.remove(stream)
                        ended.append(stream)
                        well &= self._judge(*stream.end())
                now = [stream.now() for stream in running + ended]
                self.progress.files(sum(each.done for each in now), total, sum(each.sent for each in now), len(sizes))
        if well:  # what was asked last was a moment before the end
            self.progress.files(total, total, len(sizes), len(sizes))

    def _judge(self, code: int, err: bytes) -> bool:
        """Keep what an ended rsync complained of, and tell whether it did all; raise if there is no going on."""
        cause = rsync.cause(code, err)
        self.complaints += rsync.complaints(err)
        if cause == "done":
            return True
        said = process.text(err)
        if cause in {"vanished", "partial"}:
            log.warning("rsync ended with code %d: %s", code, said)
            return False
        if cause == "space":
            raise TransferError(
                f"No space left: {self.space()} bytes are free at {self.ends[1]}.",
                hint="Make room (or inodes) and run it again; it goes on where it stopped.",
            )
        if cause == "fatal":
            raise TransferError(f"rsync ended with exit code {code}: {said}")
        raise TunnelError(f"rsync lost its connection (exit code {code}): {said}")


class _Stream:
    """One rsync under way; of its output, a line a file, only the last one now and then is worth the time."""

    def __init__(self, child: process.Running) -> None:
        self._child, self.pid = child, child.pid
        self._err, self._tail, self._now = bytearray(), b"", rsync.Progress(0, 0)

    def read(self, seconds: float) -> bool:
        """Read on for so long; tell whether it has ended."""
        for name, chunk in self._child.lines(seconds):
            if name == "out":
                self._tail = (self._tail + chunk)[-TAIL:]
            elif len(self._err) < MAX_ERRORS:
                self._err += chunk + b"\n"
        return self._child.ended

    def now(self) -> rsync.Progress:
        """Say how far it is, as it told last."""
        lines = self._tail.replace(b"\n", b"\r").split(b"\r")
        self._now = next(filter(None, map(rsync.progress, reversed(lines))), self._now)
        return self._now

    def end(self) -> tuple[int, bytes]:
        """Return its exit code and its complaints."""
        code = self._child.wait(30)
        self._child.stop()  # others may run for hours, and its number may be somebody else's by then
        return -9 if code is None else code, bytes(self._err)


def _top(path: bytes) -> bytes:
    return path.partition(b"/")[0]


def _worth_it(now: Look, kept: Kept) -> bool:
    """Tell whether much is new; and rsync must be told in few words what else there is at the root."""
    few = (entry for entry in now.wanted if entry.size < rsync.BIG and _top(entry.path) in now.new)
    others = sum(b"/" not in path and path not in now.new for path in kept.entries)
    return any(islice(few, remaining.SHORT, None)) and others <= rsync.MAX_LITERALS


def _weight(entries: Sequence[Entry]) -> int:
    """Say how much there is to copy: bytes, and something for each name."""
    return sum(map(shares.weight, entries))
