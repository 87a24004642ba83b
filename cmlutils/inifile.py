"""The text of an ini file: what all sections share, and a section for each project."""

from __future__ import annotations

import configparser
import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def ini_text(shared: Mapping[str, str], sections: Sequence[tuple[str, Mapping[str, str]]]) -> str:
    """Return the file's text; keys without a value are left out."""
    parts = [("DEFAULT", shared), *sections]
    blocks = [
        "\n".join([f"[{name}]", *(f"{key}={text}" for key, text in keys.items() if text)]) for name, keys in parts
    ]
    return "\n\n".join(blocks) + "\n"


def comes_back(name: str, keys: Mapping[str, str]) -> bool:
    """Tell whether a file with this section gives it back as it was written, and nothing else beside it."""
    parser = configparser.ConfigParser(interpolation=None)
    try:
        file = io.BytesIO(ini_text({}, [(name, keys)]).encode())
        parser.read_file(io.TextIOWrapper(file, "utf-8"))  # takes a carriage return for the end of a line, as files do
    except (configparser.Error, UnicodeEncodeError):
        return False
    return parser.sections() == [name] and dict(parser[name]) == {key: text for key, text in keys.items() if text}
