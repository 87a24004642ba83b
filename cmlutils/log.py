"""Terminal and per-project file logging; secrets are masked and control characters taken out at the handler."""

from __future__ import annotations

import base64
import contextlib
import json
import logging
import logging.handlers
import os
import re
import sys
from typing import TYPE_CHECKING, Any, TextIO
from urllib.parse import quote, quote_plus

from cmlutils.errors import BundleError
from cmlutils.screen import coloured, columns, fold

if TYPE_CHECKING:
    from pathlib import Path

ROOT = "cmlutils"
MAX_SHOWN = 4000  # characters of one message on the terminal; the file has it all
_secrets: set[str] = set()
# C0 and C1 controls, marks that change the writing direction, other line ends, halves of surrogate pairs
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def hide(secret: str) -> None:
    """Register a secret, to be masked in logs and on the terminal, also where it is in base64, URL-quoted or JSON."""
    if len(secret) < 4:
        return
    data = secret.encode("utf-8", "surrogateescape")
    basic = base64.b64encode(data + b":").decode()
    forms = {secret, quote(secret, safe="", errors="replace"), quote_plus(secret, errors="replace")}
    forms |= {
        repr(secret)[1:-1],
        json.dumps(secret)[1:-1],
        basic,
        basic.rstrip("="),
        base64.b64encode(data).decode().rstrip("="),
    }
    _secrets.update(forms)


def mask(text: str) -> str:
    """Return the text with *** for every registered secret, and without control characters."""
    for secret in sorted(_secrets, key=len, reverse=True):
        text = text.replace(secret, "***")
    return _CONTROL.sub("?", text)


def one_line(text: str) -> str:
    """Return the masked text as a single line, so that a name with a newline in it can't pass for two rows."""
    return re.sub(r"[\r\n\t]+", " ", mask(text))


def masked(value: Any) -> Any:
    """Return data of JSON's types with every text in it masked."""
    if isinstance(value, str):
        return mask(value)
    if isinstance(value, dict):
        return {masked(key): masked(one) for key, one in value.items()}
    return [masked(one) for one in value] if isinstance(value, (list, tuple)) else value


class _Masked(logging.Formatter):
    """Indents all lines but the first, so that a name with a newline in it can't forge an entry."""

    def format(self, record: logging.LogRecord) -> str:
        return mask(super().format(record)).replace("\n", "\n    ")


class _Terminal(_Masked):
    """Shows the level of warnings and errors only, and folds lines to the terminal's width."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__("%(message)s")
        self._stream = stream

    def format(self, record: logging.LogRecord) -> str:
        text, word = super().format(record), record.levelname.lower()
        text = text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}…"
        if record.levelno < logging.WARNING:
            return fold(text, columns(self._stream))
        text = fold(f"{word}: {text}", columns(self._stream))
        if coloured(self._stream):
            text = f"\x1b[{33 if record.levelno == logging.WARNING else 31}m{word}\x1b[0m{text[len(word) :]}"
        return text


def to_terminal(stream: TextIO | None = None, *, verbose: bool = False, quiet: bool = False) -> None:
    """Send log lines to standard error, replacing what an earlier call set up; with `quiet` only warnings and up."""
    close()
    root = logging.getLogger(ROOT)
    root.setLevel(logging.DEBUG)
    root.propagate = False
    stream = stream or sys.stderr
    handler = logging.StreamHandler(stream)
    handler.setLevel(logging.DEBUG if verbose else logging.WARNING if quiet else logging.INFO)
    handler.setFormatter(_Terminal(stream))
    root.addHandler(handler)


def is_quiet() -> bool:
    """Tell whether only warnings and errors are shown."""
    return all(handler.level >= logging.WARNING for handler in _terminals())


def _terminals() -> list[logging.Handler]:
    return [one for one in logging.getLogger(ROOT).handlers if isinstance(one.formatter, _Terminal)]


def to_file(path: Path) -> None:
    """Also write every line to a rotating file of mode 0600, until `close()`; raise BundleError if that can't be."""
    try:
        handler = _Private(path, maxBytes=10_000_000, backupCount=5, encoding="utf-8")
    except OSError as error:
        hint = "Remove it, or fix its permissions."
        raise BundleError(f"{path} can't be written: {error.strerror}.", hint=hint) from error
    handler.setLevel(logging.DEBUG)
    handler.setFormatter(_Masked("%(asctime)s %(levelname)s %(name)s %(message)s"))
    logging.getLogger(ROOT).addHandler(handler)


def close() -> None:
    """Close every handler, and with them the log files."""
    root = logging.getLogger(ROOT)
    for handler in list(root.handlers):
        root.removeHandler(handler)
        handler.close()


class _Private(logging.handlers.RotatingFileHandler):
    """A file that may not be writable any more, as on a full disk: that is told once, and the run goes on."""

    _told = False

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        """Tell it on the terminal; by default logging prints each lost line there, unmasked, with a traceback."""
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):
            super().handleError(record)
        elif not self._told:
            self._told = True
            logging.getLogger(ROOT).warning("%s can't be written: %s.", self.baseFilename, error.strerror)

    def close(self) -> None:
        """Close the file, even if what is still to be written to it can't be."""
        with contextlib.suppress(OSError):
            super().close()

    def _open(self) -> TextIO:  # type: ignore[override]
        handle = os.open(self.baseFilename, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o600)
        return os.fdopen(handle, "a", encoding="utf-8", errors="backslashreplace")
