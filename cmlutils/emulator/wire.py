"""HTTP/1.1 on a socket: keep-alive, TLS, and the ways in which a connection can go wrong."""

from __future__ import annotations

import io
import json
import os
import socket
import socketserver
import struct
import sys
import threading
import urllib.parse
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    from cmlutils.emulator.faults import Fault

_HTML = b"<!DOCTYPE html><html><head><title>Sign in</title></head><body>Please sign in.</body></html>"
_PIECES = 20


@dataclass
class Request:
    """A request as it came in; ``path`` is percent-decoded."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes

    def environ(self) -> dict[str, Any]:
        """Return the request as a WSGI environ."""
        environ: dict[str, Any] = {
            "REQUEST_METHOD": self.method, "SCRIPT_NAME": "", "QUERY_STRING": self.query,
            "PATH_INFO": self.path.encode().decode("latin-1"), "CONTENT_LENGTH": str(len(self.body)),
            "CONTENT_TYPE": self.headers.get("content-type", ""), "SERVER_NAME": "localhost", "SERVER_PORT": "0",
            "SERVER_PROTOCOL": "HTTP/1.1", "wsgi.version": (1, 0), "wsgi.url_scheme": "http",
            "wsgi.input": io.BytesIO(self.body), "wsgi.errors": io.StringIO(), "wsgi.multithread": True,
            "wsgi.multiprocess": False, "wsgi.run_once": False,
        }  # fmt: skip
        return environ | {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in self.headers.items()}


@dataclass
class Answer:
    """What is sent back: a body, at once or slowly; a reset instead; or a connection that stays open until an event."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    reset: bool = False
    spread: float = 0
    """Seconds over which the body is sent."""
    until: threading.Event | None = None
    """Keep the connection open without sending anything until this is set."""


def before(fault: Fault, released: threading.Event) -> Answer:
    """Return the answer to a request that is to have no effect; a hang ends early when ``released`` is set."""
    if fault.action == "status":
        return _scripted(fault)
    if fault.action == "html":
        return Answer(200, _HTML, {"Content-Type": "text/html"})
    if fault.action == "hang":
        released.wait(fault.seconds)
    return Answer(reset=True)


def after(fault: Fault, answer: Answer, released: threading.Event) -> Answer:
    """Return what the fault makes of the answer to a request that had its effect."""
    if fault.action == "status-after":
        return _scripted(fault)
    if fault.action == "reset-after":
        return Answer(reset=True)
    if fault.action == "hang-after":
        released.wait(fault.seconds)
    elif fault.action == "slow":
        answer.spread = fault.seconds
    elif fault.action == "cut-json":
        answer.body = answer.body[: len(answer.body) // 2]
    elif fault.action == "wrong-type":
        other: Any = {} if answer.body.lstrip().startswith(b"[") else []
        answer.body = json.dumps(other if fault.body is None else fault.body).encode()
    return answer


def _scripted(fault: Fault) -> Answer:
    if isinstance(fault.body, str):
        return Answer(fault.status, fault.body.encode(), {"Content-Type": "text/plain", **fault.headers})
    body = fault.body if fault.body is not None else {"message": HTTPStatus(fault.status).phrase}
    return Answer(fault.status, json.dumps(body).encode(), {"Content-Type": "application/json", **fault.headers})


class Server(socketserver.ThreadingTCPServer):
    """Answers requests on 127.0.0.1 with ``answer``, in one thread per connection, until ``close``."""

    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128  # may wait to be accepted; what comes then is tried again only after a second

    def __init__(
        self,
        port: int,
        answer: Callable[[Request], Answer],
        released: threading.Event,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.answer = answer
        self.released = released
        self._tls = tls
        self._lock = threading.Lock()
        self._open: dict[socket.socket, threading.Thread] = {}
        self._held: set[threading.Event] = set()
        self._stopping = False
        self._thread = threading.Thread(target=self.serve_forever, args=(0.02,), name="http", daemon=True)
        self._thread.start()

    def get_request(self) -> tuple[socket.socket, Any]:
        """Accept a connection; the TLS handshake is left to the connection's own thread."""
        connection, address = super().get_request()
        if self._tls:
            connection = self._tls.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        return connection, address

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Serve one connection."""
        with self._lock:
            self._open[request] = threading.current_thread()
        super().process_request_thread(request, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore a broken connection, which its client notices; report any other error."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Forget a connection and close it."""
        with self._lock:
            self._open.pop(request, None)
        super().shutdown_request(request)

    def hold(self, until: threading.Event) -> None:
        """Wait until this event is set, which ``close`` does at the latest."""
        with self._lock:
            self._held.add(until)
            if self._stopping:
                until.set()
        until.wait()
        with self._lock:
            self._held.discard(until)

    def close(self) -> None:
        """Stop listening, reset what is open, and wait for the threads."""
        self.shutdown()
        self._thread.join()
        self.server_close()
        with self._lock:
            self._stopping = True
            left, held = dict(self._open), set(self._held)
        for until in held:
            until.set()
        for connection in left:
            _hang_up(connection)
        for thread in left.values():
            thread.join(5)


def _hang_up(connection: socket.socket) -> None:
    """Shut a connection for reading, so that the thread that reads from it wakes up."""
    try:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        socket.socket.shutdown(connection, socket.SHUT_RD)
    except OSError:
        return


class _Handler(BaseHTTPRequestHandler):
    """Handles one connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    server: Server

    def handle(self) -> None:
        """Serve requests until either side ends the connection; a client that breaks it off is not an error."""
        try:
            super().handle()
        except OSError:
            self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Log nothing."""

    def _serve(self) -> None:
        raw_path, _, query = self.path.partition("?")
        length = int(self.headers.get("Content-Length") or 0)
        headers = {name.lower(): value for name, value in self.headers.items()}
        body = self.rfile.read(length)
        if len(body) == length:
            self._send(self.server.answer(Request(self.command, urllib.parse.unquote(raw_path), query, headers, body)))
        else:  # it was cut off, by its client or by `close`: no request
            self.close_connection = True

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = do_OPTIONS = _serve  # noqa: N815 - http.server's names

    def _send(self, answer: Answer) -> None:
        if answer.reset:
            self._reset()
            return
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        if answer.until:
            self._hold(answer.until)
            return
        if answer.status != 204:
            self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        body = answer.body if self.command != "HEAD" else b""
        pieces = _PIECES if answer.spread else 1
        size = max(1, -(-len(body) // pieces))
        for start in range(0, len(body), size):
            self.wfile.write(body[start : start + size])
            self.wfile.flush()
            self.server.released.wait(answer.spread / pieces)

    def _hold(self, until: threading.Event) -> None:
        self.close_connection = True
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(b"held\n")
        self.wfile.flush()
        self.server.hold(until)

    def _reset(self) -> None:
        """End the connection with RST: the client sees it reset, not closed."""
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        os.close(self.connection.detach())
