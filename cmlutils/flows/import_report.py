"""What an import reports besides outcomes of workloads: what the bundle lacks, and what it did not get to."""

from __future__ import annotations

import logging
from collections import Counter
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from cmlutils.errors import BundleError, CmlutilError
from cmlutils.flows.replaying.journal_keys import named
from cmlutils.left_out import to_fill_in
from cmlutils.metadata import read_metadata
from cmlutils.report import Outcome, Status

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from cmlutils.bundle import Bundle
    from cmlutils.report import Report

log = logging.getLogger(__name__)
_NO_MANIFEST = (
    "The bundle has no manifest, though cmlutil wrote it, so its export may not have finished: verify the import, "
    "or export again."
)
_FOREIGN = (
    "The bundle has no manifest, so cloudera/cmlutils wrote it. It does not hold collaborators; resources, replicas, "
    "visibility, environment and examples of models; notifications of jobs; add-ons; exact runtime images."
)


@contextmanager
def completed(bundle: Bundle, report: Report, calls: Mapping[str, int]) -> Iterator[None]:
    """Complete the report however the block ends: with what it did not get to, and the number of calls by method.

    What is left for a person to do is kept in the bundle for a later validation.
    """
    try:
        yield
    except CmlutilError:
        _report_what_was_not_reached(bundle, report)
        raise
    finally:
        told = ", ".join(f"{count} {method}" for method, count in sorted(calls.items()))
        report.notes.append(f"Calls of the target's API by the import: {sum(calls.values())} ({told}).")
        try:
            bundle.keep_todos(report.all_todos())
        except BundleError as error:  # not raised: what ended the import matters more
            log.warning("%s", error)


def _report_what_was_not_reached(bundle: Bundle, report: Report) -> None:
    """Add an outcome for each workload that a failed run did not get to."""
    told = Counter((one.kind, one.name) for one in report.outcomes)
    with suppress(BundleError):
        for one in read_metadata(bundle).workloads():
            if told[one.kind, one.name]:
                told[one.kind, one.name] -= 1
            else:
                note = "the import ended before this was done"
                report.outcomes.append(Outcome(one.kind, one.name, Status.SKIPPED, note=note))


def report_what_is_lacking(bundle: Bundle, report: Report) -> None:
    """Report what the bundle does not hold: values that were left out, and what cloudera/cmlutils does not export.

    cloudera/cmlutils always writes a list for each kind of workload, so a missing list means that its export died.
    """
    if bundle.foreign:
        report.notes.append(_NO_MANIFEST if bundle.lost_manifest else _FOREIGN)
        log.warning("%s", report.notes[-1])
    report.todos += [f"Set {one}: its value is not in the bundle." for one in to_fill_in(bundle)]
    report.outcomes += [
        Outcome(
            "bundle",
            f"{part}-metadata.json",
            Status.SKIPPED,
            note=f"it is not there, so the export did not finish, and no {part} are imported",
            todo="Export the project again, then import it.",
            needs_hand=True,
        )
        for part in bundle.missing_metadata()
    ]


def left_elsewhere(keys: Iterable[str]) -> list[str]:
    """Return a to-do for each of these journal keys, whose things were begun in a project that can't be found now."""
    return [
        f"An interrupted import began {what.kind} {what.name} in a project that can't be found any more: if it still "
        "exists (as somebody else's, perhaps), check whether it runs, and stop it."
        for what in map(named, keys)
        if what
    ]
