"""What we began on the target and did not finish; the target itself tells the rest.

One JSON line a step, on disk before the call it speaks of. A torn last line (a crash while writing)
is dropped.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Step:
    """How far one thing has come: begun (others of its name that were there before), made (its id), done."""

    before: tuple[str, ...] = ()
    target_id: str = ""
    done: bool = False


class Journal:
    """The steps of one bundle on one target."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._steps: dict[str, Step] = {}
        content = path.read_bytes() if path.exists() else b""
        whole = content[: content.rfind(b"\n") + 1]
        if whole != content:
            with path.open("r+b") as file:
                file.truncate(len(whole))
        for line in whole.splitlines():
            record = json.loads(line)
            self._apply(record["key"], record["event"], record.get("value"))

    def _apply(self, key: str, event: str, value: object) -> None:
        old = self._steps.get(key, Step())
        if event == "begun":
            self._steps[key] = Step(before=tuple(value) if isinstance(value, list) else ())
        elif event == "made":
            self._steps[key] = replace(old, target_id=str(value))
        elif event == "done":
            self._steps[key] = replace(old, done=True)
        elif event == "gone":
            self._steps.pop(key, None)

    def _write(self, key: str, event: str, value: object = None) -> None:
        line = json.dumps({"key": key, "event": event, "value": value}).encode() + b"\n"
        handle = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.write(handle, line)
            os.fsync(handle)
        finally:
            os.close(handle)
        self._apply(key, event, value)

    def step(self, key: str) -> Step | None:
        """Return how far this key has come; None when we never began it."""
        return self._steps.get(key)

    def begin(self, key: str, before: list[str]) -> None:
        """Say that it is about to be created; `before` are the ids of its name that exist already."""
        self._write(key, "begun", before)

    def made(self, key: str, target_id: str) -> None:
        """Say that the target has created it under this id."""
        self._write(key, "made", target_id)

    def done(self, key: str) -> None:
        """Say that it is finished, inert and read back."""
        self._write(key, "done")

    def gone(self, key: str) -> None:
        """Say that it is no longer there: it was taken away again."""
        self._write(key, "gone")

    def unfinished(self) -> list[str]:
        """Return the keys that were begun and not finished."""
        return [key for key, step in self._steps.items() if not step.done]
