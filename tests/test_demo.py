"""The demo, run as a new user would."""

import builtins
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from until import until

WIDTH = 80


@pytest.fixture
def start(home, tmp_path):
    """Start `cmlutil demo` with its own HOME and temporary folder."""

    def begin(**more):
        environ = {**os.environ, "TMPDIR": str(tmp_path), "COLUMNS": str(WIDTH), **more}
        argv = [sys.executable, "-m", "cmlutils", "demo"]
        return subprocess.Popen(argv, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    return begin


def labels(table):
    """Return the name in each row of the table."""
    return re.findall(r"^  (\w[\w ]*?)(?:  |$)", table, re.MULTILINE)


def running(folder):
    """Return the command lines of running processes that contain this folder's path."""
    lines = subprocess.run(["ps", "-ewwo", "args"], capture_output=True, text=True, check=True).stdout.splitlines()
    return [line for line in lines if str(folder) in line]


@pytest.mark.slow
def test_it_migrates_proves_and_leaves_nothing_but_the_bundle(start, home, tmp_path, tmp_path_factory):
    mine = tmp_path_factory.mktemp("mine")
    for side in ("export", "import"):
        (mine / f"{side}-config.ini").write_text("[Churn Model]\nurl=https://my.own.workspace.example\n")
    process = start(CMLUTILS_CONFIG_DIR=str(mine))
    out, err = process.communicate(timeout=100)
    assert process.returncode == 0, out + err
    brief = out.partition("The demo in short\n")[2]
    for row in ("296 files, 2 models, 2 applications, 3 jobs", "yes: source, bundle and target", "nothing was live"):
        assert row in brief
    readme = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
    recorded = readme.partition("The demo in short\n")[2].partition("```")[0]
    assert labels(brief) == labels(recorded)
    assert '$ cmlutil project import -p "Churn Model" --verify' in out
    assert "k3m9q0s7d1f5h2j8l4z6x0c9v7b3n1m5" not in out + err
    assert "warning" not in out + err
    assert "\x1b" not in out + err
    assert [line for line in out.splitlines() if len(line) > WIDTH and str(tmp_path) not in line] == []
    (kept,) = tmp_path.iterdir()
    assert (kept / "Churn Model/logs/report.html").exists()
    assert str(kept) in brief
    assert list(home.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_and_the_command_it_runs(start, tmp_path, number):
    with start() as process:
        for line in process.stdout:
            if line.startswith("$ cmlutil project export"):
                break
        until(lambda: any(line.startswith("ssh ") for line in running(tmp_path)), "an ssh of the export")
        process.send_signal(number)
        out, _ = process.communicate(timeout=30)
    assert process.returncode == 128 + number
    (kept,) = tmp_path.iterdir()
    assert f"The bundle stays until you remove it: rm -r {kept}\n" in out
    assert running(tmp_path) == []


@pytest.mark.slow
def test_colours_come_where_they_are_wanted(start):
    assert "\x1b[32m" in start(FORCE_COLOR="1").communicate(timeout=100)[0]


def test_without_the_extra_it_says_what_to_install(run_line, monkeypatch):
    real = builtins.__import__

    def without_flask(name, *more):
        if name.startswith("cmlutils.emulator"):
            raise ImportError("no", name="flask")
        return real(name, *more)

    monkeypatch.setattr(builtins, "__import__", without_flask)
    line = run_line("cmlutil demo", exit_code=2)
    assert ".[emulator]" in line.err
    assert "flask" in line.err
