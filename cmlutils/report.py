"""Outcomes and the report of a run: counts, what is left to do, JSON, exit code."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import asdict, dataclass, field, replace
from enum import Enum
from typing import TYPE_CHECKING, Any

from cmlutils import TOOL
from cmlutils.errors import ExitCode
from cmlutils.units import utc_time

if TYPE_CHECKING:
    from cmlutils.section import Side

_WORKLOADS, _ANY = ("model", "application", "job"), ("project",)
_GUIDELINES = (  # from the user's document, each with the kinds of outcomes for which it applies
    (
        "Stop each workload on the source before you start it on the target, or both will write the same data.",
        _WORKLOADS,
    ),
    (
        "Models, jobs and applications are paused, stopped or not deployed: start them in the target workspace.",
        _WORKLOADS,
    ),
    ("The user's outbound SSH key differs on the target: update it wherever it is registered (git servers).", _ANY),
    ("Model API keys and endpoint URLs are new: update what calls them.", ("model",)),
    ("Settings outside the project (user environment, quotas, Kerberos, SMTP) must be copied by hand.", _ANY),
)


def join(*parts: str) -> str:
    """Join those of these texts that are not empty."""
    return "; ".join(filter(None, parts))


class Status(str, Enum):
    """What became of one thing."""

    CREATED = "created"
    PRESENT = "present"
    FALLBACK = "fallback"  # made with a difference, which is named
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True)
class Outcome:
    """What became of one project, model, application or job."""

    kind: str
    name: str
    status: Status
    target_id: str = ""
    note: str = ""
    todo: str = ""
    needs_hand: bool = False

    @property
    def made(self) -> bool:
        """Whether this run created it."""
        return self.status in {Status.CREATED, Status.FALLBACK}


class Group(str, Enum):
    """The kinds of differences."""

    SOURCE = "changed on the source since the export"
    BUNDLE = "changed in the bundle since the export"
    LOST = "missing in the bundle"
    MISSING = "missing on the target"
    EXTRA = "only on the target"
    DIFFERENT = "different on the target"
    LIVE = "live on the target"
    UNREADABLE = "can't be read"


@dataclass(frozen=True)
class Difference:
    """One difference that a comparison found, with both values, in which secrets are *** already.

    `left` is what the bundle or the export's record says. `note` says why an expected difference is expected.
    """

    where: str
    what: str
    left: str
    right: str
    expected: bool = False
    group: Group = Group.DIFFERENT
    note: str = ""

    def excused(self, note: str) -> Difference:
        """Return it as an expected difference; with an empty reason, return it unchanged."""
        return replace(self, expected=True, note=note) if note else self


@dataclass
class Report:
    """Everything that a run has to report. It grows during the run, and is written whatever happens."""

    verb: str
    project: str
    started: float = field(default_factory=time.time)
    source: str = ""
    target: str = ""
    outcomes: list[Outcome] = field(default_factory=list)
    files: dict[str, int] = field(default_factory=dict)
    folders: dict[str, dict[str, int]] = field(default_factory=dict)
    file_problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    todos: list[str] = field(default_factory=list)
    phases: dict[str, float] = field(default_factory=dict)
    differences: list[Difference] = field(default_factory=list)
    verified: bool | None = None
    error: str = ""
    error_code: int = 0

    @property
    def side(self) -> Side:
        """The side whose metrics file it is written to; a validation counts as the import's."""
        return "export" if self.verb == "export" else "import"

    @property
    def started_at(self) -> str:
        """When the run began: UTC, in ISO 8601 format."""
        return utc_time(self.started)

    @property
    def seconds(self) -> float:
        """How long the run has taken so far."""
        return round(time.time() - self.started, 1)

    @property
    def unexpected(self) -> list[Difference]:
        """The differences that nothing explains."""
        return [one for one in self.differences if not one.expected]

    @property
    def exit_code(self) -> int:
        """The exit code of the run."""
        if self.error_code:
            return self.error_code
        if self.unexpected:
            return ExitCode.DIFFERENCES
        if self.file_problems or any(o.status is Status.FAILED or o.needs_hand for o in self.outcomes):
            return ExitCode.NEEDS_HAND
        return ExitCode.OK

    @property
    def successful(self) -> bool:
        """Whether everything was verified, and nothing failed or is missing."""
        failed = any(
            one.status is Status.FAILED or (one.status is Status.SKIPPED and one.needs_hand) for one in self.outcomes
        )
        return bool(self.verified) and not (self.error_code or self.unexpected or self.file_problems or failed)

    def amend(self, old: Outcome, new: Outcome) -> None:
        """Replace an outcome by a new one."""
        self.outcomes = [new if one is old else one for one in self.outcomes]

    def names(self, kind: str) -> list[str]:
        """Return the names of workloads of one kind that exist at the end."""
        there = {Status.CREATED, Status.PRESENT, Status.FALLBACK}
        return sorted(one.name for one in self.outcomes if one.kind == kind and one.status in there)

    def counts(self) -> dict[str, dict[str, int]]:
        """Return, for each kind, the number of outcomes by status, in the order of `Status`."""
        counted = Counter((one.kind, one.status) for one in self.outcomes)
        kinds = dict.fromkeys(one.kind for one in self.outcomes)
        return {kind: {one.value: counted[kind, one] for one in Status if counted[kind, one]} for kind in kinds}

    def all_todos(self) -> list[str]:
        """Return what is left for a person: the particular first, then, after a complete import, the general."""
        mine = [f"{one.kind} {one.name}: {one.todo}" for one in self.outcomes if one.todo]
        kinds = {one.kind for one in self.outcomes}
        general = [text for text, of in _GUIDELINES if kinds.intersection(of)]
        return [*mine, *self.todos, *(general if self.verb == "import" and not self.error_code else [])]

    def to_json(self) -> dict[str, Any]:
        """Return the content of the metrics file; the first keys are those of cloudera/cmlutils."""
        content: dict[str, Any] = {"project_name": self.project}
        for kind in _WORKLOADS:
            names = self.names(kind)
            content |= {f"total_{kind}": len(names), f"{kind}_name_list": names}
        if self.verified is not None or (self.error_code and self.verb != "export"):
            content["isMigrationSuccessful"] = self.successful
        return content | {
            "tool": TOOL,
            "verb": self.verb,
            "exit_code": int(self.exit_code),
            "error": self.error,
            "started_at": self.started_at,
            "seconds": self.seconds,
            "source": self.source,
            "target": self.target,
            "files": self.files,
            "folders": self.folders,
            "file_problems": self.file_problems,
            "outcomes": [asdict(one) | {"status": one.status.value} for one in self.outcomes],
            "differences": [asdict(one) | {"group": one.group.value} for one in self.differences],
            "notes": self.notes,
            "to_do": self.all_todos(),
            "phases": {name: round(seconds, 2) for name, seconds in self.phases.items()},
        }
