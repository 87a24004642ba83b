"""Run rsync until everything is copied: look again at what changed meanwhile, reopen a tunnel that dropped."""

from __future__ import annotations

import contextlib
import logging
from collections import deque
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
EVERY = 0.2  # seconds between two updates of the progress
NEAR = 0.03  # seconds: up to this round trip, two channels fill a gigabit link


class Sender(NamedTuple):
    """The sending side of a copy.

    `kept` returns its current listing. `holes` returns which of some large files have holes, as only these are worth
    rsync's slow search for them.
    """

    folder: str
    kept: Callable[[], KeptListing]
    holes: Callable[[Sequence[Entry]], Collection[bytes]]


class Receiver(NamedTuple):
    """The receiving side of a copy, and its staging folder, where large files and whole new names of the root grow.

    `basis` is the absolute path of the folder where everything belongs in the end. `move_in` moves names at the root of
    staging there, unless something is in the way. `land` moves those of some large files that are complete, and
    returns why others could not be moved. `free` says how much room is left.
    """

    goal: rsync.Place
    staging: rsync.Place
    basis: str
    resolution_ns: int
    move_in: Callable[[Sequence[bytes]], None]
    land: Callable[[Sequence[Entry]], Iterable[rsync.Complaint]]
    free: Callable[[], str]


