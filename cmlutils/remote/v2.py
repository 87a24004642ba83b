"""The few v2 routes that we need where v1 lacks one, with a short-lived key of this run's own."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from cmlutils import interrupts
from cmlutils.errors import ApiError
from cmlutils.remote.v1 import Json, a_list, an_object, segment

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType

    from cmlutils.config import Secret
    from cmlutils.remote.v1 import ApiV1

log = logging.getLogger(__name__)

LIFETIME = timedelta(days=1)
PAGE = 100
MAX_PAGES = 1000


def _utc_now() -> datetime:
    return datetime.now(timezone.utc)


class ApiV2:
    """The v2 routes of one workspace; its key is made at first use and revoked at exit."""

    def __init__(self, v1: ApiV1, username: str, now: Callable[[], datetime] = _utc_now) -> None:
        self._v1 = v1
        self._http = v1.http
        self._username = username
        self._now = now
        self._key: Secret | None = None
        self._keyid = ""

    def __enter__(self) -> ApiV2:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def key(self) -> Secret:
        """The v2 key of this run, made now if there is none yet."""
        if self._key is None:
            self._key, self._keyid = self._v1.create_v2_key(self._username, self._now() + LIFETIME)
        return self._key

    def close(self) -> None:
        """Revoke the key; a failure is a warning, since the key ends by itself within a day."""
        if self._key is None:
            return
        self._key = None
        try:
            with interrupts.held():
                self._v1.delete_v2_key(self._username, self._keyid)
        except ApiError as error:
            log.warning(
                "the v2 key with the id %s could not be revoked on %s and ends by itself in a day: %s",
                self._keyid,
                self._http.host,
                error,
            )

    def _get(self, path: str, params: Mapping[str, Any] | None = None) -> Json:
        reply = self._http.get(path, params=params, bearer=self.key)
        return an_object(reply, f"{self._http.host} GET {path}")

    def application(self, project_id: str, app_id: str) -> Json:
        """Return an application by public ids."""
        return self._get(_of(project_id, "applications", app_id))

    def stop_application(self, project_id: str, app_id: str) -> None:
        """Stop an application; stopping twice is harmless, so it is repeated when the answer gets lost."""
        path = f"{_of(project_id, 'applications', app_id)}:stop"
        self._http.send("POST", path, {}, repeat=True, bearer=self.key)

    def job(self, project_id: str, job_id: str) -> Json:
        """Return a job by public ids."""
        return self._get(_of(project_id, "jobs", job_id))

    def patch_job(self, project_id: str, job_id: str, body: Mapping[str, Any]) -> Json:
        """Change a job and return it as the workspace now has it."""
        path = _of(project_id, "jobs", job_id)
        reply = self._http.send("PATCH", path, body, repeat=True, bearer=self.key)
        return an_object(reply, f"{self._http.host} PATCH {path}", wrote=True)

    def runtimes(self) -> list[Json]:
        """Return all runtimes, page after page."""
        path, token = "/api/v2/runtimes", ""
        found: list[Json] = []
        seen = {""}
        for _ in range(MAX_PAGES):
            params: Json = {"page_size": PAGE}
            if token:
                params["page_token"] = token
            reply = self._get(path, params)
            found += a_list(reply.get("runtimes", []), f"{self._http.host} GET {path}")
            token = str(reply.get("next_page_token") or "")
            if token in seen:
                return found
            seen.add(token)
        raise ApiError(f"{self._http.host} GET {path} does not come to an end after {MAX_PAGES} pages.")


def _of(project_id: str, kind: str, item_id: str) -> str:
    return f"/api/v2/projects/{segment(project_id)}/{kind}/{segment(item_id)}"
