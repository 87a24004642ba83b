"""``cmlutil emulator``."""

from __future__ import annotations

import builtins
import contextlib
import errno
import json
import logging
import os
import re
import signal
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest
import requests
from click.testing import CliRunner

from cmlutils.cli.emulator import _why, emulator
from cmlutils.config import read_file
from cmlutils.emulator.world import DEMO, DEMO_TARGET, World

if TYPE_CHECKING:
    from pathlib import Path

PROGRAM = [sys.executable, "-m", "cmlutils", "emulator"]


def begin(*words: str) -> tuple[subprocess.Popen[str], list[str]]:
    """Start the emulator; return the process and what it printed before it began to wait."""
    process = subprocess.Popen([*PROGRAM, "start", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    said: list[str] = []
    for line in process.stdout:  # type: ignore[union-attr]
        said.append(line.strip())
        if line.startswith("Stop with"):
            break
    return process, said


def test_the_sample_world_is_printed() -> None:
    assert CliRunner().invoke(emulator, ["world"]).output == DEMO.read_text(encoding="utf-8")
    assert CliRunner().invoke(emulator, ["world", "--personality", "cml"]).output == DEMO_TARGET.read_text()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_it_runs_until_a_signal(number: signal.Signals, tmp_path: Path) -> None:
    words = ("--personality", "cdsw", "--tls", "--state-dir", str(tmp_path / "s"), "--ini-dir", str(tmp_path / "i"))
    process, said = begin(*words)
    url, ca_file = said[0].split()[-1], tmp_path / "s" / "ca.pem"
    assert requests.get(f"{url}/api/v1/", verify=str(ca_file), timeout=5).ok
    assert "user dana: apiv1_key=k3m9q0s7d1f5h2j8l4z6x0c9v7b3n1m5" in said
    process.send_signal(number)
    assert process.communicate(timeout=10)[1] == ""
    assert process.returncode == 0
    ini = tmp_path / "i" / "export-config.ini"
    assert f"url={url}\n" in ini.read_text()
    assert f"ca_path={ca_file}" in ini.read_text()
    assert "[Churn Model]" in ini.read_text()
    assert ini.stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "s" / "dana" / "churn-model" / "README.md").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_before_it_is_up_ends_it_as_quietly(number: signal.Signals, tmp_path: Path) -> None:
    world = tmp_path / "world"
    os.mkfifo(world)
    argv = [*PROGRAM, "start", "--personality", "cml", "--world", str(world)]
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    writer, deadline = -1, time.monotonic() + 30
    while writer < 0:
        with contextlib.suppress(OSError):  # it fails until the process reads
            writer = os.open(world, os.O_WRONLY | os.O_NONBLOCK)
        assert time.monotonic() < deadline
    process.send_signal(number)
    os.close(writer)  # ends a read that began just after the signal, which did not wake it
    assert process.communicate(timeout=10) == (b"", b"")
    assert process.returncode == 0


@pytest.fixture
def caplog(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> pytest.LogCaptureFixture:
    """Capture logs even if an earlier test has set up cmlutil's own log."""
    monkeypatch.setattr(logging.getLogger("cmlutils"), "propagate", True)
    return caplog


def test_its_ini_file_can_be_read_whatever_its_projects_are_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cmlutils.cli.emulator._wait", lambda: None)
    names = ["Sales", "Sales", "DEFAULT", "two\nlines", "[a]"]
    projects = [{"owner": owner, "name": name} for owner, name in zip(["me", *["team"] * 4], names, strict=True)]
    users = {"users": [{"username": "me", "api_key": "0" * 32}], "teams": [{"username": "team"}]}
    (tmp_path / "world.json").write_text(json.dumps({**users, "projects": projects}))
    words = ["--personality", "cdsw", "--world", str(tmp_path / "world.json"), "--ini-dir", str(tmp_path)]
    assert CliRunner().invoke(emulator, ["start", *words]).exit_code == 0
    assert read_file("export", str(tmp_path)).names() == ["Sales", "[a]"]


def test_the_target_takes_the_sections_of_the_export(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("cmlutils.cli.emulator._wait", lambda: None)
    alone = CliRunner().invoke(emulator, ["start", "--personality", "cml", "--ini-dir", str(tmp_path / "alone")])
    assert "import-config.ini, without a section: neither the world nor" in alone.output
    (tmp_path / "export-config.ini").write_text("[DEFAULT]\nurl=x\n[A %]\n[B]\n")
    (tmp_path / "key.pub").write_text("ssh-ed25519 AAAA x\n")
    words = ["start", "--personality", "cml", "--ini-dir", str(tmp_path), "--ssh-key", str(tmp_path / "key.pub")]
    first = CliRunner().invoke(emulator, words)
    assert first.exit_code == 0, first.output
    assert f"written to {tmp_path / 'import-config.ini'}\n" in first.output
    assert (tmp_path / "import-config.ini").read_text().endswith("\n[A %]\n\n[B]\n")
    second = CliRunner().invoke(emulator, words)
    assert "left unchanged" in second.output
    url = re.findall(r"^url=(.+)$", first.output, re.MULTILINE)[0]
    assert [record.getMessage().partition(": remove")[0] for record in caplog.records] == [
        f"{tmp_path / 'import-config.ini'} is of another workspace, {url}"
    ]


def test_an_ini_file_of_this_very_workspace_is_not_warned_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("cmlutils.cli.emulator._wait", lambda: None)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    words = ["start", "--personality", "cdsw", "--ini-dir", str(tmp_path), "--port", port]
    assert "written to" in CliRunner().invoke(emulator, words).output
    assert "left unchanged" in CliRunner().invoke(emulator, words).output
    assert caplog.records == []


def test_a_running_workspace_can_be_a_world_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    monkeypatch.setattr("cmlutils.cli.emulator._wait", lambda: None)
    monkeypatch.setattr("cmlutils.cli.emulator._announce", lambda workspace, *_: seen.append(workspace))
    world = tmp_path / "w.yaml"
    world.write_text("users: [{username: u, api_key: k}]\n")
    words = [
        "start",
        "--personality",
        "cml",
        "--world",
        str(world),
        "--without",
        "job_patch",
        "--without",
        "job_parent",
    ]
    assert CliRunner().invoke(emulator, words).exit_code == 0
    assert (seen[0].world.assume.job_patch, seen[0].world.assume.job_paused) == (False, True)
    assert isinstance(seen[0].world, World)


def test_what_can_not_be_used_is_named_without_a_number(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    start, there = ["start", "--personality", "cml"], str(tmp_path / "file" / "x")
    for words in (["--state-dir", there], ["--ini-dir", there]):
        done = CliRunner().invoke(emulator, [*start, *words])
        assert done.exit_code == 2
        assert f"Error: {there} can't be used: Not a directory." in done.output
    assert _why(PermissionError(errno.EACCES, "Permission denied"), 80) == "Port 80 can't be used: Permission denied."


@pytest.mark.parametrize(("words", "text"), [
    (["--without", "odd"], "no assumption is called 'odd'"),
    (["--world", "bad"], "unknown key 'odd'"),
    (["--port", "1"], "ermission denied"),
])  # fmt: skip
def test_mistakes_are_usage_errors(words: list[str], text: str, tmp_path: Path) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text("odd: 1\n")
    words = [str(bad) if word == "bad" else word for word in words]
    if "--port" in words:
        taken = socket.create_server(("127.0.0.1", 0))
        words, text = ["--port", str(taken.getsockname()[1])], "is taken"
    done = CliRunner().invoke(emulator, ["start", "--personality", "cml", *words])
    if "--port" in words:
        taken.close()
    assert done.exit_code == 2
    assert text in done.output


def test_a_missing_extra_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without_flask(name: str, *more: Any) -> Any:
        if name == "cmlutils.emulator.server":
            raise ImportError("no", name="flask")
        return real(name, *more)

    monkeypatch.setattr(builtins, "__import__", without_flask)
    done = CliRunner().invoke(emulator, ["start", "--personality", "cml"])
    assert done.exit_code == 2
    assert ".[emulator]" in done.output
