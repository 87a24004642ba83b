"""Models: created to be built and not to be deployed, and watched until the build has ended."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from cmlutils.errors import AnswerLost, ApiError, Rejected
from cmlutils.flows.replaying.build_watch import BROKEN, BUILT, TRIES, BuildWatch, build_status
from cmlutils.flows.replaying.ensure import begin
from cmlutils.flows.replaying.journal_keys import keyed
from cmlutils.flows.replaying.kinds import kind_of
from cmlutils.flows.replaying.steps import CannotBeInertError, Finished, Record
from cmlutils.flows.replaying.target import Target, create_by, tried
from cmlutils.flows.replaying.workload_replay import WorkloadReplay
from cmlutils.model import LIVE, Model, live_status
from cmlutils.report import join

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cmlutils.flows.replaying.kinds import Kind
    from cmlutils.report import Outcome

log = logging.getLogger(__name__)
_NO_BUILD_LOOKS = (0.0, 0.5, 1.0)  # seconds to wait before each look for the build that creating the model should begin


def model_replays(target: Target, wanted: Sequence[Model]) -> list[ModelReplay]:
    """Return the models on their way to the target. They need a last look, as a deployment may begin late."""
    kind = kind_of("model", target.v1, target.project)
    return [ModelReplay(target, model, key, kind) for key, model in keyed(wanted)]


class ModelReplay(WorkloadReplay[Model]):
    """One model on its way to the target: built there, and not deployed.

    `asked_for_build`: creating it did not begin a build, so one was requested.
    """

    needs_last_look = True

    def __init__(self, target: Target, wanted: Model, key: str, kind: Kind) -> None:
        super().__init__(target, wanted, key, kind)
        self.build = BuildWatch(target.clock)
        self.asked_for_build = False
        self._builds = False
        self._begun: Record | None = None

    def begin(self) -> None:
        """Create it if it is not there; `ensure` does the rest and returns the outcome."""
        self.outcome, self._begun = begin(self)

    def see_to_build(self) -> bool:
        """Make sure that it is built, and tell whether that is under way; if it gets deployed, delete it at once."""
        if self.outcome or not self._begun or not self.wanted.file:
            return False
        model_id = str(self._begun["id"])
        try:
            self._begin_build(model_id)
            return self.build.saw(build_status(self._read(model_id)))
        except ApiError as error:
            log.debug("build of model %s: %s", model_id, error)
            return self.build.missed()
        except CannotBeInertError:
            self.ensure()
            return False

    def _begin_build(self, model_id: str) -> None:
        """Make sure, the first time, that a build begins: creating the model may have begun one already."""
        if self._builds:
            return
        for _ in range(TRIES):
            if self.asked_for_build or self._shows_build(model_id):
                break
            self.asked_for_build = self._ask_for_build(model_id)
        self._builds = True
        self.build.give_full_time()

    def _shows_build(self, model_id: str) -> bool:
        """Tell whether the target shows a build; one that began at creation may take a moment to show."""
        for pause in _NO_BUILD_LOOKS:
            self.sleep(pause)
            if self._read(model_id).get("latestModelBuild"):
                return True
        return False

    def look_again(self, record: Record) -> None:
        """Raise CannotBeInertError when it is deployed by now, ApiError while a build goes on that may deploy it."""
        build = build_status(self._read(str(record["id"])))
        if build and build not in BUILT | BROKEN:
            raise ApiError(f"its build is {build} still")

    def lacks(self) -> Outcome | None:
        """Return the failure to report where the target has no runtime for it; one that was never built needs none."""
        return super().lacks() if self.wanted.file or self.wanted.runtime else None

    def live(self, row: Record) -> str:
        """Say that it is deployed, or on its way to be."""
        return f"it is {live_status(row)} on the target" if live_status(row) else ""

    def create(self) -> Record:
        """Create it, to be built and not to be deployed."""
        try:
            return create_by(self.target.v1.models.create, {**self.wanted.to_v1(), **self._where()})
        except Rejected as error:
            if not self.wanted.file:
                error.hint = (
                    "It was never built on the source, so there is nothing to build here: build it there and export "
                    "again, or create it by hand."
                )
            raise

    def _where(self) -> Record:
        """Return the part of a request that names the project, and the runtime or engine."""
        body: dict[str, Any] = {"projectId": self.target.project.id, **self.runtime_body("runtimeId")}
        if self.target.choice.engines and not self.match:
            image = self.target.v1.projects.engine_image(self.target.project).get("id")
            body |= {"engineImageId": image} if image else {}
        return body

    def _read(self, model_id: str) -> Record:
        """Read it; raise CannotBeInertError when it is deployed or on its way to be."""
        record = self.target.v1.models.get(self.target.project, model_id)
        status = live_status(record)
        if status in LIVE:
            raise CannotBeInertError(
                f"model {self.wanted.name} became {status}, although no deployment was asked for.",
                hint="Create it by hand when it may be deployed.",
            )
        return record

    def finish(self, record: Record) -> Finished:
        """Set whether it asks for authentication, and read it back."""
        v1, model_id = self.target.v1, str(record["id"])
        record = self._read(model_id)
        for _ in range(TRIES):
            if record.get("authEnabled") is self.wanted.auth_enabled:
                break
            tried("set-model-auth", lambda: v1.models.set_auth(model_id, enabled=self.wanted.auth_enabled))
            record = self._read(model_id)
        return self._look(record)

    def again(self, record: Record) -> Finished:
        """Do what could not be done earlier, unless a person has deployed it since."""
        now = self.target.v1.models.get(self.target.project, str(record["id"]))
        return self._look(now) if now.get("latestModelDeployment") else self.finish(record)

    def _ask_for_build(self, model_id: str) -> bool:
        """Request the build that the target should have begun at creation; return whether it agreed."""
        body = {**self.wanted.build_body(), **self._where(), "modelId": model_id}
        self.target.journal.made(self.key, model_id)  # a build may deploy it, so it is not done before its last look
        try:
            self.target.v1.models.build({**body, "autoBuildModel": True, "autoDeployModel": False})
        except (Rejected, AnswerLost) as error:
            log.warning("model %s: %s", self.wanted.name, error)
            return False
        return True

    def _look(self, record: Record) -> Finished:
        """Compare the model on the target with the wanted one, and report what is missing or differs."""
        model, note = self.wanted, ""
        build, missing = build_status(record), []
        if not model.file:
            note = "it was never built on the source, so it is not built here"
        elif build in BROKEN:
            missing = [f"its build, which ended as {build!r} (read the build's log, then build it again)"]
        elif build not in BUILT:
            missing = [f"its build, which is {build or 'not there'} (check whether it succeeds, or build it)"]
        there = Model.from_v1(record, self.target.choice.runtimes)
        unbuilt = () if record.get("latestModelBuild") else ("file", "function", "comment", "examples", "runtime")
        shown = {"replicas": record.get("defaultReplicationPolicy"), "visibility": record.get("visibility")}
        unseen = [name for name, value in shown.items() if not value]
        of_deployment = [f"{model.replicas} replicas"] if "replicas" in unseen and model.replicas != 1 else []
        of_deployment += ["visibility public"] if "visibility" in unseen and model.visibility == "public" else []
        of_deployment += [f"environment {name}" for name in sorted(model.environment)]
        todo = f"when you deploy it, check that it has: {', '.join(of_deployment)}" if of_deployment else ""
        found = self.compare(there, "environment", *unbuilt, *unseen, note=note, todo=todo, missing=missing)
        status = live_status(record)
        if not status or status in LIVE:  # a live one was deployed by a person
            return found
        return replace(
            found,
            note=join(found.note, f"its deployment is {status!r}, which may be live"),
            todo=join("check whether it is deployed, and stop it", found.todo),
            needs_hand=True,
        )
