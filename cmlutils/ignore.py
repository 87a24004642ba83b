"""Decide by the lines of an `.exportignore` as git does by the same lines in a `.gitignore` at the root.

Each line becomes a `Rule`, whose pattern is a sequence of tokens (gitglob). The rules are used in two ways: pathspec
decides by them (`ignored`, `keep`), and they are translated for rsync (`rsync_filters`). pathspec parses lines in
another way than git, so it is given patterns that we parsed; the last match wins. Names are bytes; internally they are
latin-1 text, one character for each byte, as pathspec takes text.
"""

from __future__ import annotations

import itertools
import re
from functools import cached_property, partial
from typing import TYPE_CHECKING, NamedTuple

from cmlutils import gitglob
from cmlutils.entries import upwards
from cmlutils.errors import ConfigError
from cmlutils.gitglob import BELOW, DEEP, SLASH, STAR

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from cmlutils.entries import Entry
    from cmlutils.gitglob import Glob

MAX_BYTES, MAX_RULES, MAX_LENGTH = 1 << 20, 10_000, 4096


class Rule(NamedTuple):
    """One effective line: its number, its text, and what it means.

    With `floating`, the glob is matched against the last segment of a path; otherwise against the whole path.
    """

    line: int
    text: bytes
    negated: bool
    folders_only: bool
    floating: bool
    glob: Glob


class IgnoreRules:
    """The parsed rules of one file, in its order, without lines that can never match anything in git."""

    def __init__(self, lines: Iterable[Rule], *, source: str) -> None:
        self.lines = tuple(lines)
        self.source = source

    @classmethod
    def parse(cls, text: bytes, *, source: str) -> IgnoreRules:
        """Parse a file's content; raise ConfigError, naming `source`, if it is too large to be a list of patterns."""
        if len(text) > MAX_BYTES:
            raise ConfigError(f"{source} has more than {MAX_BYTES >> 20} MiB, too much for a list of patterns")
        rules: list[Rule] = []
        for number, line in enumerate(text.removeprefix(b"\xef\xbb\xbf").split(b"\n"), 1):
            pattern = _trimmed(line)
            if len(pattern) > MAX_LENGTH:
                raise ConfigError(f"{source}, line {number}: a pattern is longer than {MAX_LENGTH} bytes")
            rule = _rule(number, pattern)
            rules += [rule] if rule else []
            if len(rules) > MAX_RULES:
                raise ConfigError(f"{source} has more than {MAX_RULES} patterns", hint="Use wildcards, or fewer lines.")
        return cls(rules, source=source)

    @cached_property
    def _decide(self) -> Callable[[str], bool]:
        return _decider(self.lines) if self.lines else lambda _: False

    def ignored(self, path: bytes, *, is_dir: bool) -> bool:
        """Decide on this path alone: the last match wins. Folders that it lies in are not looked at (`keep` does that).

        A symbolic link never counts as a folder, wherever it leads.
        """
        name = path.decode("latin-1")
        return self._decide(name + "/" if is_dir else name)

    def hides(self, entry: Entry) -> bool:
        """Tell whether an entry is ignored, itself or with a folder that it lies in."""
        is_dir = entry.kind == "d"
        return any(self.ignored(each, is_dir=is_dir or each != entry.path) for each in upwards(entry.path))

    def rsync_filters(self) -> list[bytes]:
        r"""Translate the rules for rsync, where the first match wins: lines for `--filter='merge,s FILE'`.

        No line holds a newline or carriage return: git's patterns can't hold a newline, and a carriage return is
        written as a range around it. Raises ConfigError for what can't be translated: a bracket such as `[\t\r]`, or
        more than six `/**/` in a pattern.
        """
        return [line for rule in reversed(self.lines) for line in self._rsync_lines(rule)]

    def _rsync_lines(self, rule: Rule) -> list[bytes]:
        sign, end = (b"+ " if rule.negated else b"- "), (b"/" if rule.folders_only else b"")
        try:
            return [sign + text + end for text in gitglob.rsync_patterns(rule.glob, floating=rule.floating)]
        except ValueError as error:
            shown = rule.text.decode("utf-8", "backslashreplace")
            raise ConfigError(f"{self.source}, line {rule.line}: rsync can't express {shown!r}: {error}") from None

    def prunes(self) -> list[bytes]:
        """Name folders that a listing need not enter: `/a/b` from the root, `name` anywhere.

        These are plain names that no later line could re-include.
        """
        named = [(rule.floating, gitglob.literal(rule.glob)) for rule in self._last_words()]
        return [(b"" if floating else b"/") + name.encode("latin-1") for floating, name in named if name]

    def beyond_prunes(self) -> IgnoreRules:
        """Return the rules that still matter for a listing which left out everything that `prunes` names."""
        settled = [rule for rule in self._last_words() if rule.folders_only and gitglob.literal(rule.glob)]
        return IgnoreRules([rule for rule in self.lines if rule not in settled], source=self.source)

    def _last_words(self) -> list[Rule]:
        """Return the rules whose decision no later line can change."""
        last = max((rule.line for rule in self.lines if rule.negated), default=0)
        return [rule for rule in self.lines if rule.line > last]


