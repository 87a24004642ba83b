"""`cmlutil demo`: migrates the sample project between two emulated workspaces.

The workspaces run in this process; cmlutil, ssh and rsync are the real ones, each as its own process.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cmlutils.__main__ import COMMAND
from cmlutils.bundle import Bundle
from cmlutils.cli.emulator import no_extra
from cmlutils.cli.output import say
from cmlutils.errors import ExitCode
from cmlutils.inifile import ini_text
from cmlutils.screen import coloured, columns
from cmlutils.wholefile import write_bytes

if TYPE_CHECKING:
    from cmlutils.emulator.server import Workspace
    from cmlutils.emulator.world import World

PROJECT = "Churn Model"
_OWN_VARIABLES = ("CMLUTILS_", "SSH_", "REQUESTS_", "CURL_", "SSL_")


@dataclass(frozen=True)
class Ran:
    """How one command ended."""

    exit_code: int
    seconds: float


@click.command()
def demo() -> int:
    """Migrate a sample project between two emulated workspaces.

    Two workspaces are started on this machine, ini files are written into a temporary HOME, and the real commands are
    run. At the end all of it is removed, except the bundle with its report, whose place is printed.

    \b
    Example: cmlutil demo
    """
    try:
        import cmlutils.emulator.server  # noqa: F401 - only to know that it can be imported
    except ImportError as error:
        raise no_extra(error) from error
    kept = Path(tempfile.mkdtemp(prefix="cmlutil-demo-"))
    try:
        with ExitStack() as stack:
            return _migrate(stack, kept)
    finally:
        with suppress(OSError):
            kept.rmdir()  # works only if it is empty
        if kept.exists():
            click.echo(f"\nThe bundle stays until you remove it: rm -r {kept}")  # not folded, so that it can be copied


def _migrate(stack: ExitStack, kept: Path) -> int:
    """Start both workspaces, export, import, and tell how it went."""
    from cmlutils.emulator.server import start_workspace
    from cmlutils.emulator.world import DEMO, DEMO_TARGET

    home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="cmlutil-demo-home-")))
    public_key = _make_key(home)
    worlds = [_load_world(path, public_key) for path in (DEMO, DEMO_TARGET)]
    source = stack.enter_context(start_workspace(worlds[0], personality="cdsw", tls=True))
    target = stack.enter_context(start_workspace(worlds[1], personality="cml", tls=True))
    say("Two emulated workspaces run on this machine until the demo ends:")
    say(f'  source  CDSW {source.world.release} at {source.url}, with the project "{PROJECT}"')
    say(f"  target  CML {target.world.release} at {target.url}, without projects")
    username = _migrant(source.world, target.world)
    folder = home / "cmlutils"
    folder.mkdir(mode=0o700)
    write_bytes(folder / "export-config.ini", _ini(source, username, kept).encode())
    write_bytes(folder / "import-config.ini", _ini(target, username, kept).encode())
    _show_ini(_ini(source, username, kept))

    exported = _type(home, "project", "export", "-p", PROJECT)
    if exported.exit_code:
        say(f"\nThe export ended with exit code {exported.exit_code}; see {kept / PROJECT / 'logs'}.")
        return exported.exit_code
    imported = _type(home, "project", "import", "-p", PROJECT, "--verify")
    was_live = _live(target)
    _show_table(kept / PROJECT, exported, imported, was_live)
    return imported.exit_code or (ExitCode.FAILED if was_live else ExitCode.OK)


def _make_key(home: Path) -> str:
    """Make an ssh key in this HOME and return its public half."""
    from cmlutils.remote import process

    key = home / ".ssh" / "id_ed25519"
    key.parent.mkdir(mode=0o700)
    process.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "cmlutil demo", "-f", str(key)],
        timeout=60,
    )
    return key.with_suffix(".pub").read_text(encoding="utf-8").strip()


def _load_world(path: Path, public_key: str) -> World:
    """Return a sample world in which every user has this ssh key."""
    from cmlutils.emulator.world import World

    world = World.load(path)
    for user in world.users:
        if not user.is_team:
            user.ssh_keys = [public_key]
    return world


def _migrant(source: World, target: World) -> str:
    """Return the user who migrates: the project's owner, or for a team a member who also exists on the target."""
    project = next(one for one in source.projects if one.name == PROJECT)
    owner = source.user(project.owner)
    names = list(owner.members) if owner.is_team else [owner.username]
    return next(name for name in names if target.find_user(name))


