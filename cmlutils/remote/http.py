"""Talk HTTP to one workspace: wait for it when it goes away, never repeat what may have worked."""

from __future__ import annotations

import io
import json
import logging
import ssl
import time
from collections import Counter
from typing import TYPE_CHECKING, Any, BinaryIO

from cmlutils.errors import AnswerLost, ApiError, Rejected, Unreachable
from cmlutils.remote import headers
from cmlutils.remote.replies import GATEWAY, MAX_REPLY, Call, message, parse, refusal, unparsable
from cmlutils.remote.waiting import Away, Patience, Waiting

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from types import TracebackType

    import requests

    from cmlutils.config import Secret, Workspace

__all__ = ["Http", "Patience"]

log = logging.getLogger(__name__)

TIMEOUTS = (10.0, 120.0)  # seconds to connect, and between two arrivals of data
SHORT_TIMEOUTS = (3.0, 5.0)  # for what must not hold up the end of a run
HEADER_SECONDS = 180.0  # for a reply's headers, however steadily they drip
REPLY_SECONDS = 600.0  # for a whole reply
DOWNLOAD_SECONDS = 1800.0
_QUICK = (0.5, 1.0, 2.0)  # pauses before the three repeats after a plain 500


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
        return self._call(Call("GET", path, repeat=True, params=params, headers=headers or {}, bearer=bearer))

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
        return self._call(Call(method, path, repeat, None, body, headers or {}, bearer, patient=patient))

    def download(self, path: str, to: BinaryIO, limit: int) -> None:
        """Write what is at this path to a seekable file, without showing the key; refuse above `limit`."""
        call = Call("GET", path, repeat=True, anonymous=True, sink=to, limit=limit)
        self._call(call)

    def content(self, path: str, limit: int = MAX_REPLY) -> bytes:
        """Return the bytes at this path, whatever they are."""
        sink = io.BytesIO()
        self._call(Call("GET", path, repeat=True, sink=sink, limit=limit))
        return sink.getvalue()

    def _call(self, call: Call) -> Any:
        """Make a call, repeating and waiting as far as it may be."""
        waiting = Waiting(self.host, self._patience)
        quick = iter(_QUICK if call.patient else ())
        while True:
            try:
                return self._once(call)
            except Away as caught:
                away = caught
            self._recover(call, away, waiting, quick)

    def _recover(self, call: Call, away: Away, waiting: Waiting, quick: Iterator[float]) -> None:
        """Return when it is time for another try; raise when there must be none."""
        if away.sent and not call.repeat:
            raise AnswerLost(
                f"{self.host} gave no usable answer to {call}: {away.why}.",
                hint="It may have had its effect or not.",
            ) from away
        if away.status >= 500 and away.status not in GATEWAY and away.status != 501:
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

    def _once(self, call: Call) -> Any:
        """Make one try of a call; raise Away when it got no usable answer."""
        started = time.monotonic()
        self.calls[call.method] += 1
        response = self._open(call)
        with response:
            status = response.status_code
            log.debug("%s %s: %d, %d ms", self.host, call, status, (time.monotonic() - started) * 1000)
            self.date = response.headers.get("Date", "")
            if status not in GATEWAY:
                self.answered = True
            if 200 <= status < 300:
                if call.sink is not None:
                    return self._copy(call, response)
                return parse(self.host, call, response, self._read(call, response))
            raise refusal(self.host, call, response, self._told(call, response))

    def _open(self, call: Call) -> requests.Response:
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
            for scheme in ("https://", "http://"):
                self._session.mount(scheme, headers.in_time(HEADER_SECONDS))
            self._session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
            if self.workspace.verify is False:
                import urllib3

                urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
        return self._session

    def _authorise(self, call: Call) -> Callable[[requests.PreparedRequest], requests.PreparedRequest]:
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

    def _chunks(self, call: Call, response: requests.Response) -> Iterator[bytes]:
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
                raise Away("the connection broke within the answer") from error
            if not chunk:
                return
            size += len(chunk)
            late = self._patience.now() > end
            if late or size > call.limit:
                excess = f"takes longer than {seconds:.0f} s" if late else f"is larger than {call.limit} bytes"
                text = f"{self.host}: the answer to {call} {excess}."
                raise AnswerLost(text) if call.writes else ApiError(text)
            yield chunk

    def _read(self, call: Call, response: requests.Response) -> bytes:
        return b"".join(self._chunks(call, response))

    def _copy(self, call: Call, response: requests.Response) -> None:
        """Put the body into the call's file, from its start."""
        assert call.sink is not None  # noqa: S101
        if call.anonymous and "html" in response.headers.get("Content-Type", ""):
            raise unparsable(self.host, call, response, b"<")
        call.sink.seek(0)
        call.sink.truncate()
        for chunk in self._chunks(call, response):
            call.sink.write(chunk)

    def _told(self, call: Call, response: requests.Response) -> str:
        """Return what the server says about its refusal; a redirect's page says nothing."""
        if 300 <= response.status_code < 400:
            return ""
        try:
            return message(self.workspace, call, self._read(call, response))
        except (ApiError, Away):
            return ""

    def _classify(self, error: requests.RequestException) -> Away | Unreachable:
        """Tell a failure to connect from a lost answer, and find what to do about it."""
        import requests

        causes = list(_causes(error))
        for cause in causes:
            if isinstance(cause, ssl.SSLCertVerificationError):
                return _untrusted(self.host, cause)
        if any(map(headers.too_many, causes)):
            return Away("its answer's headers are too long or too many", status=500)
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


def _gone(error: requests.RequestException, causes: list[BaseException]) -> Away:
    """Name a broken connection; `sent` is false only if there never was one."""
    import socket

    import requests
    from urllib3.exceptions import ConnectTimeoutError, NewConnectionError

    unsent = any(isinstance(cause, (NewConnectionError, ConnectTimeoutError)) for cause in causes)
    unsent = unsent or isinstance(error, requests.ConnectTimeout)
    hint = "Check url, and that this machine may reach it."
    if isinstance(error, requests.exceptions.ProxyError):
        return Away("the proxy does not let us through", hint="Check HTTPS_PROXY and NO_PROXY.", sent=not unsent)
    if any(isinstance(cause, socket.gaierror) for cause in causes):
        return Away("its name can't be resolved", hint=hint, sent=False)
    if any(isinstance(cause, ConnectionRefusedError) for cause in causes):
        return Away("connection refused", hint=hint, sent=not unsent)
    if unsent:
        return Away("no connection within the time allowed", hint=hint, sent=False)
    if isinstance(error, requests.Timeout):
        return Away("no answer within the time allowed", hint=hint)
    return Away("the connection broke", hint=hint)