class Mover:
    """Copies from one side to the other by rsync; `complaints` name what it could not copy."""

    def __init__(
        self, tunnel: Tunnel, sender: Sender, receiver: Receiver, rsyncs: Rsyncs, work: Path, progress: Progress
    ) -> None:
        self.tunnel, self.sender, self.receiver = tunnel, sender, receiver
        self.both, self.work, self.progress = rsyncs.both, work, progress
        self.complaints: list[rsync.Complaint] = []
        self._asks = progress_signal.answers(rsyncs.ours)
        self._number = 0
        self._meanwhile: Callable[[], None] | None = None

    def rounds(self, now: Remaining, look: LookAgain, recopies: Recopies, meanwhile: Callable[[], None]) -> None:
        """Copy until nothing is left to copy, or a round makes no progress.

        `now` is what remains before the first round; `look` returns what remains after each round, and is told whether
        the round was cut short. The recopies are copied first, however equal they look. As soon as an rsync runs,
        `meanwhile` is called, once. Raises TunnelError when the tunnel drops again and again and nothing gets through
        in between.
        """
        self._meanwhile = meanwhile
        now = self._recopy(look, recopies) if recopies.entries else now
        tried, before, least, staging = 0, list["Entry"](), total_weight(now.wanted), True
        while now.wanted and now.wanted != before and tried < ROUNDS:
            self.progress.step("copying")
            new = now.new if staging and worth_staging(now, self.sender.kept()) else frozenset[bytes]()
            cut = False
            try:
                if new:
                    self._copy_staged([each for each in now.wanted if top(each.path) in new], new)
                    staging, before = False, []
                else:
                    self._copy(now.wanted, streams=1 if tried else self._streams())
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

    def _recopy(self, look: LookAgain, recopies: Recopies) -> Remaining:
        """Copy what looks equal and may not be, some names at a time, each until a copy of it was not cut short."""
        cut = False
        while some := recopies.some():
            self.progress.step("copying")
            try:
                self._copy(some, streams=1, anew=True)
            except TunnelError as error:
                log.warning("%s", error)
                self.tunnel.reopen()
                cut = True
            else:
                recopies.tried(some, self.complaints)
                self.tunnel.progressed()
        self.progress.step("checking")
        return look(cut=cut)

    def _copy_staged(self, wanted: Sequence[Entry], new: Collection[bytes]) -> None:
        """Copy these names at the root, which are all new, to the staging folder, then move them in."""
        others = [entry for path, entry in self.sender.kept().entries.items() if b"/" not in path and path not in new]
        without = [rsync.literal(b"/" + entry.path, folder=entry.kind == "d") for entry in others]
        self._copy(wanted, streams=self._streams(), without=without)
        self.receiver.move_in(sorted(new))

    def _streams(self) -> int:
        return STREAMS_NEAR if self.tunnel.answered_in <= NEAR else STREAMS

    def _copy(
        self, names: Sequence[Entry], *, streams: int, without: Sequence[bytes] | None = None, anew: bool = False
    ) -> None:
        """Copy these; with `anew`, however equal they look.

        With `without`, rules for what else is at the root, everything goes to the staging folder and stays there.
        """
        parts = divided(names, self.sender.kept().entries, anew=anew)
        copies = self._copies(parts, streams, without)
        self.complaints = [rsync.Complaint(each.path, "its path is too long for rsync") for each in parts.too_long]
        self._run(copies, names)

    def _transfer(self, target: rsync.Place) -> rsync.Transfer:
        return rsync.Transfer(self.tunnel.ssh_argv, self.sender.folder, target, self.both, self.receiver.resolution_ns)

    def _copies(self, parts: Parts, streams: int, without: Sequence[bytes] | None) -> list[Copy]:
        """Build the command lines of the rsyncs, which may run at the same time."""
        staged, kept, copies = without is not None, self.sender.kept(), list[Copy]()
        transfer = self._transfer(self.receiver.staging if staged else self.receiver.goal)
        if parts.by_rules:
            path = self._file("rules", rsync.rules_file(rsync.only(entry.path for entry in parts.by_rules)))
            copies.append(Copy(rsync.by_rules(transfer, path)))
        if parts.tree:
            excludes = [*(without or ()), *kept.excludes()]
            for share in shares.by_folder(parts.tree, kept.entries, streams):
                path = self._file("rules", rsync.rules_file([*share, *excludes]))
                copies.append(Copy(rsync.tree(transfer, path, inplace=staged, asked=self._asks)))
        if parts.listed:
            path = self._file("names", rsync.names_file(entry.path for entry in parts.listed))
            copies.append(Copy(rsync.by_names(transfer, path)))
        return [*copies, *self._big_copies(parts.large, land=not staged)]

    def _big_copies(self, big: Sequence[Entry], *, land: bool) -> Iterator[Copy]:
        """Build one for each large file, the largest first. With `land`, each is moved to its place on arrival."""
        holes, transfer = self.sender.holes(big) if big else (), self._transfer(self.receiver.staging)
        for entry in sorted(big, key=lambda entry: -entry.size):
            path, sparse = self._file("names", rsync.names_file([entry.path])), entry.path in holes
            yield Copy(rsync.big(transfer, path, self.receiver.basis, sparse=sparse), entry if land else None)

    def _file(self, kind: str, content: bytes) -> Path:
        self._number += 1
        path = self.work / f"{kind}-{self._number}"
        path.write_bytes(content)
        return path

    def _run(self, copies: Sequence[Copy], names: Sequence[Entry]) -> None:
        """Run them, a few at a time; raise TransferError if repeating can't help, TunnelError for a lost connection."""
        self.tunnel.prepare()  # for the look afterwards
        coming, late = {entry.path for entry in names}, list["Entry"]()
        waiting, running, ended = deque(copies), list[Stream](), list[rsync.ProgressLine]()
        sizes = [entry.size for entry in names if entry.kind == "f"]
        total, well = sum(sizes), True
        with contextlib.ExitStack() as stack:
            while waiting or running:
                while waiting and len(running) < self._streams():
                    running.append(stack.enter_context(streaming(waiting.popleft())))
                if meanwhile := self._meanwhile:
                    self._meanwhile = None
                    meanwhile()
                for stream in tuple(running):
                    if self._asks:
                        progress_signal.ask(stream.pid)
                    if stream.read(EVERY / len(running)):
                        running.remove(stream)
                        ended.append(stream.now())
                        well &= self._judge(*stream.end())
                        if stream.lands and coming.isdisjoint(above(stream.lands.path)):
                            self.complaints += self.receiver.land([stream.lands])
                        elif stream.lands:
                            late.append(stream.lands)
                told = [*ended, *(stream.now() for stream in running)]
                done, sent = sum(each.done for each in told), sum(each.sent for each in told)
                self.progress.files(FileProgress(done, total, sent, len(sizes)))
        if late:  # by now their folders have arrived, too
            self.complaints += self.receiver.land(late)
        if well:  # the last answer was from a moment before the end
            self.progress.files(FileProgress(total, total, len(sizes), len(sizes)))

    def _judge(self, code: int, err: bytes) -> bool:
        """Keep the complaints of an rsync that ended; return whether it did everything; raise if it can't go on."""
        cause = rsync.cause(code, err)
        found = rsync.complaints(err)
        self.complaints += found
        if cause == "done":
            return True
        said = process.text(err)
        if cause == "partial" and not found:
            self.complaints.append(rsync.Complaint(b"", said))
        if cause in {"vanished", "partial", "space"}:  # the last: a folder in there may be a smaller disk
            log.warning("rsync ended with code %d: %s", code, said)
        if cause in {"vanished", "partial"}:
            return False
        if cause == "space":
            why = "No space left" if b"No space left on device" in err else "A disk quota is used up"
            raise TransferError(
                f"{why}: {self.receiver.free()} are free at {self.receiver.goal.folder}.",
                hint="Make room (or inodes) and run it again; it continues where it stopped.",
            )
        if cause == "fatal":
            raise TransferError(f"rsync ended with exit code {code}: {said}")
        raise TunnelError(f"rsync lost its connection (exit code {code}): {said}")
