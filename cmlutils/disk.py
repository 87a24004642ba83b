"""What the disk under a folder of ours keeps of files, found out by trying."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path

PROBE_MTIME = 1_500_000_001_987_654_321  # nanoseconds: a time that no coarser clock can keep
MTIME_RESOLUTIONS = (1, 100, 1_000, 1_000_000, 10_000_000, 10**9, 2 * 10**9)  # in nanoseconds, of file systems
_MODES = (0o640, 0o751)


def resolution_of(kept: int) -> int:
    """Return the mtime resolution, in nanoseconds, of a file system that was given PROBE_MTIME and kept `kept`.

    If `kept` is not even near PROBE_MTIME, full resolution is assumed.
    """
    coarsest = MTIME_RESOLUTIONS[-1] if abs(PROBE_MTIME - kept) <= MTIME_RESOLUTIONS[-1] else 1
    return next((each for each in MTIME_RESOLUTIONS if PROBE_MTIME // each * each == kept), coarsest)


def mtime_resolution(folder: Path) -> int:
    """Return the disk's mtime resolution, in nanoseconds; one, encfs, rounds times only when a file is renamed."""
    with tempfile.TemporaryDirectory(dir=folder) as place:
        file = Path(place, "file")
        file.touch()
        os.utime(file, ns=(PROBE_MTIME, PROBE_MTIME))
        return resolution_of(file.rename(Path(place, "renamed")).stat().st_mtime_ns)


def keeps_modes(folder: Path) -> bool:
    """Tell whether files keep their modes: those of Windows, and many shares, give all files one."""
    with tempfile.NamedTemporaryFile(dir=folder) as file:
        return all(_kept(file.name, mode) for mode in _MODES)


def _kept(path: str, mode: int) -> bool:
    try:
        os.chmod(path, mode)  # noqa: PTH101
    except OSError:
        return False
    return stat.S_IMODE(os.stat(path).st_mode) == mode  # noqa: PTH116


def keeps_links(folder: Path) -> bool:
    """Tell whether there can be symbolic links; sshfs refuses to read one with an absolute target."""
    with tempfile.TemporaryDirectory(dir=folder) as place:
        link = Path(place, "link")
        try:
            link.symlink_to("/nowhere")
            return str(link.readlink()) == "/nowhere"
        except OSError:
            return False
