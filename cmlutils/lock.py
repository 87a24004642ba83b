"""The lock that keeps two runs on one bundle apart, and who holds it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from cmlutils.errors import BundleError
from cmlutils.units import utc_time
from cmlutils.wholefile import writing

if TYPE_CHECKING:
    from collections.abc import Iterator


class Holder(NamedTuple):
    """Who holds a lock, as its file says; `pid` is 0 where the file names no process."""

    text: str
    pid: int


def _read(handle: int) -> Holder | None:
    text = os.read(handle, 200).decode(errors="replace").strip()
    match = re.match(r"process (\d+)", text)
    pid = int(match[1]) if match else 0
    if pid and _is_stopped(pid):
        text += f", stopped (kill -CONT {pid} continues it)"
    return Holder(text, pid) if text else None


def _is_stopped(pid: int) -> bool:
    """Tell whether a process does nothing, as after Ctrl-Z; only Linux says so."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return False
    return stat.rpartition(b")")[2].split()[:1] == [b"T"]


def holder_of(path: Path) -> Holder | None:
    """Return who holds the lock in this file, None for nobody; raise OSError if it can't be read.

    To find out, the lock is taken for a moment, but only if the file names a living process: otherwise a run that
    begins just then could find it taken by us.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)  # a pipe would block
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


@contextlib.contextmanager
def taken(path: Path, folder: Path) -> Iterator[int]:
    """Hold the lock in this file for the time of the block; yield the file's descriptor.

    It is a flock, which ends with its process. Raises BundleError if the file can't be opened, or, naming `folder`, if
    another process holds the lock.
    """
    with contextlib.ExitStack() as stack:
        with writing(path):
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            stack.callback(os.close, handle)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                holder = _read(handle)
                raise BundleError(
                    f"{folder} is in use by {holder.text if holder else 'another process'}.",
                    hint="Wait until it ends, or stop it with kill -INT.",
                ) from None
        yield handle


@contextlib.contextmanager
def lock(path: Path, folder: Path) -> Iterator[None]:
    """Hold the lock, as `taken` does, and say in the file who holds it; raise BundleError if that can't be written."""
    with contextlib.ExitStack() as stack:
        handle = stack.enter_context(taken(path, folder))
        stack.callback(os.ftruncate, handle, 0)
        with writing(path):
            os.ftruncate(handle, 0)
            os.pwrite(handle, f"process {os.getpid()} since {utc_time(time.time())}\n".encode(), 0)
        yield
