"""Delete files on a target by name, which an earlier push put there."""

from __future__ import annotations

import shlex
from functools import partial
from typing import TYPE_CHECKING

from cmlutils.entries import upwards
from cmlutils.flows.copying.listing import listed_names
from cmlutils.flows.copying.retrying import retrying
from cmlutils.flows.copying.whole_names import whole_names, with_whole_names
from cmlutils.remote import process
from cmlutils.remote.tunnel import ANY

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from cmlutils.entries import Entry
    from cmlutils.remote.tunnel import Tunnel

_DELETE = "xargs -0 rm -f --"
_RMDIR = "xargs -0 rmdir -- 2>/dev/null; true"
# Tries once more to delete each name of its input; prints the name and the reason if that fails.
_WHY = r"""
export LC_ALL=C
xargs -0 sh -c '
    command=$0
    for each; do said=$($command "$each" 2>&1) || printf "%s\\000%s\\000" "$each" "${said##*: }"; done
' {}
true
"""
_NOT_EMPTY = {"Directory not empty", "File exists"}
_UNLOCK, _LOCK = "xargs -0 chmod u+w --", "xargs -0 chmod u-w -- 2>/dev/null; true"


def delete_there(tunnel: Tunnel, doomed: Mapping[bytes, Entry], found: Mapping[bytes, Entry]) -> None:
    """Delete the `doomed` on the target; folders that are not empty stay, and what changed since it was listed.

    `found` is the target's listing; read-only folders get write permission for a moment.
    """
    parents = {path.rpartition(b"/")[0] for path in doomed}
    locked = [found[path] for path in parents if path in found and not found[path].mode & 0o200]
    now = listed_names(tunnel, {each for path in doomed for each in upwards(path)})
    files = [entry for entry in doomed.values() if entry.kind != "d" and now.get(entry.path) == entry]
    folders = sorted((entry for entry in doomed.values() if entry.kind == "d"), reverse=True)
    for script, entries in ((_UNLOCK, locked), (_DELETE, files), (_RMDIR, folders), (_LOCK, locked)):
        if entries:
            _run(tunnel, script, [entry.path for entry in entries])


def delete_one_by_one(tunnel: Tunnel, left: Collection[bytes], doomed: Mapping[bytes, Entry]) -> dict[bytes, str]:
    """Try once more to delete what is left of the doomed, one by one; return why each stays, but for full folders."""
    reasons: dict[bytes, str] = {}
    folders = sorted((path for path in left if doomed[path].kind == "d"), reverse=True)
    files = sorted(path for path in left if doomed[path].kind != "d")
    for command, paths in (("rm -f --", files), ("rmdir --", folders)):
        if paths:
            said = _run(tunnel, _WHY.replace("{}", shlex.quote(command)), paths).split(b"\0")
            pairs = zip(said[::2], said[1::2], strict=False)
            reasons.update((path.removeprefix(b"./"), process.text(reason)) for path, reason in pairs)
    return {path: reason for path, reason in reasons.items() if reason not in _NOT_EMPTY}


def _run(tunnel: Tunnel, script: str, paths: Iterable[bytes]) -> bytes:
    """Run a script that reads these names; return what it printed."""
    names = whole_names(b"./" + path for path in paths)
    return retrying(tunnel, partial(tunnel.run, with_whole_names(script), names, timeout=600, ok=ANY)).out
