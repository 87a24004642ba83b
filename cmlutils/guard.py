"""What keeps the machine's other users, and whoever packed a bundle, from redirecting our writes."""

from __future__ import annotations

import contextlib
import os
import shlex
import stat
from typing import TYPE_CHECKING

from cmlutils import paths
from cmlutils.errors import BundleError, ConfigError
from cmlutils.lookalikes import other_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

OBSTACLE_FIX = "choose another output_dir, or fix its permissions"
MANIFEST = "manifest.json"
OWN_FOLDERS = ("project-metadata", "logs", "state")  # of a bundle: only we put files into them
SCRATCH = "tmp"  # in `state`: emptied before it is used
_UNCHECKED = (SCRATCH, "arriving")  # `landing.open_staging` looks through the latter before it is used


def place_warning(folder: Path) -> str:
    """Return a warning about an output_dir in which any user may replace our folder; empty if it is safe."""
    mode = folder.stat().st_mode
    if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
        return f"{folder} can be written to by every user of this machine: run 'chmod o-w {shlex.quote(str(folder))}'."
    return ""


def check_ours(bundle: Path) -> None:
    """Refuse any link, special file or other user's file of our own in a bundle, but for what is in _UNCHECKED.

    Refuse, too, with ConfigError, another section's bundle, whose name the disk takes for this one.
    """
    if other := other_name(bundle):
        raise ConfigError(
            f"{bundle} is the bundle of section {other!r}: its disk takes both names for one.",
            hint="Give one of the two sections another output_dir.",
        )
    manifest = str(bundle / MANIFEST)
    for path in (manifest, *_within(bundle / name for name in OWN_FOLDERS)):
        with contextlib.suppress(FileNotFoundError):  # of another run that is just working
            status = os.lstat(path)
            if stat.S_ISDIR(status.st_mode) and path == manifest:
                what = "is a folder"
            elif not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
                what = "is neither a file nor a folder"
            elif status.st_uid != os.geteuid():
                what = "belongs to another user"
            else:
                continue
            raise BundleError(f"{path} {what}.", hint="Find out where it comes from, and remove it.")


def _within(folders: Iterable[Path]) -> Iterator[str]:
    for top in folders:
        for place, inner, names in os.walk(top, onerror=_raise):
            yield from (os.path.join(place, name) for name in (*inner, *names))  # noqa: PTH118
            inner[:] = [name for name in inner if name not in _UNCHECKED]


def _raise(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise error


def existing_folder(folder: Path) -> Path:
    """Return this folder, or the nearest one above it that exists."""
    return next(one for one in (folder, *folder.parents) if paths.is_dir(one))


def obstacle(folder: Path) -> str:
    """Say why a bundle's folder can't be written or created; empty if it can, as far as one sees without trying."""
    for one in (folder, folder / "project-data", *(folder / name for name in OWN_FOLDERS)):
        if why := _no_folder_of_ours(one):
            return why
    try:
        check_ours(folder)
    except (BundleError, ConfigError) as error:
        return error.message.removesuffix(".")
    except OSError as error:
        return f"{error.filename} can't be read"
    return ""


def _no_folder_of_ours(folder: Path) -> str:
    if folder.is_symlink():
        return f"{folder} is a symbolic link"
    if paths.is_dir(folder):
        if folder.stat().st_uid != os.geteuid():
            return f"{folder} belongs to another user"
        return f"{folder} is on a read-only file system" if os.statvfs(folder).f_flag & os.ST_RDONLY else ""
    if paths.exists(folder):
        return f"{folder} is not a folder"
    place = existing_folder(folder)
    return "" if os.access(place, os.W_OK | os.X_OK) else f"{place} can't be written to"
