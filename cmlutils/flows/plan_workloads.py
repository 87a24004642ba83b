"""Foresee what an import would do with each workload. It only reads."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from cmlutils.errors import Rejected
from cmlutils.flows.read_project import read_records
from cmlutils.flows.replaying.journal_keys import keyed, named
from cmlutils.flows.replaying.kinds import add_unlisted
from cmlutils.flows.replaying.runtime_choice import RuntimeChoice, map_file
from cmlutils.flows.replaying.translate import Addons
from cmlutils.plan import Action, Planned
from cmlutils.project import ProjectRef
from cmlutils.report import join
from cmlutils.workloads import Application, Model, identity_in, identity_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cmlutils.flows.replaying.steps import Record
    from cmlutils.job import Job
    from cmlutils.journal import Journal
    from cmlutils.metadata import Metadata
    from cmlutils.remote.v1 import ApiV1
    from cmlutils.runtime import Runtime
    from cmlutils.runtimes import Maps
    from cmlutils.workloads import Identity, Workload

BEGUN = "an interrupted import began it, and this one finishes it"
MANY = 500  # the most projects that are asked for their subdomains


@dataclass(frozen=True)
class Offer:
    """What a target offers to any project: runtimes, subdomains that are taken (by which project), open access."""

    maps: Maps
    runtimes: Sequence[Runtime]
    taken: Mapping[Identity, str]
    bypass_allowed: bool


def plan_workloads(
    v1: ApiV1, metadata: Metadata, offer: Offer, journal: Journal, project: ProjectRef | None, *, engines: bool
) -> list[Planned]:
    """Plan each workload of a bundle for this project of the target (None: it does not exist yet)."""
    there: dict[str, str] = {}
    planned: list[Planned] = []
    if project:
        records = read_records(v1, project)
        add_unlisted(v1, project, journal, records)
        there = _there(project, journal, metadata, records)
        planned += _leftovers(journal, metadata, records) if journal.is_in(project.id) else []
    choice, addons = RuntimeChoice(offer.runtimes, offer.maps, engines=engines), Addons(v1)
    for kind, wanted in metadata.by_kind().items():
        found = []
        for key, one in keyed(wanted):
            if key in there:
                action = Action.CREATE if there[key] else Action.PRESENT
                found.append(Planned(one.kind, one.name, action, there[key]))
            else:
                found.append(_with_addons(_workload(one, offer, choice), addons.absent(one)))
        planned += _with_parents(found, metadata.jobs) if kind == "job" else found
    return planned


def _there(
    project: ProjectRef, journal: Journal, metadata: Metadata, records: Mapping[str, list[Record]]
) -> dict[str, str]:
    """Return, with a note, the keys of workloads that exist: created by an import, or else of the same name."""
    found, inside = dict[str, str](), journal.is_in(project.id)
    for kind, wanted in metadata.by_kind().items():
        rows, ours = {str(row["id"]): row for row in records[kind]}, journal.ids(kind) if inside else set()
        others = Counter(identity_in(kind, row) for number, row in rows.items() if number not in ours)
        for key, one in keyed(wanted):
            entry, identity = journal.entry(key) if inside else None, identity_of(one)
            if entry and entry.target_id in rows and not entry.doomed:
                found[key] = "" if entry.done else BEGUN
            elif others[identity]:
                others[identity] -= 1
                found[key] = BEGUN if entry and not entry.target_id else ""
    return found


def _leftovers(journal: Journal, metadata: Metadata, records: Mapping[str, list[Record]]) -> list[Planned]:
    """Plan to delete what an interrupted import is known to have created and the bundle no longer has."""
    wanted = {key for key, _ in keyed(metadata.workloads())}
    names = {(kind, str(row["id"])): str(row.get("name")) for kind, rows in records.items() for row in rows}
    begun = {key: (named(key), journal.entry(key)) for key in journal.unfinished() if key not in wanted}
    found = [(what.kind, names.get((what.kind, entry.target_id))) for what, entry in begun.values() if what and entry]
    note = "an interrupted import began it, and the bundle has it no more"
    return [Planned(kind, name, Action.REMOVE, note) for kind, name in found if name is not None]


def _workload(one: Workload, offer: Offer, choice: RuntimeChoice) -> Planned:
    """Plan one workload that does not exist yet."""
    never_built = isinstance(one, Model) and not one.file
    lack = choice.lack(one) if one.runtime or not never_built else None
    if lack:
        return Planned(one.kind, one.name, Action.FAIL, lack.note, lack.fix)
    if never_built:
        fix = "build it on the source and export again, or create it by hand"
        return Planned(one.kind, one.name, Action.FALLBACK, "never built on the source: it may be refused", fix)
    match = choice.match(one)
    note = (match.note or str(match.runtime)) if match else "on the target's default engine image"
    fix = f"add the runtime to the target, or map it in {map_file(one)}" if match and match.fallback else ""
    if isinstance(one, Application):
        if taken_by := offer.taken.get(identity_of(one)):
            where = f"subdomain {one.subdomain} is taken by {taken_by}"
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
    """Add to each job's plan whether its parent will be missing."""
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


def taken_subdomains(v1: ApiV1, username: str, asked: dict[tuple[str, str], set[Identity]]) -> dict[Identity, str]:
    """Return the subdomains in all projects that this user sees, each with its project.

    `asked` remembers the subdomains of (host, project), so that each project is asked only once for several users.
    """
    found: dict[Identity, str] = {}
    for row in v1.projects.visible_to(username)[:MANY]:
        ref = ProjectRef.from_v1(row)
        key = (v1.http.host, ref.path)
        if key not in asked:
            try:
                asked[key] = {identity_in("application", one) for one in v1.applications.of(ref)}
            except Rejected:
                continue
        found |= dict.fromkeys(asked[key], ref.path)
    return found
