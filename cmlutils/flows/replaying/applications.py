"""Applications: creating one starts it, so it is stopped at once and watched until it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cmlutils.application import ENDED, Application, hidden_in
from cmlutils.errors import Rejected
from cmlutils.flows.replaying.application_stop import ApplicationStop
from cmlutils.flows.replaying.journal_keys import keyed
from cmlutils.flows.replaying.kinds import kind_of
from cmlutils.flows.replaying.steps import CannotBeInertError, Finished, Record
from cmlutils.flows.replaying.target import Target, create_by
from cmlutils.flows.replaying.workload_replay import WorkloadReplay
from cmlutils.report import join

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


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
    _open_refused = False  # whether the target refused to create it with open access

    def look_again(self, record: Record) -> None:
        """Stop it if it runs by now; raise CannotBeInertError when it can't be stopped."""
        application_id = int(record["id"])
        if self._read(application_id).get("status") not in ENDED:
            self._stop(application_id)

    def live(self, row: Record) -> str:
        """Say that it runs, or is about to; where the listing leaves that out, it is asked for."""
        status = str(row.get("status") or self._read(int(row["id"])).get("status") or "stopped")
        return "" if status in ENDED else f"it is {status} on the target"

    def create(self) -> Record:
        """Create it, without open access where the target forbids that."""
        body = {**self.wanted.to_v1(), **self.target.addons.body(self.wanted), **self.runtime_body("runtime_id")}
        if body["bypass_authentication"] and not self.target.v1.site.bypass_allowed():
            body["bypass_authentication"] = False
        try:
            return create_by(self._send, body)
        except Rejected as error:
            text = error.message.lower()
            if body["bypass_authentication"] and ("authenti" in text or "bypass" in text) and error.status < 500:
                self._open_refused = True
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
        """Stop it, and look at how it is then; one whose record has no status was not seen starting."""
        seen_starting = record.get("status") not in {None, *ENDED}
        return self._stop(int(record["id"]), seen_starting=seen_starting)

    def again(self, record: Record) -> Finished:
        """Look at how it is by now; a person may have started it."""
        return self._look(self._read(int(record["id"])))

    def _stop(self, application_id: int, *, seen_starting: bool = True) -> Finished:
        """Stop it; raise CannotBeInertError when the target does not say that it has ended."""
        record = self._stopping(application_id).until_ended(seen_starting=seen_starting)
        if record is None:
            raise CannotBeInertError(
                f"application {self.wanted.name} could not be confirmed as stopped on the target.",
                hint="Create it by hand, and stop it.",
            )
        return self._look(record)

    def request_stop(self, record: Record) -> None:
        """Ask it to stop, and do not wait until it has; raise ApiError if that does not work."""
        self._stopping(int(record["id"])).request()

    def _stopping(self, application_id: int) -> ApplicationStop:
        return ApplicationStop(self.target, self.identity, application_id)

    def _look(self, record: Record) -> Finished:
        """Compare the application on the target with the wanted one, and report what is missing or differs."""
        wanted, note, todo = self.wanted, "", self.target.addons.todo(self.wanted, record)
        there = Application.from_v1(record, self.target.choice.runtimes)
        closed = wanted.bypass_authentication and not there.bypass_authentication
        forbidden = closed and (self._open_refused or not self.target.v1.site.bypass_allowed())
        if forbidden:
            note = "the target forbids unauthenticated access"
            todo = join("allow unauthenticated access on the site, then set it, if it is still wanted", todo)
        if record.get("status") == "failed":
            note = join(note, "it failed when it started on the target, before it was stopped")
            todo = join("look at its log before you start it", todo)
        told = ("bypass_authentication",) if forbidden else ()
        return self.compare(there, *told, *hidden_in(record), note=note, todo=todo, fallback=forbidden)
