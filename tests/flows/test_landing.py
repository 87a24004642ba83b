"""How a large file gets from staging to its place: on this machine we move it, on the target a shell does."""

import errno
import os
import subprocess
from pathlib import Path

import pytest

from cmlutils.entries import Entry
from cmlutils.flows.copying import landing, own_folders
from cmlutils.flows.copying.listing import KeptListing
from cmlutils.flows.copying.target_folder import TargetFolder
from cmlutils.ignore import default_rules
from cmlutils.localtree import walk

NAMES = [
    b"plain",
    b"new\nline\n",
    b"*[x",
    b"-dash",
    b"back\\slash",
    b"\xff\xfe",
    b" sp ",
    b"$(x)`'\"",
    b"in/-deep\n/%s x",
]
TIMES = [1_600_000_000_123_456_789, 1_600_000_000_000_000_000, 1, -1_500_000_000]
not_root = pytest.mark.skipif(os.getuid() == 0, reason="root may write anywhere")


@pytest.fixture(params=["here", "there"])
def side(request, tmp_path):
    """The staging folder, the root of the project, and a function that moves files from one to the other."""
    if request.param == "here":
        staging, root = tmp_path / "state/arriving", tmp_path / "project-data"
        staging.mkdir(parents=True)
        root.mkdir()
        return staging, root, lambda files: list(landing.land(staging, root, files))
    way, project = request.getfixturevalue("way"), request.getfixturevalue("project")
    folder = TargetFolder(way, ".cmlutil-tmp")
    folder.open()
    return project / ".cmlutil-tmp/new", project, folder.land


def put(root, name, text=b"new", time_ns=TIMES[0], mode=0o640):
    place = Path(os.fsdecode(os.fsencode(root) + b"/" + name))
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(text)
    place.chmod(mode)
    os.utime(place, ns=(1, time_ns))
    return place


def listed(root):
    return {entry.path: entry for entry in walk(root) if not entry.path.startswith(b".cmlutil-tmp")}


def test_what_is_whole_gets_to_its_place_and_its_folder_keeps_mode_and_time(side):
    staging, root, land = side
    (root / "in/-deep\n").mkdir(parents=True, mode=0o750)
    for number, name in enumerate(NAMES):
        put(staging, name, time_ns=TIMES[number % 4], mode=0o440 + number % 8)
    put(root, NAMES[0], b"of old")
    wanted = {name: entry for name, entry in listed(staging).items() if entry.kind == "f"}
    os.utime(root / "in/-deep\n", ns=(1, TIMES[0]))
    assert land(wanted.values()) == []
    found = listed(root)
    assert {name: found[name] for name in wanted} == wanted
    assert not any(entry.kind == "f" for entry in walk(staging))
    if "new" in staging.parts:  # on this machine, a folder's time and mode are restored later, with all others
        assert (found[b"in/-deep\n"].mtime_ns, found[b"in/-deep\n"].mode) == (TIMES[0], 0o750)
    assert land(wanted.values()) == []


@pytest.mark.parametrize(("size", "time_ns"), [(2, TIMES[0]), (4, TIMES[0]), (3, TIMES[0] + 1), (3, TIMES[1])])
def test_a_half_file_stays_and_can_be_gone_on_with(side, size, time_ns):
    staging, root, land = side
    half = put(staging, b"f", mode=0o400)
    assert land([Entry(b"f", "f", size, time_ns, 0o400)]) == []
    assert half.stat().st_mode & 0o200
    assert listed(root) == {}


@pytest.mark.parametrize("way_in", ["no folder", "file", "link", "link further up"])
@pytest.mark.parametrize("at_goal", [False, True])
def test_nothing_gets_into_what_is_no_folder_or_through_a_link(side, tmp_path, way_in, at_goal):
    staging, root, land = side
    outside = tmp_path / "outside"
    (outside / "b").mkdir(parents=True)
    bad, good = (root, staging) if at_goal else (staging, root)
    put(good, b"a/b/f")
    if way_in == "file":
        put(bad, b"a")
    elif way_in == "link":
        (bad / "a").mkdir()
        (bad / "a/b").symlink_to(outside / "b")
    elif way_in == "link further up":
        (bad / "a").symlink_to(outside)
    if not at_goal and "link" in way_in:
        put(outside, b"b/f", b"not")
    before = list(walk(outside)), (good / "a/b/f").read_bytes()
    land([Entry(b"a/b/f", "f", 3, TIMES[0], 0o640)])
    assert (list(walk(outside)), (good / "a/b/f").read_bytes()) == before


def test_a_link_that_lies_in_staging_is_no_whole_file(side):
    staging, root, land = side
    put(staging, b"abc")
    (staging / "f").symlink_to("abc")
    os.utime(staging / "f", ns=(1, TIMES[0]), follow_symlinks=False)
    assert land([Entry(b"f", "f", 3, TIMES[0], 0o640)]) == []
    assert listed(root) == {}


