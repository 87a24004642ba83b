"""Talk HTTP to one workspace: wait for it when it goes away, never repeat what may have worked."""

from __future__ import annotations

import io
import json
import logging
import random
import ssl
import time
import unicodedata
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, BinaryIO
from urllib.parse import urlsplit

from cmlutils.errors import AnswerLost, ApiError, NotFound, Rejected, Unauthorized, Unreachable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from types import TracebackType

    import requests

    from cmlutils.config import Secret, Workspace

log = logging.getLogger(__name__)

TIMEOUTS = (10.0, 120.0)  # seconds to connect, and between two arrivals of data
SHORT_TIMEOUTS = (3.0, 5.0)  # for what must not hold up the end of a run
MAX_REPLY = 64 * 1024 * 1024
REPLY_SECONDS = 600.0  # for a whole reply, however steadily it drips
DOWNLOAD_SECONDS = 1800.0
MAX_MESSAGE = 300
_QUICK = (0.5, 1.0, 2.0)  # pauses before the three repeats after a plain 500
_GATEWAY = {502, 503, 504}
_SAY_AGAIN = 300.0
_LONGEST_WAIT = 600.0  # the most of a Retry-After that is heeded at a time
_random = random.SystemRandom()


def _log_waiting(text: str) -> None:
    log.warning("%s", text)


@dataclass(frozen=True)
class Patience:
    """How long one call waits for a workspace that went away; the clock is a parameter for tests."""

    seconds: float = 3600.0
    sleep: Callable[[float], None] = time.sleep
    now: Callable[[], float] = time.monotonic
    say: Callable[[str], None] = _log_waiting


@dataclass(frozen=True)
class _Call:
    """One request, and what may be done when it fails."""

    method: str
    path: str
    repeat: bool
    params: Mapping[str, Any] | None = None
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    bearer: Secret | None = None
    anonymous: bool = False
    patient: bool = True
    sink: BinaryIO | None = None
    limit: int = MAX_REPLY

    @property
    def writes(self) -> bool:
        """Whether it changes the workspace; a POST that may be repeated is a question."""
        return self.method != "GET" and not (self.method == "POST" and self.repeat)

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


class _Away(Exception):
    """No usable answer: `sent` says whether the request may have been carried out."""

    def __init__(
        self, why: str, *, hint: str = "", sent: bool = True, status: int = 0, wait: float | None = None
    ) -> None:
        super().__init__(why)
        self.why = why
        self.hint = hint
        self.sent = sent
        self.status = status
        self.wait = wait


