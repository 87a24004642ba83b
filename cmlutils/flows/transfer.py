"""What pull and push share: who hears of progress, how a drop is survived, and what a listing leaves to copy."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import shutil
import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING, Protocol, TypeVar

from cmlutils.entries import upwards
from cmlutils.errors import CommandError, ConfigError, TransferError, TunnelError
from cmlutils.filelist import (
    FIND_FORMAT,
    MAX_PRUNES,
    Entry,
    Unread,
    find_complaints,
    find_script,
    names_input,
    names_script,
    parse_find,
    parse_names,
)
from cmlutils.ignore import keep
from cmlutils.remote import rsync

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Generator, Iterable, Iterator
    from pathlib import Path

    from cmlutils.ignore import IgnoreRules
    from cmlutils.remote.tunnel import Tunnel

log = logging.getLogger(__name__)
T = TypeVar("T")
OURS = b".cmlutil-tmp"  # our folder at a target's root, while an import runs


def ours_beside(names: Collection[bytes]) -> bytes:
    """Choose our folder's name so that it is none of the project's own."""
    name, number = OURS, 0
    while name in names:
        number += 1
        name = OURS + b"-%d" % number
    return name


class Progress(Protocol):
    """Who wants to know how far we are."""

    def step(self, name: str) -> None:
        """Begin something new."""

    def files(self, done_bytes: int, total_bytes: int, files_done: int, files_total: int) -> None:
        """Say how much has been copied."""


class Silent:
    """Nobody wants to know."""

    def step(self, name: str) -> None:
        """Say nothing."""

    def files(self, done_bytes: int, total_bytes: int, files_done: int, files_total: int) -> None:
        """Say nothing."""


def persist(tunnel: Tunnel, action: Callable[[], T], *, lasting: bool = True) -> T:
    """Do it, and again through a reopened tunnel when that dropped meanwhile.

    `lasting`: it need not be done again after the next drop, so the count of vain attempts begins anew.
    """
    while True:
        try:
            result = action()
        except TunnelError as error:
            log.warning("%s", error)
        except (TransferError, CommandError) as error:
            if tunnel.alive():
                raise
            log.warning("%s", error)
        else:
            if lasting:
                tunnel.progressed()
            return result
        tunnel.reopen()


class Kept:
    """A listing after the rules: what stays, the topmost of what is ignored, and what could not be read.

    `ours` names our own folder at the root, which is no part of the project: `found_ours` tells whether it is
    there, `held` how many bytes of half-copied files it holds,
    `grown` what an interrupted copy left aside. `digest` is that of the listing as it came.
    `pruned`: what the rules' `prunes` name is not in it.
    """

    def __init__(
        self, entries: Iterable[Entry], rules: IgnoreRules, ours: bytes = b"", *, pruned: bool = False
    ) -> None:
        self.entries: dict[bytes, Entry] = {}
        self.unread: list[Unread] = []
        self.tops: list[Entry] = []
        self.rules, self.ours = rules, ours
        self.found_ours, self.held, self.digest = False, 0, b""
        self.grown: dict[bytes, Entry] = {}
        rules_left = rules.beyond_prunes() if pruned else rules
        if not rules_left.patterns and not ours:
            self.entries = {entry.path: entry for entry in entries}
            return
        waiting: list[Entry] = []

        def fed() -> Iterator[Entry]:
            for entry in entries:
                if ours and entry.path.startswith(ours) and entry.path[len(ours) :][:1] in b"/":
                    self.found_ours = True
                    self.held += entry.size if entry.kind == "f" else 0
                    if entry.path.startswith(ours + b"/new/"):
                        self.grown[entry.path] = entry
                else:
                    waiting.append(entry)
                    yield entry

        for entry in keep(fed(), rules_left):
            waiting.pop()
            if waiting:
                self._ignored(waiting)
            self.entries[entry.path] = entry
        self._ignored(waiting)

    def _ignored(self, waiting: list[Entry]) -> None:
        for entry in waiting:
            parent = entry.path.rpartition(b"/")[0]
            if not parent or parent in self.entries:
                self.tops.append(entry)
        waiting.clear()

    def note_unread(self, complaints: Iterable[Unread]) -> None:
        """Keep those complaints that are about something that would have been kept, or about nobody knows what."""
        tops = {entry.path for entry in self.tops}
        for each in complaints:
            path, parent = each.path, each.path.rpartition(b"/")[0]
            unlisted = (not parent or parent in self.entries) and path not in tops
            ignored = unlisted and path not in self.entries and self.rules.ignored(path, is_dir=False)
            if path in {b"", b"."} or path in self.entries or (unlisted and not ignored):
                self.unread.append(each)

    def excludes(self) -> list[bytes]:
        """Return rsync's filter rules for the same decision: literal names while they are few."""
        ours = [rsync.literal(b"/" + self.ours, folder=True)] if self.ours else []
        if len(self.tops) > rsync.MAX_LITERALS:
            with contextlib.suppress(ConfigError):  # rsync has no words for some pattern
                return ours + self.rules.rsync_filters()
        names = [rsync.literal(b"/" + entry.path, folder=entry.kind == "d") for entry in self.tops]
        return ours + names + [rsync.literal(name, folder=True) for name in self.rules.prunes()]


