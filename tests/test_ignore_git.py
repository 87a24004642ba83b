"""Our ignore rules decide as git and rsync do, given the same lines and the same tree."""

from __future__ import annotations

import os
import re
import runpy
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cmlutils import gitglob
from cmlutils.ignore import IgnoreRules, keep
from cmlutils.localtree import walk

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cmlutils.entries import Entry

DATA = runpy.run_path(str(Path(__file__).parent / "data" / "ignore_cases.py"))
FIXED = settings(deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow])
# Versions of git differ on this (see gitglob): `**` that ends a segment but does not begin it.
UNSURE = re.compile(rb"[^/*]\*{2,}(?:\\?/|$)", re.MULTILINE)


class Tree:
    """A folder with odd names, in which git and rsync are run with patterns."""

    def __init__(self, home: Path, paths: Iterable[bytes], links: Iterable[bytes] = ()) -> None:
        self.home, self.root, self.git_dir, self.rules = home, home / "tree", home / "git", home / "rules"
        self.root.mkdir()
        for path in paths:
            place = self.root / os.fsdecode(path)
            folder = place if path.endswith(b"/") else place.parent
            folder.mkdir(parents=True, exist_ok=True)
            if folder is not place:
                place.touch()
        for path in links:
            (self.root / os.fsdecode(path)).symlink_to(".")
        self.entries: list[Entry] = list(walk(self.root))
        self.git("init", "-q")

    def git(self, *words: str, stdin: bytes = b"", codes: tuple[int, ...] = (0,)) -> list[bytes]:
        """Run git on the tree, with the repository outside of it; return its answers, which are NUL-terminated."""
        environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.home),
            "GIT_CONFIG_GLOBAL": "/dev/null",
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_DIR": str(self.git_dir),
            "GIT_WORK_TREE": str(self.root),
        }
        done = subprocess.run(
            ["git", *words], env=environ, input=stdin, capture_output=True, cwd=self.root, check=False
        )
        assert done.returncode in codes, done.stderr
        return done.stdout.split(b"\0")[:-1]

    def kept_by_git(self, text: bytes) -> set[bytes]:
        every = {entry.path for entry in self.entries}
        (self.git_dir / "info" / "exclude").write_bytes(text)
        ask = ["check-ignore", "--no-index", "-z", "--stdin", "-v"]  # without -v, git below 2.26 leaves out the "!"
        said = self.git(*ask, stdin=b"\0".join(sorted(every)) + b"\0", codes=(0, 1))
        patterns = dict(zip(said[3::4], said[2::4], strict=True))
        return every - {path for path, pattern in patterns.items() if not pattern.startswith(b"!")}

    def files_kept_by_git(self, text: bytes) -> set[bytes]:
        self.rules.write_bytes(text)
        return {*self.git("ls-files", "--others", "-z", f"--exclude-from={self.rules}")}

    def kept_by_rsync(self, text: bytes) -> set[bytes]:
        self.rules.write_bytes(b"".join(line + b"\n" for line in rules(text).rsync_filters()))
        with tempfile.TemporaryDirectory(dir=self.home) as copy:
            command = ["rsync", "-a", f"--filter=merge,s {self.rules}", f"{self.root}/", f"{copy}/"]
            environ = {"PATH": os.environ["PATH"], "LC_ALL": "C"}
            subprocess.run(command, check=True, capture_output=True, env=environ)
            return {entry.path for entry in walk(Path(copy))}

    def kept_by_us(self, text: bytes) -> set[bytes]:
        return {entry.path for entry in keep(self.entries, rules(text))}


def rules(text: bytes) -> IgnoreRules:
    return IgnoreRules.parse(text, source=".exportignore")


@pytest.fixture(scope="session")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Tree:
    return Tree(tmp_path_factory.mktemp("odd"), DATA["PATHS"], DATA["LINKS"])


@pytest.mark.parametrize("text", DATA["CASES"])
def test_decides_as_git_does(odd: Tree, text: bytes) -> None:
    assert odd.kept_by_us(text) == odd.kept_by_git(text)


def test_git_gives_the_same_answer_either_way_it_is_asked(odd: Tree) -> None:
    folders = {entry.path for entry in odd.entries if entry.kind == "d"}
    for text in DATA["CASES"][::7]:
        assert odd.files_kept_by_git(text) == odd.kept_by_git(text) - folders


@pytest.mark.slow
@pytest.mark.parametrize("part", range(8))
def test_rsync_copies_what_git_keeps(odd: Tree, part: int) -> None:
    for text in DATA["CASES"][part::8]:
        assert (text, odd.kept_by_rsync(text)) == (text, odd.kept_by_git(text))


def test_the_cases_say_something(odd: Tree) -> None:
    answers = {frozenset(odd.kept_by_us(text)) for text in DATA["CASES"]}
    assert len(DATA["CASES"]) >= 300
    assert len(answers) >= 150


