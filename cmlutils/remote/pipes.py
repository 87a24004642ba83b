"""Serve a program's three pipes at the same time until they end, with limits of time and size."""

from __future__ import annotations

import os
import selectors
import time
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_OUTPUT = 64 << 20  # bytes from one pipe; far more than any answer that we ask for
_AT_ONCE = 1 << 16


class TooMuch(Exception):
    """A program wrote more than MAX_OUTPUT bytes."""


def communicate(writes: IO[bytes] | None, reads: Iterable[IO[bytes] | None], data: bytes, end: float) -> list[bytes]:
    """Write `data` to one pipe and return everything that comes from the others; each pipe is closed at its end.

    Raises TimeoutError at `end` (of the monotonic clock), and TooMuch as soon as more than MAX_OUTPUT bytes came.
    """
    left, said = memoryview(data), {pipe: bytearray() for pipe in reads if pipe is not None}
    with selectors.DefaultSelector() as waiting:
        for pipe in said:
            waiting.register(pipe, selectors.EVENT_READ, pipe)
        if writes is not None:
            os.set_blocking(writes.fileno(), False)
            waiting.register(writes, selectors.EVENT_WRITE, writes)
        while waiting.get_map():
            if time.monotonic() > end:
                raise TimeoutError
            for key, _ in waiting.select(max(end - time.monotonic(), 0)):
                if key.data is writes:
                    left = _write_some(key.fd, left)
                    through = not left
                else:
                    through = _read(key.fd, said[key.data])
                if through:
                    waiting.unregister(key.fileobj)
                    key.data.close()
    return [bytes(text) for text in said.values()]


def _write_some(descriptor: int, data: memoryview) -> memoryview:
    """Write some of the data and return the rest; nothing is left if the program stopped reading."""
    try:
        return data[os.write(descriptor, data[:_AT_ONCE]) :] if data else data
    except BrokenPipeError:
        return data[:0]


def _read(descriptor: int, said: bytearray) -> bool:
    """Read some; return whether the pipe has ended."""
    chunk = os.read(descriptor, _AT_ONCE)
    said += chunk
    if len(said) > MAX_OUTPUT:
        raise TooMuch
    return not chunk
