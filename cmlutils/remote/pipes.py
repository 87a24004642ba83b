"""A program's three pipes, all served at once until they end, within a time and within a size."""

from __future__ import annotations

import os
import selectors
import time
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_OUTPUT = 64 << 20  # bytes on one pipe; no answer that we ask for comes near
_AT_ONCE = 1 << 16


class TooMuch(Exception):
    """A program wrote more than MAX_OUTPUT bytes."""


def exchange(writes: IO[bytes] | None, reads: Iterable[IO[bytes] | None], data: bytes, end: float) -> list[bytes]:
    """Write `data` to one pipe and return all that comes from the others; each is closed when it is through.

    Raises TimeoutError at `end` (of the monotonic clock), and TooMuch as soon as one has said too much.
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
                    left = _written(key.fd, left)
                    through = not left
                else:
                    through = _read(key.fd, said[key.data])
                if through:
                    waiting.unregister(key.fileobj)
                    key.data.close()
    return [bytes(text) for text in said.values()]


def _written(descriptor: int, data: memoryview) -> memoryview:
    """Write some of the data and return the rest: nothing, where the program reads no more."""
    try:
        return data[os.write(descriptor, data[:_AT_ONCE]) :] if data else data
    except BrokenPipeError:
        return data[:0]


def _read(descriptor: int, said: bytearray) -> bool:
    """Read some, and tell whether that was all."""
    chunk = os.read(descriptor, _AT_ONCE)
    said += chunk
    if len(said) > MAX_OUTPUT:
        raise TooMuch
    return not chunk
