"""What we tell rsync and what it tells us: argv, filter files, exit codes, progress lines. All functions are pure."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Literal, NamedTuple

from cmlutils.entries import upwards

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

REMOTE_ROOT = "cdsw@localhost:./"  # the project's folder, as rsync names it
BIG = 64 << 20  # bytes: files from this size on are resumed in the middle
TIMEOUT = 300  # seconds without a byte
MAX_LITERALS = 200
LONGEST = 4000  # bytes of a path: rsync's buffers hold 4096; it cuts a longer name, or ends
LONGEST_LISTED = 2000  # bytes of a path in a list: on a pull, rsync passes lists on in pieces of 2048
OLDEST = (3, 1, 0)  # the first with --info=progress2
NANOSECONDS = (3, 1, 3)  # the first rsync that can compare mtimes to the nanosecond
HOLES_IN_PLACE = (3, 3, 0)  # the first that never leaves old data where a hole should be (its NEWS and 3.2.4's)

Cause = Literal["done", "vanished", "partial", "space", "connection", "fatal"]
_CONNECTION = {10, 12, 20, 30, 35, 255}  # 20: ours was ended by a signal
_PROGRESS = re.compile(rb"\s*([\d,.]+)\s+\d+%\s+\S+\s+\S+(?:\s+\(xfr#(\d+), (?:to|ir)-chk=\d+/\d+\))?")
_NAMED = re.compile(rb'rsync: (?:\[\w+(?:=[^\]]*)?\] )?(.*?) ?"(.*)"(?: \(in \w+\))?:? ?(.*)')
_MOVED = re.compile(rb"(?:rename|copy)")  # of two paths that such a complaint names, the second one is meant
_SPOILT = re.compile(rb"ERROR: (.*) (failed verification) -- update discarded\.")
_BLOCKED = re.compile(rb"(?:cannot delete non-empty directory|could not make way for new [^:]+): (.*)")
_ESCAPED = re.compile(rb"\\#(\d{3})")


class ProgressLine(NamedTuple):
    """One line of `--info=progress2`: bytes and files so far."""

    done: int
    sent: int = 0


class Complaint(NamedTuple):
    """A path as rsync names it, and what is wrong with it."""

    path: bytes
    reason: str


class Version(NamedTuple):
    """What `rsync --version` says: the version, and whether it can compress by zstd."""

    number: tuple[int, ...]
    zstd: bool

    def and_of(self, other: Version) -> Version:
        """Return what both can do."""
        return Version(min(self.number, other.number), self.zstd and other.zstd)


class Place(NamedTuple):
    """A folder to copy to, and its temporary folder; if that is empty, files grow next to their final names.

    Without one is fastest. A temporary path should be short, as rsync opens every part of it again for each file.
    """

    folder: str
    temp: str = ""


class Transfer(NamedTuple):
    """What all rsyncs of a copy have in common.

    `both` is what both ends can do, `resolution_ns` the mtime resolution of the receiver.
    """

    ssh: Sequence[str]
    source: str
    target: Place
    both: Version
    resolution_ns: int = 1

    def argv(self, *options: str, asked: bool = False) -> list[str]:
        """Build an argv. With `asked`, rsync reports progress only when `progress_signal` asks, not for each file."""
        argv = ["rsync", "-lpt", "--no-inc-recursive", "--no-human-readable", "--from0"]
        argv += [] if asked else ["--info=progress2"]
        argv += [f"--temp-dir={self.target.temp}"] if self.target.temp else []
        argv += [f"--timeout={TIMEOUT}", "-e", shell(self.ssh), *options]
        return [*argv, "--", self.source, self.target.folder]

    @property
    def zstd(self) -> list[str]:
        """The options to compress, if both ends can."""
        return ["-z", "--zc=zstd", "--zl=1"] if self.both.zstd else []

    @property
    def exact(self) -> str:
        """The option that makes rsync compare mtimes to the nanosecond; by default it ignores fractions of a second.

        A receiver with coarser mtimes would make all files unequal, so a tolerance is allowed there; our comparison of
        the listings finds what rsync then skips.
        """
        if self.resolution_ns > 1:
            return f"--modify-window={int(self.resolution_ns >= 10**9)}"
        return "--modify-window=-1" if self.both.number >= NANOSECONDS else "--ignore-times"


def version(text: bytes) -> Version | None:
    """Read the output of `rsync --version`; None if it is not from rsync."""
    match = re.search(rb"version v?(\d{1,9})\.(\d{1,9})(?:\.(\d{1,9}))?", text)
    if match is None or b"rsync" not in text:
        return None
    listed = re.search(rb"Compress list:\s*([\w \n]+)", text)
    return Version(tuple(int(part or 0) for part in match.groups()), bool(listed and b"zstd" in listed[1].split()))


def shell(argv: Sequence[str]) -> str:
    """Quote an argv for `-e` by rsync's own rules, where a quote within quotes is doubled."""
    return " ".join(
        "'" + word.replace("'", "''") + "'" if not word or re.search(r"[\s'\"]", word) else word for word in argv
    )


def literal(path: bytes, *, folder: bool, keep: bool = False) -> bytes:
    """Return a rule to exclude (or `keep`) only this path. A backslash escapes only in a name with wildcards."""
    name = _escaped(path) if re.search(rb"[*?[]", path) else path
    return (b"+ " if keep else b"- ") + name + (b"/" if folder else b"")


