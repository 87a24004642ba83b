"""What can't be looked at is never taken for what is not there."""

import errno
import os
from pathlib import Path

import pytest

from cmlutils import paths
from cmlutils.bundle import Bundle
from cmlutils.flows.copying.pushed import PushMemory
from cmlutils.flows.copying.recopy import RecopyList
from cmlutils.journal import Journal


@pytest.fixture
def away(monkeypatch):
    """Make every look at a path fail as on a share that is away; pathlib's own questions say no, as in Python 3.14."""

    def look(*_, **__):
        raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))

    monkeypatch.setattr(Path, "stat", look)
    for name in ("exists", "is_file", "is_dir"):
        monkeypatch.setattr(Path, name, lambda _: False)


@pytest.mark.parametrize(
    "look",
    [
        paths.exists,
        paths.is_file,
        paths.is_dir,
        Journal,
        lambda place: Bundle(place).foreign,
        lambda place: Bundle(place).check(),
        lambda place: PushMemory(place, "https://w.example.com", "dana/p").exists(),
        lambda place: [*PushMemory(place, "https://w.example.com", "dana/p").read({})],
        lambda place: RecopyList(place, "there").due({}, None),
    ],
)
def test_what_is_away_is_not_taken_for_absent(away, look):
    with pytest.raises(OSError, match=os.strerror(errno.ESTALE)):
        look(Path("somewhere"))


def test_what_is_there_and_what_is_not(tmp_path):
    file, loop, link = tmp_path / "file", tmp_path / "loop", tmp_path / "link"
    file.touch()
    loop.symlink_to(loop)
    link.symlink_to(tmp_path)
    assert [paths.exists(one) for one in (file, link, tmp_path)] == [True, True, True]
    assert [paths.exists(one) for one in (tmp_path / "none", file / "below", loop)] == [False, False, False]
    assert [paths.is_file(one) for one in (file, link, tmp_path / "none")] == [True, False, False]
    assert [paths.is_dir(one) for one in (file, link, tmp_path / "none")] == [False, True, False]
