"""Refuse values of an ini file that are not read as their writer meant: with quotes, a comment or a variable."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from cmlutils.errors import ConfigError
from cmlutils.section_values import KEYS

if TYPE_CHECKING:
    from collections.abc import Mapping

_PATHS = ("output_dir", "ca_path", "identity_file")
_USERS = ("username", "owner_username")
_WORDS = (*_USERS, "url", "apiv1_key")
_MAX_NAME = 1000  # characters, each of which may take nine in an address
_COMMENT = re.compile(r"\s([#;])(?!\d)")  # "Project #1" is a name
_VARIABLE = re.compile(r"\$(?:\w+|\{[^}]*\})", re.ASCII)  # as os.path.expandvars has it


def check_plain(where: str, values: Mapping[str, str]) -> None:
    """Refuse a value that would not be read as its writer meant it, unless it is a path that exists as written."""
    for key in KEYS:
        if any(ord(letter) < 32 or ord(letter) == 127 for letter in values.get(key, "")):
            raise ConfigError(f"{where}: {key} has a line break or control character.", hint="Write it on one line.")
    for key in (*_PATHS, *_WORDS):
        text = values.get(key, "").strip()
        _plain(f"{where}: {key}", _not_there(text) if key in _PATHS else text, is_path=key in _PATHS)
        if key in _USERS and (text in {".", ".."} or len(text) > _MAX_NAME):
            raise ConfigError(f"{where}: {key} is not a user's or team's name.", hint="Copy it from the workspace.")


def _plain(what: str, text: str, *, is_path: bool) -> None:
    """Refuse one value, without quoting it in the message, as it may be a key."""
    if comment := _COMMENT.search(text):
        hint = "Move it to the line above." + (" If it belongs to the path, create that first." if is_path else "")
        raise ConfigError(f"{what} has a comment in it (' {comment[1]} …'): comments need their own line.", hint=hint)
    if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"":
        raise ConfigError(f"{what} is in quotes.", hint="Remove them: a value may contain spaces without them.")
    if is_path and (variable := _VARIABLE.search(text)):
        raise ConfigError(f"{what} names {variable[0]}, which is not set.", hint="Set it, or write the path in full.")


def _not_there(text: str) -> str:
    """Return that part of a path which does not exist yet, with its variables replaced."""
    whole = Path(os.path.expanduser(os.path.expandvars(text)))  # noqa: PTH111 - a ~ that stands for nothing is left
    there = next((one for one in (whole, *whole.parents) if os.path.lexists(one)), None)
    return str(whole.relative_to(there)) if there else str(whole)
