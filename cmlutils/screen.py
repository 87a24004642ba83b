"""What a terminal can show: how wide its lines are, and whether it takes colours and lines drawn anew."""

from __future__ import annotations

import os
import textwrap
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import TextIO

_NARROWEST = 40


def coloured(stream: TextIO, environ: Mapping[str, str] = os.environ) -> bool:
    """Tell whether colours are wanted: on a terminal or with $FORCE_COLOR, never with $NO_COLOR."""
    if environ.get("NO_COLOR"):
        return False
    return bool(environ.get("FORCE_COLOR")) or can_redraw(stream, environ)


def can_redraw(stream: TextIO, environ: Mapping[str, str] = os.environ) -> bool:
    """Tell whether what was written can be written over: on a terminal that knows more than plain lines."""
    return stream.isatty() and environ.get("TERM", "") not in {"dumb", "unknown"}


def columns(stream: TextIO, environ: Mapping[str, str] = os.environ) -> int | None:
    """Return how many letters a line may have: $COLUMNS, else the terminal's width; None where there is no limit."""
    if environ.get("COLUMNS", "").isdigit():
        return max(int(environ["COLUMNS"]), _NARROWEST)
    try:
        width = os.get_terminal_size(stream.fileno()).columns
    except (OSError, ValueError):
        return None
    return max(width, _NARROWEST) if width else None


def fold(text: str, width: int | None) -> str:
    """Return a text with each line that is too wide as several, those after the first set in; no word is cut."""
    if width is None:
        return text
    return "\n".join(_folded(line, width) if len(line) > width else line for line in text.split("\n"))


def _folded(line: str, width: int) -> str:
    margin = " " * (len(line) - len(line.lstrip()) + 4)
    lines = textwrap.wrap(
        line,
        width,
        subsequent_indent=margin,
        break_long_words=False,
        break_on_hyphens=False,
        replace_whitespace=False,
    )
    return "\n".join(lines)
