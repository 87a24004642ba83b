"""What a run would do: the result of a dry run."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field
from enum import Enum
from typing import Any

from cmlutils.errors import ExitCode


class Action(str, Enum):
    """What would become of one thing."""

    EXPORT = "export"
    CREATE = "create"
    SET = "set"
    PRESENT = "present"  # it is there already and stays as it is
    FALLBACK = "fallback"  # would be made with a difference, which is named
    FAIL = "fail"
    REMOVE = "remove"  # an interrupted import began it, and nobody wants it


@dataclass(frozen=True)
class Planned:
    """One thing, and what would be done with it; `fix` is what a person can do about a failure or a difference."""

    kind: str
    name: str
    action: Action
    note: str = ""
    fix: str = ""


@dataclass
class Plan:
    """Everything that a run would do, and what can't be foreseen; `blockers` would keep it from beginning.

    `error_code` is the exit code of an error that ended the dry run itself.
    """

    verb: str
    project: str
    source: str = ""
    target: str = ""
    files: dict[str, int] = field(default_factory=dict)
    folders: dict[str, dict[str, int]] = field(default_factory=dict)
    actions: list[Planned] = field(default_factory=list)
    blockers: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    error_code: int = 0

    @property
    def exit_code(self) -> int:
        """The exit code: 1 if the run can't be done, 5 if some of it can't, 0 if all can, as far as one can see."""
        if self.error_code:
            return self.error_code
        if self.blockers:
            return ExitCode.FAILED
        failing = any(one.action is Action.FAIL for one in self.actions)
        return ExitCode.NEEDS_HAND if failing else ExitCode.OK

    def counts(self) -> dict[str, int]:
        """Return how often each action would happen."""
        return dict(Counter(one.action.value for one in self.actions))

    def to_json(self) -> dict[str, Any]:
        """Return the whole plan."""
        actions = [asdict(one) | {"action": one.action.value} for one in self.actions]
        content = asdict(self) | {"actions": actions}
        del content["error_code"]
        return {"dry_run": True, "exit_code": int(self.exit_code), **content}