def test_a_link_at_the_place_is_replaced_and_not_followed(side, tmp_path):
    staging, root, land = side
    put(staging, b"f")
    (root / "f").symlink_to(tmp_path)
    assert land([Entry(b"f", "f", 3, TIMES[0], 0o640)]) == []
    assert listed(root)[b"f"].kind == "f"
    assert not (tmp_path / "f").exists()


def test_a_mv_that_replaces_no_link_to_a_folder_is_helped(standin, project, way, tmp_path):
    refuse = 'for to; do :; done; if [ -d "$to" ]; then echo "mv: cannot overwrite directory" >&2; exit 1; fi'
    standin.program("mv", f'{refuse}\nPATH=${{PATH#*:}} exec mv "$@"')  # as uutils has it
    folder = TargetFolder(way, ".cmlutil-tmp")
    folder.open()
    put(project / ".cmlutil-tmp/new", b"f")
    (project / "f").symlink_to(tmp_path)
    assert folder.land([Entry(b"f", "f", 3, TIMES[0], 0o640)]) == []
    assert listed(project)[b"f"].kind == "f"
    assert not (tmp_path / "f").exists()


def test_what_is_in_the_way_is_named_and_the_next_file_lands(side):
    staging, root, land = side
    put(root, b"f/theirs")
    for name in (b"f", b"g"):
        put(staging, name)
    (complaint,) = land([Entry(name, "f", 3, TIMES[0], 0o640) for name in (b"f", b"g")])
    assert complaint.path == b"f"
    assert "irectory" in complaint.reason
    assert set(listed(root)) == {b"f", b"f/theirs", b"g"}


def test_what_has_grown_aside_on_the_target_outlives_what_a_killed_rsync_leaves(way, project):
    folder, ours = TargetFolder(way, ".cmlutil-tmp"), project / ".cmlutil-tmp"
    folder.open()
    put(ours / "new", b"in/half.tar.gz")
    for begin_or_end in (folder.leave, folder.open):
        put(ours, b".half.Ab12Cd")
        begin_or_end()
        left = sorted(str(path.relative_to(ours)) for path in ours.rglob("*"))
        assert left == ["new", "new/in", "new/in/half.tar.gz", "time"]


def test_an_empty_folder_of_the_target_makes_way_as_it_does_for_rsync(way, project):
    folder = TargetFolder(way, ".cmlutil-tmp")
    folder.open()
    (project / "f").mkdir()
    put(project / ".cmlutil-tmp/new", b"f")
    assert folder.land([Entry(b"f", "f", 3, TIMES[0], 0o640)]) == []
    assert (project / "f").read_bytes() == b"new"


def test_a_name_that_the_disk_does_not_take_keeps_no_other_from_its_place(tmp_path, monkeypatch):
    """Disks of macOS refuse names that are not UTF-8, and do so even when asked whether they are there."""
    put(tmp_path / "aside", b"last")
    real = os.lstat

    def asked(path, *more, **others):
        if b"\xff" in os.fsencode(path):
            raise OSError(errno.EILSEQ, "Illegal byte sequence", path)
        return real(path, *more, **others)

    monkeypatch.setattr(os, "lstat", asked)
    (tmp_path / "data").mkdir()
    landing.move_in(tmp_path / "aside", tmp_path / "data", [b"\xff", b"last"])
    assert (tmp_path / "data/last").exists()
    folder = Entry(b"\xff", "d", 0, 1, 0o755, b"")
    assert landing.fix_folders(tmp_path / "data", KeptListing([folder], default_rules())) == []


@not_root
def test_a_folder_that_may_not_be_written_to_gets_its_file(side):
    staging, root, land = side
    put(staging, b"in/f")
    (root / "in").mkdir()
    for each in (staging / "in", root / "in"):
        each.chmod(0o555)
    assert land([Entry(b"in/f", "f", 3, TIMES[0], 0o640)]) == []
    assert listed(root)[b"in/f"].size == 3
    assert "new" not in staging.parts or (root / "in").stat().st_mode & 0o777 == 0o555


@pytest.mark.parametrize("mode", [0o500, 0])
def test_a_tree_is_removed_whatever_its_modes(tmp_path, mode):
    put(tmp_path, b"arriving/shut/in/file")
    for name in ("shut/in", "shut"):
        (tmp_path / "arriving" / name).chmod(mode)
    own_folders.remove_tree(tmp_path / "arriving")
    assert not (tmp_path / "arriving").exists()


def test_a_tree_is_removed_however_deep_it_is(tmp_path):
    folder, here = tmp_path / "arriving", os.open(tmp_path, os.O_RDONLY)
    for name in ("arriving", *["d"] * 1500):
        os.mkdir(name, dir_fd=here)
        deeper = os.open(name, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = deeper
    os.close(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=here))
    os.close(here)
    try:
        own_folders.remove_tree(folder)
        assert not folder.exists()
    finally:  # if it is still there, it is too deep for pytest, too
        subprocess.run(["rm", "-rf", folder], check=True)