SPECIAL = [
    *(b"*", b"*", b"?", b"**", b"a", b"b", b"x", b".", b".txt", b"\\", b"\\*", b"\\a", b" ", b"\\ ", b"\t"),
    *(b"!", b"#", b"-", b"+", b"]", b"^", b"[a-c]", b"[!a]", b"[^b-d]", b"[[:alpha:]]", b"[![:digit:]]"),
    *(b"[]a]", b"[a", b"[\\]]", b"[a-]", b"[\x80-\xff]", b"[!-~]", b"[[:space:]x]", b"[^/]", b"[z-a]"),
    *(b"[b-\\d]", b"[[:", b":]", b"\xff", b"\xc3\xa9", b"\r"),
]  # fmt: skip
NAMES = [
    *(b"a", b"b", b"ab", b"aa", b"a.b", b"x", b"*", b"**", b"?", b"[a]", b"\\", b"a\\", b" ", b"a ", b"!a"),
    *(b"#a", b"-", b"\xff", b"\xc3\xa9", b"\n", b"a\nb", b"\r", b".a", b"...", b"]", b"[", b"^", b"A"),
    *(b"0", b"01", b"\t", b"~", b"a-b"),
]  # fmt: skip
OLD_NAMES = sorted({segment for path in DATA["PATHS"] for segment in path.strip(b"/").split(b"/")})


def escaped(name: bytes) -> bytes:
    return re.sub(rb"([*?\[\\ !#])", rb"\\\1", name)


segments = st.one_of(
    st.sampled_from([*OLD_NAMES, *NAMES]).map(escaped),
    st.sampled_from([b"*", b"**", b"**", b"***", b"*a*", b"?*"]),
    st.lists(st.sampled_from(SPECIAL), min_size=1, max_size=4).map(b"".join),
)
lines = st.builds(
    lambda sign, root, parts, end: sign + root + b"/".join(parts) + end,
    st.sampled_from([b"", b"", b"!"]),
    st.sampled_from([b"", b"", b"", b"/"]),
    st.lists(segments, min_size=1, max_size=4),
    st.sampled_from([b"", b"", b"", b"/", b"/", b" ", b"\\ ", b"\r", b"\\"]),
)
texts = st.lists(lines, min_size=1, max_size=6).map(b"\n".join).filter(lambda text: not UNSURE.search(text))
trees = st.dictionaries(  # folders, and the files in each
    st.lists(st.sampled_from(NAMES), max_size=4).map(b"/".join),
    st.sets(st.sampled_from(NAMES), max_size=3),
    max_size=8,
)


def planted(folders: dict[bytes, set[bytes]], home: str) -> Tree:
    """Make the folders, and then the files whose names are not taken."""
    tree = Tree(Path(home), [folder + b"/" for folder in folders if folder], [b"link"])
    for folder, names in folders.items():
        for name in names:
            place = tree.root / os.fsdecode(folder) / os.fsdecode(name)
            if not place.exists():
                place.touch()
    tree.entries = list(walk(tree.root))
    return tree


@settings(FIXED, max_examples=200)
@given(text=texts)
def test_random_lines_mean_what_git_says(odd: Tree, text: bytes) -> None:
    assert odd.kept_by_us(text) == odd.kept_by_git(text)


@settings(FIXED, max_examples=60)
@given(folders=trees, several=st.lists(texts, min_size=3, max_size=3))
def test_random_lines_mean_what_git_says_in_random_trees(
    folders: dict[bytes, set[bytes]], several: list[bytes]
) -> None:
    with tempfile.TemporaryDirectory() as home:
        tree = planted(folders, home)
        for text in several:
            assert tree.kept_by_us(text) == tree.kept_by_git(text)


@settings(FIXED, max_examples=40)
@given(folders=trees, text=texts)
def test_rsync_is_told_the_same_in_random_trees(folders: dict[bytes, set[bytes]], text: bytes) -> None:
    with tempfile.TemporaryDirectory() as home:
        tree = planted(folders, home)
        assert tree.kept_by_rsync(text) == tree.kept_by_us(text)


@settings(FIXED, max_examples=40)
@given(text=texts)
def test_rsync_is_told_the_same_about_random_lines(odd: Tree, text: bytes) -> None:
    assert odd.kept_by_rsync(text) == odd.kept_by_us(text)


@pytest.mark.parametrize("name", [name.decode() for name in gitglob.CLASSES])
def test_character_classes_are_gits(tmp_path: Path, name: str) -> None:
    tree = Tree(tmp_path, [b"_" + bytes([byte]) for byte in range(1, 256) if byte != ord("/")])
    for text in (f"_[[:{name}:]]".encode(), f"_[^[:{name}:]]".encode()):
        assert tree.kept_by_us(text) == tree.kept_by_git(text)
        assert tree.kept_by_rsync(text) == tree.kept_by_us(text)


@pytest.mark.parametrize(
    ("text", "lost"),
    [
        (b"*.o", set()),
        (b"/.git/objects/", {b".git/objects", b".git/objects/x"}),
        (b"sub/.git/", {b"sub/.git", b"sub/.git/config"}),
        (b".git/*\n!.git/config", {b".git/objects", b".git/objects/x"}),
    ],
)
def test_a_folder_named_git_is_like_any_other(tmp_path: Path, text: bytes, lost: set[bytes]) -> None:
    tree = Tree(tmp_path, [b".git/config", b".git/objects/x", b"sub/.git/config", b"sub/a"])
    every = {entry.path for entry in tree.entries}
    assert tree.kept_by_us(text) == tree.kept_by_rsync(text) == every - lost
