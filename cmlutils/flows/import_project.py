"""Import: from a bundle to the target; every workload once, and inert."""

from __future__ import annotations

import logging
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from cmlutils.contents import read_bundle
from cmlutils.errors import BundleError, CheckFailed, CmlutilError
from cmlutils.flows.connect import api_v2, session
from cmlutils.flows.copying.bundle_files import reading_bundle
from cmlutils.flows.copying.push import push
from cmlutils.flows.copying.result import note_files
from cmlutils.flows.import_checks import check_not_source, lacks_team, stays_on_engines
from cmlutils.flows.replaying.applications import application_replays
from cmlutils.flows.replaying.hand_over import hand_over
from cmlutils.flows.replaying.jobs import job_replays
from cmlutils.flows.replaying.journal_keys import Named, named, unfinished
from cmlutils.flows.replaying.leftovers import remove_leftovers
from cmlutils.flows.replaying.model_build import built_side_by_side
from cmlutils.flows.replaying.models import model_replays
from cmlutils.flows.replaying.project import ensure_project
from cmlutils.flows.replaying.runtime_choice import RuntimeChoice
from cmlutils.flows.replaying.target import Clock, Target
from cmlutils.left_out import to_fill_in
from cmlutils.project import LEGACY_ENGINE, ProjectRef
from cmlutils.report import Outcome, Status
from cmlutils.workloads import Application, Job, Model

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from cmlutils.bundle import Bundle
    from cmlutils.flows.connect import Connection
    from cmlutils.flows.replaying.workload_replay import WorkloadReplay
    from cmlutils.journal import Journal
    from cmlutils.progress import Progress
    from cmlutils.project import ProjectSettings
    from cmlutils.report import Report
    from cmlutils.runtimes import Maps, Runtime
    from cmlutils.workloads import Workload

log = logging.getLogger(__name__)
_NO_MANIFEST = (
    "The bundle has no manifest, though cmlutil wrote it, so its export may not have finished: verify the import, "
    "or export again."
)
_FOREIGN = (
    "The bundle has no manifest, so cloudera/cmlutils wrote it. It does not hold collaborators; resources, replicas, "
    "visibility, environment and examples of models; notifications of jobs; add-ons; exact runtime images."
)


def import_project(connection: Connection, bundle: Bundle, maps: Maps, report: Report, progress: Progress) -> None:
    """Take a bundle up: project, files, models, applications, jobs; the report grows as it goes."""

    def push_files(project: ProjectRef, runtimes: Sequence[Runtime]) -> None:
        with (
            reading_bundle(bundle, connection.section.workspace.url, project.path) as files,
            session(connection, project, runtimes, bundle, progress) as tunnel,
            progress.phase("files"),
        ):
            note_files(report, push(tunnel, files, progress))

    Replay(connection, bundle, maps, report, progress).run(push_files)


