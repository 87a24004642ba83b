"""Which workload of a bundle is which of a workspace."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cmlutils.workloads import Identity, Job, Workload, differences, identity_of

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(eq=False)  # jobs that are equal in everything are still two
class Listed:
    """A workload in the list of a bundle, or in that of a workspace, which has a `record` of it.

    `parent` is the job's parent in the same list, `partner` its counterpart in the other; None where there is none.
    """

    workload: Workload
    record: dict[str, Any] = field(default_factory=dict)
    parent: Listed | None = None
    partner: Listed | None = None


_ABSENT = Listed(Job("one that is not there", ""))  # stands for a parent whose id is no job's


def pair(ours: Sequence[Listed], theirs: Sequence[Listed]) -> None:
    """Find each one's parent, and its partner: of those with the same identity, the most alike come together first."""
    _find_parents(ours)
    _find_parents(theirs)
    same = defaultdict[Identity, list[Listed]](list)
    for one in theirs:
        same[identity_of(one.workload)].append(one)
    possible = [(one, other) for one in ours for other in same[identity_of(one.workload)]]
    for one, other in sorted(possible, key=lambda two: _unlikeness(*two)):
        if not (one.partner or other.partner):
            one.partner, other.partner = other, one


def _find_parents(those: Sequence[Listed]) -> None:
    by_id = {one.workload.source_id: one for one in those if isinstance(one.workload, Job) and one.workload.source_id}
    for one in those:
        if isinstance(one.workload, Job) and one.workload.parent_id:
            one.parent = by_id.get(one.workload.parent_id, _ABSENT)


def _unlikeness(one: Listed, other: Listed) -> int:
    return len(differences(one.workload, other.workload)) + (not alike(one.parent, other.parent))


def alike(one: Listed | None, other: Listed | None) -> bool:
    """Tell whether two parents are equal, or both are missing."""
    if one is None or other is None:
        return one is other
    same = identity_of(one.workload) == identity_of(other.workload)
    return same and not differences(one.workload, other.workload)
