"""Files that a bundle has lost since its export, and damaged lists of ours."""

import os
import shutil

import pytest
from copying import pull, push

from cmlutils.errors import BundleError, CheckFailed


def names(root):
    return sorted(str(path.relative_to(root)) for path in root.rglob("*"))


def warnings(caplog):
    return [one.getMessage() for one in caplog.records if one.levelname == "WARNING"]


@pytest.fixture
def exported(project, bundle, way):
    """A bundle of a project; from here on, the project is the target."""
    (project / "in").mkdir()
    for name in ("a", "in/b", "in/c"):
        (project / name).write_text(name)
    os.mkfifo(project / "pipe")
    pull(way, bundle)
    (project / "pipe").unlink()
    shutil.rmtree(project / "in")
    (project / "a").unlink()
    push(way, bundle)
    return bundle


@pytest.fixture
def put(way):
    def go(bundle):
        (bundle / "manifest.json").touch()  # marks an export of ours, of which we know what it brought
        return push(way, bundle)

    return go


def test_what_a_bundle_has_lost_is_named_and_leaves_the_target(project, exported, put, monkeypatch):
    assert (put(exported).problems, put(exported).notes) == ((), ())
    shutil.rmtree(exported / "project-data/in")
    (project / "theirs").write_text("theirs")
    result = put(exported)
    [note] = result.notes
    assert note.startswith("The bundle lacks 'in', 'in/b', 'in/c' of what its export found")
    assert (result.problems, result.deleted, result.kept_extras) == ((), 3, 1)
    assert names(project) == ["a", "theirs"]
    monkeypatch.setattr("cmlutils.flows.copying.losses.NAMED", 1)
    assert "lacks 'in' and 2 more names of what" in put(exported).notes[0]
    monkeypatch.setattr("cmlutils.flows.copying.losses.NAMED", 2)
    assert "lacks 'in', 'in/b' and 1 more name of what" in put(exported).notes[0]


def test_a_bundle_that_has_lost_all_of_its_files_is_refused(project, exported, put):
    shutil.rmtree(exported / "project-data")
    (exported / "project-data").mkdir()
    with pytest.raises(CheckFailed, match="has none of the 3 files that its export brought"):
        put(exported)
    assert names(project) == ["a", "in", "in/b", "in/c"]
    (exported / ".importignore").write_text("*\n")  # ignored files do not count
    assert put(exported).problems == ()
    assert names(project) == ["a", "in", "in/b", "in/c"]


def test_what_an_import_leaves_out_is_not_lost_and_what_was_changed_is_told(project, exported, put):
    shutil.rmtree(exported / "project-data/in")
    (exported / ".importignore").write_text("in/\n")
    (exported / "project-data/a").write_text("changed")
    result = put(exported)
    assert result.problems == ()
    assert [one.startswith("'a' changed in the bundle since its export") for one in result.notes] == [True]
    assert (project / "a").read_text() == "changed"


def test_what_the_source_has_no_more_still_leaves_the_target(way, project, exported, put, tmp_path):
    (project / "in/b").unlink()  # here the project is the source
    pull(way, exported)
    (project / "in/b").write_text("in/b")  # and here it is the target
    shutil.copystat(exported / "project-data/in/c", project / "in/b")
    assert put(exported).problems == ()


@pytest.mark.parametrize("damage", ["cut", "empty", "folder", "gone"])
def test_without_the_exports_list_losses_are_not_known_and_that_is_said(project, exported, put, damage):
    spoil(exported / "state/files.list", damage)
    (exported / "project-data/a").unlink()
    result = put(exported)
    assert result.deleted == 1
    assert ["is not known" in one and "files.list" in one for one in result.notes] == [True]
    assert "a" not in names(project)


@pytest.mark.parametrize("damage", ["cut", "empty"])
@pytest.mark.parametrize("which", ["list", "begun"])
def test_what_earlier_imports_put_there_is_not_told_by_a_damaged_list(project, exported, way, caplog, damage, which):
    [path] = (exported / "state").glob("pushed-*.list")
    if which == "begun":
        path = shutil.copy(path, path.with_suffix(".begun"))
    spoil(path, damage)
    (exported / "project-data/a").unlink()
    (exported / "project-data/in/b").write_text("more")
    result = push(way, exported)
    assert (result.deleted, result.problems) == (0, ())
    assert "a" in names(project)
    assert any(path.name in one for one in warnings(caplog))
    caplog.clear()
    assert push(way, exported).problems == ()
    assert warnings(caplog) == []


@pytest.mark.parametrize("name", ["files.list", "pushed-*.list"])
def test_a_folder_in_place_of_a_list_is_told(project, exported, way, name):
    [path] = (exported / "state").glob(name)
    spoil(path, "folder")
    (exported / "project-data/more").write_text("x")
    with pytest.raises(BundleError, match=f"{path.name} can't be written: Is a directory"):
        pull(way, exported) if name == "files.list" else push(way, exported)


@pytest.mark.parametrize("text", ["0", "-7", "3", "999999999999999999", "x"])
def test_no_time_is_equal_to_another_for_the_sake_of_a_damaged_grain(project, exported, way, text):
    [path] = (exported / "state").glob("pushed-*.list")
    path.with_suffix(".grain").write_text(text)
    (exported / "project-data/a").write_text("b")
    os.utime(exported / "project-data/a", (1_600_000_000, 1_600_000_000))
    assert push(way, exported).transferred == 1
    assert (project / "a").read_text() == "b"


@pytest.mark.parametrize("kind", ["file", "link"])
def test_what_is_in_place_of_our_folders_makes_way(project, exported, way, tmp_path, kind):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/x").write_text("x")
    for name in ("tmp", "arriving"):
        place = exported / "state" / name
        shutil.rmtree(place, ignore_errors=True)
        place.symlink_to(tmp_path / "mine") if kind == "link" else place.write_text("x")
    (project / "new").write_text("n")
    assert pull(way, exported).problems == ()
    assert (exported / "project-data/new").read_text() == "n"
    assert names(tmp_path / "mine") == ["x"]


def spoil(path, damage):
    whole = path.read_bytes()
    path.unlink()
    if damage == "folder":
        path.mkdir()
    elif damage != "gone":
        path.write_bytes(whole[: len(whole) // 2] if damage == "cut" else b"")
