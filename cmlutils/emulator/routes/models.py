"""Models: the RPC under /api/altus-ds-1. Requests are always POST, successes always 200, ids decimal text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cmlutils.emulator.calls import Call, Refused, Reply, Route
from cmlutils.emulator.records import engine_id
from cmlutils.emulator.shapes import build_json, deployment_json, model_json
from cmlutils.emulator.workloads import Build, Deployment, Model, Progress
from cmlutils.emulator.world import World, now

if TYPE_CHECKING:
    from cmlutils.emulator.records import Json, Project

_MODELS = "/api/altus-ds-1/models"


def _find(call: Call, model_id: Any, need: str = "read") -> tuple[Project, Model]:
    for project in call.world.projects:
        for model in project.models:
            if str(model.id) == str(model_id) and call.world.may(call.user, project, need):
                return project, model
    raise Refused(404, "model not found")


def _find_step(call: Call, steps: str, key: str) -> tuple[Project, Model, Any]:
    """Return the build or deployment that the body names, with its model and project; refuse with 404."""
    for project in call.world.projects:
        for model in project.models:
            for step in getattr(model, steps):
                if str(step.id) == str(call.body.get(key)) and call.world.may(call.user, project, "write"):
                    return project, model, step
    raise Refused(404, f"{key} not found")


def polled(world: World, model: Model) -> None:
    """Count a read of the model, which may move its latest build on or, once that is over, its deployment."""
    deployment = model.deployments[-1] if model.deployments else None
    if model.builds:
        build = model.builds[-1]
        status = build.progress.read(world.pace.polls)
        if build.progress.ahead:
            return
        if status == "build failed" and deployment and deployment.build_id == build.id:
            _drop_deployment(world, model, "failed")
    if deployment:
        before = deployment.progress.status
        status = deployment.progress.read(world.pace.polls)
        if status != before:
            world.reached("model", model, status)


def _drop_deployment(world: World, model: Model, status: str) -> None:
    model.deployments[-1].progress = Progress(status)
    world.reached("model", model, status)


def _shown(call: Call, project: Project, model: Model) -> Json:
    polled(call.world, model)
    wants = {
        "build": bool(call.body.get("latestModelBuild")),
        "deployment": bool(call.body.get("latestModelDeployment")),
    }
    shown = model_json(project, model, **wants)
    if not call.world.assume.model_settings_on_read:
        del shown["visibility"], shown["defaultReplicationPolicy"]
    return shown


def list_models(call: Call) -> Reply:
    """Answer with the models of a project, of an owner, or with all; only those that the caller may see."""
    projects = [p for p in call.world.projects if call.world.may(call.user, p, "read")]
    if call.body.get("projectId") is not None:
        projects = [p for p in projects if str(p.id) == str(call.body["projectId"])]
    elif call.body.get("projectOwnerName"):
        projects = [p for p in projects if p.owner == call.body["projectOwnerName"]]
    return Reply([_shown(call, project, model) for project in projects for model in project.models])


def get_model(call: Call) -> Reply:
    """Answer with a model."""
    project, model = _find(call, call.body.get("id"))
    return Reply(_shown(call, project, model))


def create_model(call: Call) -> Reply:
    """Create a model; it is built and deployed unless the auto flags are false."""
    project = call.project_by_id(call.body.get("projectId"), "write")
    call.required("name", "targetFilePath", "targetFunctionName", "cpuMillicores", "memoryMb")
    call.numbers("cpuMillicores", "memoryMb", "nvidiaGPUs")
    runtime_id = call.runtime_id(project, "runtimeId")
    model = Model(
        str(call.body["name"]), call.world.next_id(), str(call.body.get("description", "")),
        str(call.body.get("visibility", "private")), auth_enabled=_auth(call),
        environment=call.environment(), creator=call.user.username,
    )  # fmt: skip
    model.access_key = engine_id("access key", model.id) * 2
    _resources(call, model)
    project.models.append(model)
    shown: Json = {}
    deploys = not _kept_from(call, "autoDeployModel")
    if not _kept_from(call, "autoBuildModel") and (deploys or call.world.assume.build_at_create):
        build = _build(call, model, runtime_id)
        shown["modelBuild"] = build_json(project, model, build)
        if deploys:
            shown["modelDeployment"] = deployment_json(model, _deploy(call, project, model, build))
    return Reply({**model_json(project, model, build=False, deployment=False), **shown})


def _auth(call: Call) -> bool:
    """Tell whether calls of a new model need a key (ASSUMED: that ``authEnabled`` matters here)."""
    return bool(call.body.get("authEnabled", True)) if call.world.assume.model_auth_at_create else True


def _kept_from(call: Call, flag: str) -> bool:
    """Tell whether this flag is an explicit false. ASSUMED: no public capture of its effect."""
    return call.world.assume.explicit_auto_false and call.body.get(flag) is False


def _resources(call: Call, thing: Model | Deployment) -> None:
    thing.cpu_millicores = int(call.body.get("cpuMillicores", thing.cpu_millicores))
    thing.memory_mb = int(call.body.get("memoryMb", thing.memory_mb))
    thing.nvidia_gpus = int(call.body.get("nvidiaGPUs", thing.nvidia_gpus))
    thing.replicas = int((call.body.get("replicationPolicy") or {}).get("numReplicas", thing.replicas))


def _build(call: Call, model: Model, runtime_id: int | None) -> Build:
    last = "build failed" if model.name in call.world.failing_builds else "built"
    build = Build(
        call.world.next_id(), Progress("pending", ["building", last]), str(call.body.get("targetFilePath", "")),
        str(call.body.get("targetFunctionName", "")), str(call.body.get("kernel", "")), runtime_id,
        call.body.get("engineImageId"), list(call.body.get("examples") or []),
        str(call.body.get("comment", "")), now(), call.addons(),
    )  # fmt: skip
    model.builds.append(build)
    return build


def _deploy(call: Call, project: Project, model: Model, build: Build) -> Deployment:
    if model.deployments:
        _drop_deployment(call.world, model, "stopped")
    deployment = Deployment(
        call.world.next_id(), build.id, Progress("pending", ["deploying", "deployed"]), model.cpu_millicores,
        model.memory_mb, model.nvidia_gpus, model.replicas, call.environment() or dict(model.environment),
    )  # fmt: skip
    _resources(call, deployment)
    model.deployments.append(deployment)
    call.world.live("model-deployment", project, model, "pending")
    return deployment


def build_model(call: Call) -> Reply:
    """Build a model, and deploy the build unless told not to (which is ASSUMED: no public capture)."""
    project, model = _find(call, call.body.get("modelId"), "write")
    call.required("targetFilePath", "targetFunctionName")
    build = _build(call, model, call.runtime_id(project, "runtimeId"))
    if not (call.world.assume.build_without_deploy and call.body.get("autoDeployModel") is False):
        _deploy(call, project, model, build)
    return Reply(build_json(project, model, build))


def deploy_model(call: Call) -> Reply:
    """Deploy a build."""
    project, model, build = _find_step(call, "builds", "modelBuildId")
    return Reply(deployment_json(model, _deploy(call, project, model, build)))


def stop_model(call: Call) -> Reply:
    """Stop a deployment. ASSUMED: no public capture of the verb."""
    _, model, deployment = _find_step(call, "deployments", "modelDeploymentId")
    if deployment.progress.status in {"pending", "deploying", "deployed"}:
        deployment.progress = Progress("stopping", ["stopped"])
        call.world.reached("model", model, "stopping")
    return Reply(deployment_json(model, deployment))


def restart_model(call: Call) -> Reply:
    """Deploy a deployment's build again. ASSUMED: no public capture of the verb."""
    project, model, deployment = _find_step(call, "deployments", "modelDeploymentId")
    build = next(build for build in model.builds if build.id == deployment.build_id)
    return Reply(deployment_json(model, _deploy(call, project, model, build)))


