"""Compare a bundle's models, applications and jobs with those of a workspace, field by field."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from cmlutils.application import ENDED
from cmlutils.flows.replaying.translate import person
from cmlutils.model import live_status
from cmlutils.report import Difference, Group
from cmlutils.workloads import KINDS, Application, Job, Model, Workload, differences, identity_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cmlutils.flows.comparing.side import ComparedSide

Record = dict[str, Any]
_NOT_SHOWN = "not shown"
_ABSENT = Job("one that is not there", "")  # stands for a parent whose id is no job's


def compare_workloads(
    kind: str, wanted: Sequence[Workload], records: Sequence[Record], side: ComparedSide
) -> list[Difference]:
    """Compare the workloads of one kind with the workspace's records of it.

    Workloads with the same identity are paired by resemblance; one without a partner is a difference of its own.
    """
    left, right = defaultdict(list), defaultdict(list)
    read = [(KINDS[kind].from_v1(one, side.runtimes), one) for one in records]
    for one in wanted:
        left[identity_of(one)].append(one)
    for pair in read:
        right[identity_of(pair[0])].append(pair)
    mine, theirs = _parents(wanted), _parents([one for one, _ in read])

    def unlike(one: Workload, other: Workload) -> int:
        return len(differences(one, other)) + (not _alike(mine.get(id(one)), theirs.get(id(other))))

    pairs = {key: _partners(left[key], right[key], unlike) for key in {**left, **right}}
    partner = {id(one): best for same in pairs.values() for one, best, _ in same}
    found = []
    for key, same in pairs.items():
        for one, best, record in same:
            found += _pair(one, best, record, side)
            parent, there = mine.get(id(one)), theirs.get(id(best))
            if not (_alike(parent, there) or (parent and partner.get(id(parent)) is there)):
                found.append(side.difference(f"job {one.name}", "parent", *_parents_shown(parent, there)))
        taken = {id(either) for pair in same for either in pair[:2]}
        found += [_alone(one, side, Group.MISSING) for one in left[key] if id(one) not in taken]
        found += [_alone(one, side, Group.EXTRA) for one, _ in right[key] if id(one) not in taken]
    return found


def _partners(
    left: Sequence[Workload], right: Sequence[tuple[Workload, Record]], unlike: Callable[[Workload, Workload], int]
) -> list[tuple[Workload, Workload, Record]]:
    """Pair each workload with the one that it resembles most, the best matches first."""
    possible = [(unlike(a, b), i, j) for i, a in enumerate(left) for j, (b, _) in enumerate(right)]
    pairs, used = [], set[tuple[str, int]]()
    for _, i, j in sorted(possible):
        if not {("left", i), ("right", j)} & used:
            used |= {("left", i), ("right", j)}
            pairs.append((left[i], *right[j]))
    return pairs


def _parents(workloads: Sequence[Workload]) -> dict[int, Job]:
    """Return each job's parent by the id() of the job, as jobs may be equal in everything else."""
    jobs = [one for one in workloads if isinstance(one, Job)]
    known = {job.source_id: job for job in jobs if job.source_id}
    return {id(job): known.get(job.parent_id, _ABSENT) for job in jobs if job.parent_id}


def _alike(one: Job | None, other: Job | None) -> bool:
    """Tell whether two parents are equal, or both are missing."""
    if one is None or other is None:
        return one is other
    return identity_of(one) == identity_of(other) and not differences(one, other)


def _parents_shown(one: Job | None, other: Job | None) -> tuple[str, str]:
    """Return the names of two parents, with their scripts if the names are the same."""
    names = one.name if one else "none", other.name if other else "none"
    if one is None or other is None or names[0] != names[1]:
        return names
    return f"{one.name} ({one.script})", f"another {other.name} ({other.script})"


def _alone(one: Workload, side: ComparedSide, group: Group) -> Difference:
    here, there = ("there", "absent") if group is Group.MISSING else ("absent", "there")
    where = f"{side.name} {one.kind} {one.name}"
    return Difference(where, "existence", here, there, group=group if side.on_target else Group.SOURCE)


def _pair(wanted: Workload, there: Workload, record: Record, side: ComparedSide) -> list[Difference]:
    where = f"{wanted.kind} {wanted.name}"
    rows = [side.difference(where, *row).excused(_why(wanted, record, row, side)) for row in differences(wanted, there)]
    rows += _ids(wanted, there, record, side)
    rows += _runtime(wanted, there, record, side)
    return rows + (_state(wanted, record, side) if side.on_target else [])


