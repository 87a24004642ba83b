"""Compare a project's settings, environment and collaborators."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cmlutils.project import LEGACY_ENGINE
from cmlutils.workloads import shown

if TYPE_CHECKING:
    from cmlutils.flows.comparing.side import ComparedSide
    from cmlutils.project import ProjectSettings
    from cmlutils.report import Difference


def compare_settings(wanted: ProjectSettings, there: ProjectSettings, side: ComparedSide) -> list[Difference]:
    """Compare a project's settings; its description and the values of its environment are shown as ***."""
    rows = []
    for name in ("name", "description", "visibility", "shared_memory_limit", "engine_type"):
        left, right = getattr(wanted, name), getattr(there, name)
        if left == right:
            continue
        mapped = name == "engine_type" and left == LEGACY_ENGINE and side.maps.engines
        why = "engines became runtimes" if mapped else ""
        rows.append(side.difference("project", name, shown(name, left), shown(name, right), why=why))
    owner = wanted.team or wanted.owner
    if owner and there.owner not in {owner, ""}:
        mine = not wanted.team and there.owner == side.user
        why = "the migrating user becomes the owner" if mine else ""
        rows.append(side.difference("project", "owner", owner, there.owner, why=why))
    for name in sorted({*wanted.environment, *there.environment}):
        a, b = wanted.environment.get(name), there.environment.get(name)
        if a != b:
            why = "the target added it" if a is None else ""
            rows.append(side.difference("project", f"environment {name}", _secret(a), _secret(b), why=why))
    return rows + _collaborators(wanted, there, side)


def _secret(value: str | None) -> str:
    return "absent" if value is None else "***"


def _collaborators(wanted: ProjectSettings, there: ProjectSettings, side: ComparedSide) -> list[Difference]:
    left, right = (
        {str(one.get("username")): str(one.get("permissions") or "read") for one in settings.collaborators}
        for settings in (wanted, there)
    )
    rows = []
    for name in sorted({*left, *right}):
        a, b = left.get(name, "absent"), right.get(name, "absent")
        if a == b:
            continue
        why = ""
        if a == "absent":
            why = "somebody was added on the target"
        elif name == there.owner:
            why = "the owner on the target"
        rows.append(side.difference("project", f"collaborator {name}", a, b, why=why))
    return rows
