"""The preconditions of a migration, checked before it: all findings, each with its fix."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cmlutils.errors import CmlutilError
from cmlutils.flows.connect import connect, find_project
from cmlutils.runtimes import Runtime, rsync_runtime

if TYPE_CHECKING:
    from cmlutils.config import Section


@dataclass(frozen=True)
class Finding:
    """One finding: severity is ok, warning or error."""

    section: str
    side: str
    severity: str
    text: str
    fix: str = ""


def check(section: Section) -> list[Finding]:
    """Check one section: programs, address, key, user, rsync-enabled runtime, and the source's project."""

    def finding(severity: str, text: str, fix: str = "") -> Finding:
        return Finding(section.name, section.side, severity, text, fix)

    found = [finding("warning", one) for one in section.warnings]
    try:
        with connect(section) as connection:
            runtimes = [Runtime.from_v1(one) for one in connection.v1.runtimes()]
            if rsync_runtime(runtimes) is None:
                found.append(
                    finding(
                        "error",
                        f"{section.workspace.host} has no rsync-enabled runtime",
                        "add cloudera/ml-runtime-workbench-python3.9-standard-rsync to its catalogue",
                    )
                )
            if section.side == "export":
                find_project(connection)
    except CmlutilError as error:
        found.append(finding("error", error.message, error.hint))
    if not any(one.severity == "error" for one in found):
        found.append(finding("ok", "ready"))
    return found
