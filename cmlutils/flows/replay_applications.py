"""Applications: creating one starts it, so it is stopped at once and watched until it is."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from cmlutils.errors import AnswerLost, NotFound, Rejected
from cmlutils.flows.replay import CannotBeInertError, Finished, Record, Step, Target, ensure
from cmlutils.flows.replay_jobs import no_runtime

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cmlutils.report import Outcome
    from cmlutils.workloads import Application

log = logging.getLogger(__name__)
_ROUND = 60.0  # seconds that each way of stopping gets before the next one is tried


def applications(target: Target, wanted: Sequence[Application]) -> list[Outcome]:
    """Replay all applications, one at a time: each takes resources while it starts."""
    return [_application(target, one) for one in wanted]


def _application(target: Target, application: Application) -> Outcome:
    v1, project = target.v1, target.project
    body = application.to_v1()
    note, fallback = "", False
    if not target.engines:
        match = target.match(application.runtime, application.kernel)
        if match is None:
            return no_runtime("application", application.name, application.runtime or application.kernel)
        body |= {"runtime_id": match.runtime.id, "kernel": ""}
        note, fallback = match.note, match.fallback
    if application.bypass_authentication and not _bypass_allowed(target):
        body["bypass_authentication"] = False
        note = "; ".join(filter(None, (note, "the target forbids unauthenticated access")))
        fallback = True

    def find() -> list[Record]:
        there = v1.applications(project.owner, project.slug)
        return [one for one in there if one.get("subdomain") == application.subdomain]

    def finish(record: Record) -> Finished:
        _stop(target, application.name, int(record["id"]))
        todo = "choose its add-ons" if application.addons else ""
        return Finished(note=note, fallback=fallback, todo=todo)

    step = Step(
        kind="application",
        name=application.name,
        key=f"application {application.key}",
        find=find,
        create=lambda: v1.create_application(project.owner, project.slug, body),
        finish=finish,
    )
    return ensure(target.journal, step, target.clock.sleep)[0]


def _bypass_allowed(target: Target) -> bool:
    try:
        return target.v1.site_config().get("allow_unauthenticated_access_to_app") is not False
    except Rejected:
        return True


def _stop(target: Target, name: str, application_id: int) -> None:
    """Stop it in each way we know until the target says stopped; else delete it and raise."""
    for way in _ways(target, application_id):
        try:
            way()
        except (Rejected, AnswerLost) as error:
            log.debug("application stop: %s", error)
            if _status(target, application_id) == "stopped":
                return
            continue
        if _stopped_within(target, application_id, _ROUND):
            return
    if _status(target, application_id) == "stopped":
        return
    target.v1.delete_application(target.project.owner, target.project.slug, application_id)
    raise CannotBeInertError(
        f"application {name} could not be stopped on the target; it was deleted again.",
        hint="Create it by hand, and stop it.",
    )


def _ways(target: Target, application_id: int) -> list[Callable[[], None]]:
    owner, slug, v1 = target.project.owner, target.project.slug, target.v1

    def by_dashboard() -> None:
        board = v1.application(owner, slug, application_id).get("currentDashboard") or {}
        if not board.get("id"):
            raise NotFound("the application has no dashboard", status=404)
        v1.stop_dashboard(owner, slug, str(board["id"]))

    def by_v2() -> None:
        public_id = v1.application(owner, slug, application_id).get("public_identifier") or application_id
        target.v2.stop_application(target.project.public_id, str(public_id))

    return [lambda: v1.stop_application(owner, slug, application_id), by_dashboard, by_v2]


def _status(target: Target, application_id: int) -> str:
    record = target.v1.application(target.project.owner, target.project.slug, application_id)
    return str(record.get("status") or "")


def _stopped_within(target: Target, application_id: int, seconds: float) -> bool:
    deadline = target.clock.now() + seconds
    pause = 0.2
    while True:
        if _status(target, application_id) == "stopped":
            return True
        if target.clock.now() >= deadline:
            return False
        target.clock.sleep(pause)
        pause = min(pause * 1.5, 3.0)
