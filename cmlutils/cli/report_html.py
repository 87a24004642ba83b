"""The report as one self-contained HTML file: no script, nothing to load, readable in print and by night."""

from __future__ import annotations

from collections import defaultdict
from html import escape
from typing import TYPE_CHECKING

from cmlutils import TOOL
from cmlutils.cli.charts import bars, stacks
from cmlutils.cli.render import files_text
from cmlutils.log import mask
from cmlutils.report import join
from cmlutils.units import counted, human_size

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from cmlutils.report import Report

_CHUNK = 200  # rows of a table; a browser lays out only the tables in view
_OPEN = 50  # longer lists are only shown after a click
_MOST = 20_000  # rows of a list; more would choke a browser, and the metrics file has them all
_FOLDERS = 12
Heads = tuple[tuple[str, int], ...]  # titles of columns, and their widths in per cent
_WORKLOAD: Heads = (("kind", 11), ("name", 27), ("outcome", 11), ("note", 51))
_DIFFERENCE: Heads = (("where", 18), ("what", 32), ("bundle", 17), ("found", 17), ("why it is expected", 16))
_STYLE = """
:root { color-scheme: light dark; --text: #1d2125; --paper: #fff; --soft: #5a6470; --line: #d9dee3; --bar: #3b73b9;
  --ok: #2b7a3d; --warn: #9a5b00; --bad: #b3261e; --panel: #f5f7f9; }
@media (prefers-color-scheme: dark) { :root { --text: #e4e7ea; --paper: #16191c; --soft: #9aa5b1; --line: #343a41;
  --bar: #6d9fdc; --ok: #6cc583; --warn: #e0a64b; --bad: #f2857d; --panel: #1e2226; } }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1.2rem;
  color: var(--text); background: var(--paper); }
h1 { font-size: 1.6rem; margin: 0; overflow-wrap: anywhere; } h2 { font-size: 1.15rem; margin: 2rem 0 .5rem; }
.verdict { font-size: 1.1rem; font-weight: 600; border-left: 4px solid; padding: .1rem .8rem; margin: .8rem 0 1.2rem; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .15rem 1rem; margin: 0; }
dt { color: var(--soft); } dd { margin: 0; overflow-wrap: anywhere; }
.figures { display: flex; flex-wrap: wrap; gap: 1rem; }
figure { flex: 1 1 26rem; margin: 0; padding: .8rem 1rem; background: var(--panel); border-radius: 6px; }
figcaption { font-weight: 600; margin-bottom: .4rem; }
svg { width: 100%; max-width: 620px; height: auto; display: block; }
svg text { font-size: 13px; fill: var(--text); } svg .value { fill: var(--soft); } .bar { fill: var(--bar); }
.created, .present, .exported { color: var(--ok); fill: var(--ok); } .present { fill: var(--bar); }
.fallback, .skipped { color: var(--warn); fill: var(--warn); } .failed { color: var(--bad); fill: var(--bad); }
.long > div { content-visibility: auto; contain-intrinsic-size: auto 6000px; }
table { border-collapse: collapse; width: 100%; table-layout: fixed; }
th, td { text-align: left; vertical-align: top; padding: .3rem .6rem; border-bottom: 1px solid var(--line);
  overflow-wrap: anywhere; } th { color: var(--soft); font-weight: 600; }
details { margin: .4rem 0; } summary { cursor: pointer; font-weight: 600; }
.expected summary { color: var(--soft); } ul { margin: .3rem 0; padding-left: 1.2rem; }
.todo { list-style: none; padding: 0; } .todo label { display: flex; gap: .6rem; padding: .2rem 0; }
.todo input { margin-top: .3rem; flex: none; } footer { color: var(--soft); margin: 2.5rem 0 1rem; font-size: .85rem; }
@media print { :root { color-scheme: light; --text: #000; --paper: #fff; --panel: #fff; --line: #bbb; --soft: #444;
  --bar: #3b73b9; --ok: #2b7a3d; --warn: #9a5b00; --bad: #b3261e; }
  body { margin: 0; max-width: none; font-size: 11px; } .long > div { content-visibility: visible; }
  figure, tr, li { break-inside: avoid; } * { print-color-adjust: exact; } }
"""


def page(report: Report) -> str:
    """Return the whole page; every text from outside is escaped and masked."""
    title = f"{report.project}: {report.verb}"
    parts = [
        f"<header><h1>{_text(title)}</h1>{_verdict(report)}{_facts(report)}</header>",
        _moved(report),
        _todo(report),
        _workloads(report),
        _list("Files that need a look", report.file_problems),
        _differences(report),
        _list("Notes", report.notes),
        _phases(report),
    ]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; "
        'img-src data:"><link rel="icon" href="data:,">'
        f"<title>{_text(title)}</title><style>{_STYLE}</style></head><body>{''.join(parts)}"
        f"<footer>{_text(TOOL)}, {_text(report.started_at)}</footer></body></html>\n"
    )


def _text(value: object) -> str:
    return escape(mask(str(value)))


