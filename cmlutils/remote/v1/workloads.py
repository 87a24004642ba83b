"""Models, applications and jobs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cmlutils.errors import NotFound
from cmlutils.remote.routes import Json, segment
from cmlutils.remote.v1.projects import address

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cmlutils.project import ProjectRef
    from cmlutils.remote.routes import Routes

_PARTS = ("latestModelDeployment", "latestModelBuild")
_WHOLE = dict.fromkeys(_PARTS, True)


class Jobs:
    """The jobs of a project."""

    def __init__(self, routes: Routes) -> None:
        self._routes = routes

    def of(self, project: ProjectRef) -> list[Json]:
        """Return the project's jobs; `get` returns more of each."""
        return self._routes.numbered(f"{address(project)}/jobs")

    def get(self, project: ProjectRef, job_id: object) -> Json:
        """Return a whole job."""
        return self._routes.the_one(_job(project, job_id), job_id)

    def create(self, project: ProjectRef, body: Mapping[str, Any]) -> Json:
        """Create a job; with a schedule it would be live at once."""
        return self._routes.create(f"{address(project)}/jobs", body)

    def patch(self, project: ProjectRef, job_id: object, body: Mapping[str, Any]) -> None:
        """Change a job (a route that no public capture proves: read back)."""
        self._routes.change("PATCH", _job(project, job_id), body)

    def delete(self, project: ProjectRef, job_id: object) -> None:
        """Delete a job."""
        self._routes.change("DELETE", _job(project, job_id))


def _job(project: ProjectRef, job_id: object) -> str:
    return f"{address(project)}/jobs/{segment(job_id)}"


class Applications:
    """The applications of a project."""

    def __init__(self, routes: Routes) -> None:
        self._routes = routes

    def of(self, project: ProjectRef) -> list[Json]:
        """Return the project's applications."""
        return [_in_small_letters(row) for row in self._routes.numbered(f"{address(project)}/applications")]

    def get(self, project: ProjectRef, application_id: object) -> Json:
        """Return one application."""
        return _in_small_letters(self._routes.the_one(_application(project, application_id), application_id))

    def create(self, project: ProjectRef, body: Mapping[str, Any]) -> Json:
        """Create an application, which starts it."""
        return _in_small_letters(self._routes.create(f"{address(project)}/applications", body))

    def stop(self, project: ProjectRef, application_id: object) -> None:
        """Stop an application (a route that no public capture proves: read back)."""
        self._routes.change("PUT", f"{_application(project, application_id)}/stop", {})

    def stop_dashboard(self, project: ProjectRef, dashboard_id: object) -> None:
        """Stop an engine, such as that of an application."""
        self._routes.change("PUT", f"{address(project)}/dashboards/{segment(dashboard_id)}/stop", {})

    def delete(self, project: ProjectRef, application_id: object) -> None:
        """Delete an application."""
        self._routes.change("DELETE", _application(project, application_id))


def _application(project: ProjectRef, application_id: object) -> str:
    return f"{address(project)}/applications/{segment(application_id)}"


class Models:
    """Models, whose routes take everything in the body."""

    def __init__(self, routes: Routes) -> None:
        self._routes = routes

    def of(self, project: ProjectRef) -> list[Json]:
        """Return a project's models with their latest build and deployment."""
        rows = self._routes.numbered(_model("list-models"), question={"projectId": project.id, **_WHOLE})
        return [_in_small_letters(row) for row in rows if _in_project(row, project.id)]

    def get(self, project: ProjectRef, model_id: object) -> Json:
        """Return a whole model with its latest build and deployment.

        Raises NotFound for another project's model, as ids are the workspace's.
        """
        asked = {"id": str(model_id), **_WHOLE}
        found = _in_small_letters(self._routes.the_one(_model("get-model"), model_id, question=asked))
        if not _in_project(found, project.id):
            raise NotFound(f"Model {model_id} belongs to another project than {project.path}.", status=404)
        return found

    def create(self, body: Mapping[str, Any]) -> Json:
        """Create a model; unless the body says otherwise, it is also built and deployed."""
        return _in_small_letters(self._routes.create(_model("create-model"), body))

    def build(self, body: Mapping[str, Any]) -> None:
        """Build a model (which may also deploy it: read back)."""
        self._routes.http.send("POST", _model("build-model"), body)

    def set_auth(self, model_id: object, *, enabled: bool) -> None:
        """Set whether calling a model needs a key."""
        self._routes.http.send("POST", _model("set-model-auth"), {"id": str(model_id), "enableAuth": enabled})

    def delete(self, project: ProjectRef, model_id: object) -> None:  # noqa: ARG002 - as for the other kinds
        """Delete a model."""
        self._routes.http.send("POST", _model("delete-model"), {"id": str(model_id)})


def _model(verb: str) -> str:
    return f"/api/altus-ds-1/models/{verb}"


def _in_small_letters(row: Json) -> Json:
    """Put the status of a workload, and of a model's build and deployment, in small letters, as in public captures.

    A status that is no text becomes a text, which will be unknown.
    """
    for one in (row, *map(row.get, _PARTS)):
        if isinstance(one, dict) and one.get("status") is not None:
            one["status"] = str(one["status"]).lower()
    return row


def _in_project(row: Json, project_id: int) -> bool:
    """Tell whether a model belongs to this project; one that names no project is assumed to."""
    project = row.get("project")
    return not isinstance(project, dict) or str(project.get("id", project_id)) == str(project_id)
