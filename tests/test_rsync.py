from pathlib import Path

import pytest

from cmlutils.remote import process, rsync


def test_version():
    assert rsync.version(process.run(["rsync", "--version"], timeout=5).out)
    assert rsync.version(b"rsync  version 3.1.2  protocol version 31\n") == rsync.Version((3, 1, 2), zstd=False)
    found = rsync.version(b"rsync  version 3.2.7  x\nCompress list:\n    zstd lz4 zlibx zlib none\n")
    assert found == rsync.Version((3, 2, 7), zstd=True)
    assert rsync.version(b"sh: command not found") is None


@pytest.mark.parametrize(
    ("code", "err", "cause"),
    [
        (0, b"", "done"), (24, b"", "vanished"), (23, b"", "partial"), (12, b"", "connection"),
        (255, b"", "connection"), (-9, b"", "connection"), (10, b"", "connection"), (1, b"", "fatal"),
        (11, b"write failed: No space left on device (28)", "space"), (11, b"", "partial"),
        (11, b"write failed: Disk quota exceeded (122)", "space"),
    ],
)  # fmt: skip
def test_cause(code, err, cause):
    assert rsync.cause(code, err) == cause


def test_complaints():
    err = (
        b'rsync: [sender] send_files failed to open "/home/cdsw/a b": Permission denied (13)\n'
        b'rsync: [receiver] mkstemp "/x/\\#012y" failed: Read-only file system (30)\nrsync error: some\n'
    )
    assert [each.path for each in rsync.complaints(err)] == [b"/home/cdsw/a b", b"/x/\ny"]
    assert "Read-only file system" in rsync.complaints(err)[1].reason


def test_progress():
    line = b"      1,234,567  12%  1.00MB/s    0:00:01 (xfr#3, to-chk=4/9)"
    assert rsync.progress(line) == rsync.Progress(1234567, 12, 3, 4, 9)
    assert rsync.progress(b"      32768   1%  1.00MB/s    0:00:01") == rsync.Progress(32768, 1)
    assert rsync.progress(b"skipping non-regular file") is None


def test_words():
    assert rsync.shell(["ssh", "-i", "it's a", "x"]) == "ssh -i 'it''s a' x"
    assert rsync.literal(b"/a\\b", folder=True) == b"- /a\\b/"
    assert rsync.literal(b"/a\\b*", folder=False) == b"- /a\\\\b\\*"
    assert rsync.names_file([b"a", b"#b", b"-c"]) == b"a\0./#b\0-c\0"
    new, old = rsync.Version((3, 2, 7), zstd=True), rsync.Version((3, 1, 2), zstd=False)
    argv = rsync.tree(["ssh"], "s", "t", rules=Path("r"), both=new)
    assert argv[-3:] == ["--", "s", "t"]
    assert "--filter=merge,s r" in argv
    assert {"--zc=zstd", "--modify-window=-1"} <= set(argv)
    argv = rsync.tree(["ssh"], "s", "t", both=new.and_of(old))
    assert "--ignore-times" in argv
    assert "-z" not in argv
    assert "--partial-dir=/p" in rsync.big(["ssh"], "s", "t", names=Path("n"), partial="/p")
