"""Two emulated workspaces, or just a project and a bundle for copying files."""

import pytest
from emulated import keys, sample, workspaces

__all__ = ["keys", "sample", "workspaces"]


@pytest.fixture
def project(standin):
    return standin.project


@pytest.fixture
def bundle(tmp_path):
    folder = tmp_path / "bundle with 'space"
    (folder / "state").mkdir(parents=True)
    (folder / "project-data").mkdir(mode=0o700)
    return folder
