"""What a person sees of a copy under way: on a terminal, and in a file."""

import contextlib
import io
import logging
import os
import pty
import sys
import threading

from cmlutils import log as logs
from cmlutils.cli import progress
from cmlutils.report import Report


def copy(shown):
    with shown.phase("files"):
        shown.step("copying")
        shown.files(1 << 20, 4 << 20, 10, 40)
        logging.getLogger("cmlutils.x").warning("The tunnel dropped.")
        shown.files(3 << 20, 4 << 20, 30, 40)


def test_on_a_terminal_there_is_one_bar_and_log_lines_stay_whole(monkeypatch):
    leader, follower = pty.openpty()
    seen = bytearray()

    def read():
        with contextlib.suppress(OSError):  # the end of a terminal
            while not seen.endswith(b" s\r\n"):  # the phase's own line is the last
                seen.extend(os.read(leader, 4096))

    reader = threading.Thread(target=read)
    reader.start()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    with os.fdopen(follower, "w", buffering=1) as terminal, monkeypatch.context() as patched:
        patched.setattr(sys, "stderr", terminal)
        logs.to_terminal()
        copy(progress.TextProgress(Report("export", "p")))
        logs.close()
        assert sys.stderr is terminal
    reader.join(10)
    os.close(leader)
    assert b"copying" in seen
    assert b"30/40 files" in seen
    assert b"The tunnel dropped." in seen
    assert b"files: " in seen.rpartition(b"\x1b")[2]


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
