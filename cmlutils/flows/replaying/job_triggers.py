"""One job on the target: shown to be paused first, and only then given its schedule or parent."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cmlutils.errors import ApiError, NotFound
from cmlutils.flows.replaying.steps import CannotBeInertError, Record
from cmlutils.flows.replaying.target import tried
from cmlutils.job import parent_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from cmlutils.flows.replaying.target import Target
    from cmlutils.job import Job
    from cmlutils.project import ProjectRef
    from cmlutils.remote.v2 import ApiV2

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class JobState:
    """What the target shows of a job; `paused` is None when it shows that nowhere."""

    record: Record
    paused: bool | None
    by_v2: bool
    parent_id: int

    @property
    def schedule(self) -> str:
        """Its cron schedule; empty when it has none."""
        return str(self.record.get("schedule") or "")

    @property
    def armed(self) -> bool:
        """Whether it would start by itself if it were not paused."""
        return bool(self.schedule or self.parent_id)


def read_state(target: Target, job_id: int) -> JobState:
    """Read a job from v1; as v1 may not show `paused`, v2 is asked for that where v1 does not say."""
    record = target.v1.jobs.get(target.project, job_id)
    paused, by_v2 = record.get("paused"), False
    if not isinstance(paused, bool):
        paused, by_v2 = paused_in_v2(target.v2, target.project, record), True
    return JobState(record, paused, by_v2, parent_of(record))


def paused_in_v2(v2: ApiV2, project: ProjectRef, record: Record) -> bool | None:
    """Ask v2 whether this job is paused; None when it does not say, or without a public id to ask for."""
    try:
        paused = v2.job(project.public_id, str(record.get("public_identifier") or "")).get("paused")
    except ApiError as error:
        log.debug("v2 does not show the job: %s", error)
        return None
    return paused if isinstance(paused, bool) else None


def pause(target: Target, job: Job, job_id: int) -> JobState:
    """Pause a job, trying every way we know until the target shows it as paused; return the last state.

    A job that can't be paused is a failure only if it has a schedule or parent, which a person may have given it.
    """
    state = read_state(target, job_id)
    if state.paused:
        return state
    ways = _ways(target, state, {"paused": True}, {"paused": True})
    for way in ways[1:] if state.by_v2 and state.paused is False else ways:
        if tried("job PATCH", way):
            state = read_state(target, job_id)
        if state.paused:
            break
    if state.armed and not state.paused:
        raise CannotBeInertError(
            f"job {job.name} has a schedule or parent, and the target does not show it as paused.",
            hint="Create it by hand.",
        )
    return state


def arm(target: Target, job: Job, state: JobState, parent_id: int) -> JobState:
    """Give a paused job its schedule or parent, in every way we know until the target shows it; return the state.

    It is paused again where the target takes its pause off meanwhile.
    """
    job_id = int(state.record["id"])
    for way in _trigger_ways(target, job, state, parent_id):
        if tried("job PATCH", way):
            state = pause(target, job, job_id)
        if armed_as_wanted(state, job, parent_id):
            break
    return state


def armed_as_wanted(state: JobState, job: Job, parent_id: int) -> bool:
    """Tell whether the job has its schedule and time zone, or else its parent (`parent_id` 0: not on the target)."""
    if job.schedule:
        zone = state.record.get("timezone")
        return state.schedule == job.schedule and zone in (None, job.timezone or "UTC")  # it may be unhashable
    return state.parent_id == parent_id and bool(parent_id) == bool(job.parent_id)


def _trigger_ways(target: Target, job: Job, state: JobState, parent_id: int) -> list[Callable[[], object]]:
    """Return the ways to set the trigger. v1's name for a parent is not known; v2 takes the parent's public id."""
    if job.schedule:
        change = {"paused": True, "schedule": job.schedule, "timezone": job.timezone or "UTC"}
        return _ways(target, state, {**change, "type": "cron"}, change)
    change = {"paused": True, "type": "dependent"}
    v1_ways = [_ways(target, state, {**change, key: parent_id}, {})[0] for key in ("parent_id", "parent")]

    def by_v2() -> object:
        public_id = str(read_state(target, parent_id).record.get("public_identifier") or "")
        return _ways(target, state, {}, {"paused": True, "parent_id": public_id})[1]()

    return [*v1_ways, by_v2]


def _ways(target: Target, state: JobState, v1_change: Record, v2_change: Record) -> list[Callable[[], object]]:
    """Return the two ways to PATCH a job: through v1, and through v2."""
    project, job_id = target.project, int(state.record["id"])
    public_id = str(state.record.get("public_identifier") or "")

    def by_v2() -> object:
        if not public_id or not project.public_id:
            raise NotFound("the job has no public id", status=404)
        return target.v2.patch_job(project.public_id, public_id, v2_change)

    return [lambda: target.v1.jobs.patch(project, job_id, v1_change), by_v2]
