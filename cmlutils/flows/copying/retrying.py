"""Repeat what a dropped tunnel cut short."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, TypeVar

from cmlutils.errors import CommandError, TransferError, TunnelError

if TYPE_CHECKING:
    from collections.abc import Callable

    from cmlutils.remote.tunnel import Tunnel

log = logging.getLogger(__name__)
T = TypeVar("T")


def retrying(tunnel: Tunnel, action: Callable[[], T], *, lasting: bool = True) -> T:
    """Do the action, and repeat it through a reopened tunnel when the tunnel dropped meanwhile.

    With `lasting`, its effect survives the next drop, so it counts as progress: the tunnel gets its full number of
    attempts again.
    """
    while True:
        try:
            result = action()
        except TunnelError as error:
            log.warning("%s", error)
        except (TransferError, CommandError) as error:
            if tunnel.alive():
                raise
            log.warning("%s", error)
        else:
            if lasting:
                tunnel.progressed()
            return result
        tunnel.reopen()
