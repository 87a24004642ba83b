"""What `cmlutil init` says about what it is given, without asking a workspace."""

import os
import pty
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from until import until


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("CMLUTILS_SOURCE_APIV1_KEY", "source0key0source0key0source0key0")


def test_all_and_some_projects_are_not_asked_for_at_once(run_line):
    line = run_line("cmlutil init --source-url https://x.test --all --project Sales", exit_code=2)
    assert "Give --all or --project, not both." in line.err


def test_a_mistake_is_not_blamed_on_a_file_that_is_not_there(run_line, home):
    line = run_line("cmlutil init --source-url nowhere --source-username dana --all", exit_code=2)
    assert line.err.startswith("error: source: url is not an http or https address: 'nowhere'.")
    assert "export-config.ini" not in line.err


def sleeps(pid):
    """Tell whether a process is asleep; true if there is no /proc."""
    stat = Path(f"/proc/{pid}/stat")
    return not stat.exists() or stat.read_text().rpartition(") ")[2].startswith("S")


@pytest.mark.parametrize(("typed", "code", "told"), [
    (b"\x04", 1, rb"\r\n(\x1b\[31m)?error(\x1b\[0m)?: Nothing was written\."),
    (b"", 130, rb"\r\nNothing was written\.\r\n"),
    (b"https://x.test\n\x04", 1, rb"This is an address\.\r\n  Name a folder here; .*\.\r\nFolder for the bundles"),
])  # fmt: skip
def test_no_answer_ends_it_and_nothing_is_written(home, typed, code, told):
    ours, theirs = pty.openpty()
    argv = [sys.executable, "-m", "cmlutils", "init"]
    process = subprocess.Popen(argv, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True)
    os.close(theirs)
    seen = b""
    while not seen.endswith(b": "):
        seen += os.read(ours, 4096)
    if typed:
        os.write(ours, typed)
    else:  # Python handles a signal that comes between prompt and read only after the read
        until(lambda: sleeps(process.pid), "the read of an answer")
        process.send_signal(signal.SIGINT)
    while b"written" not in seen:
        seen += os.read(ours, 4096)
    assert process.wait(30) == code
    assert re.search(told, seen), seen
    os.close(ours)
    assert not (home / "cmlutils").exists()
