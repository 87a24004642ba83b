"""Models, applications and jobs in common: their kinds, what identifies one, and how two of them differ."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any

from cmlutils.application import Application
from cmlutils.job import Job
from cmlutils.model import Model

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "KINDS",
    "PRIVATE",
    "Application",
    "Identity",
    "Job",
    "Model",
    "Workload",
    "differences",
    "identity_in",
    "identity_of",
    "shown",
]

Workload = Model | Application | Job
Identity = tuple[str, ...]
KINDS: dict[str, type[Model] | type[Application] | type[Job]] = {"model": Model, "application": Application, "job": Job}
PRIVATE = {"arguments", "description", "examples"}  # too long or too private to be repeated in a report
_UNCOMPARED = {"source_id", "parent_id", "runtime", "kernel", "notifications", "addons"}


def identity_in(kind: str, record: Mapping[str, Any]) -> Identity:
    """Return what identifies a workload of this kind, judging by a workspace's record of it.

    A subdomain identifies its application on the whole workspace; as in host names, its case does not matter.
    """
    identity = tuple(str(record.get(field) or "") for field in KINDS[kind].identified_by)
    return tuple(map(str.lower, identity)) if kind == "application" else identity


def identity_of(workload: Workload) -> Identity:
    """Return what identifies this workload, as `identity_in` does for its record."""
    return identity_in(workload.kind, vars(workload))


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
