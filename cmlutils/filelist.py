"""How a listing of a tree travels: the script that writes it, and the parser that reads it.

GNU find writes NUL-ended fields, six for each record: kind, size, mtime, mode, path, link target. The first record is
the root itself; a single END comes last, so that no listing that was cut off or failed looks complete.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
from typing import TYPE_CHECKING, NamedTuple

from cmlutils.entries import MODES, Entry, upwards
from cmlutils.errors import TransferError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

FIND_FORMAT = r"%y\0%s\0%T@\0%m\0%P\0%l\0"
END = b"END"
MAX_FIELD = 1 << 20
MAX_PRUNES, MAX_PRUNE_BYTES = 200, 32 << 10
MAX_NAMES = 20_000_000  # more than any project; their listing would take some 10 GB of memory
MAX_DIGITS = 24  # of a size, or of a time, for which find writes ten decimals; system calls take no larger numbers
SECOND = 1_000_000_000

_NOT_GNU = (
    "It takes GNU find (findutils; the one of busybox has no -printf), and a login shell that prints nothing: let "
    ".bashrc and the like be silent where the shell is not interactive."
)
Records = dict[bytes, Entry]  # entries by the records that they were read from; see `parse_find`
_FIELDS = 6
_RECORD = re.compile(rb"(?:[^\0]*\0){6}")
_KINDS = {kind.encode(): kind for kind in "fdlpsbc"}
_UNSAFE = re.compile(rb"(?:^|/)\.{0,2}(?:/|\Z)")  # an empty component (so `/x` too), `.` or `..`
_COMPLAINT = re.compile(rb"(?:\S*/)?find: (?:\xe2\x80\x98|['`\"])(.*)(?:\xe2\x80\x99|['\"]): (.+)")
_ESCAPE = re.compile(rb"\\([0-7]{3}|.)")
_ESCAPED = dict(zip(b"abfnrtv", b"\a\b\f\n\r\t\v", strict=True))


class Unread(NamedTuple):
    """A path that a listing could not enter or read, and why; b"." is the root, b"" an unknown path."""

    path: bytes
    reason: str

    @property
    def vanished(self) -> bool:
        """Whether it disappeared while it was being listed."""
        return "No such file or directory" in self.reason


def unseen(unread: Iterable[Unread]) -> Callable[[bytes], bool]:
    """Return a function that tells whether a path may exist unlisted, as it lies in what could not be read."""
    tops = {each.path for each in unread}
    if tops & {b"", b"."}:
        return lambda _: True
    return lambda path: not tops.isdisjoint(upwards(path))


def fit_to_prune(prunes: Sequence[bytes]) -> bool:
    """Tell whether all these fit a command line. Where they don't, nothing is pruned, which only takes longer."""
    return len(prunes) <= MAX_PRUNES and sum(map(len, prunes)) <= MAX_PRUNE_BYTES


def find_command(prune: Sequence[bytes] = (), place: bytes = b".", whole: bytes = b"") -> list[str]:
    """Build the argv that lists the current folder, or another place; GNU find only, as no other has -printf.

    `prune` names folders to leave out, as `IgnoreRules.prunes()` does: `/a/b` from the root, or `name` anywhere.
    Nothing is left out inside the folder `whole`, and nothing at all where the names don't fit a command line.
    """
    tests: list[str] = []
    for name in prune if fit_to_prune(prune) else ():
        glob = _glob(name)
        tests += ["-o", "-path", "." + glob] if glob.startswith("/") else ["-o", "-name", glob]
    but = ["!", "-path", f"./{_glob(whole)}/*"] if whole else []
    pruning = ["-type", "d", "(", *tests[1:], ")", *but, "-prune", "-o"] if tests else []
    return ["find", os.fsdecode(place), *pruning, "-printf", FIND_FORMAT]


def _glob(name: bytes) -> str:
    return os.fsdecode(re.sub(rb"([*?[\\])", rb"\\\1", name))


def find_script(prune: Sequence[bytes] = (), whole: bytes = b"") -> str:
    """Build a POSIX shell script that lists as `find_command` does and prints END last.

    Where find could not read something it says so on standard error, and the script exits with 1.
    """
    return (
        f"LC_ALL=C {shlex.join(find_command(prune, whole=whole))}; "
        f"code=$?; [ $code -le 1 ] && printf '{END.decode()}\\000'; exit $code"
    )


def names_script(form: str = FIND_FORMAT) -> str:
    """Build a POSIX shell script that lists those names of its standard input (`names_input`) that exist.

    Unlike `find_script`, it prints neither the root nor END, and its paths begin with `./`, as they come from `%p`.
    """
    asked = f'LC_ALL=C find "$@" -maxdepth 0 -printf {shlex.quote(form.replace("%P", "%p"))}'
    return f"xargs -0 sh -c {shlex.quote(asked)} sh 2>/dev/null; true"


def names_input(paths: Iterable[bytes]) -> bytes:
    """Return the standard input for `names_script`."""
    return b"".join(b"./" + path + b"\0" for path in paths)


def parse_names(out: bytes) -> Iterator[Entry]:
    """Read the output of `names_script`; a malformed record counts as a name that does not exist."""
    for record in _RECORD.findall(out):
        with contextlib.suppress(ValueError, KeyError):
            (entry,) = _entries(record.split(b"\0")[:-1])
            yield entry._replace(path=entry.path.removeprefix(b"./"))


