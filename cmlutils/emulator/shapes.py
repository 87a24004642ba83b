"""Turns records into the JSON that v1 answers with: which fields, under which names, of which types."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from cmlutils.emulator.records import public_identifier

if TYPE_CHECKING:
    from cmlutils.emulator.records import EngineImage, Json, Project, Runtime, User
    from cmlutils.emulator.workloads import Application, Build, Deployment, Job, Model
    from cmlutils.emulator.world import World


def user_json(world: World, user: User, viewer: User) -> Json:
    """Return a user or team; the key is shown to its owner and to administrators only."""
    shown: Json = {
        "id": user.id, "username": user.username, "type": user.type, "name": user.name or user.username,
        "email": user.email or f"{user.username}@example.com", "admin": user.admin, "banned": False,
        "environment": user.environment, "api_keys": len(user.v2_keys), "joined_on": "2024-02-01T09:30:00.000Z",
        "html_url": f"{world.url}/{user.username}", "url": f"{world.url}/api/v1/users/{user.username}",
    }  # fmt: skip
    if user.is_team:
        members = [world.find_user(name) for name in user.members]
        shown |= {
            "bio": "", "members": len(members), "ldapSynced": False, "lastSyncedAt": None,
            "teamMembers": [
                {**_person(world, member), "permission": user.members[member.username]} for member in members if member
            ],
        }  # fmt: skip
    elif viewer.admin or viewer is user:
        shown |= {"api_key": user.api_key, "api_key_expiry_date": "2099-01-01T00:00:00.000Z"}
    return shown


def _person(world: World, user: User) -> Json:
    return {
        "id": user.id, "username": user.username, "name": user.name or user.username, "type": user.type,
        "html_url": f"{world.url}/{user.username}", "url": f"{world.url}/api/v1/users/{user.username}",
    }  # fmt: skip


def _named(world: World, username: str) -> Json:
    user = world.find_user(username)
    return _person(world, user) if user else {"id": 0, "username": username, "name": username, "type": "user"}


def project_json(world: World, project: Project) -> Json:
    """Return a project; description and shared memory are left out if empty or 0."""
    shown: Json = {
        "id": project.id, "public_identifier": public_identifier("project", project.id),
        "name": project.name, "slug": project.path, "slug_raw": project.slug,
        "project_visibility": project.visibility, "default_project_engine_type": project.engine_type,
        "owner": _named(world, project.owner), "creator": _named(world, project.creator),
        "created_at": project.created_at, "updated_at": project.updated_at,
        "html_url": f"{world.url}/{project.path}", "url": f"{world.url}/api/v1/projects/{project.path}",
    }  # fmt: skip
    if project.description:
        shown["description"] = project.description
    if project.shared_memory:
        shown["shared_memory_limit"] = project.shared_memory
    return shown


def runtime_json(world: World, runtime: Runtime) -> Json:
    """Return a runtime, with its fields named as in v1."""
    return {
        "id": runtime.id, "imageIdentifier": runtime.image_identifier, "editor": runtime.editor,
        "kernel": runtime.kernel, "edition": runtime.edition, "shortVersion": runtime.short_version,
        "fullVersion": runtime.full_version, "maintenanceVersion": runtime.maintenance_version,
        "description": runtime.description, "isLatest": is_latest(world, runtime), "status": runtime.status,
    }  # fmt: skip


def is_latest(world: World, runtime: Runtime) -> bool:
    """Tell whether no runtime of the same kernel, editor and edition is newer."""
    if runtime.is_latest is not None:
        return runtime.is_latest
    return not any(
        (other.kernel, other.editor, other.edition) == (runtime.kernel, runtime.editor, runtime.edition)
        and _version(other.full_version) > _version(runtime.full_version)
        for other in world.runtimes
    )


def _version(text: str) -> list[int]:
    return [int(part) for part in text.replace("-b", ".").split(".") if part.isdigit()]


def engine_image_json(image: EngineImage) -> Json:
    """Return an engine image."""
    return {
        "id": image.id,
        "repository": image.repository,
        "tag": image.tag,
        "description": image.description,
    }


def _environment(world: World, environment: Json) -> Any:
    return json.dumps(environment) if world.switches.environment_as_string else environment


def _runtime_or_nothing(world: World, runtime_id: int | None) -> Json:
    runtime = world.runtime(runtime_id)
    return {"runtime": runtime_json(world, runtime)} if runtime else {}


def _project_stub(project: Project) -> Json:
    return {
        "id": project.id, "name": project.name, "slug": project.path,
        "default_project_engine_type": project.engine_type,
    }  # fmt: skip


def job_json(world: World, project: Project, job: Job, *, detail: bool) -> Json:
    """Return a job; without ``detail``, as in a list, it lacks ``report``."""
    path = f"{project.path}/jobs/{job.id}"
    shown: Json = {
        "id": job.id, "public_identifier": public_identifier("job", job.id), "name": job.name, "type": job.type,
        "script": job.script, "arguments": job.arguments, "timezone": job.timezone, "cpu": job.cpu,
        "memory": job.memory, "nvidia_gpu": job.nvidia_gpu, "kernel": job.kernel,
        "environment": _environment(world, job.environment), "timeout_kill": job.timeout_kill,
        "project": _project_stub(project), "creator": _named(world, job.creator or project.creator),
        "latest": job.latest, "html_url": f"{world.url}/{path}", "url": f"{world.url}/api/v1/projects/{path}",
        **_runtime_or_nothing(world, job.runtime_id),
    }  # fmt: skip
    if job.schedule:
        shown["schedule"] = job.schedule
    if job.timeout is not None:
        shown["timeout"] = job.timeout
    if job.parent_id is not None:
        shown["parent"] = {"id": job.parent_id}
    if world.personality == "cml" and world.assume.job_paused and world.assume.job_paused_shown:
        shown["paused"] = job.paused
    if world.assume.addons_on_read:
        shown["addons"] = job.addons
    return {**shown, **_job_detail(world, job)} if detail else shown


def _job_detail(world: World, job: Job) -> Json:
    recipients = {
        f"{event}_recipients": job.recipients.get(event, "") for event in ("success", "failure", "timeout", "stopped")
    }
    shown: Json = {"report": {"attachments": job.attachments, **recipients}}
    if world.assume.job_notifications:
        shown["notifications"] = job.notifications
    return shown


def application_json(world: World, project: Project, application: Application) -> Json:
    """Return an application; one that never started has no currentDashboard."""
    never_started = application.status == "never-started"
    status = "stopped" if never_started else application.status
    scheme, _, host = world.url.partition("://")
    shown: Json = {
        "id": application.id, "name": application.name, "description": application.description,
        "subdomain": application.subdomain, "type": application.type, "script": application.script, "status": status,
        "bypass_authentication": application.bypass_authentication,
        "environment": _environment(world, application.environment),
        "project": {"id": project.id, "name": project.name, "slug": project.path},
        "url": f"{scheme}://{application.subdomain}.{host}",
    }  # fmt: skip
    if world.personality == "cml" and world.assume.application_public_id:
        shown["public_identifier"] = public_identifier("application", application.id)
    if world.assume.addons_on_read:
        shown["addons"] = application.addons
    if not never_started:
        shown["currentDashboard"] = {
            "id": application.engine_id, "status": status, "cpu": application.cpu, "memory": application.memory,
            "nvidiaGpu": application.nvidia_gpu, "kernel": application.kernel,
            **_runtime_or_nothing(world, application.runtime_id),
        }  # fmt: skip
    return shown


def model_json(project: Project, model: Model, *, build: bool, deployment: bool) -> Json:
    """Return a model, with its latest build and deployment if they are asked for and exist."""
    shown: Json = {
        "id": str(model.id), "crn": _crn("model", model.id), "name": model.name, "description": model.description,
        "visibility": model.visibility, "accessKey": model.access_key, "authEnabled": model.auth_enabled,
        "project": _project_stub(project),
        "defaultResources": {
            "cpuMillicores": model.cpu_millicores, "memoryMb": model.memory_mb, "nvidiaGPUs": model.nvidia_gpus,
        },
        "defaultReplicationPolicy": {"type": "fixed", "numReplicas": model.replicas},
    }  # fmt: skip
    if build and model.builds:
        shown["latestModelBuild"] = build_json(project, model, model.builds[-1])
    if deployment and model.deployments:
        shown["latestModelDeployment"] = deployment_json(model, model.deployments[-1])
    return shown


def _crn(kind: str, number: int) -> str:
    return f"crn:cdp:ml:us-west-1:emulator:workspace:local/{kind}:{public_identifier(kind, number)}"


def build_json(project: Project, model: Model, build: Build) -> Json:
    """Return a model build; if it uses an engine, it has no runtimeId."""
    shown: Json = {
        "id": str(build.id), "crn": _crn("build", build.id), "modelId": str(model.id), "projectId": str(project.id),
        "status": build.progress.status, "comment": build.comment, "targetFilePath": build.target_file_path,
        "targetFunctionName": build.target_function_name, "kernel": build.kernel, "examples": build.examples,
        "createdAt": build.created_at or project.created_at,
    }  # fmt: skip
    if build.runtime_id is not None:
        shown["runtimeId"] = build.runtime_id
    if build.engine_image_id is not None:
        shown["engineImageId"] = build.engine_image_id
    if build.addons:
        shown["addons"] = build.addons
    return shown


def deployment_json(model: Model, deployment: Deployment) -> Json:
    """Return a model deployment."""
    available = deployment.replicas if deployment.progress.status == "deployed" else 0
    return {
        "id": str(deployment.id), "crn": _crn("deployment", deployment.id), "status": deployment.progress.status,
        "cpuMillicores": deployment.cpu_millicores, "memoryMb": deployment.memory_mb,
        "nvidiaGPUs": deployment.nvidia_gpus,
        "replicationPolicy": {"type": "fixed", "numReplicas": deployment.replicas},
        "replicationStatus": {"numReplicasAvailable": available}, "environment": deployment.environment,
        "model": {"id": str(model.id), "name": model.name},
    }  # fmt: skip
