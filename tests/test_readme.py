"""README.md is the manual: it names every command, option, key and exit code, and its scripts run."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import words
import yaml
from words import LEAVES

from cmlutils.errors import ExitCode
from cmlutils.section import KEY_VARIABLES
from cmlutils.section_values import KEYS

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
SHELL = ["batch/demo", "tests/run"]
SCRIPTS = [*SHELL, ".ci/run", "batch/export_all.py", "batch/import_all.py", "batch/validate_all.py"]


BLOCKS = re.findall(r"^ *```(\w*)\n(.*?)^ *```$", README, re.MULTILINE | re.DOTALL)
COMMANDS = {words: command for words, command in words.COMMANDS.items() if words in LEAVES and not command.hidden}


@pytest.mark.parametrize("line", COMMANDS)
def test_every_command_is_there(line):
    assert f"`{line}" in README


@pytest.mark.parametrize("line", COMMANDS)
def test_every_long_option_is_there(line):
    for parameter in COMMANDS[line].params:
        names = [*parameter.opts, *parameter.secondary_opts]
        if getattr(parameter, "hidden", False):
            continue
        for name in (one for one in names if one.startswith("--")):
            assert re.search(rf"{re.escape(name)}(?![\w-])", README), f"{line} {name}"


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


def test_the_contents_name_every_section_in_order():
    contents = README[README.index("Contents: ") : README.index("\n## ")]
    assert re.findall(r"\[([^]]+)\]\(#", contents) == re.findall(r"^## (.+)$", README, re.MULTILINE)


def test_links_to_files_and_paths_of_the_repository_lead_somewhere():
    for path in re.findall(r"\]\((?!https?:|#)([^)#]+)", README):
        assert (ROOT / path).exists(), path
    for path in set(re.findall(r"`((?:batch|tests|cmlutils|\.github|\.ci)/[\w./-]*)`", README)):
        assert (ROOT / path).exists(), path


def test_every_line_of_cmlutil_is_one_that_it_understands():
    shell = "\n".join(text for tag, text in BLOCKS if tag in {"sh", "shell"})
    shell = re.sub(r"\\\n\s*", "", shell)
    lines = re.findall(r"(?<![\w./~'-])cmlutil [^)\n]*", shell)
    assert len(lines) > 10
    for line in [*lines, *re.findall(r"`(cmlutil [^`…]+)`", README)]:
        words.understood(line)


@pytest.mark.slow
def test_the_blocks_that_say_sh_run_as_they_are(home, program):
    program("cmlutil", "from cmlutils.cli.main import main\nmain()", sys.executable)
    text = "".join(text for tag, text in BLOCKS if tag == "sh")
    (home / "tmp").mkdir()
    environ = {**os.environ, "TMPDIR": str(home / "tmp")}
    doctor = "cmlutil doctor --config-dir ."
    assert doctor in text
    text = text.replace(doctor, f"{doctor} || [ $? = 5 ]")  # 5 because it may warn of an old rsync
    script = f"set -eu\ntrap 'kill $(jobs -p) 2>/dev/null || :' EXIT\n{text}wait\n"
    for _ in range(2):  # what the first run leaves must not disturb the second
        done = subprocess.run(
            ["bash", "-c", script],
            cwd=home,
            env=environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert "verified: equal" in done.stdout
        assert "warning" not in done.stderr
    assert ["projects:" in path.read_text() for path in home.glob("tmp/*/source.yaml")] == [True, True]
    subprocess.run(["bash", "-ec", ". ~/.bashrc; complete -p cmlutil"], env=environ, check=True, capture_output=True)


def test_paths_that_contributing_names_exist():
    text = (ROOT / ".github/CONTRIBUTING.md").read_text(encoding="utf-8")
    named = {one for one in re.findall(r"`([\w.]+(?:/[\w.]+)*/?)`", text) if "/" in one or one.endswith(".py")}
    assert len(named) > 30
    for path in named:
        assert any((folder / path).exists() for folder in (ROOT, ROOT / "cmlutils")), path


def test_continuous_integration_runs_the_checks_with_known_actions_only():
    text = (ROOT / ".github/workflows/checks.yml").read_text(encoding="utf-8")
    steps = yaml.safe_load(text)["jobs"]["checks"]["steps"]
    assert {"run": ".ci/run"} in steps
    used = {step["uses"].partition("@")[0] for step in steps if "uses" in step}
    assert used == {"actions/checkout", "actions/setup-python"}
