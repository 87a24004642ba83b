"""Runs one cmlutil a project, several at a time: what export_all, import_all and validate_all share."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Literal

try:
    from cmlutils import bundle, config
    from cmlutils.errors import CmlutilError, ExitCode
except ImportError:
    sys.exit("cmlutils is not installed for this Python; run the script with .venv/bin/python.")

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import FrameType

Verb = Literal["export", "import", "validate-migration"]

WORDS = {
    ExitCode.OK: "done",
    ExitCode.FAILED: "failed",
    ExitCode.USAGE: "configuration",
    ExitCode.BUG: "bug in cmlutil",
    ExitCode.DIFFERENCES: "differences",
    ExitCode.NEEDS_HAND: "needs a hand",
}
_WORST_FIRST = (ExitCode.BUG, ExitCode.FAILED, ExitCode.USAGE, ExitCode.DIFFERENCES, ExitCode.NEEDS_HAND)


@dataclass(frozen=True)
class Result:
    """How one project ended; an exit code of None: it was never started."""

    project: str
    exit_code: int | None
    seconds: float = 0.0
    log: str = ""

    @property
    def words(self) -> str:
        """The exit code in words."""
        if self.exit_code is None:
            return "not started"
        if self.exit_code > 128:
            return f"ended by signal {self.exit_code - 128}"
        known = self.exit_code in WORDS
        return WORDS[ExitCode(self.exit_code)] if known else f"exit code {self.exit_code}"


@dataclass
class _Child:
    """One running cmlutil."""

    project: str
    process: subprocess.Popen[bytes]
    log: Path
    started: float
    told: int = 0

    def result(self, code: int) -> Result:
        code = 128 - code if code < 0 else code
        return Result(self.project, code, round(time.monotonic() - self.started, 1), str(self.log))


@dataclass
class Pool:
    """Runs `command` with each project's name, `size` at a time; a signal goes to every child."""

    command: Sequence[str]
    size: int
    logs: Path
    extra: Sequence[str] = ()
    signum: int = 0
    signals: int = 0
    _running: list[_Child] = field(default_factory=list)

    def run(self, projects: Sequence[str]) -> list[Result]:
        """Return a result for every project, in the order given."""
        self._listen()
        waiting, results = list(projects), {}
        while self._running or (waiting and not self.signum):
            while waiting and len(self._running) < self.size and not self.signum:
                self._running.append(self._start(waiting.pop(0)))
            self._pass_on()
            for result in self._ended():
                results[result.project] = result
                say(f"{result.project}: {result.words} after {result.seconds:.0f} s")
            time.sleep(0.05)
        return [results.get(name, Result(name, None)) for name in projects]

    def _listen(self) -> None:
        """Hear SIGINT even where it came ignored (nohup in a script); leave an ignored SIGHUP to nohup."""
        signal.signal(signal.SIGINT, self._heard)
        signal.signal(signal.SIGTERM, self._heard)
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
            signal.signal(signal.SIGHUP, self._heard)

    def _heard(self, signum: int, _frame: FrameType | None) -> None:
        self.signum = signum
        self.signals += 1

    def _start(self, project: str) -> _Child:
        log = self.logs / f"{bundle.folder_name(project)}.log"
        argv = [*self.command, f"--project-name={project}", *self.extra]
        handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "wb") as output:
            process = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C reaches it once, through us
            )
        say(f"{project}: started, log {log}")
        return _Child(project, process, log, time.monotonic())

    def _pass_on(self) -> None:
        for child in self._running:
            if child.told < self.signals:
                child.told = self.signals
                child.process.send_signal(self.signum)

    def _ended(self) -> list[Result]:
        codes = [(child, child.process.poll()) for child in self._running]
        self._running = [child for child, code in codes if code is None]
        return [child.result(code) for child, code in codes if code is not None]


def say(line: str) -> None:
    """Tell how it goes, on standard error."""
    print(line, file=sys.stderr, flush=True)


def worst(results: Sequence[Result], signum: int) -> int:
    """Return the batch's exit code: a signal to us first, then the worst of the projects."""
    if signum:
        return 128 + signum
    codes = [one.exit_code for one in results if one.exit_code]
    others = [code for code in codes if code not in _WORST_FIRST]
    if others:
        return max(others)
    return next((int(code) for code in _WORST_FIRST if code in codes), 0)


def table(results: Sequence[Result]) -> str:
    """Return the results as lines of three columns and the log."""
    width = max([len(one.project) for one in results] + [7])
    lines = [f"{'project':<{width}}  {'result':<18}  seconds  log"]
    lines += [f"{one.project:<{width}}  {one.words:<18}  {one.seconds:7.0f}  {one.log}" for one in results]
    return "\n".join(lines)


def _parser(verb: Verb, batch_size: int) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=f"Runs 'cmlutil project {verb}' for many projects. What follows -- goes to each cmlutil.",
    )
    side = "export" if verb == "export" else "import"
    parser.add_argument("projects", nargs="*", help=f"sections of {side}-config.ini; all of them if none is named")
    parser.add_argument("--batch-size", type=int, default=batch_size, help="how many at a time (%(default)s)")
    parser.add_argument("--from-file", type=Path, help="a file with one section name a line")
    parser.add_argument("--config-dir", help="the folder of the ini files")
    parser.add_argument(
        "--report-dir", type=Path, default=Path(), help="where batch-report.json and batch-logs go (here)"
    )
    if verb == "import":
        parser.add_argument("--verify", action="store_true", help="compare source, bundle and target")
    return parser


def _projects(options: argparse.Namespace, verb: Verb) -> list[str]:
    names = list(options.projects)
    if options.from_file:
        lines = options.from_file.read_text(encoding="utf-8-sig").splitlines()
        names += [line.strip() for line in lines if line.strip()]
    if not names:
        names = config.read_file("export" if verb == "export" else "import", options.config_dir).names()
    return list(dict.fromkeys(names))


def _write_report(path: Path, verb: Verb, began: float, results: Sequence[Result], code: int) -> None:
    content = {
        "verb": verb,
        "started_at": datetime.fromtimestamp(began, timezone.utc).isoformat(timespec="seconds"),
        "seconds": round(time.time() - began, 1),
        "exit_code": code,
        "projects": [asdict(one) | {"result": one.words} for one in results],
    }
    bundle.write_json(path, content)


def main(verb: Verb, batch_size: int, argv: Sequence[str] | None = None) -> int:
    """Run the batch that the command line asks for; return the exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    cut = words.index("--") if "--" in words else len(words)
    parser = _parser(verb, batch_size)
    options = parser.parse_args(words[:cut])
    if options.batch_size < 1:
        parser.error("--batch-size is less than 1.")
    extra = words[cut + 1 :]
    if options.config_dir:
        extra = [f"--config-dir={options.config_dir}", *extra]
    if getattr(options, "verify", False):
        extra = ["--verify", *extra]
    began = time.time()
    logs = options.report_dir.absolute() / "batch-logs" / verb
    try:
        projects = _projects(options, verb)
        logs.mkdir(mode=0o700, parents=True, exist_ok=True)
    except (CmlutilError, OSError, UnicodeDecodeError) as error:
        say(" ".join(filter(None, (str(error), getattr(error, "hint", "")))))
        return ExitCode.USAGE
    pool = Pool((sys.executable, "-m", "cmlutils", "project", verb), options.batch_size, logs, extra)
    results = pool.run(projects)
    code = worst(results, pool.signum)
    report = options.report_dir.absolute() / "batch-report.json"
    _write_report(report, verb, began, results, code)
    print(table(results))
    print(f"{report} has the same as JSON.")
    return code
