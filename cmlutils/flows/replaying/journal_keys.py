"""What the journal calls each workload: `model NAME N`, `application SUBDOMAIN`, `job ["NAME", "SCRIPT"] N`.

N counts models, or jobs, of the same name; a subdomain is unique on its workspace, so it needs no number.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from cmlutils import strict_json
from cmlutils.workloads import KINDS, Identity, Workload, identity_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cmlutils.journal import Journal

AnyWorkload = TypeVar("AnyWorkload", bound=Workload)
_COUNTED = ("model", "job")


class Named(NamedTuple):
    """What a key says about its workload."""

    kind: str
    identity: Identity

    @property
    def name(self) -> str:
        """Its name; the subdomain of an application."""
        return self.identity[0]


def keyed(workloads: Sequence[AnyWorkload]) -> list[tuple[str, AnyWorkload]]:
    """Pair each workload with its key, in the same order."""
    seen: Counter[str] = Counter()
    found = []
    for one in workloads:
        name = _name(one)
        found.append((f"{name} {seen[name]}" if one.kind in _COUNTED else name, one))
        seen[name] += 1
    return found


def _name(workload: Workload) -> str:
    """Return a workload's key without its number."""
    identity = identity_of(workload)
    return f"{workload.kind} {identity[0] if len(identity) == 1 else json.dumps(identity)}"


def unfinished(journal: Journal, workloads: Sequence[AnyWorkload]) -> list[AnyWorkload]:
    """Return the workloads that an earlier run began and did not finish, and all others of the same name."""
    begun = {without_number(key) for key in journal.unfinished()}
    return [one for one in workloads if _name(one) in begun]


def named(key: str) -> Named | None:
    """Read a key; None for one that is no workload's, or that we never wrote."""
    kind, _, rest = without_number(key).partition(" ")
    if kind not in KINDS:
        return None
    if len(KINDS[kind].identified_by) == 1:
        return Named(kind, (rest,))
    try:
        return Named(kind, tuple(map(str, strict_json.loads(rest))))
    except (ValueError, TypeError):
        return None


def without_number(key: str) -> str:
    """Return a key without what tells it from others of the same name."""
    return key.rpartition(" ")[0] if key.partition(" ")[0] in _COUNTED else key
