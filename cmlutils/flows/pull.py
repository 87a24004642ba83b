"""Bring a project's files down, and prove by listings that both sides are equal."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from cmlutils.entries import Differences, Totals, compare, totals
from cmlutils.errors import TransferError
from cmlutils.filelist import Entry, Unread, show, walk, write_list
from cmlutils.flows.landing import (
    delete_extras,
    fix_folders,
    left_free,
    move_in,
    open_aside,
    remove_tree,
    room,
    walk_all,
)
from cmlutils.flows.mover import Aside, Look, Mover, both_rsyncs, look_of
from cmlutils.flows.transfer import (
    Progress,
    Silent,
    emptied,
    local_errors,
    persist,
    remote_listing,
    still_so,
)
from cmlutils.ignore import MAX_BYTES, IgnoreRules, default_rules
from cmlutils.remote import rsync

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cmlutils.remote.process import Result
    from cmlutils.remote.tunnel import Tunnel

log = logging.getLogger(__name__)
NO_FILE, NO_LINK, FOLDER = 44, 45, 46
_RULES = (
    f"[ -d .exportignore ] && exit {FOLDER}; [ -e .exportignore ] || [ ! -L .exportignore ] || exit {NO_LINK}; "
    f"[ -e .exportignore ] || exit {NO_FILE}; [ -f .exportignore ] || {{ echo it is no file >&2; exit {NO_LINK}; }}; "
    f"head -c {MAX_BYTES + 1} .exportignore"
)
_HOLES = f"find . -type f -size +{rsync.BIG >> 10}k -printf '%b %s\\0'"
_LEFT_OUT = "/.cache/\n/.local/\n"


@dataclass(frozen=True)
class FileResult:
    """What `pull` or `push` did; `problems` name what still differs, `skipped` what cannot be carried."""

    totals: Totals
    transferred: int = 0
    deleted: int = 0
    kept_extras: int = 0
    problems: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()
    rules_text: str = ""
    listing: Path = field(default_factory=Path)


def pull(tunnel: Tunnel, data: Path, state: Path, *, progress: Progress | None = None) -> FileResult:
    """Make `data` equal to what the project's `.exportignore` keeps; the source is only read.

    Raises TransferError if it can't be done at all; single files that can't be had are problems by name.
    """
    with local_errors(data):
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        data.chmod(0o700)
        return _Pull(tunnel, data, state, progress or Silent()).run()


class _Pull:
    """One pull: what is kept there, and how what is here differs from it."""

    def __init__(self, tunnel: Tunnel, data: Path, state: Path, progress: Progress) -> None:
        self.tunnel, self.data, self.state, self.progress = tunnel, data, state, progress
        self.work, self.partial, self.aside = emptied(state / "tmp"), state / "partial", open_aside(state / "arriving")
        self.partial.mkdir(mode=0o700, exist_ok=True)
        self.deleted = 0
        self.differences = Differences()
        self.asked: dict[bytes, Entry] = {}
        self.restless: set[bytes] = set()

    def run(self) -> FileResult:
        """Do it all and say what was done."""
        rules, rules_text, version = self._survey()
        self.progress.step("listing")
        self.kept = remote_listing(self.tunnel, rules, "the source's listing")
        wanted = first = self._compare()
        complaints: list[rsync.Complaint] = []
        if wanted:
            room(self.data, self.differences, self._held(), self._holes)
            mover = self._mover(version)
            mover.rounds(self._look, lambda: self.kept, look_of(wanted, 0, self.differences))
            complaints = mover.complaints
        unset = fix_folders(self.data, self.kept)
        self.data.chmod(0o700)
        listing = self.state / "files.list"
        write_list(listing, self.kept.entries.values())
        problems = problems_of(_but_folders(self.differences), complaints, self.restless)
        problems += (*unset, *unread_of(self.kept.unread))
        if not problems:
            emptied(self.partial).rmdir()
        remove_tree(self.aside)
        emptied(self.work)
        return FileResult(
            totals=totals(self.kept.entries.values()),
            transferred=len(first),
            deleted=self.deleted,
            problems=problems,
            skipped=specials_of(self.differences),
            rules_text=rules_text,
            listing=listing,
        )

    def _survey(self) -> tuple[IgnoreRules, str, bytes]:
        """Ask in one go what is left out there, and what its rsync is."""
        script = f"rsync --version 2>/dev/null; printf '\\000'; {_RULES}"
        said = persist(self.tunnel, lambda: self.tunnel.run(script, ok=range(128)))
        version, _, text = said.out.partition(b"\0")
        return *_rules_of(said._replace(out=text)), version

    def _mover(self, version: bytes) -> Mover:
        both = both_rsyncs(version)
        ends = (rsync.PLACE, f"{self.data}/")
        aside = Aside(f"{self.aside}/", "", lambda names: move_in(self.aside, self.data, names))
        mover = Mover(self.tunnel, ends, work=self.work, partial=str(self.partial), both=both, aside=aside)
        mover.progress, mover.space = self.progress, lambda: str(left_free(self.data)[0])
        return mover

    def _compare(self) -> list[Entry]:
        """Compare, delete what is too much here, and name what is to come."""
        self.differences = compare(self.kept.entries, walk_all(self.data), folder_times=True)
        return self._wanted()

    def _wanted(self) -> list[Entry]:
        self.deleted += delete_extras(self.data, self.differences, self.kept.unread)
        wanted = _to_fetch(self.differences)
        self.restless |= {entry.path for entry in wanted if self.asked.get(entry.path, entry) != entry}
        self.asked = {entry.path: entry for entry in wanted}
        return wanted

    def _look(self) -> Look:
        """Look again at both sides at once: a source in use may have changed while it was copied."""
        self.data.chmod(0o700)
        found: list[Differences] = []

        def here() -> None:
            found.append(compare(self.kept.entries, walk_all(self.data), folder_times=True))

        if still_so(self.tunnel, self.kept, here):
            self.differences = found[-1]
            return look_of(self._wanted(), self._held(), self.differences)
        log.warning("The source changed during the copy; it is listed again.")
        self.kept = remote_listing(self.tunnel, self.kept.rules, "the source's listing")
        return look_of(self._compare(), self._held(), self.differences)

    def _holes(self) -> int:
        """Ask the source how many bytes of its large files are holes, which take no room here either."""
        said = persist(self.tunnel, lambda: self.tunnel.run(_HOLES, timeout=600, ok=(0, 1)))
        pairs = (pair.split() for pair in said.out.split(b"\0") if pair)
        return sum(max(0, int(size) - 512 * int(blocks)) for blocks, size in pairs)

    def _held(self) -> int:
        halves = (*walk(self.partial, unread=[]), *walk(self.aside, unread=[]))
        return sum(entry.size for entry in halves if entry.kind == "f")


def export_rules(tunnel: Tunnel) -> tuple[IgnoreRules, str]:
    """Read the source's `.exportignore`, or take the built-in rules and say so.

    One that is there and can't be read is a TransferError: what it would leave out may be what must not leave.
    """
    return _rules_of(persist(tunnel, lambda: tunnel.run(_RULES, ok=range(128))))


def _rules_of(found: Result) -> tuple[IgnoreRules, str]:
    if found.code in {NO_FILE, FOLDER}:
        what = "There is no .exportignore" if found.code == NO_FILE else ".exportignore is a folder, which has no rules"
        log.log(logging.INFO if found.code == NO_FILE else logging.WARNING, "%s: /.cache/ and /.local/ stay.", what)
        return default_rules(), _LEFT_OUT
    if found.code:
        reason = found.err.decode("utf-8", "backslashreplace").strip() or "it is a link that leads nowhere"
        raise TransferError(
            f"The source's .exportignore can't be read: {reason}",
            hint="Make it readable, or remove it to export everything but /.cache/ and /.local/.",
        )
    return IgnoreRules.parse(found.out, source=".exportignore"), found.out.decode("utf-8", "backslashreplace")


def _to_fetch(differences: Differences) -> list[Entry]:
    """Name what rsync has to do; an existing folder's mode and times are set by us at the end."""
    changed = [each for each in differences.changed if each.wanted.kind != "d" or "kind" in each.what]
    return [*differences.only_left, *(each.wanted for each in changed)]


