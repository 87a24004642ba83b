"""Check the preconditions of a migration beforehand; report all findings, each with its fix.

Sections with the same workspace, user and key are one group, for which common things are asked once. Programs are run
in the main thread; other threads only talk HTTP.
"""

from __future__ import annotations

import tempfile
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from cmlutils import paths
from cmlutils.bundle import Bundle, bundle_of
from cmlutils.errors import BundleError, CmlutilError, Unreachable
from cmlutils.finding import Finding, section_names
from cmlutils.flows.connect import Connection, as_spelled_there, find_project, project_tunnel, resolve_key
from cmlutils.flows.doctor_ini import same_subdomains
from cmlutils.flows.doctor_machine import disks, programs, ssh_keys, temporary
from cmlutils.flows.plan_import import plan_target
from cmlutils.flows.plan_workloads import Offer, taken_subdomains
from cmlutils.metadata import read_metadata
from cmlutils.plan import Action
from cmlutils.remote.http import Http, Patience
from cmlutils.remote.v1 import ApiV1
from cmlutils.runtimes import RSYNC_IMAGE, lacks_rsync
from cmlutils.section import by_oddity

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cmlutils.runtimes import Maps
    from cmlutils.section import Secret, Section, Side, Workspace
    from cmlutils.workloads import Identity

_AT_ONCE = 8
_PATIENCE = 20.0  # seconds to wait for a workspace that answered before
_SKEW = 120.0  # seconds by which two clocks may differ


@dataclass
class _Group:
    """The sections with the same workspace, user and key, and what was found out for all of them."""

    connection: Connection
    sections: Sequence[Section]
    findings: list[Finding] = field(default_factory=list)
    answers: bool = False
    offer: Offer | None = None

    @property
    def workspace(self) -> Workspace:
        """The workspace, with its key."""
        return self.connection.section.workspace

    def of(self, section: Section) -> Connection:
        """Return the connection for one of its sections."""
        return replace(self.connection, section=replace(section, workspace=self.workspace))

    def add(self, severity: str, text: str, fix: str = "") -> None:
        """Add a finding for all of its sections together."""
        self.findings.append(Finding(section_names(self.sections), self.sections[0].side, severity, text, fix))

    def fail(self, error: CmlutilError) -> None:
        """Add an expected failure as a finding."""
        self.findings.append(Finding.of_error(section_names(self.sections), self.sections[0].side, error))


@dataclass
class _Shared:
    """What the checks of several groups share: which workspaces don't answer, and which subdomains are taken."""

    maps: Maps
    silent: dict[str, Unreachable] = field(default_factory=dict)
    asked: dict[tuple[str, str], set[Identity]] = field(default_factory=dict)


def examine(sections: Sequence[Section], maps: Maps, *, deep: bool = False) -> list[Finding]:
    """Check all sections; with `deep`, also open a session on each workspace."""
    found = programs() + temporary() + ssh_keys(one.workspace for one in sections) + disks(sections)
    found += same_subdomains([one for one in sections if one.side == "import"])
    found += [
        Finding(section_names(some), some[0].side, "warning", odd.told()) for odd, some in by_oddity(sections).items()
    ]
    resolved, unusable = _with_keys(sections)
    with ExitStack() as stack:
        groups = []
        for mine in _alike(resolved):
            http = stack.enter_context(Http(mine[0].workspace, Patience(seconds=_PATIENCE)))
            groups.append(_Group(Connection(mine[0], ApiV1(http)), mine))
        pool = ThreadPoolExecutor(_AT_ONCE)
        try:
            shared = _Shared(maps)
            list(pool.map(lambda group: _check_workspace(group, shared), groups))
            pairs = [(group, section) for group in groups for section in group.sections if group.answers]
            checked = list(pool.map(lambda pair: _check_section(*pair), pairs))
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
        if deep:
            for group in groups:
                if group.answers:
                    _open_session(group)
    found += unusable + [finding for group in groups for finding in group.findings]
    return found + [finding for findings in checked for finding in findings]


def _with_keys(sections: Sequence[Section]) -> tuple[list[Section], list[Finding]]:
    """Return the sections with their keys, and a finding for each key command that fails; each is run once."""
    told: dict[tuple[str, ...], Secret | CmlutilError] = {}
    ready = []
    without: dict[tuple[Side, CmlutilError], list[Section]] = defaultdict(list)
    for section in sections:
        workspace, command = section.workspace, section.workspace.key_command
        if command and command not in told:
            try:
                told[command] = resolve_key(workspace).api_key
            except CmlutilError as error:
                told[command] = error
        key = told[command] if command else workspace.api_key
        if isinstance(key, CmlutilError):
            without[section.side, key].append(section)
        else:
            ready.append(replace(section, workspace=resolve_key(replace(workspace, api_key=key, key_command=()))))
    return ready, [Finding.of_error(section_names(mine), side, error) for (side, error), mine in without.items()]


