"""One git pattern: parsed as git's wildmatch does, and translated to a regular expression or to rsync patterns.

Patterns and names are bytes. A pattern becomes a sequence of tokens: a byte, a set of bytes, STAR, DEEP or BELOW.
Regular expressions are for latin-1 text, one character for each byte; they take polynomial time for any pattern.

Versions of git differ on `**` next to other characters of a segment (`a**/b`): it is an ordinary `*` in git's manual,
from git 2.52 on, and here. Older versions let it cross folders if there is only plain text before it; in 2.39 it
depends on where its buffers are in memory.
"""

from __future__ import annotations

import itertools
import re
import string
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

Token: TypeAlias = "int | frozenset[int] | str"  # noqa: S105 - no password
Glob: TypeAlias = "tuple[Token, ...]"
STAR: Final = "*"  # any bytes of a segment
DEEP: Final = "**/"  # any folders, or none; never two in a row
BELOW: Final = "**"  # everything below; only as the last token

SLASH: Final = ord("/")
NAME_BYTES: Final = frozenset(range(1, 256)) - {SLASH}
PLAIN_TO_RSYNC: Final = frozenset(range(1, 256)) - set(b"*?[\r")
MAX_DEEP: Final = 6  # rsync needs two rules for each `/**/`: 64 at most
CLASSES: Final = {
    b"alnum": (string.ascii_letters + string.digits).encode(),
    b"alpha": string.ascii_letters.encode(),
    b"blank": b" \t",
    b"cntrl": bytes([*range(1, 32), 127]),
    b"digit": string.digits.encode(),
    b"graph": bytes(range(33, 127)),
    b"lower": string.ascii_lowercase.encode(),
    b"print": bytes(range(32, 127)),
    b"punct": string.punctuation.encode(),
    b"space": b" \t\n\r",  # git's own idea: neither form feed nor vertical tab
    b"upper": string.ascii_uppercase.encode(),
    b"xdigit": string.hexdigits.encode(),
}


def tokens(pattern: bytes, *, whole_path: bool) -> Glob | None:
    r"""Parse a pattern (without `!` and outer slashes); None for one that can't match any name.

    With `whole_path` it is matched against the whole path, where `**` may cross folders; otherwise against the last
    segment.
    """
    row: list[Token] = []
    i = 0
    while i < len(pattern):
        byte = pattern[i]
        i += 1
        if byte == ord("*"):
            starts = whole_path and pattern[i - 2 : i - 1] in {b"", b"/"}
            end = i + len(pattern[i:]) - len(pattern[i:].lstrip(b"*"))
            found, i = _stars(pattern, end) if starts and end > i else ([STAR], end)
            row += found
        elif byte == ord("?"):
            row.append(NAME_BYTES)
        elif byte == ord("["):
            bracket = _bracket(pattern, i)
            if bracket is None:
                return None
            row.append(bracket[0])
            i = bracket[1]
        elif byte == ord("\\"):
            if i == len(pattern):
                return None
            row.append(pattern[i])
            i += 1
        else:
            row.append(byte)
    tidy = tuple(t for i, t in enumerate(row) if t != DEEP or row[i + 1 : i + 2] not in ([DEEP], [BELOW]))
    return tidy if _possible(tidy) else None


def _stars(pattern: bytes, end: int) -> tuple[list[Token], int]:
    """Parse two or more stars that begin a segment and end before `end`; return the tokens, and where to go on."""
    if end == len(pattern):
        return [BELOW], end
    if pattern[end] == SLASH:
        return [DEEP], end + 1
    if pattern[end : end + 2] == b"\\/":  # git: the escaped slash is not skipped, so one folder at least
        return [STAR, SLASH, DEEP], end + 2
    return [STAR], end


def _bracket(pattern: bytes, i: int) -> tuple[frozenset[int], int] | None:
    """Parse a bracket, starting behind its `[`; return its bytes and where it ends, None if it matches nothing."""
    negated = pattern[i : i + 1] in {b"!", b"^"}
    start = i = i + negated
    found: set[int] = set()
    previous = 0
    while i == start or pattern[i : i + 1] != b"]":
        close = pattern.find(b"]", i + 2) if pattern.startswith(b"[:", i) else -1
        if close > i + 2 and pattern[close - 1] == ord(":"):
            name = pattern[i + 2 : close - 1]
            if name not in CLASSES:
                return None
            found.update(CLASSES[name])
            previous, i = 0, close + 1
            continue
        if previous and pattern[i : i + 1] == b"-" and pattern[i + 1 : i + 2] not in {b"", b"]"}:
            byte, i = _byte(pattern, i + 1)
            found.update(range(previous, byte + 1))
            previous = 0
        else:
            byte, i = _byte(pattern, i)
            found.add(byte)
            previous = byte
        if not byte:
            return None
    chars = (NAME_BYTES - found) if negated else (NAME_BYTES & found)
    return (chars, i + 1) if chars else None


def _byte(pattern: bytes, i: int) -> tuple[int, int]:
    """Parse one byte of a bracket, escaped or not; return its value (0 at the pattern's end) and where to go on."""
    i += pattern[i : i + 1] == b"\\"
    return (pattern[i] if i < len(pattern) else 0), i + 1


