"""The file that remembers what we have put on a target, and beside it how fine that target's times are."""

from __future__ import annotations

import contextlib
import hashlib
from typing import TYPE_CHECKING

from cmlutils.bundle import write_bytes

if TYPE_CHECKING:
    from pathlib import Path


def pushed_list(state: Path, url: str, project: str) -> Path:
    """Name the file that remembers what we put into this project (owner/slug) of this workspace."""
    digest = hashlib.sha256(f"{url}\n{project}".encode()).hexdigest()[:16]
    return state / f"pushed-{digest}.list"


def known_grain(memory: Path) -> int:
    """Say how fine the target's times are, in nanoseconds, as the push before has found."""
    with contextlib.suppress(OSError, ValueError):
        return int(_grain_file(memory).read_text())
    return 1


def keep_grain(memory: Path, grain: int) -> None:
    """Keep that for the next push, and for a comparison."""
    write_bytes(_grain_file(memory), b"%d\n" % grain)


def _grain_file(memory: Path) -> Path:
    return memory.with_suffix(".grain")
