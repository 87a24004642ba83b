"""Jobs: created manual, shown to be paused, and only then given their schedule or parent."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cmlutils.flows.replaying.ensure import ensure
from cmlutils.flows.replaying.job_triggers import JobState, arm, armed_as_wanted, pause, read_state
from cmlutils.flows.replaying.journal_keys import keyed
from cmlutils.flows.replaying.kinds import kind_of
from cmlutils.flows.replaying.steps import Finished, Kind, Record, Step
from cmlutils.flows.replaying.target import Target, create, finished, lost
from cmlutils.flows.replaying.translate import Addons, People
from cmlutils.job import Job
from cmlutils.report import join

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cmlutils.report import Outcome
    from cmlutils.runtimes import Match


@dataclass
class _Run:
    """What the jobs of one run share; names, and ids on the target, by id on the source."""

    target: Target
    kind: Kind
    people: People
    addons: Addons
    names: dict[int, str]
    target_ids: dict[int, int] = field(default_factory=dict)


def jobs(target: Target, wanted: Sequence[Job]) -> Iterator[Outcome]:
    """Replay all jobs, parents before their children."""
    v1, names = target.v1, {job.source_id: job.name for job in wanted if job.source_id}
    run = _Run(target, kind_of("job", v1, target.project), People(v1), Addons(v1), names)
    for key, job in _parents_first(keyed(wanted)):
        yield _job(run, job, key)


def _parents_first(every: list[tuple[str, Job]]) -> list[tuple[str, Job]]:
    """Order by depth in the chain; a cycle or an unknown parent ends it."""
    by_id = {job.source_id: job for _, job in every if job.source_id}

    def depth(job: Job) -> int:
        seen: set[int] = set()
        while job.parent_id in by_id and job.parent_id not in seen:
            seen.add(job.parent_id)
            job = by_id[job.parent_id]
        return len(seen)

    return sorted(every, key=lambda pair: depth(pair[1]))


def _job(run: _Run, job: Job, key: str) -> Outcome:
    target = run.target
    v1, project = target.v1, target.project
    match = target.match(job)

    def make() -> Record:
        body = {**job.to_v1(), "notifications": run.people.rows(job.notifications), **run.addons.body(job)}
        if match:
            body |= {"runtime_id": match.runtime.id, "kernel": ""}
        return create(lambda one: v1.jobs.create(project, one), body)

    step = Step(
        kind=run.kind,
        name=job.name,
        key=key,
        identity=(job.name, job.script),
        create=make,
        finish=lambda record: _finish(run, job, int(record["id"]), match),
        again=lambda record: _again(run, job, int(record["id"]), match),
        lacks=target.lacks(job, match),
    )
    outcome, record = ensure(target.journal, step, target.clock.sleep)
    if record is not None and job.source_id:
        run.target_ids[job.source_id] = int(record["id"])
    return outcome


def _finish(run: _Run, job: Job, job_id: int, match: Match | None) -> Finished:
    """Pause it, then set what would make it live, reading back after each call."""
    return _armed(run, job, pause(run.target, job, job_id), match)


def _again(run: _Run, job: Job, job_id: int, match: Match | None) -> Finished:
    """Set what could not be set earlier, unless a person has taken the job over since."""
    state = read_state(run.target, job_id)
    return _look(run, job, state, match) if state.armed else _armed(run, job, state, match)


def _armed(run: _Run, job: Job, state: JobState, match: Match | None) -> Finished:
    parent_id = run.target_ids.get(job.parent_id, 0)
    wants = bool(job.schedule or parent_id)
    if state.paused and wants and not armed_as_wanted(state, job, parent_id):
        state = arm(run.target, job, state, parent_id)
    return _look(run, job, state, match)


def _look(run: _Run, job: Job, state: JobState, match: Match | None) -> Finished:
    """Return what of the job the target does not show as it should be."""
    note = match.note if match else ""
    parent_id = run.target_ids.get(job.parent_id, 0)
    there = Job.from_v1(state.record, run.target.runtimes)
    armed = armed_as_wanted(state, job, parent_id)
    trigger = [] if armed else [_trigger(run, job)]
    if not armed and state.paused is not True:
        note = join(note, "it is not shown to be paused, so nothing was set that could start it")
    elif not armed and job.parent_id and not parent_id and not job.schedule:
        note = join(note, "its parent was not on the target yet")
    but = {"schedule"}
    if not armed or not (job.schedule or job.parent_id) or job.type == "manual":
        but.add("type")  # "manual" may have been said of every job
    if not armed or not job.timezone:
        but.add("timezone")
    if not job.timeout and not there.timeout:
        but.add("timeout")
    todo = join(run.people.todo(job.notifications, state.record), run.addons.todo(job, state.record))
    missing = [*trigger, *lost(job, there, match, *but)]
    return finished(note, todo, missing, fallback=bool(match and match.fallback))


def _trigger(run: _Run, job: Job) -> str:
    if job.schedule:
        return f"its schedule {job.schedule!r} in time zone {job.timezone or 'UTC'}"
    if not job.parent_id:
        return "that it has no parent"
    return f"its parent, job {run.names.get(job.parent_id, 'unknown')!r}"
