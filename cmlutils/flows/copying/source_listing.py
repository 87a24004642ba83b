"""List a source by its own rules, both of which may change meanwhile, as the source may be in use."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cmlutils.errors import TransferError
from cmlutils.flows.copying.ignore_files import NO_VERSION, RULES_NAME, ExportRules, export_rules
from cmlutils.flows.copying.listing import KeptListing, remote_listing

if TYPE_CHECKING:
    from cmlutils.filelist import Records
    from cmlutils.remote.tunnel import Tunnel

TRIES = 3


def source_listing(tunnel: Tunnel, read: ExportRules | None = None, *, records: Records) -> KeptListing:
    """List what the source's `.exportignore` keeps; `read` is that file, if it was read just now.

    If it was replaced before it was listed, both are done again; raises TransferError if that happens each time. If
    something else disappeared meanwhile, the source is listed once more: what was renamed may be in neither place.
    `records` is as in `parse_find`.
    """
    for again in range(TRIES):
        read = read or export_rules(tunnel)
        kept = remote_listing(tunnel, read.rules, "the source's listing", records=records)
        entry = kept.at_root(RULES_NAME)
        listed = (entry.size, entry.mtime_ns) if entry else NO_VERSION
        if read.version not in {None, listed}:
            read = None
        elif again or not any(each.vanished for each in kept.unread):
            return kept
    raise TransferError(
        "The source's .exportignore changed each time that the source was listed.", hint="Run the export again."
    )
