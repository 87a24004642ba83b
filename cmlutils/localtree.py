"""List a local tree, or some of its names. No link is followed."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from typing import TYPE_CHECKING

from cmlutils.entries import MODES, Entry, above
from cmlutils.errors import TransferError
from cmlutils.filelist import Unread, quoted

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

_KIND_OF_FORMAT = {
    stat.S_IFREG: "f",
    stat.S_IFDIR: "d",
    stat.S_IFLNK: "l",
    stat.S_IFIFO: "p",
    stat.S_IFSOCK: "s",
    stat.S_IFBLK: "b",
    stat.S_IFCHR: "c",
}


def local_path(root: Path, path: bytes) -> bytes:
    """Return the path of a listed name."""
    return os.fsencode(root) + b"/" + path


def walk(root: Path, *, unread: list[Unread] | None = None, unlock: bool = False) -> Iterator[Entry]:
    """List a local tree in the order of `parse_find`, following no link; unreadable folders are added to `unread`.

    Without that list they raise TransferError, as an unreadable root always does. With `unlock` they get mode 0700
    and are listed. What disappears meanwhile is left out, and so is what has a path too long for the system.
    """
    top = os.fsencode(root)
    folders = [b""]
    while folders:
        folder = folders.pop()
        place = top + b"/" + folder if folder else top
        try:
            try:
                found = _inside(place, folder)
            except PermissionError:
                if not unlock or not folder:
                    raise
                os.chmod(place, 0o700)  # noqa: PTH101 - bytes
                found = _inside(place, folder)
        except OSError as error:
            if folder and _leaves_out(error):
                continue
            reason = error.strerror or str(error)
            if unread is None or not folder:
                raise TransferError(f"cannot read {quoted(place)}: {reason}") from error
            unread.append(Unread(folder, reason))
            continue
        for entry in found:
            yield entry
            if entry.kind == "d":
                folders.append(entry.path)


def _leaves_out(error: OSError) -> bool:
    """Tell whether `walk` leaves out what it can't look at for this reason."""
    return isinstance(error, FileNotFoundError) or error.errno == errno.ENAMETOOLONG


def look(root: Path, paths: Iterable[bytes]) -> Iterator[Entry]:
    """List only those of these names that exist in a local tree; no folder is entered through a link.

    Raises OSError where `walk` might see more: in a folder that may not be entered, or below a very long path.
    """
    top, real = os.fsencode(root) + b"/", dict[bytes, bool]()

    def is_real(folder: bytes) -> bool:
        if folder not in real:
            real[folder] = stat.S_ISDIR(os.lstat(top + folder).st_mode)
        return real[folder]

    for path in paths:
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            if all(is_real(folder) for folder in reversed([*above(path)])):
                yield _entry(path, os.lstat(top + path), top + path)


def _entry(path: bytes, status: os.stat_result, place: bytes) -> Entry:
    mode = status.st_mode
    kind = _KIND_OF_FORMAT[stat.S_IFMT(mode)]
    link = os.readlink(place) if kind == "l" else b""  # noqa: PTH115 - bytes
    return Entry(path, kind, status.st_size, status.st_mtime_ns, MODES[mode & 0o7777], link)


def _inside(place: bytes, folder: bytes) -> list[Entry]:
    """List one folder, but for what `walk` leaves out."""
    before = folder + b"/" if folder else b""
    found = []
    with os.scandir(place) as names:
        for name in names:
            try:
                found.append(_entry(before + name.name, name.stat(follow_symlinks=False), name.path))
            except OSError as error:  # noqa: PERF203
                if not _leaves_out(error):
                    raise
    return found
