"""What earlier pushes put on the target: what of it has to go, and what is there still."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cmlutils.filelist import unseen

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cmlutils.entries import Entry
    from cmlutils.flows.copying.bundle_files import BundleListing
    from cmlutils.flows.copying.listing import KeptListing


def doomed_there(here: BundleListing, there: KeptListing, resolution_ns: int) -> dict[bytes, Entry]:
    """Return what to delete: what we put there, is gone from the bundle, and is still as we left it."""
    doomed: dict[bytes, Entry] = {}
    hidden = unseen(here.local.unread)
    for put in here.outdated:
        now, gone = there.entries.get(put.path), put.path not in here.local.entries and not hidden(put.path)
        if gone and now is not None and now.kind == put.kind and _as_left(put, now, resolution_ns):
            doomed[put.path] = now
    return doomed


def _as_left(put: Entry, now: Entry, resolution_ns: int) -> bool:
    if put.kind == "f":
        return put.size == now.size and abs(put.mtime_ns - now.mtime_ns) < resolution_ns
    return put.link == now.link  # that of folders is empty


def put_there(
    here: BundleListing, there: KeptListing, sent: Mapping[bytes, Entry], *, coming: bool = False
) -> list[Entry]:
    """Return what we put there and is still there, or is now ignored, or can't be listed.

    With `coming`, what is being sent counts as there.
    """
    found, hidden = there.entries, unseen(there.unread)
    arriving = sent if coming else {}
    kept = [
        one
        for path, one in here.local.entries.items()
        if (path in here.pushed or path in sent) and (path in found or path in arriving or hidden(path))
    ]
    gone = [each for each in here.outdated if each.path not in here.local.entries]
    return kept + [each for each in gone if each.path in found or hidden(each.path) or here.local.rules.hides(each)]
