"""The lock that keeps two runs on one bundle apart, and who holds it."""

from __future__ import annotations

import fcntl
import os
import re
from datetime import datetime, timezone
from typing import TYPE_CHECKING, NamedTuple

from cmlutils.errors import BundleError

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType


class Holder(NamedTuple):
    """Who holds a lock, in the words of its file; `pid` is 0 where they don't name a process."""

    text: str
    pid: int


def _read(handle: int) -> Holder | None:
    text = os.read(handle, 200).decode(errors="replace").strip()
    match = re.match(r"process (\d+)", text)
    return Holder(text, int(match[1]) if match else 0) if text else None


def holder_of(path: Path) -> Holder | None:
    """Return who holds the lock in this file, None for nobody; raises OSError where that can't be read.

    It is tried only where the file names a living process, so that a run which begins at this very moment does not
    find it taken by us.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)  # a pipe has no end
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        holder = _read(handle)
        if holder is None or (holder.pid and not _lives(holder.pid)):
            return None
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return holder
    else:
        return None
    finally:
        os.close(handle)


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:  # somebody else's
        return True
    return True


class Lock:
    """A flock that dies with its process and says who holds it."""

    def __init__(self, path: Path, folder: Path) -> None:
        self._path, self._folder, self._handle = path, folder, -1

    def __enter__(self) -> None:
        try:
            self._take()
        except OSError as error:
            if self._handle >= 0:
                os.close(self._handle)
            raise BundleError(
                f"{self._path} can't be written: {error.strerror}.", hint="Free disk space or fix its permissions."
            ) from error

    def _take(self) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        self._handle = os.open(self._path, flags, 0o600)
        try:
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = _read(self._handle)
            os.close(self._handle)
            raise BundleError(
                f"{self._folder} is in use by {holder.text if holder else 'another process'}.",
                hint="Wait until it ends, or stop it with kill -INT.",
            ) from None
        os.ftruncate(self._handle, 0)
        since = datetime.now(timezone.utc).isoformat(timespec="seconds")
        os.pwrite(self._handle, f"process {os.getpid()} since {since}\n".encode(), 0)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.ftruncate(self._handle, 0)
        os.close(self._handle)
