"""Waiting for what a test can see, never longer than some seconds."""

import os
import time
from pathlib import Path


def until(condition, what, seconds=30, shown=None):
    """Ask again until there is an answer, and return it; fail with what was waited for, and what is `shown` instead."""
    __tracebackhide__ = True  # the line that waits is of interest
    end = time.monotonic() + seconds
    while not (answer := condition()):
        if time.monotonic() > end:
            raise AssertionError(f"waited {seconds} s for {what}" + (f"; instead: {shown()}" if shown else ""))
        time.sleep(0.02)
    return answer


def gone(pid):
    """Tell whether a process has ended; a zombie has."""
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except ProcessLookupError:
        return True
    except FileNotFoundError:  # it has just ended, or there is no /proc
        return False
