"""Turns a world's YAML into records; an error in it is reported in one sentence that says where."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, TypeVar

import yaml

from cmlutils.emulator.assumptions import Assumptions, Switches
from cmlutils.emulator.faults import Fault
from cmlutils.emulator.records import Addon, EngineImage, Generate, Json, Pace, Project, Runtime, Tree, User, V2Key
from cmlutils.emulator.workloads import Application, Build, Deployment, Job, Model, Progress

T = TypeVar("T")

_LISTS: dict[str, Any] = {
    "users": User, "runtimes": Runtime, "engine_images": EngineImage, "addons": Addon, "faults": Fault,
    "applications": Application, "builds": Build, "deployments": Deployment, "generate": Generate, "v2_keys": V2Key,
}  # fmt: skip
_OBJECTS: dict[str, Any] = {"assume": Assumptions, "switches": Switches, "pace": Pace, "progress": Progress}
_TREE = {"files", "generate", "symlinks", "folders", "modes", "from"}
_PLAIN = {"release", "site_config", "runtimes_loading", "failing_builds", "failing_applications"}
_DEPLOYED = {"deployed", "stopped", "failed"}


class WorldError(ValueError):
    """The YAML does not describe a world; the message says where."""


def read_world(source: Path | str | Json) -> Json:
    """Return the arguments for World, read from a YAML file or its content; raise WorldError."""
    data = source if isinstance(source, dict) else _parse(Path(source))
    known = {*_PLAIN, *_OBJECTS, "users", "teams", "runtimes", "engine_images", "addons", "projects", "faults"}
    _check_keys(data, known, "the world")
    world = {key: _convert(key, value, key) for key, value in data.items() if key not in {"teams", "projects"}}
    teams = [{**team, "type": "organization"} for team in data.get("teams", [])]
    world["users"] = world.get("users", []) + _convert("users", teams, "teams")
    world["projects"] = [_project(project, f"projects[{n}]") for n, project in enumerate(data.get("projects", []))]
    return world


def _parse(path: Path) -> Json:
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise WorldError(f"{path}: {error}") from error
    if not isinstance(data, dict):
        raise WorldError(f"{path}: not a mapping")
    return data


def _check_keys(data: Any, known: set[str], where: str) -> None:
    if not isinstance(data, dict):
        raise WorldError(f"{where}: not a mapping")
    for key in data:
        if key not in known:
            raise WorldError(f"{where}: unknown key {key!r}; there are {', '.join(sorted(known))}")


def _convert(key: str, value: Any, where: str) -> Any:
    if key in _LISTS and isinstance(value, list) and all(isinstance(item, dict) for item in value):
        return [_record(_LISTS[key], item, f"{where}[{number}]") for number, item in enumerate(value)]
    if key in _OBJECTS:
        return _record(_OBJECTS[key], value, where)
    return value


def _record(cls: type[T], data: Json, where: str) -> T:
    names = {item.name for item in dataclasses.fields(cls) if item.init}  # type: ignore[arg-type]
    _check_keys(data, names, where)
    try:
        return cls(**{key: _convert(key, value, f"{where}.{key}") for key, value in data.items()})
    except (TypeError, ValueError) as error:
        raise WorldError(f"{where}: {error}") from error


def _project(data: Json, where: str) -> Project:
    if not isinstance(data, dict):
        raise WorldError(f"{where}: not a mapping")
    tree = {("copy_from" if key == "from" else key): value for key, value in data.items() if key in _TREE}
    rest = {key: value for key, value in data.items() if key not in {*_TREE, "jobs", "models", "applications"}}
    project = _record(Project, {**rest, "files": Path()}, where)
    project.tree = _record(Tree, tree, where)
    project.jobs = [_workload(Job, job, f"{where}.jobs[{n}]") for n, job in enumerate(data.get("jobs", []))]
    project.applications = [
        _workload(Application, app, f"{where}.applications[{n}]") for n, app in enumerate(data.get("applications", []))
    ]
    project.models = [_model(model, f"{where}.models[{n}]") for n, model in enumerate(data.get("models", []))]
    return project


def _workload(cls: type[T], data: Json, where: str) -> T:
    """Read a job or application; ``runtime`` and ``parent`` stay names until ``link`` turns them into ids."""
    if not isinstance(data, dict):
        raise WorldError(f"{where}: not a mapping")
    renamed = {{"runtime": "runtime_id", "parent": "parent_id"}.get(key, key): value for key, value in data.items()}
    return _record(cls, renamed, where)


def _model(data: Json, where: str) -> Model:
    """Read a model, either with builds and deployments or, as people write it, with a build's fields and ``state``."""
    if not isinstance(data, dict) or "builds" in data or "state" not in data:
        return _record(Model, data, where)
    names = {item.name for item in dataclasses.fields(Build)} - {"id", "progress"}
    build = {{"runtime": "runtime_id"}.get(key, key): value for key, value in data.items()}
    build = {key: value for key, value in build.items() if key in names}
    rest = {key: value for key, value in data.items() if key not in {*names, "state", "runtime"}}
    model = _record(Model, rest, where)
    state = data["state"]
    if state not in {"unbuilt", "built", *_DEPLOYED}:
        raise WorldError(f"{where}: state {state!r} is none of unbuilt, built, deployed, stopped, failed")
    if state != "unbuilt":
        model.builds = [_record(Build, {**build, "id": 0, "progress": {"status": "built"}}, where)]
    if state in _DEPLOYED:
        model.deployments = [
            Deployment(
                0, 0, Progress(state), model.cpu_millicores, model.memory_mb, model.nvidia_gpus, model.replicas,
                dict(model.environment),
            )
        ]  # fmt: skip
    return model


def link(project: Project, runtimes: list[Runtime]) -> None:
    """Turn the names of runtimes and parents into ids; raise WorldError for an unknown name."""
    workloads: list[Any] = [*project.jobs, *project.applications]
    for workload in [*workloads, *(build for model in project.models for build in model.builds)]:
        if isinstance(workload.runtime_id, str):
            workload.runtime_id = _find(runtimes, "image_identifier", workload.runtime_id, project)
    for job in project.jobs:
        if isinstance(job.parent_id, str):
            job.parent_id = _find(project.jobs, "name", job.parent_id, project)


def _find(things: list[Any], field: str, value: str, project: Project) -> int:
    for thing in things:
        if getattr(thing, field) == value:
            return int(thing.id)
    raise WorldError(f"project {project.name}: nothing has {field} {value!r}")
