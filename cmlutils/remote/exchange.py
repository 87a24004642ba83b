"""One request and its reply, by the library requests: authorisation, certificates, limits of size and time."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING

from cmlutils import interrupts
from cmlutils.errors import AnswerLost, ApiError, Unreachable
from cmlutils.remote.failures import failure
from cmlutils.remote.headers import in_time
from cmlutils.remote.replies import unparsable
from cmlutils.remote.waiting import NoAnswer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import requests

    from cmlutils.remote.replies import Call
    from cmlutils.section import Workspace

log = logging.getLogger(__name__)

TIMEOUTS = (10.0, 120.0)  # seconds to connect, and between two arrivals of data
SHORT_TIMEOUTS = (3.0, 5.0)  # for calls that must not delay the end of a run
HEADER_SECONDS = 180.0  # for the headers of a reply, even if they arrive byte by byte
REPLY_SECONDS = 600.0  # for a whole reply
DOWNLOAD_SECONDS = 1800.0
REST_SECONDS = 1.0  # after which a connection is not used again: what lies between may have dropped it without a word


class Exchange:
    """Requests to one workspace, over connections that are kept open; `now` is a monotonic clock."""

    def __init__(self, workspace: Workspace, now: Callable[[], float]) -> None:
        self._workspace = workspace
        self._host = workspace.host
        self._now = now
        self._session: requests.Session | None = None
        self._used = now()

    def close(self) -> None:
        """Close the connections; a later request opens new ones."""
        if self._session is not None:
            self._session.close()
            self._session = None

    def open(self, call: Call) -> requests.Response:
        """Send a request and return the response, whose body is still to be read."""
        import requests

        headers = {"Accept": "application/json"}
        if call.sink is not None:
            headers.update({"Accept": "*/*", "Accept-Encoding": "identity"})
        data = None
        if call.method != "GET" and call.body is not None:
            data = json.dumps(call.body).encode()
            headers["Content-Type"] = "application/json"
        connect, read = TIMEOUTS if call.patient else SHORT_TIMEOUTS
        try:
            # Without auth, requests would take a login from ~/.netrc.
            # REQUESTS_CA_BUNDLE would override a verify that is given to the session instead.
            return self._connected().request(
                call.method,
                self._workspace.url + call.path,
                params=call.params,
                data=data,
                headers=headers,
                auth=self._authorise(call),
                timeout=(interrupts.at_most(connect), interrupts.at_most(read)),
                verify=self._workspace.verify,
                allow_redirects=False,
                stream=True,
            )
        except requests.RequestException as error:
            log.debug("%s %s: %s", self._host, call, type(error).__name__)
            raise failure(self._host, error) from error
        except OSError as error:  # requests raises this for a CA bundle that it can't read
            raise Unreachable(
                f"{self._host} {Unreachable.NEVER}: {error.strerror or 'the CA bundle is unreadable'}.",
                hint="Check ca_path, and REQUESTS_CA_BUNDLE in the environment.",
            ) from error

    def _connected(self) -> requests.Session:
        """Return the session, made at first use and after a rest."""
        if self._now() - self._used > REST_SECONDS:
            self.close()
        if self._session is None:
            from http.cookiejar import DefaultCookiePolicy

            import requests

            class Session(requests.Session):
                """Follows no redirects: requests would read the whole body and stumble over a bad Location."""

                def get_redirect_target(self, resp: requests.Response) -> None:
                    """Return None: there is nothing to follow."""

            self._session = Session()
            for scheme in ("https://", "http://"):
                self._session.mount(scheme, in_time(HEADER_SECONDS))
            self._session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
            if self._workspace.verify is False:
                import urllib3

                urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
        return self._session

    def _authorise(self, call: Call) -> Callable[[requests.PreparedRequest], requests.PreparedRequest]:
        """Return a function that sets the right Authorization header of a request, or none."""
        from requests.auth import HTTPBasicAuth

        bearer = call.bearer
        if not call.anonymous and bearer is None:
            return HTTPBasicAuth(self._workspace.api_key.reveal(), "")

        def put(request: requests.PreparedRequest) -> requests.PreparedRequest:
            if bearer is not None:
                request.headers["Authorization"] = f"Bearer {bearer.reveal()}"
            return request

        return put

    def read(self, call: Call, response: requests.Response) -> bytes:
        """Return the whole body."""
        return b"".join(self._chunks(call, response))

    def copy(self, call: Call, response: requests.Response) -> None:
        """Write the body to the call's file, replacing its content."""
        assert call.sink is not None  # noqa: S101
        if call.anonymous and "html" in response.headers.get("Content-Type", ""):
            raise unparsable(call, response, b"<")
        call.sink.seek(0)
        call.sink.truncate()
        for chunk in self._chunks(call, response):
            call.sink.write(chunk)

    def _chunks(self, call: Call, response: requests.Response) -> Iterator[bytes]:
        """Yield the body as it arrives, up to the call's limits of size and time."""
        import requests
        import urllib3

        decode = call.sink is None
        seconds = REPLY_SECONDS if decode else DOWNLOAD_SECONDS
        end, size = self._now() + seconds, 0
        read = getattr(response.raw, "read1", response.raw.read)  # read1 returns what is there
        while True:
            try:
                chunk = read(64 * 1024, decode_content=decode)
            except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
                raise NoAnswer("the connection broke within the answer") from error
            self._used = self._now()
            if not chunk:
                return
            size += len(chunk)
            late = self._used > end
            if late or size > call.limit:
                excess = f"takes longer than {seconds:.0f} s" if late else f"is larger than {call.limit} bytes"
                text = f"{self._host}: the answer to {call} {excess}."
                raise AnswerLost(text) if call.writes else ApiError(text)
            yield chunk
