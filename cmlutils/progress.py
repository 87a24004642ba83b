"""How far a run is: what is shown on the terminal, and what `state/progress.json` tells other processes."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from cmlutils import paths
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
    """Is told how far a run is."""

    def phase(self, name: str) -> AbstractContextManager[None]:
        """Name the phase that the block is, and measure its time."""

    def step(self, name: str) -> None:
        """Name the step that begins within a phase."""

    def files(self, so_far: FileProgress) -> None:
        """Say how much of the files is done."""


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
    """What a run is doing; times are in UTC, in ISO 8601 format.

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
        """Return what the running process wrote last, ignoring values of a wrong type; None when there is nothing."""
        try:
            content: dict[str, Any] = read_json(path, dict) if paths.exists(path) else {}
        except BundleError:  # the file was just removed
            return None
        state = cls()
        for one in fields(cls):
            value = content.get(one.name)
            if isinstance(value, type(getattr(state, one.name))):
                setattr(state, one.name, value)
        return state if content else None
