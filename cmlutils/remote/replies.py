"""A request, and what a reply to it means: JSON, a refusal, or something that no workspace would send."""

from __future__ import annotations

import json
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO
from urllib.parse import urlsplit

from cmlutils import strict_json
from cmlutils.errors import NotFound, Rejected, Unauthorized
from cmlutils.remote.waiting import GATEWAY, NoAnswer, retry_after

if TYPE_CHECKING:
    from collections.abc import Mapping

    import requests

    from cmlutils.section import Secret, Workspace

MAX_REPLY = 64 * 1024 * 1024
MAX_MESSAGE = 300
_AS_GO = {ord(letter): f"\\u{ord(letter):04x}" for letter in "<>&"}


@dataclass(frozen=True)
class Call:
    """A request, and what may be done when it fails."""

    method: str
    path: str
    idempotent: bool
    params: Mapping[str, Any] | None = None
    body: Any = None
    bearer: Secret | None = None
    anonymous: bool = False
    patient: bool = True
    sink: BinaryIO | None = None
    limit: int = MAX_REPLY

    @property
    def writes(self) -> bool:
        """Whether it changes the workspace; an idempotent POST is a question."""
        return self.method != "GET" and not (self.method == "POST" and self.idempotent)

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


def parse(call: Call, response: requests.Response, body: bytes) -> Any:
    """Return the JSON of a body, None if the body is empty; raise NoAnswer if it is anything else."""
    if not body.strip():
        return None
    try:
        return strict_json.loads(body)
    except ValueError as error:
        raise unparsable(call, response, body) from error


def unparsable(call: Call, response: requests.Response, body: bytes) -> NoAnswer:
    """Return the error for an answer that is not from the workspace's API."""
    html = "html" in response.headers.get("Content-Type", "") or body.lstrip().startswith(b"<")
    wanted = "JSON" if call.sink is None else "a file"
    got = f"HTML, not {wanted}" if html else f"something other than {wanted}"
    return NoAnswer(
        f"{got} (status {response.status_code})",
        status=response.status_code,
        hint="Is url right? A login page or a proxy may have answered instead."
        if html
        else "A proxy may have cut the answer; try again.",
    )


def refusal(host: str, call: Call, response: requests.Response, told: str) -> Exception:
    """Return the error for a status other than 2xx; `told` is the server's message."""
    status = response.status_code
    if 300 <= status < 400:
        return _redirected(response)
    told = f": {told}" if told else ""
    wait = retry_after(response.headers.get("Retry-After", ""), response.headers.get("Date", ""))
    if status == 429:
        return NoAnswer("it has too many requests (429)", sent=False, status=429, wait=wait)
    if status == 501 and not call.path.endswith("/runtimes"):
        return Rejected(f"{host} does not offer {call} (501){told}", status=501)
    if status >= 500:
        hint = "Is url right, and is the workspace up?" if status in GATEWAY else ""
        return NoAnswer(f"status {status}{told}", hint=hint, status=status, wait=wait)
    return _denied(host, call, status, told)


def _denied(host: str, call: Call, status: int, told: str) -> Rejected:
    """Return the error for a 4xx status."""
    text = f"{host} refused {call} ({status}){told}"
    if status in {401, 403}:
        hint = "Is apiv1_key wrong, expired, or not the legacy API key? May this user do this?"
        return Unauthorized(text, status=status, hint=hint)
    if status == 404:
        return NotFound(f"{host} has nothing at {call} (404){told}", status=status)
    return Rejected(text, status=status)


def _redirected(response: requests.Response) -> NoAnswer:
    """Return the error for a redirect, which we never follow, as it would take the key along."""
    try:
        url = urlsplit(response.headers.get("Location", ""))
        place = url.netloc.rpartition("@")[2]
        there = _printable(f"{url.scheme}://{place}") if url.scheme and url.hostname else _printable(place)
    except ValueError:
        there = ""
    return NoAnswer(
        f"a redirect to {there or 'another page of its own'} (status {response.status_code})",
        status=response.status_code,
        hint="Write the workspace's final address as url (https?); a login page may be in between.",
    )


def message(workspace: Workspace, call: Call, body: bytes) -> str:
    """Return the server's message about its refusal, made safe to print; empty if there is none."""
    try:
        text = _said(strict_json.loads(body))
    except ValueError:
        return ""
    secrets = {secret.reveal() for secret in (workspace.api_key, call.bearer) if secret}
    for private in sorted(secrets | _private_values(call), key=len, reverse=True):
        text = text.replace(private, "***")
    return _printable(text)[:MAX_MESSAGE].removesuffix(".")


def _said(reply: object) -> str:
    """Return the message of an error body: `message`, else `error`, else its `message`."""
    if not isinstance(reply, dict):
        return ""
    for value in (reply.get("message"), reply.get("error")):
        if isinstance(value, str) and value:
            return value
        if isinstance(value, dict) and isinstance(value.get("message"), str):
            return str(value["message"])
    return ""


def _private_values(call: Call) -> set[str]:
    """Return a job's arguments and the environment values that a request carries, in all forms that may be quoted."""
    body = call.body if isinstance(call.body, dict) else {}
    environment = body if call.path.endswith("/environment") else body.get("environment")
    if isinstance(environment, str):
        try:
            environment = strict_json.loads(environment)
        except ValueError:
            environment = {"": environment}
    values = [*environment.values()] if isinstance(environment, dict) else []
    values += [body.get("arguments")]
    forms = {value for value in values if isinstance(value, str) and len(value) > 2}
    for _ in range(2):  # a text within a text within JSON
        forms |= {quoted for one in forms for quoted in _in_json(one)}
    return forms


def _in_json(text: str) -> set[str]:
    """Return the forms of a text inside JSON: in ASCII or not, with <, > and & as they are or escaped as by Go."""
    forms = {json.dumps(text, ensure_ascii=ascii_alone)[1:-1] for ascii_alone in (True, False)}
    return forms | {one.translate(_AS_GO) for one in forms}


def _printable(text: str) -> str:
    """Return a text without control characters."""
    return "".join(letter if unicodedata.category(letter)[0] != "C" else " " for letter in text).strip()
