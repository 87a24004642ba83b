"""What a terminal can do: the width of its lines, and whether it shows colours and redraws lines."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING
from unicodedata import category, east_asian_width

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
    """Tell whether lines can be redrawn: on a terminal that knows more than plain lines."""
    return stream.isatty() and environ.get("TERM", "") not in {"dumb", "unknown"}


def columns(stream: TextIO, environ: Mapping[str, str] = os.environ) -> int | None:
    """Return how wide a line may be: $COLUMNS, else the terminal's width; None if there is no limit."""
    if re.fullmatch(r"[0-9]{1,6}", said := environ.get("COLUMNS", "")):
        return max(int(said), _NARROWEST)
    try:
        width = os.get_terminal_size(stream.fileno()).columns
    except (OSError, ValueError):
        return None
    return max(width, _NARROWEST) if width else None


def fold(text: str, width: int | None) -> str:
    """Return the text with lines that are too wide folded and then indented; no word is cut."""
    if width is None:
        return text
    return "\n".join(_folded(line, width) if cells(line) > width else line for line in text.split("\n"))


def _folded(line: str, width: int) -> str:
    margin = " " * (len(line) - len(line.lstrip()) + 4)
    lines = [""]
    for gap, word in re.findall(r"(\s*)(\S+)", line, re.ASCII):
        if lines[-1].strip() and cells(f"{lines[-1]}{gap}{word}") > width:
            lines.append(margin + word)
        else:
            lines[-1] += gap + word
    return "\n".join(lines)


def cells(text: str) -> int:
    """Return how many columns a text takes: East Asian letters, for example, take two, and combining accents none."""
    if text.isascii():
        return len(text)
    return sum(1 + (east_asian_width(one) in "WF") for one in text if category(one) not in {"Mn", "Me", "Cf"})


def padded(text: str, width: int) -> str:
    """Return the text padded with spaces to this width."""
    return text + " " * (width - cells(text))
