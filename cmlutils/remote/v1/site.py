"""What belongs to the whole workspace: its settings, and the runtimes in its catalogue."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cmlutils.errors import Rejected
from cmlutils.remote.routes import Json, a_list
from cmlutils.runtime import Runtime

if TYPE_CHECKING:
    from cmlutils.remote.routes import Routes


class Site:
    """The workspace's settings."""

    def __init__(self, routes: Routes) -> None:
        self._routes = routes

    def bypass_allowed(self) -> bool:
        """Tell whether applications may be open without a login; a workspace that does not say is taken to allow it."""
        try:
            config = self._routes.an_object("/api/v1/site/config")
        except Rejected:
            return True
        return config.get("allow_unauthenticated_access_to_app") is not False


class Runtimes:
    """The runtimes of the catalogue, and their add-ons."""

    def __init__(self, routes: Routes) -> None:
        self._routes = routes

    def all(self) -> list[Runtime]:
        """Return all runtimes, including old and disabled ones."""
        path = "/api/v1/runtimes"
        reply = self._routes.an_object(path, includeAll="true", runtimeCatalog="true")
        rows = a_list(reply.get("runtimes"), f"{self._routes.http.host} GET {path}")
        return [Runtime.from_v1(one) for one in rows]

    def addons(self, component: str) -> list[Json]:
        """Return the add-ons of a component."""
        return self._routes.a_list("/api/v1/runtime-addons", question={"component": component})
