"""Migrates the sample project between two emulated workspaces: the Python half of batch/demo.

The workspaces run in this process; ssh, rsync and cmlutil are the real ones, each as its own process.
"""

from __future__ import annotations

import configparser
import json
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cmlutils.emulator import server
from cmlutils.emulator.world import DEMO, DEMO_TARGET, World

if TYPE_CHECKING:
    from types import FrameType

PROJECT = "Churn Model"
_OWN_VARIABLES = ("CMLUTILS_", "SSH_", "REQUESTS_", "CURL_", "SSL_")


@dataclass(frozen=True)
class Ran:
    """How one command ended."""

    exit_code: int
    seconds: float


def make_key(home: Path) -> str:
    """Make an ssh key in this HOME and return its public half."""
    folder = home / ".ssh"
    folder.mkdir(mode=0o700)
    key = folder / "id_ed25519"
    argv = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "cmlutil demo", "-f", str(key)]
    subprocess.run(argv, check=True)
    return key.with_suffix(".pub").read_text(encoding="utf-8").strip()


def load_world(path: Path, public_key: str) -> World:
    """Return a sample world all of whose users have this ssh key."""
    world = World.load(path)
    for user in world.users:
        if not user.is_team:
            user.ssh_keys = [public_key]
    return world


def write_ini(path: Path, world: World, url: str, username: str, output_dir: Path) -> None:
    """Write the ini file of one workspace, readable by its owner only."""
    parser = configparser.ConfigParser(interpolation=None)
    key = world.user(username).api_key
    parser[PROJECT] = {"url": url, "username": username, "apiv1_key": key, "output_dir": str(output_dir)}
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        parser.write(file)


def migrant(source: World, target: World) -> str:
    """Return who migrates: the project's owner, or, of a team, a member who is on the target too."""
    project = next(one for one in source.projects if one.name == PROJECT)
    owner = source.user(project.owner)
    names = list(owner.members) if owner.is_team else [owner.username]
    return next(name for name in names if target.find_user(name))


def cmlutil(home: Path, *words: str) -> Ran:
    """Show and run one command line in this HOME."""
    print(f"\n$ {shlex.join(['cmlutil', *words])}", flush=True)
    environ = {key: value for key, value in os.environ.items() if not key.startswith(_OWN_VARIABLES)}
    began = time.monotonic()
    argv = [sys.executable, "-m", "cmlutils", *words]
    process = subprocess.Popen(argv, env={**environ, "HOME": str(home)}, start_new_session=True)
    try:
        code = process.wait()
    except BaseException:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(timeout=15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        raise
    return Ran(128 - code if code < 0 else code, time.monotonic() - began)


def live(world: World) -> list[str]:
    """Return what was live on the target, but for an application's start at creation, stopped again."""
    return [
        f"{event.kind} {event.name}"
        for event in world.went_live
        if event.kind != "application-started" or event.stopped is None
    ]


def read_metrics(bundle: Path, name: str) -> dict[str, Any]:
    """Return what a command reported, or nothing."""
    path = bundle / "logs" / name
    return dict(json.loads(path.read_bytes())) if path.is_file() else {}


def show_table(bundle: Path, exported: Ran, imported: Ran, was_live: list[str]) -> None:
    """Print what moved, what was proved, and where to look."""
    metrics = read_metrics(bundle, "import_metrics.json")
    files = metrics.get("files", {}).get("files", 0)
    kinds = ("model", "application", "job")
    moved = ", ".join(f"{metrics.get(f'total_{kind}', 0)} {kind}s" for kind in kinds)
    verified = metrics.get("isMigrationSuccessful")
    proved = "not compared" if verified is None else "yes: source, bundle and target" if verified else "NO"
    rows = {
        "moved": f"{files} files, {moved}",
        "proved equal": proved,
        "inert": f"NO: {', '.join(was_live)}" if was_live else "yes: nothing was live on the target",
        "took": f"export {exported.seconds:.1f} s, import with comparison {imported.seconds:.1f} s",
        "bundle": str(bundle),
        "report": str(bundle / "logs" / "report.html"),
    }
    print("\n" + "\n".join(f"{name:<14}{text}" for name, text in rows.items()))


def migrate(stack: ExitStack, kept: Path) -> int:
    """Start both workspaces, export, import, and tell how it went."""
    home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="cmlutil-demo-home-")))
    public_key = make_key(home)
    source, target = load_world(DEMO, public_key), load_world(DEMO_TARGET, public_key)
    username = migrant(source, target)
    folder = home / "cmlutils"
    folder.mkdir(mode=0o700)
    cdsw = stack.enter_context(server.start_workspace(source, personality="cdsw"))
    cml = stack.enter_context(server.start_workspace(target, personality="cml"))
    for side, one in (("export", cdsw), ("import", cml)):
        print(f"emulated {one.personality} workspace: {one.url}", flush=True)
        write_ini(folder / f"{side}-config.ini", one.world, one.url, username, kept)
    exported = cmlutil(home, "project", "export", "-p", PROJECT)
    if exported.exit_code:
        where = kept / PROJECT / "logs"
        print(f"\nThe export ended with exit code {exported.exit_code}; see {where}.", file=sys.stderr)
        return exported.exit_code
    imported = cmlutil(home, "project", "import", "--verify", "-p", PROJECT)
    was_live = live(target)
    show_table(kept / PROJECT, exported, imported, was_live)
    if imported.exit_code:
        print(f"\nThe import ended with exit code {imported.exit_code}.", file=sys.stderr)
    return imported.exit_code or int(bool(was_live))


def _end(signum: int, _frame: FrameType | None) -> None:
    for one in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(one, signal.SIG_IGN)
    raise SystemExit(128 + signum)


def main() -> int:
    """Run the demo; return its exit code."""
    for signum in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, _end)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        signal.signal(signal.SIGHUP, _end)
    kept = Path(tempfile.mkdtemp(prefix="cmlutil-demo-"))
    with ExitStack() as stack:
        return migrate(stack, kept)


if __name__ == "__main__":
    sys.exit(main())
