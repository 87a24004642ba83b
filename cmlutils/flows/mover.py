"""Drive rsync until all is copied: what changed under way is looked at again, what dropped is reopened."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from cmlutils.errors import TransferError, TunnelError
from cmlutils.flows.transfer import Progress, Silent
from cmlutils.remote import process, rsync

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from cmlutils.filelist import Entry
    from cmlutils.remote.tunnel import Tunnel

log = logging.getLogger(__name__)
SHORT = 2000  # up to so many names rsync gets a list; on a pull its cost grows with the square
ROUNDS = 3
EVERY = 0.2  # seconds between two tellings of progress
TAIL = 400  # bytes of rsync's output in which its last line is found
MAX_ERRORS = 1 << 20  # bytes of rsync's complaints that are worth reading


class Mover:
    """Copies one way between the workspace and a local folder; `complaints` are what rsync could not copy."""

    def __init__(
        self, tunnel: Tunnel, ends: tuple[str, str], *, work: Path, partial: str, both: rsync.Version, temp: str = ""
    ) -> None:
        self.tunnel, self.ends, self.work = tunnel, ends, work
        self.temp, self.partial, self.both = temp, partial, both
        self.progress: Progress = Silent()
        self.complaints: list[rsync.Complaint] = []
        self.space: Callable[[], str] = lambda: "an unknown number of"
        self._done = self._total = self._files = self._sent = self._number = 0

    def rounds(
        self,
        wanted: list[Entry],
        look: Callable[[], tuple[list[Entry], int]],
        excludes: Callable[[], list[bytes]],
    ) -> None:
        """Copy until nothing more is wanted, or no round brings it any nearer.

        `look` says after each round what is wanted still, and how many bytes of that are there half-copied.
        Raises TunnelError when the tunnel drops again and again and nothing gets through in between.
        """
        tried, before, least = 0, list["Entry"](), _weight(wanted)
        while wanted and wanted != before and tried < ROUNDS:
            self.progress.step("copying")
            try:
                self.move(wanted, excludes)
            except TunnelError as error:
                log.warning("%s", error)
                self.tunnel.reopen()
                before = []
            else:
                tried, before = tried + 1, wanted
            self.progress.step("checking")
            wanted, held = look()
            left = _weight(wanted) - held
            if left < least:
                self.tunnel.progressed()
                least = left

    def move(self, names: Sequence[Entry], excludes: Callable[[], list[bytes]]) -> None:
        """Copy these; a whole-tree pass finds them itself if they are many. TunnelError: the connection broke."""
        self.complaints = []
        big = [entry for entry in names if entry.kind == "f" and entry.size >= rsync.BIG]
        few = [entry for entry in names if entry.kind != "f" or entry.size < rsync.BIG]
        self._done, self._sent = 0, 0
        self._total = sum(entry.size for entry in names if entry.kind == "f")
        self._files = sum(entry.kind == "f" for entry in names)
        if len(few) > SHORT:
            path = self.work / "rules"
            path.write_bytes(rsync.rules_file(excludes()))
            self._rsync(lambda ssh: rsync.tree(ssh, *self.ends, temp=self.temp, rules=path, both=self.both))
        elif few:
            path = self._names(few)
            self._rsync(lambda ssh: rsync.short(ssh, *self.ends, temp=self.temp, names=path, both=self.both))
        self._copied(few)
        for start in range(0, len(big), SHORT):
            some = big[start : start + SHORT]
            heavy = self._names(some)
            self._rsync(
                lambda ssh, heavy=heavy: rsync.big(  # type: ignore[misc]
                    ssh, *self.ends, temp=self.temp, names=heavy, partial=self.partial
                )
            )
            self._copied(some)

    def _copied(self, entries: Sequence[Entry]) -> None:
        self._done += sum(entry.size for entry in entries if entry.kind == "f")
        self._sent += sum(entry.kind == "f" for entry in entries)

    def _names(self, entries: Sequence[Entry]) -> Path:
        self._number += 1
        path = self.work / f"names-{self._number}"
        path.write_bytes(rsync.names_file(entry.path for entry in entries))
        return path

    def _rsync(self, build: Callable[[Sequence[str]], list[str]]) -> None:
        """Run it once; raise TransferError for what no repetition helps, TunnelError for a broken connection."""
        code, err = self._once(build(self.tunnel.ssh_argv))
        cause = rsync.cause(code, err)
        self.complaints += rsync.complaints(err)
        if cause == "done":
            return
        said = process.text(err)
        if cause in {"vanished", "partial"}:
            log.warning("rsync ended with code %d: %s", code, said)
            return
        if cause == "space":
            raise TransferError(
                f"No space left: {self.space()} bytes are free at {self.ends[1]}.",
                hint="Make room (or inodes) and run it again; it goes on where it stopped.",
            )
        if cause == "fatal":
            raise TransferError(f"rsync ended with exit code {code}: {said}")
        raise TunnelError(f"rsync lost its connection (exit code {code}): {said}")

    def _once(self, argv: list[str]) -> tuple[int, bytes]:
        """Run rsync to its end; of its output, a line a file, only one now and then is worth the time to read it."""
        err, tail, told = bytearray(), b"", 0.0
        with process.running(argv, raw=True, grace=2.0) as child:
            for name, chunk in child.lines():
                if name == "err":
                    err += chunk + b"\n" if len(err) < MAX_ERRORS else b""
                    continue
                tail = (tail + chunk)[-TAIL:]
                if time.monotonic() - told >= EVERY:
                    told = time.monotonic()
                    self._tell(tail)
            self._tell(tail)
            code = child.wait(30)
        return -9 if code is None else code, bytes(err)

    def _tell(self, tail: bytes) -> None:
        for line in reversed(tail.replace(b"\n", b"\r").split(b"\r")):
            if now := rsync.progress(line):
                self.progress.files(self._done + now.done, self._total, self._sent + now.sent, self._files)
                return


def _weight(entries: Sequence[Entry]) -> int:
    """Say how much there is to copy: bytes, and something for each name."""
    return sum(4096 + (entry.size if entry.kind == "f" else 0) for entry in entries)


def both_rsyncs(code: int, out: bytes) -> rsync.Version:
    """Read the workspace's `rsync --version` and ours; raise TransferError or CommandError if one is missing."""
    there = rsync.version(out)
    if code or there is None:
        raise TransferError(
            "The session on the workspace has no rsync.",
            hint="Add the rsync-enabled runtime to the workspace (its edition contains 'rsync') and use it.",
        )
    here = rsync.version(process.run(["rsync", "--version"], timeout=10).out)
    return there.and_of(here or rsync.Version((0,), zstd=False))
