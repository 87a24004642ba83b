"""README.md is the manual: it names every command, option, key and exit code; the scripts can be run."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import click
import pytest

from cmlutils.cli.main import cli
from cmlutils.config import KEY_VARIABLES, KEYS
from cmlutils.errors import ExitCode

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
SHELL = ["batch/demo", "tests/run"]
SCRIPTS = [*SHELL, ".ci/run", "batch/export_all.py", "batch/import_all.py", "batch/validate_all.py"]


def commands(command=cli, path=("cmlutil",)):
    """Yield every command below this one, with its words."""
    if isinstance(command, click.Group):
        for name, inner in command.commands.items():
            yield from commands(inner, (*path, name))
    elif not command.hidden:
        yield " ".join(path), command


COMMANDS = dict(commands())


@pytest.mark.parametrize("words", COMMANDS)
def test_every_command_is_there(words):
    assert f"`{words}" in README


@pytest.mark.parametrize("words", COMMANDS)
def test_every_long_option_is_there(words):
    for parameter in COMMANDS[words].params:
        names = [*parameter.opts, *parameter.secondary_opts]
        if getattr(parameter, "hidden", False):
            continue
        for name in (one for one in names if one.startswith("--")):
            assert re.search(rf"{re.escape(name)}(?![\w-])", README), f"{words} {name}"


@pytest.mark.parametrize("key", [*KEYS, *KEY_VARIABLES.values()])
def test_every_ini_key_is_there(key):
    assert f"`{key}`" in README


@pytest.mark.parametrize("code", list(ExitCode))
def test_every_exit_code_is_there(code):
    assert re.search(rf"^\| {int(code)} \|", README, re.MULTILINE)


@pytest.mark.parametrize("script", SCRIPTS)
def test_scripts_are_executable(script):
    assert os.access(ROOT / script, os.X_OK)


@pytest.mark.parametrize("script", [*SHELL, "batch/_setup.sh"])
def test_shell_scripts_parse(script):
    subprocess.run(["sh", "-n", str(ROOT / script)], check=True)


def test_links_within_the_page_lead_somewhere():
    headings = re.findall(r"^#+ (.+)$", README, re.MULTILINE)
    anchors = {re.sub(r"[^\w\- ]", "", one.lower()).strip().replace(" ", "-") for one in headings}
    assert set(re.findall(r"\]\(#([^)]+)\)", README)) <= anchors
