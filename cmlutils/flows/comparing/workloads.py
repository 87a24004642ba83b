"""Compare a bundle's models, applications and jobs with those of a workspace, field by field."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cmlutils.application import ENDED, hidden_in
from cmlutils.flows.comparing.pairs import Listed, alike, pair
from cmlutils.flows.replaying.translate import whom
from cmlutils.job import fires
from cmlutils.model import live_status
from cmlutils.report import Difference, Group
from cmlutils.workloads import KINDS, Application, Model, Workload, differences, identity_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cmlutils.flows.comparing.side import ComparedSide
    from cmlutils.runtime import Runtime

Record = dict[str, Any]
_NOT_SHOWN = "not shown"


def compare_workloads(
    kind: str, wanted: Sequence[Workload], records: Sequence[Record], side: ComparedSide
) -> list[Difference]:
    """Compare the workloads of one kind with the workspace's records of it.

    Workloads with the same identity are paired by resemblance; one without a partner is a difference of its own.
    """
    ours = [Listed(one) for one in wanted]
    theirs = [Listed(KINDS[kind].from_v1(one, side.runtimes), one) for one in records]
    pair(ours, theirs)
    found = []
    for one in ours:
        if one.partner:
            found += _compare(one.workload, one.partner.workload, one.partner.record, side)
            found += _parents(one, one.partner, side)
        else:
            found.append(_alone(one.workload, side, Group.MISSING))
    return found + [_alone(one.workload, side, Group.EXTRA) for one in theirs if not one.partner]


def _parents(one: Listed, partner: Listed, side: ComparedSide) -> list[Difference]:
    """Compare the parents of a job and its partner: they are partners, or at least equal."""
    mine, theirs = one.parent, partner.parent
    if alike(mine, theirs) or (mine and mine.partner is theirs):
        return []
    names = mine.workload.name if mine else "none", theirs.workload.name if theirs else "none"
    if mine and theirs and names[0] == names[1]:
        names = "{} ({})".format(*identity_of(mine.workload)), "another {} ({})".format(*identity_of(theirs.workload))
    return [side.difference(f"job {one.workload.name}", "parent", *names)]


def _alone(one: Workload, side: ComparedSide, group: Group) -> Difference:
    here, there = ("there", "absent") if group is Group.MISSING else ("absent", "there")
    where = f"{side.name} {one.kind} {one.name}"
    return Difference(where, "existence", here, there, group=group if side.on_target else Group.SOURCE)


def _compare(wanted: Workload, there: Workload, record: Record, side: ComparedSide) -> list[Difference]:
    where = f"{wanted.kind} {wanted.name}"
    rows = [side.difference(where, *row, why=_why(wanted, record, row, side)) for row in differences(wanted, there)]
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
        if record.get(name) is None:
            why = "the target does not show it"
        elif name == "addons" and {*left} < {*right}:
            why = "the target added it"
        texts = (", ".join(each) or "none" for each in (left, right))
        rows.append(side.difference(f"{wanted.kind} {wanted.name}", name, *texts, why=why))
    return rows


def _addon(one: Any) -> str:
    return str(one.get("id")) if isinstance(one, dict) else str(one)


def _notification(one: Any) -> str:
    if isinstance(one, dict):
        one = {**one, "username": f"user {one.get('user_id')}"}
    return one if isinstance(one, str) else whom(one)


def _why(wanted: Workload, record: Record, row: tuple[str, str, str], side: ComparedSide) -> str:
    """Return why a migration causes this difference; empty if nothing explains it."""
    name, left, right = row
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
        return name in hidden_in(record)
    if wanted.kind != "model" or record.get("latestModelDeployment"):
        return False
    if name.startswith("environment "):
        return right == "absent"
    if name in {"cpu_millicores", "memory_mb", "gpus"}:
        return not record.get("defaultResources")
    return name == "replicas" and not record.get("defaultReplicationPolicy")


def _runtime(wanted: Workload, there: Workload, record: Record, side: ComparedSide) -> list[Difference]:
    """Compare runtimes."""
    mine, theirs = wanted.runtime, there.runtime
    if (mine.image if mine else wanted.kernel) == (theirs.image if theirs else there.kernel):
        return []
    shown = str(mine or wanted.kernel or "none"), str(theirs or there.kernel or "none")
    if shown[0] == shown[1]:
        shown = (mine and mine.image) or "of no known image", (theirs and theirs.image) or "of no known image"
    why = _why_runtime(wanted, theirs, record, side)
    return [side.difference(f"{wanted.kind} {wanted.name}", "runtime", *shown, why=why)]


def _why_runtime(wanted: Workload, theirs: Runtime | None, record: Record, side: ComparedSide) -> str:
    """Return why another runtime is expected; the nearest one is, but never one with another kernel."""
    mine = wanted.runtime
    if theirs is None:
        hidden = wanted.kind == "application" and "runtime" in hidden_in(record)
        return "the target does not show it while this is stopped" if hidden else ""
    match = side.maps.find(mine, wanted.kernel, side.runtimes)
    if match is None or (mine and mine.kernel and theirs.kernel != mine.kernel):
        return ""
    missing = mine is not None and all(one.image != mine.image for one in side.runtimes)
    nearest = match.runtime.image == theirs.image or (missing and match.runtime.kernel == theirs.kernel)
    return "the nearest runtime of the target" if nearest else ""


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
