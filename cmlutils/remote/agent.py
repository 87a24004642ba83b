"""The ssh agent that the environment names, and whether ssh may use it: ssh would wait for a silent one for ever."""

from __future__ import annotations

import logging
import os
import socket
from pathlib import Path

log = logging.getLogger(__name__)
SECONDS = 5.0
_LIST_KEYS = b"\0\0\0\1\x0b"  # SSH_AGENTC_REQUEST_IDENTITIES


def options() -> list[str]:
    """Return ssh options that turn off an agent which is silent or belongs to another user; none for a usable one."""
    path = Path(os.environ.get("SSH_AUTH_SOCK") or os.devnull)
    if not path.is_socket():  # ssh does without
        return []
    if os.geteuid() not in {0, path.stat().st_uid}:  # root may use the agent of the user who became root
        why = "belongs to another user"
    elif not _answers(path):
        why = f"gave no answer within {SECONDS:g} s"
    else:
        return []
    log.warning("The ssh agent at %s %s; it is not used.", path, why)
    return ["-o", "IdentityAgent=none"]


def _answers(path: Path) -> bool:
    """Tell whether the agent answers or fails at once; ssh copes with both."""
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
