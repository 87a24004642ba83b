"""The project itself: found or created by owner and name, set once."""

from __future__ import annotations

import logging
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from cmlutils.errors import AnswerLost, ApiError, NotFound, Rejected
from cmlutils.flows.connect import whole_ref
from cmlutils.flows.replaying.ensure import ensure
from cmlutils.flows.replaying.kinds import Inventory, Kind
from cmlutils.flows.replaying.steps import Finished, Record, Step
from cmlutils.flows.replaying.target import tried
from cmlutils.project import (
    LEGACY_ENGINE,
    ML_RUNTIME,
    ProjectRef,
    ProjectSettings,
    creator_of,
    engine_image_name,
    owner_of,
    team_of,
)
from cmlutils.report import join

if TYPE_CHECKING:
    from cmlutils.flows.connect import Connection
    from cmlutils.flows.replaying.steps import Sleep
    from cmlutils.journal import Journal, JournalEntry
    from cmlutils.remote.v1 import ApiV1
    from cmlutils.report import Outcome

log = logging.getLogger(__name__)


def _key(owner: str, name: str) -> str:
    """Return what the journal calls a project."""
    return f"project {owner} {name}"


def ensure_project(
    connection: Connection, journal: Journal, owner: str, settings: ProjectSettings, *, engines: bool, sleep: Sleep
) -> tuple[ProjectRef, Outcome]:
    """Return this owner's project of the section's name on the target, created private where there was none.

    Settings and environment are written only to a project that we created. With `engines`, it stays on legacy engines.
    """
    step = _ProjectStep(connection, journal, owner, settings, engines=engines, sleep=sleep)
    outcome, record = ensure(step)
    if record is None:
        raise ApiError(f"The project {step.name} can't be created and set up: {outcome.note}", hint=outcome.todo)
    return whole_ref(connection.v1, record, owner), outcome


