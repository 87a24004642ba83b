"""Files that a comparison found to differ in contents alone: the next copy takes them, however equal they look."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from cmlutils.flows.remaining import SHORT
from cmlutils.wholefile import write_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from cmlutils.entries import Entry


class Unequal:
    """The names of those, kept in a bundle's state; one list a side."""

    def __init__(self, state: Path, side: Literal["source", "target"]) -> None:
        self._path = state / f"unequal-{side}.list"

    def note(self, paths: Iterable[bytes]) -> None:
        """Keep these names alone."""
        names = list(paths)
        if names:
            write_bytes(self._path, b"\0".join(names))
        else:
            self.forget()

    def add(self, paths: Iterable[bytes]) -> None:
        """Keep these names, too."""
        self.note({*self._names(), *paths})

    def forget(self) -> None:
        """There are none any more."""
        self._path.unlink(missing_ok=True)

    def among(self, entries: Mapping[bytes, Entry], asked: Iterable[Entry]) -> list[Entry]:
        """Return those that a listing has as files and nobody has asked for; of very many some, for one copy."""
        names = self._names()
        if not names:
            return []
        names -= {each.path for each in asked}
        found = [entries[name] for name in sorted(names) if name in entries and entries[name].kind == "f"]
        return found[:SHORT]

    def _names(self) -> set[bytes]:
        return {*self._path.read_bytes().split(b"\0")} if self._path.is_file() else set()
