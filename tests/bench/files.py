"""Measure files against bare rsync, through the same kind of tunnel: python tests/bench/files.py [--help].

A real sshd on loopback stands for the session, with its data in memory; a proxy may delay every byte by half a round
trip. All variants of a case run in turn, for several rounds; what counts are the medians and the ratios within a round,
since the machine may be busy with other things.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import getpass
import os
import random
import shutil
import socket
import statistics
import subprocess
import tempfile
import threading
import time
from pathlib import Path

from cmlutils.bundle import Bundle
from cmlutils.cli.main import GC_THRESHOLD
from cmlutils.flows.copying.bundle_files import reading_bundle
from cmlutils.flows.copying.pull import pull
from cmlutils.flows.copying.push import push
from cmlutils.flows.copying.survey import listing_here, survey
from cmlutils.progress import Silent
from cmlutils.remote import process, rsync, tunnel
from cmlutils.remote.endpoint import Endpoint
from cmlutils.section import Secret, Workspace

FIRST, UNCHANGED, CHANGED = "first", "unchanged", "1 % changed"
WORDS = b"the quick brown fox jumps over the lazy dog and 0123456789 prints {key: value}\n"


class Proxy:
    """A port that forwards to another one, delaying each byte by half the round trip."""

    def __init__(self, target: int, rtt: float) -> None:
        self.target, self.delay = target, rtt / 2
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.loop.run_forever, daemon=True).start()
        server = asyncio.run_coroutine_threadsafe(
            asyncio.start_server(self.serve, "127.0.0.1", 0, limit=1 << 22), self.loop
        ).result()
        self.port = server.sockets[0].getsockname()[1]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self.target, limit=1 << 22)
        for stream in (writer, back):
            stream.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await asyncio.gather(self.pump(reader, back), self.pump(there, writer))

    async def pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        late: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(4096)

        async def send() -> None:
            while True:
                due, data = await late.get()
                if (wait := due - self.loop.time()) > 0:
                    await asyncio.sleep(wait)
                if not data:
                    break
                writer.write(data)
                await writer.drain()
            writer.close()

        sending = asyncio.create_task(send())
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(1 << 18):
                await late.put((self.loop.time() + self.delay, data))
        await late.put((self.loop.time() + self.delay, b""))
        with contextlib.suppress(ConnectionError):
            await sending


@contextlib.contextmanager
def sshd(base: Path):
    """Run an sshd on loopback that accepts our own key; yield its port."""
    for name in ("host", "id"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", base / name], check=True)
    (base / "config").write_text(
        f"ListenAddress 127.0.0.1\nHostKey {base}/host\nAuthorizedKeysFile {base}/id.pub\nStrictModes no\n"
        "PidFile none\nUsePAM no\nPasswordAuthentication no\nPermitRootLogin yes\nMaxSessions 50\nMaxStartups 100\n"
        f'ForceCommand cd {base}/project && exec /bin/sh -c "$SSH_ORIGINAL_COMMAND"\n'
    )
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    child = subprocess.Popen(["/usr/sbin/sshd", "-D", "-f", base / "config", "-p", str(port)])
    try:
        while True:
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", port)).close()
                break
            time.sleep(0.05)
        yield port
    finally:
        child.terminate()
        child.wait()


def many_small(root: Path, count: int) -> None:
    """Make `count` files of 1 to 8 KiB, 60 % of them text, 25 to a folder."""
    chance = random.Random(7)
    for number in range(count):
        if number % 25 == 0:
            folder = root / f"d{number // 2500}" / f"e{number // 25}"
            folder.mkdir(parents=True)
        size = chance.randrange(1024, 8192)
        text = number % 5 < 3
        (folder / f"file{number}.txt").write_bytes((WORDS * 103)[:size] if text else chance.randbytes(size))


def some_large(root: Path, count: int, mib: int = 256) -> None:
    """Make `count` incompressible files."""
    for number in range(count):
        with (root / f"large{number}").open("wb") as file:
            for _ in range(mib // 16):
                file.write(os.urandom(16 << 20))


def mixed(root: Path, count: int) -> None:
    """Make `count` small files, a twentieth as many of 256 KiB to 1 MiB, and two large ones."""
    many_small(root, count)
    chance = random.Random(8)
    (root / "data").mkdir()
    for number in range(count // 20):
        (root / "data" / f"part{number}.bin").write_bytes(chance.randbytes(chance.randrange(1 << 18, 1 << 20)))
    some_large(root, 2, 128)


def change(root: Path, turn: int) -> None:
    """Change one file in a hundred: its bytes, its time, and sometimes its size."""
    for number, path in enumerate(sorted(path for path in root.rglob("*") if path.is_file())):
        if number % 100 == turn % 100:
            with path.open("r+b") as file:
                file.write(b"changed %d " % turn)
                if number % 3 == 0:
                    file.truncate(1000)


class Case:
    """One measurement: bare rsync and ours, in turn, each into its own folder."""

    def __init__(self, base: Path, port: int, *, up: bool) -> None:
        self.base, self.port, self.up = base, port, up
        self.workspace = Workspace("http://bench", "me", Secret("k"), identity_file=base / "id")
        self.rounds: dict[str, list[float]] = {"bare": [], "ours": []}

    def bare(self, local: Path, remote: str) -> None:
        ssh = (
            f"ssh -p {self.port} -i {self.base}/id -o BatchMode=yes -o IdentitiesOnly=yes "
            f"-o StrictHostKeyChecking=no -o UserKnownHostsFile={self.base}/known -o LogLevel=ERROR"
        )
        there = f"{getpass.getuser()}@localhost:{remote}/"
        ends = [f"{local}/", there] if self.up else [there, f"{local}/"]
        subprocess.run(["rsync", "-a", "-e", ssh, *ends], check=True)

    def ours(self, bundle: Bundle) -> None:
        with process.running(["sleep", "1000"]) as child:
            folder = Path(tempfile.mkdtemp(prefix="cml-", dir="/tmp"))
            one = tunnel.Tunnel(self.workspace, folder, lambda: Endpoint(child, self.port, "s"), lambda: True)
            try:
                if self.up:
                    with reading_bundle(bundle, self.workspace.url, "me/p") as found:
                        one.open()
                        result = push(one, found, Silent())
                else:
                    with listing_here(bundle) as here:
                        one.open()
                        result = pull(one, bundle, survey(one, bundle, here, Silent()), Silent())
                assert not result.problems, result.problems
            finally:
                one.close()
                shutil.rmtree(folder)

    def compete(self, rounds: int, how: str) -> None:
        """Run both `rounds` times: for FIRST into an empty folder, otherwise onto what the previous round left."""
        project, local = self.base / "project", self.base / "local"
        other = self.base / "project2"
        for number in range(rounds + 1):
            if how == CHANGED and number:
                change(self.base / "bundle/project-data" if self.up else project, number)
            for who in ("bare", "ours") if number % 2 else ("ours", "bare"):
                folder = local / who
                if how == FIRST:
                    empty(project if self.up and who == "ours" else other if self.up else folder / "project-data")
                    empty(self.bundle(folder) / "state")
                for path in (self.bundle(folder) / "state", folder / "project-data"):
                    path.mkdir(parents=True, exist_ok=True)
                os.sync()
                began = time.monotonic()
                if who == "bare":
                    self.bare(self.bundle(folder) / "project-data", str(other) if self.up else ".")
                else:
                    self.ours(Bundle(self.bundle(folder)))
                if number:  # round 0 only warms up
                    self.rounds[who].append(time.monotonic() - began)

    def bundle(self, folder: Path) -> Path:
        return self.base / "bundle" if self.up else folder

    def line(self, name: str) -> str:
        bare, ours = (statistics.median(self.rounds[who]) for who in ("bare", "ours"))
        each = [one / other for one, other in zip(self.rounds["ours"], self.rounds["bare"], strict=True)]
        spread = f"{min(each):.2f}–{max(each):.2f}"
        return f"| {name} | {bare:.2f} s | {ours:.2f} s | **{statistics.median(each):.2f}** | {spread} |"


def empty(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)


def measure(base: Path, port: int, where: str, options: argparse.Namespace) -> None:
    """Run the cases for one round-trip time, one after the other, and print a line of the table for each."""
    kinds = [(f"{options.small:,} files of 1–8 KiB", many_small, options.small)] if options.small else []
    kinds += [(f"{options.large} files of 256 MiB, incompressible", some_large, options.large)] if options.large else []
    kinds += [(f"a mixed tree of {options.mixed:,} files", mixed, options.mixed)] if options.mixed else []
    for title, make, count in kinds:
        for up in (False, True):
            for name in ("project", "project2", "local", "bundle/project-data"):
                empty(base / name)
            make(base / "bundle/project-data" if up else base / "project", count)
            for how in options.how:
                case = Case(base, port, up=up)
                case.compete(options.rounds, how)
                print(case.line(f"{title}, {where}: {how} {'import' if up else 'export'}"), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--small", type=int, default=50_000, help="how many small files; 0 leaves the case out")
    parser.add_argument("--large", type=int, default=8, help="how many files of 256 MiB; they take 4 times that memory")
    parser.add_argument("--mixed", type=int, default=5_000, help="how many small files beside larger ones")
    parser.add_argument("--how", nargs="*", default=[FIRST, UNCHANGED, CHANGED], choices=[FIRST, UNCHANGED, CHANGED])
    parser.add_argument("--rtt", type=float, nargs="*", default=[0, 40], help="round trips, in milliseconds")
    options = parser.parse_args()
    gc.set_threshold(*GC_THRESHOLD)  # as the command does
    base = Path(tempfile.mkdtemp(prefix="bench-", dir="/dev/shm"))
    login = f"{getpass.getuser()}@localhost"
    tunnel.LOGIN, rsync.REMOTE_ROOT = login, f"{login}:./"
    (base / "project").mkdir()
    try:
        with sshd(base) as port:
            print("| what | bare `rsync -a` | cmlutil | ratio | of the rounds |\n|---|---|---|---|---|")
            for rtt in options.rtt:
                measure(base, Proxy(port, rtt / 1000).port if rtt else port, f"{rtt:g} ms" if rtt else "near", options)
    finally:
        shutil.rmtree(base, ignore_errors=True)


if __name__ == "__main__":
    main()