class Http:
    """One requests.Session for one workspace.

    `answered` says whether it ever answered in this run, `waits` how often we waited for it to come back, `calls`
    counts the tries by method, and `date` is what its clock said at its last answer, in HTTP's words.
    """

    def __init__(self, workspace: Workspace, patience: Patience | None = None) -> None:
        self.workspace = workspace
        self.host = workspace.host
        self.answered = False
        self.calls: Counter[str] = Counter()
        self.waits = 0
        self.date = ""
        self._patience = patience or Patience()
        self._session: requests.Session | None = None

    def __enter__(self) -> Http:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections; a later call opens new ones."""
        if self._session is not None:
            self._session.close()
            self._session = None

    def get(
        self,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        bearer: Secret | None = None,
    ) -> Any:
        """Return the JSON at this path (None when the reply is empty); safe to repeat, so it is retried."""
        return self._call(_Call("GET", path, repeat=True, params=params, headers=headers or {}, bearer=bearer))

    def send(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        repeat: bool = False,
        headers: Mapping[str, str] | None = None,
        bearer: Secret | None = None,
        patient: bool = True,
    ) -> Any:
        """Send JSON and return the reply's JSON; raise AnswerLost when it may have worked or not.

        `repeat` is for what may be done twice; a POST that may be repeated is taken for a mere question.
        Without `patient` there is one short try.
        """
        return self._call(_Call(method, path, repeat, None, body, headers or {}, bearer, patient=patient))

    def download(self, path: str, to: BinaryIO, limit: int) -> None:
        """Write what is at this path to a seekable file, without showing the key; refuse above `limit`."""
        call = _Call("GET", path, repeat=True, anonymous=True, sink=to, limit=limit)
        self._call(call)

    def content(self, path: str, limit: int = MAX_REPLY) -> bytes:
        """Return the bytes at this path, whatever they are."""
        sink = io.BytesIO()
        self._call(_Call("GET", path, repeat=True, sink=sink, limit=limit))
        return sink.getvalue()

    def _call(self, call: _Call) -> Any:
        """Make a call, repeating and waiting as far as it may be."""
        waiting = _Waiting(self.host, self._patience)
        quick = iter(_QUICK if call.patient else ())
        while True:
            try:
                return self._once(call)
            except _Away as caught:
                away = caught
            self._recover(call, away, waiting, quick)

    def _recover(self, call: _Call, away: _Away, waiting: _Waiting, quick: Iterator[float]) -> None:
        """Return when it is time for another try; raise when there must be none."""
        if away.sent and not call.repeat:
            raise AnswerLost(
                f"{self.host} gave no usable answer to {call}: {away.why}.",
                hint="It may have had its effect or not.",
            ) from away
        if away.status >= 500 and away.status not in _GATEWAY and away.status != 501:
            pause = next(quick, None)
            if pause is None:
                raise Rejected(
                    f"{self.host} failed at {call}: {away.why}.",
                    status=away.status,
                    hint="Look into the workspace's own logs.",
                ) from away
            self._patience.sleep(pause)
        elif not self.answered or not call.patient:
            raise Unreachable(f"{self.host} can't be reached: {away.why}.", hint=away.hint) from away
        else:
            self.waits += 1
            waiting.wait(away)

    def _once(self, call: _Call) -> Any:
        """Make one try of a call; raise _Away when it got no usable answer."""
        started = time.monotonic()
        self.calls[call.method] += 1
        response = self._open(call)
        with response:
            status = response.status_code
            log.debug("%s %s: %d, %d ms", self.host, call, status, (time.monotonic() - started) * 1000)
            self.date = response.headers.get("Date", "")
            if status not in _GATEWAY:
                self.answered = True
            if 200 <= status < 300:
                if call.sink is not None:
                    return self._copy(call, response)
                return self._parse(call, response, self._read(call, response))
            raise self._refusal(call, response)

    def _open(self, call: _Call) -> requests.Response:
        """Send a request and return the response with its body still to be read."""
        import requests

        headers = {"Accept": "application/json", **call.headers}
        if call.sink is not None:
            headers.update({"Accept": "*/*", "Accept-Encoding": "identity"})
        data = None
        if call.method != "GET" and call.body is not None:
            data = json.dumps(call.body).encode()
            headers["Content-Type"] = "application/json"
        try:
            # auth is always given: without it, requests would take one from ~/.netrc.
            # verify is given here and not to the session, where REQUESTS_CA_BUNDLE would win over it.
            return self._connected().request(
                call.method,
                self.workspace.url + call.path,
                params=call.params,
                data=data,
                headers=headers,
                auth=self._authorise(call),
                timeout=TIMEOUTS if call.patient else SHORT_TIMEOUTS,
                verify=self.workspace.verify,
                allow_redirects=False,
                stream=True,
            )
        except requests.RequestException as error:
            log.debug("%s %s: %s", self.host, call, type(error).__name__)
            raise self._classify(error) from error
        except OSError as error:  # requests says so of a CA bundle that it can't read
            raise Unreachable(
                f"{self.host} can't be reached: {error.strerror or 'the CA bundle can not be read'}.",
                hint="Check ca_path, and REQUESTS_CA_BUNDLE in the environment.",
            ) from error

    def _connected(self) -> requests.Session:
        """Return the session, made at first use."""
        if self._session is None:
            from http.cookiejar import DefaultCookiePolicy

            import requests

            class Session(requests.Session):
                """Takes no redirect: requests would read its whole body and trip over a bad Location."""

                def get_redirect_target(self, resp: requests.Response) -> None:
                    """Say that there is none."""

            self._session = Session()
            self._session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
            if self.workspace.verify is False:
                import urllib3

                urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
        return self._session

    def _authorise(self, call: _Call) -> Callable[[requests.PreparedRequest], requests.PreparedRequest]:
        """Return what puts the right Authorization, or none, on a request."""
        from requests.auth import HTTPBasicAuth

        bearer = call.bearer
        if not call.anonymous and bearer is None:
            return HTTPBasicAuth(self.workspace.api_key.reveal(), "")

        def put(request: requests.PreparedRequest) -> requests.PreparedRequest:
            if bearer is not None:
                request.headers["Authorization"] = f"Bearer {bearer.reveal()}"
            return request

        return put

    def _chunks(self, call: _Call, response: requests.Response) -> Iterator[bytes]:
        """Yield the body as it arrives, up to the call's limits of size and time."""
        import requests
        import urllib3

        decode = call.sink is None
        seconds = REPLY_SECONDS if decode else DOWNLOAD_SECONDS
        end, size = self._patience.now() + seconds, 0
        read = getattr(response.raw, "read1", response.raw.read)  # read1 returns what is there
        while True:
            try:
                chunk = read(64 * 1024, decode_content=decode)
            except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
                raise _Away("the connection broke within the answer") from error
            if not chunk:
                return
            size += len(chunk)
            late = self._patience.now() > end
            if late or size > call.limit:
                excess = f"takes longer than {seconds:.0f} s" if late else f"is larger than {call.limit} bytes"
                text = f"{self.host}: the answer to {call} {excess}."
                raise AnswerLost(text) if call.writes else ApiError(text)
            yield chunk

    def _read(self, call: _Call, response: requests.Response) -> bytes:
        return b"".join(self._chunks(call, response))

    def _copy(self, call: _Call, response: requests.Response) -> None:
        """Put the body into the call's file, from its start."""
        assert call.sink is not None  # noqa: S101
        if call.anonymous and "html" in response.headers.get("Content-Type", ""):
            raise self._unparsable(call, response, b"<")
        call.sink.seek(0)
        call.sink.truncate()
        for chunk in self._chunks(call, response):
            call.sink.write(chunk)

    def _parse(self, call: _Call, response: requests.Response, body: bytes) -> Any:
        """Return a body's JSON, None when there is none; raise when it is anything else."""
        if not body.strip():
            return None
        try:
            return json.loads(body, parse_constant=_no_number, parse_float=_finite)
        except (ValueError, RecursionError) as error:
            raise self._unparsable(call, response, body) from error

    def _unparsable(self, call: _Call, response: requests.Response, body: bytes) -> ApiError:
        """Say that something answered, but not the workspace's API."""
        html = "html" in response.headers.get("Content-Type", "") or body.lstrip().startswith(b"<")
        kind = AnswerLost if call.writes else ApiError
        wanted = "JSON" if call.sink is None else "a file"
        return kind(
            f"{self.host} answered {call} with {'HTML' if html else 'something'}, not {wanted} "
            f"(status {response.status_code}).",
            hint="Is url right? A login page or a proxy may have answered instead."
            if html
            else "A proxy may have cut the answer; try again.",
        )

    def _refusal(self, call: _Call, response: requests.Response) -> Exception:
        """Return the error that a status other than 2xx stands for."""
        status = response.status_code
        if 300 <= status < 400:
            return self._redirected(call, response)
        said = self._message(call, response)
        told = f": {said}" if said else ""
        if status == 429:
            return _Away("it has too many requests (429)", sent=False, status=429, wait=_retry_after(response))
        if status == 501 and not call.path.endswith("/runtimes"):
            return Rejected(f"{self.host} does not offer {call} (501){told}", status=501)
        if status >= 500:
            hint = "Is url right, and is the workspace up?" if status in _GATEWAY else ""
            return _Away(f"status {status}{told}", hint=hint, status=status, wait=_retry_after(response))
        return self._denied(call, status, told)

    def _denied(self, call: _Call, status: int, told: str) -> Rejected:
        """Return the error of a 4xx status."""
        text = f"{self.host} refused {call} ({status}){told}"
        if status in {401, 403}:
            hint = "Is apiv1_key wrong, expired, or not the legacy API key? May this user do this?"
            return Unauthorized(text, status=status, hint=hint)
        if status == 404:
            return NotFound(f"{self.host} has nothing at {call} (404){told}", status=status)
        return Rejected(text, status=status)

    def _redirected(self, call: _Call, response: requests.Response) -> ApiError:
        """Say where a redirect points; we never follow it with the key."""
        try:
            where = urlsplit(response.headers.get("Location", ""))
            host = _printable(where.hostname or "")
        except ValueError:
            host = ""
        return ApiError(
            f"{self.host} redirects {call} to {host or 'another page of its own'} (status {response.status_code}).",
            hint="Write the workspace's final address as url (https?); a login page may be in between.",
        )

    def _message(self, call: _Call, response: requests.Response) -> str:
        """Return what the server says about its refusal, harmless to print; empty when it says nothing."""
        try:
            reply = json.loads(self._read(call, response))
        except (ValueError, RecursionError, ApiError, _Away):
            return ""
        text = _said(reply)
        secrets = {secret.reveal() for secret in (self.workspace.api_key, call.bearer) if secret}
        for private in sorted(secrets | _environment_values(call), key=len, reverse=True):
            text = text.replace(private, "***")
        return _printable(text)[:MAX_MESSAGE]

    def _classify(self, error: requests.RequestException) -> _Away | Unreachable:
        """Tell a failure to connect from a lost answer, and find what to do about it."""
        import requests

        causes = list(_causes(error))
        for cause in causes:
            if isinstance(cause, ssl.SSLCertVerificationError):
                return _untrusted(self.host, cause)
        if isinstance(error, requests.exceptions.SSLError) and not self.answered:
            return Unreachable(
                f"{self.host} can't be reached: TLS failed.",
                hint="Is url https where the server speaks http? Does ca_path hold its CA's certificates?",
            )
        if isinstance(error, (requests.ConnectionError, requests.Timeout)) or any(
            isinstance(cause, OSError) and not isinstance(cause, requests.RequestException) for cause in causes
        ):
            return _gone(error, causes)
        return Unreachable(
            f"{self.host} can't be reached: {type(error).__name__}.",
            hint="Check url, and the proxy variables of the environment.",
        )


