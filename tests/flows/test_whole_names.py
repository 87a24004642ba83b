"""Of a list of names that was cut off on its way to a script, only the whole names count."""

import os
import shutil
import subprocess

import pytest

from cmlutils.entries import Entry
from cmlutils.errors import TransferError
from cmlutils.filelist import names_script
from cmlutils.flows.copying.listing import holes_there
from cmlutils.flows.copying.target_files import delete_one_by_one, delete_there
from cmlutils.flows.copying.target_folder import TargetFolder
from cmlutils.flows.copying.whole_names import whole_names, with_whole_names
from cmlutils.remote import rsync
from cmlutils.remote.process import Result

NAMES = [
    b"plain",
    b" a b ",
    b"two\nlines",
    b"a\\b",
    b"\\n",
    b"\\",
    b"%s",
    b"'\"$HOME`",
    b"-n",
    b"\xff\xc3",
    b"\xe2",
    b"\r",
]
SHELLS = [words for words in (["sh"], ["dash"], ["bash"], ["busybox", "sh"]) if shutil.which(words[0])]


def passed(shell, script, data, folder=None):
    return subprocess.run([*shell, "-c", script], input=data, capture_output=True, check=True, cwd=folder).stdout


@pytest.mark.parametrize("locale", ["C", "C.UTF-8"])
@pytest.mark.parametrize("shell", SHELLS, ids=" ".join)
def test_names_come_as_they_are(shell, locale, monkeypatch):
    monkeypatch.setenv("LC_ALL", locale)
    assert passed(shell, with_whole_names("cat"), whole_names(NAMES)) == b"".join(name + b"\0" for name in NAMES)
    assert passed(shell, with_whole_names("cat"), whole_names([])) == b""


@pytest.mark.parametrize("shell", SHELLS, ids=" ".join)
def test_a_list_that_is_cut_anywhere_keeps_its_whole_names(shell):
    names = [b"data/model.bin", b"two\nlines", b"a\\b"]
    sent, whole = whole_names(names), [name + b"\0" for name in names]
    for length in range(len(sent)):
        said = passed(shell, with_whole_names("cat"), sent[:length])
        assert said == b"".join(whole[: sent[:length].count(b"\n")])


class CutOff:
    """A tunnel into a folder of this machine that loses the last bytes of what a script is sent, but for a listing."""

    def __init__(self, folder, lost):
        self.folder, self.lost = folder, lost

    def run(self, script, data=b"", **_):
        sent = data if script == names_script() else data[: -self.lost]
        return Result(0, passed(["sh"], script, sent, self.folder), b"")

    def prepare(self, _=1):
        pass

    progressed = prepare


def file(path):
    return {path: Entry(path, "f", 4, 0, 0o644)}


def test_a_file_whose_name_begins_another_one_outlives_a_deletion_that_is_cut(tmp_path):
    for name in ("model", "model.bin"):
        (tmp_path / name).write_text("text")
        (tmp_path / name).chmod(0o644)
        os.utime(tmp_path / name, ns=(0, 0))
    delete_there(CutOff(tmp_path, 5), file(b"model.bin"), {})
    delete_one_by_one(CutOff(tmp_path, 5), [b"model.bin"], file(b"model.bin"))
    assert {each.name for each in tmp_path.iterdir()} == {"model", "model.bin"}
    delete_there(CutOff(tmp_path, -100), file(b"model.bin"), {})
    assert {each.name for each in tmp_path.iterdir()} == {"model"}


def test_what_is_moved_to_its_place_is_not_put_into_a_folder_that_appears_there_just_then(tmp_path, program):
    program("mv", 'mkdir ../../data; touch ../../data/mine; PATH=${PATH#*:} exec mv "$@"')
    staged = tmp_path / ".ours/new/data"
    staged.mkdir(parents=True)
    TargetFolder(CutOff(tmp_path, -100), ".ours").move_in([b"data"])
    assert [each.name for each in (tmp_path / "data").iterdir()] == ["mine"]
    assert staged.exists()


class Says:
    """A tunnel to a workspace whose every program says this."""

    def __init__(self, out):
        self.out = out

    def run(self, *_, **__):
        return Result(0, self.out, b"")

    def progressed(self):
        pass

    def alive(self):
        return True


@pytest.mark.parametrize("number", [b"9" * 5000, b"8", b"-1", b"\xb2"])
def test_an_odd_number_that_a_workspace_says_is_no_bug(number):
    says = Says(number + b"\n" + number)
    assert "bytes" in TargetFolder(says, ".ours").free()
    says.out = b"/home\0" + number + b" 1.0\x000\0rsync version 3.2.7"
    with pytest.raises(TransferError, match="can't be written to"):
        TargetFolder(says, ".ours").open()
    says.out = number + b" ./model\0"
    assert holes_there(says, file(b"model").values()).keys() <= {b"model"}
    assert rsync.version(b"rsync version " + number + b".2") in {None, rsync.Version((8, 2, 0), zstd=False)}


def test_a_large_file_is_landed_only_if_all_that_tells_it_is_complete_has_come(tmp_path):
    folder = TargetFolder(CutOff(tmp_path, 3), ".ours")
    grown = tmp_path / ".ours/new/large"
    grown.parent.mkdir(parents=True)
    (tmp_path / ".ours/time").touch()
    grown.write_text("half")
    (entry,) = file(b"large").values()
    for lost in (3, len(b"4 0.000000000\n")):
        folder.tunnel.lost = lost
        folder.land([entry])
        assert grown.exists()
