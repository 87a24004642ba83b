"""One thing that `cmlutil doctor` found out about a section, a workspace or this machine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cmlutils.errors import CmlutilError
    from cmlutils.section import Section


@dataclass(frozen=True)
class Finding:
    """One finding: severity is ok, warning or error; `side` is export, import or here.

    A `section` or `side` of "-" means that it is about none of them alone.
    """

    section: str
    side: str
    severity: str
    text: str
    fix: str = ""

    @classmethod
    def of_error(cls, section: str, side: str, error: CmlutilError) -> Finding:
        """Return the finding for an expected failure: its sentence, with its hint as the fix."""
        return cls(section, side, "error", error.message, error.hint)


def section_names(sections: Sequence[Section]) -> str:
    """Return a short text that names these sections, each once, although both files may have it."""
    names = list(dict.fromkeys(one.name for one in sections))
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
