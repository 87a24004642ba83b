"""Do something in a thread while something else is done."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


def in_thread(action: Callable[[], T]) -> Callable[[], T]:
    """Start an action in a thread; return a function that waits for its result, or raises its exception.

    That function can be called once, and keeps nothing: a result may be a listing of a million names.
    """
    result: Future[T] = Future()
    results = [result]

    def done() -> None:
        try:
            result.set_result(action())
        except BaseException as error:  # noqa: BLE001 - it is raised where the result is asked for
            result.set_exception(error)

    threading.Thread(target=done, daemon=True).start()
    return lambda: results.pop().result()
