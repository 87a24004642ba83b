"""What is at a path; trouble in looking is an OSError, where `Path.exists` says "nothing" since Python 3.14.

What can't be looked at, as a folder closed to us or a share that is away, must never pass for what is not there: an
import that saw no journal would make everything again.
"""

from __future__ import annotations

import errno
import stat
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_ABSENT = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP}


def exists(path: Path) -> bool:
    """Tell whether there is anything at this path, or where it links to."""
    return _mode(path) != 0


def is_file(path: Path) -> bool:
    """Tell whether there is a file at this path, or where it links to."""
    return stat.S_ISREG(_mode(path))


def is_dir(path: Path) -> bool:
    """Tell whether there is a folder at this path, or where it links to."""
    return stat.S_ISDIR(_mode(path))


def _mode(path: Path) -> int:
    try:
        return path.stat().st_mode
    except OSError as error:
        if error.errno in _ABSENT:
            return 0
        raise
