"""Pictures for the report: inline SVG that takes its colours from the page."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from cmlutils.log import mask

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_WIDTH, _ROW, _LABEL = 520, 26, 140  # picture width, row height, width of the text left of a bar
_BAR = 130  # the length of the longest bar, which leaves room for the text right of it
_LETTERS = 18  # of a label; the tooltip shows all of it


def bars(title: str, rows: Sequence[tuple[str, float, str]]) -> str:
    """Draw one bar a row: label, size, and the text that says how much it is."""
    largest = max((size for _, size, _ in rows), default=0) or 1
    drawn = []
    for number, (label, size, text) in enumerate(rows):
        width = max(_BAR * size / largest, 1.5 if size else 0)
        bar = f'<rect class="bar" x="{_LABEL}" y="{_y(number) - 9}" width="{width:.1f}" height="16" rx="2"/>'
        drawn.append(_label(number, label) + bar + _text(_LABEL + width + 8, number, text))
    return _svg(title, drawn)


def stacks(title: str, rows: Mapping[str, Mapping[str, int]]) -> str:
    """Draw one bar a row, made of parts in their order; a part's name is also its class, which gives the colour."""
    largest = max((sum(parts.values()) for parts in rows.values()), default=0) or 1
    drawn = []
    for number, (label, parts) in enumerate(rows.items()):
        x, shapes = float(_LABEL), ""
        for name, count in parts.items():
            width = max(_BAR * count / largest, 3)
            shapes += (
                f'<rect class="{escape(name)}" x="{x:.1f}" y="{_y(number) - 9}" width="{width:.1f}" height="16">'
                f"<title>{count} {escape(name)}</title></rect>"
            )
            x += width
        text = ", ".join(f"{count} {name}" for name, count in parts.items())
        drawn.append(_label(number, label) + shapes + _text(x + 8, number, text))
    return _svg(title, drawn)


def _y(number: int) -> int:
    return number * _ROW + 14


def _label(number: int, label: str) -> str:
    label = mask(label)
    short = label if len(label) <= _LETTERS else label[: _LETTERS - 1] + "…"
    return (
        f'<text x="{_LABEL - 8}" y="{_y(number) + 4}" text-anchor="end">{escape(short)}'
        f"<title>{escape(label)}</title></text>"
    )


def _text(x: float, number: int, text: str) -> str:
    return f'<text class="value" x="{x:.1f}" y="{_y(number) + 4}">{escape(mask(text))}</text>'


def _svg(title: str, rows: Sequence[str]) -> str:
    height = max(len(rows), 1) * _ROW + 4
    return (
        f'<figure><figcaption>{escape(title)}</figcaption><svg viewBox="0 0 {_WIDTH} {height}" role="img" '
        f'aria-label="{escape(title)}">{"".join(rows)}</svg></figure>'
    )
