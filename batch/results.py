"""The outcome of each project, in words and as a table."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cmlutils.errors import ExitCode
from cmlutils.log import one_line
from cmlutils.screen import cells, fold, padded

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

WORDS = {
    ExitCode.OK: "done",
    ExitCode.FAILED: "failed",
    ExitCode.USAGE: "bad configuration",
    ExitCode.BUG: "bug in cmlutil",
    ExitCode.DIFFERENCES: "differences",
    ExitCode.NEEDS_HAND: "needs a hand",
}
_WORST_FIRST = (ExitCode.BUG, ExitCode.FAILED, ExitCode.USAGE, ExitCode.DIFFERENCES, ExitCode.NEEDS_HAND)
_WIDEST = 50  # the greatest width of the column of names


@dataclass(frozen=True)
class Result:
    """How one project ended. An exit code of None means that it did not finish; `after` is its last step that did.

    `foreseen` means that it was a dry run.
    """

    project: str
    exit_code: int | None = None
    seconds: float = 0.0
    log: str = ""
    verb: str = ""
    reason: str = ""
    removed: bool = False
    after: str = ""
    foreseen: bool = False

    @property
    def words(self) -> str:
        """The exit code in words."""
        if self.exit_code is None and self.after:
            return f"unfinished ({self.after} done)"
        if self.exit_code is None:
            return "unfinished" if self.seconds else "not started"
        if self.exit_code == ExitCode.OK and self.foreseen:
            return "foreseen"
        if self.exit_code > 128:
            return f"ended by signal {self.exit_code - 128}"
        known = self.exit_code in WORDS
        return WORDS[ExitCode(self.exit_code)] if known else f"exit code {self.exit_code}"


def worse(*codes: int | None) -> int:
    """Return the worst of these exit codes; None counts as nothing."""
    bad = [code for code in codes if code]
    others = [code for code in bad if code not in _WORST_FIRST]
    if others:
        return max(others)
    return next((int(code) for code in _WORST_FIRST if code in bad), 0)


def worst(results: Sequence[Result], signum: int) -> int:
    """Return the batch's exit code: that of a signal to us, or the worst of the projects; unfinished means failed."""
    if signum:
        return 128 + signum
    return worse(*(ExitCode.FAILED if one.exit_code is None else one.exit_code for one in results))


def reason_of(code: int, output: str, metrics: dict[str, Any]) -> str:
    """Return in one line why a cmlutil did not end well: its last error or obstacle, or what its report says."""
    if code == ExitCode.OK:
        return ""
    if code in {ExitCode.DIFFERENCES, ExitCode.NEEDS_HAND}:
        return _first_trouble(metrics)
    lines = output.strip().splitlines()
    errors = [line.partition(": ")[2] for line in lines if line.startswith(("error: ", "Error: "))]
    obstacles = [line.removeprefix("  ! ") for line in lines if line.startswith("  ! ")]  # of a dry run
    return (errors or obstacles or lines or [""])[-1]


def _first_trouble(metrics: dict[str, Any]) -> str:
    """Return the first of what failed or, if nothing did, of what differs: a difference may only follow from that."""
    bad = [one for one in metrics.get("outcomes", []) if one.get("status") == "failed" or one.get("needs_hand")]
    rows = [f"{one['kind']} {one['name']}: {one.get('note') or one.get('todo')}" for one in bad]
    rows += [str(one) for one in metrics.get("file_problems", [])]
    found = [one for one in metrics.get("differences", []) if not one.get("expected")]
    rows += [f"{one['where']} {one['what']}: {one['left']}, {one['right']}" for one in found]
    more = f" (and {len(rows) - 1} more)" if len(rows) > 1 else ""
    return f"{rows[0]}{more}" if rows else ""


def table(results: Sequence[Result], columns: int | None = None) -> str:
    """Return the results as a table: project, result, seconds, and the reason or, if there is none, the log.

    Projects that are done come first, since people look at the end. Reasons are wrapped to this many columns; paths are
    not, so that they can be copied.
    """
    width = min(max([cells(one.project) for one in results] + [7]), _WIDEST)
    words = max([len(one.words) for one in results] + [18])
    lines = [f"{'project':<{width}}  {'result':<{words}}  seconds  why, or the log"]
    for one in sorted(results, key=lambda one: one.exit_code != 0):
        why = one.reason or one.log
        row = one_line(f"{padded(one.project, width)}  {one.words:<{words}}  {one.seconds:7.0f}  {why}")
        lines.append(fold(row, columns) if one.reason else row)
    return "\n".join(lines)


def summary(results: Sequence[Result]) -> str:
    """Return one line that says how many projects ended with each result."""
    return ", ".join(f"{number} {words}" for words, number in Counter(one.words for one in results).items())


def metrics_of(path: Path) -> dict[str, Any]:
    """Return the metrics that a cmlutil wrote to this file; empty if it can't be read."""
    try:
        return dict(json.loads(path.read_bytes()))
    except (OSError, ValueError, TypeError):
        return {}
