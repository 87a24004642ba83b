"""Stop an application on the target, in each way that we know, and watch what comes of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cmlutils.application import ENDED
from cmlutils.errors import ApiError, NotFound
from cmlutils.flows.replaying.target import Target, tried
from cmlutils.workloads import identity_in

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cmlutils.flows.replaying.steps import Record
    from cmlutils.workloads import Identity

_ROUNDS = (0.0, 5.0)  # seconds to wait before each round: a stop may be refused while it is still starting
_LINGER = {"stopping": 120.0, "running": 15.0, "starting": 15.0, "scheduling": 15.0}
_LINGER_ELSE = 4.0  # seconds for a status that does not change by itself, such as failed
_NOT_YET_STARTED = (1.0, 2.0)  # seconds to wait before each look at one that seems stopped, but may be about to start


@dataclass(frozen=True)
class ApplicationStop:
    """Stops one application. No public capture proves v1's ways for applications, so each is judged by its effect."""

    target: Target
    identity: Identity
    application_id: int

    def request(self) -> None:
        """Ask it to stop, in each way until it begins to; raise ApiError when none of them works."""
        for way in self._ways:
            if tried("application stop", way) and self._read().get("status") in {"stopping", *ENDED}:
                return
        raise ApiError("It was asked to stop, but did not.")

    def until_ended(self, *, seen_starting: bool) -> Record | None:
        """Stop it, in each way until it has ended; return the application as it is then, None if it goes on.

        One that was not `seen_starting` may be about to start, so a single look is not enough.
        """
        for pause in _ROUNDS:
            self.target.clock.sleep(pause)
            another_round = False
            for way in self._ways:
                taken = tried("application stop", way)
                record = self._watched() if taken else {}
                if not (taken and seen_starting):
                    record, another_round = self._held(), True
                if record.get("status") in ENDED:
                    return record
            if not another_round:
                break
        return None

    @property
    def _ways(self) -> Sequence[Callable[[], None]]:
        return self._by_v1, self._by_dashboard, self._by_v2

    def _by_v1(self) -> None:
        self.target.v1.applications.stop(self.target.project, self.application_id)

    def _by_dashboard(self) -> None:
        board = self._read().get("currentDashboard") or {}
        if not board.get("id"):
            raise NotFound("the application has no dashboard", status=404)
        self.target.v1.applications.stop_dashboard(self.target.project, str(board["id"]))

    def _by_v2(self) -> None:
        project, v2 = self.target.project, self.target.v2
        public_id = self._read().get("public_identifier")
        if not project.public_id:
            raise NotFound("the project has no public id", status=404)
        if not public_id:  # v1 may not show it; a subdomain is unique on a workspace
            rows = v2.applications(project.public_id)
            found = [one.get("id") for one in rows if identity_in("application", one) == self.identity]
            public_id = found[0] if found else self.application_id
        v2.stop_application(project.public_id, str(public_id))

    def _read(self) -> Record:
        return self.target.v1.applications.get(self.target.project, self.application_id)

    def _watched(self) -> Record:
        """Return the application once it is stopped, or when it has kept one status for as long as we wait for that."""
        clock, pause = self.target.clock, 0.2
        last, since = "", clock.now()
        while True:
            record = self._read()
            status = str(record.get("status") or "")
            if status != last:
                last, since = status, clock.now()
            if status == "stopped" or clock.now() - since >= _LINGER.get(status, _LINGER_ELSE):
                return record
            clock.sleep(pause)
            pause = min(pause * 1.5, 3.0)

    def _held(self) -> Record:
        """Return the application once it runs, or has been seen as ended for a while: it may be about to start."""
        record = self._read()
        for pause in _NOT_YET_STARTED:
            if record.get("status") not in ENDED:
                break
            self.target.clock.sleep(pause)
            record = self._read()
        return record
