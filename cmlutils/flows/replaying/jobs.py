"""Jobs: created manual, shown to be paused, and only then given their schedule or parent."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cmlutils.flows.replaying.job_triggers import JobState, arm, armed_as_wanted, pause, read_state
from cmlutils.flows.replaying.journal_keys import keyed
from cmlutils.flows.replaying.kinds import kind_of
from cmlutils.flows.replaying.steps import Finished, Kind, Record, Step
from cmlutils.flows.replaying.target import Target, create, finished, lost
from cmlutils.flows.replaying.translate import Addons, People
from cmlutils.flows.replaying.workload_replay import WorkloadReplay
from cmlutils.job import Job
from cmlutils.report import join

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cmlutils.report import Outcome


def job_replays(target: Target, wanted: Sequence[Job]) -> list[JobReplay]:
    """Return the jobs on their way to the target, parents before their children, to be made in this order."""
    v1, names = target.v1, {job.source_id: job.name for job in wanted if job.source_id}
    kind, shared = kind_of("job", v1, target.project), _Shared(People(v1), Addons(v1), names)
    return [JobReplay(target, job, key, kind, shared) for key, job in _parents_first(keyed(wanted))]


@dataclass
class _Shared:
    """What the jobs of one run share; names, and ids on the target, by id on the source."""

    people: People
    addons: Addons
    names: dict[int, str]
    target_ids: dict[int, int] = field(default_factory=dict)


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


class JobReplay(WorkloadReplay[Job]):
    """One job on its way to the target: paused there, with its schedule or parent."""

    def __init__(self, target: Target, wanted: Job, key: str, kind: Kind, shared: _Shared) -> None:
        super().__init__(target, wanted, key, kind)
        self.shared = shared

    def ensure(self) -> Outcome:
        """Leave it on the target, and remember its id there for the jobs that it starts."""
        outcome = super().ensure()
        if outcome.target_id and self.wanted.source_id:
            self.shared.target_ids[self.wanted.source_id] = int(outcome.target_id)
        return outcome

    def step(self) -> Step:
        """Return what there is to do."""
        return Step(
            kind=self.kind,
            name=self.wanted.name,
            key=self.key,
            identity=(self.wanted.name, self.wanted.script),
            create=self._create,
            finish=lambda record: self._armed(pause(self.target, self.wanted, int(record["id"]))),
            again=lambda record: self._again(int(record["id"])),
            lacks=self.target.lacks(self.wanted),
        )

    def _create(self) -> Record:
        job, shared = self.wanted, self.shared
        body = {**job.to_v1(), "notifications": shared.people.rows(job.notifications), **shared.addons.body(job)}
        if self.match:
            body |= {"runtime_id": self.match.runtime.id, "kernel": ""}
        return create(lambda one: self.target.v1.jobs.create(self.target.project, one), body)

    def _again(self, job_id: int) -> Finished:
        """Set what could not be set earlier, unless a person has taken the job over since."""
        state = read_state(self.target, job_id)
        return self._look(state) if state.armed else self._armed(state)

    @property
    def _parent_id(self) -> int:
        """The id of its parent on the target; 0 when it has none there."""
        return self.shared.target_ids.get(self.wanted.parent_id, 0)

    def _armed(self, state: JobState) -> Finished:
        """Give it its schedule or parent, if it is paused and has them not yet."""
        wants = bool(self.wanted.schedule or self._parent_id)
        if state.paused and wants and not armed_as_wanted(state, self.wanted, self._parent_id):
            state = arm(self.target, self.wanted, state, self._parent_id)
        return self._look(state)

    def _look(self, state: JobState) -> Finished:
        """Return what of the job the target does not show as it should be."""
        job, shared, note = self.wanted, self.shared, self.match.note if self.match else ""
        there = Job.from_v1(state.record, self.target.choice.runtimes)
        armed = armed_as_wanted(state, job, self._parent_id)
        trigger = [] if armed else [self._trigger()]
        if not armed and state.paused is not True:
            note = join(note, "it is not shown to be paused, so nothing was set that could start it")
        elif not armed and job.parent_id and not self._parent_id and not job.schedule:
            note = join(note, "its parent was not on the target yet")
        but = {"schedule"}
        if not armed or not (job.schedule or job.parent_id) or job.type == "manual":
            but.add("type")  # "manual" may have been said of every job
        if not armed or not job.timezone:
            but.add("timezone")
        if not job.timeout and not there.timeout:
            but.add("timeout")
        todo = join(shared.people.todo(job.notifications, state.record), shared.addons.todo(job, state.record))
        missing = [*trigger, *lost(job, there, self.match, *but)]
        return finished(note, todo, missing, fallback=bool(self.match and self.match.fallback))

    def _trigger(self) -> str:
        """Name what would start it."""
        job = self.wanted
        if job.schedule:
            return f"its schedule {job.schedule!r} in time zone {job.timezone or 'UTC'}"
        if not job.parent_id:
            return "that it has no parent"
        return f"its parent, job {self.shared.names.get(job.parent_id, 'unknown')!r}"
