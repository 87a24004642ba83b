"""The few v2 routes that replace what v1 lacks, used with a short-lived key of this run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cmlutils.errors import ApiError
from cmlutils.remote.routes import Json, a_list, an_object, segment

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cmlutils.remote.http import Http
    from cmlutils.remote.v2_key import V2Key

PAGE = 100
MAX_PAGES = 1000


class ApiV2:
    """The v2 routes of one workspace, to be used while its `key` is open."""

    def __init__(self, http: Http, key: V2Key) -> None:
        self._http = http
        self._key = key

    def _get(self, path: str, params: Mapping[str, Any] | None = None) -> Json:
        reply = self._http.get(path, params=params, bearer=self._key.get())
        return an_object(reply, f"{self._http.host} GET {path}")

    def stop_application(self, project_id: str, app_id: str) -> None:
        """Stop an application; this is idempotent, so it is repeated if the answer gets lost."""
        path = f"{_of(project_id, 'applications', app_id)}:stop"
        self._http.send("POST", path, {}, idempotent=True, bearer=self._key.get())

    def job(self, project_id: str, job_id: str) -> Json:
        """Return a job; `project_id` and `job_id` are public ids."""
        return self._get(_of(project_id, "jobs", job_id))

    def patch_job(self, project_id: str, job_id: str, body: Mapping[str, Any]) -> Json:
        """Change a job and return it as it is then."""
        path = _of(project_id, "jobs", job_id)
        reply = self._http.send("PATCH", path, body, idempotent=True, bearer=self._key.get())
        return an_object(reply, f"{self._http.host} PATCH {path}", wrote=True)

    def applications(self, project_id: str) -> list[Json]:
        """Return a project's applications."""
        return self._pages(f"/api/v2/projects/{segment(project_id)}/applications", "applications")

    def _pages(self, path: str, kind: str) -> list[Json]:
        token = ""
        found: list[Json] = []
        seen = {""}
        for _ in range(MAX_PAGES):
            params: Json = {"page_size": PAGE}
            if token:
                params["page_token"] = token
            reply = self._get(path, params)
            found += a_list(reply.get(kind, []), f"{self._http.host} GET {path}")
            token = str(reply.get("next_page_token") or "")
            if token in seen:
                return found
            seen.add(token)
        raise ApiError(f"{self._http.host} GET {path} has not come to an end after {MAX_PAGES} pages.")


def _of(project_id: str, kind: str, item_id: str) -> str:
    return f"/api/v2/projects/{segment(project_id)}/{kind}/{segment(item_id)}"
