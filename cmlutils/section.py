"""A section: which project of which workspace, who migrates it, and where its bundle lives."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

Side = Literal["export", "import"]
SIDES: tuple[Side, Side] = ("export", "import")
KEY_VARIABLES: dict[Side, str] = {
    "export": "CMLUTILS_SOURCE_APIV1_KEY",
    "import": "CMLUTILS_TARGET_APIV1_KEY",
}


class Secret:
    """A text that prints as ***; `reveal()` gives it to the one place that sends it."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """Return the text itself."""
        return self._text

    def __bool__(self) -> bool:
        return bool(self._text)

    def __repr__(self) -> str:
        return "***"

    __str__ = __repr__


@dataclass(frozen=True)
class Workspace:
    """A workspace and who we are there: everything that is needed to talk to it.

    `verify` is exactly what requests takes; `key_command` is run when there is no `api_key` in the file.
    """

    url: str
    username: str
    api_key: Secret
    key_command: tuple[str, ...] = ()
    verify: bool | str = True
    identity_file: Path | None = None

    @property
    def host(self) -> str:
        """The workspace's name in messages: its host, with the port if it has one."""
        return urlsplit(self.url).netloc


class Oddity(NamedTuple):
    """What is odd about an ini file, or (with `in_section`) about some of its sections."""

    file: Path
    text: str
    in_section: bool = False

    def told(self, name: str = "") -> str:
        """Return it as a sentence that names the file, and this section if it is about one."""
        if not self.in_section:
            return self.text
        return f"{self.file}, section [{name}]: {self.text}" if name else f"{self.file}: {self.text}"


@dataclass(frozen=True)
class Section:
    """One project of an ini file; `owner` is empty when the file names none."""

    side: Side
    name: str
    workspace: Workspace
    owner: str
    output_dir: Path
    file: Path
    oddities: tuple[Oddity, ...] = ()

    @property
    def warnings(self) -> list[str]:
        """What is odd about it, in sentences that name file and section."""
        return [one.told(self.name) for one in self.oddities]


def one_output_dir(export: Section, imported: Section) -> bool:
    """Tell whether an import looks for bundles where the export writes them, whatever links lead there."""
    return os.path.realpath(export.output_dir) == os.path.realpath(imported.output_dir)


def by_oddity(sections: Iterable[Section]) -> dict[Oddity, list[Section]]:
    """Return what is odd about these sections, each oddity once, with the sections that it is about."""
    found: dict[Oddity, list[Section]] = {}
    for section in sections:
        for one in section.oddities:
            found.setdefault(one, []).append(section)
    return found