def default_rules() -> IgnoreRules:
    """Return what is left out when a project has no `.exportignore`: `.cache/` and `.local/` at the root."""
    return IgnoreRules.parse(b"/.cache/\n/.local/\n", source="the built-in rules")


def keep(entries: Iterable[Entry], rules: IgnoreRules) -> Iterator[Entry]:
    """Yield the entries that are neither ignored nor below an ignored folder, in the given order."""
    return (entry for entry, ignored in decided(entries, rules) if not ignored)


def decided(entries: Iterable[Entry], rules: IgnoreRules) -> Iterator[tuple[Entry, bool]]:
    """Yield each entry, in the given order, and whether it is ignored, itself or with a folder that it lies in."""
    if not rules.lines:
        yield from ((entry, False) for entry in entries)
        return
    gone = {b"": False}

    def is_gone(folder: bytes) -> bool:
        unknown = []
        while folder not in gone:
            unknown.append(folder)
            folder = folder.rpartition(b"/")[0]
        lost = gone[folder]
        for path in reversed(unknown):
            lost = gone[path] = lost or rules.ignored(path, is_dir=True)
        return lost

    for entry in entries:
        if entry.kind == "d":
            yield entry, is_gone(entry.path)
        else:
            yield entry, is_gone(entry.path.rpartition(b"/")[0]) or rules.ignored(entry.path, is_dir=False)


def _trimmed(line: bytes) -> bytes:
    """Strip what git strips: comments, one CR, everything from a NUL on, and trailing spaces unless escaped."""
    if line.startswith(b"#"):
        return b""
    kept = line.removesuffix(b"\r").partition(b"\0")[0]
    stripped = kept.rstrip(b" ")
    escapes = len(stripped) - len(stripped.rstrip(b"\\"))
    return stripped + b" " if escapes % 2 and len(stripped) < len(kept) else stripped


def _rule(line: int, pattern: bytes) -> Rule | None:
    """Read one trimmed line; None if it is empty or can never match."""
    body = pattern.removeprefix(b"!")
    whole_path = b"/" in body.removesuffix(b"/")
    glob = gitglob.tokens(body.removesuffix(b"/").removeprefix(b"/"), whole_path=whole_path)
    if not glob:
        return None
    if glob in {(BELOW,), (DEEP, BELOW)}:
        glob, whole_path = (STAR,), False
    elif glob[0] == DEEP and not {SLASH, DEEP, BELOW} & set(glob[1:]):
        glob, whole_path = glob[1:], False
    return Rule(line, pattern, pattern[:1] == b"!", body.endswith(b"/"), not whole_path, glob)


class _Matcher:
    """Tells whether any of several rules matches: plain names and `*.ext` by look-up, others by a regex."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self.names: set[str] = set()
        self.paths: set[str] = set()
        self.tails: set[str] = set()
        name_regexes: list[str] = []
        path_regexes: list[str] = []
        numbers = itertools.count()
        for rule in rules:
            name, tail = gitglob.literal(rule.glob), gitglob.literal(rule.glob[1:])
            if name:
                (self.names if rule.floating else self.paths).add(name)
            elif rule.floating and rule.glob[0] == STAR and tail:
                self.tails.add(tail)
            else:
                (name_regexes if rule.floating else path_regexes).append(gitglob.regex(rule.glob, numbers))
        self.tail_lengths = sorted({len(tail) for tail in self.tails})
        self.by_name = re.compile("|".join(name_regexes), re.DOTALL).fullmatch if name_regexes else None
        self.by_path = re.compile("|".join(path_regexes), re.DOTALL).fullmatch if path_regexes else None

    def matches(self, path: str, name: str) -> bool:
        if name in self.names or path in self.paths:
            return True
        for length in self.tail_lengths:
            if name[-length:] in self.tails:
                return True
        return bool((self.by_name and self.by_name(name)) or (self.by_path and self.by_path(path)))


def _decider(rules: Sequence[Rule]) -> Callable[[str], bool]:
    """Give the rules to pathspec. Neighbours that all ignore, or all re-include, are one pattern: any match decides."""
    from pathspec import PathSpec  # here and not at the top, to start faster
    from pathspec.pattern import Pattern

    class Run(Pattern):
        __slots__ = ("anything", "folders")

        def __init__(self, rules: Sequence[Rule]) -> None:
            super().__init__(include=not rules[0].negated)
            self.anything = _Matcher([rule for rule in rules if not rule.folders_only])
            only = [rule for rule in rules if rule.folders_only]
            self.folders = _Matcher(only) if only else None

        def match_file(self, file: str) -> bool | None:
            path = file.removesuffix("/")
            name = path.rpartition("/")[2]
            if self.anything.matches(path, name):
                return True
            if self.folders and file.endswith("/") and self.folders.matches(path, name):
                return True
            return None

    runs = [Run(list(run)) for _, run in itertools.groupby(rules, key=lambda rule: rule.negated)]
    try:
        spec = PathSpec(runs, backend="simple")  # pathspec 1.0 would otherwise use re2 if that happens to be installed
    except TypeError:
        spec = PathSpec(runs)
    decide: Callable[[str], bool] = partial(spec.match_file, separators=())
    if len(runs) == 1:
        return decide
    anything = Run(rules)
    return lambda file: anything.match_file(file) is not None and decide(file)
