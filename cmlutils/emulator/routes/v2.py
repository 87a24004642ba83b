"""The few routes of API v2 that a migration falls back on; ids are public identifiers."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from cmlutils.emulator.calls import Call, Refused, Reply, Route
from cmlutils.emulator.records import Project, public_identifier
from cmlutils.emulator.routes import applications, jobs

if TYPE_CHECKING:
    from cmlutils.emulator.records import Json
    from cmlutils.emulator.workloads import Application, Job

_PROJECT = "/api/v2/projects/<project_id>"


def _project(call: Call, project_id: str, need: str = "read") -> Project:
    for project in call.world.projects:
        if public_identifier("project", project.id) == project_id and call.world.may(call.user, project, need):
            return project
    raise Refused(404, "project not found")


def _named(things: list[Any], kind: str, wanted: str) -> Any:
    for thing in things:
        if public_identifier(kind, thing.id) == wanted:
            return thing
    raise Refused(404, f"{kind} not found")


def _page(call: Call, key: str, items: list[Json]) -> Reply:
    """Answer with a page of the items whose fields equal ``search_filter``; a page token is an offset."""
    wanted = json.loads(call.query.get("search_filter") or "{}")
    items = [item for item in items if all(str(item.get(field)) == str(value) for field, value in wanted.items())]
    start = int(call.query.get("page_token") or 0)
    size = int(call.query.get("page_size") or 10)
    more = str(start + size) if start + size < len(items) else ""
    return Reply({key: items[start : start + size], "next_page_token": more})


def _project_json(project: Project) -> Json:
    return {
        "id": public_identifier("project", project.id), "name": project.name, "description": project.description,
        "visibility": project.visibility, "owner": {"username": project.owner},
        "creator": {"username": project.creator},
        "default_engine_type": project.engine_type, "shared_memory_limit": project.shared_memory,
    }  # fmt: skip


def list_projects(call: Call) -> Reply:
    """Answer with the projects the caller may see."""
    visible = [project for project in call.world.projects if call.world.may(call.user, project, "read")]
    return _page(call, "projects", [_project_json(project) for project in visible])


def get_project(call: Call, project_id: str) -> Reply:
    """Answer with a project."""
    return Reply(_project_json(_project(call, project_id)))


def _application_json(call: Call, project: Project, application: Application) -> Json:
    shown = applications.polled(call.world, project, application)
    return {
        "id": public_identifier("application", application.id), "name": application.name,
        "description": application.description, "subdomain": application.subdomain, "script": application.script,
        "status": f"APPLICATION_{shown['status'].upper()}", "cpu": application.cpu, "memory": application.memory,
        "nvidia_gpu": application.nvidia_gpu, "bypass_authentication": application.bypass_authentication,
        "environment": json.dumps(application.environment),
        "runtime_identifier": _image(call, application.runtime_id),
    }  # fmt: skip


def _image(call: Call, runtime_id: int | None) -> str:
    runtime = call.world.runtime(runtime_id)
    return runtime.image_identifier if runtime else ""


def list_applications(call: Call, project_id: str) -> Reply:
    """Answer with the applications of a project."""
    project = _project(call, project_id)
    return _page(call, "applications", [_application_json(call, project, app) for app in project.applications])


def get_application(call: Call, project_id: str, application_id: str) -> Reply:
    """Answer with an application."""
    project = _project(call, project_id)
    return Reply(_application_json(call, project, _named(project.applications, "application", application_id)))


def stop_application(call: Call, project_id: str, application_id: str) -> Reply:
    """Stop an application."""
    project = _project(call, project_id, "write")
    applications.stop(call.world, _named(project.applications, "application", application_id))
    return Reply({})


def _job_json(call: Call, job: Job) -> Json:
    parent = "" if job.parent_id is None else public_identifier("job", job.parent_id)
    return {
        "id": public_identifier("job", job.id), "name": job.name, "script": job.script, "arguments": job.arguments,
        "cpu": job.cpu, "memory": job.memory, "nvidia_gpu": job.nvidia_gpu, "kernel": job.kernel,
        "environment": json.dumps(job.environment), "schedule": job.schedule, "timezone": job.timezone,
        "parent_id": parent, "paused": job.paused, "timeout": str(job.timeout or 0),
        "kill_on_timeout": job.timeout_kill,
        "type": job.type, "runtime_identifier": _image(call, job.runtime_id),
    }  # fmt: skip


def list_jobs(call: Call, project_id: str) -> Reply:
    """Answer with the jobs of a project."""
    return _page(call, "jobs", [_job_json(call, job) for job in _project(call, project_id).jobs])


def get_job(call: Call, project_id: str, job_id: str) -> Reply:
    """Answer with a job."""
    return Reply(_job_json(call, _named(_project(call, project_id).jobs, "job", job_id)))


def patch_job(call: Call, project_id: str, job_id: str) -> Reply:
    """Change a job. In v2 paused, schedule and parent_id are proven, whatever v1 can do."""
    project = _project(call, project_id, "write")
    job = _named(project.jobs, "job", job_id)
    parent_id = job.parent_id
    for key in ("parent_id", "parent_job_id"):
        if key in call.body:
            parent_id = _named(project.jobs, "job", call.body[key]).id if call.body[key] else None
    if "kill_on_timeout" in call.body:
        call.body["timeout_kill"] = call.body["kill_on_timeout"]
    jobs.update(call, project, job, parent_id=parent_id, pauses=True)
    return Reply(_job_json(call, job))


def list_runtimes(call: Call) -> Reply:
    """Answer with the enabled runtimes, without numeric ids."""
    shown: list[Json] = [
        {
            "image_identifier": r.image_identifier, "editor": r.editor, "kernel": r.kernel, "edition": r.edition,
            "short_version": r.short_version, "full_version": r.full_version, "description": r.description,
            "maintenance_version": r.maintenance_version, "status": r.status,
        }
        for r in call.world.runtimes
        if r.status == "ENABLED"
    ]  # fmt: skip
    return _page(call, "runtimes", shown)


ROUTES = [
    Route("GET", "/api/v2/runtimes", list_runtimes, "v2"),
    Route("GET", "/api/v2/projects", list_projects, "v2"),
    Route("GET", _PROJECT, get_project, "v2"),
    Route("GET", f"{_PROJECT}/applications", list_applications, "v2"),
    Route("GET", f"{_PROJECT}/applications/<application_id>", get_application, "v2"),
    Route("POST", f"{_PROJECT}/applications/<application_id>:stop", stop_application, "v2"),
    Route("GET", f"{_PROJECT}/jobs", list_jobs, "v2"),
    Route("GET", f"{_PROJECT}/jobs/<job_id>", get_job, "v2"),
    Route("PATCH", f"{_PROJECT}/jobs/<job_id>", patch_job, "v2"),
]
