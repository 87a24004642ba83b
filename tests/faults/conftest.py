"""Two emulated workspaces or only a target, and commands that run in the background."""

import shlex
import sys
from pathlib import Path

import pytest
from background import NOHUP, Background
from emulated import keys, sample, workspaces
from replaying import target_of, write_bundle

__all__ = ["keys", "sample", "workspaces"]


@pytest.fixture
def target(tmp_path):
    """A target without a project."""
    with target_of(tmp_path) as workspace:
        yield workspace


@pytest.fixture
def bundle(tmp_path):
    """A bundle with a model, an application and two jobs."""
    return write_bundle(tmp_path / "bundle")


@pytest.fixture
def background(tmp_path):
    """Return a function that starts a line of cmlutil, or a script, in the background.

    What is left of it at the test's end is killed.
    """
    started = []

    def start(what, *more, script=NOHUP):
        words = [what] if isinstance(what, Path) else ["-m", "cmlutils", *shlex.split(what)[1:]]
        argv = [sys.executable, *words, *more]
        started.append(Background(argv, tmp_path / f"out-{len(started)}", script))
        return started[-1]

    yield start
    for one in started:
        one.kill()
