"""What follows from a listing, worked out in threads while rsync copies: sums, and the list file to be kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from cmlutils.entries import Entry, Totals, totals, totals_by_folder
from cmlutils.errors import CmlutilError
from cmlutils.flows.copying.threads import in_thread
from cmlutils.saved_listing import write_list
from cmlutils.wholefile import writing

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path


class Sums(NamedTuple):
    """The totals of a listing, and the number of files and bytes in each folder at the root."""

    totals: Totals
    folders: dict[str, dict[str, int]]


class Ahead:
    """What follows from a listing: its sums, and the list file to be kept. From `begin` on, both are worked out ahead.

    `draft` is where the list file is written until it is known to be the right one, in a folder of ours.
    """

    def __init__(self, draft: Path) -> None:
        self._draft = draft
        self._entries: Mapping[bytes, Entry] | None = None
        self._sums: Callable[[], Sums]
        self._written: Callable[[], list[Entry] | None] = lambda: None

    def begin(self, entries: Mapping[bytes, Entry], expected: Callable[[], list[Entry]]) -> None:
        """Begin to count this listing, and to write what `expected` returns to the draft."""

        def written() -> list[Entry]:
            found = expected()
            write_list(self._draft, found)
            return found

        self._entries = entries
        self._sums, self._written = in_thread(lambda: _sums_of(entries)), in_thread(written)

    def sums_of(self, entries: Mapping[bytes, Entry]) -> Sums:
        """Return the sums of a listing, which may be a newer one. Can be called once."""
        return self._sums() if entries is self._entries else _sums_of(entries)

    def write_list(self, path: Path, entries: list[Entry]) -> None:
        """Write a list file, by the draft if it holds just these entries; raise BundleError if that fails.

        Can be called once.
        """
        try:
            drafted = self._written()
        except CmlutilError:  # perhaps the disk was full; if it still is, that will be told
            drafted = None
        if drafted == entries:
            with writing(path):
                self._draft.replace(path)
            return
        write_list(path, entries)
        if drafted is not None:
            self._draft.unlink()


def _sums_of(entries: Mapping[bytes, Entry]) -> Sums:
    return Sums(totals(entries.values()), totals_by_folder(entries.values()))
