"""Foresee an export. It only reads, and opens no session, as that would be a write on the workspace."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from cmlutils import paths
from cmlutils.entries import totals, totals_by_folder
from cmlutils.errors import NotFound, Rejected
from cmlutils.flows.connect import find_project
from cmlutils.flows.read_project import read_project
from cmlutils.guard import OBSTACLE_FIX, existing_folder, obstacle
from cmlutils.plan import Action, Plan, Planned
from cmlutils.project import LEGACY_ENGINE
from cmlutils.runtimes import lacks_rsync
from cmlutils.saved_listing import read_list
from cmlutils.units import counted, utc_time

if TYPE_CHECKING:
    from cmlutils.bundle import Bundle
    from cmlutils.flows.connect import Connection
    from cmlutils.project import ProjectRef


def plan_export(connection: Connection, bundle: Bundle) -> Plan:
    """Return what an export would bring down."""
    v1, workspace = connection.v1, connection.section.workspace
    project = find_project(connection)
    plan = Plan("export", connection.section.name, f"{workspace.url} {project.path}", str(bundle.folder))
    if why := obstacle(bundle.folder):
        plan.blockers.append(f"{why}: {OBSTACLE_FIX}.")
    else:
        bundle.check_owner(project.path)
    runtimes = v1.runtimes.all()
    if project.engine_type != LEGACY_ENGINE and (lacking := lacks_rsync(workspace.host, runtimes)):
        plan.blockers.append(lacking)
    metadata = read_project(v1, project, runtimes)
    settings = metadata.settings
    what = [settings.visibility, counted(len(settings.environment), "environment variable")]
    what += [counted(len(settings.collaborators), "collaborator"), f"of team {settings.team}" if settings.team else ""]
    plan.actions.append(Planned("project", settings.name, Action.EXPORT, ", ".join(filter(None, what))))
    for one in metadata.workloads():
        plan.actions.append(Planned(one.kind, one.name, Action.EXPORT, str(one.runtime or one.kernel)))
    plan.actions.append(Planned("file", ".exportignore", Action.EXPORT, _rules(connection, project)))
    if not why:
        _files(plan, bundle)
    return plan


def _files(plan: Plan, bundle: Bundle) -> None:
    """Add what an earlier export knows about the files, and what only a session could tell."""
    record = bundle.file_list
    free = shutil.disk_usage(existing_folder(bundle.folder)).free
    if paths.is_file(record):
        entries = list(read_list(record))
        count = totals(entries)
        when = utc_time(record.stat().st_mtime)
        plan.files = {"files": count.files, "bytes": count.bytes, "free_bytes": free}
        plan.folders = totals_by_folder(entries)
        plan.unknown.append(
            f"Which files changed since the export of {when}: only a session on the workspace shows that."
        )
        plan.unknown.append("Local files that are no longer in the project would be removed from the bundle.")
        return
    plan.files = {"free_bytes": free}
    plan.unknown.append("The number and size of the files: only a session on the workspace shows them.")


def _rules(connection: Connection, project: ProjectRef) -> str:
    try:
        text = connection.v1.projects.file(project, ".exportignore")
    except NotFound:
        return "there is none: /.cache/ and /.local/ stay behind"
    except Rejected as error:
        return f"can't be read here: {error.message}"
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith(b"#")]
    return f"what stays behind: {counted(len(lines), 'pattern')}"
