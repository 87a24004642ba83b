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
    from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

    def bounded(kind: Any) -> Any:
        connection = type("Connection", (_Bounded, kind.ConnectionCls), {"seconds": seconds})
        return type("Pool", (kind,), {"ConnectionCls": connection})

    pools = {"http": bounded(HTTPConnectionPool), "https": bounded(HTTPSConnectionPool)}

    class Adapter(HTTPAdapter):
        def init_poolmanager(self, *args: Any, **more: Any) -> None:
            super().init_poolmanager(*args, **more)
            self.poolmanager.pool_classes_by_scheme = pools

        def proxy_manager_for(self, *args: Any, **more: Any) -> Any:
            manager = super().proxy_manager_for(*args, **more)
            manager.pool_classes_by_scheme = pools
            return manager

    return Adapter()


def too_many(error: BaseException) -> bool:
    """Tell whether this is Python's error for headers that are too long or too many."""
    from http.client import HTTPException, LineTooLong

    return isinstance(error, LineTooLong) or (isinstance(error, HTTPException) and "headers" in str(error))
