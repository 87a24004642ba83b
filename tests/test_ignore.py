"""Ignore rules, not compared with git: what is documented, what is refused, speed, and what an import leaves out."""

from __future__ import annotations

import subprocess
import sys
import time
from typing import Any

import pathspec
import pytest

from cmlutils.entries import Entry
from cmlutils.errors import ConfigError
from cmlutils.ignore import MAX_BYTES, MAX_LENGTH, MAX_RULES, IgnoreRules, default_rules, keep


def rules(text: bytes) -> IgnoreRules:
    return IgnoreRules.parse(text, source="demo/.exportignore")


def ignored(text: bytes, path: bytes) -> bool:
    """Tell whether the rules ignore a path; one that ends in a slash is a folder."""
    return rules(text).ignored(path.rstrip(b"/"), is_dir=path.endswith(b"/"))


def entry(path: bytes) -> Entry:
    return Entry(path.rstrip(b"/"), "d" if path.endswith(b"/") else "f", 0, 0, 0o644)


def kept(paths: list[bytes], text: bytes) -> list[bytes]:
    return [each.path for each in keep(map(entry, paths), rules(text))]


@pytest.mark.parametrize(
    ("text", "yes", "no"),
    [
        (b"*.log", b"a/b.log", b"a/b.logs"),
        (b"*.log\n!keep.log", b"a.log", b"a/keep.log"),
        (b"/a", b"a", b"b/a"),
        (b"a/b", b"a/b", b"x/a/b"),
        (b"a/", b"x/a/", b"x/a"),
        (b"a/**", b"a/b/c", b"a/"),
        (b"a/**/b", b"a/b", b"a/xb"),
        (b"**/a/b", b"x/y/a/b", b"xa/b"),
        (b"x/**/", b"x/y/", b"x/y"),
        (b"**\\/b", b"a/b", b"b"),
        (b"?.txt", b"\xe9.txt", b"\xc3\xa9.txt"),
        (b"[[:digit:]]x", b"1x", b"dx"),
        (b"\\#a", b"#a", b"a"),
        (b"a\\ ", b"a ", b"a"),
        (b"A", b"A", b"a"),
        (b"\xef\xbb\xbfa\r\n", b"a", b"b"),
        (b"aX", b"aX", b"a"),
        (b"x/**Xy", b"x/aXy", b"x/ay"),
        (b".a/**/b", b".a/b", b"a/b"),
    ],
)
def test_reads_lines_as_gits_manual_says(text: bytes, yes: bytes, no: bytes) -> None:
    assert ignored(text, yes)
    assert not ignored(text, no)


@pytest.mark.parametrize("path", [b"abc/ghi", b"abcx/ghi"])
def test_two_stars_within_a_segment_are_one(path: bytes) -> None:
    """As git's manual says and git does since 2.52; older versions differ, so this isn't compared with git."""
    assert ignored(b"abc**/ghi", path)
    assert not ignored(b"abc**/ghi", b"abc/x/ghi")
    assert not ignored(b"abc**/ghi", b"abcghi")
    assert not ignored(b"/abc**", b"abc/x")
    assert rules(b"abc**/ghi").rsync_filters() == [b"- /abc*/ghi"]


def test_a_link_to_a_folder_is_no_folder() -> None:
    link = Entry(b"a", "l", 1, 0, 0o777, b"b")
    assert list(keep([link], rules(b"a/"))) == [link]
    assert list(keep([link], rules(b"a"))) == []


def test_what_lies_in_an_ignored_folder_cannot_return() -> None:
    paths = [b"a/", b"a/keep", b"a/b/", b"a/b/keep", b"c"]
    assert kept(paths, b"a/\n!keep") == [b"c"]
    assert kept(paths, b"a/*\n!a/keep") == [b"a", b"a/keep", b"c"]


