"""The bundle's side of a push: what is in it, and what of that an earlier push has put on the target already."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from cmlutils.filelist import read_list
from cmlutils.flows.ignore_files import import_rules
from cmlutils.flows.transfer import Kept, local_errors, meanwhile
from cmlutils.localtree import walk

if TYPE_CHECKING:
    from pathlib import Path

    from cmlutils.entries import Entry
    from cmlutils.filelist import Unread


class Contents(NamedTuple):
    """What the bundle has, and of what an earlier push put there: paths in it, and what it has not, or not so."""

    local: Kept
    mine: set[bytes]
    put: list[Entry]


class BundleFiles:
    """Reads the bundle from its creation on, beside what else is done until `read` is called.

    `memory` is the file that remembers what an earlier push put there.
    """

    def __init__(self, data: Path, memory: Path) -> None:
        self.data, self.memory = data, memory
        with local_errors(data):
            self.rules, self.rules_text = import_rules(data)
        self.read = meanwhile(self._read)

    def _read(self) -> Contents:
        unread: list[Unread] = []
        local = Kept(walk(self.data, unread=unread), self.rules)
        local.note_unread(unread)
        mine, put = set[bytes](), list["Entry"]()
        for each in read_list(self.memory) if self.memory.exists() else ():
            here = local.entries.get(each.path)
            if here is not None:
                mine.add(here.path)
            if here != each:
                put.append(each)
        return Contents(local, mine, put)
