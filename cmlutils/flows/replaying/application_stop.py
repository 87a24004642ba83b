"""Stop an application on the target in each way that we know."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cmlutils.application import ENDED
from cmlutils.errors import ApiError, NotFound
from cmlutils.flows.replaying.target import Target, tried

if TYPE_CHECKING:
    from collections.abc import Callable


def ways_to_stop(target: Target, subdomain: str, application_id: int) -> list[Callable[[], object]]:
    """Return the ways to stop it. No public capture proves the first, nor the second for applications."""
    project, v1 = target.project, target.v1

    def by_dashboard() -> None:
        board = v1.applications.get(project, application_id).get("currentDashboard") or {}
        if not board.get("id"):
            raise NotFound("the application has no dashboard", status=404)
        v1.applications.stop_dashboard(project, str(board["id"]))

    def by_v2() -> None:
        public_id = v1.applications.get(project, application_id).get("public_identifier")
        if not project.public_id:
            raise NotFound("the project has no public id", status=404)
        if not public_id:  # v1 may not show it; a subdomain is unique on a workspace
            rows = target.v2.applications(project.public_id)
            found = [one.get("id") for one in rows if str(one.get("subdomain")).lower() == subdomain]
            public_id = found[0] if found else application_id
        target.v2.stop_application(project.public_id, str(public_id))

    return [lambda: v1.applications.stop(project, application_id), by_dashboard, by_v2]


def request_stop(target: Target, subdomain: str, application_id: int) -> None:
    """Ask it to stop, in each way until it begins to; raise ApiError when none of them works."""
    for way in ways_to_stop(target, subdomain, application_id):
        if tried("application stop", way):
            status = target.v1.applications.get(target.project, application_id).get("status")
            if status in {"stopping", *ENDED}:
                return
    raise ApiError("It was asked to stop and does not.")
