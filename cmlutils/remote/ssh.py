"""How ssh is called: with which keys and settings, and why it could not connect."""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import re
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING

from cmlutils.errors import CommandError, TunnelError
from cmlutils.remote import agent, process

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cmlutils.section import Workspace

log = logging.getLogger(__name__)
CONNECT_SECONDS = 20
PAUSES = (1.0, 1.0, 2.0, 2.0, 4.0, 5.0, 5.0, 10.0, 10.0, 10.0, 10.0)  # seconds before further tries; one minute in all
DEFAULT_KEYS = ("id_ed25519", "id_ed25519_sk", "id_ecdsa", "id_ecdsa_sk", "id_rsa", "id_dsa")
SETTINGS = (
    "BatchMode=yes", "ServerAliveInterval=15", "ServerAliveCountMax=4", "GlobalKnownHostsFile=/dev/null",
    "StrictHostKeyChecking=accept-new", "HostName=localhost", "ProxyCommand=none", "ProxyJump=none",
    "ClearAllForwardings=yes", "ForwardAgent=no", "ForwardX11=no", "PermitLocalCommand=no", "LogLevel=ERROR",
    "RemoteCommand=none", "RequestTTY=no", "CanonicalizeHostname=no", "AddressFamily=any", "BindAddress=localhost",
    "PubkeyAuthentication=yes", "PreferredAuthentications=publickey", "RevokedHostKeys=none",
)  # fmt: skip
FAST = "Ciphers=^aes128-gcm@openssh.com,aes256-gcm@openssh.com"
_MEND_SETTINGS = "fix ~/.ssh/config, or what it or /etc/ssh/ssh_config includes"
_NO_USER = b"No user exists for uid"  # what OpenSSH's programs say then, whatever they are asked
_MEND_USER = "add this user to /etc/passwd, as containers that choose the user's number may not"
NO_COMMAND = "KnownHostsCommand=none"
# the first versions with accept-new, with ^, and with KnownHostsCommand, according to the release notes
OLDEST, PREFERS, COMMANDS = (7, 6), (8, 1), (8, 5)


class Broken(TunnelError):
    """ssh could not connect, but may do so later."""


class Refused(TunnelError):
    """The session refuses us with these keys or settings; trying again does not help."""


def _home() -> Path:
    """Return the user's home; one that does not exist for a user without any."""
    return Path(os.path.expanduser("~"))  # noqa: PTH111 - Path.home() would raise


def identities(workspace: Workspace) -> list[Path]:
    """Return the private keys to offer: the configured one, or else all in $HOME/.ssh, default names first."""
    if workspace.identity_file:
        return [workspace.identity_file]
    folder = _home() / ".ssh"
    others = sorted(path.with_suffix("") for path in folder.glob("*.pub")) if folder.is_dir() else []
    named = [folder / name for name in DEFAULT_KEYS]
    return [path for path in [*named, *(path for path in others if path not in named)] if path.is_file()]


def known_hosts(folder: Path, port: int) -> Path:
    """Return where the host key of the session at this local port is kept."""
    return folder / f"known-{port}"


def command(workspace: Workspace, port: int, folder: Path) -> list[str]:
    """Build the ssh argv without the destination; host keys and the master's socket are kept in `folder`."""
    argv = ["ssh", "-p", str(port), "-S", str(folder / "s")]
    known = f"UserKnownHostsFile={known_hosts(folder, port)}"
    argv += _set(*_settings(), f"ConnectTimeout={CONNECT_SECONDS}", known)
    for key in identities(workspace):
        argv += _offered(str(key))
    argv += ["-o", "IdentitiesOnly=yes"] if workspace.identity_file else []
    return [*argv, *agent.options()]


def _settings() -> list[str]:
    """Return the settings that override those of the user and the machine, as far as our ssh knows them."""
    newer = [setting for setting, since in ((FAST, PREFERS), (NO_COMMAND, COMMANDS)) if version() >= since]
    return [*SETTINGS, *newer]


def _set(*settings: str) -> list[str]:
    return [word for setting in settings for word in ("-o", setting)]


def _offered(key: str) -> list[str]:
    """Return the options to offer a key. Where its name has a %, which ssh expands, `-i` would not do."""
    if "%" not in key:
        return ["-i", key]
    escaped = key.replace("%", "%%").replace('"', r"\"")
    return ["-o", f'IdentityFile="{escaped}"']


def get_in(
    connect: Callable[[], None], pauses: Sequence[float], *, lives: Callable[[], bool], sleep: Callable[[float], None]
) -> None:
    """Connect to a session that was just opened, trying several times, as it may not let anybody in yet."""
    end = time.monotonic() + sum(pauses)
    for pause in pauses:
        try:
            return connect()
        except Broken as error:  # noqa: PERF203
            if not lives() or time.monotonic() + pause > end:
                raise
            log.warning("%s\nTrying again in %d s.", error.message, pause)
            sleep(pause)
    return connect()


