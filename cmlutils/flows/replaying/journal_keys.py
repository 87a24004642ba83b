"""What the journal calls each workload: `model NAME N`, `application SUBDOMAIN`, `job ["NAME", "SCRIPT"] N`.

N counts models, or jobs, of the same name; a subdomain is unique on its workspace, so it needs no number.
"""

from __future__ import annotations

import json
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
    """What a key says about its workload; `name` is the subdomain of an application, only jobs have a `script`."""

    kind: str
    name: str
    script: str = ""

    @property
    def identity(self) -> tuple[str, ...]:
        """What identifies it on a target, as `Kind.identity_of` returns it."""
        if self.kind == "job":
            return self.name, self.script
        return (self.name.lower() if self.kind == "application" else self.name,)


def keyed(workloads: Sequence[AnyWorkload]) -> list[tuple[str, AnyWorkload]]:
    """Pair each workload with its key, in the same order."""
    seen: Counter[str] = Counter()
    found = []
    for one in workloads:
        name = _name(one)
        found.append((name if isinstance(one, Application) else f"{name} {seen[name]}", one))
        seen[name] += 1
    return found


def _name(workload: Workload) -> str:
    """Return a workload's key without its number."""
    identity = workload.identity
    return f"{workload.kind} {identity[0] if len(identity) == 1 else json.dumps(identity)}"


def unfinished(journal: Journal, workloads: Sequence[AnyWorkload]) -> list[AnyWorkload]:
    """Return the workloads that an earlier run began and did not finish, and all others of the same name."""
    begun = {without_number(key) for key in journal.unfinished()}
    return [one for one in workloads if _name(one) in begun]


def named(key: str) -> Named | None:
    """Read a key; None for one that is no workload's, or that we never wrote."""
    kind, _, rest = without_number(key).partition(" ")
    if kind != "job":
        return Named(kind, rest) if kind in {"model", "application"} else None
    try:
        name, script = strict_json.loads(rest)
    except (ValueError, TypeError):
        return None
    return Named(kind, str(name), str(script))


def without_number(key: str) -> str:
    """Return a key without what tells it from others of the same name."""
    return key.rpartition(" ")[0] if key.partition(" ")[0] in _COUNTED else key
