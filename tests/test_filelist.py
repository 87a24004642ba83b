"""Listings from the real find, from hostile bytes and from a local walk; their totals, differences and files."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import tracemalloc
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cmlutils import filelist
from cmlutils.entries import Differences, Entry, Totals, compare, totals
from cmlutils.errors import TransferError
from cmlutils.filelist import (
    Records,
    Unread,
    find_command,
    find_complaints,
    find_script,
    names_input,
    names_script,
    parse_find,
    parse_names,
    unseen,
)
from cmlutils.ignore import IgnoreRules, keep
from cmlutils.localtree import look, walk
from cmlutils.saved_listing import read_list, write_list

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

ROOT = b"d\x004096\x001700000000.0000000000\x00755\0\0\0"
END = b"END\0"
NOBODY = 65534


def record(
    path: bytes,
    kind: bytes = b"f",
    size: bytes = b"1",
    time: bytes = b"0.5",
    mode: bytes = b"644",
    link: bytes = b"",
) -> bytes:
    return b"".join(field + b"\0" for field in (kind, size, time, mode, path, link))


def parse(*parts: bytes) -> list[Entry]:
    return list(parse_find([b"".join(parts)], source="the listing of demo"))


def entry(
    path: bytes, kind: str = "f", size: int = 1, mtime_ns: int = 0, mode: int = 0o644, link: bytes = b""
) -> Entry:
    return Entry(path, kind, size, mtime_ns, mode, link)


def found(root: Path, prune: Iterable[bytes] = ()) -> list[Entry]:
    """List a folder with a real shell and a real find."""
    done = subprocess.run(["sh", "-c", find_script(prune)], cwd=root, capture_output=True, check=True)
    return list(parse_find([done.stdout]))


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A folder with all kinds of names, types, modes and times."""
    root = tmp_path / "tree"
    for name in (
        b"a",
        b"dir/x",
        b"dir/sub/y",
        b"new\nline",
        b"\xff\xfe",
        b"-dash",
        b" * [?]",
        b"back\\slash",
        b"..c",
        b".d/...",
    ):
        place = root / os.fsdecode(name)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(name)
    (root / "empty").mkdir()
    (root / "dangling").symlink_to("/nowhere/to be\nfound")
    (root / "dir" / "up").symlink_to("..")
    os.mkfifo(root / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        folder = os.open(root, os.O_RDONLY)
        try:  # a socket's path must be short
            listener.bind(f"/proc/self/fd/{folder}/socket" if Path("/proc/self/fd").exists() else str(root / "socket"))
        finally:
            os.close(folder)
    (root / "a").chmod(0o4751)
    (root / "empty").chmod(0o1777)
    for name, mtime_ns in [
        ("a", 1_700_000_000_123_456_789),
        ("-dash", -1),
        ("..c", -1_500_000_000),
        ("dir/x", 0),
    ]:
        os.utime(root / name, ns=(0, mtime_ns))
    return root


def test_find_and_walk_see_the_same(tree: Path) -> None:
    by_walk = sorted(walk(tree))
    assert sorted(found(tree)) == by_walk
    seen = {each.path: each for each in by_walk}
    assert seen[b"a"] == Entry(b"a", "f", 1, 1_700_000_000_123_456_789, 0o4751, b"")
    assert seen[b"empty"][:2] == (b"empty", "d")
    assert seen[b"empty"].mode == 0o1777
    assert seen[b"dangling"].link == b"/nowhere/to be\nfound"
    assert [seen[name].mtime_ns for name in (b"-dash", b"..c", b"dir/x")] == [-1, -1_500_000_000, 0]
    assert (seen[b"pipe"].kind, seen[b"socket"].kind) == ("p", "s")
    assert not any(path.startswith(b"dir/up/") for path in seen)


def named(root: Path, paths: Iterable[bytes]) -> list[Entry]:
    """List these names with a real shell and a real find."""
    done = subprocess.run(
        ["sh", "-c", names_script()], cwd=root, input=names_input(paths), capture_output=True, check=True
    )
    assert not done.stderr
    return list(parse_names(done.stdout))


def test_some_names_are_seen_as_in_the_whole_listing(tree: Path) -> None:
    everything = found(tree)
    some = [each.path for each in everything[::2]] + [b"gone", b"a/below a file"]
    wanted = everything[::2]
    assert named(tree, some) == list(look(tree, some)) == wanted


@pytest.mark.parametrize("out", [b"", b"f\0", b"x\x001\x000.5\x00644\0./a\0\0", b"f\x001\x00late\x00644\0./a\0\0"])
def test_what_is_malformed_among_names_counts_as_not_there(out: bytes) -> None:
    assert list(parse_names(out)) == []


def test_a_folder_that_is_a_link_hides_what_is_behind_it(tree: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere/deep").mkdir(parents=True)
    (tmp_path / "elsewhere/deep/f").touch()
    (tree / "swapped").symlink_to(tmp_path / "elsewhere")
    names = [b"swapped", b"swapped/deep", b"swapped/deep/f"]
    assert [(each.path, each.kind) for each in look(tree, names)] == [(b"swapped", "l")]


def test_parents_come_first(tree: Path) -> None:
    for listing in (found(tree), list(walk(tree))):
        seen = {b""}
        for each in listing:
            assert each.path.rpartition(b"/")[0] in seen
            seen.add(each.path)


@pytest.mark.parametrize(
    "text", [b"dir/", b"/dir/sub", b"sub", b" \\* \\[\\?]\n*.o\n.d/", b"back\\\\slash/\nempty\n-dash"]
)
def test_a_pruned_listing_keeps_the_same(tree: Path, text: bytes) -> None:
    rules = IgnoreRules.parse(text, source="")
    pruned = found(tree, rules.prunes())
    assert sorted(keep(pruned, rules)) == sorted(keep(found(tree), rules))
    assert not any(each.path in {b"empty", b".d"} and each.path in text for each in pruned)


def test_pruning_takes_names_literally(tree: Path) -> None:
    (tree / "dir*").mkdir()
    (tree / "dir*" / "x").touch()
    paths = {each.path for each in found(tree, [b"d*r", b"dir*", b"/di?", b"/empty", b"sub"])}
    assert not {b"dir*", b"dir*/x", b"empty", b"dir/sub", b"dir/sub/y"} & paths
    assert {b"dir", b"dir/x"} <= paths


def test_nothing_is_left_out_inside_the_folder_that_is_wanted_whole(tree: Path) -> None:
    for name in ("[all]/dir/x", "[all]/sub/y", "a/sub"):
        (tree / "whole" / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / "whole" / name).touch()
    script = find_script([b"dir", b"sub"], b"whole/[all]")
    done = subprocess.run(["sh", "-c", script], cwd=tree, capture_output=True, check=True)
    paths = {each.path for each in parse_find([done.stdout])}
    assert {b"whole/[all]/dir/x", b"whole/[all]/sub/y"} <= paths
    assert not {b"dir", b"dir/x"} & paths


@pytest.mark.parametrize("names", [[b"name"] * 5000, [b"n" * 10_000] * 4])
def test_a_command_line_has_an_end(names: list[bytes]) -> None:
    assert sum(map(len, find_command(names))) < 1000


def test_an_unreadable_folder_is_named_and_the_rest_listed(tmp_path: Path) -> None:
    for name in ("ok", "shut", "quo'te", "é"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x").touch()
    tmp_path.chmod(0o755)
    shut = [tmp_path / "shut", tmp_path / "quo'te", tmp_path / "é"]
    for folder in shut:
        folder.chmod(0)
    done = subprocess.run(["sh", "-c", find_script()], cwd=tmp_path, capture_output=True, check=False, **as_nobody())
    assert {each.path.decode() for each in parse_find([done.stdout])} == {"ok", "ok/x", "shut", "quo'te", "é"}
    assert done.returncode == 1
    for folder in shut:
        folder.chmod(0o755)
    complaints = {(each.path.decode(), each.reason) for each in find_complaints(done.stderr)}
    assert complaints == {
        ("shut", "Permission denied"),
        ("quo'te", "Permission denied"),
        ("é", "Permission denied"),
    }


def as_nobody() -> dict[str, int]:
    """Return arguments that run a process as another user if we are root, since root can read everything."""
    return {"user": NOBODY, "group": NOBODY} if os.geteuid() == 0 else {}


@pytest.mark.parametrize("path", [b"", b"."])
def test_where_it_is_not_known_what_could_not_be_read_anything_may_exist_unlisted(path: bytes) -> None:
    assert unseen([Unread(path, "Input/output error")])(b"any/thing")
    assert not unseen([Unread(b"some", "Permission denied")])(b"any/thing")


@pytest.mark.parametrize(
    ("line", "unread"),
    [
        (b"find: './a b': Permission denied", Unread(b"a b", "Permission denied")),
        (b"find: \xe2\x80\x98./a\xe2\x80\x99: Permission denied", Unread(b"a", "Permission denied")),
        (b"find: `./a': Permission denied", Unread(b"a", "Permission denied")),
        (b'/usr/bin/find: "./a": No such file or directory', Unread(b"a", "No such file or directory")),
        (b"find: './b\\'q': Permission denied", Unread(b"b'q", "Permission denied")),
        (b"find: './\\303\\251\\n\\\\': Permission denied", Unread(b"\xc3\xa9\n\\", "Permission denied")),
        (b"find: '.': Permission denied", Unread(b".", "Permission denied")),
        (b"find: './x': y': Input/output error", Unread(b"x': y", "Input/output error")),
        (b"sh: 1: find: not found", Unread(b"", "sh: 1: find: not found")),
        (b"find: unknown predicate \xff", Unread(b"", "find: unknown predicate \\xff")),
    ],
)
def test_complaints_of_find_are_understood(line: bytes, unread: Unread) -> None:
    assert find_complaints(b"\n" + line + b"\n") == [unread]


@pytest.mark.parametrize(
    ("time", "mtime_ns"),
    [
        (b"1700000000.1234567890", 1_700_000_000_123_456_789),
        (b"0.0000000000", 0),
        (b"0.5", 500_000_000),
        (b"-1.0000000000", -1_000_000_000),
        (b"-2.5000000000", -1_500_000_000),
        (b"-1.9999999990", -1),
        (b"99999999999.9999999990", 99_999_999_999_999_999_999),
    ],
)
def test_times_are_exact(time: bytes, mtime_ns: int) -> None:
    assert parse(ROOT, record(b"a", time=time), END)[0].mtime_ns == mtime_ns


@pytest.mark.parametrize("size", [1, 2, 7, 64])
def test_chunks_may_end_anywhere(size: int) -> None:
    whole = ROOT + record(b"new\nline") + record(b"l", kind=b"l", link=b"END") + record(b"END") + END
    chunks = [whole[i : i + size] for i in range(0, len(whole), size)]
    assert [each.path for each in parse_find(chunks)] == [b"new\nline", b"l", b"END"]


@pytest.mark.parametrize("records", [None, {}])
def test_a_listing_of_too_many_names_is_given_up(monkeypatch: pytest.MonkeyPatch, records: Records | None) -> None:
    monkeypatch.setattr(filelist, "MAX_NAMES", 2)
    assert len(parse(ROOT, record(b"a"), record(b"b"), END)) == 2
    with pytest.raises(TransferError, match="demo holds more than 2 names"):
        list(parse_find([ROOT, record(b"a"), record(b"b"), record(b"c"), END], source="demo", records=records))


def test_an_empty_folder_lists_as_nothing(tmp_path: Path) -> None:
    assert found(tmp_path) == list(walk(tmp_path)) == parse(ROOT, END) == []


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ([], "the listing of demo is cut short"),
        ([ROOT], "cut short"),
        ([ROOT, record(b"a")], "cut short"),
        ([ROOT, record(b"a"), END[:-1]], "cut short"),
        ([ROOT, record(b"a")[:-1], END], "cut short"),
        ([ROOT, record(b"a"), b"f\0"], "cut short"),
        ([ROOT, record(b"a"), END, b"x\0"], "cut short"),
        ([ROOT, record(b"a"), END, record(b"b")], "malformed"),
        ([END], "the listing of demo is empty"),
        ([record(b"a"), END], "does not begin with the folder itself"),
        ([record(b"a", kind=b"d"), END], "does not begin with the folder itself"),
        ([ROOT.replace(b"d", b"f"), END], "does not begin with the folder itself"),
        ([ROOT, record(b"a", kind=b"D"), END], "malformed at 'a'"),
        ([ROOT, record(b"a", kind=b""), END], "malformed at 'a'"),
        ([ROOT, record(b"a", size=b"-1"), END], "malformed at 'a'"),
        ([ROOT, record(b"a", size=b"1_0"), END], "malformed at 'a'"),
        ([ROOT, record(b"a", size=b"9" * 25), END], "malformed at 'a'"),
        ([ROOT, record(b"a", size=b"9" * 9999), END], "malformed at 'a'"),
        ([ROOT, record(b"a", time=b"x.0"), END], "malformed at 'a'"),
        ([ROOT, record(b"a", time=b"1"), END], "malformed at 'a'"),
        ([ROOT, record(b"a", time=b"1_0.0000000000"), END], "malformed at 'a'"),
        ([ROOT, record(b"a", time=b"1.-5"), END], "malformed at 'a'"),
        ([ROOT, record(b"a", mode=b"rwx"), END], "malformed at 'a'"),
        ([ROOT, record(b"\x1b[31m\xff", mode=b"8"), END], r"malformed at '\\x1b\[31m\\udcff'"),
        ([ROOT, b"x" * (2 << 20)], "a name of more than 1 MiB"),
    ],
)
def test_what_is_not_whole_is_refused(parts: list[bytes], said: str) -> None:
    with pytest.raises(TransferError, match=said):
        parse(*parts)


@pytest.mark.parametrize(
    "path",
    [
        b"/etc/passwd",
        b"../x",
        b"a/../x",
        b"a/..",
        b"..",
        b".",
        b"./a",
        b"a/.",
        b"a/./b",
        b"a//b",
        b"a/",
        b"/",
        b"",
        b"//",
    ],
)
def test_a_hostile_name_is_refused(path: bytes) -> None:
    with pytest.raises(TransferError, match="leads out of the project"):
        parse(ROOT, record(b"ok"), record(path), END)


@pytest.mark.parametrize(
    "path", [b"...", b"..a", b"a..", b".a", b"a/.b", b"a/..b", b"a./b", b"a../b", b"-", b" ", b"\\..\\x"]
)
def test_an_odd_name_is_not(path: bytes) -> None:
    assert parse(ROOT, record(path), END)[0].path == path


@pytest.mark.parametrize(
    "script",
    [
        "exit 1",
        "kill -9 $$",
        r"printf 'd\0000\0001.0\000755\000\000\000'; kill -9 $$",
        "echo 'find: unrecognized: -printf' >&2; exit 1",
        "exit 127",
    ],
)
def test_a_find_that_fails_makes_no_listing(tmp_path: Path, program: Callable[[str, str], Path], script: str) -> None:
    """If find fails as in busybox or is killed, its output must not pass for an empty project."""
    program("find", script)
    environ = {"PATH": os.environ["PATH"]}
    done = subprocess.run(["sh", "-c", find_script()], cwd=tmp_path, capture_output=True, check=False, env=environ)
    assert done.returncode != 0
    with pytest.raises(TransferError):
        list(parse_find([done.stdout]))


def test_totals_count_what_travels() -> None:
    listing = [entry(b"a", size=3), entry(b"b", size=4), entry(b"d", "d", 4096), entry(b"l", "l", 9)]
    listing += [entry(kind.encode(), kind, 7) for kind in "psbc"]
    assert totals(listing) == Totals(files=2, folders=1, links=1, others=4, bytes=7)
    assert totals([]) == Totals()


def test_equal_listings_have_no_differences() -> None:
    listing = [entry(b"a"), entry(b"d", "d"), entry(b"l", "l", link=b"x")]
    assert compare(listing, reversed(listing)) == Differences()
    assert not compare(listing, {each.path: each for each in listing})


@pytest.mark.parametrize(
    ("left", "right", "what"),
    [
        (entry(b"a"), entry(b"a", size=2), ("size",)),
        (entry(b"a"), entry(b"a", mtime_ns=1), ("mtime",)),
        (entry(b"a"), entry(b"a", mode=0o600), ("mode",)),
        (entry(b"a"), entry(b"a", size=2, mtime_ns=1, mode=0), ("size", "mtime", "mode")),
        (entry(b"a"), entry(b"a", "d", size=2), ("kind",)),
        (entry(b"a"), entry(b"a", "p"), ("kind",)),
        (entry(b"l", "l", link=b"x"), entry(b"l", "l", link=b"y"), ("link",)),
        (entry(b"l", "l", mtime_ns=10**9), entry(b"l", "l"), ("mtime",)),
        (entry(b"l", "l", mode=0o777, size=1), entry(b"l", "l", mode=0o755, size=2), ()),
        (entry(b"d", "d", size=1, mtime_ns=1), entry(b"d", "d", size=2, mtime_ns=2), ()),
        (entry(b"d", "d", mode=0o700), entry(b"d", "d", mode=0o755), ("mode",)),
    ],
)
def test_a_difference_says_what_differs(left: Entry, right: Entry, what: tuple[str, ...]) -> None:
    result = compare([left], [right])
    assert [change.what for change in result.changed] == ([what] if what else [])
    assert bool(result) == bool(what)
    assert result.only_left == result.only_right == result.not_carried == []


def test_times_of_folders_count_where_asked() -> None:
    left = [entry(b"a", mtime_ns=1, mode=0o600), entry(b"d", "d", mtime_ns=10**9)]
    right = [entry(b"a"), entry(b"d", "d")]
    assert [each.what for each in compare(left, right).changed] == [("mtime", "mode")]
    assert [each.what for each in compare(left, right, folder_times=True).changed] == [("mtime", "mode"), ("mtime",)]


def test_missing_and_extra_are_told_apart() -> None:
    result = compare([entry(b"a"), entry(b"b")], {b"b": entry(b"b"), b"c": entry(b"c")})
    assert (result.only_left, result.only_right) == ([entry(b"a")], [entry(b"c")])
    assert result


def test_pipes_and_sockets_are_listed_apart() -> None:
    left = [entry(b"p", "p"), entry(b"s", "s"), entry(b"c", "c")]
    result = compare(left, [entry(b"s", "s", mode=0), entry(b"c"), entry(b"q", "p")])
    assert result.not_carried == left
    assert result.only_right == [entry(b"c"), entry(b"q", "p")]
    assert not result.changed
    assert not compare(left, [])


entries = st.lists(
    st.builds(
        Entry,
        path=st.lists(st.sampled_from([b"a", b"\n", b"\xff", b"...", b"END", b" "]), min_size=1, max_size=4).map(
            b"/".join
        ),
        kind=st.sampled_from("fdlpsbc"),
        size=st.integers(0, 1 << 62),
        mtime_ns=st.integers(-(1 << 62), 1 << 62),
        mode=st.integers(0, 0o7777),
        link=st.sampled_from([b"", b"/", b"END", b"\n\xff", b"../.."]),
    ),
    max_size=20,
)


@settings(deadline=None, derandomize=True, database=None, max_examples=100)
@given(listing=entries)
def test_a_listing_survives_its_file(tmp_path_factory: pytest.TempPathFactory, listing: list[Entry]) -> None:
    path = tmp_path_factory.getbasetemp() / "listing"
    write_list(path, listing)
    assert list(read_list(path)) == listing


def test_a_listing_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "kept.list"
    write_list(path, [entry(b"a")])

    def broken() -> Iterable[Entry]:
        yield entry(b"b")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_list(path, broken())
    assert [each.path for each in read_list(path)] == [b"a"]
    assert [each.name for each in tmp_path.iterdir()] == ["kept.list"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_cut_file_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "kept.list"
    write_list(path, [entry(b"a"), entry(b"b")])
    for length in (0, 20, path.stat().st_size - 1):
        path.write_bytes(path.read_bytes()[:length])
        with pytest.raises(TransferError, match=r"kept\.list is cut short"):
            list(read_list(path))


def test_an_entry_takes_less_than_a_kibibyte() -> None:
    count = 20_000
    stream = [ROOT, *(record(b"some/folder/with/a/long/name/file-number-%d" % n) for n in range(count)), END]
    tracemalloc.start()
    try:
        listing = list(parse_find(stream))
        used = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(listing) == count
    assert used / count < 512


def test_of_a_second_listing_only_what_differs_is_read_and_held_in_memory():
    records: Records = {}
    same, other = record(b"same", size=b"1000"), record(b"other", size=b"2000")
    first = list(parse_find([ROOT, same, other, END], records=records))
    again = [ROOT, same, record(b"other", size=b"3000"), record(b"new"), END]
    found = list(parse_find([b"".join(again)], records=records))
    assert found == list(parse_find(again))
    assert found[0] is first[0]
    assert [each.size for each in found] == [1000, 3000, found[2].size]


@pytest.mark.parametrize("bad", [record(b"b", size=b"x"), record(b"../b")])
def test_a_record_that_was_refused_is_not_remembered(bad: bytes):
    records: Records = {}
    for _ in range(2):
        with pytest.raises(TransferError, match=r"malformed at 'b'|leads out of the project: '\.\./b'"):
            list(parse_find([ROOT, record(b"a"), bad, END], records=records))
    assert [each.path for each in records.values()] in ([b"a"], [])
