"""The site: liveness, release, configuration."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from cmlutils.emulator.calls import Call, Reply, Route

if TYPE_CHECKING:
    from cmlutils.emulator.records import Json
    from cmlutils.emulator.world import World


def root(call: Call) -> Reply:  # noqa: ARG001 - every view gets the call
    """Answer that the API is there."""
    return Reply(b"Sense API v1", content_type="text/plain; charset=utf-8")


def _config(world: World) -> Json:
    return {
        "environment": json.dumps({"HADOOP_CONF_DIR": "/etc/hadoop/conf/"}), "max_gpu_per_engine": 0,
        "default_accelerator_label_id": 1, "enable_runtime_addons": True, "enable_register_runtimes_for_user": False,
        **world.site_config,
    }  # fmt: skip


def get_config(call: Call) -> Reply:
    """Answer with the site's configuration; its environment is JSON text."""
    return Reply(_config(call.world))


def patch_config(call: Call) -> Reply:
    """Change the site's configuration (administrators only)."""
    call.need_admin()
    call.world.site_config.update(call.body)
    return Reply(_config(call.world))


def get_stats(call: Call) -> Reply:
    """Answer with the site's statistics; those of CDSW include its release."""
    nodes = {"name": "Total Nodes", "value": "3"}
    if call.world.personality == "cml":
        return Reply([nodes, {"name": "Total CPU", "value": "48"}])
    release = {"key": "config.release", "name": "Release", "value": call.world.release}
    return Reply([{"key": "nodes.total", **nodes}, release])


ROUTES = [
    Route("GET", "/api/v1/", root, "public"),
    Route("GET", "/api/v1/site/config", get_config),
    Route("GET", "/api/v1/site/config/", get_config),
    Route("PATCH", "/api/v1/site/config", patch_config),
    Route("PATCH", "/api/v1/site/config/", patch_config),
    Route("GET", "/api/v1/site/stats", get_stats),
]
