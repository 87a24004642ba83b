"""List a local tree while something else is done: by GNU find if there is one, else by our own, slower walk."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, TypeVar

from cmlutils.errors import CommandError, TransferError
from cmlutils.filelist import END, find_command, parse_find
from cmlutils.flows.copying.threads import in_thread
from cmlutils.localtree import walk
from cmlutils.remote import process

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator
    from pathlib import Path

    from cmlutils.entries import Entry
    from cmlutils.filelist import Records, Unread

T = TypeVar("T")


@contextlib.contextmanager
def listing_beside(
    root: Path,
    use: Callable[[list[Entry]], T],
    *,
    records: Records | None = None,
    unread: list[Unread] | None = None,
    unlock: bool = False,
) -> Iterator[Callable[[], T]]:
    """List `root` as `walk` does and pass the list to `use`, in a thread during the block; yield how to get the result.

    The yielded function waits for the result of `use`. If find complains, for example of an unreadable folder, `walk`
    lists everything, with `unread` and `unlock`. `records` is as in `parse_find`.
    """
    with contextlib.ExitStack() as stack:
        found = None
        with contextlib.suppress(CommandError):
            argv = find_command(place=os.fsencode(root.absolute()) + b"/.")
            found = stack.enter_context(process.running(argv))

        def listed() -> list[Entry]:
            entries = _all_of(found, records) if found else None
            return list(walk(root, unread=unread, unlock=unlock)) if entries is None else entries

        yield in_thread(lambda: use(listed()))


def _all_of(find: process.Running, records: Records | None) -> list[Entry] | None:
    """Read find's listing; None if it is not GNU find, or complains."""

    def chunks() -> Generator[bytes, None, None]:
        for name, chunk in find.chunks():
            if name == "err":
                return
            yield chunk
        if find.wait(10) == 0:
            yield END + b"\0"

    try:
        return list(parse_find(chunks(), records=records))
    except TransferError:
        return None
    finally:
        find.stop()  # not at the end of the block, hours later, when its process id may belong to another program
