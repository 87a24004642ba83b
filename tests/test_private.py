import os
import signal
import subprocess
import sys

from cmlutils.remote.private import LOCK, private_folder

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
            assert {*map(str, tmp_path.iterdir())} == {folder, str(mine)}  # one in use stays
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
