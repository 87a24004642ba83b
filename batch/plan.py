"""Decides which project runs its next step, as workspaces and disk allow; repeats what failed because of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import results
from disk import Disk
from pool import Task
from results import Result, metrics_of, worse
from workspaces import Gate, login_of

from cmlutils.bundle import Bundle, folder_name
from cmlutils.errors import BundleError, ExitCode, Unreachable
from cmlutils.units import counted

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from pool import Ended, Running

    from cmlutils.section import Section, Side

TRIES = 3  # attempts at a step that fails through no fault of its project
_GO_ON = {ExitCode.OK, ExitCode.NEEDS_HAND}  # exit codes after which the next step makes sense


@dataclass
class Item:
    """One project of a batch: how far it is in its steps, how often it tried this one, and what came of it so far."""

    project: str
    sections: Mapping[str, Section]  # by side, without sections that can't be read
    steps: Sequence[str]
    step: int = 0
    tries: int = 0
    running: bool = False
    doubtful: Ended | None = None  # a failure for which the workspace may be to blame: it is being asked
    away: bool = False
    code: int = 0
    seconds: float = 0.0
    result: Result | None = None

    @property
    def verb(self) -> str:
        """The current step."""
        return self.steps[self.step]

    @property
    def folder(self) -> Path | None:
        """The folder of its bundle; None if neither section can be read."""
        one = self.sections.get("import") or self.sections.get("export")
        return one.output_dir.absolute() / folder_name(self.project) if one else None


@dataclass
class Plan:
    """All projects of a batch. Calls `say` with news, and `changed` after new results."""

    items: Sequence[Item]
    logs: Path
    extra: Sequence[str]
    say: Callable[[str], None]
    changed: Callable[[], None]
    patience: float = 3600.0
    verify: bool = False
    remove: bool = False
    dry: bool = False
    disk: Disk = field(default_factory=Disk)
    gates: dict[str, Gate] = field(default_factory=dict)
    _dirty: bool = False

    def __post_init__(self) -> None:
        for one in self.items:
            for section in one.sections.values():
                url = section.workspace.url
                self.gates.setdefault(url, Gate(url, self.patience, self.say))
            if one.result is None:
                self.disk.add(one.project, one.folder)

    def results(self) -> list[Result]:
        """Return the result so far of every project, in order."""
        return [one.result or self._result(one, None, "") for one in self.items]

    def left(self) -> bool:
        """Tell whether any project is unfinished."""
        return any(one.result is None for one in self.items)

    def begin_next(self) -> Task | None:
        """Begin a step that may start now, and return its task; None if there is none.

        Later steps come first, as bundles can be removed after them.
        """
        waiting = [one for one in self.items if one.result is None and not one.running and one.doubtful is None]
        waiting.sort(key=lambda one: (-one.step, not one.tries))
        for one in waiting:
            if not all(gate.open for _, gate in self._gates(one)):
                continue
            if one.verb == "export":
                if not self.disk.fits(one.project):
                    continue
                self.disk.begin(one.project)
            one.running, one.tries = True, one.tries + 1
            log = self._log(one)
            self.say(f"{one.project}: {one.verb}{' again' if one.tries > 1 else ''}, log {log}")
            words = ["project", one.verb, f"--project-name={one.project}", *self.extra]
            words += ["--verify"] if one.verb == "import" and self.verify else []
            return Task(one.project, one.verb, words, log, append=one.tries > 1)
        return None

    def _gates(self, one: Item) -> list[tuple[Section, Gate]]:
        """Return section and gate of each workspace that its step needs, the target before the source."""
        both = one.verb == "validate-migration" or (one.verb == "import" and self.verify)
        sides = ("import", "export") if both else (one.verb,)
        found = [one.sections[side] for side in sides if side in one.sections]
        return [(section, self.gates[section.workspace.url]) for section in found]

    def ended(self, task: Task, how: Ended) -> None:
        """Handle the end of a task. A failure is not put down to the project before its workspaces have been asked."""
        one = next(each for each in self.items if each.project == task.project)
        one.running = False
        one.seconds += how.seconds
        if self.disk.ended(one.project) and how.code == 130:  # we interrupted it ourselves to keep to the disk budget
            one.tries = 1
            return
        if how.code in {ExitCode.OK, ExitCode.DIFFERENCES, ExitCode.NEEDS_HAND}:
            for _, gate in self._gates(one):
                gate.answered = True
            self._step_ended(one, how)
        elif how.killed and one.tries < TRIES:
            self.say(f"{one.project}: {task.verb} was killed (signal {how.code - 128}); it is started again")
        elif how.code == ExitCode.FAILED and self._gates(one):
            one.doubtful, one.away = how, Unreachable.told_in(how.output)
            for section, gate in self._gates(one):
                gate.doubt(section)
        else:
            self._step_ended(one, how)

    def look(self, running: Sequence[Running], *, ending: bool) -> None:
        """Ask workspaces, settle failures that await their answers, keep to the disk budget; to be called often."""
        for gate in self.gates.values():
            gate.look()
        for one in self.items:
            if one.result is None and not one.running:
                self._judge(one, ending=ending)
        if self.disk.budget and not ending:
            self.disk.measure(running)
            self._find_stuck()
        if self._dirty:
            self._dirty = False
            self.changed()

    def _find_stuck(self) -> None:
        """Give up on the remaining exports if nothing runs and the disk budget will never have room for them."""
        going = [one for one in self.items if one.result is None]
        stuck = going and all(
            not (one.running or one.doubtful or one.step) and not self.disk.fits(one.project) for one in going
        )
        if stuck:
            self.say(f"The disk budget is used up: {counted(len(going), 'project')} not started.")
            for one in going:
                self._project_ended(one, None, "the disk budget is used up")

    def _judge(self, one: Item, *, ending: bool) -> None:
        how, gates = one.doubtful, self._gates(one)
        if ending:
            if how is not None:
                one.doubtful = None
                self._step_ended(one, how)
            return
        one.away = one.away or (how is not None and any(gate.waits for _, gate in gates))
        for section, gate in gates:
            why = gate.lost or gate.refused.get(login_of(section), "")
            if why:
                one.doubtful = None
                self._project_ended(one, how.code if how else None, why)
                return
        if how is not None and all(gate.open for _, gate in gates):
            one.doubtful = None
            if one.away and one.tries < TRIES:
                one.away = False
                self.say(f"{one.project}: started again, the workspace had been away")
            else:
                self._step_ended(one, how)

    def _step_ended(self, one: Item, how: Ended) -> None:
        """Record how a step ended, then go on to the project's next step or set its result."""
        one.code = worse(one.code, how.code)
        side: Side = "export" if one.verb == "export" else "import"
        known = metrics_of(Bundle(one.folder).metrics(side)) if one.folder and not self.dry else {}
        reason = results.reason_of(how.code, how.output, known)
        words = f"{Result('', how.code, foreseen=self.dry).words} after {how.seconds:.0f} s"
        self.say(": ".join(filter(None, (one.project, one.verb, words, reason))))
        if one.verb == "export" and how.code in _GO_ON:
            self.disk.exported(one.project)
        if how.code in _GO_ON and one.step + 1 < len(one.steps):
            one.step, one.tries = one.step + 1, 0
            self._dirty = True
            return
        equal = how.code == ExitCode.OK and one.verb == "validate-migration"
        self._project_ended(one, one.code, reason, removed=self.remove and equal and self._remove_bundle(one))

    def _remove_bundle(self, one: Item) -> bool:
        """Remove its bundle; tell whether that is gone whole."""
        try:
            self.disk.remove(one.project)
        except BundleError as error:
            self.say(f"{one.project}: its bundle stays: {error.message}")
            return False
        return True

    def _project_ended(self, one: Item, code: int | None, reason: str, *, removed: bool = False) -> None:
        one.result = self._result(one, code, reason, removed=removed)
        self._dirty = True

    def _result(self, one: Item, code: int | None, reason: str, *, removed: bool = False) -> Result:
        return Result(
            one.project,
            code,
            round(one.seconds, 1),
            str(self._log(one)) if one.tries else "",
            one.verb,
            reason,
            removed,
            after=one.steps[one.step - 1] if one.step and code is None else "",
            foreseen=self.dry,
        )

    def _log(self, one: Item) -> Path:
        """Return the log of the cmlutil that runs its current step."""
        return self.logs / one.verb / f"{folder_name(one.project)}.log"
