"""Private folders of a run: for the client and its login, and for the ssh connection.

The watchdog removes them after a kill -9 of ours. If the watchdog was killed as well, or the machine went down, the
next run removes them, as a login with a key must not stay. Each holds a lock, which ends with its process, so that the
next run can tell which are still in use.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from cmlutils import interrupts
from cmlutils.errors import CommandError
from cmlutils.remote import watchdog

if TYPE_CHECKING:
    from collections.abc import Iterator

LOCK = "cmlutil-lock"
_PREFIX = "cml-"
_NOEXEC = getattr(os, "ST_NOEXEC", 0)  # macOS does not tell it


@contextlib.contextmanager
def private_folder(parent: str) -> Iterator[Path]:
    """Make a folder of mode 0700 that is removed when the block ends, or a moment after a kill -9 of ours.

    It lies in `parent`, or, where nothing can be written there, in the folder for temporary files; raises CommandError
    if nothing can be written there either.
    """
    folder, lock = None, -1
    try:
        with interrupts.held():
            place = parent if _can_be_written(parent) else _temporary()
            _remove_left(Path(place))
            with temp_errors(place):
                folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=place))
                watchdog.ours().remove_later(folder)
                lock = _lock(folder)
        yield folder
    finally:
        with interrupts.held():
            if folder:
                shutil.rmtree(folder, ignore_errors=True)
            if lock >= 0:
                os.close(lock)


@contextlib.contextmanager
def temp_errors(place: str | Path) -> Iterator[None]:
    """Turn an OSError within the block into a CommandError that says that `place` can't be written."""
    try:
        yield
    except OSError as error:
        if not error.errno:  # raised by a library, not by the system
            raise
        message = f"{place} can't be written: {error.strerror}."
        raise CommandError(message, hint="Make room there, or let TMPDIR name another folder.") from error


def place_for_programs() -> str:
    """Return the folder for temporary files, or one of the user's where that is mounted noexec and runs no program.

    Raises CommandError if there is none.
    """
    place = _temporary()
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")  # noqa: PTH111 - ~ may be nowhere
    for each in (place, cache, os.path.expanduser("~")):  # noqa: PTH111
        if _can_be_written(each) and not os.statvfs(each).f_flag & _NOEXEC:
            return each
    raise CommandError(
        f"{place} can't be written, or is on a disk that is mounted noexec.",
        hint="Let TMPDIR name a folder from which cdswctl can be run.",
    )


def _can_be_written(folder: str) -> bool:
    return os.access(folder, os.W_OK | os.X_OK)


def _temporary() -> str:
    """Return the folder for temporary files; raise CommandError if there is none."""
    try:
        return tempfile.gettempdir()
    except OSError as error:
        raise CommandError(f"{error.strerror}.", hint="Let TMPDIR name a folder that can be written.") from error


def _lock(folder: Path) -> int:
    """Put a lock file into a folder and return its descriptor; the file gets its name only once the lock is held."""
    new = folder / "new"
    handle = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with contextlib.suppress(OSError):  # the file system has no locks
        fcntl.flock(handle, fcntl.LOCK_EX)
        new.rename(folder / LOCK)
    return handle


def _remove_left(parent: Path) -> None:
    """Remove folders of ours whose lock no process holds any more."""
    for lock in parent.glob(f"{_PREFIX}*/{LOCK}"):
        with contextlib.suppress(OSError):
            if lock.parent.lstat().st_uid != os.geteuid():  # so a link of somebody else is not followed either
                continue
            handle = os.open(lock, os.O_WRONLY | os.O_CLOEXEC)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(lock.parent, ignore_errors=True)
            finally:
                os.close(handle)
