"""A disk that can't keep what a project has is named before anything is copied to it."""

import errno
import os
from pathlib import Path

import pytest
from copying import pull

from cmlutils.bundle import Bundle
from cmlutils.disk import mtime_resolution, trial_folder
from cmlutils.errors import TransferError

KEEPS = {
    "all": lambda mode: mode,
    "one mode": lambda mode: 0o777,
    "who may run it": lambda mode: 0o755 if mode & 0o100 else 0o644,
    "who may write it": lambda mode: 0o777 if mode & 0o200 else 0o555,
}


@pytest.fixture
def disk(monkeypatch):
    """Let files have only the modes that a disk keeps (None: they can't be changed), and no links that can be read."""
    chmod = Path.chmod

    def refused(path, *_):
        raise PermissionError(errno.EPERM, "Operation not permitted", path)

    def put(*, kept="all", links="all"):
        def changed(path, mode, **others):
            if kept is None and not path.is_dir():
                refused(path)
            chmod(path, mode if path.is_dir() else KEEPS[kept](mode), **others)

        monkeypatch.setattr(Path, "chmod", changed)
        if links != "all":
            monkeypatch.setattr(Path, "symlink_to" if links == "none" else "readlink", refused)

    return put


@pytest.mark.parametrize("kept", [None, *KEEPS])
def test_a_disk_that_keeps_no_modes_is_refused_before_anything_changes(disk, way, project, bundle, kept):
    (project / "a.py").write_text("one")
    pull(way, bundle)
    (project / "a.py").write_text("another")
    disk(kept=kept)
    state = {*(bundle / "state").iterdir()}
    if kept == "all":
        pull(way, bundle)
        assert (bundle / "project-data/a.py").read_text() == "another"
        return
    with pytest.raises(TransferError, match=r"is on a disk that does not keep file permissions\.$") as error:
        pull(way, bundle)
    assert "output_dir" in error.value.hint
    assert (bundle / "project-data/a.py").read_text() == "one"
    assert {*(bundle / "state").iterdir()} == state


@pytest.mark.parametrize("links", ["none", "unreadable"])
@pytest.mark.parametrize("has_links", [False, True])
def test_a_disk_without_links_is_refused_only_if_the_project_has_some(disk, way, project, bundle, links, has_links):
    (project / "a.py").write_text("one")
    if has_links:
        (project / "b.py").symlink_to("a.py")
    disk(links=links)
    if not has_links:
        assert not pull(way, bundle).problems
        return
    with pytest.raises(TransferError, match=r"does not keep symbolic links, of which the project has 1\.$"):
        pull(way, bundle)
    assert not [*(bundle / "project-data").iterdir()]


@pytest.mark.parametrize("resolution_ns", [1, 1000, 10**9])
def test_a_disk_that_rounds_times_when_a_file_is_renamed_is_seen_as_one(tmp_path, monkeypatch, resolution_ns):
    rename = Path.rename

    def renamed(path, goal):
        time = path.stat().st_mtime_ns // resolution_ns * resolution_ns
        there = rename(path, goal)
        os.utime(there, ns=(time, time))
        return there

    monkeypatch.setattr(Path, "rename", renamed)
    assert mtime_resolution(tmp_path) == resolution_ns
    assert not [*tmp_path.iterdir()]


def test_no_session_is_opened_for_a_disk_that_keeps_no_modes(disk, workspaces, run_line):
    source, _ = workspaces()
    disk(kept="one mode")
    line = run_line('cmlutil project export -p "Churn Model"', exit_code=1)
    assert "is on a disk that does not keep file permissions." in line.err
    assert not source.session_log


def test_what_a_killed_run_left_of_such_a_trial_is_in_nobodys_way(way, project, bundle):
    (project / "a.py").write_text("one")
    one = Bundle(bundle)
    one.create()
    one.scratch.mkdir()
    with trial_folder(one.scratch) as place:
        left = one.scratch / place.with_suffix(".left").name
        left.mkdir()
    (left / "link").symlink_to("/nowhere")
    one.create()
    assert not pull(way, bundle).problems
    assert not [*one.scratch.iterdir()]
