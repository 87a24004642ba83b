"""The workspace's own client: fetched, and logged in privately.

The client keeps one login in `$HOME/.cdsw/config.yaml`. We write that file ourselves into a private HOME, as
the vendor's document has it, so that parallel runs don't disturb each other and the key is on no command line.
"""

from __future__ import annotations

import contextlib
import gzip
import logging
import os
import platform
import re
import shutil
import sys
import tarfile
import tempfile
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

from cmlutils.errors import Rejected, TunnelError
from cmlutils.remote import process
from cmlutils.remote.private import place_for_programs, private_folder, temp_errors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from cmlutils.section import Workspace

    Download = Callable[[str, BinaryIO, int], None]

log = logging.getLogger(__name__)
MAX_ARCHIVE = 200 << 20
MAX_CLIENT = 256 << 20
MAX_MEMBERS = 1000
_NO_FLAG = re.compile(rb"(unknown|undefined|not defined|unrecogni[sz]ed).*(flag|option|insecure)", re.IGNORECASE)


@dataclass(frozen=True)
class Client:
    """A client that is logged in to one workspace, in a HOME of its own."""

    path: Path
    home: Path
    workspace: Workspace

    @property
    def env(self) -> dict[str, str]:
        """The environment to run it in; SSL_CERT_FILE names the CA file to a Go program on Linux."""
        env = {**os.environ, "HOME": str(self.home)}
        if isinstance(self.workspace.verify, str):
            env["SSL_CERT_FILE"] = self.workspace.verify
        elif bundle := env.get("REQUESTS_CA_BUNDLE") or env.get("CURL_CA_BUNDLE"):  # what our own requests trust
            env.setdefault("SSL_CERT_DIR" if os.path.isdir(bundle) else "SSL_CERT_FILE", bundle)  # noqa: PTH112
        return env

    @property
    def flags(self) -> list[str]:
        """The flags for TLS. `login` and `ssh-endpoint` take them; for `sessions`, no public capture says so."""
        return ["--insecure-skip-verify"] if self.workspace.verify is False else []

    def run(self, *words: str, timeout: float = 30) -> process.Result:
        """Run one of its commands; the caller has to judge the exit code."""
        return process.run([str(self.path), *words], env=self.env, timeout=timeout, check=False)

    def sessions(self, *words: str, timeout: float) -> process.Result:
        """Run a `sessions` command; if the client does not know our flags, run it again without them."""
        result = self.run("sessions", *words, *self.flags, timeout=timeout)
        if self.flags and result.code and _NO_FLAG.search(result.err + result.out):
            result = self.run("sessions", *words, timeout=timeout)
        return result

    def mask(self, data: bytes) -> str:
        """Return the end of its output for use in a message, with the key masked."""
        key = self.workspace.api_key.reveal()
        shown = process.text(data)
        return shown.replace(key, "***") if key else shown

    def log_in(self) -> None:
        """Log in by a command, as a last resort: meanwhile, other users of this machine can see the key."""
        log.warning("cdswctl did not use its login file; the API key shows in the process list while it logs in.")
        user, key = self.workspace.username, self.workspace.api_key.reveal()
        argv = [str(self.path), "login", "-n", user, "-u", self.workspace.url, "-y", key, *self.flags]
        result = process.run(argv, env=self.env, timeout=60, check=False, secret=key)
        if result.code:
            raise TunnelError(
                f"cdswctl can't log in to {self.workspace.host}: {self.mask(result.err or result.out)}",
                hint="Check username and apiv1_key; some workspaces want the other kind of API key here.",
            )


@contextlib.contextmanager
def private_client(workspace: Workspace, download: Download) -> Iterator[Client]:
    """Fetch the client and log it in, in a private folder that is removed when the block ends."""
    with private_folder(place_for_programs()) as folder:
        with temp_errors(folder.parent):
            client = logged_in(workspace, fetch(download, folder), folder)
        yield client


