"""``cmlutil emulator``: local workspaces to rehearse a migration with."""

from __future__ import annotations

import configparser
import errno
import logging
import os
import tempfile
import threading
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from cmlutils.cli.commands import Commands
from cmlutils.errors import Interrupted
from cmlutils.inifile import comes_back, ini_text

if TYPE_CHECKING:
    from cmlutils.emulator.server import Workspace
    from cmlutils.emulator.world import World

log = logging.getLogger(__name__)
_EMULATOR = Path(__file__).parent.parent / "emulator"
_SAMPLES = {"cdsw": "demo.yaml", "cml": "demo-target.yaml"}


def no_extra(error: ImportError) -> click.UsageError:
    """Return the error that says how to install what the emulator needs."""
    return click.UsageError(
        "The emulator needs the extra of its name: run python3 -m pip install '.[emulator]' in a checkout of cmlutils "
        f"({error.name} is missing)."
    )


@click.group(cls=Commands)
def emulator() -> None:
    """Run stand-in workspaces to rehearse a migration with.

    \b
    Example: cmlutil emulator start --personality cdsw
    """


@emulator.command("world")
@click.option(
    "--personality",
    type=click.Choice(["cdsw", "cml"]),
    default="cdsw",
    show_default=True,
    help="Which product's sample.",
)
def world_command(personality: str) -> None:
    """Print a sample world to start from.

    \b
    Example: cmlutil emulator world > source.yaml
    """
    click.echo((_EMULATOR / _SAMPLES[personality]).read_text(encoding="utf-8"), nl=False)


@emulator.command()
@click.option("--personality", type=click.Choice(["cdsw", "cml"]), required=True, help="Which product to behave like.")
@click.option(
    "--world",
    "world_file",
    metavar="FILE",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="What is in the workspace; by default, the sample world.",
)
@click.option(
    "--port", metavar="N", type=click.IntRange(0, 65535), default=0, help="Port on 127.0.0.1; by default, a free one."
)
@click.option("--tls", is_flag=True, help="Serve https, with a certificate authority of its own.")
@click.option(
    "--state-dir",
    metavar="FOLDER",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where the projects' files live; kept at the end. By default, a temporary folder.",
)
@click.option(
    "--ini-dir",
    metavar="FOLDER",
    type=click.Path(file_okay=False, path_type=Path),
    help="Write export-config.ini (cdsw) or import-config.ini (cml) there, unless there is one.",
)
@click.option("--without", multiple=True, metavar="NAME", help="Switch off an assumed behaviour; may be repeated.")
@click.option(
    "--ssh-key",
    "ssh_keys",
    metavar="FILE",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A public key file that opens every user's sessions; may be repeated.",
)
def start(
    personality: Literal["cdsw", "cml"],
    world_file: Path | None,
    port: int,
    *,
    tls: bool,
    state_dir: Path | None,
    ini_dir: Path | None,
    without: tuple[str, ...],
    ssh_keys: tuple[Path, ...],
) -> None:
    """Run a workspace until Ctrl-C, SIGTERM or SIGHUP.

    \b
    Example: cmlutil emulator start --personality cdsw --ini-dir ~/rehearsal
    """
    with suppress(Interrupted), ExitStack() as stack:  # a signal ends it in the same way while it is starting
        try:
            from cmlutils.emulator.server import start_workspace
        except ImportError as error:
            raise no_extra(error) from error
        state_dir = state_dir or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="cmlutils-emulator-")))
        try:
            world = _load(world_file or _EMULATOR / _SAMPLES[personality], without, ssh_keys)
            running = start_workspace(world, personality=personality, tls=tls, port=port, state_dir=state_dir.resolve())
            workspace = stack.enter_context(running)
            written = _write_ini(workspace, ini_dir) if ini_dir else ""
        except (OSError, ValueError) as error:
            raise click.UsageError(_why(error, port)) from error
        _announce(workspace, ini_dir, written)
        _wait()


