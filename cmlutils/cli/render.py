"""Results as text on standard output, for people or as JSON."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from typing import TYPE_CHECKING

import click

from cmlutils.cli.output import say
from cmlutils.log import masked, one_line
from cmlutils.screen import padded
from cmlutils.units import counted, human_size

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cmlutils.errors import ExitCode
    from cmlutils.plan import Plan
    from cmlutils.report import Difference, Outcome, Report

_MARKS = {"created": "+", "present": "=", "fallback": "~", "failed": "!", "skipped": "-"}
_PLAIN = {"created", "present"}
_ALL = 30  # up to this many workloads are all shown; of more, only those that need a look
_ROWS = 5  # shown of each group of differences
_NOTES = 20


def files_text(counts: Mapping[str, int]) -> str:
    """Sum up a project's files, and how many of them this run had to copy or delete."""
    found = {kind: counts.get(f"{kind}s", 0) for kind in ("file", "folder", "link")}
    kinds = [counted(count, kind) for kind, count in found.items() if count or kind == "file"]
    text = f"{', '.join(kinds)}, {human_size(counts.get('bytes', 0))}"
    new, gone = counts.get("transferred", 0), counts.get("deleted", 0)
    text += f"; {new} new or changed" if new else "; none new or changed"
    return text + (f", {gone} removed" if gone else "")


def json_text(content: object) -> str:
    """Return JSON for standard output or a file, with secrets masked."""
    return json.dumps(masked(content), indent=2, ensure_ascii=False)


def show(report: Report, *, as_json: bool, report_file: str = "") -> None:
    """Print the report."""
    if as_json:
        click.echo(json_text(report.to_json()))
        return
    lines = _lines(report)
    for line in lines if any(lines) else []:
        say(one_line(line))
    if report_file:
        click.echo("")
        click.echo(one_line(f"  report: {report_file}"))  # not folded, so that it can be copied


def show_error(code: ExitCode, message: str, hint: str = "") -> None:
    """Print the failure of a command that has no report as JSON."""
    click.echo(json_text({"exit_code": int(code), "error": message, "hint": hint}))


def _lines(report: Report) -> list[str]:
    lines = [""]
    if report.files:
        lines.append(f"  files         {files_text(report.files)}")
    lines += _outcomes(report.outcomes, exported=report.verb == "export")
    lines += _first([f"  ! file        {problem}" for problem in report.file_problems], "file")
    lines += _differences(report.differences)
    if report.verified is not None:
        expected = len(report.differences) - len(report.unexpected)
        unequal = f"NOT EQUAL: {counted(len(report.unexpected), 'difference')}"
        known = f", {counted(expected, 'expected difference')}" if expected else ""
        lines.append(f"  {'verified: equal' if report.verified else unequal}{known}")
    lines += _first([f"  note: {one}" for one in report.notes], "note")
    todos = report.all_todos()
    if todos:
        lines += ["", "  Left for you:", *_first([f"  - {one}" for one in todos], "line")]
    return lines


def show_plan(plan: Plan, *, as_json: bool) -> None:
    """Print what a dry run found."""
    if as_json:
        click.echo(json_text(plan.to_json()))
        return
    lines = [f"  {plan.verb} of {plan.project}: {plan.source} → {plan.target}", ""]
    if "files" in plan.files:
        lines.append(f"  {'files':<14}{counted(plan.files['files'], 'file')}, {human_size(plan.files['bytes'])}")
    if "free_bytes" in plan.files:
        lines.append(f"  {'disk':<14}{human_size(plan.files['free_bytes'])} free here")
    for one in plan.actions:
        note = f"  ({one.note})" if one.note else ""
        fix = f" → {one.fix}" if one.fix else ""
        lines.append(f"  {one.kind:<14}{padded(one.name[:60], 32)} {one.action.value}{note}{fix}")
    lines += [f"  ! {one}" for one in plan.blockers]
    lines += [f"  ? {one}" for one in plan.unknown]
    counts = ", ".join(f"{count} {action}" for action, count in plan.counts().items())
    lines += ["", f"  Dry run: {counts}. Nothing was written, here or on a workspace."]
    for line in lines:
        say(one_line(line))


def _first(lines: list[str], what: str) -> list[str]:
    more = len(lines) - _NOTES
    return lines if more <= 0 else [*lines[:_NOTES], f"  … and {counted(more, f'more {what}')}, see the report"]


def _outcomes(outcomes: Sequence[Outcome], *, exported: bool) -> list[str]:
    lines = []
    for kind in ("bundle", "project", "model", "application", "job", "hand over"):
        mine = [one for one in outcomes if one.kind == kind]
        told = [one for one in mine if len(outcomes) <= _ALL or one.status.value not in _PLAIN]
        for one in told[:_NOTES]:
            note = f"  ({one.note})" if one.note else ""
            state = "exported" if exported else one.status.value
            lines.append(f"  {_MARKS[one.status.value]} {kind:<12}{padded(one.name[:60], 32)} {state}{note}")
        if len(told[:_NOTES]) < len(mine):
            counts = Counter("exported" if exported else one.status.value for one in mine)
            lines.append(f"    {kind + 's':<12}" + ", ".join(f"{count} {state}" for state, count in counts.items()))
    return lines


def _differences(differences: Sequence[Difference]) -> list[str]:
    """Show a count and the first rows of each group, the expected ones last."""
    groups: dict[tuple[bool, str], list[Difference]] = defaultdict(list)
    for row in differences:
        groups[row.expected, "expected" if row.expected else row.group.value].append(row)
    lines = []
    for (expected, name), rows in sorted(groups.items(), key=lambda item: item[0][0]):
        lines.append(f"  {'~' if expected else '≠'} {name}: {len(rows)}")
        for row in rows[:_ROWS]:
            note = f" ({row.note})" if row.note else ""
            lines.append(f"      {row.where}: {row.what}: {row.left} / {row.right}{note}")
        if len(rows) > _ROWS:
            lines.append(f"      … and {len(rows) - _ROWS} more, see the report")
    return lines
