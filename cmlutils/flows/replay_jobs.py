"""Jobs: created manual, echoed paused, and only then given their schedule or parent."""

from __future__ import annotations

import logging
from collections import Counter
from typing import TYPE_CHECKING

from cmlutils.errors import AnswerLost, Rejected
from cmlutils.flows.replay import CannotBeInertError, Finished, Record, Step, Target, ensure
from cmlutils.report import Outcome, Status

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cmlutils.workloads import Job

log = logging.getLogger(__name__)


def jobs(target: Target, wanted: Sequence[Job]) -> list[Outcome]:
    """Replay all jobs, parents before their children."""
    seen: Counter[str] = Counter()
    target_ids: dict[int, int] = {}
    outcomes = []
    numbered = []
    for job in wanted:
        numbered.append((job, seen[job.key]))
        seen[job.key] += 1
    for job, nth in _parents_first(numbered):
        outcome, record = _job(target, job, nth, target_ids)
        if record is not None and job.source_id:
            target_ids[job.source_id] = int(record["id"])
        outcomes.append(outcome)
    return outcomes


def _parents_first(numbered: list[tuple[Job, int]]) -> list[tuple[Job, int]]:
    """Order by depth in the chain; a cycle or an unknown parent ends the climb."""
    by_id = {job.source_id: job for job, _ in numbered if job.source_id}

    def depth(job: Job) -> int:
        seen: set[int] = set()
        while job.parent_id in by_id and job.parent_id not in seen:
            seen.add(job.parent_id)
            job = by_id[job.parent_id]
        return len(seen)

    return sorted(numbered, key=lambda pair: depth(pair[0]))


def _job(target: Target, job: Job, nth: int, target_ids: dict[int, int]) -> tuple[Outcome, Record | None]:
    v1, project = target.v1, target.project
    body = job.to_v1()
    note, fallback = "", False
    if not target.engines:
        match = target.match(job.runtime, job.kernel)
        if match is None:
            return no_runtime("job", job.name, job.runtime or job.kernel), None
        body |= {"runtime_id": match.runtime.id, "kernel": ""}
        note, fallback = match.note, match.fallback

    def find() -> list[Record]:
        same = [one for one in v1.jobs(project.owner, project.slug) if one.get("name") == job.name]
        return sorted((one for one in same if (one.get("script") or "") == job.script), key=lambda one: int(one["id"]))

    def finish(record: Record) -> Finished:
        return _finish(target, job, int(record["id"]), target_ids, note=note, fallback=fallback)

    step = Step(
        kind="job",
        name=job.name,
        key=f"job {job.key} {nth}",
        find=find,
        create=lambda: v1.create_job(project.owner, project.slug, body),
        finish=finish,
        nth=nth,
    )
    return ensure(target.journal, step, target.clock.sleep)


def no_runtime(kind: str, name: str, wanted: object) -> Outcome:
    """Return the outcome of a workload for which the target has no runtime."""
    return Outcome(
        kind,
        name,
        Status.FAILED,
        note=f"the target has no runtime for {wanted}",
        todo=f"Add a runtime for {wanted} to the target (or map it in runtime-map.yaml), import again.",
    )


