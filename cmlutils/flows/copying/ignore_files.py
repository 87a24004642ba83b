"""The rules that decide: the source's `.exportignore` for a pull, the bundle's `.importignore` for a push."""

from __future__ import annotations

import logging
import os
import re
from typing import TYPE_CHECKING, NamedTuple

from cmlutils import paths
from cmlutils.errors import ConfigError, TransferError
from cmlutils.filelist import nanoseconds
from cmlutils.flows.copying.retrying import retrying
from cmlutils.ignore import MAX_BYTES, IgnoreRules, default_rules
from cmlutils.remote import process
from cmlutils.remote.tunnel import ANY

if TYPE_CHECKING:
    from pathlib import Path

    from cmlutils.remote.tunnel import Tunnel

log = logging.getLogger(__name__)
NO_FILE, NO_LINK, FOLDER = 44, 45, 46
RULES_NAME = b".exportignore"
NO_VERSION = (-1, 0)  # the size and mtime of no file
EXPORT_RULES = f"""
file={RULES_NAME.decode()}
[ -e "$file" ] || [ -L "$file" ] || {{ printf '\\000'; exit {NO_FILE}; }}
find "$file" -maxdepth 0 -printf '%s %T@\\n' | head -c 99
printf '\\000'
[ ! -d "$file" ] || exit {FOLDER}
[ -e "$file" ] || exit {NO_LINK}
[ -f "$file" ] || {{ echo it is no file >&2; exit {NO_LINK}; }}
head -c {MAX_BYTES + 1} "$file"
"""


class ExportRules(NamedTuple):
    """The source's rules, and size and mtime (ns) of their file before it was read; None if those are not known."""

    rules: IgnoreRules
    version: tuple[int, int] | None


def export_rules(tunnel: Tunnel) -> ExportRules:
    """Read the source's `.exportignore`; if there is none, use the built-in rules and log that.

    Raises TransferError if it can't be read, as it may exclude what must not leave the source.
    """
    return rules_of(retrying(tunnel, lambda: tunnel.run(EXPORT_RULES, ok=ANY)))


def rules_of(found: process.Result) -> ExportRules:
    """Read the rules from what the script EXPORT_RULES printed; raise TransferError where it could not read them."""
    told, _, text = found.out.partition(b"\0")
    match = re.fullmatch(rb"(\d{1,20}) (-?\d{1,20}\.\d{1,20})\n", told)
    version = (int(match[1]), nanoseconds(match[2])) if match else None
    if found.code in {NO_FILE, FOLDER}:
        what = "There is no .exportignore" if found.code == NO_FILE else ".exportignore is a folder, which has no rules"
        log.log(logging.INFO if found.code == NO_FILE else logging.WARNING, "%s: /.cache/ and /.local/ stay.", what)
        return ExportRules(default_rules(), NO_VERSION if found.code == NO_FILE else version)
    if found.code:
        reason = process.text(found.err) or "it is a link that leads nowhere"
        raise TransferError(
            f"The source's .exportignore can't be read: {reason}",
            hint="Make it readable, or remove it to export everything but /.cache/ and /.local/.",
        )
    return ExportRules(IgnoreRules.parse(text, source=".exportignore"), version)


def import_rules(data: Path) -> IgnoreRules:
    """Read the bundle's `.importignore`; without one, nothing is ignored."""
    path = data.parent / ".importignore"
    if not paths.is_file(path) and os.path.lexists(path):
        raise ConfigError(f"{path} is no file, so it has no rules.", hint="Make it a file of patterns, or remove it.")
    return IgnoreRules.parse(path.read_bytes() if paths.is_file(path) else b"", source=str(path))
