"""Foresee an import: reads only, here and on the target."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from cmlutils.contents import read_bundle
from cmlutils.entries import totals, totals_by_folder
from cmlutils.errors import NotFound, Rejected
from cmlutils.flows.copying.ignore_files import import_rules
from cmlutils.flows.copying.listing import KeptListing
from cmlutils.flows.import_checks import check_not_source, lacks_team, stays_on_engines
from cmlutils.flows.read_project import read_records
from cmlutils.flows.replaying.journal_keys import keyed, named
from cmlutils.flows.replaying.kinds import add_unlisted, kind_of
from cmlutils.flows.replaying.project import imported_project, project_key
from cmlutils.flows.replaying.target import map_file
from cmlutils.flows.replaying.translate import Addons
from cmlutils.guard import OBSTACLE_FIX, obstacle
from cmlutils.localtree import walk
from cmlutils.plan import Action, Plan, Planned
from cmlutils.project import LEGACY_ENGINE, ProjectRef
from cmlutils.report import join
from cmlutils.runtimes import Runtime, rsync_runtime
from cmlutils.workloads import Application, Model

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cmlutils.bundle import Bundle
    from cmlutils.contents import Contents
    from cmlutils.flows.connect import Connection
    from cmlutils.flows.replaying.steps import Record
    from cmlutils.job import Job
    from cmlutils.journal import Journal
    from cmlutils.project import ProjectSettings
    from cmlutils.remote.v1 import ApiV1
    from cmlutils.runtimes import Maps
    from cmlutils.workloads import Workload

_BEGUN = "an interrupted import began it, and this one finishes it"
MANY = 500  # so many projects are asked for their subdomains, no more


def plan_import(connection: Connection, bundle: Bundle, maps: Maps) -> Plan:
    """Return what an import would create, keep, map and leave out."""
    v1 = connection.v1
    contents = read_bundle(bundle)
    runtimes = v1.runtimes.all()
    taken = taken_subdomains(v1, connection.section.workspace.username, {}) if contents.applications else {}
    offer = Offer(maps, runtimes, taken, v1.site.bypass_allowed())
    plan = plan_target(connection, bundle, offer)
    if rsync_runtime(runtimes) is None and not stays_on_engines(contents.settings, maps):
        plan.blockers.append(f"{connection.section.workspace.host} has no rsync-enabled runtime in its catalogue.")
    if why := obstacle(bundle.folder):
        plan.blockers.append(f"{why}: {OBSTACLE_FIX}.")
    kept = KeptListing(walk(bundle.data, unread=[]), import_rules(bundle.data))
    count = totals(kept.entries.values())
    plan.files = {"files": count.files, "folders": count.folders, "links": count.links, "bytes": count.bytes}
    plan.folders = totals_by_folder(kept.entries.values())
    plan.unknown.append("Which of the files are on the target already: it takes a session to see.")
    return plan


@dataclass(frozen=True)
class Offer:
    """What a target has for whatever project: runtimes, taken subdomains (and by which project), open access."""

    maps: Maps
    runtimes: Sequence[Runtime]
    taken: Mapping[str, str]
    bypass_allowed: bool


def plan_target(connection: Connection, bundle: Bundle, offer: Offer) -> Plan:
    """Return what would become of the project and its workloads; files are left out."""
    contents = read_bundle(bundle)
    settings = contents.settings
    v1, workspace = connection.v1, connection.section.workspace
    owner = settings.team or workspace.username
    plan = Plan("import", connection.section.name, str(bundle.folder), f"{workspace.url} {owner}")
    if lacking := lacks_team(v1, settings):
        plan.blockers.append(lacking)
    plan.actions += [
        Planned(
            "bundle", f"{kind}-metadata.json", Action.FAIL, "it is not there: the export did not finish", "export again"
        )
        for kind in bundle.missing_metadata()
    ]
    journal = bundle.journal(workspace.url, owner, read_only=True)
    project = _project(plan, v1, journal, owner, settings)
    check_not_source(bundle, workspace.url, lambda: project)
    there: dict[str, str] = {}
    if project:
        records = read_records(v1, project)
        add_unlisted(v1, project, journal, records)
        there = _there(v1, project, journal, contents, records)
        plan.actions += _leftovers(journal, contents, records) if journal.is_in(project.id) else []
    begun = journal.step(project_key(owner, plan.project))
    settled = project if begun is None or begun.done else None  # one that is not settled yet is still set up
    engines = settled.engine_type == LEGACY_ENGINE if settled else stays_on_engines(settings, offer.maps)
    addons = Addons(v1)
    for kind, wanted in contents.by_kind().items():
        planned = []
        for key, one in keyed(wanted):
            if key in there:
                action = Action.CREATE if there[key] else Action.PRESENT
                planned.append(Planned(one.kind, one.name, action, there[key]))
            else:
                planned.append(_with_addons(_workload(one, offer, engines=engines), addons.absent(one)))
        plan.actions += _with_parents(planned, contents.jobs) if kind == "jobs" else planned
    if contents.applications:
        plan.unknown.append("Whether a project that you can't see has one of the applications' subdomains.")
    if project is None:
        _people(plan, v1, owner, settings)
    return plan


def _there(
    v1: ApiV1, project: ProjectRef, journal: Journal, contents: Contents, records: Mapping[str, list[Record]]
) -> dict[str, str]:
    """Return the keys of what is there, known to be an import's or else by its name, with what to note of it."""
    found, inside = dict[str, str](), journal.is_in(project.id)
    for kind, wanted in contents.by_kind().items():
        singular = kind.removesuffix("s")
        identity_of = kind_of(singular, v1, project).identity_of
        rows, ours = {str(row["id"]): row for row in records[kind]}, journal.ids(singular) if inside else set()
        others = Counter(identity_of(row) for number, row in rows.items() if number not in ours)
        for key, _ in keyed(wanted):
            step, what = journal.step(key) if inside else None, named(key)
            if step and step.target_id in rows and not step.doomed:
                found[key] = "" if step.done else _BEGUN
            elif what and others[what.identity]:
                others[what.identity] -= 1
                found[key] = _BEGUN if step and not step.target_id else ""
    return found


