"""The options that rsync is given, and what its exit codes and messages mean."""

from pathlib import Path

import pytest

from cmlutils.remote import process, rsync


def test_the_version_of_an_rsync_is_read_and_of_nothing_else():
    assert rsync.version(process.run(["rsync", "--version"], timeout=5).out)
    assert rsync.version(b"rsync  version 3.1.2  protocol version 31\n") == rsync.Version((3, 1, 2), zstd=False)
    found = rsync.version(b"rsync  version 3.2.7  x\nCompress list:\n    zstd lz4 zlibx zlib none\n")
    assert found == rsync.Version((3, 2, 7), zstd=True)
    assert rsync.version(b"sh: command not found") is None
    assert rsync.version(b"openssl version 3.1.2") is None
    assert rsync.version(b"rsync: not found") is None
    assert rsync.version(b"rsync  version 3.4\n") == rsync.Version((3, 4, 0), zstd=False)


def transfer(both, temp=""):
    return rsync.Transfer(["ssh", "-p", "2 2"], rsync.REMOTE_ROOT, rsync.Place("t", temp), both)


def test_times_are_compared_to_the_nanosecond_from_3_1_3_on():
    assert transfer(rsync.Version((3, 1, 3), zstd=False)).exact == "--modify-window=-1"
    assert transfer(rsync.Version((3, 1, 2), zstd=False)).exact == "--ignore-times"


@pytest.mark.parametrize(
    ("code", "err", "cause"),
    [
        (0, b"", "done"), (24, b"", "vanished"), (23, b"", "partial"), (12, b"", "connection"),
        (255, b"", "connection"), (-9, b"", "connection"), (10, b"", "connection"), (1, b"", "fatal"),
        (11, b"write failed: No space left on device (28)", "space"), (11, b"", "partial"),
        (11, b"write failed: Disk quota exceeded (122)", "space"), (0, b"No space left on device", "done"),
        (30, b"", "connection"), (35, b"", "connection"), (25, b"", "partial"), (2, b"", "fatal"),
        (4, b"ERROR: rejecting unrequested file-list name: a/b\nrsync error: (code 4)", "vanished"), (4, b"", "fatal"),
        (20, b"", "connection"), (137, b"", "connection"), (143, b"", "connection"), (127, b"", "fatal"),
    ],
)  # fmt: skip
def test_an_exit_code_tells_the_cause(code, err, cause):
    assert rsync.cause(code, err) == cause


def test_complaints_name_a_path_and_a_reason():
    err = (
        b'rsync: [sender] send_files failed to open "/home/cdsw/a b": Permission denied (13)\n'
        b'rsync: [receiver] mkstemp "/x/\\#012y" failed: Read-only file system (30)\nrsync error: some\n'
    )
    assert [each.path for each in rsync.complaints(err)] == [b"/home/cdsw/a b", b"/x/\ny"]
    assert rsync.complaints(err)[1].reason == "mkstemp: failed: Read-only file system (30)"
    assert rsync.complaints(b'rsync: [sender] \xff "/\\#377\\#000" (in x): \xfe') == [(b"/\xff\0", r"\udcff: \udcfe")]
    moved = b'rsync: [receiver] rename "/p/.tmp/.a.Ab12Cd" -> "in/a": Permission denied (13)'
    assert rsync.complaints(moved) == [(b"in/a", "rename: Permission denied (13)")]
    linked = b'rsync: [generator] symlink "/p/a" -> "b" failed: Read-only file system (30)'
    assert rsync.complaints(linked) == [(b"/p/a", "symlink: failed: Read-only file system (30)")]
    spoilt = (
        b"WARNING: in/a failed verification -- update discarded (will try again).\nERROR: b failed verification -- "
    )
    assert rsync.complaints(spoilt + b"update discarded.") == [(b"b", "failed verification")]


def test_a_progress_line_tells_bytes_and_files():
    line = b"      1,234,567  12%  1.00MB/s    0:00:01 (xfr#3, to-chk=4/9)"
    assert rsync.progress(line) == rsync.ProgressLine(1234567, 3)
    assert rsync.progress(b"      32768   1%  1.00MB/s    0:00:01") == rsync.ProgressLine(32768)
    assert rsync.progress(b"skipping non-regular file") is None


def test_names_and_rules_are_quoted_as_rsync_reads_them():
    assert rsync.shell(["ssh", "-i", "it's a", "x"]) == "ssh -i 'it''s a' x"
    assert rsync.literal(b"/a\\b", folder=True) == b"- /a\\b/"
    assert rsync.literal(b"/a\\b*", folder=False) == b"- /a\\\\b\\*"
    assert rsync.names_file([b"a", b"#b", b"-c"]) == b"a\0./#b\0-c\0"
    assert rsync.rules_file([b"- a", b"+ b"]) == b"- a\0+ b\0"
    assert rsync.names_file([b";b"]) == b"./;b\0"


NEW, OLD = rsync.Version((3, 2, 7), zstd=True), rsync.Version((3, 1, 2), zstd=False)
BASE = [
    "rsync", "-lpt", "--no-inc-recursive", "--no-human-readable", "--from0", "--info=progress2",
]  # fmt: skip
SSH = ["--timeout=300", "-e", "ssh -p '2 2'"]
NAMED = ["--ignore-times", "--no-recursive", "--dirs", "--files-from=n"]
RULES = ["--filter=merge,s r"]
END = ["--", "cdsw@localhost:./", "t"]


def test_what_is_asked_of_rsync():
    argv = rsync.tree(transfer(NEW), Path("r"))
    zstd = ["-z", "--zc=zstd", "--zl=1"]
    assert argv == [*BASE, *SSH, *zstd, "--modify-window=-1", "-r", "--max-size=67108863", *RULES, *END]
    argv = rsync.tree(transfer(NEW.and_of(OLD), temp="/tmp/x"), Path("r"))
    assert argv == [*BASE, "--temp-dir=/tmp/x", *SSH, "--ignore-times", "-r", "--max-size=67108863", *RULES, *END]
    argv = rsync.tree(transfer(OLD), Path("r"), inplace=True, asked=True)
    assert argv == [*BASE[:-1], *SSH, "--ignore-times", "-r", "--max-size=67108863", "--inplace", *RULES, *END]
    assert rsync.by_names(transfer(OLD), Path("n")) == [*BASE, *SSH, *NAMED, *END]
    assert rsync.by_names(transfer(NEW), Path("n")) == [*BASE, *SSH, *zstd, *NAMED, *END]


@pytest.mark.parametrize(
    ("version", "sparse", "exact", "last"),
    [
        ((3, 2, 7), False, "--modify-window=-1", ["--inplace"]),
        ((3, 2, 7), True, "--modify-window=-1", ["--sparse"]),  # in place, old data could stay where a hole belongs
        ((3, 3, 0), True, "--modify-window=-1", ["--inplace", "--sparse"]),
        ((3, 1, 2), False, "--ignore-times", ["--inplace"]),
    ],
)
def test_how_a_large_file_is_asked_for(version, sparse, exact, last):
    argv = rsync.big(transfer(rsync.Version(version, zstd=True)), Path("n"), "/b", sparse=sparse)
    named = ["--no-recursive", "--dirs", "--no-implied-dirs", "--files-from=n", "--copy-dest=/b"]
    assert argv == [*BASE, *SSH, exact, *named, *last, *END]


def test_both_ends_can_what_the_lesser_can():
    assert NEW.and_of(OLD) == OLD.and_of(NEW) == OLD
    assert NEW.and_of(rsync.Version((3, 4, 0), zstd=False)) == rsync.Version((3, 2, 7), zstd=False)
