"""List a source by its own rules, both of which may change meanwhile, as the source may be in use."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from cmlutils.errors import TransferError
from cmlutils.flows.copying.ignore_files import NO_VERSION, RULES_NAME, ExportRules, export_rules
from cmlutils.flows.copying.listing import KeptListing, remote_listing

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cmlutils.entries import Entry
    from cmlutils.remote.tunnel import Tunnel

TRIES = 3


def source_listing(
    tunnel: Tunnel, read: ExportRules | None = None, *, known: Mapping[bytes, Entry] = MappingProxyType({})
) -> KeptListing:
    """List what the source's `.exportignore` keeps; `read` is that file, if it was read just now.

    If it was replaced before it was listed, both are done again; raises TransferError if that happens each time. If
    something else disappeared meanwhile, the source is listed once more: what was renamed may be in neither place.
    """
    for again in range(TRIES):
        read = read or export_rules(tunnel)
        kept = remote_listing(tunnel, read.rules, "the source's listing", known=known)
        entry = kept.at_root(RULES_NAME)
        listed = (entry.size, entry.mtime_ns) if entry else NO_VERSION
        if read.version not in {None, listed}:
            read = None
        elif again or not any(each.vanished for each in kept.unread):
            return kept
        known = kept.entries
    raise TransferError(
        "The source's .exportignore changed each time that the source was listed.", hint="Run the export again."
    )
