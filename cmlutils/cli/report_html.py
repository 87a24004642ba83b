"""The report as one self-contained HTML file."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from cmlutils.cli.render import human_size
from cmlutils.log import mask

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from cmlutils.report import Report

_STYLE = """
:root { color-scheme: light dark; --ok: #2e7d32; --warn: #b26a00; --bad: #c62828; --line: #8884; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 64rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; width: 100%; margin: .5rem 0 1.5rem; }
th, td { text-align: left; padding: .3rem .6rem; border-bottom: 1px solid var(--line); }
td { overflow-wrap: anywhere; }
.created, .present { color: var(--ok); } .fallback, .skipped { color: var(--warn); }
.failed { color: var(--bad); }
ul.todo { list-style: "☐ "; } .verdict { font-size: 1.2rem; font-weight: 600; }
@media print { body { margin: 0; max-width: none; } }
"""


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(one)}</th>" for one in heads)
    body = "".join(f"<tr>{''.join(f'<td>{one}</td>' for one in row)}</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _text(value: object) -> str:
    return escape(mask(str(value)))


def page(report: Report) -> str:
    """Return the whole page; every text from outside is escaped and masked."""
    data = report.to_json()
    verdict = "done" if report.exit_code == 0 else f"exit code {int(report.exit_code)}: {report.error or 'see below'}"
    facts = [
        ("Source", report.source or "–"),
        ("Target", report.target or "–"),
        ("Started", data["started_at"]),
        ("Took", f"{data['seconds']} s"),
        ("Files", f"{report.files.get('files', 0)}, {human_size(report.files.get('bytes', 0))}"),
        ("Verified", {None: "not asked for", True: "equal", False: "differences found"}[report.verified]),
    ]
    parts = [
        f"<h1>{_text(report.project)}: {_text(report.verb)}</h1>",
        f'<p class="verdict {"created" if report.exit_code == 0 else "failed"}">{_text(verdict)}</p>',
        _table(("", ""), [(_text(a), _text(b)) for a, b in facts]),
        "<h2>What moved</h2>",
        _table(
            ("kind", "name", "outcome", "note"),
            [
                (
                    _text(one.kind),
                    _text(one.name),
                    f'<span class="{one.status.value}">{one.status.value}</span>',
                    _text(one.note),
                )
                for one in report.outcomes
            ],
        ),
    ]
    if report.file_problems:
        parts += [
            "<h2>Files that need a look</h2>",
            _table(("file",), [(_text(p),) for p in report.file_problems]),
        ]
    if report.differences:
        rows = [
            (_text(d.where), _text(d.what), _text(d.left), _text(d.right), "expected" if d.expected else "")
            for d in report.differences
        ]
        parts += ["<h2>Differences</h2>", _table(("where", "what", "bundle", "there", ""), rows)]
    if report.to_do():
        items = "".join(f"<li>{_text(one)}</li>" for one in report.to_do())
        parts += ["<h2>Left to do</h2>", f'<ul class="todo">{items}</ul>']
    phases = [(_text(name), f"{seconds:.1f} s") for name, seconds in report.phases.items()]
    parts += ["<h2>Time by phase</h2>", _table(("phase", "time"), phases)]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>{_text(report.project)}: {_text(report.verb)}</title><style>{_STYLE}</style></head>"
        f"<body>{''.join(parts)}</body></html>\n"
    )
