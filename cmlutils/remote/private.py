"""Private folders of a run: for the client and its login, and for the ssh connection.

The watchdog removes them after a kill -9 of ours. Where that was killed, too, or the machine went down, the next run
does: a login with a key must not stay. A lock in each, which dies with its process, tells them from those in use.
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
from cmlutils.remote import watchdog

if TYPE_CHECKING:
    from collections.abc import Iterator

LOCK = "cmlutil-lock"
_PREFIX = "cml-"


@contextlib.contextmanager
def private_folder(parent: str | None = None) -> Iterator[Path]:
    """Make a folder of mode 0700 that is gone when the block ends, or a moment after a kill -9 of ours."""
    folder, lock = None, -1
    try:
        with interrupts.held():
            _remove_left(Path(parent or tempfile.gettempdir()))
            folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
            watchdog.ours().folder(folder)
            lock = _lock(folder)
        yield folder
    finally:
        with interrupts.held():
            if folder:
                shutil.rmtree(folder, ignore_errors=True)
            if lock >= 0:
                os.close(lock)


def _lock(folder: Path) -> int:
    """Put a lock into a folder, which gets its name when it is held already; return what holds it."""
    new = folder / "new"
    handle = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with contextlib.suppress(OSError):  # a file system without locks
        fcntl.flock(handle, fcntl.LOCK_EX)
        new.rename(folder / LOCK)
    return handle


def _remove_left(parent: Path) -> None:
    """Remove the folders of ours that no process holds any more."""
    for lock in parent.glob(f"{_PREFIX}*/{LOCK}"):
        with contextlib.suppress(OSError):
            if lock.parent.lstat().st_uid != os.geteuid():  # nor is a link of somebody else's followed
                continue
            handle = os.open(lock, os.O_WRONLY | os.O_CLOEXEC)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(lock.parent, ignore_errors=True)
            finally:
                os.close(handle)
