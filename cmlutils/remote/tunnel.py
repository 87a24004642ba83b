"""One ssh connection into a session on a workspace: commands run over it, and it is reopened when it drops.

cdswctl forwards a local port to the session's sshd. One ssh master connects through that port, and every command and
every rsync uses the master. If the master is gone, ssh falls back to a connection of its own.
"""

from __future__ import annotations

import contextlib
import logging
import math
import random
import time
from typing import TYPE_CHECKING

from cmlutils import interrupts
from cmlutils.errors import CommandError, TransferError, TunnelError
from cmlutils.remote import endpoint, orphans, process, ssh
from cmlutils.remote.channels import MISLED, Channels, own_errors
from cmlutils.remote.private import private_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence
    from pathlib import Path

    from cmlutils.remote.cdswctl import Client
    from cmlutils.remote.endpoint import Endpoint
    from cmlutils.section import Workspace

log = logging.getLogger(__name__)
LOGIN = "cdsw@localhost"
REOPENINGS = 6
ANY = range(255)  # exit codes of a script; 255 is ssh's own
CHANNELS = 2  # opened in advance, as every flow has a few commands to run
MAX_ERRORS = 64 << 20  # bytes of standard error of one command


class Tunnel:
    """A way into one project's folder: run a script there, stream its output, or let rsync use `ssh_argv`.

    `answered_in` is the shortest time, in seconds, until a script answered: little more than a round trip.
    """

    sleep = staticmethod(time.sleep)  # between two attempts to reopen

    def __init__(
        self, workspace: Workspace, folder: Path, dial: Callable[[], Endpoint], wait_until_back: Callable[[], bool]
    ) -> None:
        self.workspace = workspace
        self.ssh_argv: list[str] = []
        self.session = ""
        self.answered_in = math.inf
        self._folder = folder
        self._dial = dial
        self._wait_until_back = wait_until_back
        self._endpoint: Endpoint | None = None
        self._master = contextlib.ExitStack()
        self._channels = Channels([])
        self._attempts = 0

    def open(self) -> None:
        """Open the tunnel; if the workspace was away or the connection broke, try again."""
        try:
            self._open(ssh.PAUSES)
        except TunnelError as error:
            if not self._wait_until_back() and not isinstance(error, ssh.Broken):
                raise
            log.warning("%s", error)
            self.reopen()

    def _open(self, pauses: Sequence[float] = ()) -> None:
        """Open the endpoint, and the master through it; with `pauses`, try several times to get into the session."""
        self._endpoint = self._dial()
        self.session = self._endpoint.session
        ssh.known_hosts(self._folder, self._endpoint.port).unlink(missing_ok=True)  # each session has a new host key
        self.ssh_argv = ssh.command(self.workspace, self._endpoint.port, self._folder)
        self._channels = Channels([*self.ssh_argv, LOGIN])
        child = self._endpoint.child
        ssh.get_in(self._connect, pauses, lives=lambda: child.poll() is None, sleep=self.sleep)

    def _connect(self) -> None:
        """Start the master and wait until it is connected; without one, plain connections have to do."""
        argv = [*ssh.with_reasons(self.ssh_argv), "-o", "ControlMaster=yes", "-o", "ControlPersist=no", "-N", LOGIN]
        master = self._master.enter_context(process.running(argv, grace=1.0))
        end = time.monotonic() + ssh.CONNECT_SECONDS + 5
        while time.monotonic() < end and master.poll() is None:
            if (self._folder / "s").exists():  # ssh creates its socket when it is connected
                master.drop()
                self.prepare(CHANNELS)
                return
            time.sleep(0.005)
        said = b"\n".join(line for _, line in master.lines(1.0))
        self.close()
        result = self._plain("true")
        if result.code:
            raise ssh.refusal(self.workspace, said + b"\n" + result.err)
        log.debug("no ssh master: %s", process.text(said))

    def prepare(self, channels: int = 1) -> None:
        """Open channels for commands that will follow soon; each of those then takes only one round trip."""
        if (self._folder / "s").exists():
            self._channels.prepare(channels)

    def _plain(self, script: str) -> process.Result:
        argv = [*ssh.with_reasons(self.ssh_argv), "-n", LOGIN, script]
        return process.run(argv, timeout=ssh.CONNECT_SECONDS + 10, check=False)

    def run(self, script: str, data: bytes = b"", *, timeout: float = 60, ok: Sequence[int] = (0,)) -> process.Result:
        """Run a shell script in the project's folder, with `data` as its input.

        Raises TransferError unless its exit code is in `ok`.
        """
        with self._channels.channel(script) as (child, line):
            began = time.monotonic()
            result = process.finish(child, line + data, timeout)
        self.answered_in = min(self.answered_in, time.monotonic() - began)
        result = result._replace(err=own_errors(result.err))
        _judge(result.code, result.err, ok)
        return result

    def stream(
        self, script: str, *, ok: Sequence[int] = (0,), err: bytearray | None = None
    ) -> Generator[bytes, None, None]:
        """Yield the standard output of a script as it comes; at the end, judge its exit code as `run` does.

        Its standard error is added to `err` unless it ended with 0: then nothing failed.
        """
        errors = bytearray() if err is None else err
        with self._channels.channel(script) as (child, line):
            began = time.monotonic()
            child.feed(line)
            with process.beside(child, grace=1.0) as running:
                for name, chunk in running.chunks():
                    if name == "out":
                        self.answered_in = min(self.answered_in, time.monotonic() - began)
                        yield chunk
                    else:
                        errors += chunk
                    if len(errors) > MAX_ERRORS:
                        said = process.text(running.err)
                        raise TransferError(f"A command on the workspace writes errors without end: {said}")
                code = running.wait(30)
        own = own_errors(bytes(errors))
        errors[:] = own if code else b""
        _judge(255 if code is None else code, own, ok)

    def alive(self) -> bool:
        """Tell whether a command can be run right now."""
        child = self._endpoint.child if self._endpoint else None
        if child is None or child.poll() is not None:
            return False
        try:
            return not self._plain("true").code
        except CommandError:
            return False

    def progressed(self) -> None:
        """Note that something got through, so that `reopen` counts its attempts from the beginning."""
        self._attempts = 0

    def reopen(self) -> None:
        """Reopen the tunnel, waiting longer each time; raise TunnelError after six attempts without progress."""
        self.close()
        last = ""
        while True:
            self._wait_until_back()
            self._attempts += 1
            if self._attempts > REOPENINGS:
                raise TunnelError(
                    f"The tunnel to {self.workspace.host} dropped {REOPENINGS} times without progress. {last}".strip(),
                    hint="Run the command again; it continues where it stopped.",
                )
            pause = min(2.0 ** (self._attempts - 1), 30) * random.uniform(0.5, 1)  # noqa: S311 - jitter
            log.warning("The tunnel dropped; reopening it in %.1f s (attempt %d).", pause, self._attempts)
            self.sleep(pause)
            try:
                if self.alive():
                    self._connect()
                else:
                    self._open()
            except ssh.Refused:
                raise
            except (TunnelError, CommandError) as error:
                log.warning("Reopening failed: %s", error)
                last = error.message
                self.close()
                continue
            return

    def close(self) -> None:
        """End the channels and the master; the endpoint is left to whoever opened it."""
        self._channels.close()
        self._master.close()
        (self._folder / "s").unlink(missing_ok=True)


