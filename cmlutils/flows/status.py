"""What is done and left of a section, read from what runs wrote; no workspace is asked."""

from __future__ import annotations

import fcntl
import os
from typing import TYPE_CHECKING

from cmlutils.bundle import read_json
from cmlutils.errors import BundleError

if TYPE_CHECKING:
    from cmlutils.bundle import Bundle
    from cmlutils.config import Side


def status_of(bundle: Bundle, side: Side) -> dict[str, str]:
    """Return the state in words, and who holds the bundle (empty: nobody)."""
    holder = _holder(bundle)
    if holder:
        return {"state": f"in use by {holder}", "holder": holder}
    metrics = bundle.logs / f"{side}_metrics.json"
    if not metrics.exists():
        return {"state": "not begun", "holder": ""}
    try:
        content = read_json(metrics, dict)
    except BundleError as error:
        return {"state": str(error), "holder": ""}
    code = content.get("exit_code")
    state = "done" if code == 0 else f"ended with exit code {code}: {content.get('error') or 'see the report'}"
    return {"state": f"{state} ({content.get('started_at')})", "holder": ""}


def _holder(bundle: Bundle) -> str:
    """Return who holds the lock, without taking it for longer than a glance."""
    path = bundle.state / "lock"
    if not path.exists():
        return ""
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return os.read(handle, 200).decode(errors="replace").strip() or "another process"
    else:
        return ""
    finally:
        os.close(handle)
