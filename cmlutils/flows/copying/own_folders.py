"""Folders of our own on this machine, and what goes wrong on its disk."""

from __future__ import annotations

import contextlib
import os
import shutil
from typing import TYPE_CHECKING

from cmlutils.errors import TransferError
from cmlutils.localtree import local_path, walk

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from cmlutils.entries import Entry

DEEP = 100  # levels that are left to shutil.rmtree, which calls itself for each


def empty_folder(folder: Path) -> Path:
    """Create this folder of ours anew, empty, with mode 0700."""
    remove_non_folder(folder)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700, parents=True)
    return folder


def remove_non_folder(folder: Path) -> None:
    """Remove whatever is in the place of a folder of ours, unless it is a folder."""
    if os.path.lexists(folder) and (folder.is_symlink() or not folder.is_dir()):
        folder.unlink()


def remove_tree(folder: Path) -> None:
    """Remove a folder of ours with everything in it, whatever the modes, and however deep."""
    deep: list[Entry] = []
    for entry in walk(folder, unlock=True):
        if entry.kind == "d":
            os.chmod(local_path(folder, entry.path), 0o700)  # noqa: PTH101 - bytes
        if entry.path.count(b"/") > DEEP:
            deep.append(entry)
    for entry in reversed(deep):
        with contextlib.suppress(OSError):  # what stays is a matter of rmtree
            place = local_path(folder, entry.path)
            os.rmdir(place) if entry.kind == "d" else os.unlink(place)  # noqa: PTH106, PTH108 - bytes
    shutil.rmtree(folder)


@contextlib.contextmanager
def local_errors(place: Path) -> Iterator[None]:
    """Turn an OSError within the block into a TransferError that names its path, or else `place`."""
    try:
        yield
    except OSError as error:
        name = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else str(place)
        raise TransferError(f"{name}: {error.strerror}.", hint="Fix that and run the command again.") from error
