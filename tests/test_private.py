"""A private folder is removed at the end of its process or by the next run, but never while it is in use."""

import os
import signal
import subprocess
import sys
import tempfile

import pytest

from cmlutils.errors import CommandError
from cmlutils.remote.private import LOCK, place_for_programs, private_folder

_HELD = """
import sys, time
from cmlutils.remote import watchdog
from cmlutils.remote.private import private_folder
with private_folder(sys.argv[1]) as folder:
    (folder / "config.yaml").write_text("apikey: sekrit")
    print(folder, watchdog.ours()._pid, flush=True)
    time.sleep(60)
"""


def test_what_a_run_left_that_was_killed_with_its_watchdog_is_removed_by_the_next_one(tmp_path):
    other = subprocess.Popen([sys.executable, "-c", _HELD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    with other:
        folder, dog = other.stdout.readline().split()
        with private_folder(str(tmp_path)) as mine:
            assert {*map(str, tmp_path.iterdir())} == {folder, str(mine)}  # the other one is in use and stays
            assert mine.stat().st_mode & 0o777 == 0o700
        os.kill(int(dog), signal.SIGKILL)
        other.kill()
    assert [*map(str, tmp_path.iterdir())] == [folder]
    with private_folder(str(tmp_path)) as mine:
        assert [*tmp_path.iterdir()] == [mine]
    assert not [*tmp_path.iterdir()]


def test_folders_that_are_not_provably_ours_stay(tmp_path):
    for name in ("cml-mine", "cml-theirs"):
        (tmp_path / name).mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / LOCK).touch()
    (tmp_path / "cml-link").symlink_to("elsewhere")
    (tmp_path / "cml-theirs" / "new").touch()
    with private_folder(str(tmp_path)):
        pass
    assert {path.name for path in tmp_path.iterdir()} == {"cml-mine", "cml-theirs", "cml-link", "elsewhere"}
    assert (tmp_path / "elsewhere" / LOCK).exists()


def test_where_one_place_can_not_be_written_the_one_for_temporary_files_is_taken(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with private_folder(str(tmp_path / "not there")) as mine:
        assert mine.parent == tmp_path


def test_a_place_that_can_not_be_written_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "not there"))
    with (
        pytest.raises(CommandError, match=r"/not there can't be written: No such file or directory\.") as caught,
        private_folder(str(tmp_path / "not there")),
    ):
        pass
    assert "TMPDIR" in caught.value.hint
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(tempfile, "_candidate_tempdir_list", lambda: [str(tmp_path / "not there")])
    with pytest.raises(CommandError, match="No usable temporary directory"), private_folder(str(tmp_path / "no")):
        pass


def test_where_the_folder_for_temporary_files_runs_no_program_one_of_the_users_is_taken(tmp_path, monkeypatch):
    for name in ("tmp", "cache", "home"):
        (tmp_path / name).mkdir()
    noexec = set()
    known = os.statvfs(tmp_path)
    flags = (*known[:8], known.f_flag | os.ST_NOEXEC, *known[9:])
    monkeypatch.setattr(os, "statvfs", lambda path: os.statvfs_result(flags) if path in noexec else known)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in ("tmp", "cache", "home"):
        assert place_for_programs() == str(tmp_path / name)
        noexec.add(str(tmp_path / name))
    with pytest.raises(CommandError, match=r"/tmp can't be written, or is on a disk that is mounted noexec"):
        place_for_programs()