def test_the_order_of_a_listing_does_not_matter() -> None:
    paths = [b"a/b/keep", b"c", b"a/b/", b"a/keep", b"a/"]
    assert kept(paths, b"/a/b/") == [b"c", b"a/keep", b"a"]


def test_deep_paths_need_no_recursion() -> None:
    path = b"/".join([b"d"] * 5000)
    assert kept([path], b"x") == [path]
    assert kept([path], b"/d/d/") == []


def test_without_rules_all_is_kept() -> None:
    assert kept([b"a/", b"a/b"], b"\n# nothing\n/\n!\n") == [b"a", b"a/b"]
    assert rules(b"").lines == ()
    assert rules(b"").rsync_filters() == []


def test_the_default_leaves_caches_at_the_root_behind() -> None:
    names = [b".cache/", b".local/", b".cache/x", b"sub/.cache/", b".cached/", b".bashrc"]
    assert [each.path for each in keep(map(entry, names), default_rules())] == [
        b"sub/.cache",
        b".cached",
        b".bashrc",
    ]
    assert default_rules().source == "the built-in rules"
    assert default_rules().rsync_filters() == [b"- /.local/", b"- /.cache/"]


def test_patterns_remember_their_lines() -> None:
    read = rules(b"# c\na.txt\n\n!/b/\n").lines
    assert [(rule.line, rule.text, rule.negated, rule.folders_only) for rule in read] == [
        (2, b"a.txt", False, False),
        (4, b"!/b/", True, True),
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"#" * (MAX_BYTES + 1), "demo/.exportignore has more than 1 MiB"),
        (b"x\n" * (MAX_RULES + 1), "demo/.exportignore has more than 10000 patterns"),
        (b"ok\n" + b"x" * (MAX_LENGTH + 1), "demo/.exportignore, line 2: a pattern is longer than 4096 bytes"),
    ],
)
def test_what_is_no_list_of_patterns_is_refused(text: bytes, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        rules(text)


def test_as_many_as_allowed_are_read() -> None:
    assert len(rules(b"x\n" * MAX_RULES).lines) == MAX_RULES
    assert rules(b"x" * MAX_LENGTH).ignored(b"x" * MAX_LENGTH, is_dir=False)
    assert rules(b"#" * MAX_BYTES).lines == ()


@pytest.mark.parametrize(
    ("text", "filters"),
    [
        (b"a\nb\n!c", [b"+ c", b"- b", b"- a"]),
        (b"/a/b/", [b"- /a/b/"]),
        (b"a/**/b", [b"- /a/b", b"- /a/**/b"]),
        (b"**/a/b", [b"- a/b"]),
        (b"**/a", [b"- a"]),
        (b"**", [b"- *"]),
        (b"/**", [b"- *"]),
        (b"a\\\\b", [b"- a\\b"]),
        (b"a\\\\b*", [b"- a\\\\b*"]),
        (b"a\\\\/**/b", [b"- /a\\/b", b"- /a\\\\/**/b"]),
        (b"\\*a?", [b"- [*]a?"]),
        (b"[!]a-]x", [b"- [\x01-,.0-\\\\\\^-`b-\xff]x"]),
        (b"c\rr", [b"- c[!\x01-\x0c\x0e-.0-\xff]r"]),
        (b"[[:space:]]", [b"- [!\x01-\x08\x0b-\x0c\x0e-\x1f\\!-.0-\xff]"]),
        (b"!!a", [b"+ !a"]),
        (b"- a", [b"- - a"]),
        (b"end\\\n[a\n./a\na//b", []),
    ],
)
def test_says_it_in_rsyncs_words(text: bytes, filters: list[bytes]) -> None:
    said = rules(text).rsync_filters()
    assert said == filters
    assert not any(byte in line for line in said for byte in b"\r\n\0")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"ok\n[\t\r]", r"line 2: rsync can't express '[\t\r]': a bracket with a carriage return"),
        (
            b"/a/**" * 8,
            "/a/**': more than 6 times",
        ),
    ],
)
def test_what_rsync_has_no_words_for_is_refused_by_name(text: bytes, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        rules(text).rsync_filters()
    assert said in str(caught.value)


def test_six_deep_stars_are_not_too_many() -> None:
    assert len(rules(b"a" + b"/**/a" * 6).rsync_filters()) == 64


def test_names_what_a_listing_need_not_enter() -> None:
    assert rules(b"a/\n!b\n/.cache/\nnode_modules\nx/y\n*.o\nst\\*r/").prunes() == [
        b"/.cache",
        b"node_modules",
        b"/x/y",
        b"st*r",
    ]
    assert rules(b"a\n/b/c\n").prunes() == [b"a", b"/b/c"]


SLOW = [
    *(
        b"*a" * 30 + b"*b",
        b"/" + b"*a" * 30 + b"*b/c",
        b"*?" * 20 + b"b",
        b"**/" + b"*a" * 20 + b"b/**/" + b"*a" * 20,
    ),
    *(
        b"/x" + b"/**/a" * 30 + b"/**/b",
        b"[a]*" * 40 + b"b",
        (b"a*" * 9 + b"/") * 4 + b"b",
        b"**/*a/" * 9 + b"b",
    ),
]


@pytest.mark.parametrize("text", SLOW, ids=range(len(SLOW)))
@pytest.mark.timeout(10)
def test_no_pattern_takes_for_ever(text: bytes) -> None:
    asked = rules(text)
    for path in (b"a" * 255, b"/".join([b"a" * 200] * 20), b"x/" + b"/".join([b"a"] * 2000)):
        assert not asked.ignored(path, is_dir=False)


@pytest.mark.parametrize(
    ("text", "path"),
    [
        (b"*a*a*b", b"aaab"),
        (b"*ab*ab*abc", b"ababxababc"),
        (b"x/**/a/b/**/a/b/c", b"x/a/a/b/a/b/a/b/c"),
        (b"**/a*b*c/**/d*/**/e", b"q/abxc/d/d/e"),
    ],
)
def test_the_quick_way_finds_what_backtracking_would(text: bytes, path: bytes) -> None:
    assert ignored(text, path)
    assert not ignored(text, path + b"z")


def test_many_patterns_stay_quick() -> None:
    """The bound is generous even for a slow machine: it usually takes a tenth of that."""
    text = b"\n".join(b"name%d/\n*.ext%d\n/a/b%d\npre%d*\n*mid%d*" % (n, n, n, n, n) for n in range(100))
    asked = rules(text)
    began = time.perf_counter()
    for n in range(20_000):
        assert not asked.ignored(b"folder/sub/file%d.py" % n, is_dir=False)
    assert time.perf_counter() - began < 10


@pytest.mark.parametrize("old", [False, True])
def test_pathspec_decides(monkeypatch: pytest.MonkeyPatch, old: bool) -> None:
    """The rules must use pathspec's own engine even if others are installed; version 0.12 has no such option."""
    made: list[dict[str, Any]] = []

    class Spec(pathspec.PathSpec):  # type: ignore[type-arg]
        def __init__(self, patterns: Any, **options: Any) -> None:
            made.append(options)
            if old and options:
                raise TypeError("unexpected keyword argument 'backend'")
            super().__init__(patterns)

    monkeypatch.setattr(pathspec, "PathSpec", Spec)
    asked = rules(b"*.a\n!b.a")
    assert asked.ignored(b"c.a", is_dir=False)
    assert not asked.ignored(b"b.a", is_dir=False)
    assert made == [{"backend": "simple"}, *([{}] if old else [])]


def test_pathspec_is_imported_when_it_is_asked() -> None:
    code = (
        "import sys, cmlutils.ignore as i; r = i.default_rules(); assert 'pathspec' not in sys.modules;"
        "r.ignored(b'a', is_dir=False); assert 'pathspec' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
