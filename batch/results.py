"""What became of each project: in words, as a table, as JSON and as a page."""

from __future__ import annotations

import html
import json
from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from cmlutils import wholefile
from cmlutils.errors import BundleError, ExitCode
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
_KEYS = ("project", "exit_code", "seconds", "log", "verb", "reason", "removed", "after")


@dataclass(frozen=True)
class Result:
    """How one project ended; an exit code of None: it was not run to an end, but for the step that it is `after`.

    `foreseen`: it was a dry run.
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
    """Return the batch's exit code: a signal to us first, then the worst of the projects; not started is failed."""
    if signum:
        return 128 + signum
    return worse(*(ExitCode.FAILED if one.exit_code is None else one.exit_code for one in results))


def reason_of(code: int, output: str, metrics: dict[str, Any]) -> str:
    """Say in a line why a cmlutil did not end well: from its last error, or from its report."""
    if code in {ExitCode.OK, ExitCode.DIFFERENCES, ExitCode.NEEDS_HAND}:
        return _first_trouble(code, metrics)
    errors = [line.partition("error: ")[2] for line in output.splitlines() if line.startswith(("error: ", "Error: "))]
    lines = output.strip().splitlines()
    return errors[-1] if errors else lines[-1] if lines and code else ""


def _first_trouble(code: int, metrics: dict[str, Any]) -> str:
    if code == ExitCode.OK:
        return ""
    if code == ExitCode.DIFFERENCES:
        found = [one for one in metrics.get("differences", []) if not one.get("expected")]
        rows = [f"{one['where']} {one['what']}: {one['left']}, {one['right']}" for one in found]
    else:
        bad = [one for one in metrics.get("outcomes", []) if one.get("status") == "failed" or one.get("needs_hand")]
        rows = [f"{one['kind']} {one['name']}: {one.get('note') or one.get('todo')}" for one in bad]
        rows += [str(one) for one in metrics.get("file_problems", [])]
    more = f" (and {len(rows) - 1} more)" if len(rows) > 1 else ""
    return f"{rows[0]}{more}" if rows else ""


def table(results: Sequence[Result], columns: int | None = None) -> str:
    """Return the results as lines of three columns and the reason, or the log of what went well.

    What is done comes first: one looks at the end. Reasons are folded to so many columns, paths are not: they are there
    to be copied.
    """
    width = max([cells(one.project) for one in results] + [7])
    words = max([len(one.words) for one in results] + [18])
    lines = [f"{'project':<{width}}  {'result':<{words}}  seconds  why, or the log"]
    for one in sorted(results, key=lambda one: one.exit_code != 0):
        why = one.reason or one.log
        row = one_line(f"{padded(one.project, width)}  {one.words:<{words}}  {one.seconds:7.0f}  {why}")
        lines.append(fold(row, columns) if one.reason else row)
    return "\n".join(lines)


def summary(results: Sequence[Result]) -> str:
    """Return how many projects came to what."""
    return ", ".join(f"{number} {words}" for words, number in Counter(one.words for one in results).items())


def write(
    folder: Path, verb: str, began: float, found: Sequence[Result], code: int | None, earlier: Sequence[Result] = ()
) -> None:
    """Write batch-report.json and batch-report.html; a code of None: the batch still runs.

    `earlier` is what is known of projects that this batch leaves alone.
    """
    now = datetime.now(timezone.utc)
    content = {
        "verb": verb,
        "started_at": datetime.fromtimestamp(began, timezone.utc).isoformat(timespec="seconds"),
        "seconds": round(now.timestamp() - began, 1),
        "exit_code": code,
        "projects": [
            {key: getattr(one, key) for key in _KEYS} | {"result": one.words, "earlier": rows is earlier}
            for rows in (earlier, found)
            for one in rows
        ],
    }
    wholefile.write_json(folder / "batch-report.json", content)
    wholefile.write_bytes(folder / "batch-report.html", _page(content, found, earlier).encode("utf-8", "replace"))


def read(folder: Path, verb: str) -> list[Result]:
    """Return the results of the last batch here; raise BundleError unless it was of this verb."""
    path = folder / "batch-report.json"
    try:
        content = wholefile.read_json(path, dict)
    except BundleError as error:
        raise BundleError(error.message, hint="Leave out --only-failed.") from error
    if content.get("verb") != verb:
        raise BundleError(f"{path} is of {content.get('verb')}, not of {verb}.", hint="Name its --report-dir.")
    rows = content.get("projects", [])
    return [Result(**{key: row[key] for key in _KEYS if key in row}) for row in rows]


def before(folder: Path, verb: str) -> dict[str, Result]:
    """Return the last batch's results by project; nothing where there is no report of this verb."""
    try:
        return {one.project: one for one in read(folder, verb)}
    except (BundleError, TypeError):
        return {}


def _page(content: dict[str, Any], found: Sequence[Result], earlier: Sequence[Result]) -> str:
    def row(one: Result) -> str:
        kind = "ok" if one.exit_code == 0 else "hand" if one.exit_code in {4, 5} else "bad"
        cells = (one.project, one.words, one.verb, f"{one.seconds:.0f}", one.reason, one.log)
        return f'<tr class="{kind}">' + "".join(f"<td>{html.escape(cell)}</td>" for cell in cells) + "</tr>"

    results = [*earlier, *found]
    before = f"; of earlier batches: {summary(earlier)}" if earlier else ""
    state = "under way" if content["exit_code"] is None else f"ended with exit code {content['exit_code']}"
    return _HTML.format(
        title=html.escape(f"{content['verb']} of {len(results)} projects"),
        summary=html.escape(
            f"{summary(found)}; {state}{before}. Begun {content['started_at']}, {content['seconds']:.0f} s."
        ),
        rows="\n".join(row(one) for one in results),
    )


_HTML = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title><style>
body {{ font: 15px/1.5 system-ui, sans-serif; margin: 2em; color: #222 }}
table {{ border-collapse: collapse }} td, th {{ padding: .3em .8em; text-align: left; border-bottom: 1px solid #ddd }}
.ok td:nth-child(2) {{ color: #176f2c }} .hand td:nth-child(2) {{ color: #8a5a00 }}
.bad td:nth-child(2) {{ color: #b00020; font-weight: bold }}
</style></head><body><h1>{title}</h1><p>{summary}</p>
<table><tr><th>project</th><th>result</th><th>last step</th><th>seconds</th><th>why</th><th>log</th></tr>
{rows}
</table></body></html>
"""


def metrics_of(path: Path) -> dict[str, Any]:
    """Return what a cmlutil reported, or nothing."""
    try:
        return dict(json.loads(path.read_bytes()))
    except (OSError, ValueError, TypeError):
        return {}