def _judge(code: int, err: bytes, ok: Sequence[int]) -> None:
    """Raise TunnelError for a broken connection, and TransferError for an exit code that is not in `ok`."""
    if code == 255 or code < 0:
        raise TunnelError(f"The ssh connection broke: {process.text(err) or 'it gave no reason'}")
    if code == MISLED:
        raise TransferError(
            f"The session's shell does not start in the project's folder, but in {process.text(err)}.",
            hint="Let .bashrc and the like change the folder only where the shell is interactive.",
        )
    if code not in ok:
        raise TransferError(f"A command on the workspace ended with exit code {code}: {process.text(err)}")


@contextlib.contextmanager
def open_tunnel(
    workspace: Workspace,
    project: str,
    client: Client,
    *,
    runtime_id: int | None = None,
    session_file: Path | None = None,
    deadline: float = 120,
    wait_until_back: Callable[[], bool] = lambda: False,
) -> Iterator[Tunnel]:
    """Open a session of `project` (owner/slug) and a connection into it; both end with the block.

    `session_file` holds a note of the session, for the next run in case this one can't end it. `wait_until_back` waits
    until the workspace answers and returns whether it was away, as an outage is not the tunnel's fault.
    """
    sessions = contextlib.ExitStack()
    with private_folder("/tmp") as folder:  # noqa: S108 - short, for the master's socket
        note = session_file or folder / "session.json"

        def dial() -> Endpoint:
            sessions.close()
            orphans.close_orphan(client, note)  # of an earlier run, or our own, from when the workspace was away
            return sessions.enter_context(
                endpoint.endpoint(client, project, runtime_id=runtime_id, session_file=note, deadline=deadline)
            )

        tunnel = Tunnel(workspace, folder, dial, wait_until_back)
        try:
            tunnel.open()
            yield tunnel
        finally:
            with interrupts.held():
                with sessions:
                    tunnel.close()
                orphans.warn_again(client, note)
