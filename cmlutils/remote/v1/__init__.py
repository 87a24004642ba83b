"""The legacy v1 API: a class for each kind of thing, a method for each route."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cmlutils.remote.routes import Routes
from cmlutils.remote.v1.projects import Projects
from cmlutils.remote.v1.site import Runtimes, Site
from cmlutils.remote.v1.users import Users, V2Keys
from cmlutils.remote.v1.workloads import Applications, Jobs, Models

if TYPE_CHECKING:
    from cmlutils.remote.http import Http


class ApiV1:
    """The v1 routes of one workspace, such as `v1.jobs.create(project, body)`, with plain JSON in and out.

    A write without a usable answer raises AnswerLost: the caller has to look what happened. Idempotent requests (PUT,
    PATCH, DELETE) are repeated, so NotFound from a delete may mean that an earlier try succeeded.
    """

    def __init__(self, http: Http) -> None:
        self.http = http
        routes = Routes(http)
        self.users = Users(routes)
        self.v2_keys = V2Keys(http)
        self.projects = Projects(routes, self.users)
        self.models = Models(routes)
        self.applications = Applications(routes)
        self.jobs = Jobs(routes)
        self.runtimes = Runtimes(routes)
        self.site = Site(routes)
