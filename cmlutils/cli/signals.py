"""INT, TERM and HUP end a run in good order within ten seconds; after a second one, or if that hangs, at once.

A further HUP is no second one: when a terminal closes, the shell sends one, and then the system.

Python runs a handler only when the main thread is back in Python code, and not, for example, while it waits for a name
server. So a thread also receives the signals, and ends the process in time if the main thread can't.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import threading
import time
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

from cmlutils import interrupts
from cmlutils.errors import Interrupted
from cmlutils.remote import watchdog

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from sys import UnraisableHookArgs
    from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_LOST = 0  # no signal's number: the first signal's exception was ignored
_PATIENCE = interrupts.SECONDS + 0.5  # seconds; then the watchdog has its grace, before a batch would kill us


def _heard(signum: int, _frame: FrameType | None) -> None:
    interrupts.hear(signum)


def _ignored(before: Callable[[UnraisableHookArgs], object], writer: int, what: UnraisableHookArgs) -> None:
    """Do as before with an exception that Python ignores, but ask the thread to repeat the signal if it was ours."""
    if isinstance(what.exc_value, Interrupted):
        interrupts.lost()
        os.write(writer, bytes([_LOST]))
    else:
        before(what)


def _nohup(signum: int) -> bool:
    """Tell whether nohup made this signal ignored. It is SIGHUP alone: scripts ignore SIGINT for background jobs."""
    return signum == signal.SIGHUP and signal.getsignal(signum) is signal.SIG_IGN


@contextmanager
def signals() -> Iterator[None]:
    """Handle the signals that end a run while the block runs; at its end, nothing that it started is left."""
    interrupts.forget()
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    thread = threading.Thread(target=_watch, args=(reader, threading.get_ident()), daemon=True)
    thread.start()  # first, as a machine may let us start no more
    before = {one: signal.signal(one, _heard) for one in _SIGNALS if not _nohup(one)}
    wakeup = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    hook, sys.unraisablehook = sys.unraisablehook, partial(_ignored, sys.unraisablehook, writer)
    try:
        yield
    finally:
        with interrupts.held():
            watchdog.dismiss()
            sys.unraisablehook = hook
            signal.set_wakeup_fd(wakeup)
            os.close(writer)
            thread.join()
            os.close(reader)
            for one, handler in before.items():
                signal.signal(one, handler)
            interrupts.forget()  # a signal that came this late had nothing left to end


def _watch(reader: int, main: int) -> None:
    """Wait for a first signal, then for a second one or the deadline; then end the process unless it ends by itself.

    `main` is the thread that handles signals. If the first one's exception got lost there, it gets the signal again.
    """
    first = _next(reader)
    if not first:
        return
    end = time.monotonic() + _PATIENCE
    while (second := _next(reader, max(end - time.monotonic(), 0.0))) in {_LOST, signal.SIGHUP}:
        if second == _LOST:
            time.sleep(0.01)  # until it is out of where exceptions are ignored
            signal.pthread_kill(main, first)
            _next(reader)  # the one just sent
    if second is not None:
        watchdog.leave()
        os._exit(128 + first)


def _next(reader: int, seconds: float | None = None) -> int | None:
    """Return the next signal that we handle, or _LOST; -1 when time is up, None when the block is over."""
    while True:
        ready, _, _ = select.select([reader], [], [], seconds)
        if not ready:
            return -1
        number = os.read(reader, 1)
        if not number:
            return None
        if number[0] in {*_SIGNALS, _LOST}:
            return number[0]
