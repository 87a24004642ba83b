"""What is printed: lines folded to the terminal's width and coloured, and streams that may be full or gone."""

from __future__ import annotations

import io
import os
import sys
from typing import TYPE_CHECKING

import click

from cmlutils.errors import ExitCode
from cmlutils.screen import cells, coloured, columns, fold

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import TextIO

    from _typeshed import ReadableBuffer

_WIDEST = 30  # the greatest width of a column of names
_COLOURS = {  # by the mark or word that a line begins with
    "+": "green", "~": "yellow", "!": "red", "≠": "red", "ok": "green", "warning": "yellow", "error": "red",
}  # fmt: skip


def width_of(names: Iterable[str]) -> int:
    """Return the width of a column that holds these names."""
    return min(max(map(cells, names), default=0), _WIDEST)


def say(line: str) -> None:
    """Print a line of a report to standard output, as the terminal can show it."""
    colours = coloured(sys.stdout)
    text = fold(line, columns(sys.stdout))
    words = line.split(maxsplit=1)
    colour = _COLOURS.get(words[0]) if words and colours else None
    put(click.style(text, fg=colour) if colour else text, colours=colours)


def put(text: str, *, colours: bool | None = None) -> None:
    """Print to standard output. A reader that has closed its end, as `head` does, does not change how the run ends."""
    try:
        click.echo(text, color=colours)
    except BrokenPipeError:
        _to_nowhere()


def can_be_written(stream: TextIO) -> bool:
    """Tell whether the stream can be written: flushing it writes again whatever failed to be written before."""
    try:
        stream.flush()
    except OSError:
        return False
    return True


def _to_nowhere() -> None:
    """Discard whatever is still to be written to standard output."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


class _Unheard(io.FileIO):
    """A standard error that ignores failures to write: if it is full or closed, messages are lost; the run goes on."""

    def write(self, data: ReadableBuffer, /) -> int:
        try:
            return super().write(data)
        except OSError:
            return memoryview(data).nbytes


def usable_streams() -> None:
    """Prepare the standard streams for whatever terminal, file or pipe they lead to.

    Streams that the shell closed (`>&-`) are opened. Characters that the terminal's encoding lacks are shown as
    escapes. Failures to write to standard error are ignored. An interpreter that takes file names for ASCII is
    restarted in UTF-8 mode, as files may have any name.
    """
    if sys.getfilesystemencoding() == "ascii":
        os.execv(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]])  # noqa: S606
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: PTH123, SIM115
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    if isinstance(sys.stderr, io.TextIOWrapper):
        raw, old = _Unheard(sys.stderr.fileno(), "wb", closefd=False), sys.stderr
        sys.stderr = io.TextIOWrapper(io.BufferedWriter(raw), old.encoding, old.errors, line_buffering=True)


def end_streams(code: int) -> int:
    """Flush standard output and return the final exit code: FAILED if that fails and `code` was 0.

    A reader that has closed its end, as `head` does, changes nothing. If this were left to Python, both cases would end
    with exit code 120.
    """
    try:
        sys.stdout.flush()
    except OSError as error:
        _to_nowhere()
        if not isinstance(error, BrokenPipeError):
            return code or ExitCode.FAILED
    return code