def _leftovers(journal: Journal, contents: Contents, records: Mapping[str, list[Record]]) -> list[Planned]:
    """Plan to take away what an interrupted import is known to have made, and the bundle has no more."""
    wanted = {key for key, _ in keyed(contents.workloads())}
    names = {(kind, str(row["id"])): str(row.get("name")) for kind, rows in records.items() for row in rows}
    begun = {key: (named(key), journal.step(key)) for key in journal.unfinished() if key not in wanted}
    found = [
        (what.kind, names.get((f"{what.kind}s", step.target_id))) for what, step in begun.values() if what and step
    ]
    note = "an interrupted import began it, and the bundle has it no more"
    return [Planned(kind, name, Action.REMOVE, note) for kind, name in found if name is not None]


def _project(plan: Plan, v1: ApiV1, journal: Journal, owner: str, settings: ProjectSettings) -> ProjectRef | None:
    """Plan the project itself; return it where it is there already."""
    name, ref = plan.project, None
    if not plan.blockers:
        ref = imported_project(v1, journal, owner, name)
        found = None if ref else v1.projects.find(name, owner, owner)
        ref = ProjectRef.from_v1(v1.projects.get(ProjectRef.from_v1(found, owner)), owner) if found else ref
    if ref is None:
        what = f"{settings.visibility}, {len(settings.environment)} environment variables"
        plan.actions.append(Planned("project", name, Action.CREATE, what))
        return None
    plan.target = f"{plan.target.split(' ')[0]} {ref.path}"
    plan.actions.append(Planned("project", name, Action.PRESENT, "its settings and environment stay as they are"))
    plan.unknown.append("Whether it was an unfinished import that made it: then its settings are finished.")
    return ref


