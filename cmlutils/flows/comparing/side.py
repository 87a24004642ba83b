"""One side of a comparison: what it shows, and how a difference from the bundle is judged."""

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
    """What one side shows, and how to judge it; `fresh` are (kind, name) that this very run has made."""

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

    def difference(self, where: str, what: str, left: object, right: object) -> Difference:
        """Name one difference of this side."""
        group = Group.DIFFERENT if self.on_target else Group.SOURCE
        row = Difference(f"{self.name} {where}", what, str(left), str(right), group=group)
        lacking = self.foreign and not self.on_target and _not_carried(where.partition(" ")[0], what)
        return row.excused("cloudera/cmlutils does not export it" if lacking else "")


def _not_carried(kind: str, what: str) -> bool:
    """Tell whether a bundle of cloudera/cmlutils lacks a field, or has one that it put there itself."""
    if what.startswith("collaborator ") or (kind == "model" and what.startswith("environment ")):
        return True
    return what in _FOREIGN_LACKS.get(kind, ()) or what in {"runtime", "addons"}
