"""What the disk of a bundle keeps of files, found out by trying in its scratch folder."""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

PROBE_MTIME = 1_500_000_001_987_654_321  # nanoseconds: a time that no coarser clock can keep
MTIME_RESOLUTIONS = (1, 100, 1_000, 1_000_000, 10_000_000, 10**9, 2 * 10**9)  # in nanoseconds, of file systems
_MODES = (0o640, 0o751)


def resolution_of(kept: int) -> int:
    """Return the mtime resolution, in nanoseconds, of a file system that was given PROBE_MTIME and kept `kept`.

    If `kept` is not even near PROBE_MTIME, full resolution is assumed.
    """
    coarsest = MTIME_RESOLUTIONS[-1] if abs(PROBE_MTIME - kept) <= MTIME_RESOLUTIONS[-1] else 1
    return next((each for each in MTIME_RESOLUTIONS if PROBE_MTIME // each * each == kept), coarsest)


@contextlib.contextmanager
def trial_folder(scratch: Path) -> Iterator[Path]:
    """Yield a new folder to try things in; if we are killed meanwhile, the next run removes it from `scratch`."""
    with tempfile.TemporaryDirectory(dir=scratch) as place:
        yield Path(place)


def mtime_resolution(scratch: Path) -> int:
    """Return the disk's mtime resolution, in nanoseconds; one, encfs, rounds times only when a file is renamed."""
    with trial_folder(scratch) as place:
        file = place / "file"
        file.touch()
        os.utime(file, ns=(PROBE_MTIME, PROBE_MTIME))
        return resolution_of(file.rename(place / "renamed").stat().st_mtime_ns)


def keeps_modes(scratch: Path) -> bool:
    """Tell whether files keep their modes: disks of Windows, and many shares, give all files one."""
    with trial_folder(scratch) as place:
        file = place / "file"
        file.touch()
        return all(_kept(file, mode) for mode in _MODES)


def _kept(file: Path, mode: int) -> bool:
    try:
        file.chmod(mode)
    except OSError:
        return False
    return stat.S_IMODE(file.stat().st_mode) == mode


def keeps_links(scratch: Path) -> bool:
    """Tell whether there can be symbolic links; sshfs refuses to read one with an absolute target."""
    with trial_folder(scratch) as place:
        link = place / "link"
        try:
            link.symlink_to("/nowhere")
            return str(link.readlink()) == "/nowhere"
        except OSError:
            return False
