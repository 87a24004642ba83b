"""Waits for conditions that a test can check, for a limited number of seconds."""

import os
import time
from pathlib import Path


def until(condition, what, seconds=30, shown=None):
    """Call `condition` until its answer is true, and return that; on time-out fail with `what` and `shown()`."""
    __tracebackhide__ = True  # a failure is reported at the caller's line
    end = time.monotonic() + seconds
    while not (answer := condition()):
        if time.monotonic() > end:
            raise AssertionError(f"waited {seconds} s for {what}" + (f"; instead: {shown()}" if shown else ""))
        time.sleep(0.02)
    return answer


def gone(pid):
    """Tell whether a process has ended; a zombie counts as ended."""
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except ProcessLookupError:
        return True
    except FileNotFoundError:  # it has just ended, or there is no /proc
        return False