def _why(error: OSError | ValueError, port: int) -> str:
    """Say what can't be used, and why."""
    if not isinstance(error, OSError):
        return str(error)
    if error.errno == errno.EADDRINUSE:
        return f"Port {port} is taken."
    return f"{error.filename or f'Port {port}'} can't be used: {error.strerror}."


def _load(world_file: Path, without: tuple[str, ...], ssh_keys: tuple[Path, ...]) -> World:
    """Read the world and change it as the options say; raise ValueError for what is wrong."""
    from cmlutils.emulator.world import World

    world = World.load(world_file)
    world.assume = world.assume.without(*without)
    for user in world.users:
        user.ssh_keys += [str(key.resolve()) for key in ssh_keys]
    return world


def _announce(workspace: Workspace, ini_dir: Path | None, written: str) -> None:
    """Say where the workspace is, who may use it, and how, and what became of its ini file."""
    click.echo(f"{workspace.personality} workspace at {workspace.url}")
    click.echo(f"files of its projects in {workspace.state_dir}")
    if workspace.ca_file:
        click.echo(f"certificate authority in {workspace.ca_file}")
    for user in workspace.world.users:
        if not user.is_team:
            click.echo(f"user {user.username}{' (administrator)' if user.admin else ''}: apiv1_key={user.api_key}")
    click.echo(f"\n{_ini_name(workspace)}:\n")
    click.echo(_ini(workspace, ini_dir))
    if written:
        click.echo(written)
    click.echo("Stop with Ctrl-C.")


def _ini_name(workspace: Workspace) -> str:
    return "export-config.ini" if workspace.personality == "cdsw" else "import-config.ini"


def _ini(workspace: Workspace, ini_dir: Path | None) -> str:
    """Return an ini file for the first user: a section for each project, or for those that are to be exported.

    Projects of one name share a section; a name that no ini file can hold has none.
    """
    user = next(user for user in workspace.world.users if not user.is_team)
    shared = {
        "url": workspace.url,
        "username": user.username,
        "apiv1_key": user.api_key,
        "output_dir": str((ini_dir or Path.cwd()).resolve() / "bundles"),
        "ca_path": str(workspace.ca_file or ""),
    }
    sections = dict.fromkeys(project.name for project in workspace.world.projects) or _exported(ini_dir)
    return ini_text(shared, [(name, {}) for name in sections if comes_back(name, {})])


def _exported(ini_dir: Path | None) -> list[str]:
    """Return the sections of the folder's export-config.ini."""
    parser = configparser.ConfigParser(interpolation=None)
    if ini_dir:
        parser.read(ini_dir / "export-config.ini", encoding="utf-8")
    return parser.sections()


def _write_ini(workspace: Workspace, ini_dir: Path) -> str:
    """Write the file, readable by its owner only, unless there is one; return a sentence about it.

    One that is of another workspace is warned of: no command would find this one.
    """
    path, text = ini_dir / _ini_name(workspace), _ini(workspace, ini_dir)
    ini_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        there, ours = _address(path.read_text(encoding="utf-8", errors="replace")), _address(text)
        if there != ours:
            log.warning(
                "%s is of another workspace, %s: remove it and start this one again, or name another --ini-dir.",
                path,
                there[0] or "which it does not name",
            )
        return f"{path} exists already, and was left unchanged"
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    if "\n[" not in text:  # the file begins with [DEFAULT]
        return f"written to {path}, without a section: neither the world nor an export-config.ini beside it has one"
    return f"written to {path}"


def _address(text: str) -> tuple[str, str]:
    """Return what an ini file says of its workspace: address and certificate authority."""
    parser = configparser.ConfigParser(interpolation=None)
    with suppress(configparser.Error):
        parser.read_string(text)
    return parser.defaults().get("url", ""), parser.defaults().get("ca_path", "")


def _wait() -> None:
    """Wait until a signal ends the run, as Interrupted."""
    threading.Event().wait()