class _ProjectStep(Step):
    """The project on its way to the target."""

    def __init__(
        self,
        connection: Connection,
        journal: Journal,
        owner: str,
        settings: ProjectSettings,
        *,
        engines: bool,
        sleep: Sleep,
    ) -> None:
        self._v1, name = connection.v1, connection.section.name
        self._owner, self._username = owner, connection.section.workspace.username
        self._settings, self._engines = settings, engines
        kind = Kind(
            name="project",
            inventory=Inventory(self._list),
            identity_of=lambda one: (str(one.get("name")),),
            read=partial(_read, self._v1),
        )
        super().__init__(kind, name, _key(owner, name), (name,), journal, sleep)

    def _list(self) -> list[Record]:
        found = self._v1.projects.find(self.name, self._owner, self._owner)
        return [found] if found else []

    def may_be_ours(self, record: Record) -> bool:
        """Tell whether the migrating user may have created it."""
        return _may_be_by(self._username, record)

    def place_of(self, record: Record) -> str:
        """Return owner/slug, whoever the owner is; empty where the target's reply does not give them."""
        try:
            return ProjectRef.from_v1(record, owner_of(record) or self._owner).path
        except ApiError:
            return ""

    def create(self) -> Record:
        """Create it private and empty; a reply that does not say where it is makes us look for it."""
        body = {"name": self.name, "template": "blank", "project_visibility": "private"}
        made = self._v1.projects.create(self._owner, body)
        if not self.place_of(made):
            raise AnswerLost(f"The reply does not say where the project {self.name} is.")
        return made

    def finish(self, record: Record) -> Finished:
        """Write its settings and environment."""
        return self._settle(record, again=False)

    def again(self, record: Record) -> Finished:
        """Write what could not be written earlier; what people have set since stays."""
        return self._settle(record, again=True)

    def _settle(self, record: Record, *, again: bool) -> Finished:
        """Write settings and environment and read them back; what the target did not take is written once more.

        With `again`, what people may have set since an earlier run stays.
        """
        made_for = owner_of(record) or self._owner
        if made_for.lower() != self._owner.lower():
            hint = f"Give it to {self._owner} by hand, or delete it, then import again."
            raise ApiError(f"It was created, but it belongs to {made_for} instead of {self._owner}.", hint=hint)
        ref = ProjectRef.from_v1(record, self._owner)
        self._write(ref, again=again)
        finished = self._read_back(ref)
        if finished.fallback:
            self._write(ref, again=again)
            finished = self._read_back(ref)
        return finished

    def _unlike(self, there: Record) -> Record:
        """Return the settings that differ on the target, with the values that they should have."""
        wanted: dict[str, Any] = {"description": self._settings.description}
        if self._settings.shared_memory_limit:
            wanted["shared_memory_limit"] = self._settings.shared_memory_limit
        if self._engines:
            wanted["default_project_engine_type"] = LEGACY_ENGINE
        elif there.get("default_project_engine_type") == LEGACY_ENGINE:  # others may not show it
            wanted["default_project_engine_type"] = ML_RUNTIME
        return {field: value for field, value in wanted.items() if (there.get(field) or "") != value}

    def _write(self, ref: ProjectRef, *, again: bool) -> None:
        """Write each setting that is not as it should be; reading them back will show what was refused."""
        projects = self._v1.projects
        there = projects.get(ref)
        for field, value in self._unlike(there).items():
            if not (again and there.get(field)):
                tried(f"PATCH project {field}", partial(projects.patch, ref, {field: value}))
        shown = self._environment(ref)
        environment = shown or {}
        whole = {**environment, **self._settings.environment, **(environment if again else {})}
        if shown is not None and whole != shown:  # a PUT replaces all that is there
            tried("PUT project environment", partial(projects.put_environment, ref, whole))

    def _environment(self, ref: ProjectRef) -> dict[str, str] | None:
        """Return the project's environment; None where the target does not let us see it."""
        try:
            return self._v1.projects.environment(ref)
        except Rejected as error:
            log.warning("The project's environment can't be read: %s", error)
            return None

    def _read_back(self, ref: ProjectRef) -> Finished:
        """Read settings and environment back, and name what the target did not take."""
        wanted = self._settings.environment
        lost = [*self._unlike(self._v1.projects.get(ref))]
        environment = self._environment(ref) if wanted else {}
        lost += [f"environment {name}" for name, value in wanted.items() if (environment or {}).get(name) != value]
        image = self._engine_image(ref) if self._engines and self._settings.engine_image else Finished()
        hidden = "the target does not show its environment" if environment is None else ""
        return replace(image, note=join(hidden, image.note)).lacking(lost)

    def _engine_image(self, ref: ProjectRef) -> Finished:
        """Report it when the target's project has, or may have, another engine image than the source's."""
        wanted = self._settings.engine_image
        todo = f"choose the engine image {wanted} in the project's settings, if the target has it"
        try:
            there = engine_image_name(self._v1.projects.engine_image(ref))
        except Rejected as error:
            log.warning("The project's engine image can't be read: %s", error)
            return Finished(f"the target does not show whether its engine image is {wanted}", todo, needs_hand=True)
        if wanted == there:
            return Finished()
        return Finished(f"engine image {there or 'of the target'} instead of {wanted}", todo)


def project_there(connection: Connection, journal: Journal, owner: str) -> tuple[ProjectRef | None, bool]:
    """Return the project that an import would fill (None: there is none yet), and whether it stays as it is.

    One that an earlier import created is found even if it was renamed since. One that an interrupted import began does
    not stay as it is: it is still to be set up.
    """
    v1, section = connection.v1, connection.section
    past = journal.entry(_key(owner, section.name))
    if past and past.target_id:
        with suppress(NotFound):
            there = _read(v1, past)
            if str(there.get("id")) == past.target_id:
                return ProjectRef.from_v1(there, owner), past.done
    found = v1.projects.find(section.name, owner, owner)
    if found is None:
        return None, False
    lost_answer = past is not None and not past.target_id and str(found.get("id")) not in past.before
    ours = lost_answer and _may_be_by(section.workspace.username, found)
    return whole_ref(v1, found, owner), not ours


def _read(v1: ApiV1, past: JournalEntry) -> Record:
    """Ask for the project where the journal says that it is."""
    if not past.place:
        raise NotFound("The journal does not say where the project is.", status=404)
    return v1.projects.get(ProjectRef.at(past.place))


def _may_be_by(username: str, record: Record) -> bool:
    """Tell whether this user may have created a project; for a team, any member with its key may have."""
    return team_of(record) == username or creator_of(record) in {username, ""}
