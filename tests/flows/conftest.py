"""Two emulated workspaces, or just a project and a bundle for copying files."""

import pytest
from copying import Copy
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


@pytest.fixture(params=["source", "target"])
def copy(request, way, project, bundle):
    """Copying from the source and to the target, in turn."""
    return Copy(request.param, way, project, bundle)
