"""How much room is on the disk, and whether it is enough for a copy."""

from __future__ import annotations

import os
from heapq import nlargest
from typing import TYPE_CHECKING

from cmlutils.errors import TransferError
from cmlutils.flows.copying.stream import STREAMS
from cmlutils.localtree import local_path
from cmlutils.units import human_size

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from cmlutils.entries import Differences, Entry

SLACK = 4 << 20  # bytes to leave free for lists, logs and folders
BLOCK = 4096  # the least that a file takes
UNCOUNTED = 1 << 62  # stands for the number of inodes where a file system does not limit them


def free_space(data: Path) -> tuple[int, int]:
    """Return how many bytes and how many inodes are free."""
    space = os.statvfs(data)
    return space.f_bavail * space.f_frsize, space.f_favail if space.f_files else UNCOUNTED


def free_space_text(bytes_free: int | None = None, inodes: int | None = None) -> str:
    """Say how much is free on a disk, as far as it is known."""
    count = "an unknown number of" if bytes_free is None else f"{bytes_free}"
    return f"{count} bytes" + ("" if inodes in {None, UNCOUNTED} else f" and {inodes} inodes")


def check_room(
    data: Path, differences: Differences, extras: Iterable[Entry], partial_bytes: int, holes: Callable[[], int]
) -> None:
    """Raise TransferError if a copy will not fit, even when `extras` are deleted.

    `partial_bytes` are here already. `holes`, called only if it matters, returns how many bytes of large files are
    holes. A file that replaces another needs room for its growth; while it is being copied, as a few are at the same
    time, it needs room for its full size.
    """
    changed = [(each.wanted.size, each.found.size) for each in differences.changed if each.wanted.kind == "f"]
    size = sum(-(-entry.size // BLOCK) * BLOCK for entry in differences.only_left if entry.kind == "f")
    size += sum(max(0, wanted - found) for wanted, found in changed)
    size += sum(nlargest(STREAMS, (wanted for wanted, _ in changed)))
    size, count = max(0, size - partial_bytes), len(differences.only_left)
    free, inodes = free_space(data)
    if size + SLACK <= free and count <= inodes:
        return
    size = max(0, size - holes())
    bytes_back, inodes_back = _given_back(data, extras)
    hint = "Make room, choose another output_dir, or list more in .exportignore."
    if size + SLACK > free + bytes_back:
        back = f" and gets {human_size(bytes_back)} back from what is deleted" if bytes_back else ""
        raise TransferError(
            f"{data} has {human_size(free)} free{back}, and {human_size(size)} are to come; "
            f"{human_size(SLACK)} should stay free.",
            hint=hint,
        )
    if count > inodes + inodes_back:
        raise TransferError(f"{data} has {inodes} inodes free, and {count} files are to come.", hint=hint)


def _given_back(data: Path, extras: Iterable[Entry]) -> tuple[int, int]:
    """Return the bytes and inodes that deleting these frees; a file with another hard link frees none."""
    stats = [os.lstat(local_path(data, entry.path)) for entry in extras if entry.kind != "d"]
    freed = [512 * each.st_blocks for each in stats if each.st_nlink == 1]
    return sum(freed), len(freed)
