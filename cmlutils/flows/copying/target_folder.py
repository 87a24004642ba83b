"""Our folder at the root of a target while an import runs: new files grow in it until they are complete."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, NamedTuple

from cmlutils.disk import PROBE_MTIME, resolution_of
from cmlutils.errors import TransferError
from cmlutils.filelist import SECOND, nanoseconds
from cmlutils.flows.copying.listing import names_in, stat_names
from cmlutils.flows.copying.room import free_space_text
from cmlutils.flows.copying.whole_names import whole_names, with_whole_names
from cmlutils.remote import process
from cmlutils.remote.rsync import Complaint
from cmlutils.remote.tunnel import ANY

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from cmlutils.entries import Entry
    from cmlutils.remote.tunnel import Tunnel

TEMP_NAME = b".cmlutil-tmp"
IN_THE_WAY, GONE = 45, 46


def temp_name_beside(names: Collection[bytes]) -> str:
    """Choose a name for the folder that is not among these names of the project."""
    name, number = TEMP_NAME, 0
    while name in names:
        number += 1
        name = TEMP_NAME + b"-%d" % number
    return name.decode()


def for_touch(time: int) -> str:
    """Return a time in nanoseconds in the form that `touch -d @` takes."""
    return f"{'-' if time < 0 else ''}{abs(time) // SECOND}.{abs(time) % SECOND:09d}"


# In all these scripts $ours is our folder's name, a plain word, as `temp_name_beside` chooses it.
# Deletes the files of a killed rsync; find follows no link.
_SWEEP = """find "$ours" -mindepth 1 -maxdepth 1 -type f -name '*.??????' -delete"""
_OPEN = rf"""
umask 077
for each in "$ours" "$ours/new"; do
    if [ -L "$each" ] || {{ [ -e "$each" ] && [ ! -d "$each" ]; }}; then exit {IN_THE_WAY}; fi
done
printf '%s\000' "$PWD"
find . -maxdepth 0 -printf '%m %T@\000'
mkdir -p "$ours/new" && {{ touch -d @{for_touch(PROBE_MTIME)} "$ours/time" || : >"$ours/time"; }} &&
find "$ours/time" -printf '%T@\000' || exit
{_SWEEP} 2>/dev/null
rsync --version
"""
_CLOSE = rf"""
[ -L "$ours" ] || {{
    chmod -R u+rwx "$ours/new"
    rm -rf "$ours/new" "$ours/time"
    {_SWEEP}
    rmdir "$ours"
}} 2>/dev/null
true
"""
_CLOSE_IF_EMPTY = rf"""
[ -L "$ours" ] || {{ {_SWEEP}; rmdir "$ours/new" && rm -f "$ours/time"; rmdir "$ours"; }} 2>/dev/null
"""
# A read-only folder can't be moved, so it gets write permission until it has been moved.
_MOVE = r"""
cd "$ours/new" && xargs -0 sh -c '
    for each; do
        goal=../../$each locked=
        if [ -e "$goal" ] || [ -L "$goal" ]; then continue; fi
        [ -L "./$each" ] || [ ! -d "./$each" ] || [ -w "./$each" ] || { locked=1; chmod u+w "./$each"; }
        mv -fT "./$each" "$goal" && [ "$locked" ] && chmod u-w "$goal"
    done
' sh
true
"""
# The input consists of pairs: a path, and what find prints for the file if it is complete. No folder is entered
# through a link, and folders into which files are moved keep their times. For a file that can't be moved, its path and
# the reason are printed.
_LAND = r"""
root=$(pwd -P) LC_ALL=C
export ours root LC_ALL
xargs -0 -n 2 sh -c '
    from=$root/$ours/new/$1 to=$root/$1 name=./${1##*/} clock=$root/$ours/time locked=
    [ "$2" ] && cd -P "${from%/*}" && [ "$PWD" = "${from%/*}" ] && [ -f "$name" ] && [ ! -L "$name" ] || exit 0
    case $(find "$name" -maxdepth 0 -printf "%s %T@") in "$2"*) ;; *) chmod u+w "$name"; exit 0 ;; esac
    [ -w . ] || chmod u+w .
    cd -P "${to%/*}" && [ "$PWD" = "${to%/*}" ] && touch -r . "$clock" || exit 0
    [ -w . ] || { locked=1; chmod u+w .; }
    if [ -d "$name" ]; then rmdir "$name" 2>/dev/null || [ ! -L "$name" ] || rm -f "$name"; fi
    said=$(mv -fT "$from" "$name" 2>&1) || printf "%s\\000%s\\000" "$1" "${said##*: }"
    touch -r "$clock" .
    [ -z "$locked" ] || chmod u-w .
' sh
"""
_FREE = r"""
df -Pk . | awk 'NR == 2 {printf "%.0f\n", $4 * 1024}'
df -Pi . 2>/dev/null | awk 'NR == 2 && $2 > 0 {print $4}'
"""


class Root(NamedTuple):
    """The project's root: path, mode and mtime resolution, and the output of `rsync --version` there."""

    path: str
    mode: int
    resolution_ns: int
    versions: bytes


