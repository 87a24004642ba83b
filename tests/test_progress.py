"""What a person sees of a running copy, on a terminal and in a file."""

import contextlib
import io
import logging
import os
import pty
import re
import sys
import threading

import pytest
from until import until

from cmlutils import log as logs
from cmlutils.cli import progress
from cmlutils.progress import FileProgress
from cmlutils.report import Report
from cmlutils.units import human_time


def copy(shown):
    with shown.phase("files"):
        shown.step("copying")
        shown.files(FileProgress(1 << 20, 4 << 20, 10, 40))
        logging.getLogger("cmlutils.x").warning("The tunnel dropped.")
        shown.files(FileProgress(3 << 20, 4 << 20, 30, 40))


def drawn(columns, monkeypatch, kind="xterm", run=lambda shown, seen: copy(shown)):
    """Return what a copy, or another `run`, writes to a terminal of this width and kind."""
    leader, follower = pty.openpty()
    seen = bytearray()

    def read():
        with contextlib.suppress(OSError):  # raised at the end of a terminal's output
            while not seen.endswith(b" s\r\n"):  # the phase's line comes last
                seen.extend(os.read(leader, 4096))

    reader = threading.Thread(target=read)
    reader.start()
    monkeypatch.setenv("TERM", kind)
    monkeypatch.setenv("COLUMNS", str(columns))
    with os.fdopen(follower, "w", buffering=1) as terminal, monkeypatch.context() as patched:
        patched.setattr(sys, "stderr", terminal)
        logs.to_terminal()
        run(progress.TextProgress(Report("export", "p")), seen)
        logs.close()
        assert sys.stderr is terminal
    reader.join(10)
    os.close(leader)
    return seen.decode()


def test_on_a_terminal_there_is_one_bar_and_log_lines_stay_whole(monkeypatch):
    seen = drawn(100, monkeypatch)
    assert "copying" in seen
    assert "3.0/4.0 MiB, 30/40 files" in seen
    assert "The tunnel dropped." in seen
    assert "files: " in seen.rpartition("\x1b")[2]


@pytest.mark.parametrize("columns", [100, 60, 45])
def test_the_bar_fits_the_terminal_and_leaves_room_for_what_ctrl_c_writes(monkeypatch, columns):
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", drawn(columns, monkeypatch))
    bars = [line for line in re.split(r"[\r\n]+", plain) if line.startswith("copying")]
    assert max(map(len, bars)) <= columns - 3
    assert bars[-1].rstrip().startswith("copying ━")
    assert ("30/40 files" in bars[-1]) == (columns >= 60)


def test_the_cursor_stays_as_it_is_for_who_stops_the_run_or_kills_it(monkeypatch):
    assert "\x1b[?25" not in drawn(100, monkeypatch)


def test_a_terminal_that_knows_plain_lines_alone_gets_what_a_file_gets(monkeypatch):
    monkeypatch.setattr(progress, "_EVERY", 0.0)
    lines = drawn(100, monkeypatch, "dumb").splitlines()
    assert lines[0].startswith("copying: 25 % of 4.0 MiB, 10 of 40 files")
    assert lines[1] == "warning: The tunnel dropped."
    assert lines[2].startswith("copying: 75 % of 4.0 MiB")


def test_a_time_is_told_in_the_unit_that_one_waits_in():
    assert [human_time(one) for one in (3.4, 119, 121, 7199, 9000)] == [
        "3 s",
        "119 s",
        "2 min",
        "2 h 0 min",
        "2 h 30 min",
    ]


def test_a_file_gets_a_line_for_each_phase_and_one_every_thirty_seconds(monkeypatch):
    clock = iter(range(0, 10_000, 20))
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    logs.to_terminal()
    copy(progress.TextProgress(Report("export", "p")))
    logs.close()
    lines = sys.stderr.getvalue().splitlines()
    assert lines == [
        "copying: 25 % of 4.0 MiB, 10 of 40 files, 51.2 KiB/s, 60 s left",
        "warning: The tunnel dropped.",
        "files: 80.0 s",
    ]


def test_a_phase_that_waits_is_told_every_thirty_seconds(monkeypatch):
    monkeypatch.setattr(progress, "_LONG", 0.001)
    monkeypatch.setattr(progress, "_EVERY", 0.01)
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    logs.to_terminal()
    shown, said = progress.TextProgress(Report("import", "p")), sys.stderr.getvalue
    with shown.phase("compare target"), shown.phase("open session"):
        until(lambda: len(re.findall(r"open session: \d+ s so far\n", said())) > 1, "two lines", 5, said)
    logs.close()
    ended = [line.partition(":")[0] for line in said().splitlines() if not line.endswith(" so far")]
    assert ended == ["open session", "compare target"]


def test_a_phase_that_waits_is_shown_at_the_foot_of_a_terminal(monkeypatch):
    monkeypatch.setattr(progress, "_LONG", 0.001)

    def wait(shown, seen):
        with shown.phase("files"):
            until(lambda: b"files" in seen and b" s" in seen, "what takes long", 5, seen.decode)
            shown.files(FileProgress(1 << 20, 4 << 20, 10, 40))
            until(lambda: b"10/40 files" in seen, "the files", 5, seen.decode)

    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", drawn(100, monkeypatch, run=wait))
    assert not re.search(r" \d+ s", plain.rpartition("10/40 files")[2])
