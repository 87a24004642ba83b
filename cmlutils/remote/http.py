"""Talk HTTP to one workspace: wait for it when it is away; never repeat a request that may have worked."""

from __future__ import annotations

import io
import logging
import time
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any, BinaryIO

from cmlutils import interrupts
from cmlutils.errors import AnswerLost, ApiError, Rejected, Unreachable
from cmlutils.remote.exchange import Exchange
from cmlutils.remote.replies import MAX_REPLY, Call, message, parse, refusal
from cmlutils.remote.waiting import GATEWAY, Backoff, NoAnswer, Patience, clock_ahead

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from types import TracebackType

    import requests

    from cmlutils.section import Secret, Workspace

__all__ = ["Http", "Patience"]

log = logging.getLogger(__name__)

_QUICK = (0.5, 1.0, 2.0)  # seconds before each of the three retries after what passes soon, such as a plain 500


class Http:
    """The calls to one workspace.

    `answered`: it answered at least once in this run. `waits`: how often we waited for it to come back. `calls`: the
    number of tries by method. `ahead`: by how many seconds its clock was ahead of ours at its last answer.
    """

    def __init__(self, workspace: Workspace, patience: Patience | None = None) -> None:
        self.workspace = workspace
        self.host = workspace.host
        self.answered = False
        self.calls: Counter[str] = Counter()
        self.waits = 0
        self.ahead = 0.0
        self._patience = patience or Patience()
        self._exchange = Exchange(workspace, self._patience.now)

    def __enter__(self) -> Http:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections; a later call opens new ones."""
        self._exchange.close()

    def get(self, path: str, *, params: Mapping[str, Any] | None = None, bearer: Secret | None = None) -> Any:
        """Return the JSON at this path (None when the reply is empty); idempotent, so it is retried."""
        return self._call(Call("GET", path, idempotent=True, params=params, bearer=bearer))

    def send(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        idempotent: bool = False,
        bearer: Secret | None = None,
        patient: bool = True,
    ) -> Any:
        """Send JSON and return the reply's JSON; raise AnswerLost when it may or may not have worked.

        An `idempotent` request is retried; an idempotent POST counts as a read. If not `patient`, there is only one
        try, with short time-outs.
        """
        return self._call(Call(method, path, idempotent, body=body, bearer=bearer, patient=patient))

    def download(self, path: str, to: BinaryIO, limit: int) -> None:
        """Write what is at this path to a seekable file, at most `limit` bytes; the request carries no key."""
        self._call(Call("GET", path, idempotent=True, anonymous=True, sink=to, limit=limit))

    def content(self, path: str, limit: int = MAX_REPLY) -> bytes:
        """Return what is at this path as bytes."""
        sink = io.BytesIO()
        self._call(Call("GET", path, idempotent=True, sink=sink, limit=limit))
        return sink.getvalue()

    def _call(self, call: Call) -> Any:
        """Make a call, with whatever retries and waits it allows; after a signal, there is only one short try."""
        if interrupts.ending():
            call = replace(call, patient=False)
        backoff, known = Backoff(self.host, self._patience, call), self.answered
        quick = iter(_QUICK if call.patient else ())
        while True:
            try:
                return self._once(call)
            except NoAnswer as caught:
                failure = caught
            if failure.not_from_api and not known:
                quick = iter(())  # waiting can't help: most likely url is wrong
            self._recover(call, failure, backoff, quick)

    def _recover(self, call: Call, failure: NoAnswer, backoff: Backoff, quick: Iterator[float]) -> None:
        """Wait until it is time to retry; raise if there must be no retry."""
        if failure.sent and not call.idempotent:
            raise self._lost(call, failure) from failure
        if failure.passes_soon:
            pause = next(quick, None)
            if pause is None:
                raise (self._lost(call, failure) if failure.not_from_api else self._failed(call, failure)) from failure
            self._patience.sleep(pause)
        elif not self.answered or not call.patient:
            raise Unreachable(f"{self.host} {Unreachable.NEVER}: {failure.why}.", hint=failure.hint) from failure
        else:
            self.waits += 1
            backoff.wait(failure)

    def _lost(self, call: Call, failure: NoAnswer) -> ApiError:
        """Return the error for an answer that is of no use."""
        text = f"{self.host} gave no usable answer to {call}: {failure.why}."
        if call.writes:
            return AnswerLost(text, hint="It may or may not have had its effect.")
        return ApiError(text, hint=failure.hint)

    def _failed(self, call: Call, failure: NoAnswer) -> Rejected:
        return Rejected(
            f"{self.host} failed on {call}: {failure.why}.",
            status=failure.status,
            hint="Look at the workspace's own logs.",
        )

    def _once(self, call: Call) -> Any:
        """Try a call once; raise NoAnswer if no usable one came back."""
        started = time.monotonic()
        self.calls[call.method] += 1
        response = self._exchange.open(call)
        with response:
            status = response.status_code
            log.debug("%s %s: %d, %d ms", self.host, call, status, (time.monotonic() - started) * 1000)
            self.ahead = clock_ahead(response.headers.get("Date", ""))
            if status not in GATEWAY:
                self.answered = True
            if 200 <= status < 300:
                if call.sink is not None:
                    return self._exchange.copy(call, response)
                return parse(call, response, self._exchange.read(call, response))
            raise refusal(self.host, call, response, self._told(call, response))

    def _told(self, call: Call, response: requests.Response) -> str:
        """Return what the server says about its refusal; the page of a redirect is ignored."""
        if 300 <= response.status_code < 400:
            return ""
        try:
            return message(self.workspace, call, self._exchange.read(call, response))
        except (ApiError, Unreachable, NoAnswer):
            return ""
