"""INT, TERM and HUP end a run in good order within ten seconds; after a second one, or if that hangs, at once.

Python runs a handler only when the main thread is back in Python code, and not, for example, while it waits for a name
server. So a thread also receives the signals, and ends the process in time if the main thread can't.
"""

from __future__ import annotations

import os
import select
import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from cmlutils import interrupts
from cmlutils.remote import watchdog

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_PATIENCE = interrupts.SECONDS + 0.5  # seconds; then the watchdog has its grace, before a batch would kill us


def _heard(signum: int, _frame: FrameType | None) -> None:
    interrupts.hear(signum)


def _nohup(signum: int) -> bool:
    """Tell whether nohup made this signal ignored. It is SIGHUP alone: scripts ignore SIGINT for background jobs."""
    return signum == signal.SIGHUP and signal.getsignal(signum) is signal.SIG_IGN


@contextmanager
def signals() -> Iterator[None]:
    """Handle the signals that end a run while the block runs; at its end, nothing that it started is left."""
    interrupts.forget()
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    before = {one: signal.signal(one, _heard) for one in _SIGNALS if not _nohup(one)}
    wakeup = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    thread = threading.Thread(target=_watch, args=(reader,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        with interrupts.held():
            watchdog.dismiss()
            signal.set_wakeup_fd(wakeup)
            os.close(writer)
            thread.join()
            os.close(reader)
            for one, handler in before.items():
                signal.signal(one, handler)
            interrupts.forget()  # a signal that came this late had nothing left to end


def _watch(reader: int) -> None:
    """Wait for a first signal, then for a second one or the deadline; then end the process unless it ends by itself."""
    first = _next(reader)
    if first and _next(reader, _PATIENCE) is not None:
        watchdog.leave()
        os._exit(128 + first)


def _next(reader: int, seconds: float | None = None) -> int | None:
    """Return the next signal that we handle; 0 when time is up, None when the block is over."""
    while True:
        ready, _, _ = select.select([reader], [], [], seconds)
        if not ready:
            return 0
        number = os.read(reader, 1)
        if not number:
            return None
        if number[0] in _SIGNALS:
            return number[0]
