"""Names for a script that changes something on the workspace: a name that was cut off on its way is not acted on.

xargs takes what comes before the end of its input for a name, even if the connection broke in the middle of one, and
such a part may be the name of another file. So each name comes as a line, of which `read` takes only a whole one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_WHOLE = "while IFS= LC_ALL=C read -r name; do printf '%b\\0' \"$name\"; done"


def with_whole_names(script: str) -> str:
    """Return a script whose input is `whole_names`, for one that reads names ended by NUL."""
    return f"{_WHOLE} | {{\n{script}\n}}"


def whole_names(names: Iterable[bytes]) -> bytes:
    """Return these names as lines, escaped for printf's %b."""
    return b"".join(name.replace(b"\\", rb"\0134").replace(b"\n", rb"\0012") + b"\n" for name in names)