def find_complaints(stderr: bytes) -> list[Unread]:
    """Read find's error lines, whichever quotes it uses; a line of another form becomes a reason without a path."""
    unread = []
    for line in filter(None, stderr.split(b"\n")):
        match = _COMPLAINT.fullmatch(line)
        path = _ESCAPE.sub(_unescaped, match[1]).removeprefix(b"./") if match else b""
        unread.append(Unread(path, (match[2] if match else line).decode("utf-8", "backslashreplace")))
    return unread


def _unescaped(match: re.Match[bytes]) -> bytes:
    code = match[1]
    return bytes([int(code, 8) & 255 if len(code) == 3 else _ESCAPED.get(code[0], code[0])])


def parse_find(
    chunks: Iterable[bytes], *, source: str = "the listing", records: Records | None = None
) -> Iterator[Entry]:
    """Read a listing as it arrives, without the root; raise TransferError if it is cut off, malformed or unsafe.

    Folders come before what is in them. Paths that could lead out of the tree (with `..`, `.`, `//` or a leading slash)
    are refused. The listing is known to be complete only when the iterator has ended.

    `records` are what was read of other listings, and what is read of this one is added. An equal record needs no
    second reading, which takes most of the time, and its entry is not held in memory twice.
    """
    begun, names = False, 0
    rest = b""
    for chunk in chunks:
        text, rest = _whole_records(rest + chunk)
        if len(rest) > MAX_FIELD:
            raise TransferError(f"{source} is malformed: a name of more than {MAX_FIELD >> 20} MiB")
        if text and not begun:
            begun = True
            kind, _, _, _, path, _, text = text.split(b"\0", _FIELDS)
            if kind != b"d" or path:
                raise TransferError(f"{source} does not begin with the folder itself", hint=_NOT_GNU)
        names += text.count(b"\0") // _FIELDS
        if names > MAX_NAMES:
            raise TransferError(f"{source} holds more than {MAX_NAMES} names")
        yield from _checked_entries(text, source) if records is None else _entries_by(records, text, source)
    if rest == END + b"\0" and not begun:
        raise TransferError(f"{source} is empty", hint=_NOT_GNU)
    if rest != END + b"\0":
        raise TransferError(f"{source} is cut short", hint="Run the command again; nothing was changed.")


def _whole_records(text: bytes) -> tuple[bytes, bytes]:
    """Divide what has arrived into whole records and what is not a whole one yet."""
    end = len(text)
    for _ in range(text.count(b"\0") % _FIELDS + 1):
        end = text.rfind(b"\0", 0, end)
    return text[: end + 1], text[end + 1 :]


def _entries_by(records: Records, text: bytes, source: str) -> Iterable[Entry]:
    """Read whole records, if they were not read before, and remember them."""
    found = _RECORD.findall(text)
    new = [each for each in found if each not in records]
    if new:
        records.update(zip(new, _checked_entries(b"".join(new), source), strict=True))
    return map(records.__getitem__, found)


def _checked_entries(text: bytes, source: str) -> list[Entry]:
    """Read whole records; raise TransferError if one is malformed or unsafe."""
    fields = text.split(b"\0")[:-1]
    try:
        entries = _entries(fields)
    except (ValueError, KeyError):
        raise TransferError(f"{source} is malformed at {quoted(_misfit(fields))}") from None
    if outside := _outside(fields[4::_FIELDS]):
        raise TransferError(f"{source} holds a name that leads out of the project: {quoted(outside[0])}")
    return entries


def _entries(fields: list[bytes]) -> list[Entry]:
    """Turn the fields of complete records into entries; raise ValueError or KeyError if some are malformed.

    Digits are checked first, as int() would accept signs, spaces and underscores. Entries are made by `tuple.__new__`,
    as Entry's own constructor would take twice the time.
    """
    numbers, times = fields[1::_FIELDS] + fields[3::_FIELDS], fields[2::_FIELDS]
    digits = b"".join(numbers).isdigit() and b"".join(times).translate(None, b"-.").isdigit()
    if numbers and not (digits and max(map(len, numbers + times)) <= MAX_DIGITS):
        raise ValueError
    new = tuple.__new__
    return [
        new(
            Entry,
            (
                path,
                _KINDS[kind],
                int(size),
                int(time[:-11] + time[-10:-1]) if time[-11:-10] == b"." and time[:1] != b"-" else nanoseconds(time),
                MODES[int(mode, 8) & 0o7777],
                link,
            ),
        )
        for kind, size, time, mode, path, link in zip(*[iter(fields)] * _FIELDS, strict=True)
    ]


def _outside(paths: list[bytes]) -> list[bytes]:
    """Return the paths that may lead out of the tree. A quick search through all of them at once comes first."""
    together = b"\0%b\0" % b"\0".join(paths)
    if any(sign in together for sign in (b"/.", b"//", b"\0.", b"\0/", b"/\0", b"\0\0")):
        return [path for path in paths if _UNSAFE.search(path)]
    return []


def nanoseconds(time: bytes) -> int:
    """Convert a time that find wrote to nanoseconds; its decimals always count upwards, so -1.5 s is written -2.5."""
    whole, _, fraction = time.partition(b".")
    if not fraction.isdigit():
        raise ValueError
    return int(whole) * SECOND + int((fraction + b"000000000")[:9])


def _misfit(fields: list[bytes]) -> bytes:
    """Return the path in the first malformed record."""
    start = 0
    with contextlib.suppress(ValueError, KeyError):
        while _entries(fields[start : start + _FIELDS]):
            start += _FIELDS
    return fields[start + 4]


def quoted(path: bytes) -> str:
    """Quote a path for a message: nothing in it reaches a terminal unescaped."""
    return repr(os.fsdecode(path))
