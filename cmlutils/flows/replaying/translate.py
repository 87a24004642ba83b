"""People and add-ons have other ids on each workspace, so they are carried by name from one to the other."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from cmlutils.errors import Rejected
from cmlutils.workloads import Job, Model

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from cmlutils.remote.v1 import ApiV1
    from cmlutils.workloads import Application, Workload

log = logging.getLogger(__name__)
Row = dict[str, Any]
COMPONENTS = ("Spark", "HadoopCLI")  # what runtime-addons can be asked for
EVENTS = ("success", "failure", "timeout", "stopped")


def by_name(
    v1: ApiV1, people: Iterable[object], applications: Sequence[Application], jobs: Sequence[Job]
) -> tuple[list[Application], list[Job]]:
    """Return a source's workloads with names added to the ids of people and add-ons, as far as they are known."""
    usernames = {
        one["id"]: str(one["username"])
        for one in people
        if isinstance(one, dict) and isinstance(one.get("id"), int) and one.get("username")
    }
    wanted = any(one.addons for one in applications) or any(one.addons for one in jobs)
    known = {row["id"]: row for component in COMPONENTS for row in _addons(v1, component)} if wanted else {}

    def addons(one: Application | Job) -> tuple[Any, ...]:
        return tuple(known.get(addon, addon) if isinstance(addon, int) else addon for addon in one.addons)

    return (
        [replace(one, addons=addons(one)) for one in applications],
        [replace(one, addons=addons(one), notifications=_named(one.notifications, usernames)) for one in jobs],
    )


def with_ids(v1: ApiV1, workloads: Mapping[str, Sequence[Workload]]) -> dict[str, list[Workload]]:
    """Return a bundle's workloads by kind, with this workspace's ids of people and add-ons; others keep their names."""
    addons, people = Addons(v1), People(v1)
    return {kind: [_with_ids(one, addons, people) for one in some] for kind, some in workloads.items()}


def _with_ids(workload: Workload, addons: Addons, people: People) -> Workload:
    if isinstance(workload, Model):
        return workload
    mine = [(_addon_name(one), addons.here(one)) for one in workload.addons]
    ids = tuple(name if known is None else known for name, known in mine)
    if not isinstance(workload, Job):
        return replace(workload, addons=ids)
    notified = [(whom(one), people.rows([one])) for one in workload.notifications]
    rows = tuple(known[0] if known else name for name, known in notified)
    return replace(workload, addons=ids, notifications=rows)


def _named(notifications: Iterable[Any], usernames: Mapping[int, str]) -> tuple[Any, ...]:
    named = []
    for one in notifications:
        person = one.get("user") if isinstance(one, dict) else None
        name = person.get("username") if isinstance(person, dict) else None
        if isinstance(one, dict):
            number = one.get("user_id")
            name = name or (usernames.get(number) if isinstance(number, int) else None)
        named.append({**one, "username": name} if name else one)
    return tuple(named)


def _addons(v1: ApiV1, component: str) -> list[Row]:
    try:
        rows = v1.runtimes.addons(component)
    except Rejected as error:
        log.debug("runtime-addons %s: %s", component, error)
        return []
    return [
        {
            "id": row.get("identifier", row.get("id")),
            "component": component,
            "name": str(row.get("displayName") or row.get("display_name") or row.get("name") or ""),
        }
        for row in rows
        if isinstance(row.get("identifier", row.get("id")), (int, str))
    ]


class Addons:
    """The target's add-ons, looked up when the first workload needs one."""

    def __init__(self, v1: ApiV1) -> None:
        self._v1 = v1
        self._known: dict[str, list[Row]] = {}

    def here(self, addon: Any) -> Any:
        """Return the id on the target of a source's add-on; None when the target has none of that name."""
        if not isinstance(addon, dict) or not addon.get("name"):
            return None
        component = str(addon.get("component"))
        if component not in self._known:
            self._known[component] = _addons(self._v1, component)
        return next((row["id"] for row in self._known[component] if row["name"] == addon["name"]), None)

    def body(self, workload: Job | Application) -> Row:
        """Return the part of a create body that names the workload's add-ons."""
        ids = [self.here(one) for one in workload.addons]
        ids = [one for one in ids if one is not None]
        return {"addons": ids} if ids else {}

    def absent(self, workload: Workload) -> list[str]:
        """Name the workload's add-ons that the target lacks; a model has no add-ons."""
        return [_addon_name(one) for one in getattr(workload, "addons", ()) if self.here(one) is None]

    def todo(self, workload: Job | Application, shown: Mapping[str, Any]) -> str:
        """Return a to-do for add-ons that the target lacks, or does not show as we set them; empty if all is well."""
        absent = self.absent(workload)
        wanted, there = self.body(workload).get("addons", []), shown.get("addons")
        if isinstance(there, list) and sorted(map(str, there)) != sorted(map(str, wanted)):
            absent = [_addon_name(one) for one in workload.addons]
        return f"choose its add-ons by hand: {', '.join(absent)}" if absent else ""


def _addon_name(addon: Any) -> str:
    return str(addon["name"]) if isinstance(addon, dict) and addon.get("name") else f"the source's number {addon}"


class People:
    """The target's users, each looked up once."""

    def __init__(self, v1: ApiV1) -> None:
        self._v1 = v1
        self._ids: dict[str, int] = {}

    def _id(self, username: str) -> int:
        if username not in self._ids:
            try:
                self._ids[username] = int(self._v1.users.get(username).get("id") or 0)
            except Rejected:
                self._ids[username] = 0
        return self._ids[username]

    def rows(self, notifications: Sequence[Any]) -> list[Row]:
        """Return the notifications with the target's user ids, without those whose user the target lacks."""
        found = []
        for one in notifications:
            number = self._id(str(one["username"])) if isinstance(one, dict) and one.get("username") else 0
            if number:
                found.append({"user_id": number, **{event: bool(one.get(event)) for event in EVENTS}})
        return found

    def todo(self, notifications: Sequence[Any], shown: Mapping[str, Any]) -> str:
        """Return a to-do that names whom the target does not, or may not, notify; empty if all is well."""
        there, absent = shown.get("notifications"), []
        for one in notifications:
            row = self.rows([one])
            if not row or (isinstance(there, list) and not any(_same(row[0], other) for other in there)):
                absent.append(whom(one))
        if absent:
            return f"turn its notifications on again for {', '.join(absent)}"
        if notifications and not isinstance(there, list):
            return f"check that it notifies {', '.join(map(whom, notifications))}: the target does not show it"
        return ""


def _same(wanted: Row, there: object) -> bool:
    return (
        isinstance(there, dict)
        and there.get("user_id") == wanted["user_id"]
        and all(bool(there.get(event)) == wanted[event] for event in EVENTS)
    )


def whom(notification: Any) -> str:
    """Name who is notified, and of what."""
    if not isinstance(notification, dict):
        return "someone"
    name = notification.get("username") or f"the source's user number {notification.get('user_id')}"
    events = ", ".join(event for event in EVENTS if notification.get(event))
    return f"{name} ({events})" if events else str(name)
