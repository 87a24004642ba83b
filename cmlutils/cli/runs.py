"""What surrounds the run of a command: its section and bundle, the lock, the log and the report."""

from __future__ import annotations

import logging
import os
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cmlutils import config, interrupts, paths
from cmlutils import log as logs
from cmlutils.bundle import bundle_of
from cmlutils.cli.render import json_text, show, show_error, show_plan
from cmlutils.errors import BundleError, CmlutilError, ExitCode, Interrupted, failure_of_this_machine
from cmlutils.plan import Plan
from cmlutils.report import Report
from cmlutils.wholefile import write_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from cmlutils.bundle import Bundle
    from cmlutils.flows.connect import Connection
    from cmlutils.progress import Progress
    from cmlutils.runtimes import Maps
    from cmlutils.section import Section, Side

log = logging.getLogger(__name__)


def load(side: Side, name: str, config_dir: str | None) -> Section:
    """Return the section; what is odd about it is logged as warnings."""
    section = config.load(side, name, config_dir)
    for warning in section.warnings:
        log.warning("%s", warning)
    return section


@dataclass(frozen=True)
class Run:
    """One run of a command: what it works on and how it reports; `patience` is in seconds."""

    section: Section
    bundle: Bundle
    report: Report
    config_dir: str | None
    patience: float
    as_json: bool

    def maps(self) -> Maps:
        """Return the user's maps of images and engines."""
        from cmlutils.runtimes import load_maps

        return load_maps([self.section.file.parent, *config.config_folders(self.config_dir, os.environ)])

    def connect(self) -> AbstractContextManager[Connection]:
        """Open the API of the section's workspace."""
        from cmlutils.flows.connect import connect

        return connect(self.section, self.patience)

    @contextmanager
    def connected(self, check: Callable[[], None] = lambda: None) -> Iterator[tuple[Connection, Progress]]:
        """Connect for the block and write a report of it.

        If the bundle exists already, a failure of `check` or of the connection is in the report, too; otherwise it
        leaves no trace on the disk.
        """
        if paths.is_dir(self.bundle.state):
            self.bundle.create()
            with self.reported() as progress:
                check()
                with self.connect() as connection:
                    yield connection, progress
            return
        check()
        with self.connect() as connection:
            self.bundle.create()
            with self.reported() as progress:
                yield connection, progress

    @contextmanager
    def reported(self) -> Iterator[Progress]:
        """Lock the bundle, log to it, and write and print the report whatever happens within."""
        from cmlutils.cli.progress import TextProgress
        from cmlutils.cli.progress_file import ProgressFile

        report, bundle = self.report, self.bundle
        with bundle.lock():
            logs.to_file(bundle.log_file)
            log.debug("%s of %r begins", report.verb, report.project)
            # if this run is killed, an earlier run's success must not stand for it
            bundle.metrics(report.side).unlink(missing_ok=True)
            try:
                with ProgressFile(TextProgress(report), report, bundle).open() as progress:
                    yield progress
            finally:
                with interrupts.held():
                    _note_error(report, sys.exc_info()[1])
                    _write(report, bundle, as_json=self.as_json)
                    interrupts.over()


@contextmanager
def begun(
    verb: str, name: str, config_dir: str | None, minutes: float, *, as_json: bool, dry_run: bool = False
) -> Iterator[Run]:
    """Yield a run of this command for a section; `minutes` is its patience.

    With `as_json`, a failure that ends it before its report (or plan) was printed is printed as JSON.
    """
    report = Report(verb, name)
    try:
        section = load(report.side, name, config_dir)
        yield Run(section, bundle_of(section), report, config_dir, minutes * 60, as_json=as_json)
    finally:
        error = sys.exc_info()[1]
        if error and as_json and not report.error:
            _note_error(report, error)
            if dry_run:
                plan = Plan(report.verb, report.project, blockers=[report.error], error_code=report.error_code)
                show_plan(plan, as_json=True)
            else:
                show(report, as_json=True)


@contextmanager
def failures_as_json(*, as_json: bool) -> Iterator[None]:
    """With `as_json`, print a failure of a command that has no report as JSON."""
    try:
        yield
    except CmlutilError as error:
        if as_json:
            show_error(error.exit_code, error.message, error.hint)
        raise


def _note_error(report: Report, error: BaseException | None) -> None:
    error = failure_of_this_machine(error) or error
    if error is None:
        return
    report.error = str(error) if isinstance(error, (CmlutilError, Interrupted)) else type(error).__name__
    report.error_code = int(ExitCode.BUG)
    if isinstance(error, Interrupted):
        report.error_code = 128 + error.signum
    elif isinstance(error, CmlutilError):
        report.error_code = int(error.exit_code)


def _write(report: Report, bundle: Bundle, *, as_json: bool) -> None:
    from cmlutils.cli.report_html import page
    from cmlutils.remote.orphans import left_open

    report.todos += left_open(bundle.state)
    where, told = bundle.report_page, ""
    try:
        text = json_text(report.to_json()) + "\n"
        write_bytes(bundle.metrics(report.side), text.encode("utf-8", "backslashreplace"))
        write_bytes(where, page(report).encode("utf-8", "backslashreplace"))
        told = str(where)
    except BundleError as error:
        log.error("The report can't be written: %s", error)
        report.error_code = report.error_code or int(ExitCode.FAILED)
    show(report, as_json=as_json, report_file=told)  # no word of an earlier run's page
