"""What a bundle has lost since its export. An import reports it, and refuses to begin if everything is lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cmlutils.disk import mtime_resolution
from cmlutils.entries import compare
from cmlutils.errors import CheckFailed, TransferError
from cmlutils.filelist import quoted, unseen
from cmlutils.saved_listing import read_list
from cmlutils.units import counted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cmlutils.bundle import Bundle
    from cmlutils.entries import Entry
    from cmlutils.filelist import Records
    from cmlutils.flows.copying.listing import KeptListing

NAMED = 5  # the most losses that are named


def losses(bundle: Bundle, local: KeptListing, records: Records) -> list[str]:
    """Compare the bundle's listing with the export's record; return sentences on what was lost or changed since.

    `records` is as in `parse_find`. Raises CheckFailed when all files are lost: an import would delete them all on the
    target.
    """
    try:
        recorded = read_list(bundle.file_list, records)
        found = compare(local.entries, recorded, resolution_ns=mtime_resolution(bundle.scratch))
    except TransferError as error:
        return [f"What the bundle has lost since its export is not known: {error.message}"]
    hidden = unseen(local.unread)
    lost = sorted(each for each in found.only_right if not hidden(each.path) and _counts(each, local))
    files = sum(each.kind == "f" for each in lost)
    if files and not any(each.kind == "f" for each in local.entries.values()):
        raise CheckFailed(
            f"The bundle has none of the {files} files that its export brought.",
            hint="Run the export again; an import as it is would delete them on the target.",
        )
    told = []
    if lost:
        told.append(
            f"The bundle lacks {_some([each.path for each in lost])} of what its export found. What earlier imports "
            "put on the target of these is removed there: export again, if that is not meant."
        )
    if found.changed:
        changed = [each.wanted.path for each in found.changed]
        told.append(f"{_some(changed)} changed in the bundle since its export: what is there now is imported.")
    return told


def _some(paths: Sequence[bytes]) -> str:
    """Name some of these."""
    more = len(paths) - NAMED
    return ", ".join(map(quoted, paths[:NAMED])) + (f" and {counted(more, 'more name')}" if more > 0 else "")


def _counts(entry: Entry, local: KeptListing) -> bool:
    """Tell whether bundles hold entries of this kind, and the rules of an import keep it."""
    return entry.kind in "fdl" and not local.rules.hides(entry)
