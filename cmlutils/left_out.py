"""Environment values that an export left out of its bundle: a mark takes their place until they are filled in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from cmlutils import paths
from cmlutils.bundle import METADATA
from cmlutils.reader import MARK
from cmlutils.wholefile import read_json

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from cmlutils.bundle import Bundle


def leave_out(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return a bundle's record in which the mark replaces each value of an environment."""
    left = {key: leave_out(one) if isinstance(one, dict) else one for key, one in record.items()}
    if isinstance(left.get("environment"), dict):
        left["environment"] = dict.fromkeys(left["environment"], MARK)
    return left


class LeftOut(NamedTuple):
    """An environment value that is not in a bundle: whose ("project", "job ingest"), and which variable."""

    owner: str
    variable: str

    def __str__(self) -> str:
        return f"{self.variable} of {'the project' if self.owner == 'project' else self.owner}"


def to_fill_in(bundle: Bundle) -> list[LeftOut]:
    """Return each value that an export left out of this bundle."""
    found = []
    for part in METADATA:
        path = bundle.metadata(part)
        if not paths.exists(path):
            continue
        content = read_json(path, dict if part == "project" else list)
        for record in [content] if part == "project" else content:
            owner = "project" if part == "project" else f"{part.removesuffix('s')} {record.get('name')}"
            found += [LeftOut(owner, name) for name in _marked(record)]
    return found


def _marked(record: Mapping[str, Any]) -> Iterator[str]:
    for holder in (record, *record.values()):
        environment = holder.get("environment") if isinstance(holder, dict) else None
        if isinstance(environment, dict):
            yield from (name for name, value in environment.items() if value == MARK)
