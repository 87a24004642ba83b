"""Import: from a bundle to the target; every workload once, and inert."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from cmlutils.errors import CheckFailed, CmlutilError, Unreachable
from cmlutils.flows.connect import api_v2, tunnel_in_phases
from cmlutils.flows.copying.bundle_files import reading_bundle
from cmlutils.flows.copying.push import push
from cmlutils.flows.copying.result import note_files
from cmlutils.flows.import_checks import check_not_source, lacks_team, stays_on_engines
from cmlutils.flows.import_report import completed, left_elsewhere, report_what_is_lacking
from cmlutils.flows.replaying.applications import application_replays
from cmlutils.flows.replaying.hand_over import HandOver
from cmlutils.flows.replaying.jobs import job_replays
from cmlutils.flows.replaying.journal_keys import unfinished
from cmlutils.flows.replaying.leftovers import remove_leftovers
from cmlutils.flows.replaying.model_builds import build_side_by_side
from cmlutils.flows.replaying.models import model_replays
from cmlutils.flows.replaying.project import ensure_project, project_there
from cmlutils.flows.replaying.runtime_choice import RuntimeChoice
from cmlutils.flows.replaying.take_away import half_made, with_leftovers
from cmlutils.flows.replaying.target import Clock, Target
from cmlutils.metadata import read_metadata
from cmlutils.project import LEGACY_ENGINE, ProjectRef
from cmlutils.workloads import Application, Job, Model

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from cmlutils.bundle import Bundle
    from cmlutils.flows.connect import Connection
    from cmlutils.flows.replaying.workload_replay import WorkloadReplay
    from cmlutils.journal import Journal
    from cmlutils.metadata import Metadata
    from cmlutils.progress import Progress
    from cmlutils.project import ProjectSettings
    from cmlutils.report import Outcome, Report
    from cmlutils.runtime import Runtime
    from cmlutils.runtimes import Maps
    from cmlutils.workloads import Workload

SETTLING = 2.0  # seconds before the last look: what starts by itself after it was seen inert does so soon


def import_project(connection: Connection, bundle: Bundle, maps: Maps, report: Report, progress: Progress) -> None:
    """Take a bundle up: project, files, models, applications, jobs. The report grows as it goes."""

    def push_files(project: ProjectRef, runtimes: Sequence[Runtime]) -> None:
        with (
            reading_bundle(bundle, connection.section.workspace.url, project.path) as files,
            tunnel_in_phases(connection, project, runtimes, bundle, progress) as tunnel,
            progress.phase("files"),
        ):
            note_files(report, push(tunnel, files, progress))

    Replay(connection, bundle, maps, report, progress).run(push_files)


@dataclass(frozen=True)
class Replay:
    """Everything of an import except the files, which `run` is given a function for."""

    connection: Connection
    bundle: Bundle
    maps: Maps
    report: Report
    progress: Progress
    clock: Clock = field(default_factory=Clock)

    def run(self, push_files: Callable[[ProjectRef, Sequence[Runtime]], None]) -> None:
        """Replay project, models, applications and jobs; call `push_files` once the project is there.

        However it ends, the report says what became of all of them.
        """
        v1, workspace, report = self.connection.v1, self.connection.section.workspace, self.report
        with completed(self.bundle, report, v1.http.calls):
            metadata = read_metadata(self.bundle)
            settings, workloads = metadata.settings, metadata.workloads()
            report_what_is_lacking(self.bundle, report)
            owner = settings.team or workspace.username
            journal = self.bundle.journal(workspace.url, owner)
            with self.progress.phase("project"):
                project, runtimes = self._project(settings, owner, journal)
            urgent = _urgent(journal, metadata)
            with self._target(project, journal, runtimes) as target:
                report.outcomes += remove_leftovers(target, workloads)
                for some in urgent:
                    self._workloads(target, some)
            push_files(project, runtimes)
            with self._target(project, journal, runtimes) as target:
                self._workloads(target, [one for one in workloads if not any(one in some for some in urgent)])
            with self.progress.phase("hand over"):
                report.outcomes += HandOver(journal, project, settings).run(v1)

    def _project(self, settings: ProjectSettings, owner: str, journal: Journal) -> tuple[ProjectRef, Sequence[Runtime]]:
        """Find or create the target's project; return it and the target's runtimes."""
        v1, section = self.connection.v1, self.connection.section
        if lacking := lacks_team(v1, settings):
            raise CheckFailed(lacking, hint="Create the team on the target, with the migrating user as a member.")
        check_not_source(self.bundle, section.workspace.url, lambda: project_there(self.connection, journal, owner)[0])
        runtimes = v1.runtimes.all()
        engines = stays_on_engines(settings, self.maps)
        project, outcome = ensure_project(
            self.connection, journal, owner, settings, engines=engines, sleep=self.clock.sleep
        )
        left = left_elsewhere(journal.enter(project.id))
        self.report.todos += left
        self.report.target = f"{section.workspace.url} {project.path}"
        self.report.outcomes.append(replace(outcome, needs_hand=outcome.needs_hand or bool(left)))
        return project, runtimes

    @contextmanager
    def _target(self, project: ProjectRef, journal: Journal, runtimes: Sequence[Runtime]) -> Iterator[Target]:
        """Yield the project as the replays need it, with one v2 key at most, which is revoked at the end."""
        choice = RuntimeChoice(runtimes, self.maps, engines=project.engine_type == LEGACY_ENGINE)
        with api_v2(self.connection, self.bundle, journal, self.report) as v2:
            yield Target(self.connection.v1, v2, project, journal, choice, self.clock)

    def _workloads(self, target: Target, wanted: Sequence[Workload]) -> None:
        """Replay these workloads; the report grows as it goes."""
        models = model_replays(target, [one for one in wanted if isinstance(one, Model)])
        applications = application_replays(target, [one for one in wanted if isinstance(one, Application)])
        jobs = job_replays(target, [one for one in wanted if isinstance(one, Job)])
        replays: list[WorkloadReplay[Any]] = [*models, *applications, *jobs]
        try:
            made = self._phase("models", build_side_by_side(self.clock, models))
            made += self._phase("applications", applications)
            made += self._phase("jobs", jobs)
        except CmlutilError:
            self.report.outcomes += half_made(one for one in replays if one.outcome is None)
            raise
        if made:
            with self.progress.phase("last look"):
                self._last_looks(replays)

    def _last_looks(self, replays: Sequence[WorkloadReplay[Any]]) -> None:
        """Look again at what may go live or show late; each look is in the report at once, whatever ends the next."""
        if any(one.needs_last_look and one.pending for one in replays):
            self.clock.sleep(SETTLING)
        try:
            for one in replays:
                self.report.amend(one.ensure(), one.last_look())
        except Unreachable as error:
            raise with_leftovers(error, replays) from error

    def _phase(self, name: str, replays: Iterable[WorkloadReplay[Any]]) -> list[Outcome]:
        """Replay the workloads of one kind; add their outcomes to the report, and return them."""
        found = []
        with self.progress.phase(name):
            for one in replays:
                found.append(one.ensure())
                self.report.outcomes.append(found[-1])
        return found


def _urgent(journal: Journal, metadata: Metadata) -> list[list[Workload]]:
    """Return what an interrupted import began, as lists to be finished one by one before the files are copied.

    It may be live, so it must not wait for the files. Applications come first, as they must not wait for the builds of
    models. Jobs start one another, so if any of them was begun, all of them are in the list.
    """
    begun = unfinished(journal, metadata.workloads())
    if any(isinstance(one, Job) for one in begun):
        begun += [one for one in metadata.jobs if one not in begun]
    running: list[Workload] = [one for one in begun if isinstance(one, Application)]
    others = [one for one in begun if one not in running]
    return [some for some in (running, others) if some]
