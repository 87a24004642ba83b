"""The last step of an import: collaborators and visibility of a project that we created."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cmlutils.errors import ApiError, Rejected
from cmlutils.flows.replaying.target import tried
from cmlutils.report import Outcome, Status

if TYPE_CHECKING:
    from cmlutils.journal import Journal
    from cmlutils.project import ProjectRef, ProjectSettings
    from cmlutils.remote.v1 import ApiV1

log = logging.getLogger(__name__)


def people_of(settings: ProjectSettings, owner: str) -> dict[str, str]:
    """Return the source's collaborators with their permissions, without the owner of the project on the target."""
    return {
        str(one["username"]): str(one.get("permissions") or "read")
        for one in settings.collaborators
        if one.get("username") and one["username"] != owner
    }


@dataclass(frozen=True)
class HandOver:
    """Gives a project that we created its collaborators and visibility, each once: people may change them later."""

    journal: Journal
    project: ProjectRef
    settings: ProjectSettings

    def run(self, v1: ApiV1) -> list[Outcome]:
        """Add collaborators and set the visibility; what is left is an outcome, and the next import tries it again."""
        if not self._is_due:
            return []
        try:
            todos = [*self._people(v1), *self._visibility(v1)]
        except ApiError as error:
            return self._left(f"import again to set collaborators and visibility: {error.message}")
        self.journal.done(self._key, left=bool(todos))
        return self._left("; ".join(todos)) if todos else []

    def people(self) -> dict[str, str]:
        """Return who is still to be added, with which permission."""
        everybody = people_of(self.settings, self.project.owner) if self._is_due else {}
        return {name: what for name, what in everybody.items() if not self._is_given(f"collaborator {name}")}

    @property
    def _key(self) -> str:
        return f"hand over {self.project.id}"

    @property
    def _is_due(self) -> bool:
        entry = self.journal.entry(self._key)
        return str(self.project.id) in self.journal.ids("project") and not (entry and entry.done and not entry.left)

    def _is_given(self, what: str) -> bool:
        entry = self.journal.entry(f"{self._key}: {what}")
        return entry is not None and entry.done

    def _given(self, what: str) -> None:
        self.journal.done(f"{self._key}: {what}")

    def _left(self, todo: str) -> list[Outcome]:
        name, number = self.project.name, str(self.project.id)
        note = "collaborators or visibility are not as on the source"
        return [Outcome("hand over", name, Status.FALLBACK, number, note, todo, needs_hand=True)]

    def _people(self, v1: ApiV1) -> list[str]:
        """Add those collaborators that are missing; return a to-do for each that still is missing then."""
        wanted = self.people()

        def absent() -> dict[str, str]:
            there = {
                str(one.get("username")): one.get("permissions") for one in v1.projects.collaborators(self.project)
            }
            return {name: permissions for name, permissions in wanted.items() if there.get(name) != permissions}

        missing = absent() if wanted else {}
        for name, permissions in missing.items():
            try:
                v1.projects.put_collaborator(self.project, name, {"username": name, "permissions": permissions})
            except Rejected as error:  # noqa: PERF203 - it shows when they are read back
                log.warning("collaborator %s: %s", name, error)
        left = absent() if missing else {}
        for name in wanted.keys() - left.keys():
            self._given(f"collaborator {name}")
        return [
            f"add collaborator {name} with permission {permissions!r} (is it a user of the target?)"
            for name, permissions in left.items()
        ]

    def _visibility(self, v1: ApiV1) -> list[str]:
        """Set it if it differs from the source's; return a to-do if the target does not take it."""
        if self._is_given("visibility"):
            return []
        wanted = self.settings.visibility
        seen = v1.projects.get(self.project).get("project_visibility")
        if seen != wanted:
            tried("PATCH project visibility", lambda: v1.projects.patch(self.project, {"project_visibility": wanted}))
            seen = v1.projects.get(self.project).get("project_visibility")
        if seen != wanted:
            return [f"set the project's visibility to {wanted!r} (it is {seen!r})"]
        self._given("visibility")
        return []
