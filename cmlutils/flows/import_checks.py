"""What an import and its dry run check before anything is written: the project, its team, its engines."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cmlutils.errors import ConfigError, NotFound, Unauthorized
from cmlutils.project import LEGACY_ENGINE

if TYPE_CHECKING:
    from collections.abc import Callable

    from cmlutils.bundle import Bundle
    from cmlutils.project import ProjectRef, ProjectSettings
    from cmlutils.remote.v1 import ApiV1
    from cmlutils.runtimes import Maps


def check_not_source(bundle: Bundle, url: str, find: Callable[[], ProjectRef | None]) -> None:
    """Raise ConfigError when the target's project is the one that was exported: an import would overwrite it.

    `find` returns the target's project; it is called only if the bundle comes from the target's workspace.
    """
    source_id = bundle.source_id(url)
    project = find() if source_id else None
    if project and project.id == source_id:
        raise ConfigError(
            f"The target's {project.path} is the same project that the bundle was exported from.",
            hint="An import would overwrite it: check url in import-config.ini.",
        )


def stays_on_engines(settings: ProjectSettings, maps: Maps) -> bool:
    """Tell whether a project on legacy engines stays on them, as no map says which runtimes should replace them."""
    return settings.engine_type == LEGACY_ENGINE and not maps.engines


def lacks_team(v1: ApiV1, settings: ProjectSettings) -> str:
    """Return a message if the target does not show the project's team; empty if it does, or if there is no team."""
    try:
        if settings.team:
            v1.users.get(settings.team)
    except (NotFound, Unauthorized):
        return f"The target has no team {settings.team!r}, to which the project belongs."
    return ""
