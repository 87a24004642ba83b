"""Bring a project's files down, and prove by listings that both sides are equal."""

from __future__ import annotations

import contextlib
import logging
import time
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from cmlutils.entries import Differences, by_path, compare, upwards
from cmlutils.errors import ConfigError, TransferError
from cmlutils.flows.copying.ahead import Ahead
from cmlutils.flows.copying.ignore_files import RULES_NAME
from cmlutils.flows.copying.landing import (
    delete_extras,
    fix_folders,
    land,
    move_in,
    staged_bytes,
)
from cmlutils.flows.copying.listing import holes_there, is_unchanged, listed_names
from cmlutils.flows.copying.local_listing import listing_beside
from cmlutils.flows.copying.mover import Mover, Receiver, Sender
from cmlutils.flows.copying.own_folders import empty_folder, local_errors, remove_tree
from cmlutils.flows.copying.pushed import targets_pushed_to
from cmlutils.flows.copying.recopy import SOURCE, RecopyList
from cmlutils.flows.copying.remaining import Remaining, but_folders, is_short, remaining_of, to_fetch
from cmlutils.flows.copying.result import FileResult, problems_of, specials_of, unread_of
from cmlutils.flows.copying.room import free_space, free_space_text
from cmlutils.flows.copying.source_listing import source_listing
from cmlutils.flows.copying.threads import in_thread
from cmlutils.localtree import look, walk
from cmlutils.remote import rsync

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from cmlutils.bundle import Bundle
    from cmlutils.entries import Entry
    from cmlutils.flows.copying.listing import KeptListing
    from cmlutils.flows.copying.survey import Survey
    from cmlutils.progress import Progress
    from cmlutils.remote.tunnel import Tunnel

log = logging.getLogger(__name__)
_RESTLESS = "it changed on the source each time it was copied; run the export again"
_LATE = "it is new or changed on the source since the last copy; run the export again"
BRIEF = 3  # a copy that took less than this many times the source's listing is checked only where it copied


def pull(tunnel: Tunnel, bundle: Bundle, surveyed: Survey, progress: Progress) -> FileResult:
    """Make the bundle's files equal to what the project's `.exportignore` keeps; the source is only read.

    `surveyed` comes from `survey`, which checked that the bundle may be changed. Raises TransferError if nothing can
    be copied; single files that can't be copied are named as problems of the result.
    """
    with local_errors(bundle.data):
        return _Pull(tunnel, bundle, surveyed, progress).run()