def with_reasons(argv: Sequence[str]) -> list[str]:
    """Return the argv changed so that ssh says why it can't connect; at LogLevel=ERROR it rarely does."""
    return [argv[0], "-o", "LogLevel=INFO", *argv[1:]]


def refusal(workspace: Workspace, said: bytes) -> TunnelError:
    """Return the error that says why ssh could not connect."""
    host = workspace.host
    if b"Permission denied" not in said:
        lines = [line for line in said.splitlines() if not line.startswith(b"Warning: Permanently added ")]
        reason = process.text(b"\n".join(lines)) or "it gave no reason"
        message = f"ssh can't connect through the tunnel to {host}: {reason}"
        if b"Unable to negotiate" not in said:
            return Broken(message)
        settings = "HostKeyAlgorithms, KexAlgorithms, Ciphers and MACs"
        return Refused(message, hint=f"Look at {settings} in ~/.ssh/config and /etc/ssh/ssh_config.")
    keys = identities(workspace)
    if unusable := _unusable(keys):
        return unusable
    names = ", ".join(map(str, keys)) or "none; there is no key in ~/.ssh"
    return Refused(
        f"{host} accepted no ssh key (offered: {names}).",
        hint=f"Upload the public key in User Settings > Remote Editing of {workspace.url}.",
    )


def settings_trouble() -> tuple[str, str]:
    """Say why ssh can't run with this user and the settings here, and what helps; both empty if it can."""
    result = process.run(["ssh", *_set(*_settings()), "-G", "localhost"], timeout=30, check=False)
    if not result.code:
        return "", ""
    said = process.text(result.err) or f"it ended with exit code {result.code}"
    why = said.splitlines()[0]
    if _NO_USER in result.err:
        return f"ssh does not run: {why}", _MEND_USER
    return f"ssh can't use its settings: {why}", _MEND_SETTINGS


def check_settings() -> None:
    """Raise Refused if ssh can't run with this user and the settings here, before a session is opened in vain."""
    why, fix = settings_trouble()
    if why:
        raise Refused(why, hint=_sentence(fix))


def check_keys(workspace: Workspace) -> None:
    """Raise Refused if none of our keys can be used, before a session is opened in vain.

    Nothing is checked if there is an agent, which may hold a key, or an ssh configuration, which may name others.
    """
    told = not workspace.identity_file and (_home() / ".ssh/config").exists()
    if told or os.environ.get("SSH_AUTH_SOCK"):
        return
    with contextlib.suppress(CommandError):  # no ssh-keygen
        if unusable := _unusable(identities(workspace)):
            raise unusable


def _unusable(keys: Sequence[Path]) -> Refused | None:
    """If none of these keys can be used, return an error on the first; else None."""
    first: tuple[Path, str, str] | None = None
    for key in keys:
        why, fix = trouble(key)
        if not why:
            return None
        first = first or (key, why, fix)
    if first is None:
        return None
    key, why, fix = first
    return Refused(f"The ssh key {key} {why}.", hint=_sentence(fix))


def _sentence(fix: str) -> str:
    return f"{fix[:1].upper()}{fix[1:]}."


def trouble(key: Path) -> tuple[str, str]:
    """Say why ssh can't use a private key without asking somebody, and what helps; both empty if it can."""
    result = process.run(["ssh-keygen", "-y", "-P", "", "-f", str(key)], timeout=10, check=False)
    if not result.code:
        return "", ""
    if b"passphrase" in result.err:
        return "has a passphrase, and no agent holds it", f"run: eval $(ssh-agent); ssh-add {key}"
    if key.suffix == ".pub" or re.search(rb"invalid format|error in libcrypto", result.err):
        return "is not a private key that ssh can read", "name the private key, whose name does not end in .pub"
    if b"bad permissions" in result.err:
        return "may be read by others, so ssh ignores it", f"run: chmod 600 {key}"
    if _NO_USER in result.err:
        return f"can't be used: {process.text(result.err, 1)}", _MEND_USER
    reason = process.text(result.err, 1).rpartition(": ")[2] or f"ssh-keygen ended with exit code {result.code}"
    return f"can't be read: {reason}", "fix its permissions, or name another key"


def version() -> tuple[int, ...]:
    """Return the version of our ssh; () if it is not OpenSSH."""
    return _version_of(shutil.which("ssh") or "ssh")


@functools.cache
def _version_of(program: str) -> tuple[int, ...]:
    said = process.run([program, "-V"], timeout=10, check=False)
    match = re.search(rb"OpenSSH\D*(\d+)\.(\d+)", said.err + said.out)
    return tuple(map(int, match.groups())) if match else ()
