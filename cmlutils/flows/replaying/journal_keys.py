"""What the journal calls each workload: `model NAME N`, `application SUBDOMAIN`, `job ["NAME", "SCRIPT"] N`.

Equal models and equal jobs are told apart by N, their place among their equals; a workspace has a subdomain once.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from cmlutils import strict_json
from cmlutils.workloads import Application, Workload

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cmlutils.journal import Journal

AnyWorkload = TypeVar("AnyWorkload", bound=Workload)
_COUNTED = ("model", "job")


class Named(NamedTuple):
    """What a key tells of a workload by itself: `name` is an application's subdomain, `script` a job's alone."""

    kind: str
    name: str
    script: str = ""

    @property
    def identity(self) -> tuple[str, ...]:
        """What makes it one of its kind on a target, which has subdomains in small letters."""
        if self.kind == "job":
            return self.name, self.script
        return (self.name.lower() if self.kind == "application" else self.name,)


def keyed(workloads: Sequence[AnyWorkload]) -> list[tuple[str, AnyWorkload]]:
    """Pair each workload with its key, in the same order."""
    seen: Counter[str] = Counter()
    found = []
    for one in workloads:
        name = f"{one.kind} {one.key}"
        found.append((name if isinstance(one, Application) else f"{name} {seen[name]}", one))
        seen[name] += 1
    return found


def unfinished(journal: Journal, workloads: Sequence[AnyWorkload]) -> list[AnyWorkload]:
    """Return those that an earlier run began and did not finish, with all equals of such a one."""
    begun = {_without_number(key) for key in journal.unfinished()}
    return [one for one in workloads if f"{one.kind} {one.key}" in begun]


def named(key: str) -> Named | None:
    """Return what a key tells by itself; None for one that is no workload's, or that we never wrote."""
    kind, _, rest = _without_number(key).partition(" ")
    if kind != "job":
        return Named(kind, rest) if kind in {"model", "application"} else None
    try:
        name, script = strict_json.loads(rest)
    except (ValueError, TypeError):
        return None
    return Named(kind, str(name), str(script))


def _without_number(key: str) -> str:
    return key.rpartition(" ")[0] if key.partition(" ")[0] in _COUNTED else key
