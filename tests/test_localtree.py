"""A local tree is listed without following links, even if it changes meanwhile."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from cmlutils.errors import TransferError
from cmlutils.filelist import Unread
from cmlutils.localtree import walk

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture
def deep(tmp_path: Path) -> Iterator[Callable[[str, int], None]]:
    """Return a function that makes so many folders of this name, each in the one before."""

    def make(name: str, depth: int) -> None:
        folder = os.open(tmp_path, os.O_RDONLY)
        for _ in range(depth):
            os.mkdir(name, dir_fd=folder)
            deeper = os.open(name, os.O_RDONLY, dir_fd=folder)
            os.close(folder)
            folder = deeper
        os.close(folder)

    yield make
    subprocess.run(["rm", "-rf", str(tmp_path)], check=True)  # pytest tidies up by shutil.rmtree, which recurses


def test_a_walk_goes_deep(tmp_path: Path, deep: Callable[[str, int], None]) -> None:
    deep("d", 1500)
    assert sum(1 for _ in walk(tmp_path)) == 1500


def test_what_has_too_long_a_path_for_the_system_is_left_out(tmp_path: Path, deep: Callable[[str, int], None]) -> None:
    deep("d" * 50, 4200 // 51)
    found = [len(entry.path) for entry in walk(tmp_path, unlock=True)]
    assert found == [50 + 51 * number for number in range((4095 - len(os.fsencode(tmp_path))) // 51)]


def test_a_walk_names_what_it_cannot_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "shut").mkdir()
    (tmp_path / "shut" / "x").touch()
    (tmp_path / "ok").touch()
    scandir = os.scandir

    def picky(path: bytes) -> object:
        if path.endswith(b"/shut"):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", picky)
    unread: list[Unread] = []
    assert {each.path for each in walk(tmp_path, unread=unread)} == {b"shut", b"ok"}
    assert unread == [Unread(b"shut", "Permission denied")]
    with pytest.raises(TransferError, match=r"cannot read '.*/shut': Permission denied"):
        list(walk(tmp_path))


def test_a_walk_needs_a_root(tmp_path: Path) -> None:
    for root in (tmp_path / "none", tmp_path / "file"):
        (tmp_path / "file").touch()
        with pytest.raises(TransferError, match=f"cannot read '.*/{root.name}'"):
            list(walk(root, unread=[]))


def test_what_vanishes_during_a_walk_is_left_out(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x").touch()
    listing = walk(tmp_path)
    first = next(listing)
    other = tmp_path / ("b" if first.path == b"a" else "a")
    (other / "x").unlink()
    other.rmdir()
    assert first.path + b"/x" in {each.path for each in listing}


def test_a_name_that_vanishes_before_it_is_looked_at_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "gone").symlink_to("x")
    (tmp_path / "here").touch()

    def readlink(path: bytes) -> bytes:
        raise FileNotFoundError(path)

    monkeypatch.setattr(os, "readlink", readlink)
    assert [each.path for each in walk(tmp_path)] == [b"here"]