@dataclass(frozen=True)
class Replay:
    """All of an import but the files, which the caller pushes between the project and its workloads."""

    connection: Connection
    bundle: Bundle
    maps: Maps
    report: Report
    progress: Progress
    clock: Clock = field(default_factory=Clock)

    def run(self, push_files: Callable[[ProjectRef, Sequence[Runtime]], None]) -> None:
        """Replay project, models, applications and jobs; whatever happens, the report says how many calls it took."""
        try:
            self._run(push_files)
        except CmlutilError:
            self._say_what_was_not_reached()
            raise
        finally:
            calls = self.connection.v1.http.calls
            told = ", ".join(f"{count} {method}" for method, count in sorted(calls.items()))
            self.report.notes.append(f"Calls of the target's API by the import: {sum(calls.values())} ({told}).")
            try:
                self.bundle.keep_todos(self.report.all_todos())
            except BundleError as error:  # what ended the import says more
                log.warning("%s", error)

    def _run(self, push_files: Callable[[ProjectRef, Sequence[Runtime]], None]) -> None:
        contents = read_bundle(self.bundle)
        settings, workloads = contents.settings, contents.workloads()
        v1, section, report = self.connection.v1, self.connection.section, self.report
        self._say_what_the_bundle_lacks()
        owner = settings.team or section.workspace.username
        journal = self.bundle.journal(section.workspace.url, owner)
        with self.progress.phase("project"):
            project, runtimes = self._project(settings, owner, journal)
        replay = partial(self._workloads, project, journal, runtimes)
        report.outcomes += remove_leftovers(v1, project, journal, workloads, self.clock.sleep)
        begun = unfinished(journal, workloads)  # by a run that was cut off: it may be live, so it does not wait
        if any(isinstance(one, Job) for one in begun):  # they start one another, so they come together
            begun += [one for one in contents.jobs if one not in begun]
        if begun:
            replay(begun)
        push_files(project, runtimes)
        replay([one for one in workloads if one not in begun])
        with self.progress.phase("hand over"):
            left = hand_over(v1, journal, project, settings)
            report.outcomes += [left] if left else []

    def _say_what_the_bundle_lacks(self) -> None:
        bundle, report = self.bundle, self.report
        if bundle.foreign:
            report.notes.append(_NO_MANIFEST if bundle.lost_manifest else _FOREIGN)
            log.warning("%s", report.notes[-1])
        report.todos += [f"Set {one}: its value is not in the bundle." for one in to_fill_in(bundle)]
        report.outcomes += _not_exported(bundle)

    def _project(self, settings: ProjectSettings, owner: str, journal: Journal) -> tuple[ProjectRef, Sequence[Runtime]]:
        """Find or create the target's project; return it, and the target's runtimes."""
        v1, section = self.connection.v1, self.connection.section
        if lacking := lacks_team(v1, settings):
            raise CheckFailed(lacking, hint="Create the team on the target, with the migrating user as a member.")

        def find() -> ProjectRef | None:
            found = v1.projects.find(section.name, owner, owner)
            return ProjectRef.from_v1(found, owner) if found else None

        check_not_source(self.bundle, section.workspace.url, find)
        runtimes = v1.runtimes.all()
        engines = stays_on_engines(settings, self.maps)
        project, outcome = ensure_project(
            self.connection, journal, owner, settings, engines=engines, sleep=self.clock.sleep
        )
        left = [what for what in map(named, journal.enter(project.id)) if what]
        report = self.report
        report.todos += [_left_elsewhere(what) for what in left]
        report.target = f"{section.workspace.url} {project.path}"
        report.outcomes.append(outcome)
        return project, runtimes

    def _workloads(
        self, project: ProjectRef, journal: Journal, runtimes: Sequence[Runtime], wanted: Sequence[Workload]
    ) -> None:
        """Replay these, with one v2 key at most; the report grows as they go."""
        with api_v2(self.connection, self.bundle, journal, self.report) as v2:
            choice = RuntimeChoice(runtimes, self.maps, engines=project.engine_type == LEGACY_ENGINE)
            target = Target(self.connection.v1, v2, project, journal, choice, self.clock)
            models = model_replays(target, [one for one in wanted if isinstance(one, Model)])
            applications = application_replays(target, [one for one in wanted if isinstance(one, Application)])
            jobs = job_replays(target, [one for one in wanted if isinstance(one, Job)])
            made = self._phase("models", built_side_by_side(target, models))
            made += self._phase("applications", applications)
            self._phase("jobs", jobs)
            if made:
                with self.progress.phase("last look"):
                    looked = [one.last_look() for one in models] + [one.last_look() for one in applications]
                    self.report.amend(made, looked)

    def _phase(self, name: str, replays: Iterable[WorkloadReplay[Any]]) -> list[Outcome]:
        """Replay one kind of workload; return what the report has got of it."""
        found = []
        with self.progress.phase(name):
            for one in replays:
                found.append(one.ensure())
                self.report.outcomes.append(found[-1])
        return found

    def _say_what_was_not_reached(self) -> None:
        """Name in the report each workload that a run which failed did not come to."""
        told = Counter((one.kind, one.name) for one in self.report.outcomes)
        with suppress(BundleError):
            for one in read_bundle(self.bundle).workloads():
                if told[one.kind, one.name]:
                    told[one.kind, one.name] -= 1
                else:
                    note = "the import ended before this was done"
                    self.report.outcomes.append(Outcome(one.kind, one.name, Status.SKIPPED, note=note))


def _left_elsewhere(what: Named) -> str:
    return (
        f"An interrupted import began {what.kind} {what.name} in a project that is not found any more: if it is still "
        "there (somebody else's by now?), look whether it runs, and stop it."
    )


def _not_exported(bundle: Bundle) -> list[Outcome]:
    """Name each list that a bundle of cloudera/cmlutils lacks: that writes all of them, unless its export died."""
    return [
        Outcome(
            "bundle",
            f"{kind}-metadata.json",
            Status.SKIPPED,
            note=f"it is not there, so the export did not finish, and no {kind} are imported",
            todo="Export the project again, then import it.",
            needs_hand=True,
        )
        for kind in bundle.missing_metadata()
    ]
