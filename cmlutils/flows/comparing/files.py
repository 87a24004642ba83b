"""Compare a project's files three ways: what the export recorded, the bundle, source and target."""

from __future__ import annotations

import os
from functools import cached_property
from typing import TYPE_CHECKING

from cmlutils import paths
from cmlutils.disk import mtime_resolution
from cmlutils.entries import by_path, compare
from cmlutils.filelist import Unread, quoted
from cmlutils.flows.comparing.digests import UNREADABLE, Digests
from cmlutils.flows.copying.ignore_files import import_rules
from cmlutils.flows.copying.listing import KeptListing, remote_listing
from cmlutils.flows.copying.local_listing import listing_beside
from cmlutils.flows.copying.own_folders import empty_folder
from cmlutils.flows.copying.pushed import coarsest_resolution
from cmlutils.flows.copying.recopy import SOURCE, RecopyList
from cmlutils.flows.copying.source_listing import source_listing
from cmlutils.flows.copying.target_folder import TargetFolder, temp_name_beside
from cmlutils.ignore import default_rules, keep
from cmlutils.localtree import local_path
from cmlutils.report import Difference, Group
from cmlutils.saved_listing import read_list

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Mapping

    from cmlutils.bundle import Bundle
    from cmlutils.entries import Entry
    from cmlutils.filelist import Records
    from cmlutils.progress import Progress
    from cmlutils.remote.tunnel import Tunnel

Entries = dict[bytes, "Entry"]


class FileCheck:
    """The bundle's files, listed once, and the export's record of them.

    With `quick`, contents are not compared; with `alone`, there is no source to compare with.
    """

    def __init__(self, bundle: Bundle, progress: Progress, *, quick: bool, alone: bool = False) -> None:
        self._data, self._progress, self._quick = bundle.data, progress, quick
        self._digests = Digests(bundle.data)
        self._unread: list[Unread] = []
        self._records: Records = {}
        with listing_beside(bundle.data, by_path, records=self._records, unread=self._unread) as read:
            self.here: Entries = read()
        record = bundle.file_list
        self._since = record.stat().st_mtime_ns if paths.exists(record) else 0
        self.recorded = by_path(read_list(record, self._records)) if self._since else self.here
        self._state, self._scratch = bundle.state, empty_folder(bundle.scratch)
        self._record_lost = alone and not self._since and not bundle.foreign

    def bundle(self) -> list[Difference]:
        """Compare the bundle with the export's record: what differs was changed or lost since."""
        found = _unread("bundle file", self._unread)
        if self._record_lost:  # the bundle can't be compared with itself, and there is no source
            found.append(Difference("bundle", "state/files.list", "there", "absent", group=Group.BUNDLE))
        return found + [row for _, row in self._touched]

    @cached_property
    def _touched(self) -> list[tuple[bytes, Difference]]:
        """Each path of the bundle that was changed or lost since the export, with the difference."""
        groups = {"": Group.BUNDLE, "missing": Group.LOST}
        resolution_ns = mtime_resolution(self._scratch)
        return _listed("bundle file", self.recorded, self.here, groups, resolution_ns=resolution_ns)

    def source(self, tunnel: Tunnel) -> list[Difference]:
        """Compare the source with the export's record, and its contents with the bundle's."""
        kept = source_listing(tunnel, records=self._records)
        rows = _listed("source file", self.recorded, kept.entries, {"": Group.SOURCE})
        found = _unread("source file", kept.unread) + [row for _, row in rows]
        return found + self._contents(tunnel, SOURCE, self.here, kept.entries)

    def target(self, tunnel: Tunnel, key: str) -> list[Difference]:
        """Compare the target, whose `target_key` this is, with the bundle, without what `.importignore` excludes."""
        rules = import_rules(self._data)
        here = KeptListing(self.here.values(), rules).entries
        ours = TargetFolder(tunnel, temp_name_beside(self.here))  # what an interrupted import left in it does not count
        kept = remote_listing(tunnel, rules, "the target's listing", ours=ours, records=self._records)
        extras = [entry for path, entry in kept.entries.items() if path not in here]
        counted = {entry.path for entry in keep(extras, default_rules())}
        groups = {"": Group.DIFFERENT, "missing": Group.MISSING, "extra": Group.EXTRA}
        found = _unread("target file", kept.unread)
        touched = {path for path, _ in self._touched}
        rows = _listed(
            "target file", here, kept.entries, groups, touched, resolution_ns=coarsest_resolution(self._state)
        )
        for path, row in rows:
            if row.group is Group.EXTRA and path not in counted:
                row = row.excused("a session leaves such files in its home")  # noqa: PLW2901
            found.append(row)
        return found + self._contents(tunnel, key, here, kept.entries)

    def _contents(self, tunnel: Tunnel, key: str, here: Entries, there: Entries) -> list[Difference]:
        """Compare the contents of files that have the same size on both sides; note which are unequal.

        `key` is SOURCE, or the target's `target_key`.
        """
        if self._quick:
            return []
        self._progress.step("computing digests")
        files = []
        for path, entry in here.items():
            other = there.get(path)
            if entry.kind == "f" and other is not None and other.kind == "f" and other.size == entry.size:
                files.append(entry)
        found, unequal = [], []
        where, worse = ("source file", Group.SOURCE) if key == SOURCE else ("target file", Group.DIFFERENT)
        for path, left, right in self._digests.differing(tunnel, files, self._progress.files):
            group = worse
            if UNREADABLE in {left, right}:
                group = Group.UNREADABLE
            else:
                unequal.append(path)
                group = Group.BUNDLE if self._changed_here(path) else group
            found.append(Difference(where, f"{quoted(path)}: content", left[:16], right[:16], group=group))
        RecopyList(self._state, key).note(unequal)
        return found

    def _changed_here(self, path: bytes) -> bool:
        """Tell by its ctime whether a file of the bundle was changed after the export."""
        return bool(self._since) and os.lstat(local_path(self._data, path)).st_ctime_ns > self._since


def _listed(
    where: str,
    wanted: Mapping[bytes, Entry],
    there: Mapping[bytes, Entry],
    groups: Mapping[str, Group],
    touched: Container[bytes] = (),
    *,
    resolution_ns: int = 1,
) -> list[tuple[bytes, Difference]]:
    """Return each difference of two listings, together with the path that it is about."""
    differences = compare(wanted, there, resolution_ns=resolution_ns)

    def row(entry: Entry, kind: str, texts: tuple[str, str, str]) -> tuple[bytes, Difference]:
        group = Group.BUNDLE if entry.path in touched else groups.get(kind, groups[""])
        return entry.path, Difference(where, *texts, group=group)

    found = [row(one, "missing", (quoted(one.path), "there", "absent")) for one in differences.only_left]
    found += [row(one, "extra", (quoted(one.path), "absent", "there")) for one in differences.only_right]
    for change in differences.changed:
        for what in change.what:
            left, right = (_shown(one, what) for one in (change.wanted, change.found))
            found.append(row(change.wanted, "", (f"{quoted(change.wanted.path)}: {what}", left, right)))
    return found


def _unread(where: str, unread: Iterable[Unread]) -> list[Difference]:
    left = [one for one in unread if not one.vanished]
    return [Difference(where, quoted(one.path), "", one.reason, group=Group.UNREADABLE) for one in left]


def _shown(entry: Entry, what: str) -> str:
    if what == "mtime":
        return f"{entry.mtime_ns // 10**9}.{entry.mtime_ns % 10**9:09d}"
    value = {"mode": oct(entry.mode), "link": quoted(entry.link)}.get(what)
    return str(getattr(entry, what, "") if value is None else value)