class _Waiting:
    """The waits of one call: longer and longer, with jitter, until patience ends."""

    def __init__(self, host: str, patience: Patience) -> None:
        self._host = host
        self._patience = patience
        self._since: float | None = None
        self._tries = 0
        self._said: tuple[str, float] | None = None

    def wait(self, away: _Away) -> None:
        """Sleep before the next try; raise Unreachable when patience has run out."""
        now = self._patience.now()
        self._since = now if self._since is None else self._since
        left = self._since + self._patience.seconds - now
        if left <= 0:
            raise Unreachable(
                f"{self._host} stayed away for {self._patience.seconds:.0f} s: {away.why}.",
                hint="Run the same command again when it is back; it goes on where it stopped.",
            ) from away
        step = min(30.0, 2.0**self._tries)
        pause = max(1.0, _random.uniform(step / 2, step) if away.wait is None else min(away.wait, _LONGEST_WAIT))
        self._tries = min(self._tries + 1, 10)
        if self._said is None or self._said[0] != away.why or now - self._said[1] >= _SAY_AGAIN:
            self._said = (away.why, now)
            self._patience.say(f"waiting for {self._host}: {away.why} (for {left:.0f} s more at most)")
        self._patience.sleep(min(pause, left))


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and everything that it wraps."""
    todo, seen = [error], set[int]()
    while todo:
        cause = todo.pop()
        if id(cause) in seen:
            continue
        seen.add(id(cause))
        yield cause
        wrapped = (*cause.args, getattr(cause, "reason", None), cause.__cause__, cause.__context__)
        todo.extend(inner for inner in wrapped if isinstance(inner, BaseException))


def _untrusted(host: str, error: ssl.SSLCertVerificationError) -> Unreachable:
    """Say why a certificate is not good enough, and what to do."""
    why = error.verify_message or "unknown"
    if error.verify_code in {62, 63, 64} or "match" in why.lower():
        hint = "url must name the workspace as its certificate does."
    elif error.verify_code == 10:
        hint = "Its certificate has expired, or this machine's clock is wrong."
    else:
        hint = "Name a file with its CA's certificates (PEM) as ca_path."
    return Unreachable(f"{host} can't be trusted: certificate verification failed: {why}.", hint=hint)


def _gone(error: requests.RequestException, causes: list[BaseException]) -> _Away:
    """Name a broken connection; `sent` is false only if there never was one."""
    import socket

    import requests
    from urllib3.exceptions import ConnectTimeoutError, NewConnectionError

    unsent = any(isinstance(cause, (NewConnectionError, ConnectTimeoutError)) for cause in causes)
    unsent = unsent or isinstance(error, requests.ConnectTimeout)
    hint = "Check url, and that this machine may reach it."
    if isinstance(error, requests.exceptions.ProxyError):
        return _Away("the proxy does not let us through", hint="Check HTTPS_PROXY and NO_PROXY.", sent=not unsent)
    if any(isinstance(cause, socket.gaierror) for cause in causes):
        return _Away("its name can't be resolved", hint=hint, sent=False)
    if any(isinstance(cause, ConnectionRefusedError) for cause in causes):
        return _Away("connection refused", hint=hint, sent=not unsent)
    if unsent:
        return _Away("no connection within the time allowed", hint=hint, sent=False)
    if isinstance(error, requests.Timeout):
        return _Away("no answer within the time allowed", hint=hint)
    return _Away("the connection broke", hint=hint)


def _retry_after(response: requests.Response) -> float | None:
    """Return the seconds that Retry-After asks for, as a number or a date."""
    text = response.headers.get("Retry-After", "").strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        when = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    when = when if when.tzinfo else when.replace(tzinfo=timezone.utc)
    return max(0.0, (when - datetime.now(timezone.utc)).total_seconds())


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


def _environment_values(call: _Call) -> set[str]:
    """Return the values of the environment that a request carries: a refusal may quote them."""
    body = call.body if isinstance(call.body, dict) else {}
    environment = body if call.path.endswith("/environment") else body.get("environment")
    values = environment.values() if isinstance(environment, dict) else ()
    return {value for value in values if isinstance(value, str) and len(value) > 2}


def _no_number(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


def _finite(text: str) -> float:
    """Return a number; one beyond all numbers is refused, as it would pass for infinity."""
    number = float(text)
    if number in {float("inf"), float("-inf")}:
        raise ValueError(f"{text[:20]} is too large")
    return number


def _printable(text: str) -> str:
    """Return a text without control characters."""
    return "".join(letter if unicodedata.category(letter)[0] != "C" else " " for letter in text).strip()
