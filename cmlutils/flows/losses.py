"""What a bundle has lost since its export: an import names it, and does not take it for gone from the source."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, NamedTuple

from cmlutils.entries import compare, upwards
from cmlutils.errors import TransferError
from cmlutils.filelist import show, unseen
from cmlutils.flows.landing import grain_here
from cmlutils.listfile import read_list

if TYPE_CHECKING:
    from pathlib import Path

    from cmlutils.entries import Entry
    from cmlutils.flows.listing import Kept

log = logging.getLogger(__name__)
NAMED = 5  # of very many losses


class Losses(NamedTuple):
    """What the export has brought and the bundle has no more; not `known` where nothing says what it brought."""

    paths: frozenset[bytes] = frozenset()
    known: bool = True

    def may_have(self, path: bytes) -> bool:
        """Tell whether the bundle may have lost this path."""
        return not self.known or path in self.paths

    def problems(self) -> tuple[str, ...]:
        """Name the losses, or some of very many."""
        told = [
            f"{show(path)}: the export brought it, and the bundle has it no more; it stays as it is on the target"
            for path in sorted(self.paths)[:NAMED]
        ]
        more = len(self.paths) - len(told)
        return (*told, *([f"and {more} more that the bundle has lost; run the export again"] if more else []))


def losses(record: Path, local: Kept) -> Losses:
    """Compare the bundle's listing with what the export recorded; warn of what was changed since."""
    try:
        found = compare(local.entries, read_list(record), grain=grain_here(record.parent))
    except TransferError as error:
        log.warning("%s So nobody knows what the bundle has lost: nothing is deleted on the target.", error.message)
        return Losses(known=False)
    if found.changed:
        log.warning(
            "Of the bundle's names %d were changed since the export, such as %s; they are imported as they are.",
            *(len(found.changed), show(found.changed[0].wanted.path)),
        )
    hidden = unseen(local.unread)
    return Losses(frozenset(each.path for each in found.only_right if not hidden(each.path) and _counts(each, local)))


def _counts(entry: Entry, local: Kept) -> bool:
    """Tell whether a bundle holds such an entry, and the rules of an import keep it."""
    folder = entry.kind == "d"
    return entry.kind in "fdl" and not any(
        local.rules.ignored(each, is_dir=folder or each != entry.path) for each in upwards(entry.path)
    )
