"""Lines of a report as the terminal can show them: folded to its width, with colours where they are wanted."""

from __future__ import annotations

import sys

import click

from cmlutils.screen import coloured, columns, fold

_COLOURS = {"+": "green", "!": "red", "≠": "red", "~": "yellow"}  # by the mark that a line of a report begins with


def say(line: str) -> None:
    """Print a line of a report to standard output, as the terminal can show it."""
    colours = coloured(sys.stdout)
    text = fold(line, columns(sys.stdout))
    words = line.split(maxsplit=1)
    colour = _COLOURS.get(words[0]) if words and colours else None
    click.echo(click.style(text, fg=colour) if colour else text, color=colours)
