"""A project: its address on a workspace, and its settings."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cmlutils.errors import ApiError, BundleError
from cmlutils.ours import OURS
from cmlutils.reader import Reader

if TYPE_CHECKING:
    from collections.abc import Mapping

LEGACY_ENGINE, ML_RUNTIME = "legacy_engine", "ml_runtime"


def engine_image_name(image: Mapping[str, Any]) -> str:
    """Return an engine image as repository:tag; empty when there is none."""
    return f"{image.get('repository')}:{image.get('tag')}" if image.get("repository") else ""


def owner_of(record: Mapping[str, Any]) -> str:
    """Return the user name of a project's owner; empty if the workspace's record does not say it."""
    return _username(record.get("owner"))


def creator_of(record: Mapping[str, Any]) -> str:
    """Return the user name of a project's creator; empty if the workspace's record does not say it."""
    return _username(record.get("creator"))


def team_of(record: Mapping[str, Any]) -> str:
    """Return the team that owns a project; empty if a user owns it."""
    owner = record.get("owner")
    return _username(owner) if isinstance(owner, dict) and owner.get("type") == "organization" else ""


def _username(person: object) -> str:
    name = person.get("username") if isinstance(person, dict) else ""
    return name if isinstance(name, str) else ""


def _part(text: str, what: str) -> str:
    """Return an owner or slug that can be part of a path and of a command line."""
    if not text or len(text) > 300 or text[0] == "-" or "/" in text or not text.isprintable():
        raise ApiError(f"{what} is unusable: {text[:80]!r}.")
    return text


@dataclass(frozen=True)
class ProjectRef:
    """A project on a workspace: owner and slug form its path; id identifies it in v1, public_id in v2."""

    owner: str
    slug: str
    id: int
    name: str
    public_id: str = ""
    engine_type: str = ML_RUNTIME

    @property
    def path(self) -> str:
        """The project as owner/slug, the form that cdswctl takes."""
        return f"{self.owner}/{self.slug}"

    @classmethod
    def at(cls, path: str) -> ProjectRef:
        """Return a reference for a project of which only owner/slug is known, enough to ask for the rest."""
        owner, _, slug = path.partition("/")
        return cls(owner, slug, 0, "")

    @classmethod
    def from_v1(cls, reply: object, owner: str = "") -> ProjectRef:
        """Read a project as the workspace shows it. The slug is taken from there and never computed from the name."""
        top = Reader.of("Project", reply)
        both = top.text("slug").rpartition("/")
        number = top.whole("id")
        if number <= 0:
            raise ApiError(f"{top.what} has no usable 'id'.")
        return cls(
            owner=_part(owner or top.inner("owner").text("username") or both[0], f"{top.what}: its owner"),
            slug=_part(top.text("slug_raw") or both[2], f"{top.what}: its slug"),
            id=number,
            name=top.required_text("name"),
            public_id=top.text("public_identifier"),
            engine_type=top.text("default_project_engine_type", ML_RUNTIME),
        )


@dataclass(frozen=True)
class ProjectSettings:
    """What project-metadata.json holds; a workspace that does not show collaborators seems to have none of them."""

    name: str
    description: str = ""
    visibility: str = "private"
    shared_memory_limit: int = 0
    engine_type: str = ML_RUNTIME
    environment: Mapping[str, str] = field(default_factory=dict)
    owner: str = ""
    team: str = ""
    collaborators: tuple[Mapping[str, Any], ...] = ()
    engine_image: str = ""  # repository:tag, of a project on legacy engines
    shows_collaborators: bool = True

    @classmethod
    def from_v1(
        cls,
        reply: object,
        environment: Mapping[str, str],
        collaborators: list[dict[str, Any]] | None,
        engine_image: str = "",
    ) -> ProjectSettings:
        """Read GET projects/{owner}/{slug}, its environment, collaborators (None: not shown) and engine image."""
        top = Reader(reply, "The project")
        owner = top.inner("owner")
        return cls(
            name=top.required_text("name"),
            description=top.text("description"),
            visibility=top.text("project_visibility", "private"),
            shared_memory_limit=top.whole("shared_memory_limit"),
            engine_type=top.text("default_project_engine_type", ML_RUNTIME),
            environment=dict(environment),
            owner=owner.text("username"),
            team=owner.text("username") if owner.text("type") == "organization" else "",
            collaborators=tuple(
                {"username": name, "permissions": one.text("permissions") or "read"}
                for one in (Reader(person, f"{top.what}, a collaborator") for person in collaborators or ())
                if (name := one.text("username"))  # a deleted user may have none
            ),
            engine_image=engine_image,
            shows_collaborators=collaborators is not None,
        )

    def to_bundle(self) -> dict[str, Any]:
        """Return the content of project-metadata.json."""
        record: dict[str, Any] = {
            "name": self.name,
            "description": self.description,
            "visibility": self.visibility,
            "shared_memory_limit": self.shared_memory_limit,
            "template": "blank",
            "environment": dict(self.environment),
            "original_owner_username": self.owner,
            OURS: {
                "engine_type": self.engine_type,
                "team": self.team,
                "collaborators": [dict(one) for one in self.collaborators],
                "engine_image": self.engine_image,
            },
        }
        if self.team:
            record["team_name"] = self.team
        if self.engine_type == LEGACY_ENGINE:
            record["default_project_engine_type"] = LEGACY_ENGINE
        return record

    @classmethod
    def from_bundle(cls, record: object) -> ProjectSettings:
        """Read project-metadata.json, written by us or by cloudera/cmlutils."""
        top = Reader(record, "project-metadata.json", BundleError)
        ours = top.inner(OURS)
        people = ours.items("collaborators")
        owner = top.text("original_owner_username")
        team = ours.text("team")
        if OURS not in top.data and top.text("team_name"):
            team = owner or top.text("team_name")  # in a foreign bundle, team_name is the user who ran the export
        return cls(
            name=top.required_text("name"),
            description=top.text("description"),
            visibility=top.text("visibility", "private"),
            shared_memory_limit=top.whole("shared_memory_limit"),
            engine_type=ours.text("engine_type", top.text("default_project_engine_type", ML_RUNTIME)),
            environment=top.environment(),
            owner=owner,
            team=team,
            collaborators=tuple(Reader(one, f"{top.what}: a collaborator", BundleError).data for one in people),
            engine_image=ours.text("engine_image"),
        )