def _ini(workspace: Workspace, username: str, output_dir: Path) -> str:
    """Return the ini file of one workspace."""
    shared = {"url": workspace.url, "ca_path": str(workspace.ca_file), "output_dir": str(output_dir)}
    own = {"username": username, "apiv1_key": workspace.world.user(username).api_key}
    return ini_text(shared, [(PROJECT, own)])


def _show_ini(text: str) -> None:
    """Print an ini file as `cat` would, with the key masked."""
    _prompt("cat ~/cmlutils/export-config.ini")
    for line in text.strip().splitlines():
        click.echo("apiv1_key=***" if line.startswith("apiv1_key") else line)


def _prompt(line: str) -> None:
    colours = coloured(sys.stdout)
    click.echo("\n" + (click.style(f"$ {line}", bold=True) if colours else f"$ {line}"), color=colours)


def _type(home: Path, *words: str) -> Ran:
    """Show one command line and run it in this HOME, passing its output on as it comes."""
    from cmlutils.remote import process

    _prompt(" ".join(["cmlutil", *(f'"{word}"' if " " in word else word for word in words)]))
    environ = {name: text for name, text in os.environ.items() if not name.startswith(_OWN_VARIABLES)}
    environ["HOME"] = str(home)
    width = columns(sys.stdout)
    environ |= {"COLUMNS": str(width)} if width else {}
    environ |= {"FORCE_COLOR": "1"} if coloured(sys.stdout) else {}
    began = time.monotonic()
    with process.running([*COMMAND, *words], env=environ, grace=15.0) as child:
        for stream, line in child.lines():
            click.echo(line.decode(errors="replace"), err=stream == "err", color=coloured(sys.stdout))
        code = child.wait(60)
    code = ExitCode.BUG if code is None else code
    return Ran(128 - code if code < 0 else code, time.monotonic() - began)


def _live(target: Workspace) -> list[str]:
    """Return what was live on the target, apart from applications that started at creation and were stopped again."""
    return [
        f"{event.kind} {event.name}"
        for event in target.went_live
        if event.kind != "application-started" or event.stopped is None
    ]


def _show_table(folder: Path, exported: Ran, imported: Ran, was_live: list[str]) -> None:
    """Print what moved, what was proved, and where to look."""
    bundle = Bundle(folder)
    path = bundle.metrics("import")
    metrics: dict[str, Any] = json.loads(path.read_bytes()) if path.is_file() else {}
    moved = [f"{metrics.get('files', {}).get('files', 0)} files"]
    moved += [f"{metrics.get(f'total_{kind}', 0)} {kind}s" for kind in ("model", "application", "job")]
    verified = metrics.get("isMigrationSuccessful")
    known = sum(1 for one in metrics.get("differences", []) if one.get("expected"))
    proved = "not compared" if verified is None else "yes: source, bundle and target" if verified else "NO"
    if verified and known:
        proved += f"; {known} differences are expected (~)"
    rows = {
        "moved": ", ".join(moved),
        "proved equal": proved,
        "inert": f"NO: {', '.join(was_live)}" if was_live else "yes: nothing was live on the target",
        "took": f"export {exported.seconds:.1f} s, import with comparison {imported.seconds:.1f} s",
        "bundle": str(folder),
        "report": str(bundle.report_page),
    }
    click.echo("\nThe demo in short")
    for name, text in rows.items():
        show = click.echo if text.startswith("/") else say  # a path is not folded, so that it can be copied
        show(f"  {name:<14}{text}")
    if imported.exit_code:
        say(f"\nThe import ended with exit code {imported.exit_code}.")
