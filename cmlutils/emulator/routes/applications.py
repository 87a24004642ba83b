"""Applications and their engines ("dashboards")."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cmlutils.emulator.calls import Call, Refused, Reply, Route
from cmlutils.emulator.records import Json, engine_id
from cmlutils.emulator.shapes import application_json
from cmlutils.emulator.workloads import Application, Progress

if TYPE_CHECKING:
    from cmlutils.emulator.records import Project
    from cmlutils.emulator.world import World

_APPLICATIONS = "/api/v1/projects/<owner>/<slug>/applications"
_PLAIN = ("name", "script", "subdomain", "description", "type", "kernel", "cpu", "memory", "nvidia_gpu")


def find_application(project: Project, application_id: int) -> Application:
    """Return the application of this id; refuse with 404."""
    for application in project.applications:
        if application.id == application_id:
            return application
    raise Refused(404, "application.notFound")


def polled(world: World, project: Project, application: Application) -> Json:
    """Count a read of the application, which may move its status on, and return the application as v1 shows it."""
    progress = Progress(application.status, application.ahead, application.reads)
    before, application.status = application.status, progress.read(world.pace.polls)
    application.ahead, application.reads = progress.ahead, progress.reads
    if application.status != before:
        world.reached("application", application, application.status)
    return application_json(world, project, application)


def list_applications(call: Call, owner: str, slug: str) -> Reply:
    """Answer with the applications."""
    project = call.project(owner, slug)
    return Reply([polled(call.world, project, application) for application in project.applications])


def get_application(call: Call, owner: str, slug: str, application_id: int) -> Reply:
    """Answer with an application."""
    project = call.project(owner, slug)
    return Reply(polled(call.world, project, find_application(project, application_id)))


def create_application(call: Call, owner: str, slug: str) -> Reply:
    """Create an application, which starts it."""
    project = call.project(owner, slug, "write")
    call.required("name", "subdomain", "script")
    _check(call, None)
    application = Application(
        str(call.body["name"]),
        str(call.body["script"]),
        str(call.body["subdomain"]),
        runtime_id=call.runtime_id(project, "runtime_id"),
        addons=call.addons(),
        environment=call.environment(),
    )
    application.id = call.world.next_id()
    _take(call, application)
    project.applications.append(application)
    start(call.world, project, application, "application-started")
    return Reply(application_json(call.world, project, application), 201)


def _check(call: Call, application: Application | None) -> None:
    """Refuse with 422 a subdomain that is taken, in any project, and open access if the site does not allow it."""
    call.numbers("cpu", "memory", "nvidia_gpu")
    others = [a for p in call.world.projects for a in p.applications if a is not application]
    if call.body.get("subdomain") in [other.subdomain for other in others]:
        raise Refused(422, f"subdomain {call.body['subdomain']} is already in use")
    if call.body.get("bypass_authentication") and not call.world.site_config["allow_unauthenticated_access_to_app"]:
        raise Refused(422, "unauthenticated access to applications is not allowed on this site")


def _take(call: Call, application: Application) -> None:
    for key in _PLAIN:
        if key in call.body:
            setattr(application, key, call.body[key])
    application.bypass_authentication = bool(call.body.get("bypass_authentication", application.bypass_authentication))


def start(world: World, project: Project, application: Application, kind: str) -> None:
    """Start the application: later reads find it running, or failed if the world says so."""
    last = "failed" if application.name in world.failing_applications else "running"
    application.status, application.ahead, application.reads = "starting", [last], 0
    application.engine_id = engine_id("application run", world.next_id())
    world.live(kind, project, application, "starting")


def stop(world: World, application: Application) -> None:
    """Stop the application: later reads find it stopped. Nothing happens if it is neither starting nor running."""
    if application.status in {"starting", "running"}:
        application.status, application.ahead, application.reads = "stopping", ["stopped"], 0
        world.reached("application", application, "stopping")


def patch_application(call: Call, owner: str, slug: str, application_id: int) -> Reply:
    """Change an application. ASSUMED: no public capture."""
    if not call.world.assume.application_patch:
        raise Refused(404, "Not Found")
    project = call.project(owner, slug, "write")
    application = find_application(project, application_id)
    _check(call, application)
    if "environment" in call.body:
        application.environment = call.environment()
    _take(call, application)
    return Reply(application_json(call.world, project, application))


def restart_application(call: Call, owner: str, slug: str, application_id: int) -> Reply:
    """Start an application again."""
    project = call.project(owner, slug, "write")
    application = find_application(project, application_id)
    call.world.reached("application", application, "stopped")
    start(call.world, project, application, "application-restarted")
    return Reply(application_json(call.world, project, application))


def stop_application(call: Call, owner: str, slug: str, application_id: int) -> Reply:
    """Stop an application. ASSUMED: no public capture."""
    if not call.world.assume.application_stop:
        raise Refused(404, "Not Found")
    project = call.project(owner, slug, "write")
    application = find_application(project, application_id)
    stop(call.world, application)
    return Reply(application_json(call.world, project, application))


def stop_dashboard(call: Call, owner: str, slug: str, engine: str) -> Reply:
    """Stop an application's engine. ASSUMED: no public capture of this for applications."""
    project = call.project(owner, slug, "write")
    application = next((a for a in project.applications if a.engine_id == engine), None)
    if application is None or not call.world.assume.dashboard_stop:
        raise Refused(404, "dashboard.notFound")
    stop(call.world, application)
    return Reply({})


def delete_application(call: Call, owner: str, slug: str, application_id: int) -> Reply:
    """Delete an application; the status is 200, not 204."""
    project = call.project(owner, slug, "write")
    application = find_application(project, application_id)
    project.applications.remove(application)
    call.world.reached("application", application, "deleted")
    return Reply({})


ROUTES = [
    Route("GET", _APPLICATIONS, list_applications),
    Route("POST", _APPLICATIONS, create_application),
    Route("GET", f"{_APPLICATIONS}/<int:application_id>", get_application),
    Route("PATCH", f"{_APPLICATIONS}/<int:application_id>", patch_application),
    Route("DELETE", f"{_APPLICATIONS}/<int:application_id>", delete_application),
    Route("PUT", f"{_APPLICATIONS}/<int:application_id>/restart", restart_application),
    Route("PUT", f"{_APPLICATIONS}/<int:application_id>/stop", stop_application),
    Route("PUT", "/api/v1/projects/<owner>/<slug>/dashboards/<engine>/stop", stop_dashboard),
]
