"""Drive rsync until all is copied: what changed under way is looked at again, what dropped is reopened."""

from __future__ import annotations

import contextlib
import logging
from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from cmlutils.entries import above
from cmlutils.errors import TransferError, TunnelError
from cmlutils.flows.copying import shares
from cmlutils.flows.copying.remaining import divided, top, total_weight, worth_staging
from cmlutils.flows.copying.stream import STREAMS, STREAMS_NEAR, Copy, Stream, streaming
from cmlutils.progress import FileProgress
from cmlutils.remote import process, progress_signal, rsync

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
    from pathlib import Path

    from cmlutils.entries import Entry
    from cmlutils.flows.copying.listing import KeptListing
    from cmlutils.flows.copying.recopy import Recopies
    from cmlutils.flows.copying.remaining import LookAgain, Parts, Remaining
    from cmlutils.flows.copying.rsyncs import Rsyncs
    from cmlutils.progress import Progress
    from cmlutils.remote.tunnel import Tunnel

log = logging.getLogger(__name__)
ROUNDS = 3
EVERY = 0.2  # seconds between two tellings of progress
NEAR = 0.03  # seconds of round trip, up to which two channels fill a gigabit link


class Receiver(NamedTuple):
    """The receiving side of a copy, and its staging folder, where large files and whole new names of the root grow.

    The first five are what rsync is told: where to copy to, directly or by way of the staging folder, its temporary
    folder for either, and where it all belongs. `move_in` moves names of the root there unless something is in the way,
    `land` those of some large files that are whole, and it says why one could not be moved. `free` says what is free.
    """

    end: str
    temp: str
    staging_end: str
    staging_temp: str
    basis: str
    resolution_ns: int
    move_in: Callable[[Sequence[bytes]], None]
    land: Callable[[Sequence[Entry]], Iterable[rsync.Complaint]]
    free: Callable[[], str]


