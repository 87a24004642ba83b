"""Models: created without build or deployment, then built, and never deployed."""

from __future__ import annotations

import logging
from collections import Counter
from typing import TYPE_CHECKING, Any

from cmlutils.errors import AnswerLost, ApiError, Rejected
from cmlutils.flows.replay import CannotBeInertError, Finished, Record, Step, Target, ensure
from cmlutils.flows.replay_jobs import no_runtime

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cmlutils.report import Outcome
    from cmlutils.workloads import Model

log = logging.getLogger(__name__)
BUILD_DEADLINE = 1200.0  # seconds that a build may take before it is left to itself
_LIVE = {"pending", "deploying", "deployed"}
_BUILT, _BROKEN = {"built"}, {"build failed", "failed", "timedout", "unknown"}


def models(target: Target, wanted: Sequence[Model]) -> list[Outcome]:
    """Replay all models."""
    seen: Counter[str] = Counter()
    outcomes = []
    for model in wanted:
        outcomes.append(_model(target, model, seen[model.key]))
        seen[model.key] += 1
    return outcomes


def _model(target: Target, model: Model, nth: int) -> Outcome:
    engine: dict[str, Any] = {}
    note, fallback = "", False
    if target.engines:
        image = target.v1.engine_image(target.project.owner, target.project.slug).get("id")
        engine = {"engineImageId": image} if image else {}
    else:
        match = target.match(model.runtime, model.kernel)
        if match is None:
            return no_runtime("model", model.name, model.runtime or model.kernel or "a model that was never built")
        engine = {"runtimeId": match.runtime.id, "kernel": ""}
        note, fallback = match.note, match.fallback
    body = {**model.to_v1(), **engine, "projectId": target.project.id}

    def find() -> list[Record]:
        there = [one for one in target.v1.models(target.project.id) if one.get("name") == model.name]
        return sorted(there, key=lambda one: int(one["id"]))

    def finish(record: Record) -> Finished:
        model_id = str(record["id"])
        _refuse_live(target, model, model_id)
        build = {**model.build_body(), **engine}
        lost = _build(target, model, model_id, build)
        names = ", ".join(sorted(model.environment))
        check = f"when you deploy it, look whether its environment is there ({names})" if names else ""
        todo = "; ".join(filter(None, (lost, check)))
        return Finished(note=note, fallback=fallback or bool(lost), todo=todo, needs_hand=bool(lost))

    step = Step(
        kind="model",
        name=model.name,
        key=f"model {model.key} {nth}",
        find=find,
        create=lambda: target.v1.create_model(body),
        finish=finish,
        nth=nth,
    )
    return ensure(target.journal, step, target.clock.sleep)[0]


def _deployment(record: Record) -> str:
    return str((record.get("latestModelDeployment") or {}).get("status") or "")


def _refuse_live(target: Target, model: Model, model_id: str) -> None:
    """Take a model away that is deployed, or on its way to be."""
    status = _deployment(target.v1.model(model_id))
    if status in _LIVE:
        target.v1.delete_model(model_id)
        raise CannotBeInertError(
            f"model {model.name} became {status} though deployment was declined; it was deleted again.",
            hint="Create it by hand when it may be deployed.",
        )


def _build(target: Target, model: Model, model_id: str, body: Record) -> str:
    """Build without deploying; return what is left to do (empty: nothing)."""
    if not model.file:
        return "it was never built on the source: build it when it is complete"
    before = target.v1.model(model_id)
    if not before.get("latestModelBuild"):
        request = {**body, "modelId": model_id, "projectId": target.project.id}
        request |= {"autoBuildModel": True, "autoDeployModel": False}
        try:
            target.v1.build_model(request)
        except (Rejected, AnswerLost) as error:
            log.debug("build-model: %s", error)
            if not target.v1.model(model_id).get("latestModelBuild"):
                return f"build it by hand: the target said {error}"
    status = _build_status(target, model, model_id)
    if status in _BUILT:
        return ""
    if status in _BROKEN:
        return f"its build ended as {status!r}: look at the build's log and build it again"
    return f"its build is still {status or 'not to be seen'}: look whether it ends well"


def _build_status(target: Target, model: Model, model_id: str) -> str:
    """Wait for the build to end, looking at each turn that nothing is deployed."""
    deadline = target.clock.now() + BUILD_DEADLINE
    pause = 0.2
    while True:
        _refuse_live(target, model, model_id)
        build = target.v1.model(model_id).get("latestModelBuild")
        if build is not None and not isinstance(build, dict):
            raise ApiError(f"Model {model.name} has a build that is no object.")
        status = str((build or {}).get("status") or "")
        if status in _BUILT | _BROKEN or target.clock.now() >= deadline:
            _refuse_live(target, model, model_id)
            return status
        target.clock.sleep(pause)
        pause = min(pause * 1.5, 10.0)
