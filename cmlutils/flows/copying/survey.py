"""What a pull checks before it changes anything: the source, the bundle's files, and whether there is room."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, NamedTuple

from cmlutils.disk import keeps_links, keeps_modes, mtime_resolution
from cmlutils.entries import Differences, Entry, by_path, compare
from cmlutils.errors import TransferError
from cmlutils.filelist import quoted
from cmlutils.flows.copying.ignore_files import EXPORT_RULES, ExportRules, rules_of
from cmlutils.flows.copying.landing import delete_extras, extras, open_staging, staged_bytes
from cmlutils.flows.copying.listing import KeptListing, holes_there
from cmlutils.flows.copying.local_listing import listing_beside
from cmlutils.flows.copying.own_folders import empty_folder, local_errors
from cmlutils.flows.copying.recopy import SOURCE, Recopies, RecopyList
from cmlutils.flows.copying.remaining import is_big, to_fetch
from cmlutils.flows.copying.retrying import retrying
from cmlutils.flows.copying.room import check_room
from cmlutils.flows.copying.rsyncs import Rsyncs, both_rsyncs
from cmlutils.flows.copying.source_listing import source_listing
from cmlutils.localtree import walk
from cmlutils.lookalikes import lookalikes
from cmlutils.remote import process
from cmlutils.remote.tunnel import ANY
from cmlutils.units import counted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from cmlutils.bundle import Bundle
    from cmlutils.filelist import Records
    from cmlutils.progress import Progress
    from cmlutils.remote.tunnel import Tunnel


class PendingListing(NamedTuple):
    """A listing under way; `read` waits for it. `records` is as in `parse_find`."""

    records: Records
    read: Callable[[], dict[bytes, Entry]]


class Survey(NamedTuple):
    """What is kept of the source, how the bundle differs from that, and what has to be copied again.

    `rsyncs`: what the rsyncs of both ends can do. `staging`: the local folder where an interrupted copy goes on.
    `resolution_ns`: the local file system's mtime resolution. `records` is as in `parse_find`.
    """

    rsyncs: Rsyncs
    kept: KeptListing
    differences: Differences
    recopies: Recopies
    staging: Path
    resolution_ns: int
    records: Records


@contextlib.contextmanager
def listing_here(bundle: Bundle) -> Iterator[PendingListing]:
    """List the bundle's files in a thread while the block does something else, such as opening a tunnel.

    Raises TransferError at once if the bundle's disk does not keep modes.
    """
    data = bundle.data
    with local_errors(data):
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        data.chmod(0o700)
        empty_folder(bundle.scratch)
        if not keeps_modes(bundle.scratch):
            raise _unfit(bundle, "file permissions")
    records: Records = {}
    with listing_beside(data, by_path, records=records, unlock=True) as read:
        yield PendingListing(records, read)


def survey(tunnel: Tunnel, bundle: Bundle, here: PendingListing, progress: Progress) -> Survey:
    """Look at both sides; `here` comes from `listing_here`.

    Raises ConfigError, CommandError or TransferError if something can't be used, or if there is not enough room.
    """
    with local_errors(bundle.data):
        rules, rsyncs = _rules_and_rsyncs(tunnel)
        progress.step("listing")
        kept = source_listing(tunnel, rules, records=here.records)
        _check_links(bundle, kept)
        _check_names(bundle, kept)
        resolution_ns = mtime_resolution(bundle.scratch)
        differences = compare(kept.entries, here.read(), folder_times=True, resolution_ns=resolution_ns)
        recopies = RecopyList(bundle.state, SOURCE).due(kept.entries, differences)
        staging = open_staging(bundle.state / "arriving")
        wanted = to_fetch(differences)
        if wanted or recopies.entries:
            # else what an interrupted pull left there, and the source no longer has, would be moved into the bundle
            grown = by_path(walk(staging, unlock=True))
            goal = {path: kept.entries[path] for path in grown if path in kept.entries}
            delete_extras(staging, compare(goal, grown, resolution_ns=resolution_ns), [])
            partial_bytes = staged_bytes(staging)
            large = [entry for entry in wanted if is_big(entry)]
            doomed = extras(differences, kept.unread)
            check_room(
                bundle.data, differences, doomed, partial_bytes, lambda: sum(holes_there(tunnel, large).values())
            )
    return Survey(rsyncs, kept, differences, recopies, staging, resolution_ns, here.records)


def _unfit(bundle: Bundle, what: str) -> TransferError:
    return TransferError(
        f"{bundle.data} is on a disk that does not keep {what}.",
        hint="Choose an output_dir on another disk; Linux's and macOS's own keep permissions and links.",
    )


def _check_links(bundle: Bundle, kept: KeptListing) -> None:
    """Raise TransferError if the project has symbolic links and the bundle's disk does not keep them."""
    links = sum(entry.kind == "l" for entry in kept.entries.values())
    if links and not keeps_links(bundle.scratch):
        raise _unfit(bundle, f"symbolic links, of which the project has {links}")


def _check_names(bundle: Bundle, kept: KeptListing) -> None:
    """Raise TransferError if the bundle's disk would take some of these names for one."""
    pairs = lookalikes(bundle.scratch, kept.entries)
    if pairs:
        (one, other), more = pairs[0], len(pairs) - 1
        raise TransferError(
            f"{bundle.data} is on a disk that takes {quoted(one)} and {quoted(other)} for one name"
            + (f", and {counted(more, 'more pair')}." if more else "."),
            hint="Choose an output_dir on a disk that tells them apart, or list one of them in .exportignore.",
        )


def _rules_and_rsyncs(tunnel: Tunnel) -> tuple[ExportRules, Rsyncs]:
    """Ask the source for its `.exportignore` and its version of rsync, in one command."""
    tunnel.prepare(2)  # for the listing, and the command after that
    script = rf"rsync --version 2>/dev/null; printf '\000'{EXPORT_RULES}"
    said = retrying(tunnel, lambda: tunnel.run(script, ok=ANY))
    version, ran, text = said.out.partition(b"\0")
    if not ran:
        why = process.text(said.err) or f"exit code {said.code}"
        raise TransferError(
            f"The session's shell does not run what it is told: {why}",
            hint="Let .bashrc and the like end the shell, and set PATH, only where the shell is interactive.",
        )
    return rules_of(said._replace(out=text)), both_rsyncs(version)
