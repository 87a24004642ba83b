"""What a bundle has lost since its export, and lists of ours that are damaged: nothing is deleted for want of them."""

import os
import shutil

import pytest
from copying import pull, push

from cmlutils.bundle import FILE_LIST
from cmlutils.errors import TransferError
from cmlutils.flows import files


def names(root):
    return sorted(str(path.relative_to(root)) for path in root.rglob("*"))


def warnings(caplog):
    return [one.getMessage() for one in caplog.records if one.levelname == "WARNING"]


@pytest.fixture
def exported(project, bundle, way):
    """A bundle of a project, which is the target from here on."""
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
        place = bundle / "project-data", bundle / "state"
        with files.reading_bundle(*place, way.workspace.url, "me/p", record=bundle / "state" / FILE_LIST) as begun:
            return files.push(way, *place, project="me/p", begun=begun)

    return go


def test_what_a_bundle_has_lost_is_named_and_stays_on_the_target(project, exported, put, monkeypatch, caplog):
    assert put(exported).problems == ()
    shutil.rmtree(exported / "project-data/in")
    for _ in range(2):
        result = put(exported)
        assert [one.partition(":")[0] for one in result.problems] == ["'in'", "'in/b'", "'in/c'"]
        assert (result.deleted, result.kept_extras, names(project)) == (0, 0, ["a", "in", "in/b", "in/c"])
    monkeypatch.setattr("cmlutils.flows.losses.NAMED", 1)
    assert put(exported).problems[1:] == ("and 2 more that the bundle has lost; run the export again",)
    assert warnings(caplog) == []


def test_what_an_import_leaves_out_is_not_lost_and_what_was_changed_is_told(project, exported, put, caplog):
    shutil.rmtree(exported / "project-data/in")
    (exported / ".importignore").write_text("in/\n")
    (exported / "project-data/a").write_text("changed")
    assert put(exported).problems == ()
    assert any("1 were changed since the export, such as 'a'" in one for one in warnings(caplog))
    assert (project / "a").read_text() == "changed"


def test_what_the_source_has_no_more_still_leaves_the_target(way, project, exported, put, tmp_path):
    (project / "in/b").unlink()  # as the source
    pull(way, exported)
    (project / "in/b").write_text("in/b")  # as the target
    shutil.copystat(exported / "project-data/in/c", project / "in/b")
    assert put(exported).problems == ()


@pytest.mark.parametrize("damage", ["cut", "empty", "folder", "gone"])
def test_without_the_exports_list_nothing_is_deleted(project, exported, put, caplog, damage):
    spoil(exported / "state" / FILE_LIST, damage)
    (exported / "project-data/a").unlink()
    assert put(exported).deleted == 0
    assert "a" in names(project)
    assert any("files.list" in one and "nothing is deleted" in one for one in warnings(caplog))


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


@pytest.mark.parametrize("name", [FILE_LIST, "pushed"])
def test_a_folder_in_place_of_a_list_is_told(project, exported, way, name):
    [path] = (exported / "state").glob(f"{name}*") if name == FILE_LIST else (exported / "state").glob("pushed-*.list")
    spoil(path, "folder")
    (exported / "project-data/more").write_text("x")
    with pytest.raises(TransferError, match=f"{path.name} is a folder"):
        pull(way, exported) if name == FILE_LIST else push(way, exported)


@pytest.mark.parametrize("text", ["0", "-7", "3", "999999999999999999", "x"])
def test_no_time_is_equal_to_another_for_the_sake_of_a_damaged_grain(project, exported, way, text):
    [path] = (exported / "state").glob("pushed-*.list")
    path.with_suffix(".grain").write_text(text)
    (exported / "project-data/a").write_text("b")
    os.utime(exported / "project-data/a", (1_600_000_000, 1_600_000_000))
    assert push(way, exported).transferred == 1
    assert (project / "a").read_text() == "b"


def test_files_in_place_of_our_folders_make_way(project, exported, way):
    for name in ("tmp", "arriving"):
        shutil.rmtree(exported / "state" / name, ignore_errors=True)
        (exported / "state" / name).write_text("x")
    (project / "new").write_text("n")
    assert pull(way, exported).problems == ()
    assert (exported / "project-data/new").read_text() == "n"


def spoil(path, damage):
    whole = path.read_bytes()
    path.unlink()
    if damage == "folder":
        path.mkdir()
    elif damage != "gone":
        path.write_bytes(whole[: len(whole) // 2] if damage == "cut" else b"")
