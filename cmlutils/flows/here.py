"""List a local tree by GNU find where there is one: that takes a third of the time of our own walk."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from cmlutils.errors import CommandError
from cmlutils.filelist import END, find_command, parse_find, show
from cmlutils.localtree import walk
from cmlutils.remote import process

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from cmlutils.entries import Entry
    from cmlutils.filelist import Unread


CHUNK = 1 << 16  # bytes to parse at once
SECONDS = 600


def listed(
    root: Path, *, unread: list[Unread] | None = None, locked: Callable[[bytes], None] | None = None
) -> Iterator[Entry]:
    """List a local tree as `walk` does, and by it where find has anything to complain of."""
    found = _by_find(os.fsencode(root.absolute()) + b"/.")
    if found is None:
        yield from walk(root, unread=unread, locked=locked)
    else:
        chunks = (found[start : start + CHUNK] for start in range(0, len(found), CHUNK))
        yield from parse_find(chunks, source=f"the listing of {show(os.fsencode(root))}")


def _by_find(place: bytes) -> bytes | None:
    """Return what find says of this folder, as `parse_find` reads it; None if it is another find, or complains."""
    try:
        done = process.run(find_command(place=place), timeout=SECONDS, check=False)
    except CommandError:
        return None
    well = not done.code and not done.err and done.out.startswith(b"d\0")
    return done.out + END + b"\0" if well else None
