"""What a migration needs on this machine: programs, ssh keys, room on the disk."""

from __future__ import annotations

import os
import shutil
from collections import defaultdict
from typing import TYPE_CHECKING

from cmlutils.bundle import Bundle, bundle_of
from cmlutils.entries import totals
from cmlutils.errors import CmlutilError, CommandError, TransferError
from cmlutils.finding import Finding, section_names
from cmlutils.flows.copying.rsyncs import our_rsync
from cmlutils.guard import OBSTACLE_FIX, existing_folder, obstacle
from cmlutils.remote import process, ssh
from cmlutils.remote.child import HOW_TO_INSTALL
from cmlutils.remote.private import place_for_programs
from cmlutils.saved_listing import read_list
from cmlutils.units import human_size

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from cmlutils.section import Section, Workspace

SAFE_RSYNC = (3, 2, 7)
_LITTLE, _FEW = 1 << 30, 10_000  # bytes and inodes: with less free, a disk is called nearly full


def here(severity: str, text: str, fix: str = "") -> Finding:
    """Return a finding about this machine."""
    return Finding("-", "here", severity, text, fix)


def _failure(error: CmlutilError) -> Finding:
    return here("error", error.message.removesuffix("."), error.hint)


def programs() -> list[Finding]:
    """Check that rsync, ssh and ssh-keygen are installed and recent enough."""
    found = []
    for name, how in HOW_TO_INSTALL.items():
        if not shutil.which(name):
            found.append(here("error", f"{name} is not installed", how))
    if shutil.which("rsync"):
        found += _rsync()
    if shutil.which("ssh"):
        found += _ssh()
    return found


def _ssh() -> list[Finding]:
    said = process.run(["ssh", "-V"], timeout=10, check=False)
    text, number = process.text(said.err or said.out, 1), ssh.version()
    why, fix = ssh.settings_trouble()
    trouble = [here("error", why, fix)] if why else []
    if number >= ssh.OLDEST:
        return [here("ok", text), *trouble]
    if trouble and not number:
        return trouble
    why = f"{text} is too old" if number else f"ssh does not say its version: {text}"
    return [here("error", why, "install OpenSSH 7.6 or newer")]


def _rsync() -> list[Finding]:
    try:
        known = our_rsync()
    except CmlutilError as error:
        return [_failure(error)]
    number = ".".join(map(str, known.number))
    if known.number < SAFE_RSYNC:
        text = f"rsync {number} is older than 3.2.7: a malicious workspace could write outside of the bundle"
        return [here("warning", text, "install rsync 3.2.7 or newer, unless your distribution has fixed its own")]
    return [here("ok", f"rsync {number}")]


def temporary() -> list[Finding]:
    """Check that there is a folder for temporary files, and one from which cdswctl can be run."""
    try:
        place_for_programs()
    except CommandError as error:
        return [_failure(error)]
    return []


def ssh_keys(workspaces: Iterable[Workspace]) -> list[Finding]:
    """Check, for each identity_file and for the default keys, that there is an ssh key which needs no passphrase."""
    found = []
    for workspace in {one.identity_file: one for one in workspaces}.values():
        offered = ssh.identities(workspace)
        agent = bool(os.environ.get("SSH_AUTH_SOCK"))
        try:
            troubles = {key: each for key in offered if any(each := ssh.trouble(key))}
        except CommandError:  # no ssh-keygen, which is a finding of its own
            continue
        if not offered:
            fix = "run ssh-keygen -t ed25519, and upload the public key in User Settings > Remote Editing"
            found.append(here("warning" if agent else "error", "there is no ssh key in ~/.ssh", fix))
        elif len(troubles) == len(offered):
            key, (why, fix) = next(iter(troubles.items()))
            found.append(here("warning" if agent else "error", f"the ssh key {key} {why}", fix))
        else:
            usable = next(key for key in offered if key not in troubles)
            found.append(here("ok", f"ssh key {usable}"))
    return found


def disks(sections: Sequence[Section]) -> list[Finding]:
    """Check the disks of all bundles, as far as this is possible without a session."""
    sections_by_disk: dict[int, list[Section]] = defaultdict(list)
    for section in sections:
        sections_by_disk[existing_folder(section.output_dir.absolute()).stat().st_dev].append(section)
    obstacles: dict[str, list[Section]] = defaultdict(list)
    for section in sections:
        obstacles[obstacle(bundle_of(section).folder)].append(section)
    found = [
        Finding(section_names(mine), "here", "error", why, OBSTACLE_FIX)
        for why, mine in sorted(obstacles.items())
        if why
    ]
    return found + [_disk({bundle_of(one).folder: one for one in mine}) for mine in sections_by_disk.values()]


def _disk(bundles: dict[Path, Section]) -> Finding:
    """Report how much is free on one disk, how much its bundles hold, and how many are of unknown size."""
    held = names = unknown = 0
    for folder in bundles:
        try:
            count = totals(read_list(Bundle(folder).file_list))
        except (OSError, TransferError):
            unknown += 1
            continue
        held, names = held + count.bytes, names + count.files + count.folders + count.links
    place = existing_folder(next(iter(bundles)).parent)
    space = os.statvfs(place)
    free, inodes = space.f_bavail * space.f_frsize, space.f_favail if space.f_files else _FEW
    text = f"{place} has {human_size(free)} and {inodes} inodes free; bundles there: "
    text += f"{len(bundles) - unknown} with {human_size(held)} in {names} names"
    if unknown:
        text += f", {unknown} of unknown size"
    if free < _LITTLE or inodes < _FEW:
        return here("warning", text, "make room, or choose an output_dir on another disk")
    return here("ok", text)
