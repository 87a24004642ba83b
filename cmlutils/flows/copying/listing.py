"""List a project's folder on a workspace: what the rules keep of it, single names, and whether it has changed."""

from __future__ import annotations

import contextlib
import hashlib
import re
import time
from typing import TYPE_CHECKING

from cmlutils.entries import Entry, above, by_path
from cmlutils.errors import ConfigError
from cmlutils.filelist import (
    FIND_FORMAT,
    Unread,
    find_complaints,
    find_script,
    fit_to_prune,
    names_input,
    names_script,
    parse_find,
    parse_names,
)
from cmlutils.flows.copying.retrying import retrying
from cmlutils.ignore import decided
from cmlutils.remote import process, rsync
from cmlutils.remote.tunnel import ANY

if TYPE_CHECKING:
    from collections.abc import Collection, Generator, Iterable, Sequence

    from cmlutils.filelist import Records
    from cmlutils.flows.copying.target_folder import TargetFolder
    from cmlutils.ignore import IgnoreRules
    from cmlutils.remote.tunnel import Tunnel


class KeptListing:
    """A listing after the rules decided: `entries` are kept, `ignored_tops` are the topmost of the ignored ones.

    `unread`: what could not be listed. `digest`: of the listing as it arrived. It took `seconds`, and ended at `ended`
    of the monotonic clock. With `pruned`, the listing lacks what `rules.prunes()` names.
    """

    def __init__(self, entries: Iterable[Entry], rules: IgnoreRules, *, pruned: bool = False) -> None:
        self.entries: dict[bytes, Entry] = {}
        self.unread: list[Unread] = []
        self.ignored_tops: list[Entry] = []
        self.rules, self.digest = rules, b""
        self.seconds = self.ended = 0.0
        rules_left = rules.beyond_prunes() if pruned else rules
        if not rules_left.lines:
            self.entries = by_path(entries)
            return
        for entry, ignored in decided(entries, rules_left):
            if not ignored:
                self.entries[entry.path] = entry
            elif not (parent := entry.path.rpartition(b"/")[0]) or parent in self.entries:
                self.ignored_tops.append(entry)

    def at_root(self, name: bytes) -> Entry | None:
        """Return the entry with this name at the root, ignored or not."""
        return self.entries.get(name) or next((each for each in self.ignored_tops if each.path == name), None)

    def note_unread(self, complaints: Iterable[Unread]) -> None:
        """Keep those complaints that name no path, or one that the rules would keep."""
        ignored_tops = {entry.path for entry in self.ignored_tops}
        for each in complaints:
            path, parent = each.path, each.path.rpartition(b"/")[0]
            unlisted = (not parent or parent in self.entries) and path not in ignored_tops
            ignored = unlisted and path not in self.entries and self.rules.ignored(path, is_dir=False)
            if path in {b"", b"."} or path in self.entries or (unlisted and not ignored):
                self.unread.append(each)

    def excludes(self) -> list[bytes]:
        """Return filter rules with which rsync decides alike: literal names while there are few."""
        if len(self.ignored_tops) > rsync.MAX_LITERALS:
            with contextlib.suppress(ConfigError):  # a pattern that can't be translated
                return self.rules.rsync_filters()
        names = [rsync.literal(b"/" + entry.path, folder=entry.kind == "d") for entry in self.ignored_tops]
        return names + [rsync.literal(name, folder=True) for name in self.rules.prunes()]


def remote_listing(
    tunnel: Tunnel,
    rules: IgnoreRules,
    source: str,
    *,
    ours: TargetFolder | None = None,
    records: Records | None = None,
) -> KeptListing:
    """List the project's folder on the workspace and apply the rules.

    `source` names the listing in errors. On a target, `ours` is left out of the listing, and learns what is in it.
    `records` is as in `parse_find`.
    """

    def listed() -> KeptListing:
        began = time.monotonic()
        err, digest, prunes = bytearray(), hashlib.sha256(), rules.prunes()
        name = ours.name.encode() if ours else b""

        def chunks() -> Generator[bytes, None, None]:
            for chunk in tunnel.stream(find_script(prunes, name), ok=(0, 1), err=err):
                digest.update(chunk)
                yield chunk

        with contextlib.closing(chunks()) as listing:
            entries = parse_find(listing, source=source, records=records)
            found = KeptListing(ours.left_out(entries) if ours else entries, rules, pruned=fit_to_prune(prunes))
        found.note_unread(find_complaints(bytes(err)))
        found.digest, found.ended = digest.digest(), time.monotonic()
        found.seconds = found.ended - began
        return found

    return retrying(tunnel, listed, lasting=False)


def stat_names(
    tunnel: Tunnel, paths: Iterable[bytes], form: str = FIND_FORMAT, *, then: str = "", ok: Sequence[int] = (0,)
) -> process.Result:
    """List only these names on the workspace, by `names_script`, then run another script, whose exit code is in `ok`.

    Without names, nothing is run.
    """
    script, names = f"{names_script(form)}\n{then}", names_input(paths)
    if not names:
        return process.Result(0, b"", b"")
    return retrying(tunnel, lambda: tunnel.run(script, names, timeout=600, ok=ok), lasting=False)


def listed_names(tunnel: Tunnel, names: Collection[bytes]) -> dict[bytes, Entry]:
    """List only these names on the workspace, which must include their folders; no folder is entered through a link."""
    return names_in(stat_names(tunnel, names).out, names)


def names_in(out: bytes, names: Collection[bytes]) -> dict[bytes, Entry]:
    """Return what the output of `names_script` says of these names, as `listed_names` does."""
    found = {entry.path: entry for entry in parse_names(out) if entry.path in names}
    folders = {path for path, entry in found.items() if entry.kind == "d"}
    return {path: entry for path, entry in found.items() if folders.issuperset(above(path))}


def holes_there(tunnel: Tunnel, files: Iterable[Entry]) -> dict[bytes, int]:
    """Return how many bytes of each of these files on the workspace are holes, which take no room; only if any are."""
    sizes = {entry.path: entry.size for entry in files}
    told = (each.partition(b" ./") for each in stat_names(tunnel, sizes, "%b %P\\0").out.split(b"\0"))
    known = {path: int(blocks) for blocks, _, path in told if path in sizes and re.fullmatch(rb"\d{1,20}", blocks)}
    holes = {path: sizes[path] - 512 * blocks for path, blocks in known.items()}
    return {path: size for path, size in holes.items() if size > 0}


def is_unchanged(tunnel: Tunnel, kept: KeptListing) -> bool:
    """List again and tell whether the listing is the same, byte by byte.

    The workspace computes its digest itself; without sha256sum there the listing counts as changed.
    """
    script = f"{{ {find_script(kept.rules.prunes())}; }} 2>/dev/null | sha256sum"
    wanted = kept.digest.hex().encode()

    def same() -> bool:
        said = b""
        with contextlib.closing(tunnel.stream(script, ok=ANY)) as chunks:
            for chunk in chunks:
                said += chunk
                if len(said) > 2 * len(wanted):
                    return False
        return said.split()[:1] == [wanted]

    return retrying(tunnel, same, lasting=False)
