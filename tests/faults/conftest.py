"""Source and target as the flows have them, and commands in the background."""

import importlib.util
import sys
from pathlib import Path

import pytest
from background import NOHUP, Background

_spec = importlib.util.spec_from_file_location("flows_fixtures", Path(__file__).parent.parent / "flows/conftest.py")
flows = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(flows)
keys, sample, workspaces = flows.keys, flows.sample, flows.workspaces


@pytest.fixture
def background(tmp_path):
    """Start a command line in the background; whatever is left of it at the test's end is killed."""
    started = []

    def start(*words, script=NOHUP):
        argv = [sys.executable, "-m", "cmlutils", *words[1:]] if words[0] == "cmlutil" else [sys.executable, *words]
        started.append(Background(argv, tmp_path / f"out-{len(started)}", script))
        return started[-1]

    yield start
    for one in started:
        one.kill()
