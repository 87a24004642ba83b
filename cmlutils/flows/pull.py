"""Bring a project's files down, and prove by listings that both sides are equal."""

from __future__ import annotations

import contextlib
import logging
import os
import stat
from dataclasses import dataclass, field
from functools import partial as partial_of
from pathlib import Path
from typing import TYPE_CHECKING

from cmlutils.entries import Differences, Totals, compare, totals
from cmlutils.errors import TransferError
from cmlutils.filelist import Entry, Unread, show, walk, write_list
from cmlutils.flows.transfer import (
    Kept,
    Mover,
    Progress,
    Silent,
    at,
    emptied,
    persist,
    remote_listing,
    remote_rsync,
    zstd_here,
)
from cmlutils.ignore import IgnoreRules, default_rules
from cmlutils.remote import rsync

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cmlutils.remote.tunnel import Tunnel

log = logging.getLogger(__name__)
SLACK = 64 << 20
ROUNDS = 3
NO_FILE = 44
_RULES = f"[ -f .exportignore ] || exit {NO_FILE}; cat .exportignore"


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
    progress = progress or Silent()
    data.mkdir(mode=0o700, parents=True, exist_ok=True)
    work, partial = emptied(state / "tmp"), state / "partial"
    partial.mkdir(mode=0o700, exist_ok=True)
    version = persist(tunnel, lambda: tunnel.run("rsync --version", ok=range(128)))
    zstd = remote_rsync(version.code, version.out).zstd and zstd_here()
    rules, rules_text = export_rules(tunnel)
    ends = (rsync.PLACE, f"{data}/")
    mover = Mover(tunnel, ends, work=work, temp=str(emptied(work / "new")), partial=str(partial), zstd=zstd)
    mover.progress, mover.space = progress, lambda: str(_free(data)[0])
    progress.step("listing")
    kept = remote_listing(tunnel, rules, "the source's listing")
    transferred = deleted = 0
    before: set[bytes] = set()
    for turn in range(ROUNDS + 1):
        differences = compare(kept.entries, _walk(data), folder_times=True)
        wanted = _to_fetch(differences)
        names = {entry.path for entry in wanted}
        if turn and wanted and turn <= ROUNDS and names != before:
            kept = remote_listing(tunnel, rules, "the source's listing")
            differences = compare(kept.entries, _walk(data), folder_times=True)
            wanted = _to_fetch(differences)
        if not turn:
            _room(data, wanted)
        deleted += _delete_extras(data, differences, kept.unread)
        if not wanted or names == before or turn == ROUNDS:
            break
        before = names
        progress.step("copying")
        mover.move(wanted, partial_of(kept.excludes, rules))
        transferred = transferred or len(wanted)
    progress.step("checking")
    _fix_folders(data, kept)
    left = compare(kept.entries, _walk(data), folder_times=True) if differences else differences
    data.chmod(0o700)
    listing = state / "files.list"
    write_list(listing, kept.entries.values())
    problems = problems_of(left, mover.complaints) + unread_of(kept.unread)
    if not problems:
        emptied(partial).rmdir()
    emptied(work)
    return FileResult(
        totals(kept.entries.values()),
        transferred,
        deleted,
        0,
        problems,
        specials_of(left),
        rules_text,
        listing,
    )


def export_rules(tunnel: Tunnel) -> tuple[IgnoreRules, str]:
    """Read the source's `.exportignore`, or take the built-in rules and say so."""
    found = persist(tunnel, lambda: tunnel.run(_RULES, ok=(0, NO_FILE)))
    if found.code == NO_FILE:
        log.info("There is no .exportignore: /.cache/ and /.local/ are left out.")
        return default_rules(), "/.cache/\n/.local/\n"
    return IgnoreRules.parse(found.out, source=".exportignore"), found.out.decode("utf-8", "backslashreplace")


def _walk(data: Path) -> list[Entry]:
    """List the local tree, having made readable for us what is not."""
    for _ in range(50):
        unread: list[Unread] = []
        entries = list(walk(data, unread=unread))
        closed = [each.path for each in unread]
        for path in closed:
            os.chmod(at(data, path), 0o700)  # noqa: PTH101 - bytes
        if not closed:
            return entries
    raise TransferError(f"{data} can't be read.")


def _to_fetch(differences: Differences) -> list[Entry]:
    """Name what rsync has to do; an existing folder's mode and times are set by us at the end."""
    changed = [each for each in differences.changed if each.wanted.kind != "d" or "kind" in each.what]
    return [*differences.only_left, *(each.wanted for each in changed)]


def _free(data: Path) -> tuple[int, int]:
    space = os.statvfs(data)
    return space.f_bavail * space.f_frsize, space.f_favail if space.f_files else 1 << 62


def _room(data: Path, wanted: list[Entry]) -> None:
    """Raise TransferError before the first byte if what is to come will not fit."""
    size = sum(entry.size for entry in wanted if entry.kind == "f")
    free, names = _free(data)
    if wanted and size + SLACK > free:
        raise TransferError(
            f"{data} has {free} bytes free, and {size} are to come.",
            hint="Make room, choose another output_dir, or list more in .exportignore.",
        )
    if len(wanted) > names:
        raise TransferError(f"{data} has {names} inodes free, and {len(wanted)} files are to come.")


def _delete_extras(data: Path, differences: Differences, unread: list[Unread]) -> int:
    """Delete what the source has not, or has as another kind; what we could not see there stays."""
    unseen = tuple(each.path + b"/" for each in unread if each.path not in {b"", b"."})
    doomed = [entry for entry in differences.only_right if not entry.path.startswith(unseen)]
    doomed += [each.found for each in differences.changed if "kind" in each.what]
    for entry in sorted(doomed, reverse=True):
        place = at(data, entry.path)
        remove = os.rmdir if entry.kind == "d" else os.unlink
        try:
            remove(place)
        except PermissionError:
            os.chmod(os.path.dirname(place), 0o700)  # noqa: PTH101, PTH120 - bytes
            remove(place)
    return len(doomed)


def _fix_folders(data: Path, kept: Kept) -> None:
    """Give every folder the mode and time of the listing, the deepest first, and every link its time.

    rsync leaves a link's time alone when it is right to the second.
    """
    for entry in reversed(kept.entries.values()):
        place = at(data, entry.path)
        with contextlib.suppress(FileNotFoundError):
            if entry.kind == "d" and stat.S_ISDIR((now := os.lstat(place)).st_mode):
                if stat.S_IMODE(now.st_mode) != entry.mode:
                    os.chmod(place, entry.mode)  # noqa: PTH101 - bytes
                if now.st_mtime_ns != entry.mtime_ns:
                    os.utime(place, ns=(entry.mtime_ns, entry.mtime_ns))
            elif entry.kind == "l" and stat.S_ISLNK(os.lstat(place).st_mode):
                os.utime(place, ns=(entry.mtime_ns, entry.mtime_ns), follow_symlinks=False)


def problems_of(left: Differences, complaints: Iterable[rsync.Complaint]) -> tuple[str, ...]:
    """Name what still differs, with rsync's reason where it gave one."""
    reasons = [(each.path, each.reason) for each in complaints]
    found = [(entry, "missing") for entry in left.only_left]
    found += [(each.wanted, "differs in " + ", ".join(each.what)) for each in left.changed]
    told = []
    for entry, what in found:
        why = [reason for path, reason in reasons if (b"/" + path).endswith(b"/" + entry.path)]
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
