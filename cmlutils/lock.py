"""The lock that keeps two runs on one bundle apart."""

from __future__ import annotations

import fcntl
import os
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from cmlutils.errors import BundleError

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType


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
            holder = os.read(self._handle, 200).decode(errors="replace").strip() or "another process"
            os.close(self._handle)
            raise BundleError(
                f"{self._folder} is in use by {holder}.",
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
