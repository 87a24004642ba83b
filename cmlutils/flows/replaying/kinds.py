"""How the workloads of each kind are listed, told apart, asked for and deleted on a target."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cmlutils.flows.replaying.steps import Inventory, Kind
from cmlutils.journal import JournalStep

if TYPE_CHECKING:
    from cmlutils.flows.replaying.steps import Record
    from cmlutils.journal import Journal
    from cmlutils.project import ProjectRef
    from cmlutils.remote.v1 import ApiV1


def kind_of(name: str, v1: ApiV1, project: ProjectRef) -> Kind:
    """Return the Kind of a project's models, applications or jobs."""
    if name == "model":
        return Kind(
            name=name,
            inventory=Inventory(lambda: v1.models.of(project)),
            identity_of=lambda one: (str(one.get("name")),),
            read=lambda past: v1.models.get_in(project, past.target_id),
            remove=lambda one: v1.models.delete(one["id"]),
        )
    if name == "application":
        return Kind(
            name=name,
            inventory=Inventory(lambda: v1.applications.of(project)),
            identity_of=lambda one: (str(one.get("subdomain")).lower(),),
            read=lambda past: v1.applications.get(project, past.target_id),
            remove=lambda one: v1.applications.delete(project, one["id"]),
        )
    return Kind(
        name=name,
        inventory=Inventory(lambda: v1.jobs.of(project)),
        identity_of=lambda one: (str(one.get("name")), str(one.get("script") or "")),
        read=lambda past: v1.jobs.get(project, past.target_id),
        remove=lambda one: v1.jobs.delete(project, one["id"]),
    )


def add_unlisted(v1: ApiV1, project: ProjectRef, journal: Journal, records: dict[str, list[Record]]) -> None:
    """Add to these listings what imports have created and a listing that lags behind does not show yet."""
    for kind, rows in records.items() if journal.is_in(project.id) else ():
        of = kind_of(kind, v1, project)
        unlisted = journal.ids(kind) - {str(row["id"]) for row in rows}
        found = [of.look_up(JournalStep(target_id=number)) for number in sorted(unlisted)]
        rows += [one for one in found if one is not None]
