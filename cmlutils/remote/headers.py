"""Limits on a reply's headers, which requests lacks: how long they may take, and how long they may be."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from requests.adapters import HTTPAdapter


class _Bounded:
    """Mixed into a connection of http.client, to limit the time for headers."""

    sock: socket.socket
    seconds = 0.0
    late = False

    def getresponse(self) -> Any:
        """Wait for the headers, but not longer than allowed."""
        from http.client import HTTPException

        timer = threading.Timer(self.seconds, self.end)
        timer.daemon = True
        timer.start()
        try:
            response = super().getresponse()  # type: ignore[misc]
        except (OSError, HTTPException) as error:
            if self.late:  # we cut it before its first line was complete
                raise TimeoutError from error
            raise
        finally:
            timer.cancel()
        if self.late:  # a reply that is cut within its headers looks complete
            response.close()
            raise TimeoutError
        return response

    def end(self) -> None:
        """Close the socket, which ends a read that waits for a byte."""
        self.late = True
        with contextlib.suppress(OSError, AttributeError):  # it is closed already
            self.sock.shutdown(socket.SHUT_RDWR)


def in_time(seconds: float) -> HTTPAdapter:
    """Return an adapter that ends a connection when the headers of a reply take longer than this altogether."""
    from requests.adapters import HTTPAdapter

    def bounded(pool: Any) -> Any:
        if issubclass(pool.ConnectionCls, _Bounded):
            return pool
        connection = type("Connection", (_Bounded, pool.ConnectionCls), {"seconds": seconds})
        return type("Pool", (pool,), {"ConnectionCls": connection})

    def limited(manager: Any) -> Any:
        pools = manager.pool_classes_by_scheme  # those of a manager for SOCKS proxies differ
        manager.pool_classes_by_scheme = {scheme: bounded(pool) for scheme, pool in pools.items()}
        return manager

    class Adapter(HTTPAdapter):
        def init_poolmanager(self, *args: Any, **more: Any) -> None:
            super().init_poolmanager(*args, **more)
            limited(self.poolmanager)

        def proxy_manager_for(self, *args: Any, **more: Any) -> Any:
            return limited(super().proxy_manager_for(*args, **more))

    return Adapter()


def too_many(error: BaseException) -> bool:
    """Tell whether this is Python's error for headers that are too long or too many."""
    from http.client import HTTPException, LineTooLong

    return isinstance(error, LineTooLong) or (isinstance(error, HTTPException) and "headers" in str(error))
