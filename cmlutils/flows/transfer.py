"""Drive rsync through a tunnel until it is done: reopen what drops, tell causes apart, report progress."""

from __future__ import annotations

import logging
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

from cmlutils.errors import CommandError, TransferError, TunnelError
from cmlutils.filelist import Entry, Unread, find_complaints, find_script, parse_find
from cmlutils.ignore import keep
from cmlutils.remote import process, rsync

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from cmlutils.ignore import IgnoreRules
    from cmlutils.remote.tunnel import Tunnel

log = logging.getLogger(__name__)
T = TypeVar("T")
OURS = b".cmlutil-tmp"  # our folder at a target's root, while an import runs
SHORT = 2000  # up to so many names rsync gets a list; on a pull its cost grows with the square


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


def persist(tunnel: Tunnel, action: Callable[[], T]) -> T:
    """Do it, and again through a reopened tunnel when that dropped meanwhile."""
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
            tunnel.progressed()
            return result
        tunnel.reopen()


class Kept:
    """A listing after the rules: what stays, the topmost of what is ignored, and what could not be read."""

    def __init__(self, entries: Iterable[Entry], rules: IgnoreRules) -> None:
        self.entries: dict[bytes, Entry] = {}
        self.unread: list[Unread] = []
        self.tops: list[Entry] = []
        waiting: list[Entry] = []

        def fed() -> Iterator[Entry]:
            for entry in entries:
                if entry.path != OURS and not entry.path.startswith(OURS + b"/"):
                    waiting.append(entry)
                    yield entry

        for entry in keep(fed(), rules):
            waiting.pop()
            self._ignored(waiting)
            self.entries[entry.path] = entry
        self._ignored(waiting)

    def _ignored(self, waiting: list[Entry]) -> None:
        for entry in waiting:
            parent = entry.path.rpartition(b"/")[0]
            if not parent or parent in self.entries:
                self.tops.append(entry)
        waiting.clear()

    def excludes(self, rules: IgnoreRules) -> list[bytes]:
        """Return rsync's filter rules for the same decision: literal names while they are few."""
        ours = [rsync.literal(b"/" + OURS, folder=True)]
        if len(self.tops) > rsync.MAX_LITERALS:
            return ours + rules.rsync_filters()
        names = [rsync.literal(b"/" + entry.path, folder=entry.kind == "d") for entry in self.tops]
        return ours + names + [rsync.literal(name, folder=True) for name in rules.prunes()]


def remote_listing(tunnel: Tunnel, rules: IgnoreRules, source: str) -> Kept:
    """List the project's folder on the workspace and decide."""

    def listed() -> Kept:
        err = bytearray()
        chunks = tunnel.stream(find_script(rules.prunes()), ok=(0, 1), err=err)
        found = Kept(parse_find(chunks, source=source), rules)
        found.unread = find_complaints(bytes(err))
        return found

    return persist(tunnel, listed)


class Mover:
    """Copies one way between the workspace and a local folder; `complaints` are what rsync could not copy."""

    def __init__(
        self, tunnel: Tunnel, ends: tuple[str, str], *, work: Path, temp: str, partial: str, zstd: bool
    ) -> None:
        self.tunnel, self.ends, self.work = tunnel, ends, work
        self.temp, self.partial, self.zstd = temp, partial, zstd
        self.progress: Progress = Silent()
        self.complaints: list[rsync.Complaint] = []
        self.space: Callable[[], str] = lambda: "an unknown number of"
        self._done = self._total = self._files = self._number = 0

    def move(self, names: Sequence[Entry], excludes: Callable[[], list[bytes]]) -> None:
        """Copy these; a whole-tree pass finds them itself if they are many."""
        self.complaints = []
        big = [entry for entry in names if entry.kind == "f" and entry.size >= rsync.BIG]
        few = [entry for entry in names if entry.kind != "f" or entry.size < rsync.BIG]
        self._done, self._files = 0, len(names)
        self._total = sum(entry.size for entry in names if entry.kind == "f")
        if len(few) > SHORT:
            path = self.work / "rules"
            path.write_bytes(rsync.rules_file(excludes()))
            self._rsync(lambda ssh: rsync.tree(ssh, *self.ends, temp=self.temp, rules=path, zstd=self.zstd))
        elif few:
            path = self._names(few)
            self._rsync(lambda ssh: rsync.short(ssh, *self.ends, temp=self.temp, names=path, zstd=self.zstd))
        self._done += sum(entry.size for entry in few if entry.kind == "f")
        for start in range(0, len(big), SHORT):
            heavy = self._names(big[start : start + SHORT])
            self._rsync(
                lambda ssh, heavy=heavy: rsync.big(  # type: ignore[misc]
                    ssh, *self.ends, temp=self.temp, names=heavy, partial=self.partial
                )
            )

    def _names(self, entries: Sequence[Entry]) -> Path:
        self._number += 1
        path = self.work / f"names-{self._number}"
        path.write_bytes(rsync.names_file(entry.path for entry in entries))
        return path

    def _rsync(self, build: Callable[[Sequence[str]], list[str]]) -> None:
        """Run it until it ends by itself; raise TransferError for what no repetition helps."""
        while True:
            code, err = self._once(build(self.tunnel.ssh_argv))
            cause = rsync.cause(code, err)
            self.complaints += rsync.complaints(err)
            if cause == "done":
                self.tunnel.progressed()
                return
            said = process.text(err)
            log.warning("rsync ended with code %d: %s", code, said)
            if cause in {"vanished", "partial"}:
                return
            if cause == "space":
                raise TransferError(
                    f"No space left: {self.space()} bytes are free at {self.ends[1]}.",
                    hint="Make room and run it again; it goes on where it stopped.",
                )
            if cause == "fatal":
                raise TransferError(f"rsync ended with exit code {code}: {said}")
            if Path(self.temp).is_absolute():  # a pull's own; a killed rsync leaves a file there
                emptied(Path(self.temp))
            self.tunnel.reopen()

    def _once(self, argv: list[str]) -> tuple[int, bytes]:
        err = bytearray()
        with process.running(argv, grace=2.0) as child:
            for name, line in child.lines():
                if name == "err":
                    err += line + b"\n"
                elif now := rsync.progress(line):
                    if now.done:
                        self.tunnel.progressed()
                    self.progress.files(self._done + now.done, self._total, now.sent, self._files)
            code = child.wait(30)
        return -9 if code is None else code, bytes(err)


def emptied(folder: Path) -> Path:
    """Make this folder of ours anew, for us alone."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700, parents=True)
    return folder


def zstd_here() -> bool:
    """Tell whether the local rsync can zstd; raise CommandError if there is none."""
    known = rsync.version(process.run(["rsync", "--version"], timeout=10).out)
    return bool(known and known.zstd)


def remote_rsync(code: int, out: bytes) -> rsync.Version:
    """Read the workspace's `rsync --version`; raise TransferError if it has none."""
    known = rsync.version(out)
    if code or known is None:
        raise TransferError(
            "The session on the workspace has no rsync.",
            hint="Add the rsync-enabled runtime to the workspace (its edition contains 'rsync') and use it.",
        )
    return known


def at(root: Path, path: bytes) -> bytes:
    """Return the local path of a listed name."""
    return os.fsencode(root) + b"/" + path