def update_model(call: Call) -> Reply:
    """Change name, description or visibility. ASSUMED: no public capture of the verb."""
    project, model = _find(call, call.body.get("id"), "write")
    for key in ("name", "description", "visibility"):
        setattr(model, key, str(call.body.get(key, getattr(model, key))))
    return Reply(model_json(project, model, build=False, deployment=False))


def set_model_auth(call: Call) -> Reply:
    """Set whether calls of the model need a key."""
    project, model = _find(call, call.body.get("id"), "write")
    model.auth_enabled = bool(call.body.get("enableAuth"))
    return Reply(model_json(project, model, build=False, deployment=False))


def delete_model(call: Call) -> Reply:
    """Delete a model."""
    project, model = _find(call, call.body.get("id"), "write")
    project.models.remove(model)
    call.world.reached("model", model, "deleted")
    return Reply({})


def _assumed(name: str, verb: str, view: Any) -> Route:
    def answer(call: Call) -> Reply:
        if not getattr(call.world.assume, name):
            raise Refused(404, "Not Found")
        reply: Reply = view(call)
        return reply

    return Route("POST", f"{_MODELS}/{verb}", answer)


ROUTES = [
    Route("POST", f"{_MODELS}/list-models", list_models),
    Route("POST", f"{_MODELS}/get-model", get_model),
    Route("POST", f"{_MODELS}/create-model", create_model),
    Route("POST", f"{_MODELS}/build-model", build_model),
    Route("POST", f"{_MODELS}/deploy-model", deploy_model),
    Route("POST", f"{_MODELS}/set-model-auth", set_model_auth),
    Route("POST", f"{_MODELS}/delete-model", delete_model),
    _assumed("model_stop", "stop-model", stop_model),
    _assumed("model_restart", "restart-model", restart_model),
    _assumed("model_update", "update-model", update_model),
]