def _finish(
    target: Target, job: Job, job_id: int, target_ids: dict[int, int], *, note: str, fallback: bool
) -> Finished:
    """Pause it, then set what would make it live, reading back after each call."""
    left = _left_out(job)
    if not job.schedule and not job.parent_id:
        _refuse_live(target, job, job_id)
        if target.v1.job(target.project.owner, target.project.slug, job_id).get("paused") is not True:
            _pause(target, job_id)
        return Finished(note=note, fallback=fallback, todo=left)
    if not _pause(target, job_id):
        what = f"schedule {job.schedule!r}" if job.schedule else "parent"
        return Finished(
            note=_join(note, f"the target does not show that a job is paused, so its {what} was not set"),
            todo=_join(left, f"set its {what}"),
            fallback=True,
            needs_hand=True,
        )
    change: Record = {"paused": True}
    if job.schedule:
        change |= {"type": "cron", "schedule": job.schedule, "timezone": job.timezone or "UTC"}
    elif job.parent_id in target_ids:
        change |= {"type": "dependent", "parent_id": target_ids[job.parent_id]}
    else:
        return Finished(
            note=_join(note, "its parent is not on the target"),
            todo=_join(left, "set its parent"),
            fallback=True,
            needs_hand=True,
        )
    if _change(target, job_id, change):
        return Finished(note=note, fallback=fallback, todo=left)
    what = f"schedule {job.schedule!r} ({job.timezone})" if job.schedule else "parent"
    return Finished(
        note=_join(note, f"the target did not take its {what}"),
        todo=_join(left, f"set its {what}"),
        fallback=True,
        needs_hand=True,
    )


def _join(*parts: str) -> str:
    return "; ".join(filter(None, parts))


def _left_out(job: Job) -> str:
    """Name what v1 can't carry over: ids of people and add-ons count on the source only."""
    parts = []
    if job.notifications:
        parts.append("choose again who is notified")
    if job.addons:
        parts.append("choose its add-ons")
    return "; ".join(parts)


def _read(target: Target, job_id: int) -> Record:
    return target.v1.job(target.project.owner, target.project.slug, job_id)


def _refuse_live(target: Target, job: Job, job_id: int) -> None:
    """Take a job away that has a schedule or a parent which nobody set."""
    record = _read(target, job_id)
    if record.get("paused") is not True and (record.get("schedule") or record.get("parent")):
        _take_away(target, job_id, f"job {job.name} came up live")


def _take_away(target: Target, job_id: int, why: str) -> None:
    target.v1.delete_job(target.project.owner, target.project.slug, job_id)
    raise CannotBeInertError(f"{why}; it was deleted again.", hint="Create it by hand.")


def _pause(target: Target, job_id: int) -> bool:
    """Return whether the target echoes paused: true, after asking it in every way we know."""
    if _read(target, job_id).get("paused") is True:
        return True
    return _change(target, job_id, {"paused": True})


def _change(target: Target, job_id: int, change: Record) -> bool:
    """PATCH through v1, else v2; return whether the target then shows the change and is paused."""
    project = target.project
    try:
        target.v1.patch_job(project.owner, project.slug, job_id, change)
    except (Rejected, AnswerLost) as error:
        log.debug("v1 job PATCH: %s", error)
    if _shows(target, job_id, change):
        return True
    public_id = str(_read(target, job_id).get("public_identifier") or "")
    if not public_id or not project.public_id:
        return False
    try:
        target.v2.patch_job(project.public_id, public_id, _v2_change(target, change))
    except (Rejected, AnswerLost) as error:
        log.debug("v2 job PATCH: %s", error)
    return _shows(target, job_id, change)


def _v2_change(target: Target, change: Record) -> Record:
    """Return the change in v2's words: a parent goes by its public id."""
    body = {name: value for name, value in change.items() if name != "type"}
    if "parent_id" in body:
        body["parent_id"] = str(_read(target, int(body["parent_id"])).get("public_identifier") or "")
    return body


def _shows(target: Target, job_id: int, change: Record) -> bool:
    """Read back; a job that shows a schedule or parent without showing paused is deleted at once."""
    record = _read(target, job_id)
    parent = record.get("parent") or {}
    parent_id = parent.get("id") if isinstance(parent, dict) else parent
    paused = record.get("paused") is True
    if not paused and (record.get("schedule") or parent_id):
        _take_away(target, job_id, "a job that was given its schedule or parent is no longer paused")
    if "schedule" in change and record.get("schedule") != change["schedule"]:
        return False
    if "parent_id" in change and str(parent_id or record.get("parent_id")) != str(change["parent_id"]):
        return False
    return paused
