"""What pull and push have in common: retries through a reopened tunnel, our own folders, threads, local errors."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING, TypeVar

from cmlutils.errors import CommandError, TransferError, TunnelError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from cmlutils.remote.tunnel import Tunnel

log = logging.getLogger(__name__)
T = TypeVar("T")


def retrying(tunnel: Tunnel, action: Callable[[], T], *, lasting: bool = True) -> T:
    """Do the action, and repeat it through a reopened tunnel when the tunnel dropped meanwhile.

    With `lasting`, its effect survives the next drop, so it counts as progress: the tunnel gets its full number of
    attempts again.
    """
    while True:
        try:
            result = action()
        except TunnelError as error:
            log.warning("%s", error)
        except (TransferError, CommandError) as error:
            if tunnel.alive():
                raise
            log.warning("%s", error)
        else:
            if lasting:
                tunnel.progressed()
            return result
        tunnel.reopen()


def in_thread(action: Callable[[], T]) -> Callable[[], T]:
    """Start an action in a thread; return a function that waits for its result, or raises its exception.

    That function can be called once, and keeps nothing: a result may be a listing of a million names.
    """
    result: Future[T] = Future()
    results = [result]

    def done() -> None:
        try:
            result.set_result(action())
        except BaseException as error:  # noqa: BLE001 - it is raised where the result is asked for
            result.set_exception(error)

    threading.Thread(target=done, daemon=True).start()
    return lambda: results.pop().result()


def emptied(folder: Path) -> Path:
    """Create this folder of ours anew, empty, with mode 0700."""
    remove_non_folder(folder)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700, parents=True)
    return folder


def remove_non_folder(folder: Path) -> None:
    """Remove whatever is in the place of a folder of ours, unless it is a folder."""
    if os.path.lexists(folder) and (folder.is_symlink() or not folder.is_dir()):
        folder.unlink()


@contextlib.contextmanager
def local_errors(place: Path) -> Iterator[None]:
    """Turn an OSError within the block into a TransferError that names its path, or else `place`."""
    try:
        yield
    except OSError as error:
        name = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else str(place)
        raise TransferError(f"{name}: {error.strerror}.", hint="Fix that and run the command again.") from error