def _workload(one: Workload, offer: Offer, *, engines: bool) -> Planned:
    """Plan one workload that is not there yet, with the runtime that it would get, or in a project on engines none."""
    if isinstance(one, Model) and not one.file:
        fix = "build it on the source and export again, or create it by hand"
        return Planned(one.kind, one.name, Action.FALLBACK, "never built on the source: it may be refused", fix)
    on_engine = engines and one.runtime is None
    match = None if on_engine else offer.maps.find(one.runtime, one.kernel, offer.runtimes)
    add = f"add the runtime to the target's catalogue, or name another in {map_file(one)}"
    if match is None and not on_engine:
        named = offer.maps.named(one.runtime, one.kernel)
        lacking = f"the target has no runtime for {one.runtime or one.kernel or 'its engine'}"
        note = f"{named}, which the target does not have" if named else lacking
        return Planned(one.kind, one.name, Action.FAIL, note, add)
    note = (match.note or str(match.runtime)) if match else "on the target's default engine image"
    fix = add if match and match.fallback else ""
    if isinstance(one, Application):
        if one.key in offer.taken:
            where = f"subdomain {one.subdomain} is taken by {offer.taken[one.key]}"
            return Planned(one.kind, one.name, Action.FAIL, where, "free it on the target, or change it on the source")
        if one.bypass_authentication and not offer.bypass_allowed:
            note = f"{note}; the target forbids unauthenticated access"
            fix = join(fix, "let the target's admin allow it, or do without")
    return Planned(one.kind, one.name, Action.FALLBACK if fix else Action.CREATE, note, fix)


def _with_addons(planned: Planned, absent: Sequence[str]) -> Planned:
    if not absent or planned.action is Action.FAIL:
        return planned
    fix = join(planned.fix, f"choose its add-ons by hand: {', '.join(absent)}")
    return replace(planned, fix=fix)


def _with_parents(planned: Sequence[Planned], jobs: Sequence[Job]) -> list[Planned]:
    """Note of each job whether the one that would start it is going to be there."""
    failing = {job.source_id: one.action is Action.FAIL for job, one in zip(jobs, planned, strict=True)}
    found = []
    for job, one in zip(jobs, planned, strict=True):
        fails = failing.get(job.parent_id)  # None: the bundle does not have it
        lost = job.parent_id and not job.schedule and fails is not False
        if lost and one.action in {Action.CREATE, Action.FALLBACK}:
            note = f"without its parent, which {'fails' if fails else 'the bundle does not have'}"
            found.append(replace(one, action=Action.FALLBACK, note=join(one.note, note)))
        else:
            found.append(one)
    return found


def taken_subdomains(v1: ApiV1, username: str, asked: dict[tuple[str, str], set[str]]) -> dict[str, str]:
    """Return each subdomain in the projects that this user sees, with the project that has it.

    `asked` remembers what (host, project) have, so that a project is asked once, however many users see it.
    """
    found: dict[str, str] = {}
    for row in v1.projects.visible_to(username)[:MANY]:
        ref = ProjectRef.from_v1(row)
        key = (v1.http.host, ref.path)
        if key not in asked:
            try:
                asked[key] = {str(one.get("subdomain")).lower() for one in v1.applications.of(ref)}
            except Rejected:
                continue
        found |= dict.fromkeys(asked[key], ref.path)
    return found


def _people(plan: Plan, v1: ApiV1, owner: str, settings: ProjectSettings) -> None:
    """Plan who may use the project."""
    for one in settings.collaborators:
        name, permission = str(one.get("username") or ""), str(one.get("permissions") or "read")
        if name and name != owner:
            try:
                v1.users.get(name)
            except NotFound:
                note = f"{permission}; the target has no such user"
                fix = "add the user to the target, or do without"
                plan.actions.append(Planned("collaborator", name, Action.FAIL, note, fix))
                continue
            except Rejected:
                plan.unknown.append(f"Whether the target has the user {name}: it does not let you look.")
            plan.actions.append(Planned("collaborator", name, Action.SET, permission))