def can_name(path: bytes) -> bool:
    """Tell whether a list of names can hold this path.

    Since 3.2.5, rsync compares what it gets with the names that it asked for, and refuses everything if it misses one.
    It takes them as patterns: in a name with wildcards, a backslash is an escape. And it may misread a long one.
    """
    return len(path) <= LONGEST_LISTED and not (b"\\" in path and re.search(rb"[*?[]", path))


def only(paths: Iterable[bytes]) -> Iterator[bytes]:
    """Yield filter rules that keep these paths and the folders that they lie in, and nothing else."""
    for path in dict.fromkeys(each for one in paths for each in upwards(one)):
        yield literal(b"/" + path, folder=False, keep=True)
    yield b"- *"


def all_inside(path: bytes) -> bytes:
    """Return a rule that excludes everything directly in this folder; b"" is the root."""
    return b"- " + (b"/" + _escaped(path) if path else b"") + b"/*"


def _escaped(path: bytes) -> bytes:
    return re.sub(rb"([*?[\\])", rb"\\\1", path)


def rules_file(lines: Iterable[bytes]) -> bytes:
    """Return the content of a filter file, NUL-ended (`--from0`), as names may contain newlines."""
    return b"".join(line + b"\0" for line in lines)


def names_file(paths: Iterable[bytes]) -> bytes:
    """Return the content of a `--files-from` file, NUL-ended (`--from0`); `./` keeps `#` and `;` from commenting."""
    return b"".join((b"./" if path[:1] in b"#;" else b"") + path + b"\0" for path in paths)


def tree(transfer: Transfer, rules: Path, *, inplace: bool = False, asked: bool = False) -> list[str]:
    """Build the argv that copies what these rules keep of a tree, without big files.

    `inplace` saves a temporary name and a rename for each file; the mtime of an interrupted file gives it away.
    """
    options = [*transfer.zstd, transfer.exact, "-r", f"--max-size={BIG - 1}", *(["--inplace"] if inplace else [])]
    return transfer.argv(*options, f"--filter=merge,s {rules}", asked=asked)


def by_names(transfer: Transfer, names: Path) -> list[str]:
    """Build the argv that copies the named files and folders (not what is in folders), however equal they look."""
    return transfer.argv(*transfer.zstd, "--ignore-times", "--no-recursive", "--dirs", f"--files-from={names}")


def by_rules(transfer: Transfer, rules: Path) -> list[str]:
    """Build the argv that copies what these rules keep, of whatever size, however equal it looks."""
    return transfer.argv(*transfer.zstd, "--ignore-times", "-r", f"--filter=merge,s {rules}")


def big(transfer: Transfer, names: Path, basis: str, *, sparse: bool) -> list[str]:
    """Build the argv that copies the named big files into a folder of ours, where each grows in place.

    So an interrupted file can be resumed in the middle; its mtime tells it from a complete one. `basis` (absolute) is
    where the files belong: if an older version is there, rsync starts from that. With `sparse` it searches for holes,
    which takes a quarter of the time; rsyncs before HOLES_IN_PLACE can't resume a file with holes.
    """
    options = [transfer.exact, "--no-recursive", "--dirs", "--no-implied-dirs", f"--files-from={names}"]
    options += [
        f"--copy-dest={basis}",
        *(["--inplace"] if not sparse or transfer.both.number >= HOLES_IN_PLACE else []),
    ]
    return transfer.argv(*options, *(["--sparse"] if sparse else []))


def cause(code: int, err: bytes) -> Cause:
    """Return what an exit code means for us."""
    if code and (b"No space left on device" in err or b"Disk quota exceeded" in err):
        return "space"
    if code < 0 or code > 128 or code in _CONNECTION:  # > 128: a signal ended the rsync there
        return "connection"
    if code == 4 and b"rejecting unrequested file-list name" in err:
        return "vanished"  # a folder became something else while it was sent
    return {0: "done", 24: "vanished", 23: "partial", 11: "partial", 25: "partial"}.get(code, "fatal")  # type: ignore[return-value]


def complaints(err: bytes) -> list[Complaint]:
    """Read rsync's error lines: the path that each names, and the reason."""
    found = []
    for line in err.split(b"\n"):
        if match := _NAMED.fullmatch(line):
            reason = f"{os.fsdecode(match[1])}: {os.fsdecode(match[3])}"
            path = match[2].split(b'" -> "')[-1 if _MOVED.fullmatch(match[1]) else 0]
            found.append(Complaint(_unescaped(path), reason.encode("utf-8", "backslashreplace").decode()))
        elif match := _SPOILT.fullmatch(line):
            found.append(Complaint(_unescaped(match[1]), os.fsdecode(match[2])))
        elif match := _BLOCKED.fullmatch(line):
            found.append(Complaint(_unescaped(match[1]), "a folder that is not empty is in its place"))
    return found


def _unescaped(path: bytes) -> bytes:
    return _ESCAPED.sub(lambda code: bytes([int(code[1], 8) & 255]), path)


def progress(line: bytes) -> ProgressLine | None:
    """Read one progress line; None if it is none."""
    match = _PROGRESS.fullmatch(line.rstrip())
    if match is None:
        return None
    return ProgressLine(int(re.sub(rb"\D", b"", match[1])), int(match[2] or 0))
