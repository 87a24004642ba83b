"""The one key under which our own fields ride along in a bundle's records, which cloudera/cmlutils ignores."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cmlutils.errors import BundleError
from cmlutils.wholefile import read_json

if TYPE_CHECKING:
    from pathlib import Path

OURS = "cmlutil"


def has_ours(path: Path) -> bool:
    """Tell whether a metadata file has records of ours; one that is missing or damaged has none."""
    try:
        content = read_json(path, object)
    except BundleError:
        return False
    return any(isinstance(one, dict) and OURS in one for one in (content if isinstance(content, list) else [content]))
