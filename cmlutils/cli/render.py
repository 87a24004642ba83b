"""Results as text on standard output, for people or as JSON."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from cmlutils.log import masked, one_line

if TYPE_CHECKING:
    from cmlutils.report import Report

_MARKS = {"created": "+", "present": "=", "fallback": "~", "failed": "!", "skipped": "-"}


def human_size(count: int) -> str:
    """Return bytes in the largest unit that keeps the number short."""
    size = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"


def show(report: Report, *, as_json: bool, report_file: str = "") -> None:
    """Print the report."""
    if as_json:
        click.echo(json.dumps(masked(report.to_json()), indent=2))
        return
    for line in _lines(report, report_file):
        click.echo(one_line(line))


def _lines(report: Report, report_file: str) -> list[str]:
    lines = [""]
    if report.files:
        size = human_size(report.files.get("bytes", 0))
        lines.append(
            f"  files         {report.files.get('files', 0)} files, {size}; "
            f"{report.files.get('transferred', 0)} transferred"
        )
    for kind in ("project", "model", "application", "job"):
        for one in report.outcomes:
            if one.kind == kind:
                note = f"  ({one.note})" if one.note else ""
                shown = "exported" if report.verb == "export" else one.status.value
                lines.append(f"  {_MARKS[one.status.value]} {kind:<12}{one.name:<32.60} {shown}{note}")
    lines += [f"  ! file        {problem}" for problem in report.file_problems[:20]]
    if len(report.file_problems) > 20:
        lines.append(f"  ! and {len(report.file_problems) - 20} more files, see the report")
    for row in report.differences[:40]:
        mark = "~" if row.expected else "≠"
        lines.append(f"  {mark} {row.where}: {row.what}: {row.left} / {row.right}")
    if len(report.differences) > 40:
        lines.append(f"  and {len(report.differences) - 40} more differences, see the report")
    if report.verified is not None:
        expected = len(report.differences) - len(report.unexpected)
        lines.append(
            f"  verified: {'equal' if report.verified else f'{len(report.unexpected)} differences'}"
            + (f", {expected} expected differences" if expected else "")
        )
    lines += [f"  note: {one}" for one in report.notes]
    todos = report.to_do()
    if todos:
        lines += ["", "  Left for you:", *(f"  - {one}" for one in todos)]
    if report_file:
        lines += ["", f"  report: {report_file}"]
    return lines