def _ids(wanted: Workload, there: Workload, record: Record, side: ComparedSide) -> list[Difference]:
    """Compare add-ons and notifications, by the ids that this side has for them."""
    rows = []
    for name, told in (("addons", _addon), ("notifications", _notification)):
        left, right = (sorted(map(told, getattr(one, name, ()))) for one in (wanted, there))
        if left == right:
            continue
        why = ""
        if side.on_target and record.get(name) is None:
            why = "the target does not show it"
        elif side.on_target and name == "addons" and {*left} < {*right}:
            why = "the target added it"
        row = side.difference(
            f"{wanted.kind} {wanted.name}", name, ", ".join(left) or "none", ", ".join(right) or "none"
        )
        rows.append(row.excused(why))
    return rows


def _addon(one: Any) -> str:
    return str(one.get("id")) if isinstance(one, dict) else str(one)


def _notification(one: Any) -> str:
    if isinstance(one, dict):
        one = {**one, "username": f"user {one.get('user_id')}"}
    return one if isinstance(one, str) else person(one)


def _why(wanted: Workload, record: Record, row: tuple[str, str, str], side: ComparedSide) -> str:
    """Return why a migration causes this difference; empty if nothing explains it."""
    name, left, right = row
    if not side.on_target:
        return ""
    if name == "bypass_authentication" and left == "True" and not side.bypass_allowed:
        return "the target forbids unauthenticated access"
    if name.startswith("environment ") and left == "absent":
        return "the target added it"
    if name == "timezone" and (left, right) == ("", "UTC"):
        return "a job without a time zone runs in UTC"
    if name == "visibility" and record.get(name) is None:
        return "the target does not show it"
    hidden = "the target does not show it while this is stopped or not deployed"
    return hidden if _hidden(wanted, record, name, right) else ""


def _hidden(wanted: Workload, record: Record, name: str, right: str) -> bool:
    """Tell whether the target shows this field only for what is deployed or has been running."""
    if wanted.kind == "application":
        return name in {"cpu", "memory", "gpus"} and name not in record and not record.get("currentDashboard")
    if wanted.kind != "model" or record.get("latestModelDeployment"):
        return False
    if name.startswith("environment "):
        return right == "absent"
    if name in {"cpu_millicores", "memory_mb", "gpus"}:
        return not record.get("defaultResources")
    return name == "replicas" and not record.get("defaultReplicationPolicy")


def _runtime(wanted: Workload, there: Workload, record: Record, side: ComparedSide) -> list[Difference]:
    """Compare runtimes; the nearest one is expected, but never one with another kernel."""
    mine, theirs = wanted.runtime, there.runtime
    if (mine.image if mine else wanted.kernel) == (theirs.image if theirs else there.kernel):
        return []
    shown = str(mine or wanted.kernel or "none"), str(theirs or there.kernel or "none")
    if shown[0] == shown[1]:
        shown = (mine and mine.image) or "of no known image", (theirs and theirs.image) or "of no known image"
    row = side.difference(f"{wanted.kind} {wanted.name}", "runtime", *shown)
    if not side.on_target:
        return [row]
    if theirs is None:
        hidden = wanted.kind == "application" and not record.get("currentDashboard") and not record.get("runtime")
        return [row.excused("the target does not show it while this is stopped" if hidden else "")]
    match = side.maps.find(mine, wanted.kernel, side.runtimes)
    if match is None or (mine and mine.kernel and theirs.kernel != mine.kernel):
        return [row]
    missing = mine is not None and all(one.image != mine.image for one in side.runtimes)
    nearest = match.runtime.image == theirs.image or (missing and match.runtime.kernel == theirs.kernel)
    return [row.excused("the nearest runtime of the target" if nearest else "")]


def _state(wanted: Workload, record: Record, side: ComparedSide) -> list[Difference]:
    """Report what is live, which is unexpected only if it is `fresh`, and a model that is not built."""
    where = f"target {wanted.kind} {wanted.name}"
    rows = []
    inert, state = _states(wanted, record)
    if inert != state:
        row = Difference(where, "state", inert, state, group=Group.LIVE)
        why = "the target does not show it" if state == _NOT_SHOWN else "somebody started it on the target"
        rows.append(row if (wanted.kind, wanted.name) in side.fresh else row.excused(why))
    if isinstance(wanted, Model) and wanted.file:
        status = str((record.get("latestModelBuild") or {}).get("status") or "never built")
        if status != "built":
            rows.append(Difference(where, "build", "built", status))
    return rows


def _states(wanted: Workload, record: Record) -> tuple[str, str]:
    """Return the state that an import leaves, and the actual one."""
    if isinstance(wanted, Application):
        status = str(record.get("status") or _NOT_SHOWN)
        return "stopped", "stopped" if status in ENDED else status
    if isinstance(wanted, Model):
        return "not deployed", live_status(record) or "not deployed"
    return "paused", "not paused" if fires(record) and record.get("paused") is not True else "paused"


def fires(job: Record) -> bool:
    """Tell whether something would start a job on the target if it were not paused."""
    return bool(job.get("schedule") or job.get("parent") or job.get("parent_id"))
