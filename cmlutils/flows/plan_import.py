"""Foresee an import. It only reads, on both sides."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cmlutils.entries import totals, totals_by_folder
from cmlutils.errors import NotFound, Rejected
from cmlutils.flows.copying.ignore_files import import_rules
from cmlutils.flows.copying.listing import KeptListing
from cmlutils.flows.import_checks import check_not_source, lacks_team, stays_on_engines
from cmlutils.flows.plan_workloads import BEGUN, Offer, plan_workloads, taken_subdomains
from cmlutils.flows.replaying.hand_over import HandOver, people_of
from cmlutils.flows.replaying.project import project_there
from cmlutils.guard import OBSTACLE_FIX, obstacle
from cmlutils.localtree import walk
from cmlutils.metadata import read_metadata
from cmlutils.plan import Action, Plan, Planned
from cmlutils.project import LEGACY_ENGINE
from cmlutils.runtimes import lacks_rsync
from cmlutils.units import counted

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cmlutils.bundle import Bundle
    from cmlutils.flows.connect import Connection
    from cmlutils.journal import Journal
    from cmlutils.metadata import Metadata
    from cmlutils.project import ProjectRef, ProjectSettings
    from cmlutils.remote.v1 import ApiV1
    from cmlutils.runtimes import Maps


def plan_import(connection: Connection, bundle: Bundle, maps: Maps) -> Plan:
    """Return what an import would create, keep, map and leave out."""
    v1 = connection.v1
    metadata = read_metadata(bundle)
    runtimes = v1.runtimes.all()
    taken = taken_subdomains(v1, connection.section.workspace.username, {}) if metadata.applications else {}
    offer = Offer(maps, runtimes, taken, v1.site.bypass_allowed())
    plan = plan_target(connection, bundle, metadata, offer)
    if not stays_on_engines(metadata.settings, maps) and (lacking := lacks_rsync(v1.http.host, runtimes)):
        plan.blockers.append(lacking)
    if why := obstacle(bundle.folder):
        plan.blockers.append(f"{why}: {OBSTACLE_FIX}.")
    kept = KeptListing(walk(bundle.data, unread=[]), import_rules(bundle.data))
    count = totals(kept.entries.values())
    plan.files = {"files": count.files, "folders": count.folders, "links": count.links, "bytes": count.bytes}
    plan.folders = totals_by_folder(kept.entries.values())
    plan.unknown.append("Which of the files are on the target already: only a session on the workspace shows that.")
    return plan


def plan_target(connection: Connection, bundle: Bundle, metadata: Metadata, offer: Offer) -> Plan:
    """Return what would become of the project and its workloads; `metadata` is the bundle's."""
    settings = metadata.settings
    v1, workspace = connection.v1, connection.section.workspace
    owner = settings.team or workspace.username
    plan = Plan("import", connection.section.name, str(bundle.folder), f"{workspace.url} {owner}")
    if lacking := lacks_team(v1, settings):
        plan.blockers.append(lacking)
    plan.actions += [
        Planned(
            "bundle", f"{part}-metadata.json", Action.FAIL, "it is not there: the export did not finish", "export again"
        )
        for part in bundle.missing_metadata()
    ]
    journal = bundle.journal(workspace.url, owner, read_only=True)
    project, settled = _project(plan, connection, journal, owner, settings)
    check_not_source(bundle, workspace.url, lambda: project)
    as_it_is = project if settled else None  # one that is still to be set up will only get its engine type
    engines = as_it_is.engine_type == LEGACY_ENGINE if as_it_is else stays_on_engines(settings, offer.maps)
    plan.actions += plan_workloads(v1, metadata, offer, journal, project, engines=engines)
    if metadata.applications:
        plan.unknown.append("Whether a project that you can't see has one of the applications' subdomains.")
    _people(plan, v1, HandOver(journal, as_it_is, settings).people() if as_it_is else people_of(settings, owner))
    return plan


def _project(
    plan: Plan, connection: Connection, journal: Journal, owner: str, settings: ProjectSettings
) -> tuple[ProjectRef | None, bool]:
    """Plan the project itself; return it if it exists already, and whether it stays as it is."""
    project, settled = (None, False) if plan.blockers else project_there(connection, journal, owner)
    if project is None:
        what = f"{settings.visibility}, {counted(len(settings.environment), 'environment variable')}"
        plan.actions.append(Planned("project", plan.project, Action.CREATE, what))
        return None, False
    plan.target = f"{plan.target.split(' ')[0]} {project.path}"
    note = "its settings and environment stay as they are" if settled else BEGUN
    plan.actions.append(Planned("project", plan.project, Action.PRESENT if settled else Action.CREATE, note))
    return project, settled


def _people(plan: Plan, v1: ApiV1, people: Mapping[str, str]) -> None:
    """Plan who becomes a collaborator with which permission."""
    for name, permission in people.items():
        try:
            v1.users.get(name)
        except NotFound:
            note, fix = f"{permission}; the target has no such user", "add the user to the target, or do without"
            plan.actions.append(Planned("collaborator", name, Action.FAIL, note, fix))
            continue
        except Rejected:
            plan.unknown.append(f"Whether the target has the user {name}: it does not let you see them.")
        plan.actions.append(Planned("collaborator", name, Action.SET, permission))
