"""Runtimes, their add-ons, and engine images."""

from __future__ import annotations

from cmlutils.emulator.calls import Call, Refused, Reply, Route
from cmlutils.emulator.records import EngineImage
from cmlutils.emulator.shapes import engine_image_json, runtime_json


def list_runtimes(call: Call) -> Reply:
    """Answer with the latest enabled runtimes, or with more if asked to; refuse with 501 while the catalogue loads."""
    if call.world.runtimes_loading > 0:
        call.world.runtimes_loading -= 1
        raise Refused(501, "runtimes are not loaded yet")
    shown = [runtime_json(call.world, runtime) for runtime in call.world.runtimes]
    if call.query.get("includeAll", "").lower() != "true":
        shown = [runtime for runtime in shown if runtime["isLatest"]]
    if call.query.get("runtimeCatalog", "").lower() != "true":
        shown = [runtime for runtime in shown if runtime["status"] == "ENABLED"]
    return Reply({"runtimes": shown})


def list_addons(call: Call) -> Reply:
    """Answer with the add-ons of a component."""
    component = call.body.get("component")
    return Reply(
        [
            {"id": a.id, "identifier": a.id, "component": a.component, "displayName": a.display_name or a.component}
            for a in call.world.addons
            if component in (None, "", a.component)
        ]
    )


def list_engine_images(call: Call) -> Reply:
    """Answer with the engine images."""
    return Reply([engine_image_json(image) for image in call.world.engine_images])


def add_engine_image(call: Call) -> Reply:
    """Add an engine image."""
    call.need_admin()
    wanted = call.body.get("engineImage")
    if not isinstance(wanted, dict) or not wanted.get("repository") or not wanted.get("tag"):
        raise Refused(422, "engineImage needs repository and tag")
    image = EngineImage(wanted["repository"], wanted["tag"], wanted.get("description", ""), call.world.next_id())
    call.world.engine_images.append(image)
    return Reply({"id": image.id})


ROUTES = [
    Route("GET", "/api/v1/runtimes", list_runtimes),
    Route("POST", "/api/v1/runtime-addons", list_addons),
    Route("GET", "/api/v1/engine-images", list_engine_images),
    Route("POST", "/api/v1/engine-images", add_engine_image),
]
