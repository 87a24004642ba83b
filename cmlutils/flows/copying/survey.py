"""What a pull has to know of the source before it touches the bundle: its `.exportignore`, and its rsync."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from cmlutils.errors import TransferError
from cmlutils.flows.copying.ignore_files import EXPORT_RULES, rules_of
from cmlutils.flows.copying.rsyncs import Rsyncs, both_rsyncs
from cmlutils.flows.copying.transfer import retrying
from cmlutils.remote import process

if TYPE_CHECKING:
    from cmlutils.ignore import IgnoreRules
    from cmlutils.remote.tunnel import Tunnel


class Survey(NamedTuple):
    """The rules of `.exportignore`, and what the rsyncs of both ends can."""

    rules: IgnoreRules
    rsyncs: Rsyncs


def survey(tunnel: Tunnel) -> Survey:
    """Ask it all in one go; raise ConfigError, CommandError or TransferError for what can't be used."""
    tunnel.prepare(3)  # for this, the listing, and what is asked or looked at next
    script = rf"rsync --version 2>/dev/null; printf '\000'{EXPORT_RULES}"
    said = retrying(tunnel, lambda: tunnel.run(script, check=False))
    version, ran, text = said.out.partition(b"\0")
    if not ran:
        why = process.text(said.err) or f"exit code {said.code}"
        raise TransferError(
            f"The session's shell does not run what it is told: {why}",
            hint="Let .bashrc and the like end the shell, and set PATH, only where the shell is interactive.",
        )
    return Survey(rules_of(said._replace(out=text)), both_rsyncs(version))
