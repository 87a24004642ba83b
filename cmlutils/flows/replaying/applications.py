"""Applications: creating one starts it, so it is stopped at once and watched until it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cmlutils.application import ENDED, Application
from cmlutils.errors import Rejected
from cmlutils.flows.replaying.application_stop import request_stop, ways_to_stop
from cmlutils.flows.replaying.journal_keys import keyed
from cmlutils.flows.replaying.kinds import kind_of
from cmlutils.flows.replaying.steps import CannotBeInertError, Finished, Record
from cmlutils.flows.replaying.target import Target, create_by, finished, lost, tried
from cmlutils.flows.replaying.workload_replay import WorkloadReplay
from cmlutils.report import join

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cmlutils.flows.replaying.steps import Kind

_ROUNDS = (0.0, 5.0)  # seconds to wait before each round: a stop may be refused while it is still starting
_LINGER = {"stopping": 120.0, "running": 15.0, "starting": 15.0, "scheduling": 15.0}
_LINGER_ELSE = 4.0  # seconds for a status that does not change by itself, such as failed
_NOT_YET_STARTED = (1.0, 2.0)  # seconds to wait before each look at one that seems stopped, but may be about to start


def application_replays(target: Target, wanted: Sequence[Application]) -> list[ApplicationReplay]:
    """Return the applications on their way to the target, one after another, as each takes resources while it starts.

    They need a last look: one may start late, after it was seen stopped.
    """
    kind = kind_of("application", target.v1, target.project)
    return [ApplicationReplay(target, one, key, kind) for key, one in keyed(wanted)]


class ApplicationReplay(WorkloadReplay[Application]):
    """One application on its way to the target: stopped there."""

    runs_by_itself = True
    needs_last_look = True

    def __init__(self, target: Target, wanted: Application, key: str, kind: Kind) -> None:
        super().__init__(target, wanted, key, kind, (wanted.key,))

    def look_again(self, record: Record) -> None:
        """Stop it if it runs by now; raise CannotBeInertError when it can't be stopped."""
        application_id = int(record["id"])
        if self._read(application_id).get("status") not in ENDED:
            self._stop(application_id)

    def live(self, row: Record) -> str:
        """Say that it runs, or is about to."""
        status = str(row.get("status") or "stopped")
        return "" if status in ENDED else f"it is {status} on the target"

    def create(self) -> Record:
        """Create it, without open access where the target forbids that."""
        body = {**self.wanted.to_v1(), **self.target.addons.body(self.wanted)}
        if self.match:
            body |= {"runtime_id": self.match.runtime.id, "kernel": ""}
        if body["bypass_authentication"] and not self.target.v1.site.bypass_allowed():
            body["bypass_authentication"] = False
        try:
            return create_by(self._send, body)
        except Rejected as error:
            text = error.message.lower()
            if body["bypass_authentication"] and ("authenti" in text or "bypass" in text) and error.status < 500:
                return create_by(self._send, {**body, "bypass_authentication": False})
            if "subdomain" in text or error.status == 409:
                error.hint = (
                    f"The subdomain {self.wanted.subdomain!r} is taken, by another project's application perhaps. "
                    "Free it and import again, or create this application by hand under another one."
                )
            raise

    def _send(self, body: Mapping[str, Any]) -> Record:
        return self.target.v1.applications.create(self.target.project, body)

    def _read(self, application_id: int) -> Record:
        return self.target.v1.applications.get(self.target.project, application_id)

    def finish(self, record: Record) -> Finished:
        """Stop it, and look at how it is then."""
        return self._stop(int(record["id"]), seen_starting=record.get("status") not in ENDED)

    def again(self, record: Record) -> Finished:
        """Look at how it is by now; a person may have started it."""
        return self._look(self._read(int(record["id"])))

    def _stop(self, application_id: int, *, seen_starting: bool = True) -> Finished:
        """Stop it in each way we know until the target says that it has ended.

        One that was not `seen_starting` may be about to start, so a single look is not enough.
        """
        for pause in _ROUNDS:
            self.target.clock.sleep(pause)
            another_round = False
            for way in ways_to_stop(self.target, self.wanted.key, application_id):
                taken = tried("application stop", way)
                record = self._watched(application_id) if taken else {}
                if not (taken and seen_starting):
                    record, another_round = self._held(application_id), True
                if record.get("status") in ENDED:
                    return self._look(record)
            if not another_round:
                break
        raise CannotBeInertError(
            f"application {self.wanted.name} can't be shown to be stopped on the target.",
            hint="Create it by hand, and stop it.",
        )

    def _held(self, application_id: int) -> Record:
        """Return the application once it runs, or has been seen as ended for a while: it may be about to start."""
        record = self._read(application_id)
        for pause in _NOT_YET_STARTED:
            if record.get("status") not in ENDED:
                break
            self.target.clock.sleep(pause)
            record = self._read(application_id)
        return record

    def request_stop(self, record: Record) -> None:
        """Ask it to stop, in each way we know until it begins to; raise ApiError when none of them works."""
        request_stop(self.target, self.wanted.key, int(record["id"]))

    def _watched(self, application_id: int) -> Record:
        """Return the application once it is stopped, or when it has kept one status for as long as we wait for that."""
        clock, pause = self.target.clock, 0.2
        last, since = "", clock.now()
        while True:
            record = self._read(application_id)
            status = str(record.get("status") or "")
            if status != last:
                last, since = status, clock.now()
            if status == "stopped" or clock.now() - since >= _LINGER.get(status, _LINGER_ELSE):
                return record
            clock.sleep(pause)
            pause = min(pause * 1.5, 3.0)

    def _look(self, record: Record) -> Finished:
        """Compare the application on the target with the wanted one, and report what is missing or differs."""
        wanted, note = self.wanted, self.match.note if self.match else ""
        there = Application.from_v1(record, self.target.choice.runtimes)
        fallback = bool(self.match and self.match.fallback)
        todo = self.target.addons.todo(wanted, record)
        if wanted.bypass_authentication and not there.bypass_authentication:
            note, fallback = join(note, "the target forbids unauthenticated access"), True
            todo = join("allow unauthenticated access on the site, then set it, if it is still wanted", todo)
        if record.get("status") == "failed":
            note = join(note, "it failed when it started on the target, before it was stopped")
            todo = join("look at its log before you start it", todo)
        unseen = () if record.get("currentDashboard") or "cpu" in record else ("cpu", "memory", "gpus")
        missing = lost(wanted, there, self.match, "bypass_authentication", *unseen)
        return finished(note, todo, missing, fallback=fallback)
