"""What follows from a listing, worked out in threads while rsync copies: sums, and the list file to be kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from cmlutils.entries import Entry, Totals, totals, totals_by_folder
from cmlutils.errors import CmlutilError
from cmlutils.flows.copying.threads import in_thread
from cmlutils.listfile import write_list
from cmlutils.wholefile import writing

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path


class Sums(NamedTuple):
    """The totals of a listing, and the number of files and bytes in each folder at the root."""

    totals: Totals
    folders: dict[str, dict[str, int]]


def sums_of(entries: Mapping[bytes, Entry]) -> Sums:
    """Count a listing."""
    return Sums(totals(entries.values()), totals_by_folder(entries.values()))


class Ahead:
    """The sums of a listing, and the list file that will be kept if all goes well, both worked out from now on.

    `draft` is where the list file is written, in a folder of ours; `expected` returns what it holds.
    """

    def __init__(self, entries: Mapping[bytes, Entry], draft: Path, expected: Callable[[], list[Entry]]) -> None:
        self._entries, self._draft = entries, draft

        def written() -> list[Entry]:
            found = expected()
            write_list(draft, found)
            return found

        self._sums, self._written = in_thread(lambda: sums_of(entries)), in_thread(written)

    def sums_of(self, entries: Mapping[bytes, Entry]) -> Sums:
        """Return the sums of a listing, which may be a newer one. Can be called once."""
        return self._sums() if entries is self._entries else sums_of(entries)

    def write_list(self, path: Path, entries: list[Entry]) -> None:
        """Write a list file, by the draft if it holds just these entries; raise BundleError if that fails.

        Can be called once.
        """
        try:
            fits = self._written() == entries
        except CmlutilError:  # perhaps the disk was full; if it still is, that will be told
            fits = False
        if fits:
            with writing(path):
                self._draft.replace(path)
        else:
            write_list(path, entries)
            self._draft.unlink(missing_ok=True)
