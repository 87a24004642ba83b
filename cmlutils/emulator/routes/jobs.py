"""Jobs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from cmlutils.emulator.calls import Call, Refused, Reply, Route
from cmlutils.emulator.records import engine_id
from cmlutils.emulator.shapes import job_json
from cmlutils.emulator.workloads import Job

if TYPE_CHECKING:
    from cmlutils.emulator.records import Project

_JOBS = "/api/v1/projects/<owner>/<slug>/jobs"
_PLAIN = ("name", "script", "arguments", "timezone", "cpu", "memory", "nvidia_gpu", "kernel", "timeout", "timeout_kill")
_EVENTS = ("success", "failure", "timeout", "stopped")


def find_job(project: Project, job_id: int) -> Job:
    """Return the job of this id; refuse with 404."""
    for job in project.jobs:
        if job.id == job_id:
            return job
    raise Refused(404, "job.notFound")


def list_jobs(call: Call, owner: str, slug: str) -> Reply:
    """Answer with the jobs, without their reports."""
    project = call.project(owner, slug)
    return Reply([job_json(call.world, project, job, detail=False) for job in project.jobs])


def get_job(call: Call, owner: str, slug: str, job_id: int) -> Reply:
    """Answer with a job."""
    project = call.project(owner, slug)
    return Reply(job_json(call.world, project, find_job(project, job_id), detail=True))


def create_job(call: Call, owner: str, slug: str) -> Reply:
    """Create a job; with a schedule or a parent it is live at once, unless it is paused."""
    project = call.project(owner, slug, "write")
    call.required("name", "type", "script")
    job = Job(str(call.body["name"]), str(call.body["script"]), creator=call.user.username)
    job.runtime_id = call.runtime_id(project, "runtime_id")
    job.addons = call.addons()
    job.environment = call.environment()
    _change(call, project, job, parent_id=_parent(call, job), pauses=_pauses(call))
    job.id = call.world.next_id()
    project.jobs.append(job)
    _note(call, project, job, fired_before=False)
    return Reply(job_json(call.world, project, job, detail=True), 201)


def _change(call: Call, project: Project, job: Job, *, parent_id: int | None, pauses: bool) -> None:
    """Apply the body's fields to a job; if they are invalid, refuse with 422 and leave the job unchanged."""
    call.numbers("cpu", "memory", "nvidia_gpu")
    job.schedule, job.parent_id = _trigger(call, project, job, parent_id)
    default_type = "cron" if job.schedule else "dependent" if job.parent_id is not None else "manual"
    job.type = str(call.body.get("type", default_type))
    for key in _PLAIN:
        if key in call.body:
            setattr(job, key, call.body[key])
    if pauses:
        job.paused = bool(call.body.get("paused", job.paused))
    job.attachments = call.body.get("attachments", job.attachments)
    job.notifications = call.body.get("notifications", job.notifications)
    for event in _EVENTS:
        if f"{event}_recipients" in call.body:
            job.recipients[event] = call.body[f"{event}_recipients"]


def _trigger(call: Call, project: Project, job: Job, parent_id: int | None) -> tuple[str, int | None]:
    """Return the job's schedule and parent after this call; a new schedule replaces the parent and vice versa."""
    schedule = str(call.body.get("schedule", job.schedule) or "")
    if parent_id is not None and parent_id not in [other.id for other in project.jobs if other is not job]:
        raise Refused(422, f"parent job {parent_id} not found")
    new_parent = parent_id is not None and parent_id != job.parent_id
    if new_parent and call.body.get("schedule"):
        raise Refused(422, "a job has either a schedule or a parent")
    if new_parent:
        return "", parent_id
    return (schedule, None) if call.body.get("schedule") else (schedule, parent_id)


def _parent(call: Call, job: Job) -> int | None:
    """Return the parent that the body names. ASSUMED: no public capture of either key."""
    parent: Any = job.parent_id
    if call.world.assume.job_parent_id:
        parent = call.body.get("parent_id", parent)
    if call.world.assume.job_parent:
        parent = call.body.get("parent", parent)
    return parent.get("id") if isinstance(parent, dict) else parent


def _pauses(call: Call) -> bool:
    """Tell whether v1 honours ``paused``. ASSUMED: no public capture."""
    return call.world.assume.job_paused and call.world.personality == "cml"


def _note(call: Call, project: Project, job: Job, *, fired_before: bool) -> None:
    if job.can_fire and not fired_before:
        call.world.live("job-live", project, job)
    elif fired_before and not job.can_fire:
        call.world.reached("job-live", job, "stopped")


def patch_job(call: Call, owner: str, slug: str, job_id: int) -> Reply:
    """Change a job. ASSUMED: no public capture."""
    if not call.world.assume.job_patch:
        raise Refused(404, "Not Found")
    project = call.project(owner, slug, "write")
    job = find_job(project, job_id)
    update(call, project, job, parent_id=_parent(call, job), pauses=_pauses(call))
    return Reply(job_json(call.world, project, job, detail=True))


def update(call: Call, project: Project, job: Job, *, parent_id: int | None, pauses: bool) -> None:
    """Change an existing job as the body says, and note if it became live or ceased to be."""
    fired_before, trigger_before = job.can_fire, (job.schedule, job.parent_id)
    if "runtime_id" in call.body:
        job.runtime_id = call.runtime_id(project, "runtime_id")
    if "environment" in call.body:
        job.environment = _environment(call)
    _change(call, project, job, parent_id=parent_id, pauses=pauses)
    if (job.schedule, job.parent_id) != trigger_before and not call.world.assume.arming_keeps_pause:
        job.paused = False
    _note(call, project, job, fired_before=fired_before)


def _environment(call: Call) -> dict[str, Any]:
    value = call.body["environment"]
    return json.loads(value) if isinstance(value, str) else call.environment()


def delete_job(call: Call, owner: str, slug: str, job_id: int) -> Reply:
    """Delete a job; the jobs that depend on it stay."""
    project = call.project(owner, slug, "write")
    job = find_job(project, job_id)
    project.jobs.remove(job)
    call.world.reached("job", job, "deleted")
    return Reply(status=204)


def start_job(call: Call, owner: str, slug: str, job_id: int) -> Reply:
    """Start a run of a job."""
    project = call.project(owner, slug, "write")
    job = find_job(project, job_id)
    run = engine_id("run", call.world.next_id())
    job.latest = {"id": run, "status": "running", "finished_at": None}
    call.world.live("job-started", project, job, "running")
    return Reply({"engine_id": run})


def stop_job(call: Call, owner: str, slug: str, job_id: int) -> Reply:
    """Stop the run of a job."""
    job = find_job(call.project(owner, slug, "write"), job_id)
    if job.latest:
        job.latest["status"] = "stopped"
    call.world.reached("job-started", job, "stopped")
    return Reply({})


ROUTES = [
    Route("GET", _JOBS, list_jobs),
    Route("POST", _JOBS, create_job),
    Route("GET", f"{_JOBS}/<int:job_id>", get_job),
    Route("PATCH", f"{_JOBS}/<int:job_id>", patch_job),
    Route("DELETE", f"{_JOBS}/<int:job_id>", delete_job),
    Route("POST", f"{_JOBS}/<int:job_id>/start", start_job),
    Route("POST", f"{_JOBS}/<int:job_id>/stop", stop_job),
]