class Mover:
    """Copies one way between the workspace and a local folder; `complaints` are what rsync could not copy.

    `sender` is where rsync copies from. `holes` tells which of some large files there have holes: only those are worth
    the search for them, which is slow. `recopies` are copied however equal they look.
    """

    def __init__(
        self,
        tunnel: Tunnel,
        sender: str,
        receiver: Receiver,
        *,
        work: Path,
        rsyncs: Rsyncs,
        holes: Callable[[Sequence[Entry]], Collection[bytes]],
        recopies: Recopies,
        progress: Progress,
    ) -> None:
        self.tunnel, self.sender, self.receiver, self.work = tunnel, sender, receiver, work
        self.both = replace(rsyncs.both, resolution_ns=receiver.resolution_ns)
        self.holes, self.recopies, self.progress = holes, recopies, progress
        self.complaints: list[rsync.Complaint] = []
        self._asks = progress_signal.answers(rsyncs.ours)
        self._number = 0

    def rounds(self, look: LookAgain, kept: Callable[[], KeptListing], now: Remaining) -> None:
        """Copy until nothing more is wanted, or a round makes no progress.

        `look` says after each round how things are, and hears whether that was cut short; `now` is how they are
        before the first. `kept` is the sender's listing. The recopies come before all that.
        Raises TunnelError when the tunnel drops again and again and nothing gets through in between.
        """
        now = self._recopy(look, kept) if self.recopies.entries else now
        tried, before, least, staging = 0, list["Entry"](), total_weight(now.wanted), True
        while now.wanted and now.wanted != before and tried < ROUNDS:
            self.progress.step("copying")
            new = now.new if staging and worth_staging(now, kept()) else frozenset[bytes]()
            cut = False
            try:
                if new:
                    self._copy_staged([each for each in now.wanted if top(each.path) in new], kept(), new)
                    staging, before = False, []
                else:
                    self._copy(now.wanted, kept(), streams=1 if tried else self._streams())
                    tried, before = tried + 1, now.wanted
            except TunnelError as error:
                log.warning("%s", error)
                self.tunnel.reopen()
                before, cut = [], True
            self.progress.step("checking")
            now = look(cut=cut)
            left = total_weight(now.wanted) - now.partial_bytes
            if left < least:
                self.tunnel.progressed()
                least = left

    def _recopy(self, look: LookAgain, kept: Callable[[], KeptListing]) -> Remaining:
        """Copy what looks equal and may not be, some names at a time, each until a copy of it was not cut."""
        cut = False
        while some := self.recopies.some():
            self.progress.step("copying")
            try:
                self._copy(some, kept(), streams=1, anew=True)
            except TunnelError as error:
                log.warning("%s", error)
                self.tunnel.reopen()
                cut = True
            else:
                self.recopies.tried(some, self.complaints)
                self.tunnel.progressed()
        self.progress.step("checking")
        return look(cut=cut)

    def _copy_staged(self, wanted: Sequence[Entry], kept: KeptListing, new: Collection[bytes]) -> None:
        """Copy these whole new names of the root to where nobody looks, then move them in."""
        others = [entry for path, entry in kept.entries.items() if b"/" not in path and path not in new]
        without = [rsync.literal(b"/" + entry.path, folder=entry.kind == "d") for entry in others]
        self._copy(wanted, kept, streams=self._streams(), without=without)
        self.receiver.move_in(sorted(new))

    def _streams(self) -> int:
        return STREAMS_NEAR if self.tunnel.answered_in <= NEAR else STREAMS

    def _copy(
        self,
        names: Sequence[Entry],
        kept: KeptListing,
        *,
        streams: int,
        without: Sequence[bytes] | None = None,
        anew: bool = False,
    ) -> None:
        """Copy these; with `without`, rules for what is not meant, all goes to the staging folder and stays there.

        `anew`: however equal they look.
        """
        parts = divided(names, anew=anew)
        copies = self._copies(parts, kept, streams, without)
        self.complaints = [rsync.Complaint(each.path, "its path is too long for rsync") for each in parts.too_long]
        self._run(copies, names)

    def _copies(self, parts: Parts, kept: KeptListing, streams: int, without: Sequence[bytes] | None) -> list[Copy]:
        """Build what rsync is told, in pieces that may run at once."""
        inplace, there = without is not None, self.receiver
        ends = self.sender, there.staging_end if inplace else there.end
        base = {"temp": there.staging_temp if inplace else there.temp}
        ssh, copies = self.tunnel.ssh_argv, list[Copy]()
        if parts.by_rules:
            path = self._file("rules", rsync.rules_file(rsync.only(entry.path for entry in parts.by_rules)))
            copies.append(Copy(rsync.by_rules(ssh, *ends, **base, rules=path, both=self.both)))
        if parts.tree:
            excludes = [*(without or ()), *kept.excludes()]
            for share in shares.by_folder(parts.tree, kept.entries, streams):
                path = self._file("rules", rsync.rules_file([*share, *excludes]))
                argv = rsync.tree(ssh, *ends, **base, rules=path, both=self.both, inplace=inplace, asked=self._asks)
                copies.append(Copy(argv))
        if parts.listed:
            path = self._file("names", rsync.names_file(entry.path for entry in parts.listed))
            copies.append(Copy(rsync.short(ssh, *ends, **base, names=path, both=self.both)))
        return [*copies, *self._big_copies(parts.large, land=not inplace)]

    def _big_copies(self, big: Sequence[Entry], *, land: bool) -> Iterator[Copy]:
        """Build one for each large file, the largest first; each may land, and give back room, when it has come."""
        holes = self.holes(big) if big else ()
        there = self.receiver
        for entry in sorted(big, key=lambda entry: -entry.size):
            path, sparse = self._file("names", rsync.names_file([entry.path])), entry.path in holes
            argv = rsync.big(
                self.tunnel.ssh_argv, self.sender, there.staging_end,
                temp=there.staging_temp, names=path, basis=there.basis, both=self.both, sparse=sparse,
            )  # fmt: skip
            yield Copy(argv, entry if land else None)

    def _file(self, kind: str, content: bytes) -> Path:
        self._number += 1
        path = self.work / f"{kind}-{self._number}"
        path.write_bytes(content)
        return path

    def _run(self, copies: Sequence[Copy], names: Sequence[Entry]) -> None:
        """Run them, a few at once; raise TransferError for what no repetition helps, TunnelError for a cut."""
        self.tunnel.prepare()  # for the look afterwards
        coming, late = {entry.path for entry in names}, list["Entry"]()
        waiting, running, done, sent = deque(copies), list[Stream](), 0, 0
        sizes = [entry.size for entry in names if entry.kind == "f"]
        total, well = sum(sizes), True
        with contextlib.ExitStack() as stack:
            while waiting or running:
                while waiting and len(running) < self._streams():
                    running.append(stack.enter_context(streaming(waiting.popleft())))
                for stream in tuple(running):
                    if self._asks:
                        progress_signal.ask(stream.pid)
                    if stream.read(EVERY / len(running)):
                        running.remove(stream)
                        done, sent = done + stream.now().done, sent + stream.now().sent
                        well &= self._judge(*stream.end())
                        if stream.lands and coming.isdisjoint(above(stream.lands.path)):
                            self.complaints += self.receiver.land([stream.lands])
                        elif stream.lands:
                            late.append(stream.lands)
                now = [stream.now() for stream in running]
                done_now, sent_now = done + sum(each.done for each in now), sent + sum(each.sent for each in now)
                self.progress.files(FileProgress(done_now, total, sent_now, len(sizes)))
        if late:  # by now the folders that they lie in have come, too
            self.complaints += self.receiver.land(late)
        if well:  # what was asked last was a moment before the end
            self.progress.files(FileProgress(total, total, len(sizes), len(sizes)))

    def _judge(self, code: int, err: bytes) -> bool:
        """Keep what an ended rsync complained of, and tell whether it did all; raise if there is no going on."""
        cause = rsync.cause(code, err)
        found = rsync.complaints(err)
        self.complaints += found
        if cause == "done":
            return True
        said = process.text(err)
        if cause == "partial" and not found:
            self.complaints.append(rsync.Complaint(b"", said))
        if cause in {"vanished", "partial"}:
            log.warning("rsync ended with code %d: %s", code, said)
            return False
        if cause == "space":
            raise TransferError(
                f"No space left: {self.receiver.free()} are free at {self.receiver.end}.",
                hint="Make room (or inodes) and run it again; it goes on where it stopped.",
            )
        if cause == "fatal":
            raise TransferError(f"rsync ended with exit code {code}: {said}")
        raise TunnelError(f"rsync lost its connection (exit code {code}): {said}")
