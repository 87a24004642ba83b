"""Lines of a report as the terminal can show them: folded to its width, with colours where they are wanted."""

from __future__ import annotations

import io
import os
import sys
from typing import TYPE_CHECKING

import click

from cmlutils.screen import coloured, columns, fold

if TYPE_CHECKING:
    from collections.abc import Iterable

_WIDEST = 30  # so wide a column of names may be
_COLOURS = {  # by the mark or word that a line begins with
    "+": "green", "~": "yellow", "!": "red", "≠": "red", "ok": "green", "warning": "yellow", "error": "red",
}  # fmt: skip


def width_of(names: Iterable[str]) -> int:
    """Return how wide a column of these names is to be."""
    return min(max(map(len, names), default=0), _WIDEST)


def say(line: str) -> None:
    """Print a line of a report to standard output, as the terminal can show it."""
    colours = coloured(sys.stdout)
    text = fold(line, columns(sys.stdout))
    words = line.split(maxsplit=1)
    colour = _COLOURS.get(words[0]) if words and colours else None
    put(click.style(text, fg=colour) if colour else text, colours=colours)


def put(text: str, *, colours: bool | None = None) -> None:
    """Print to standard output; who no longer reads it, as `head`, does not change what the run comes to."""
    try:
        click.echo(text, color=colours)
    except BrokenPipeError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


def usable_streams() -> None:
    """Open what the shell closed (`>&-`), and let letters that the terminal has not be shown by their numbers."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: PTH123, SIM115
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
