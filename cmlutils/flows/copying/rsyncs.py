"""What the two rsyncs of a copy can do."""

from __future__ import annotations

from typing import NamedTuple

from cmlutils.errors import TransferError
from cmlutils.remote import process, rsync


class Rsyncs(NamedTuple):
    """What both rsyncs can do, and what ours can do."""

    both: rsync.Version
    ours: rsync.Version


def both_rsyncs(out: bytes) -> Rsyncs:
    """Read the workspace's `rsync --version`, and ours; raise TransferError or CommandError if one is missing."""
    there = rsync.version(out)
    if there is None:
        raise TransferError(
            "The session on the workspace has no rsync.",
            hint="Add the rsync-enabled runtime to the workspace (its edition contains 'rsync') and use it.",
        )
    here = our_rsync()
    return Rsyncs(there.and_of(here), here)


def our_rsync() -> rsync.Version:
    """Ask this machine's rsync for its version; raise CommandError if it is missing, TransferError if it won't do."""
    ours = rsync.version(process.run(["rsync", "--version"], timeout=10, check=False).out)
    if ours is None:
        raise TransferError(
            "The rsync of this machine does not say its version: it may be another program.",
            hint="Install rsync 3.2.7 or newer, and let PATH find it first.",
        )
    if ours.number < rsync.OLDEST:
        raise TransferError(
            f"The rsync of this machine is too old: {'.'.join(map(str, ours.number))}.",
            hint="Install rsync 3.2.7 or newer (macOS brings 2.6.9: brew install rsync).",
        )
    return ours
