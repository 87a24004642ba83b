"""Models: created to be built and not to be deployed, and watched until the build has ended."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from cmlutils.errors import AnswerLost, Rejected
from cmlutils.flows.replaying.journal_keys import keyed
from cmlutils.flows.replaying.kinds import kind_of
from cmlutils.flows.replaying.steps import CannotBeInertError, Finished, Record, Step
from cmlutils.flows.replaying.target import Target, create, finished, lost, tried
from cmlutils.flows.replaying.workload_replay import WorkloadReplay
from cmlutils.model import LIVE, Model, live_status
from cmlutils.report import join

if TYPE_CHECKING:
    from collections.abc import Sequence


log = logging.getLogger(__name__)
BUILD_DEADLINE = 1200.0  # seconds that a build may take before it is left to itself
_BUILT, _BROKEN = {"built"}, {"build failed", "failed", "timedout", "unknown"}
_TRIES = 2  # for what may be asked for again when the first answer got lost
_NO_BUILD_DEADLINE = 5.0  # seconds until a build that was asked for has to show
_DEPLOYS_LATE = (1.0, 2.0, 3.0)  # seconds before each look for a deployment that may follow a build
_NO_BUILD_LOOKS = (0.0, 0.5, 1.0)  # seconds before each look for a build that was asked for at creation


def model_replays(target: Target, wanted: Sequence[Model]) -> list[ModelReplay]:
    """Return the models on their way to the target; they need a last look, for a deployment may begin late."""
    kind = kind_of("model", target.v1, target.project)
    return [ModelReplay(target, model, key, kind) for key, model in keyed(wanted)]


class ModelReplay(WorkloadReplay[Model]):
    """One model on its way to the target: built there, and not deployed."""

    def look_again(self, record: Record) -> None:
        """Raise CannotBeInertError when it is deployed by now."""
        self._read(str(record["id"]))

    def step(self) -> Step:
        """Return what there is to do."""
        target, model = self.target, self.wanted
        return Step(
            kind=self.kind,
            name=model.name,
            key=self.key,
            identity=(model.name,),
            create=self._create,
            finish=lambda record: self._finish(str(record["id"])),
            again=lambda record: self._again(str(record["id"])),
            last_look=True,
            live=_live,
            lacks=target.lacks(model) if model.file or model.runtime else None,
        )

    def _create(self) -> Record:
        try:
            return create(self.target.v1.models.create, {**self.wanted.to_v1(), **self._where()})
        except Rejected as error:
            if not self.wanted.file:
                error.hint = (
                    "It was never built on the source, so there is nothing to build here: build it there and export "
                    "again, or create it by hand."
                )
            raise

    def _where(self) -> Record:
        """Return what a request says of project, and runtime or engine."""
        body: dict[str, Any] = {"projectId": self.target.project.id}
        if self.match:
            return {**body, "runtimeId": self.match.runtime.id, "kernel": ""}
        if self.target.choice.engines:
            image = self.target.v1.projects.engine_image(self.target.project).get("id")
            body |= {"engineImageId": image} if image else {}
        return body

    def _read(self, model_id: str) -> Record:
        """Read it; raise CannotBeInertError when it is deployed or on its way to be."""
        record = self.target.v1.models.get(model_id)
        status = live_status(record)
        if status in LIVE:
            raise CannotBeInertError(
                f"model {self.wanted.name} became {status} though deployment was declined.",
                hint="Create it by hand when it may be deployed.",
            )
        return record

    def _finish(self, model_id: str) -> Finished:
        v1 = self.target.v1
        if self.wanted.file:
            asked = False
            for _ in range(_TRIES):
                if asked or self._has_build(model_id):
                    break
                asked = self._asked_for_build(model_id)
            record = self._await_build(model_id)
            if asked:
                self._stays_so(model_id)
        else:
            record = self._read(model_id)
        for _ in range(_TRIES):
            if record.get("authEnabled") is self.wanted.auth_enabled:
                break
            tried("set-model-auth", lambda: v1.models.set_auth(model_id, enabled=self.wanted.auth_enabled))
            record = self._read(model_id)
        return self._look(record)

    def _again(self, model_id: str) -> Finished:
        """Do what could not be done earlier, unless a person has deployed it since."""
        record = self.target.v1.models.get(model_id)
        if record.get("latestModelDeployment"):
            return self._look(record)
        self.target.journal.made(self.key, model_id)  # a build may deploy it: it is not done before its last look
        return self._finish(model_id)

    def _has_build(self, model_id: str) -> bool:
        """Tell whether a build is there; one that was asked for at creation may take a moment to show."""
        for pause in _NO_BUILD_LOOKS:
            self.target.clock.sleep(pause)
            if self._read(model_id).get("latestModelBuild"):
                return True
        return False

    def _asked_for_build(self, model_id: str) -> bool:
        """Ask for the build that the target should have begun at creation; tell whether it agrees."""
        body = {**self.wanted.build_body(), **self._where(), "modelId": model_id}
        try:
            self.target.v1.models.build({**body, "autoBuildModel": True, "autoDeployModel": False})
        except (Rejected, AnswerLost) as error:
            log.warning("model %s: %s", self.wanted.name, error)
            return False
        return True

    def _await_build(self, model_id: str) -> Record:
        """Wait for the build to end, looking at each turn that nothing is deployed; return the model."""
        clock = self.target.clock
        start, pause = clock.now(), 0.2
        while True:
            record = self._read(model_id)
            status = _build_status(record)
            patience = BUILD_DEADLINE if status else _NO_BUILD_DEADLINE
            if status in _BUILT | _BROKEN or clock.now() - start >= patience:
                clock.sleep(pause)  # a deployment that follows the build has a moment to show
                return self._read(model_id)
            clock.sleep(pause)
            pause = min(pause * 1.5, 10.0)

    def _stays_so(self, model_id: str) -> None:
        """Make sure that no deployment follows a build that was asked for: a target may deploy what it builds."""
        for pause in _DEPLOYS_LATE:
            self.target.clock.sleep(pause)
            self._read(model_id)

    def _look(self, record: Record) -> Finished:
        """Return what of the model the target does not show as it should be."""
        model, note = self.wanted, self.match.note if self.match else ""
        build, missing = _build_status(record), []
        if not model.file:
            note = join(note, "it was never built on the source, so it is not built here")
        elif build in _BROKEN:
            missing = [f"its build, which ended as {build!r} (look at the build's log, build it again)"]
        elif build not in _BUILT:
            missing = [f"its build, which is {build or 'not there'} (look whether it ends well, or build it)"]
        there = Model.from_v1(record, self.target.choice.runtimes)
        unbuilt = () if record.get("latestModelBuild") else ("file", "function", "comment", "examples")
        shown = {"replicas": record.get("defaultReplicationPolicy"), "visibility": record.get("visibility")}
        unseen = [name for name, value in shown.items() if not value]
        missing += lost(model, there, self.match, "environment", *unbuilt, *unseen)
        of_deployment = [f"{model.replicas} replicas"] if "replicas" in unseen and model.replicas != 1 else []
        of_deployment += ["visibility public"] if "visibility" in unseen and model.visibility == "public" else []
        of_deployment += [f"environment {name}" for name in sorted(model.environment)]
        todo = f"when you deploy it, check that it has: {', '.join(of_deployment)}" if of_deployment else ""
        found = finished(note, todo, missing, fallback=bool(self.match and self.match.fallback))
        status = live_status(record)
        if not status or status in LIVE:  # those are a person's by now
            return found
        return replace(
            found,
            note=join(found.note, f"its deployment is {status!r}, which may be live"),
            todo=join("look whether it is deployed, and stop it", found.todo),
            needs_hand=True,
        )


def _live(row: Record) -> str:
    return f"it is {live_status(row)} on the target" if live_status(row) else ""


def _build_status(record: Record) -> str:
    build = record.get("latestModelBuild")
    return str(build.get("status") or "") if isinstance(build, dict) else ""
