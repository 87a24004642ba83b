"""The bundle's side of a push: what is in it, and what earlier pushes put on the target."""

from __future__ import annotations

import contextlib
import logging
from typing import TYPE_CHECKING, NamedTuple

from cmlutils.errors import TransferError
from cmlutils.flows.copying.ignore_files import import_rules
from cmlutils.flows.copying.listing import KeptListing
from cmlutils.flows.copying.local_listing import listing_beside
from cmlutils.flows.copying.losses import losses
from cmlutils.flows.copying.own_folders import empty_folder, local_errors
from cmlutils.flows.copying.pushed import PushMemory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from cmlutils.bundle import Bundle
    from cmlutils.entries import Entry
    from cmlutils.filelist import Records, Unread
    from cmlutils.ignore import IgnoreRules

log = logging.getLogger(__name__)


class BundleListing(NamedTuple):
    """What the bundle has, and what earlier pushes put on this target.

    `pushed`: paths of `local` that an earlier push put there. `outdated`: what an earlier push put there and the bundle
    has lost or changed since. `losses`: sentences on what the bundle has lost or changed since its export.
    """

    local: KeptListing
    pushed: set[bytes]
    outdated: list[Entry]
    losses: list[str]


class BundleFiles(NamedTuple):
    """The bundle's files while they are being listed; `read` waits for the result.

    `memory` knows what earlier pushes put on the target; `records` is as in `parse_find`.
    """

    bundle: Bundle
    memory: PushMemory
    rules: IgnoreRules
    records: Records
    read: Callable[[], BundleListing]


@contextlib.contextmanager
def reading_bundle(bundle: Bundle, url: str, project: str) -> Iterator[BundleFiles]:
    """List the bundle in a thread during the block, to be pushed into this project (owner/slug) of this workspace."""
    unread: list[Unread] = []
    records: Records = {}
    memory = PushMemory(bundle.state, url, project)
    with local_errors(bundle.data):
        rules = import_rules(bundle.data)
        empty_folder(bundle.scratch)

    def contents(found: Iterable[Entry]) -> BundleListing:
        local = KeptListing(found, rules)
        local.note_unread(unread)
        pushed, outdated = set[bytes](), list["Entry"]()
        try:
            for each in memory.read(records):
                now = local.entries.get(each.path)
                if now is not None:
                    pushed.add(now.path)
                if now != each:
                    outdated.append(each)
        except TransferError as error:
            log.warning("%s What earlier imports put on the target is not known any more, so it stays.", error.message)
            pushed, outdated = set(), []
        lost = [] if bundle.foreign else losses(bundle, local, records)
        return BundleListing(local, pushed, outdated, lost)

    with listing_beside(bundle.data, contents, records=records, unread=unread) as read:
        yield BundleFiles(bundle, memory, rules, records, read)
