"""How things of one kind are listed, told apart, asked for and deleted on a target."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from cmlutils.errors import ApiError, Rejected
from cmlutils.journal import JournalEntry
from cmlutils.workloads import identity_in

if TYPE_CHECKING:
    from collections.abc import Callable

    from cmlutils.flows.replaying.steps import Record
    from cmlutils.journal import Journal
    from cmlutils.project import ProjectRef
    from cmlutils.remote.v1 import ApiV1
    from cmlutils.remote.v1.workloads import Applications, Jobs, Models
    from cmlutils.workloads import Identity

_GONE = {400, 404, 410, 422}  # statuses of a workspace that is asked for an id which it does not have


class Inventory:
    """All things of one kind in a project: listed once, extended as we create more, listed again in case of doubt.

    `waited`: this run has already waited in vain for something that was missing.
    """

    def __init__(self, read: Callable[[], list[Record]]) -> None:
        self.waited = False
        self._read = read
        self._rows: list[Record] | None = None
        self._gone: set[str] = set()

    def rows(self, *, anew: bool = False) -> list[Record]:
        """Return all of them, oldest first."""
        if anew or self._rows is None:
            rows = self._read()
            if any(not isinstance(one.get("id"), (int, str)) for one in rows):
                raise ApiError("The target lists something without an id.")
            there = [one for one in rows if str(one["id"]) not in self._gone]
            self._rows = sorted(there, key=lambda one: (len(str(one["id"])), str(one["id"])))
        return list(self._rows)

    def add(self, row: Record) -> None:
        """Add one that was just created."""
        if self._rows is not None and all(str(one["id"]) != str(row["id"]) for one in self._rows):
            self._rows.append(row)

    def forget(self, number: str) -> None:
        """Leave this one out from now on: it is gone, even if a listing that lags behind still shows it."""
        self._gone.add(number)
        self._rows = None if self._rows is None else [one for one in self._rows if str(one["id"]) != number]


@dataclass(frozen=True, kw_only=True)
class Kind:
    """How things of one kind are listed, told apart, asked for and deleted on a target.

    `identity_of` returns what tells a row of the inventory from others, such as its name. `read` asks the target for
    the one whose id is in the journal. `remove` deletes one (None: this kind is never deleted). `claimed` holds, for
    each identity, the ids on the target that this run has already assigned to things of that identity.
    """

    name: str
    inventory: Inventory
    identity_of: Callable[[Record], Identity]
    read: Callable[[JournalEntry], Record]
    remove: Callable[[Record], None] | None = None
    claimed: dict[Identity, set[str]] = field(default_factory=lambda: defaultdict(set))

    def look_up(self, past: JournalEntry) -> Record | None:
        """Ask the target for the one whose id is in the journal; None when it has none of this id."""
        try:
            reply = self.read(past)
        except Rejected as error:
            if error.status in _GONE:
                return None
            raise
        return reply if str(reply.get("id")) == past.target_id else None


def kind_of(name: str, v1: ApiV1, project: ProjectRef) -> Kind:
    """Return the Kind of a project's models, applications or jobs."""
    by_kind: dict[str, Models | Applications | Jobs]
    by_kind = {"model": v1.models, "application": v1.applications, "job": v1.jobs}
    routes = by_kind[name]
    return Kind(
        name=name,
        inventory=Inventory(lambda: routes.of(project)),
        identity_of=partial(identity_in, name),
        read=lambda past: routes.get(project, past.target_id),
        remove=lambda one: routes.delete(project, one["id"]),
    )


def add_unlisted(v1: ApiV1, project: ProjectRef, journal: Journal, records: dict[str, list[Record]]) -> None:
    """Add to these listings what imports have created and a listing that lags behind does not show yet."""
    for kind, rows in records.items() if journal.is_in(project.id) else ():
        of = kind_of(kind, v1, project)
        unlisted = journal.ids(kind) - {str(row["id"]) for row in rows}
        found = [of.look_up(JournalEntry(target_id=number)) for number in sorted(unlisted)]
        rows += [one for one in found if one is not None]
