"""Compare the bundle's files with a project's: every path, kind, size, mode, time, link and digest."""

from __future__ import annotations

import hashlib
import logging
from typing import TYPE_CHECKING

from cmlutils.entries import compare
from cmlutils.errors import TransferError
from cmlutils.filelist import show, walk
from cmlutils.flows.pull import export_rules
from cmlutils.flows.push import import_rules
from cmlutils.flows.transfer import Kept, at, ours_beside, persist, remote_listing
from cmlutils.ignore import default_rules, keep
from cmlutils.report import Difference

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from cmlutils.bundle import Bundle
    from cmlutils.entries import Entry
    from cmlutils.remote.tunnel import Tunnel

log = logging.getLogger(__name__)
_BATCH = 1000  # files whose digests one command on the workspace tells


def compare_files(tunnel: Tunnel, bundle: Bundle, side: str) -> list[Difference]:
    """Return the differences between bundle and source, or bundle and target.

    On the source, `.exportignore` says what counts; on the target, `.importignore`.
    """
    if side == "source":
        rules, _ = export_rules(tunnel)
        here = {entry.path: entry for entry in walk(bundle.data)}
    else:
        rules, _ = import_rules(bundle.data)
        here = Kept(walk(bundle.data), rules).entries
    ours = ours_beside(here) if side == "target" else b""  # what an interrupted import left is nobody's file
    there = remote_listing(tunnel, rules, f"the {side}'s listing", ours=ours).entries
    differences = compare(here, there.values())
    where = f"{side} file"
    found = [Difference(where, show(one.path), "there", "absent") for one in differences.only_left]
    session = default_rules()  # what a session itself leaves in its home
    extras = {one.path for one in keep(differences.only_right, session)}
    for one in differences.only_right:
        expected = side == "target" and one.path not in extras
        found.append(Difference(where, show(one.path), "absent", "there", expected=expected))
    for change in differences.changed:
        for what in change.what:
            left, right = (_shown(one, what) for one in (change.wanted, change.found))
            found.append(Difference(where, f"{show(change.wanted.path)}: {what}", left, right))
    changed = {change.wanted.path for change in differences.changed if {"size", "kind"} & set(change.what)}
    both = [path for path, one in here.items() if one.kind == "f" and path in there and path not in changed]
    for path, left, right in _digests(tunnel, bundle.data, both):
        found.append(Difference(where, f"{show(path)}: content", left, right))
    return found


def _shown(entry: Entry, what: str) -> str:
    value = {"mtime": entry.mtime_ns, "mode": oct(entry.mode), "link": show(entry.link)}.get(what)
    return str(getattr(entry, what, "") if value is None else value)


def _digests(tunnel: Tunnel, data: Path, paths: list[bytes]) -> Iterator[tuple[bytes, str, str]]:
    """Yield each file whose content differs, with both SHA-256 digests, computed where the file lies."""
    for start in range(0, len(paths), _BATCH):
        some = paths[start : start + _BATCH]
        told = _remote_digests(tunnel, some)
        for path in some:
            with open(at(data, path), "rb") as file:  # noqa: PTH123 - bytes
                mine = _digest(file)
            if told.get(path) != mine:
                yield path, mine[:16], (told.get(path) or "unreadable")[:16]


def _digest(file: Iterable[bytes]) -> str:
    digest = hashlib.sha256()
    for chunk in file:
        digest.update(chunk)
    return digest.hexdigest()


def _remote_digests(tunnel: Tunnel, paths: list[bytes]) -> dict[bytes, str]:
    names = b"".join(b"./" + path + b"\0" for path in paths)
    result = persist(tunnel, lambda: tunnel.run("xargs -0 -r sha256sum -z --", names, timeout=3600, ok=(0, 1, 123)))
    told = {}
    for record in result.out.split(b"\0"):
        digest, _, name = record.partition(b"  ./")
        if name:
            told[name] = digest.decode("ascii", "replace").lstrip("\\")
    if paths and not told:
        raise TransferError("The workspace could not compute digests.", hint="Its runtime needs sha256sum.")
    return told
