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
    click.echo(click.style(text, fg=colour) if colour else text, color=colours)


class _Unheard(io.FileIO):
    """A standard stream that keeps the first failure to write: what it can't say is lost, and the run goes on."""

    trouble: OSError | None = None

    def write(self, data: ReadableBuffer, /) -> int:
        try:
            return super().write(data)
        except OSError as error:
            self.trouble = self.trouble or error
            return memoryview(data).nbytes


def usable_streams() -> None:
    """Prepare the standard streams for whatever terminal, file or pipe they lead to.

    Streams that the shell closed (`>&-`) are opened. Characters that the terminal's encoding lacks are shown as
    escapes. A stream that can't be written ends no run. An interpreter whose file names are in another encoding than
    UTF-8 is restarted in UTF-8 mode, as files may have any name.
    """
    if sys.getfilesystemencoding() != "utf-8":
        os.execv(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]])  # noqa: S606
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: PTH123, SIM115
        elif mode == "w" and isinstance(stream, io.TextIOWrapper):
            raw = io.BufferedWriter(_Unheard(stream.fileno(), "wb", closefd=False))
            setattr(sys, name, io.TextIOWrapper(raw, stream.encoding, "backslashreplace", line_buffering=True))


def end_streams(code: int) -> int:
    """Return the final exit code: FAILED if standard output could not be written and `code` was 0.

    A reader that has closed its end, as `head` does, changes nothing.
    """
    sys.stdout.flush()
    trouble = getattr(getattr(sys.stdout.buffer, "raw", None), "trouble", None)
    if trouble is None or isinstance(trouble, BrokenPipeError):
        return code
    click.echo(f"error: Standard output can't be written: {trouble.strerror}.", err=True)
    return code or ExitCode.FAILED
