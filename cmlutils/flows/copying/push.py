"""Take the bundle's files up, delete only what an earlier push put there, and prove the result by a listing."""

from __future__ import annotations

import contextlib
import logging
import os
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from cmlutils.entries import Differences, Entry, above, by_path, compare, upwards
from cmlutils.errors import CmlutilError
from cmlutils.filelist import quoted
from cmlutils.flows.copying.ahead import Ahead
from cmlutils.flows.copying.earlier_pushes import doomed_there, put_there
from cmlutils.flows.copying.listing import remote_listing
from cmlutils.flows.copying.mover import Mover, Receiver, Sender
from cmlutils.flows.copying.own_folders import local_errors
from cmlutils.flows.copying.recopy import Recopies, RecopyList
from cmlutils.flows.copying.remaining import Remaining, is_short, remaining_of
from cmlutils.flows.copying.result import FileResult, problems_of, specials_of, unread_of
from cmlutils.flows.copying.retrying import retrying
from cmlutils.flows.copying.rsyncs import both_rsyncs
from cmlutils.flows.copying.target_files import delete_one_by_one, delete_there
from cmlutils.flows.copying.target_folder import TargetFolder, temp_name_beside
from cmlutils.localtree import local_path
from cmlutils.remote import rsync

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from cmlutils.flows.copying.bundle_files import BundleFiles, BundleListing
    from cmlutils.flows.copying.listing import KeptListing
    from cmlutils.progress import Progress
    from cmlutils.remote.tunnel import Tunnel

log = logging.getLogger(__name__)


def push(tunnel: Tunnel, files: BundleFiles, progress: Progress) -> FileResult:
    """Copy the bundle's files into the project, and delete what an earlier push put there and the bundle has no more.

    Files that people made on the target are kept, unless the bundle has the same path.
    """
    data = files.bundle.data
    with local_errors(data):
        folder = TargetFolder(tunnel, temp_name_beside([os.fsencode(path.name) for path in data.iterdir()]))
        progress.step("listing")
        there = remote_listing(tunnel, files.rules, "the target's listing", ours=folder, records=files.records)
        one = _Push(files, files.read(), folder, there, progress)
        done = False
        try:
            result = one.run()
            done = True
        finally:
            data.chmod(0o700)
            one.close(done=done)
    return result