class _Pull:
    """One pull: what is kept of the source, how the bundle differs from it, and what rsync was asked to copy."""

    def __init__(self, tunnel: Tunnel, bundle: Bundle, surveyed: Survey, progress: Progress) -> None:
        self.tunnel, self.bundle, self.progress = tunnel, bundle, progress
        self.data, self.work, self.staging = bundle.data, bundle.scratch, surveyed.staging
        self.rsyncs, self.recopies, self.resolution_ns = surveyed.rsyncs, surveyed.recopies, surveyed.resolution_ns
        self.kept, self.differences, self.records = surveyed.kept, surveyed.differences, surveyed.records
        self.ahead = Ahead(self.work / "ahead")
        self.deleted = 0
        self.asked: dict[bytes, Entry] = {}
        self.tried: list[dict[bytes, Entry]] = []
        self.restless: set[bytes] = set()

    def run(self) -> FileResult:
        """Do the whole pull and return its result."""
        recopies, state = self.recopies, self.bundle.state
        unlike = self._prepare_round(recopies.entries)
        first = self.asked
        complaints: list[rsync.Complaint] = []
        if first:
            mover = self._mover()
            remaining = remaining_of(unlike, 0, self.differences)
            mover.rounds(remaining, self._look_again, recopies, self._work_ahead)
            complaints = mover.complaints
        unset = fix_folders(self.data, self.kept)
        self.data.chmod(0o700)
        self.ahead.write_list(self.bundle.file_list, [*self.kept.entries.values()])
        problems = problems_of(but_folders(self.differences), complaints, self._changing())
        problems += (*recopies.problems(self.kept.entries), *unset, *unread_of(self.kept.unread))
        if not problems:
            remove_tree(self.staging)
        if copied := recopies.copied():
            for target in targets_pushed_to(state):  # they look equal there, too
                RecopyList(state, target).add(entry.path for entry in copied)
        RecopyList(state, SOURCE).settle(recopies, self.kept.entries)
        empty_folder(self.work)
        sums = self.ahead.sums_of(self.kept.entries)
        return FileResult(
            totals=sums.totals,
            transferred=len(first),
            deleted=self.deleted,
            problems=problems,
            skipped=specials_of(self.differences),
            folders=sums.folders,
        )

    def _mover(self) -> Mover:
        sender = Sender(rsync.REMOTE_ROOT, lambda: self.kept, partial(holes_there, self.tunnel))
        receiver = Receiver(
            goal=rsync.Place(f"{self.data}/"),
            staging=rsync.Place(f"{self.staging}/"),
            basis=str(self.data.absolute()),
            resolution_ns=self.resolution_ns,
            move_in=lambda names: move_in(self.staging, self.data, names),
            land=lambda files: land(self.staging, self.data, files, self.resolution_ns),
            free=lambda: free_space_text(*free_space(self.data)),
        )
        return Mover(self.tunnel, sender, receiver, self.rsyncs, self.work, self.progress)

    def _work_ahead(self) -> None:
        """Work out the end of the pull while rsync copies."""
        entries = self.kept.entries
        self.ahead.begin(entries, lambda: [*entries.values()])

    def _compared(self, here: Iterable[Entry]) -> Differences:
        return compare(self.kept.entries, here, folder_times=True, resolution_ns=self.resolution_ns)

    def _prepare_round(self, also: Sequence[Entry] = ()) -> list[Entry]:
        """Delete extra files here, and return what differs and has to be copied. Those, and `also`, are now asked for.

        What changed on the source since it was asked for before is noted as restless.
        """
        self.deleted += delete_extras(self.data, self.differences, self.kept.unread)
        wanted = to_fetch(self.differences)
        asked = by_path([*wanted, *also])
        self.restless |= {path for path, entry in asked.items() if self.asked.get(path, entry) != entry}
        self.tried.append(self.asked)
        self.asked = asked
        return wanted

    def _changing(self) -> dict[bytes, str]:
        """Return why something still differs although nothing failed: the source changed, also at the last look."""
        late = [path for path in self.asked if not any(path in each for each in self.tried)]
        return {**dict.fromkeys(late, _LATE), **dict.fromkeys(self.restless, _RESTLESS)}

    def _look_again(self, *, cut: bool) -> Remaining:
        """Look at both sides at the same time; a source in use may have changed during the copy."""
        self.data.chmod(0o700)
        few = not cut and is_short(self.asked, self.kept.entries)
        brief = few and time.monotonic() - self.kept.ended < BRIEF * self.kept.seconds
        looking = (
            contextlib.nullcontext(in_thread(self._arrived))
            if few
            else listing_beside(self.data, self._compared, records=self.records, unlock=True)
        )
        with looking as differences:
            same = self._asked_are_unchanged() if brief else is_unchanged(self.tunnel, self.kept)
            self.differences = differences()
        if not same:
            log.warning("The source changed during the copy; it is listed again.")
            self.kept = self._listed_anew()
            self.differences = self._compared(walk(self.data, unlock=True))
        return remaining_of(self._prepare_round(), staged_bytes(self.staging), self.differences)

    def _listed_anew(self) -> KeptListing:
        """List the source once more; its rules may have changed, too."""
        try:
            kept = source_listing(self.tunnel, records=self.records)
        except ConfigError as error:  # as a ConfigError it would exit with 2: nothing was touched
            raise TransferError(error.message, hint=error.hint) from error
        if kept.rules.lines != self.kept.rules.lines:
            log.warning(".exportignore changed during the copy; it decides as it is now.")
        return kept

    def _asked_names(self) -> dict[bytes, Entry]:
        """Return what was asked for, and the folders that it lies in, as the source's listing has them."""
        names = {each for path in self.asked for each in upwards(path)}
        return {each: self.kept.entries[each] for each in names if each in self.kept.entries}

    def _asked_are_unchanged(self) -> bool:
        """Tell whether the source still has what was asked for as it was listed, and the same rules."""
        names, rules = self._asked_names(), self.kept.at_root(RULES_NAME)
        names.update({RULES_NAME: rules} if rules else {})
        return listed_names(self.tunnel, {*names, RULES_NAME}) == names

    def _arrived(self) -> Differences:
        """Compare what was asked for with the listing; if it is not as it should be, compare everything.

        An rsync that was not interrupted touches only what it was told to copy.
        """
        names = self._asked_names()
        with contextlib.suppress(OSError):
            found = compare(names, look(self.data, names), folder_times=True, resolution_ns=self.resolution_ns)
            if not to_fetch(found):
                return replace(found, not_carried=self.differences.not_carried)
        return self._compared(walk(self.data, unlock=True))
