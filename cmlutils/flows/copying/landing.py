"""The bundle's side of a pull: extra files, the staging folder, folders' modes and mtimes.

During a pull, folders of the bundle get mode 0700, to be read and written; `fix_folders` gives them their own mode.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from typing import TYPE_CHECKING

from cmlutils.entries import Entry, upwards
from cmlutils.filelist import Unread, quoted, unseen
from cmlutils.flows.copying.own_folders import remove_non_folder, remove_tree
from cmlutils.localtree import local_path, walk
from cmlutils.remote.rsync import Complaint

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from cmlutils.entries import Differences
    from cmlutils.flows.copying.listing import KeptListing

_NO_NAME = {errno.EILSEQ, errno.EINVAL}  # what disks say of names that they don't take, such as non-UTF-8 on macOS


def extras(differences: Differences, unread: list[Unread]) -> list[Entry]:
    """Return what the source lacks, or has as another kind, apart from what could not be listed there."""
    hidden = unseen(each for each in unread if not each.vanished)
    found = [entry for entry in differences.only_right if not hidden(entry.path)]
    return found + [each.found for each in differences.changed if "kind" in each.what]


def delete_extras(data: Path, differences: Differences, unread: list[Unread]) -> int:
    """Delete the `extras`; return how many there are.

    Some may be gone already: after a kill -9 of ours, an rsync that lives on for a moment removes what it was writing.
    """
    doomed = extras(differences, unread)
    for entry in sorted(doomed, reverse=True):
        place = local_path(data, entry.path)
        remove = os.rmdir if entry.kind == "d" else os.unlink
        with contextlib.suppress(FileNotFoundError):
            try:
                remove(place)
            except PermissionError:
                os.chmod(os.path.dirname(place), 0o700)  # noqa: PTH101, PTH120 - bytes
                remove(place)
    return len(doomed)


def open_staging(folder: Path) -> Path:
    """Create the folder where a first copy grows, or reuse the one that an interrupted copy left.

    Files in it are written in place, so if any has another hard link, or is not ours, the whole folder is made anew.
    """
    remove_non_folder(folder)
    folder.mkdir(mode=0o700, exist_ok=True)
    for entry in walk(folder, unlock=True):
        with contextlib.suppress(FileNotFoundError):
            status = os.lstat(local_path(folder, entry.path))
            if entry.kind not in "fdl" or status.st_uid != os.geteuid() or (entry.kind == "f" and status.st_nlink > 1):
                remove_tree(folder)
                folder.mkdir(mode=0o700)
                break
    return folder


def staged_bytes(staging: Path) -> int:
    """Return how many bytes of files the staging folder holds."""
    return sum(entry.size for entry in walk(staging, unread=[]) if entry.kind == "f")


def move_in(staging: Path, data: Path, names: Iterable[bytes]) -> None:
    """Move these names at the root from `staging` to `data`, if they are there, and not in `data` by now."""
    for name in names:
        place, goal = local_path(staging, name), local_path(data, name)
        try:
            if stat.S_ISDIR(os.lstat(place).st_mode):
                os.chmod(place, 0o700)  # noqa: PTH101 - bytes; a folder that is not ours to write can't be moved
            if not os.path.lexists(goal):
                os.rename(place, goal)  # noqa: PTH104 - bytes
        except OSError as error:
            if error.errno not in {errno.ENOENT, *_NO_NAME}:
                raise


def land(staging: Path, data: Path, files: Iterable[Entry], resolution_ns: int = 1) -> Iterator[Complaint]:
    """Move those of these files that are complete from `staging` to `data`, if their folders are there."""
    for entry in files:
        try:
            _land(staging, data, entry, resolution_ns)
        except OSError as error:  # noqa: PERF203
            yield Complaint(entry.path, f"it can't be moved to its place: {error.strerror}")


def _land(staging: Path, data: Path, entry: Entry, resolution_ns: int) -> None:
    folder, place = entry.path.rpartition(b"/")[0], local_path(staging, entry.path)
    with contextlib.suppress(FileNotFoundError):
        if not (_entered(staging, folder) and _entered(data, folder)):
            return
        status = os.lstat(place)
        whole = status.st_size == entry.size and abs(status.st_mtime_ns - entry.mtime_ns) < resolution_ns
        if stat.S_ISREG(status.st_mode) and whole:
            os.replace(place, local_path(data, entry.path))  # noqa: PTH105 - bytes
        elif stat.S_ISREG(status.st_mode):
            os.chmod(place, 0o600)  # noqa: PTH101 - bytes; some rsyncs can't go on with a read-only one


def _entered(root: Path, folder: bytes) -> bool:
    """Tell whether this is a folder that is reached through no link; make it, and those above it, writable."""
    for path in reversed([*upwards(folder)]):
        mode = os.lstat(local_path(root, path)).st_mode
        if not stat.S_ISDIR(mode):
            return False
        if mode & stat.S_IRWXU != stat.S_IRWXU:
            os.chmod(local_path(root, path), 0o700)  # noqa: PTH101 - bytes
    return True


def fix_folders(data: Path, kept: KeptListing) -> list[str]:
    """Give every folder its mode and mtime from the listing, the deepest first, and every link its mtime.

    Links are included as rsync does not change a link's mtime that is right to the second. Returns problems: what could
    not be set.
    """
    problems = []
    folders_and_links = [entry for entry in kept.entries.values() if entry.kind in "dl"]
    real = _real_folders(data, folders_and_links)
    for entry in reversed(folders_and_links):
        if entry.path.rpartition(b"/")[0] not in real:
            continue
        try:
            _fix(local_path(data, entry.path), entry)
        except OSError as error:
            if error.errno not in {errno.ENOENT, errno.ENOTDIR, errno.EILSEQ}:
                problems.append(f"{quoted(entry.path)}: its mode or time can't be set: {error.strerror}")
    return problems


def _real_folders(data: Path, entries: Iterable[Entry]) -> set[bytes]:
    """Return which of the listed folders are real folders here; one may have arrived as a link that leads elsewhere."""
    real = {b""}
    for entry in entries:
        if entry.kind == "d" and entry.path.rpartition(b"/")[0] in real:
            with contextlib.suppress(OSError):
                if stat.S_ISDIR(os.lstat(local_path(data, entry.path)).st_mode):
                    real.add(entry.path)
    return real


def _fix(place: bytes, entry: Entry) -> None:
    now = os.lstat(place)
    times = (entry.mtime_ns, entry.mtime_ns)
    if entry.kind == "d" and stat.S_ISDIR(now.st_mode):
        if stat.S_IMODE(now.st_mode) != entry.mode:
            os.chmod(place, entry.mode)  # noqa: PTH101 - bytes
        if now.st_mtime_ns != entry.mtime_ns:
            os.utime(place, ns=times)
    elif entry.kind == "l" and stat.S_ISLNK(now.st_mode) and now.st_mtime_ns != entry.mtime_ns:
        os.utime(place, ns=times, follow_symlinks=False)
