"""What a pull or a push did, and its problems in words."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING

from cmlutils.filelist import Unread, quoted

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from cmlutils.entries import Differences, Totals
    from cmlutils.remote import rsync
    from cmlutils.report import Report


@dataclass(frozen=True)
class FileResult:
    """What `pull` or `push` did.

    `problems`: what still differs. `skipped`: what can't be carried over. `notes`: what else is worth knowing.
    `folders`: the number of files and bytes in each folder at the root.
    """

    totals: Totals
    transferred: int = 0
    deleted: int = 0
    kept_extras: int = 0
    problems: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    folders: dict[str, dict[str, int]] = field(default_factory=dict)


def note_files(report: Report, result: FileResult) -> None:
    """Add what became of the files to the report."""
    report.files = {
        "files": result.totals.files,
        "folders": result.totals.folders,
        "links": result.totals.links,
        "bytes": result.totals.bytes,
        "transferred": result.transferred,
        "deleted": result.deleted,
        "kept_extras": result.kept_extras,
    }
    report.folders = result.folders
    report.file_problems += result.problems
    report.notes += result.notes
    if result.kept_extras:
        report.notes.append(f"Files and folders that were made on the target, and stay: {result.kept_extras}.")
    report.notes += [f"not carried (socket, pipe or device): {name}" for name in result.skipped]


def problems_of(
    left: Differences, complaints: Iterable[rsync.Complaint], known: Mapping[bytes, str] = MappingProxyType({})
) -> tuple[str, ...]:
    """Name what still differs, with rsync's reason if it gave one, or with a better one that is `known`."""
    reasons: dict[bytes, list[rsync.Complaint]] = {}
    for each in complaints:
        reasons.setdefault(each.path.rpartition(b"/")[2], []).append(each)
    found = [(entry, "missing") for entry in left.only_left]
    found += [(each.wanted, "differs in " + ", ".join(each.what)) for each in left.changed]
    told = []
    for entry, what in found:
        near = reasons.get(entry.path.rpartition(b"/")[2], ())
        why = [reason for path, reason in near if (b"/" + path).endswith(b"/" + entry.path)]
        if entry.path in known:
            why = [known[entry.path]]
        told.append(f"{quoted(entry.path)}: {why[0] if why else what}")
    return tuple(told)


def unread_of(unread: Iterable[Unread]) -> tuple[str, ...]:
    """Name what a listing could not read; what disappeared meanwhile is no problem."""
    return tuple(f"{quoted(each.path)}: {each.reason}" for each in unread if not each.vanished)


def specials_of(left: Differences) -> tuple[str, ...]:
    """Name the pipes, sockets and devices, which are not carried."""
    return tuple(quoted(entry.path) for entry in left.not_carried)
