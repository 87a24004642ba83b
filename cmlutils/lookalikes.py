"""Names that differ in case, or in how Unicode writes them, and that some disks take for one.

So do the usual disks of macOS, and some shares. Two such files would end up as one.
"""

from __future__ import annotations

import contextlib
import os
import unicodedata
from collections import defaultdict
from typing import TYPE_CHECKING

from cmlutils.disk import trial_folder
from cmlutils.paths import is_dir

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

_PROBES = ((b"\xc3\x89", b"\xc3\xa9"), (b"\xc3\xa9", b"e\xcc\x81"))  # two cases, and two forms, of e with an accent


def lookalikes(scratch: Path, paths: Iterable[bytes]) -> list[tuple[bytes, bytes]]:
    """Return the pairs of these paths that would be one file on the disk of this folder, in which we may write."""
    with trial_folder(scratch) as place:
        if not any(_taken(place, names) for names in _PROBES):
            return []
        alike: dict[tuple[bytes, str], list[bytes]] = defaultdict(list)
        for path in paths:
            parent, _, name = path.rpartition(b"/")
            alike[parent, _folded(os.fsdecode(name))].append(path)
        groups = [group for group in alike.values() if len(group) > 1]
        return [(group[0], path) for group in groups for path in _taken(place, group)]


def _taken(place: Path, paths: Sequence[bytes]) -> list[bytes]:
    """Return those of the paths in one folder whose name is taken when all before them are there."""
    found = []
    with trial_folder(place) as folder:
        for path in paths:
            name = os.path.join(os.fsencode(folder), path.rpartition(b"/")[2])  # noqa: PTH118 - bytes
            try:
                os.close(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
            except FileExistsError:
                found.append(path)
            except OSError:  # a name that this disk refuses
                continue
    return found


def other_name(folder: Path) -> str:
    """Return the name by which the disk has this folder, if that is a lookalike of its name; else "".

    One in another Unicode form is no other name, as some disks keep all names in one form.
    """
    if not is_dir(folder):
        return ""
    names: list[str] = []
    with contextlib.suppress(PermissionError):
        names = os.listdir(folder.parent)  # noqa: PTH208
    if folder.name in names:
        return ""
    mine, folded = _composed(folder.name), _folded(folder.name)
    return next((one for one in names if _folded(one) == folded and _composed(one) != mine), "")


def _composed(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def _folded(name: str) -> str:
    return unicodedata.normalize("NFD", name).casefold()
