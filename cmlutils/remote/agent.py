"""The ssh agent that the environment names: whether ssh may ask it. ssh itself would wait for a silent one for ever."""

from __future__ import annotations

import logging
import os
import socket
from pathlib import Path

log = logging.getLogger(__name__)
SECONDS = 5.0
_LIST_KEYS = b"\0\0\0\1\x0b"  # SSH_AGENTC_REQUEST_IDENTITIES


def options() -> list[str]:
    """Return the ssh options that keep it from asking an agent that is silent or another user's; none otherwise."""
    path = Path(os.environ.get("SSH_AUTH_SOCK") or os.devnull)
    if not path.is_socket():  # ssh does without
        return []
    if os.geteuid() not in {0, path.stat().st_uid}:  # root may use the agent of who became root
        why = "belongs to another user"
    elif not _answers(path):
        why = f"gave no answer within {SECONDS:g} s"
    else:
        return []
    log.warning("The ssh agent at %s %s; it is not used.", path, why)
    return ["-o", "IdentityAgent=none"]


def _answers(path: Path) -> bool:
    """Tell whether it answers at all, or refuses at once, which ssh copes with."""
    with socket.socket(socket.AF_UNIX) as agent:
        agent.settimeout(SECONDS)
        try:
            agent.connect(os.fspath(path))
            agent.sendall(_LIST_KEYS)
            agent.recv(1)
        except TimeoutError:
            return False
        except OSError:
            return True
    return True
