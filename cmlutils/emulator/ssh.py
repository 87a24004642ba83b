"""The inside of a session: an ssh server on its own port, which runs commands in a project's folder."""

from __future__ import annotations

import asyncio
import contextlib
import glob
import os
import re
import signal
from asyncio.subprocess import PIPE
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import asyncssh

if TYPE_CHECKING:
    from asyncio.subprocess import Process

_HOME = re.compile(r"(?<![\w./-])/home/cdsw(?![\w.-])")
_BUFFER = 256 * 1024
_SMALL = 16 * 1024
_MOMENT = 0.001
_GRACE = 1.0
_ACCEPTING = 3  # turns of the loop from the readiness of a listening socket to its protocol's connection_made
_NO_RSYNC = "#!/bin/sh\necho 'sh: rsync: command not found' >&2\nexit 127\n"


def authorized_keys(entries: list[str]) -> str:
    """Return the text of an authorized_keys file; an entry is a line of it, or a pattern of paths of such files."""
    lines: list[str] = []
    for entry in entries:
        if " " in entry.strip() and not entry.startswith(("/", "~")):
            lines.append(entry.strip())
            continue
        for path in sorted(glob.glob(os.path.expanduser(entry))):  # noqa: PTH111, PTH207 - patterns may be absolute
            lines += Path(path).read_text(encoding="utf-8").splitlines()
    return "\n".join(line for line in lines if line.strip()) + "\n"


@dataclass
class Sshd:
    """A session's ssh server, and what runs in it. All coroutines run in the sessions' one thread."""

    folder: Path = Path()
    keys: str = ""
    has_rsync: bool = True
    scratch: Path = Path()
    _connections: set[Any] = field(default_factory=set)
    _children: set[Process] = field(default_factory=set)
    _commands: int = 0  # that are served, or about to be: a child may run before it is known here
    _closing: bool = False
    _listener: Any = None

    async def listen(self) -> int:
        """Start serving on a free port of 127.0.0.1 with a new host key; return the port."""
        keys = asyncssh.import_authorized_keys(self.keys) if self.keys.strip() else None

        self._listener = await asyncssh.listen(
            "127.0.0.1", 0,
            server_factory=lambda: _Gate(self, keys),
            server_host_keys=[asyncssh.generate_private_key("ssh-ed25519")],
            process_factory=self._serve,
            encoding=None, line_editor=False,
            encryption_algs=["aes128-gcm@openssh.com", "aes256-gcm@openssh.com"],  # the fastest of ssh
            password_auth=False, kbdint_auth=False, gss_host=None,
            window=16 * 1024 * 1024,
        )  # fmt: skip
        return int(self._listener.get_port())

    async def drop_connections(self) -> None:
        """Break every connection, as a cut cable would."""
        for connection in list(self._connections):
            connection.abort()

    async def close(self) -> None:
        """Stop serving, and end everything that runs."""
        self._closing = True
        await self._accept_no_more()
        self._listener.close()
        while self._commands or self._connections:
            await self.drop_connections()
            for child in list(self._children):
                _signal(child, signal.SIGKILL)
            await asyncio.sleep(0.01)
        await self._listener.wait_closed()

    async def _accept_no_more(self) -> None:
        """Let nobody in any more, and wait until who was let in is known.

        asyncio forgets, unclosed, a connection that it has accepted and not begun to serve when its server is closed.
        """
        for listening in self._listener.sockets:
            asyncio.get_running_loop().remove_reader(listening)
        for _ in range(_ACCEPTING):
            await asyncio.sleep(0)

    async def _serve(self, process: Any) -> None:
        """Serve one command."""
        self._commands += 1
        try:
            if not self._closing:
                await self._run(process)
        finally:
            self._commands -= 1
        await process.wait_closed()

    async def _run(self, process: Any) -> None:
        """Run one command, with its streams connected to the channel."""
        words = ["-c", self._command(process.command)] if process.command else []
        child = await asyncio.create_subprocess_exec(
            "/bin/sh", *words, cwd=self.folder, env=self._environment(), stdin=PIPE, stdout=PIPE, stderr=PIPE,
            start_new_session=True, limit=_BUFFER,
        )  # fmt: skip
        self._children.add(child)
        feeding = asyncio.create_task(_feed(process.stdin, child.stdin))
        try:
            await asyncio.gather(_pump(child.stdout, process.stdout), _pump(child.stderr, process.stderr))
            process.exit(await child.wait())
        except (OSError, asyncssh.Error):
            process.close()
        finally:
            feeding.cancel()
            await _end(child)
            self._children.discard(child)

    def _command(self, text: str) -> str:
        """Return the command with /home/cdsw replaced by the session's home."""
        return _HOME.sub(str(self.folder), text)

    def _environment(self) -> dict[str, str]:
        path = os.environ.get("PATH", os.defpath)
        if not self.has_rsync:
            path = f"{self._empty_handed()}:{path}"
        return {"PATH": path, "HOME": str(self.folder), "USER": "cdsw", "LOGNAME": "cdsw", "LANG": "C.UTF-8"}

    def _empty_handed(self) -> Path:
        """Return a folder with an rsync that fails like a shell that finds no rsync."""
        folder = self.scratch / "no-rsync"
        folder.mkdir(exist_ok=True)
        program = folder / "rsync"
        if not program.exists():
            program.write_text(_NO_RSYNC, encoding="utf-8")
            program.chmod(0o755)
        return folder

    def joined(self, connection: Any) -> None:
        """Note a new connection."""
        self._connections.add(connection)

    def left(self, connection: Any) -> None:
        """Note that a connection has ended."""
        self._connections.discard(connection)


class _Gate(asyncssh.SSHServer):
    """Lets in the user ``cdsw`` with one of the session's keys, and nobody else."""

    def __init__(self, sshd: Sshd, keys: Any) -> None:
        self._sshd = sshd
        self._keys = keys
        self._connection: Any = None

    def connection_made(self, conn: Any) -> None:
        self._connection = conn
        self._sshd.joined(conn)

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self._sshd.left(self._connection)

    def public_key_auth_supported(self) -> bool:
        return True

    def begin_auth(self, username: str) -> bool:
        if username == "cdsw" and self._keys:
            self._connection.set_authorized_keys(self._keys)
        return True


async def _feed(channel: Any, pipe: Any) -> None:
    """Copy the channel's input to a command's standard input, until either of them ends."""
    with contextlib.suppress(OSError, asyncssh.Error):
        while data := await channel.read(_BUFFER):
            pipe.write(data)
            await pipe.drain()
    pipe.close()


async def _pump(pipe: Any, channel: Any) -> None:
    """Copy a pipe's output to the channel, to its end; raise OSError when the channel is gone.

    After a small piece it waits a moment, so that more is gathered: a packet for each would cost more time.
    """
    while data := await pipe.read(_BUFFER):
        channel.write(data)
        await channel.drain()
        if len(data) < _SMALL:
            await asyncio.sleep(_MOMENT)


async def _end(child: Process) -> None:
    """Close the command's standard input; if it does not end by itself, end it and what it started."""
    if child.stdin is not None:
        child.stdin.close()
    for step in (None, signal.SIGTERM, signal.SIGKILL):
        if step:
            _signal(child, step)
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(child.wait(), _GRACE)
            break
    child._transport.close()  # type: ignore[attr-defined]  # a command's own children may hold its pipes open
    await asyncio.sleep(0)


def _signal(child: Process, number: int) -> None:
    """Send a signal to the process group of a command if it still runs."""
    if child.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, number)
