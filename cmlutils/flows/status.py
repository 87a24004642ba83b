"""How far a section is, read from what runs wrote to the disk; no workspace is asked."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cmlutils import paths
from cmlutils.errors import BundleError
from cmlutils.lock import holder_of
from cmlutils.progress import RunState
from cmlutils.wholefile import read_json

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cmlutils.bundle import Bundle
    from cmlutils.section import Side


@dataclass(frozen=True)
class SideState:
    """How far one side of a section is. `state` says so in words; `running` is true while a process works on it.

    `files` is that of a `RunState`, or of the last report; `workloads` counts outcomes by kind.
    """

    state: str
    running: bool = False
    holder: str = ""
    pid: int = 0
    since: str = ""
    phase: str = ""
    step: str = ""
    files: Mapping[str, Any] = field(default_factory=dict)
    workloads: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    error: str = ""


def status_of(bundle: Bundle, side: Side) -> SideState:
    """Return how far this side of a bundle is; only the lock tells whether a process works on it.

    If nobody holds the lock, and the progress file is the same at a second look, the run that wrote it was killed; a
    first look alone may fall into the moment in which a run begins or ends.
    """
    try:
        now, holder = RunState.read(bundle.progress), holder_of(bundle.lock_file)
        if now and not holder:
            still = RunState.read(bundle.progress)
            now = still if still and still.pid == now.pid else None
    except OSError as error:  # such as another user's bundle
        return SideState(f"can't be read: {error.strerror}", error=str(error.strerror))
    mine = now if now and (now.verb == "export") == (side == "export") else None
    if holder and mine and mine.pid == holder.pid:
        return SideState(
            state=f"in use by {holder.text}",
            running=True,
            holder=holder.text,
            pid=holder.pid,
            since=mine.started_at,
            phase=mine.phase,
            step=mine.step,
            files=mine.files,
            workloads=mine.workloads,
            error=mine.warning,
        )
    if holder and (now is None or now.pid != holder.pid):
        return SideState(f"in use by {holder.text}", running=True, holder=holder.text, pid=holder.pid)
    if mine and not holder:
        where = f"{mine.phase or 'its beginning'} ({mine.updated_at})"
        text = f"{mine.verb} was killed in {where}: run it again, and it continues from there"
        return SideState(text, phase=mine.phase, workloads=mine.workloads)
    return _ended(bundle, side)


def _ended(bundle: Bundle, side: Side) -> SideState:
    """Return how this side ended, as its last report says."""
    metrics = bundle.metrics(side)
    if not paths.exists(metrics):
        return SideState("not begun")
    try:
        content = read_json(metrics, dict)
    except BundleError as error:
        return SideState(str(error), error=str(error))
    counts: dict[str, dict[str, int]] = {}
    outcomes, files = content.get("outcomes"), content.get("files")
    for one in outcomes if isinstance(outcomes, list) else ():
        if isinstance(one, dict):
            of_kind = counts.setdefault(str(one.get("kind")), {})
            of_kind[str(one.get("status"))] = of_kind.get(str(one.get("status")), 0) + 1
    code, why = content.get("exit_code"), str(content.get("error") or "")
    whose = "validation " if content.get("verb") == "validate-migration" else ""  # it overwrites the import's report
    end = "done" if code == 0 else f"ended with exit code {code}: {why or 'see the report'}"
    state = f"{whose}{end} ({content.get('started_at')})"
    return SideState(state, files=files if isinstance(files, dict) else {}, workloads=counts, error=why)