def _verdict(report: Report) -> str:
    code = int(report.exit_code)
    words = {
        0: ("created", "Done."),
        4: ("failed", f"{counted(len(report.unexpected), 'difference')} found."),
        5: ("fallback", "Done, but some workload or file needs a person."),
    }
    look, text = words.get(code, ("failed", f"It did not end well (exit code {code}): {report.error or 'see below'}"))
    if report.verified and code == 0:
        alone = "bundle and target are equal; the source was not compared."
        text = f"Done and verified: {'source, bundle and target are equal.' if report.source else alone}"
    return f'<p class="verdict {look}">{_text(text)}</p>'


def _facts(report: Report) -> str:
    files = report.files
    facts = [
        ("Source", report.source or "–"),
        ("Target", report.target or "–"),
        ("Started", f"{report.started_at}, took {report.seconds} s"),
        ("Verified", {None: "not asked for", True: "equal", False: "differences found"}[report.verified]),
    ]
    if files:
        facts.insert(2, ("Files", files_text(files)))
    return "<dl>" + "".join(f"<dt>{_text(a)}</dt><dd>{_text(b)}</dd>" for a, b in facts) + "</dl>"


def _moved(report: Report) -> str:
    figures = []
    if report.folders:
        rows = [
            (name, float(one["bytes"]), f"{human_size(one['bytes'])}, {counted(one['files'], 'file')}")
            for name, one in sorted(report.folders.items(), key=lambda item: -item[1]["bytes"])
        ]
        if len(rows) > _FOLDERS:
            rest = rows[_FOLDERS - 1 :]
            size = sum(size for _, size, _ in rest)
            rows = [*rows[: _FOLDERS - 1], (f"{len(rest)} more", size, human_size(int(size)))]
        figures.append(bars("Files by folder", rows))
    if report.outcomes:
        counts = report.counts()
        if report.verb == "export":
            counts = {kind: {"exported": sum(one.values())} for kind, one in counts.items()}
        figures.append(stacks("Workloads by outcome", {f"{kind}s": one for kind, one in counts.items()}))
    return f'<h2>What moved</h2><div class="figures">{"".join(figures)}</div>' if figures else ""


def _todo(report: Report) -> str:
    """Return the check list; the end of a long one is a click away."""
    todos = report.all_todos()
    if not todos:
        return ""
    more = todos[_OPEN:]
    rest = f"<details><summary>and {len(more)} more</summary>{_check_list(more)}</details>" if more else ""
    return f"<h2>Left to do</h2>{_check_list(todos[:_OPEN])}{rest}"


def _check_list(texts: Iterable[str]) -> str:
    items = "".join(f'<li><label><input type="checkbox"><span>{_text(one)}</span></label></li>' for one in texts)
    return f'<ul class="todo">{items}</ul>'


def _workloads(report: Report) -> str:
    def state(value: str) -> str:
        word = "exported" if report.verb == "export" else value
        return f'<span class="{word}">{word}</span>'

    rows = [
        (
            _text(one.kind),
            _text(one.name),
            state(one.status.value),
            _text(join(one.note, one.todo)),
        )
        for one in report.outcomes
    ]
    if not rows:
        return ""
    return "<h2>Each workload</h2>" + _folded(counted(len(rows), "row"), _WORKLOAD, rows)


def _differences(report: Report) -> str:
    groups: dict[tuple[bool, str], list[tuple[str, ...]]] = defaultdict(list)
    for one in report.differences:
        row = tuple(_text(text) for text in (one.where, one.what, one.left, one.right, one.note))
        groups[one.expected, one.group.value].append(row)
    parts = []
    for (expected, name), rows in sorted(groups.items()):
        title = f"{'Expected: ' if expected else ''}{name} ({len(rows)})"
        parts.append(
            _folded(title, _DIFFERENCE if expected else _DIFFERENCE[:4], rows, look="expected" if expected else "")
        )
    return f"<h2>Differences</h2>{''.join(parts)}" if parts else ""


def _list(title: str, texts: Sequence[str]) -> str:
    if not texts:
        return ""
    return f"<h2>{_text(title)}</h2>" + _folded(f"{len(texts)}", (("", 100),), [(_text(one),) for one in texts])


def _phases(report: Report) -> str:
    rows = [(name, seconds, f"{seconds:.1f} s") for name, seconds in report.phases.items()]
    return f"<h2>Time by phase</h2>{bars('Seconds', rows)}" if rows else ""


def _folded(title: str, heads: Heads, rows: Sequence[Sequence[str]], look: str = "") -> str:
    """Return tables of some hundred rows each below a title; a long list is closed at first."""
    is_open = " open" if len(rows) <= _OPEN and look != "expected" else ""
    look += " long" if len(rows) > _CHUNK else ""
    chunks = (rows[start : start + _CHUNK] for start in range(0, min(len(rows), _MOST), _CHUNK))
    tables = "".join(_table(heads, chunk) for chunk in chunks)
    if len(rows) > _MOST:
        tables += f"<p>… and {len(rows) - _MOST} more: the metrics file beside this page has them all.</p>"
    return f'<details class="{look}"{is_open}><summary>{_text(title)}</summary>{tables}</details>'


def _table(heads: Heads, rows: Iterable[Sequence[str]]) -> str:
    head = "".join(f'<th style="width:{width}%">{escape(one)}</th>' for one, width in heads)
    body = "".join(f"<tr>{''.join(f'<td>{one}</td>' for one in row[: len(heads)])}</tr>" for row in rows)
    return f"<div><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