def remote_listing(tunnel: Tunnel, rules: IgnoreRules, source: str, *, ours: bytes = b"") -> Kept:
    """List the project's folder on the workspace and decide."""

    def listed() -> Kept:
        err, digest, prunes = bytearray(), hashlib.sha256(), rules.prunes()

        def chunks() -> Generator[bytes, None, None]:
            for chunk in tunnel.stream(find_script(prunes), ok=(0, 1), err=err):
                digest.update(chunk)
                yield chunk

        with contextlib.closing(chunks()) as listing:
            found = Kept(parse_find(listing, source=source), rules, ours, pruned=len(prunes) <= MAX_PRUNES)
        found.note_unread(find_complaints(bytes(err)))
        found.digest = digest.digest()
        return found

    return persist(tunnel, listed, lasting=False)


def of_names(tunnel: Tunnel, paths: Iterable[bytes], form: str = FIND_FORMAT) -> bytes:
    """Ask the workspace's find about just these names, and return what `names_script` says of them."""
    script, names = names_script(form), names_input(paths)
    return persist(tunnel, lambda: tunnel.run(script, names, timeout=600)).out if names else b""


def listed_names(tunnel: Tunnel, names: Collection[bytes]) -> dict[bytes, Entry]:
    """List just these names on the workspace, among them the folders that each lies in; none is entered by a link."""
    found = {entry.path: entry for entry in parse_names(of_names(tunnel, names)) if entry.path in names}
    folders = {path for path, entry in found.items() if entry.kind == "d"}
    return {path: entry for path, entry in found.items() if folders.issuperset([*upwards(path)][1:])}


def still_so(tunnel: Tunnel, kept: Kept) -> bool:
    """List again and tell whether every byte of the listing is as it was.

    The workspace adds it up itself; one that has no sha256sum gives another answer, so the listing counts as changed.
    """
    script = f"{{ {find_script(kept.rules.prunes())}; }} 2>/dev/null | sha256sum"
    said = persist(tunnel, lambda: b"".join(tunnel.stream(script, ok=range(128))), lasting=False)
    return said.split()[:1] == [kept.digest.hex().encode()]


def meanwhile(action: Callable[[], T]) -> Callable[[], T]:
    """Begin to do it in a thread; what is returned waits for the result and returns it, or raises what it raised."""
    result: Future[T] = Future()

    def done() -> None:
        try:
            result.set_result(action())
        except BaseException as error:  # noqa: BLE001 - it is raised where the result is asked for
            result.set_exception(error)

    threading.Thread(target=done, daemon=True).start()
    return result.result


def emptied(folder: Path) -> Path:
    """Make this folder of ours anew, for us alone."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700, parents=True)
    return folder


def at(root: Path, path: bytes) -> bytes:
    """Return the local path of a listed name."""
    return os.fsencode(root) + b"/" + path


@contextlib.contextmanager
def local_errors(place: Path) -> Iterator[None]:
    """Turn what the local disk refuses within the block into a TransferError that names the path, or the place."""
    try:
        yield
    except OSError as error:
        name = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else str(place)
        raise TransferError(f"{name}: {error.strerror}.", hint="Mend it and run the command again.") from error
