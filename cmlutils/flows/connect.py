"""What every flow needs first: the workspace's API, the project, a tunnel to its files."""

from __future__ import annotations

import hashlib
import shutil
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from cmlutils import log as logs
from cmlutils.errors import CheckFailed, CommandError, ConfigError, NotFound, Unauthorized
from cmlutils.project import LEGACY_ENGINE, ProjectRef
from cmlutils.remote import cdswctl, process, ssh
from cmlutils.remote.child import HOW_TO_INSTALL
from cmlutils.remote.http import Http, Patience
from cmlutils.remote.tunnel import open_tunnel
from cmlutils.remote.v1 import ApiV1
from cmlutils.remote.v2 import ApiV2
from cmlutils.remote.v2_key import V2Key
from cmlutils.runtimes import RSYNC_IMAGE, lacks_rsync, rsync_runtime
from cmlutils.section import Secret
from cmlutils.section_values import could_be_key
from cmlutils.urls import workspace_at

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cmlutils.bundle import Bundle
    from cmlutils.journal import Journal
    from cmlutils.progress import Progress
    from cmlutils.remote.routes import Json
    from cmlutils.remote.tunnel import Tunnel
    from cmlutils.report import Report
    from cmlutils.runtime import Runtime
    from cmlutils.section import Section, Workspace

_BY_HAND = (
    "Run it by hand: its first output line must be the key, and nothing else. It gets no shell: with ~, $ or | in it, "
    "write sh -c '…'."
)


@dataclass(frozen=True)
class Connection:
    """One section's workspace, ready to be talked to."""

    section: Section
    v1: ApiV1

    def wait_until_back(self) -> bool:
        """Wait until the workspace answers; return whether it had to be waited for."""
        waits = self.v1.http.waits
        self.v1.users.get(self.section.workspace.username)
        return self.v1.http.waits > waits


def resolve_key(workspace: Workspace, where: str = "") -> Workspace:
    """Return the workspace with its API key, which apiv1_key_command prints if there is one.

    Raises ConfigError, beginning with `where`, if the command fails.
    """
    where = f"{where}: apiv1_key_command" if where else "apiv1_key_command"
    key = workspace.api_key.reveal()
    if workspace.key_command:
        try:
            result = process.run(
                list(workspace.key_command), timeout=60, check=False, secret=" ".join(workspace.key_command[1:])
            )
        except CommandError as error:
            raise ConfigError(f"{where}: {error.message}", hint=_BY_HAND) from error
        key = result.out.decode(errors="replace").partition("\n")[0].strip()
        if result.code or not key:
            raise ConfigError(
                f"{where} {workspace.key_command[0]!r} gave no key (exit code {result.code}).",
                hint=_BY_HAND,
            )
        if not could_be_key(key):
            raise ConfigError(
                f"{where} {workspace.key_command[0]!r} printed a character that no API key has.",
                hint=_BY_HAND,
            )
    logs.hide(key)
    return replace(workspace, api_key=Secret(key))


def _require(*programs: str) -> None:
    for program in programs:
        if not shutil.which(program):
            raise CommandError(
                f"The program {program} is not installed.", hint=f"Install it: {HOW_TO_INSTALL[program]}."
            )


@contextmanager
def connect(section: Section, patience: float = 3600.0) -> Iterator[Connection]:
    """Open the API and check key and user; later outages are waited out for up to `patience` seconds each."""
    _require("rsync", "ssh")
    where = f"{section.file}, section [{section.name}]"
    section = replace(section, workspace=resolve_key(section.workspace, where))
    with Http(section.workspace, Patience(patience)) as http:
        v1 = ApiV1(http)
        try:
            section = replace(section, workspace=as_spelled_there(v1, section.workspace))
        except (NotFound, Unauthorized) as error:
            error.hint = f"{error.hint} See {where}."
            raise
        yield Connection(section, v1)


def as_spelled_there(v1: ApiV1, workspace: Workspace) -> Workspace:
    """Check key and user; return the user's name in the capitals of its own record: owners are spelled like that."""
    name = v1.users.migrating(workspace.username).get("username")
    if isinstance(name, str) and name.lower() == workspace.username.lower():
        return replace(workspace, username=name)
    return workspace


def find_project(connection: Connection) -> ProjectRef:
    """Return the project that the section names; raise CheckFailed if it does not exist."""
    section = connection.section
    found = connection.v1.projects.find(section.name, section.workspace.username, section.owner)
    if found is None:
        named, ours = section.owner, f"{section.workspace.username} or of one of their teams"
        raise CheckFailed(
            f"{section.workspace.host} has no project {section.name!r} of {named or ours}.",
            hint="Check the section's name and its owner_username."
            if named
            else "Check the section's name, or name the project's owner with owner_username.",
        )
    return whole_ref(connection.v1, found)


def whole_ref(v1: ApiV1, row: Json, owner: str = "") -> ProjectRef:
    """Return a reference to the project of a listing's row, completed by what only the project itself shows."""
    ref = ProjectRef.from_v1(row, owner)
    return ProjectRef.from_v1(v1.projects.get(ref), ref.owner)


@contextmanager
def api_v2(connection: Connection, bundle: Bundle, journal: Journal, report: Report) -> Iterator[ApiV2]:
    """Yield API v2. Its key is made at first use and revoked at the end; if that fails, the report says so."""
    key = V2Key(connection.v1, connection.section.workspace.username, journal, bundle.other_journals)
    try:
        with key:
            yield ApiV2(connection.v1.http, key)
    finally:
        report.todos += [one for one in key.left if one not in report.todos]  # perhaps reported before


@contextmanager
def project_tunnel(
    connection: Connection, project: ProjectRef, runtimes: Sequence[Runtime], bundle: Bundle
) -> Iterator[Tunnel]:
    """Open a session in the project and an ssh connection to it; everything is closed and removed at the end."""
    workspace = connection.section.workspace
    runtime_id = None
    if project.engine_type != LEGACY_ENGINE:
        runtime = rsync_runtime(runtimes)
        if runtime is None:
            raise CheckFailed(lacks_rsync(workspace.host, runtimes), hint=f"Add {RSYNC_IMAGE} to it.")
        runtime_id = runtime.id
    ssh.check_settings()
    ssh.check_keys(workspace)
    digest = hashlib.sha256(workspace_at(workspace.url).encode()).hexdigest()[:16]
    with (
        cdswctl.private_client(workspace, connection.v1.http.download) as client,
        open_tunnel(
            workspace,
            project.path,
            client,
            runtime_id=runtime_id,
            session_file=bundle.state / f"session-{digest}.json",
            wait_until_back=connection.wait_until_back,
        ) as tunnel,
    ):
        yield tunnel


@contextmanager
def tunnel_in_phases(
    connection: Connection, project: ProjectRef, runtimes: Sequence[Runtime], bundle: Bundle, progress: Progress
) -> Iterator[Tunnel]:
    """Open a tunnel as `project_tunnel` does, and show opening and closing its session as phases of the run."""
    with ExitStack() as stack:
        with progress.phase("open session"):
            tunnel = stack.enter_context(project_tunnel(connection, project, runtimes, bundle))
        yield tunnel
        with progress.phase("close session"):
            stack.close()