class TargetFolder:
    """The folder `name` at the root of the project behind the tunnel.

    As of the last listing: `found`: it exists. `partial_bytes`: the size of all files in it. `grown`: what an
    interrupted copy left in staging, by its path in the project.
    """

    def __init__(self, tunnel: Tunnel, name: str) -> None:
        self.tunnel, self.name = tunnel, name
        self.opened, self._time, self._resolution_ns = False, "", 1
        self.found, self.partial_bytes = False, 0
        self.grown: dict[bytes, Entry] = {}

    def left_out(self, entries: Iterable[Entry]) -> Iterator[Entry]:
        """Yield the entries of a listing without this folder, and note what is in the folder."""
        self.found, self.partial_bytes, self.grown = False, 0, {}
        name = self.name.encode()
        inside, staging = name + b"/", name + b"/new/"
        for entry in entries:
            if entry.path != name and not entry.path.startswith(inside):
                yield entry
                continue
            self.found = True
            self.partial_bytes += entry.size if entry.kind == "f" else 0
            if entry.path.startswith(staging):
                self.grown[entry.path.removeprefix(staging)] = entry

    def open(self) -> Root:
        """Create it, and remove what a killed rsync left in it; raise TransferError if it can't be created."""
        self.opened = True
        said = self._run(_OPEN, ok=ANY)
        if said.code == IN_THE_WAY:
            raise TransferError(
                f"The target has a {self.name} of its own, which is in the way.", hint="Rename it there."
            )
        home, _, rest = said.out.partition(b"\0")
        root, _, rest = rest.partition(b"\0")
        kept, _, versions = rest.partition(b"\0")
        match = re.fullmatch(rb"([0-7]{1,5}) (-?\d{1,20}\.\d{1,20})", root)
        if match is None or not home.startswith(b"/") or (said.code and b"rsync" not in said.err):
            reason = process.text(said.err)
            raise TransferError(f"The project's folder on the workspace can't be written to: {reason}")
        self._time = self._time or for_touch(nanoseconds(match[2]))
        self._resolution_ns = resolution_of(nanoseconds(kept)) if re.fullmatch(rb"\d{10}\.\d{10}", kept) else 1
        path = os.fsdecode(home.rstrip(b"/"))
        return Root(path, int(match[1], 8), self._resolution_ns, b"" if said.code else versions)

    def move_in(self, names: Sequence[bytes]) -> None:
        """Move these names from staging to the root, unless something is there."""
        self._run(with_whole_names(_MOVE), whole_names(names), timeout=600, ok=ANY)

    def land(self, files: Iterable[Entry]) -> list[Complaint]:
        """Move those of these files that are complete from staging to their places, if their folders are there."""
        kept = ((each, each.mtime_ns // self._resolution_ns * self._resolution_ns) for each in files)
        pairs = ((each.path, b"%d %d.%09d" % (each.size, *divmod(time, SECOND))) for each, time in kept)
        listed = whole_names(field for pair in pairs for field in pair)
        self.tunnel.prepare(3)  # one for this, and two for what may come next
        said = self._run(with_whole_names(_LAND), listed, timeout=600, ok=ANY)
        fields = said.out.split(b"\0")
        return [
            Complaint(path, f"it can't be moved to its place: {process.text(reason)}")
            for path, reason in zip(fields[::2], fields[1::2], strict=False)
        ]

    def free(self) -> str:
        """Say how many bytes are free there, and how many inodes, where they are counted."""
        said = self.tunnel.run(_FREE, ok=ANY).out.decode("ascii", "replace").split()
        return free_space_text(*(int(number) for number in said if number.isdigit() and len(number) < 20))

    def remove(self) -> None:
        """Remove it, and restore the root's mtime."""
        self._run(_CLOSE + self._restored, timeout=600)

    def list_and_remove(self, names: Collection[bytes]) -> dict[bytes, Entry]:
        """List only these names as `listed_names` does, then remove the folder unless there is something in it."""
        closing = f'ours={self.name}\n{_CLOSE_IF_EMPTY}{self._restored}\n[ -e "$ours/new" ] || exit {GONE}'
        said = stat_names(self.tunnel, names, then=closing, ok=(0, GONE))
        if said.code == GONE:
            self.opened = self.found = False
        return names_in(said.out, names)

    @property
    def _restored(self) -> str:
        """A command that restores the root's mtime."""
        return f"touch -d @{self._time} . 2>/dev/null; true" if self._time else "true"

    def leave(self) -> None:
        """Keep it for the next import, without files that can't be continued."""
        self._run(_SWEEP, timeout=2)

    def _run(self, script: str, data: bytes = b"", *, timeout: float = 60, ok: Sequence[int] = (0,)) -> process.Result:
        return self.tunnel.run(f"ours={self.name}\n{script}", data, timeout=timeout, ok=ok)