def _alike(sections: Sequence[Section]) -> list[list[Section]]:
    """Group sections with the same side, workspace, user, API key, certificates and ssh key."""
    groups: dict[tuple[str, ...], list[Section]] = defaultdict(list)
    for one in sections:
        there = one.workspace
        secret = there.api_key.reveal()
        groups[one.side, there.url, there.username, secret, str(there.verify), str(there.identity_file)].append(one)
    return list(groups.values())


def _check_workspace(group: _Group, shared: _Shared) -> None:
    """Check address, certificate, user, key, clock and runtimes of one workspace."""
    v1, workspace = group.connection.v1, group.workspace
    if workspace.url in shared.silent:
        group.fail(shared.silent[workspace.url])
        return
    try:
        workspace = as_spelled_there(v1, workspace)
        group.connection = replace(group.connection, section=replace(group.connection.section, workspace=workspace))
        skew = v1.http.ahead
        if abs(skew) > _SKEW:
            group.add("warning", f"{workspace.host}'s clock is {skew:+.0f} s off ours", "set both clocks by NTP")
        runtimes = v1.runtimes.all()
        if lacking := lacks_rsync(workspace.host, runtimes):
            group.add("error", lacking.removesuffix("."), f"add {RSYNC_IMAGE} to it")
        wanted = any(paths.is_file(bundle_of(one).metadata("applications")) for one in group.sections)
        if group.sections[0].side == "import":
            taken = taken_subdomains(v1, workspace.username, shared.asked) if wanted else {}
            group.offer = Offer(shared.maps, runtimes, taken, v1.site.bypass_allowed())
        group.answers = True
    except CmlutilError as error:
        if isinstance(error, Unreachable):
            shared.silent[workspace.url] = error
        group.fail(error)


def _check_section(group: _Group, section: Section) -> list[Finding]:
    """Check one project: whether the source has it, or what an import of its bundle would run into."""
    connection, found = group.of(section), list[Finding]()
    try:
        if section.side == "export":
            find_project(connection)
        elif group.offer is not None:
            found = _foreseen(connection, section, group.offer)
    except CmlutilError as error:
        found = [Finding.of_error(section.name, section.side, error)]
    return found or [Finding(section.name, section.side, "ok", "ready")]


def _foreseen(connection: Connection, section: Section, offer: Offer) -> list[Finding]:
    """Find what an import of the section's bundle would run into."""
    bundle, finding = bundle_of(section), partial(Finding, section.name, section.side)
    try:
        bundle.check()
    except BundleError:
        if paths.is_file(bundle.metadata("project")):
            raise
        text = "not exported yet: its team, runtimes and subdomains can be checked once it is"
        return [finding("ok", text, "run 'cmlutil project export', then doctor again")]
    plan = plan_target(connection, bundle, read_metadata(bundle), offer)
    fix = "create it on the target, with the migrating user in it"
    blockers = [finding("error", one, fix) for one in plan.blockers]
    severities = {Action.FAIL: "error", Action.FALLBACK: "warning"}
    return blockers + [
        finding(severities[one.action], f"{one.kind} {one.name}: {one.note}", one.fix)
        for one in plan.actions
        if one.action in severities
    ]


def _open_session(group: _Group) -> None:
    """Open a session in the first project that exists: only that proves that the ssh key and rsync work there."""
    for section in group.sections:
        connection = group.of(section)
        try:
            project = find_project(connection)
        except CmlutilError:
            continue
        try:
            runtimes = connection.v1.runtimes.all()
            with tempfile.TemporaryDirectory(prefix="cmlutil-") as folder:
                bundle = Bundle(Path(folder))
                bundle.state.mkdir()
                with project_tunnel(connection, project, runtimes, bundle) as tunnel:
                    tunnel.run("rsync --version && find . -maxdepth 0 -printf x")
        except CmlutilError as error:
            group.fail(error)
        else:
            group.add("ok", f"a session opened in {project.path}: your ssh key is accepted, and rsync is installed")
        return
    fix = "import one of them, then run doctor --deep again" if group.sections[0].side == "import" else ""
    group.add("warning", f"{group.workspace.host} has none of the projects yet, so no session could be opened", fix)