class _Push:
    """One push: what the bundle has, what the target has, and what earlier pushes put there."""

    def __init__(
        self, files: BundleFiles, here: BundleListing, folder: TargetFolder, there: KeptListing, progress: Progress
    ) -> None:
        self.files, self.data, self.rules = files, files.bundle.data, files.rules
        self.work = files.bundle.scratch
        self.here, self.local = here, here.local
        self.tunnel, self.folder, self.there, self.progress = folder.tunnel, folder, there, progress
        self.recopy_list, self.recopies = RecopyList(files.bundle.state, files.memory.target), Recopies()
        self.resolution_ns = files.memory.read_resolution()
        self.differences = self._compared()
        self.ahead = Ahead(self.work / "ahead")

    def run(self) -> FileResult:
        """Do the whole push and return its result."""
        doomed = doomed_there(self.here, self.there, self.resolution_ns)
        stuck: dict[bytes, str] = {}
        if doomed:
            delete_there(self.tunnel, doomed, self.there.entries)
            self._list_again()
            stuck = self._delete_stuck(doomed)
        known = {each for path in stuck for each in upwards(path)}
        first, problems = self._copy()
        if first or doomed or not self.files.memory.exists():
            self.files.memory.settle(put_there(self.here, self.there, first), self.ahead.write_list)
        sums = self.ahead.sums_of(self.local.entries)
        return FileResult(
            totals=sums.totals,
            transferred=len(first),
            deleted=sum(path not in self.there.entries for path in doomed),
            kept_extras=sum(each.path not in known for each in self.differences.only_right),
            problems=tuple(map(_advised, dict.fromkeys([*problems, *stuck.values(), *self._unread()]))),
            notes=tuple(self.here.losses),
            skipped=specials_of(self.differences),
            folders=sums.folders,
        )

    def _copy(self) -> tuple[dict[bytes, Entry], tuple[str, ...]]:
        """Copy what differs, and the recopies; return what had to be copied, and the problems with it."""
        different = self.differences.to_copy()
        self.recopies = self.recopy_list.due(self.local.entries, self.differences)
        first = by_path([*different, *self.recopies.entries])
        complaints: list[rsync.Complaint] = []
        if first:
            self.files.memory.begin([*first.values()])
            mover = self._prepare()
            self._drop_stale()
            remaining = remaining_of(different, 0, self.differences)
            mover.rounds(remaining, self._look_again, self.recopies, lambda: self._work_ahead(first))
            complaints = mover.complaints
        self.recopy_list.settle(self.recopies, self.local.entries)
        return first, (*problems_of(self.differences, complaints), *self.recopies.problems(self.local.entries))

    def _unread(self) -> tuple[str, ...]:
        """Name what is, or was, in the bundle and could not be read on either side."""
        ours = {each for put in self.here.outdated for each in upwards(put.path)}
        unread = [*self.local.unread, *self.there.unread]
        return unread_of(each for each in unread if each.path in self.local.entries or each.path in ours)

    def close(self, *, done: bool) -> None:
        """Remove our folder on the target; after a failure, partial files stay in it for the next push."""
        if done and (self.folder.opened or self.folder.found):
            try:
                retrying(self.tunnel, self.folder.remove)
            except CmlutilError as error:
                log.warning("%s stays on the target until the next import: %s", self.folder.name, error.message)
        elif self.folder.opened and not done:
            with contextlib.suppress(CmlutilError):
                self.folder.leave()

    def _prepare(self) -> Mover:
        """Make our folder on the target, and give the bundle's root the mode of the target's root.

        Otherwise rsync would change the mode of the target's home folder, and sshd refuses keys in a home that others
        can write to.
        """
        root = retrying(self.tunnel, self.folder.open)
        self.data.chmod(root.mode | 0o700)
        self.resolution_ns = root.resolution_ns
        self.files.memory.note_resolution(root.resolution_ns)
        sender = Sender(f"{self.data}/", lambda: self.local, self._holes)
        receiver = Receiver(
            goal=rsync.Place(rsync.REMOTE_ROOT, self.folder.name),
            staging=rsync.Place(f"{rsync.REMOTE_ROOT}{self.folder.name}/new/", f"{root.path}/{self.folder.name}"),
            basis=root.path,
            resolution_ns=root.resolution_ns,
            move_in=self.folder.move_in,
            land=self.folder.land,
            free=self.folder.free,
        )
        rsyncs = both_rsyncs(root.versions)
        self.tunnel.prepare(2)  # for the look afterwards, and to take our folder away
        return Mover(self.tunnel, sender, receiver, rsyncs, self.work, self.progress)

    def _work_ahead(self, first: Mapping[bytes, Entry]) -> None:
        """Work out the end of the push while rsync copies, unless that needs all power, as it copies most of the tree.

        A first push has noted already what it puts there, and needs no draft of that.
        """
        if self.here.pushed and is_short(first, self.local.entries):
            expected = partial(put_there, self.here, self.there, first, coming=True)
            self.ahead.begin(self.local.entries, expected)

    def _drop_stale(self) -> None:
        """Delete what an interrupted push left in staging and the bundle no longer has, as it would be moved in."""
        grown = self.folder.grown
        stale = {each.path: each for path, each in grown.items() if path not in self.local.entries}
        if stale:
            delete_there(self.tunnel, stale, by_path(grown.values()))

    def _list_again(self) -> None:
        """List the whole target again and compare."""
        records = self.files.records
        self.there = remote_listing(self.tunnel, self.rules, "the target's listing", ours=self.folder, records=records)
        self.differences = self._compared()

    def _compared(self) -> Differences:
        return compare(self.local.entries, self.there.entries, folder_times=True, resolution_ns=self.resolution_ns)

    def _look_again(self, *, cut: bool) -> Remaining:
        """Look at what was sent; if that is not as it should be, look at everything."""
        sent = [*self.differences.to_copy(), *self.recopies.entries]
        if cut or self.there.unread or not is_short(sent, self.local.entries) or not self._all_arrived(sent):
            self._list_again()
        remaining = remaining_of(self.differences.to_copy(), self.folder.partial_bytes, self.differences)
        if remaining.wanted and not self.folder.opened:
            retrying(self.tunnel, self.folder.open)
        return remaining

    def _all_arrived(self, sent: Iterable[Entry]) -> bool:
        """Look only at what was sent: an rsync that was not interrupted has touched nothing else.

        Our folder goes in the same exchange if it has become empty.
        """
        names = {each: self.local.entries[each] for entry in sent for each in upwards(entry.path)}
        there = self.folder.list_and_remove(names)
        found = compare(names, there, folder_times=True, resolution_ns=self.resolution_ns)
        self.there.entries.update(there)
        self.differences = replace(
            found, only_right=self.differences.only_right, not_carried=self.differences.not_carried
        )
        return not found.to_copy()

    def _holes(self, large: Iterable[Entry]) -> set[bytes]:
        status = {entry: os.lstat(local_path(self.data, entry.path)) for entry in large}
        return {entry.path for entry, now in status.items() if 512 * now.st_blocks < entry.size}

    def _delete_stuck(self, doomed: Mapping[bytes, Entry]) -> dict[bytes, str]:
        """Try once more to delete these; say why they stay. In a folder that is not empty, what is in it says why."""
        full = {each for path in self.there.entries for each in above(path)}
        same = {path for path, one in doomed.items() if one.kind == "d" or self.there.entries.get(path) == one}
        left = (same & self.there.entries.keys()) - full
        return {
            path: f"{quoted(path)}: the bundle no longer has it, and it can't be deleted there: {reason}"
            for path, reason in delete_one_by_one(self.tunnel, left, doomed).items()
        }


def _advised(problem: str) -> str:
    """Add what helps where the target lets nobody write: snapshots, and files that are immutable."""
    refused = any(reason in problem for reason in ("Read-only file system", "Operation not permitted"))
    return f"{problem}; list it in .importignore" if refused else problem
