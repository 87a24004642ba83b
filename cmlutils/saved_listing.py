"""Listings saved in a file, in the form that find writes; an incomplete one is a TransferError."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cmlutils.errors import TransferError
from cmlutils.filelist import END, SECOND, parse_find
from cmlutils.wholefile import whole_file

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from cmlutils.entries import Entry
    from cmlutils.filelist import Records

_AGAIN = "Run the export again."


def write_list(path: Path, entries: Iterable[Entry]) -> None:
    """Write a listing to a file, in the form that `parse_find` reads; raise BundleError if that fails."""
    with whole_file(path) as file:
        file.write(b"d\x000\x000.0000000000\x00755\0\0\0")
        for name, kind, size, mtime_ns, mode, link in entries:
            seconds, fraction = divmod(mtime_ns, SECOND)
            file.write(b"%b\0%d\0%d.%09d0\0%o\0%b\0%b\0" % (kind.encode(), size, seconds, fraction, mode, name, link))
        file.write(END + b"\0")


def read_list(path: Path, records: Records | None = None) -> Iterator[Entry]:
    """Read what `write_list` wrote; raise TransferError, naming the file, if it is incomplete or no file.

    `records` is as in `parse_find`.
    """
    try:
        with path.open("rb") as file:
            yield from parse_find(iter(lambda: file.read(1 << 20), b""), source=str(path), records=records)
    except OSError as error:
        raise TransferError(f"{path} can't be read: {error.strerror}.", hint=_AGAIN) from error
    except TransferError as error:
        raise TransferError(error.message, hint=_AGAIN) from error
