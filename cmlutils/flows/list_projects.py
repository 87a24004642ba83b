"""What `cmlutil init` asks a workspace: whether it lets the user in, and which projects the user can migrate."""

from __future__ import annotations

import configparser
import os
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cmlutils import config
from cmlutils.errors import CheckFailed, ConfigError
from cmlutils.flows.connect import as_spelled_there, resolve_key
from cmlutils.project import owner_of
from cmlutils.remote.http import Http
from cmlutils.remote.v1 import ApiV1
from cmlutils.section import Secret, Workspace

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from cmlutils.section import Section, Side


@dataclass(frozen=True)
class ListedProject:
    """A project by name; `owner` is empty when it is the user's own."""

    name: str
    owner: str = ""


def shared_section(side: Side, file: Path, values: Mapping[str, str]) -> Section:
    """Return the section that a future file's [DEFAULT] would be; raise ConfigError, naming the key, if it is wrong."""
    parser = configparser.ConfigParser(interpolation=None, default_section="")  # so that DEFAULT is like any other
    parser.read_dict({"DEFAULT": {key: text for key, text in values.items() if text}})
    return config.section(config.IniFile(side, file, parser, ()), "DEFAULT", os.environ)


def key_from(command: str) -> str:
    """Run the command that prints a legacy API key and return the key; raise ConfigError if it gives none."""
    try:
        words = tuple(shlex.split(command))
    except ValueError as error:
        raise ConfigError("The command for the key has an open quote.", hint="Close it.") from error
    return resolve_key(Workspace(url="", username="", api_key=Secret(""), key_command=words)).api_key.reveal()


def check_user(section: Section) -> None:
    """Ask the workspace for the user; raise an error if address, key or user is wrong."""
    with Http(resolve_key(section.workspace)) as http:
        ApiV1(http).users.migrating(section.workspace.username)


def list_projects(section: Section) -> list[ListedProject]:
    """Return the user's own projects and those of the user's teams, by name; the user's own come first."""
    with Http(resolve_key(section.workspace)) as http:
        v1 = ApiV1(http)
        username = as_spelled_there(v1, section.workspace).username
        owners = {username, *v1.projects.teams_of(username)}
        rows = [(str(row.get("name")), owner_of(row)) for row in v1.projects.visible_to(username)]
    mine = {ListedProject(name, "" if owner == username else owner) for name, owner in rows if owner in owners}
    return sorted(mine, key=lambda one: (one.owner, one.name.casefold(), one.name))


def named_projects(section: Section, names: Sequence[str]) -> list[ListedProject]:
    """Return the projects with exactly these names that the user can see; raise CheckFailed if one does not exist.

    The user's own project is preferred, then a team's, then anybody's. Raises ConfigError if several remain.
    """
    host, found = section.workspace.host, []
    with Http(resolve_key(section.workspace)) as http:
        v1 = ApiV1(http)
        username = as_spelled_there(v1, section.workspace).username
        for name in dict.fromkeys(names):
            row = v1.projects.find(name, username)
            rows = [row] if row else [one for one in v1.projects.visible_to(username, name) if one.get("name") == name]
            if not rows:
                raise CheckFailed(
                    f"{host} shows no project {name!r} to {username}.", hint="Upper and lower case matter in names."
                )
            if len(rows) > 1:
                raise ConfigError(
                    f"{host} has projects {name!r} of {', '.join(sorted(map(owner_of, rows)))}.",
                    hint="Write this section by hand, with owner_username.",
                )
            owner = owner_of(rows[0])
            found.append(ListedProject(name, "" if owner == username else owner))
    return found
