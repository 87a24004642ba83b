"""What a project consists of besides its files: settings, models, applications and jobs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cmlutils import paths
from cmlutils.errors import BundleError
from cmlutils.project import ProjectSettings
from cmlutils.wholefile import read_json
from cmlutils.workloads import Application, Identity, Job, Model, Workload, identity_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cmlutils.bundle import Bundle


@dataclass(frozen=True)
class Metadata:
    """One project's settings and workloads, of a workspace or of a bundle."""

    settings: ProjectSettings
    models: Sequence[Model]
    applications: Sequence[Application]
    jobs: Sequence[Job]

    def by_kind(self) -> dict[str, Sequence[Workload]]:
        """Return the workloads by kind."""
        return {"model": self.models, "application": self.applications, "job": self.jobs}

    def workloads(self) -> list[Workload]:
        """Return all workloads, in the order in which an import creates them."""
        return [*self.models, *self.applications, *self.jobs]


def read_metadata(bundle: Bundle) -> Metadata:
    """Read the four metadata files; in a foreign bundle, a missing file means that there are none."""

    def records(part: str) -> list[Any]:
        path = bundle.metadata(part)
        if bundle.foreign and not paths.exists(path):
            return []
        return list(read_json(path, list))

    return Metadata(
        ProjectSettings.from_bundle(read_json(bundle.metadata("project"), dict)),
        [Model.from_bundle(one) for one in records("models")],
        _each_subdomain_once([Application.from_bundle(one) for one in records("applications")]),
        [Job.from_bundle(one) for one in records("jobs")],
    )


def _each_subdomain_once(applications: Sequence[Application]) -> Sequence[Application]:
    """Return them; raise BundleError for two of one subdomain, of which a workspace would make one only."""
    seen = dict[Identity, Application]()
    for one in applications:
        other = seen.setdefault(identity_of(one), one)
        if other is not one:
            raise BundleError(
                f"applications-metadata.json: the applications {other.name!r} and {one.name!r} "
                f"have the same subdomain, {one.subdomain!r}.",
                hint="Give one of them another subdomain there, or remove it; or run the export again.",
            )
    return applications
