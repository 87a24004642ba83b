"""Lines of a report as the terminal can show them: folded to its width, with colours where they are wanted."""

from __future__ import annotations

import os
import sys
import textwrap
from typing import TYPE_CHECKING

import click

from cmlutils.log import coloured

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import TextIO

_NARROWEST = 40
_COLOURS = {"+": "green", "!": "red", "≠": "red", "~": "yellow"}  # by the mark that a line of a report begins with


def columns(stream: TextIO, environ: Mapping[str, str] = os.environ) -> int | None:
    """Return how many letters a line may have: $COLUMNS, else the terminal's width; None where there is no limit."""
    if environ.get("COLUMNS", "").isdigit():
        return max(int(environ["COLUMNS"]), _NARROWEST)
    try:
        width = os.get_terminal_size(stream.fileno()).columns
    except (OSError, ValueError):
        return None
    return max(width, _NARROWEST) if width else None


def fold(line: str, width: int | None) -> str:
    """Return a line as several where it is too wide, each after the first further in; no word is cut."""
    if width is None or len(line) <= width:
        return line
    margin = " " * (len(line) - len(line.lstrip()) + 4)
    return "\n".join(
        textwrap.wrap(
            line,
            width,
            subsequent_indent=margin,
            break_long_words=False,
            break_on_hyphens=False,
            replace_whitespace=False,
        )
    )


def say(line: str) -> None:
    """Print a line of a report to standard output, as the terminal can show it."""
    colours = coloured(sys.stdout)
    text = fold(line, columns(sys.stdout))
    words = line.split(maxsplit=1)
    colour = _COLOURS.get(words[0]) if words and colours else None
    click.echo(click.style(text, fg=colour) if colour else text, color=colours)
