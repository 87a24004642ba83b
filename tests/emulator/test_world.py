"""Worlds: from YAML, the sample worlds, and errors in a world."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from cmlutils.emulator.assumptions import Assumptions
from cmlutils.emulator.reading import WorldError
from cmlutils.emulator.server import start_workspace
from cmlutils.emulator.tree import content
from cmlutils.emulator.world import DEMO, DEMO_TARGET, World

if TYPE_CHECKING:
    from pathlib import Path

    from cmlutils.emulator.server import Workspace


def test_a_project_may_take_its_files_from_a_folder(tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    (tmp_path / "work/README.md").write_text("hello")
    (tmp_path / "work/gone").symlink_to("/nowhere")
    project = {"owner": "dana", "name": "P", "from": str(tmp_path / "work"), "files": {"more.txt": "x"}}
    world = World.load({"users": [{"username": "dana", "api_key": "k" * 32}], "projects": [project]})
    with start_workspace(world, state_dir=tmp_path / "state") as workspace:
        files = workspace.project("dana", "p").files
        assert (files / "README.md").read_text() == "hello"
        assert (files / "gone").is_symlink()
        assert sorted(one.name for one in files.iterdir()) == ["README.md", "gone", "more.txt"]


def test_the_files_of_a_project(workspace: Workspace) -> None:
    files = workspace.project("dana", "churn-model").files
    assert files == workspace.state_dir / "dana" / "churn-model"
    assert len(list((files / "data").rglob("*.csv"))) == 12
    assert (files / "data/000/part-00000.csv").read_bytes() == content("data/000/part-00000.csv", 2000)
    assert (files / "jobs/run.py").stat().st_mode & 0o777 == 0o755
    assert (files / "empty").is_dir()


def test_the_samples_fit_together(tmp_path: Path) -> None:
    source, target = World.load(DEMO), World.load(DEMO_TARGET)
    with start_workspace(source, personality="cdsw", state_dir=tmp_path / "s") as workspace:
        project = workspace.project("dana", "churn-model")
        assert 280 < sum(path.is_file() for path in project.files.rglob("*")) < 320
        assert [len(things) for things in (project.jobs, project.models, project.applications)] == [3, 2, 2]
        assert [job.parent_id for job in project.jobs] == [None, project.jobs[0].id, project.jobs[1].id]
        assert workspace.went_live == []
    images = {runtime.image_identifier for runtime in target.runtimes}
    assert len([runtime for runtime in source.runtimes if runtime.image_identifier not in images]) == 1
    assert any(runtime.has_rsync for runtime in target.runtimes)
    assert [user.username for user in source.users] == [user.username for user in target.users]
    assert target.projects == []


@pytest.mark.parametrize(("data", "text"), [
    ({"odd": 1}, "the world: unknown key 'odd'"),
    ({"users": [{"name": "x"}]}, r"users\[0\]: .*username"),
    ({"users": [{"username": "x", "odd": 1}]}, r"users\[0\]: unknown key 'odd'"),
    ({"projects": ["x"]}, r"projects\[0\]: not a mapping"),
    ({"projects": [{"owner": "x", "name": "y", "jobs": ["z"]}]}, r"jobs\[0\]: not a mapping"),
    ({"projects": [{"owner": "x", "name": "y", "models": ["z"]}]}, r"models\[0\]: not a mapping"),
    ({"projects": [{"owner": "x", "name": "y", "models": [{"name": "z", "state": "odd"}]}]}, "state 'odd' is none of"),
    ({"faults": [{"action": "odd"}]}, r"faults\[0\]: no fault is called 'odd'"),
    ({"assume": {"odd": False}}, "assume: unknown key 'odd'"),
])  # fmt: skip
def test_what_is_wrong_in_a_world_is_said(data: dict[str, Any], text: str) -> None:
    with pytest.raises(WorldError, match=text):
        World.load(data)


@pytest.mark.parametrize("job", [{"runtime": "none"}, {"parent": "none"}])
def test_names_that_nothing_has_are_said(tmp_path: Path, job: dict[str, Any]) -> None:
    data = {"projects": [{"owner": "x", "name": "y", "jobs": [{"name": "j", "script": "s", **job}]}]}
    with (
        pytest.raises(WorldError, match=r"project y: nothing has .* 'none'"),
        start_workspace(World.load(data), state_dir=tmp_path / "s"),
    ):
        pass


def test_files_that_are_no_worlds(tmp_path: Path) -> None:
    for text in ("[1]", "a: [", None):
        path = tmp_path / "w.yaml"
        path.unlink(missing_ok=True)
        if text:
            path.write_text(text)
        with pytest.raises(WorldError, match=r"w\.yaml"):
            World.load(path)


def test_assumptions_are_switched_off_by_name() -> None:
    assert not Assumptions().without("job_patch").job_patch
    with pytest.raises(ValueError, match="no assumption is called 'odd'"):
        Assumptions().without("odd")


def test_lookups_that_fail(workspace: Workspace) -> None:
    with pytest.raises(KeyError):
        workspace.world.user("nobody")


def test_without_a_state_folder_nothing_is_left() -> None:
    with start_workspace(World.load({})) as workspace:
        folder = workspace.state_dir
        assert folder.is_dir()
    assert not folder.exists()


def test_a_state_folder_that_a_shell_would_split_is_refused(tmp_path: Path) -> None:
    with (
        pytest.raises(ValueError, match="may hold letters"),
        start_workspace(World.load({}), state_dir=tmp_path / "my state"),
    ):
        pass
