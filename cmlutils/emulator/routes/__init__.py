"""The routes of the emulated workspace, by resource."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cmlutils.emulator.routes import (
    applications,
    client,
    jobs,
    models,
    project_parts,
    projects,
    runtimes,
    site,
    users,
    v2,
)

if TYPE_CHECKING:
    from cmlutils.emulator.calls import Route

ROUTES: list[Route] = [
    *users.ROUTES,
    *projects.ROUTES,
    *project_parts.ROUTES,
    *jobs.ROUTES,
    *applications.ROUTES,
    *models.ROUTES,
    *runtimes.ROUTES,
    *site.ROUTES,
    *v2.ROUTES,
    *client.ROUTES,
]
"""Every route there is."""