def _but_folders(left: Differences) -> Differences:
    """Leave out what `fix_folders` sees to."""
    changed = [each for each in left.changed if each.wanted.kind != "d" or "kind" in each.what]
    return Differences(left.only_left, left.only_right, changed, left.not_carried)


def problems_of(
    left: Differences, complaints: Iterable[rsync.Complaint], restless: frozenset[bytes] | set[bytes] = frozenset()
) -> tuple[str, ...]:
    """Name what still differs, with rsync's reason where it gave one; `restless` files changed all the while."""
    reasons: dict[bytes, list[rsync.Complaint]] = {}
    for each in complaints:
        reasons.setdefault(each.path.rpartition(b"/")[2], []).append(each)
    found = [(entry, "missing") for entry in left.only_left]
    found += [(each.wanted, "differs in " + ", ".join(each.what)) for each in left.changed]
    told = []
    for entry, what in found:
        near = reasons.get(entry.path.rpartition(b"/")[2], ())
        why = [reason for path, reason in near if (b"/" + path).endswith(b"/" + entry.path)]
        if entry.path in restless:
            why = ["it changed on the source each time it was copied; run the export again"]
        hint = "; list it in .importignore" if any("Read-only file system" in each for each in why) else ""
        told.append(f"{show(entry.path)}: {why[0] if why else what}{hint}")
    return tuple(told)


def unread_of(unread: Iterable[Unread]) -> tuple[str, ...]:
    """Name what a listing could not read; what vanished meanwhile is no problem."""
    gone = "No such file or directory"
    return tuple(f"{show(each.path)}: {each.reason}" for each in unread if gone not in each.reason)


def specials_of(left: Differences) -> tuple[str, ...]:
    """Name the pipes, sockets and devices, which are not carried."""
    return tuple(show(entry.path) for entry in left.not_carried)
