"""Models, applications and jobs in common: their kinds, and how two workloads differ."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING

from cmlutils.application import Application
from cmlutils.job import Job
from cmlutils.model import Model

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cmlutils.runtime import Runtime

__all__ = ["FROM_V1", "PRIVATE", "Application", "Job", "Model", "Workload", "differences", "shown"]

Workload = Model | Application | Job
FROM_V1: dict[str, Callable[[object, Sequence[Runtime]], Workload]] = {  # by kind
    "model": Model.from_v1,
    "application": Application.from_v1,
    "job": Job.from_v1,
}
PRIVATE = {"arguments", "description", "examples"}  # too long or too private to be repeated in a report
_UNCOMPARED = {"source_id", "parent_id", "runtime", "kernel", "notifications", "addons"}


def shown(name: str, value: object) -> str:
    """Return the value of a field as reports show it."""
    if name in PRIVATE:
        return "***" if value else "none"
    return str(value)


def differences(left: Workload, right: Workload) -> list[tuple[str, str, str]]:
    """Return (field, left, right) for each field that differs; values that may be private are ***."""
    found = []
    for one in fields(left):
        a, b = getattr(left, one.name), getattr(right, one.name)
        if one.name in _UNCOMPARED or a == b or (one.name == "subdomain" and a.lower() == b.lower()):
            continue
        if one.name == "timeout" and not a and not b:
            continue  # 0 and no time-out are the same
        if one.name == "environment":
            found += [
                (f"environment {name}", "***" if name in a else "absent", "***" if name in b else "absent")
                for name in sorted({*a, *b})
                if a.get(name) != b.get(name)
            ]
        else:
            found.append((one.name, shown(one.name, a), shown(one.name, b)))
    return found
