"""Deleting on a target: by names, each of which was put there by us."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from cmlutils.flows.transfer import persist

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cmlutils.entries import Entry
    from cmlutils.remote.tunnel import Tunnel

_DELETE = "xargs -0 rm -f --"
_RMDIR = "xargs -0 rmdir -- 2>/dev/null; true"
_UNLOCK, _LOCK = "xargs -0 chmod u+w --", "xargs -0 chmod u-w -- 2>/dev/null; true"


def delete_there(tunnel: Tunnel, doomed: Mapping[bytes, Entry], found: Mapping[bytes, Entry]) -> None:
    """Delete on the target, where `found` is; folders that are not empty stay, and so does the mode of each."""
    parents = {path.rpartition(b"/")[0] for path in doomed}
    locked = [found[path] for path in parents if path in found and not found[path].mode & 0o200]
    files = [entry for entry in doomed.values() if entry.kind != "d"]
    folders = sorted((entry for entry in doomed.values() if entry.kind == "d"), reverse=True)
    for script, entries in ((_UNLOCK, locked), (_DELETE, files), (_RMDIR, folders), (_LOCK, locked)):
        if entries:
            names = b"".join(b"./" + entry.path + b"\0" for entry in entries)
            persist(tunnel, partial(tunnel.run, script, names, timeout=600, check=False))
