"""What we began on the target and did not finish; everything else can be asked from the target itself.

Each event is one JSON line. That something is about to be created or deleted is on disk before the call, and what came
of it afterwards. An incomplete last line (from a crash while writing) is dropped.
"""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from cmlutils import paths, strict_json
from cmlutils.errors import BundleError
from cmlutils.wholefile import read_bytes, writing

if TYPE_CHECKING:
    from pathlib import Path

_EVENTS = ("begun", "made", "doomed", "done", "gone")
_WORKLOADS = {"model", "application", "job"}
_PROJECT = "in project"  # the key that holds the project in which all workloads are


@dataclass(frozen=True)
class JournalEntry:
    """How far one thing has come.

    `before`: the ids of its kind that existed when it was begun. `begun_at`: when that was, in seconds since 1970 (0:
    not known). `target_id`: its id, once it was created. `place`: what else it takes to ask the target for it.
    `doomed`: why it has to be deleted again. `left`: it is done, but needs manual work. `note` and `todo`: what was
    reported of it.
    """

    before: tuple[str, ...] = ()
    target_id: str = ""
    place: str = ""
    doomed: str = ""
    done: bool = False
    left: bool = False
    note: str = ""
    todo: str = ""
    begun_at: float = field(default=0.0, compare=False)


class Journal:
    """How far each thing of one bundle has come on one target; raises BundleError for a damaged or unwritable file.

    With `read_only`, an incomplete last line stays in the file: another run may be writing it just now.
    """

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        self.path = path
        self._entries: dict[str, JournalEntry] = {}
        self._taken_away: set[tuple[str, str]] = set()  # kind and target id
        content = read_bytes(path) if paths.exists(path) else b""
        whole = content[: content.rfind(b"\n") + 1]
        if whole != content and not read_only:
            with path.open("r+b") as file:
                file.truncate(len(whole))
        for line in whole.splitlines():
            self._apply(*_parsed(path, line))

    def _apply(self, key: str, event: str, value: object, at: float = 0.0) -> None:
        old = self._entries.get(key, JournalEntry())
        if event == "begun":
            before = tuple(map(str, value)) if isinstance(value, list) else ()
            self._entries[key] = JournalEntry(before=before, begun_at=at)
            if _kind(key) == "project" and _PROJECT in self._entries:  # a new one, even if it gets the old one's id
                self._entries[_PROJECT] = JournalEntry()
        elif event == "made":
            told = value if isinstance(value, dict) else {"id": value}
            place = str(told.get("place") or "")
            if key == _PROJECT:
                self._taken_away.clear()
            self._entries[key] = replace(old, target_id=str(told.get("id")), place=place, done=False)
        elif event == "doomed":
            self._entries[key] = replace(old, doomed=str(value), done=False)
        elif event == "done":
            told = value if isinstance(value, dict) else {}
            note, todo = str(told.get("note") or ""), str(told.get("todo") or "")
            self._entries[key] = replace(old, done=True, left=bool(told.get("left")), note=note, todo=todo)
        else:  # gone
            self._entries.pop(key, None)
            if old.doomed:
                self._taken_away.add((_kind(key), old.target_id))

    def _write(self, key: str, event: str, value: object = None) -> None:
        at = round(time.time(), 1)
        line = json.dumps({"key": key, "event": event, "value": value, "at": at}).encode() + b"\n"
        new = not paths.exists(self.path)
        with writing(self.path):
            handle = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                _append(handle, line)
            finally:
                os.close(handle)
            if new:
                _sync_folder(self.path.parent)
        self._apply(key, event, value, at)

    def entry(self, key: str) -> JournalEntry | None:
        """Return how far this key has come; None when we never began it."""
        return self._entries.get(key)

    def ids(self, kind: str, but: str = "") -> set[str]:
        """Return the ids of all things of a kind that we created, even if deleted since, except for key `but`."""
        mine = {entry.target_id for key, entry in self._entries.items() if _kind(key) == kind and key != but}
        return (mine | {number for of, number in self._taken_away if of == kind}) - {""}

    def is_in(self, project_id: int) -> bool:
        """Tell whether the workloads in the journal belong to this project."""
        last = self._entries.get(_PROJECT)
        return last is not None and last.target_id == str(project_id)

    def enter(self, project_id: int) -> list[str]:
        """Note that workloads now go into this project, and forget those of another one.

        Those went with their project, and their ids may have been given to others by now, as may the project's own.
        Returns the keys of those that were begun there and not finished.
        """
        if self.is_in(project_id):
            return []
        handed_over = f"hand over {project_id}"
        left = [each for each in self._entries if _PROJECT in self._entries and _kind(each) in _WORKLOADS]
        unfinished = [each for each in left if not self._entries[each].done]
        left += [each for each in self._entries if each.partition(":")[0] == handed_over]
        for each in left:
            self.gone(each)
        self.made(_PROJECT, str(project_id))
        self.done(_PROJECT)
        return unfinished

    def begin(self, key: str, before: list[str]) -> None:
        """Note that this is about to be created; `before` are the ids of its kind that already exist."""
        self._write(key, "begun", before)

    def made(self, key: str, target_id: str, place: str = "") -> None:
        """Note that this was created, with its id on the target, and is not finished."""
        self._write(key, "made", {"id": target_id, "place": place} if place else target_id)

    def doom(self, key: str, why: str) -> None:
        """Note that this is about to be deleted again, and why."""
        self._write(key, "doomed", why)

    def done(self, key: str, *, left: bool = False, note: str = "", todo: str = "") -> None:
        """Note that this is finished, inert and read back; with `left`, some of it is left to a person."""
        self._write(key, "done", {"left": left, "note": note, "todo": todo})

    def gone(self, key: str) -> None:
        """Note that this does not exist: it was refused, or deleted again."""
        self._write(key, "gone")

    def unfinished(self) -> list[str]:
        """Return the keys that were begun and not finished."""
        return [key for key, entry in self._entries.items() if not entry.done]


def _kind(key: str) -> str:
    return key.partition(" ")[0]


def _parsed(path: Path, line: bytes) -> tuple[str, str, object, float]:
    try:
        record = strict_json.loads(line)
        key, event = record["key"], record["event"]
    except (ValueError, KeyError, TypeError):
        key = event = None
    if not isinstance(key, str) or event not in _EVENTS:
        raise BundleError(
            f"{path} is damaged.",
            hint="Restore it from a copy; or check the target for half-made workloads, then remove the file.",
        )
    at = record.get("at")
    return key, event, record.get("value"), at if isinstance(at, (int, float)) else 0.0


def _append(handle: int, line: bytes) -> None:
    """Append a line and sync it to the disk; if that fails, leave the file as it was."""
    size = os.fstat(handle).st_size
    try:
        rest = line
        while rest:
            rest = rest[os.write(handle, rest) :]
        os.fsync(handle)
    except OSError:
        os.ftruncate(handle, size)
        raise


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