def split(row: Sequence[Token], mark: Token) -> list[list[Token]]:
    """Split a sequence of tokens at each mark; the parts may be empty."""
    parts: list[list[Token]] = [[]]
    for token in row:
        if token == mark:
            parts.append([])
        else:
            parts[-1].append(token)
    return parts


def _possible(glob: Glob) -> bool:
    """Tell whether any name can match: no name has an empty segment, `.` or `..`."""
    *heads, tail = split(glob, DEEP)
    parts = [head[:-1] for head in heads if head] + [tail]
    return not any(segment in ([], [46], [46, 46]) for part in parts for segment in split(part, SLASH))


def literal(glob: Sequence[Token]) -> str | None:
    """Return the one text that the tokens match, if they are plain bytes; else None."""
    plain = [token for token in glob if isinstance(token, int)]
    return bytes(plain).decode("latin-1") if len(plain) == len(glob) else None


def regex(glob: Glob, numbers: Iterator[int]) -> str:
    """Translate a glob to a regular expression for fullmatch; `numbers` makes the names of its groups unique.

    The text between two wildcards may as well match at its leftmost place, so backtracking for another one is
    prevented: such parts are atomic, by a group in a look-ahead (Python 3.10 has no atomic groups).
    """

    def atomic(expression: str) -> str:
        name = f"g{next(numbers)}"
        return f"(?=(?P<{name}>{expression}))(?P={name})"

    def segment(row: list[Token]) -> str:
        if row == [BELOW]:
            return ".+"
        first, *rest = ("".join(map(_character, piece)) for piece in split(row, STAR))
        inner = "".join(atomic("[^/]*?" + piece) for piece in rest[:-1])
        return first + inner + "".join("[^/]*" + piece for piece in rest[-1:])

    first, *rest = ("/".join(map(segment, split(group, SLASH))) for group in split(glob, DEEP))
    inner = "".join(atomic("(?:.*?/)??" + group) for group in rest[:-1])
    return first + inner + "".join("(?:.*/)?" + group for group in rest[-1:])


def _character(token: Token) -> str:
    if isinstance(token, int):
        return re.escape(chr(token))
    if token == NAME_BYTES:
        return "[^/]"
    ranges = _ranges(token) if isinstance(token, frozenset) else []
    return "[" + "".join(f"\\x{low:02x}-\\x{high:02x}" for low, high in ranges) + "]"


def _ranges(chars: frozenset[int]) -> list[tuple[int, int]]:
    """Group bytes into ranges, both ends included."""
    ranges: list[tuple[int, int]] = []
    for byte in sorted(chars):
        if ranges and ranges[-1][1] == byte - 1:
            ranges[-1] = ranges[-1][0], byte
        else:
            ranges.append((byte, byte))
    return ranges


def rsync_patterns(glob: Glob, *, floating: bool) -> Iterator[bytes]:
    """Translate a glob to rsync patterns that together match the same; raise ValueError, saying why, if none do.

    rsync's `**/` never matches nothing, so `a/**/b` takes `a/b` as a second pattern. A leading `**/` is what an
    unanchored pattern with a slash means to rsync. In a pattern without wildcards it takes a backslash literally.
    """
    lead, *rest = groups = split(glob, DEEP)
    if not lead:
        groups = rest
    if len(groups) - 1 > MAX_DEEP:
        raise ValueError(f"more than {MAX_DEEP} times /**/")
    has_wildcard = any(token not in PLAIN_TO_RSYNC for token in glob if token != DEEP)
    anchor = b"/" if lead and not floating else b""
    for joints in itertools.product((b"", b"**/"), repeat=len(groups) - 1):
        wild = has_wildcard or any(joints)
        words = [b"".join(_rsync_word(token, wild=wild) for token in group) for group in groups]
        yield (anchor + words[0] + b"".join(joint + word for joint, word in zip(joints, words[1:], strict=True)))


def _rsync_word(token: Token, *, wild: bool) -> bytes:
    if isinstance(token, str):
        return token.encode()
    if token == NAME_BYTES:
        return b"?"
    if isinstance(token, frozenset) or token in b"*?[\r":
        return _rsync_bracket(token if isinstance(token, frozenset) else frozenset({token}))
    return b"\\\\" if wild and token == ord("\\") else bytes([token])


def _rsync_bracket(chars: frozenset[int]) -> bytes:
    """Write a bracket without CR or LF, which would end the rule: they are covered by a range, or left between two."""
    for start, wanted in (b"[", chars), (b"[!", NAME_BYTES - chars):
        ranges = _ranges(wanted)
        if not {10, 13} & {end for both in ranges for end in both}:
            inner = b"".join(_escaped(low) + (b"-" + _escaped(high) if high > low else b"") for low, high in ranges)
            return start + inner + b"]"
    raise ValueError("a bracket with a carriage return, but without the characters around it")


def _escaped(byte: int) -> bytes:
    return (b"\\" if byte in b"\\[]!^-:" else b"") + bytes([byte])
