"""The text of an ini file: what all sections share, and a section for each project."""

from __future__ import annotations

import configparser
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


def can_be_section(name: str) -> bool:
    """Tell whether this can be a section's name, so that an ini file gives it back as it was written."""
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read_string(ini_text({}, [(name, {})]))
    except configparser.Error:
        return False
    return parser.sections() == [name]
