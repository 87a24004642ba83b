"""How far a run is, as it tells the terminal, and other processes by way of `state/progress.json`."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from cmlutils.errors import BundleError
from cmlutils.wholefile import read_json

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path


class FileProgress(NamedTuple):
    """How much of the files has been copied, or compared."""

    bytes_done: int
    bytes_total: int
    files_done: int
    files_total: int


class Progress(Protocol):
    """Hears how far a run is."""

    def phase(self, name: str) -> AbstractContextManager[None]:
        """Name what goes on within the block, and take its time."""

    def step(self, name: str) -> None:
        """Name what begins within a phase."""

    def files(self, so_far: FileProgress) -> None:
        """Tell how far the files are."""


class Silent:
    """A Progress that shows nothing."""

    def phase(self, name: str) -> AbstractContextManager[None]:  # noqa: ARG002
        """Say nothing."""
        return nullcontext()

    def step(self, name: str) -> None:
        """Say nothing."""

    def files(self, so_far: FileProgress) -> None:
        """Say nothing."""


@dataclass
class RunState:
    """What a run is at; times are in UTC, in the form of ISO 8601.

    `files` is a `FileProgress` with bytes_per_second and seconds_left (None: not known yet), or is empty where no files
    are copied; `workloads` counts outcomes by kind.
    """

    pid: int = 0
    verb: str = ""
    started_at: str = ""
    updated_at: str = ""
    phase: str = ""
    step: str = ""
    warning: str = ""
    files: dict[str, int | None] = field(default_factory=dict)
    workloads: dict[str, dict[str, int]] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> RunState | None:
        """Return what the running process last wrote, without what is of a wrong type; None when there is nothing."""
        try:
            content: dict[str, Any] = read_json(path, dict) if path.exists() else {}
        except BundleError:  # it is gone again
            return None
        state = cls()
        for one in fields(cls):
            value = content.get(one.name)
            if isinstance(value, type(getattr(state, one.name))):
                setattr(state, one.name, value)
        return state if content else None
