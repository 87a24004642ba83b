"""Jobs: created manual, shown to be paused, and only then given their schedule or parent."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cmlutils.flows.replaying.job_triggers import JobState, arm, armed_as_wanted, pause, read_state
from cmlutils.flows.replaying.journal_keys import keyed
from cmlutils.flows.replaying.kinds import kind_of
from cmlutils.flows.replaying.target import Target, create_by
from cmlutils.flows.replaying.workload_replay import WorkloadReplay
from cmlutils.job import Job
from cmlutils.report import join

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cmlutils.flows.replaying.kinds import Kind
    from cmlutils.flows.replaying.steps import Finished, Record


def job_replays(target: Target, wanted: Sequence[Job]) -> list[JobReplay]:
    """Return the jobs on their way to the target, parents before their children, as they have to be created."""
    kind, by_source_id = kind_of("job", target.v1, target.project), dict[int, JobReplay]()
    replays = [JobReplay(target, job, key, kind, by_source_id) for key, job in keyed(wanted)]
    by_source_id.update((one.wanted.source_id, one) for one in replays if one.wanted.source_id)
    return sorted(replays, key=JobReplay.depth)


class JobReplay(WorkloadReplay[Job]):
    """One job on its way to the target: paused there, with its schedule or parent."""

    def __init__(
        self, target: Target, wanted: Job, key: str, kind: Kind, by_source_id: Mapping[int, JobReplay]
    ) -> None:
        super().__init__(target, wanted, key, kind)
        self.by_source_id = by_source_id

    def depth(self) -> int:
        """Return how many jobs are above it in its chain; the chain ends at a cycle or an unknown parent."""
        seen: set[int] = set()
        one = self.wanted
        while one.parent_id in self.by_source_id and one.parent_id not in seen:
            seen.add(one.parent_id)
            one = self.by_source_id[one.parent_id].wanted
        return len(seen)

    def create(self) -> Record:
        """Create it as a manual job, paused."""
        job = self.wanted
        notifications = self.target.people.rows(job.notifications)
        body = {**job.to_v1(), "notifications": notifications, **self.target.addons.body(job)}
        body |= self.runtime_body("runtime_id")
        return create_by(lambda one: self.target.v1.jobs.create(self.target.project, one), body)

    def finish(self, record: Record) -> Finished:
        """Pause it, and only then give it its schedule or parent."""
        return self._armed(pause(self.target, self.wanted, int(record["id"])))

    def again(self, record: Record) -> Finished:
        """Set what could not be set earlier, unless a person has taken the job over since."""
        state = read_state(self.target, int(record["id"]))
        return self._look(state) if state.armed else self._armed(state)

    @property
    def _parent_id(self) -> int:
        """The id of its parent on the target; 0 when it has none there."""
        parent = self.by_source_id.get(self.wanted.parent_id)
        return int(parent.outcome.target_id or 0) if parent and parent.outcome else 0

    def _armed(self, state: JobState) -> Finished:
        """Give it its schedule or parent, if it is paused and does not have it yet."""
        wants = bool(self.wanted.schedule or self._parent_id)
        if state.paused and wants and not armed_as_wanted(state, self.wanted, self._parent_id):
            state = arm(self.target, self.wanted, state, self._parent_id)
        return self._look(state)

    def _look(self, state: JobState) -> Finished:
        """Compare the job on the target with the wanted one, and report what is missing or differs."""
        job, note = self.wanted, ""
        there = Job.from_v1(state.record, self.target.choice.runtimes)
        armed = armed_as_wanted(state, job, self._parent_id)
        trigger = [] if armed else [self._trigger()]
        if not armed and state.paused is not True:
            note = "the target does not show it as paused, so nothing was set that could start it"
        elif not armed and job.parent_id in self.by_source_id and not self._parent_id and not job.schedule:
            note = "its parent was not on the target yet"
        but = {"schedule"}
        if not armed or not (job.schedule or job.parent_id) or job.type == "manual":
            but.add("type")  # bundles may say "manual" of any job
        if not armed or not job.timezone:
            but.add("timezone")
        target, record = self.target, state.record
        todo = join(target.people.todo(job.notifications, record), target.addons.todo(job, record))
        return self.compare(there, *but, note=note, todo=todo, missing=trigger)

    def _trigger(self) -> str:
        """Name in words what should start it."""
        job = self.wanted
        if job.schedule:
            return f"its schedule {job.schedule!r} in time zone {job.timezone or 'UTC'}"
        if not job.parent_id:
            return "that it has no parent"
        parent = self.by_source_id.get(job.parent_id)
        if parent is None:
            return "its parent, which the bundle does not have (it may have been deleted on the source)"
        return f"its parent, job {parent.wanted.name!r}"