def logged_in(workspace: Workspace, path: Path, home: Path) -> Client:
    """Write the login file that the client reads, and return the client."""
    import yaml

    folder = home / ".cdsw"
    folder.mkdir(mode=0o700, exist_ok=True)
    auth = {"authtype": 1, "basic": None, "apikey": workspace.api_key.reveal()}
    login = {"username": workspace.username, "url": workspace.url, "auth": auth}
    descriptor = os.open(folder / "config.yaml", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with open(descriptor, "w", encoding="utf-8") as file:  # noqa: PTH123 - a descriptor
        yaml.safe_dump(login, file, sort_keys=False)
    return Client(path, home, workspace)


def _platform() -> tuple[str, str]:
    """Return the system and processor of the client that runs here, as the workspace's archives name them."""
    if sys.platform == "darwin":
        return "darwin", "amd64"  # Rosetta runs it on the newer machines
    return "linux", "arm64" if platform.machine().lower() in {"aarch64", "arm64"} else "amd64"


def fetch(download: Download, folder: Path) -> Path:
    """Download the client's archive, extract the client into `folder` (mode 0700), and return its path.

    `download(path, file, limit)` writes what the workspace serves to the file, and raises above `limit` bytes.
    """
    system, machine = _platform()
    where = f"/cli/{system}/{machine}/cdsw.tar.gz"
    with tempfile.TemporaryFile(dir=folder) as archive:
        try:
            download(where, archive, MAX_ARCHIVE)
        except Rejected as error:
            if machine != "arm64":
                raise
            raise TunnelError(
                "The workspace has no cdswctl for this machine (Linux on arm64).",
                hint="Run cmlutil on an x86-64 machine or on macOS.",
            ) from error
        archive.seek(0)
        if archive.read(2) != b"\x1f\x8b":
            raise TunnelError(
                f"{where} is not an archive: the workspace answered with something else, such as a web page.",
                hint="Check the url of the workspace, and whether a proxy or a login page is in between.",
            )
        archive.seek(0)
        return _unpack(archive, folder / "cdswctl", where)


class _Bounded:
    """A stream with a maximum length, as a small archive may unpack to any size."""

    def __init__(self, file: gzip.GzipFile, where: str) -> None:
        self._file, self._where, self._left = file, where, MAX_CLIENT

    def read(self, size: int) -> bytes:
        """Read on; raise TunnelError beyond the maximum length."""
        chunk = self._file.read(size)
        self._left -= len(chunk)
        if self._left < 0:
            raise TunnelError(f"{self._where} unpacks to more than {MAX_CLIENT >> 20} MiB, which can't be right.")
        return chunk


def _unpack(archive: BinaryIO, path: Path, where: str) -> Path:
    """Extract the client, and nothing else, from the archive to `path`."""
    plain = _Bounded(gzip.GzipFile(fileobj=archive, mode="rb"), where)
    try:
        with tarfile.open(fileobj=plain, mode="r|") as members:  # type: ignore[call-overload]
            for number, member in enumerate(members):
                if number > MAX_MEMBERS:
                    break
                if not member.isreg() or member.name.rpartition("/")[2] != "cdswctl":
                    continue
                if member.size > MAX_CLIENT:
                    raise TunnelError(f"{where}: its cdswctl has {member.size} bytes, which can't be right.")
                source = members.extractfile(member)
                descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o700)
                with open(descriptor, "wb") as file:  # noqa: PTH123 - a descriptor
                    if source is not None:
                        shutil.copyfileobj(source, file)
                while plain.read(1 << 16):  # read to the end, so that gzip verifies its checksum
                    pass
                return path
    except (tarfile.TarError, EOFError, OSError, ValueError, zlib.error) as error:
        if isinstance(error, OSError) and error.errno:  # not the archive's fault
            raise
        raise TunnelError(f"{where} can't be unpacked: {error}.", hint="Run the command again.") from error
    raise TunnelError(f"{where} holds no cdswctl.", hint="Check the url of the workspace.")
