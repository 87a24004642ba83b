"""Failures below HTTP: what went wrong, whether the request may have arrived, and what to do about it."""

from __future__ import annotations

import socket
import ssl
from typing import TYPE_CHECKING

from cmlutils.errors import Unreachable
from cmlutils.remote.headers import too_many
from cmlutils.remote.waiting import NoAnswer

if TYPE_CHECKING:
    from collections.abc import Iterator

    import requests


def failure(host: str, error: requests.RequestException) -> NoAnswer | Unreachable:
    """Return NoAnswer, which says whether the request may have arrived, or Unreachable for what waiting can't cure."""
    import requests

    causes = list(_causes(error))
    for cause in causes:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return _untrusted(cause)
    if any(map(too_many, causes)):
        return NoAnswer("its answer's headers are too long or too many", status=500)
    if isinstance(error, requests.exceptions.SSLError):
        hint = "Is url https where the server speaks http? Does ca_path hold its CA's certificates?"
        return NoAnswer("TLS failed", hint=hint)
    if isinstance(error, (requests.ConnectionError, requests.Timeout)) or any(
        isinstance(cause, OSError) and not isinstance(cause, requests.RequestException) for cause in causes
    ):
        return _gone(error, causes)
    hint = "HTTPS_PROXY, HTTP_PROXY or ALL_PROXY must be like http://HOST:PORT; or NO_PROXY must name the workspace."
    if "SOCKS support" in str(error):
        hint += " For a SOCKS proxy, run 'python3 -m pip install pysocks'."
    return Unreachable(  # whatever else is wrong with the url was told when it was read
        f"{host} {Unreachable.NEVER}: the proxy that the environment names can't be used ({type(error).__name__}).",
        hint=hint,
    )


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and all errors that it wraps."""
    todo, seen = [error], set[int]()
    while todo:
        cause = todo.pop()
        if id(cause) in seen:
            continue
        seen.add(id(cause))
        yield cause
        wrapped = (*cause.args, getattr(cause, "reason", None), cause.__cause__, cause.__context__)
        todo.extend(inner for inner in wrapped if isinstance(inner, BaseException))


def _untrusted(error: ssl.SSLCertVerificationError) -> NoAnswer:
    """Return an error that says why a certificate is not trusted, and what to do."""
    why = error.verify_message.rstrip(".") or "unknown"
    if error.verify_code in {62, 63, 64} or "match" in why.lower():
        hint = "url must name the workspace as its certificate does."
    elif error.verify_code in {9, 10}:
        end = "is not valid yet" if error.verify_code == 9 else "has expired"
        hint = f"Its certificate {end}, or this machine's clock is wrong."
    else:
        hint = "Name a file with its CA's certificates (PEM) as ca_path."
    return NoAnswer(f"its certificate can't be trusted: {why}", hint=hint, sent=False)


def _gone(error: requests.RequestException, causes: list[BaseException]) -> NoAnswer:
    """Describe a broken connection; `sent` is false only if there never was a connection."""
    import requests
    from urllib3.exceptions import ConnectTimeoutError, NewConnectionError

    unsent = any(isinstance(cause, (NewConnectionError, ConnectTimeoutError)) for cause in causes)
    unsent = unsent or isinstance(error, requests.ConnectTimeout)
    hint = "Check url, and that this machine may reach it."
    if isinstance(error, requests.exceptions.ProxyError):
        return NoAnswer("the proxy does not let us through", hint="Check HTTPS_PROXY and NO_PROXY.", sent=not unsent)
    if any(isinstance(cause, socket.gaierror) for cause in causes):
        return NoAnswer("its name can't be resolved", hint=hint, sent=False)
    if any(isinstance(cause, ConnectionRefusedError) for cause in causes):
        return NoAnswer("connection refused", hint=hint, sent=not unsent)
    if unsent:
        return NoAnswer("no connection within the time allowed", hint=hint, sent=False)
    if isinstance(error, requests.Timeout):
        return NoAnswer("no answer within the time allowed", hint=hint)
    return NoAnswer("the connection broke", hint="Check url, https or http, and that this machine may reach it.")
