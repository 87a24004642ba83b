"""One side of a comparison, source or target, and how differences between it and the bundle are judged."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cmlutils.report import Difference, Group

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cmlutils.runtime import Runtime
    from cmlutils.runtimes import Maps

_FOREIGN_LACKS = {
    "project": {"engine_type", "owner", "environment CDSW_APP_POLLING_ENDPOINT"},
    "model": {"visibility", "cpu_millicores", "memory_mb", "gpus", "replicas", "examples"},
    "job": {"type", "notifications"},
}


@dataclass(frozen=True)
class ComparedSide:
    """What is known of one side, to judge differences; `fresh` are (kind, name) of what must not be live."""

    name: str
    runtimes: Sequence[Runtime]
    maps: Maps
    user: str
    bypass_allowed: bool = True
    foreign: bool = False  # cloudera/cmlutils wrote the bundle
    fresh: frozenset[tuple[str, str]] = field(default_factory=frozenset)

    @property
    def on_target(self) -> bool:
        """Whether this is the target."""
        return self.name == "target"

    def difference(self, where: str, what: str, left: object, right: object, *, why: str = "") -> Difference:
        """Return a difference between the bundle and this side.

        `why` says how a migration comes to cause it (empty: it does not), which excuses it on the target.
        """
        group = Group.DIFFERENT if self.on_target else Group.SOURCE
        row = Difference(f"{self.name} {where}", what, str(left), str(right), group=group)
        if self.on_target:
            return row.excused(why)
        lacking = self.foreign and _not_carried(where.partition(" ")[0], what)
        return row.excused("cloudera/cmlutils does not export it" if lacking else "")


def _not_carried(kind: str, what: str) -> bool:
    """Tell whether cloudera/cmlutils does not export a field, or exports something else in its place."""
    if what.startswith("collaborator ") or (kind == "model" and what.startswith("environment ")):
        return True
    return what in _FOREIGN_LACKS.get(kind, ()) or what in {"runtime", "addons"}
