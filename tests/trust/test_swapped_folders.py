"""A folder is swapped for a link between listing and copy: nothing outside is written, or taken for the project's.

Within a bundle only its owner and root can do that, as nobody else has access to it.
"""

import os
from pathlib import Path

import pytest
from copying import pull, push

from cmlutils.flows.copying import remaining
from cmlutils.progress import Silent


@pytest.fixture
def data(tmp_path):
    folder = tmp_path / "bundle" / "project-data"
    folder.mkdir(parents=True, mode=0o700)
    (tmp_path / "bundle" / "state").mkdir()
    return folder


@pytest.fixture
def outside(tmp_path):
    """A folder outside the project, with a secret file that has the name of a file of the project."""
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "file").write_text("secret of outside")
    return folder


class Swap(Silent):
    """Replaces a folder by a link when the copy begins; `done` tells that it has."""

    def __init__(self, folder, to):
        self.folder, self.to, self.done = folder, to, False

    def step(self, name):
        if name == "copying" and not self.done:
            self.done = True
            self.folder.rename(self.folder.with_name("moved"))
            self.folder.symlink_to(self.to)


def look(folder):
    return {path.name: (path.read_bytes(), path.lstat().st_mtime_ns) for path in folder.iterdir()}


def holders(root, text):
    """Return the paths of files below a folder that contain this text, without following links."""
    files_below = (Path(place) / name for place, _, names in os.walk(root) for name in names)
    return [path for path in files_below if not path.is_symlink() and text in path.read_bytes()]


def fill(root, count):
    (root / "folder").mkdir()
    for number in range(count):
        (root / "folder" / f"f{number}").write_text(f"{number}")
    (root / "folder" / "file").write_text("the project's own")


WAYS = [pytest.param(3, id="short"), pytest.param(remaining.SHORT + 5, id="tree")]


@pytest.mark.parametrize("count", WAYS)
def test_the_source_swaps_a_folder_while_it_is_pulled(way, standin, data, outside, count):
    fill(standin.project, count)
    before = look(outside)
    swap = Swap(standin.project / "folder", outside)
    result = pull(way, data.parent, swap)
    assert swap.done
    assert look(outside) == before
    assert result.problems or (data / "folder").is_symlink()
    assert holders(data, b"secret of outside") == []


@pytest.mark.parametrize("count", WAYS)
def test_a_folder_of_the_bundle_is_swapped_while_it_is_pulled(way, standin, data, outside, count):
    fill(standin.project, count)
    (data / "folder").mkdir()
    before = look(outside)
    swap = Swap(data / "folder", outside)
    pull(way, data.parent, swap)
    assert swap.done
    assert look(outside) == before


@pytest.mark.parametrize("count", WAYS)
def test_the_target_swaps_a_folder_while_it_is_pushed(way, standin, data, outside, count):
    fill(data, count)
    (standin.project / "folder").mkdir()
    before = look(outside)
    swap = Swap(standin.project / "folder", outside)
    push(way, data.parent, swap)
    assert swap.done
    assert look(outside) == before


@pytest.mark.parametrize("count", WAYS)
def test_a_folder_of_the_bundle_is_swapped_while_it_is_pushed(way, standin, data, outside, count):
    fill(data, count)
    before = look(outside)
    swap = Swap(data / "folder", outside)
    result = push(way, data.parent, swap)
    assert swap.done
    assert look(outside) == before
    assert result.problems
    if count > remaining.SHORT:  # with a list, rsync opens files by their paths, and so copies the one outside
        assert holders(standin.project, b"secret of outside") == []
