"""`cmlutil project …`: export, import, validate-migration, status, list."""

from __future__ import annotations

import json
import logging
import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from cmlutils import config
from cmlutils import log as logs
from cmlutils.bundle import Bundle, folder_name, write_bytes, write_json
from cmlutils.cli.render import show
from cmlutils.errors import BundleError, CmlutilError, ConfigError, ExitCode, Interrupted
from cmlutils.report import Report

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cmlutils.cli.progress import TextProgress
    from cmlutils.config import Section, Side
    from cmlutils.flows.connect import Connection
    from cmlutils.runtimes import Maps

log = logging.getLogger(__name__)

config_dir_option = click.option(
    "--config-dir", metavar="FOLDER", help="The folder with export-config.ini and import-config.ini."
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print the report as JSON, and nothing else.")
verbose_option = click.option("-v", "--verbose", is_flag=True, help="Show each call and each step.")


def name_option(*, required: bool = True) -> Callable[..., Any]:
    """Return the -p option, in the spelling of cloudera/cmlutils, too."""
    return click.option(
        "-p",
        "--project-name",
        "--project_name",
        "name",
        metavar="NAME",
        required=required,
        help="The section of the ini file: the project's name.",
    )


@click.group()
def project() -> None:
    """Export, import and check projects."""


def load(side: Side, name: str, config_dir: str | None, *, verbose: bool) -> Section:
    """Return the section, after telling what is odd about it."""
    logs.to_terminal(verbose=verbose)
    section = config.load(side, name, config_dir)
    for warning in section.warnings:
        log.warning("%s", warning)
    return section


def bundle_of(section: Section) -> Bundle:
    """Return the section's folder below output_dir."""
    return Bundle(section.output_dir.absolute() / folder_name(section.name))


def _maps(section: Section, config_dir: str | None) -> Maps:
    from cmlutils.runtimes import load_maps

    return load_maps([section.file.parent, *config.config_folders(config_dir, os.environ)])


@contextmanager
def reported(report: Report, bundle: Bundle, metrics: str, *, as_json: bool) -> Iterator[TextProgress]:
    """Lock the bundle, log to it, and write and print the report whatever happens within."""
    from cmlutils.cli.progress import TextProgress

    with bundle.lock():
        logs.to_file(bundle.logs / "migration.log")
        log.debug("%s of %r begins", report.verb, report.project)
        try:
            yield TextProgress(report)
        finally:
            _note_error(report, sys.exc_info()[1])
            _write(report, bundle, metrics, as_json=as_json)


def _note_error(report: Report, error: BaseException | None) -> None:
    if error is None:
        return
    report.error = error.message if isinstance(error, CmlutilError) else type(error).__name__
    report.error_code = int(ExitCode.BUG)
    if isinstance(error, Interrupted):
        report.error_code = 128 + error.signum
    elif isinstance(error, CmlutilError):
        report.error_code = int(error.exit_code)


def _write(report: Report, bundle: Bundle, metrics: str, *, as_json: bool) -> None:
    from cmlutils.cli.report_html import page

    where = bundle.logs / "report.html"
    try:
        write_json(bundle.logs / metrics, report.to_json())
        write_bytes(where, page(report).encode("utf-8", "backslashreplace"))
    except BundleError as error:
        log.error("The report can't be written: %s", error)
        report.error_code = report.error_code or int(ExitCode.FAILED)
    show(report, as_json=as_json, report_file=str(where))


@project.command("export")
@name_option()
@config_dir_option
@verbose_option
@json_option
def export(name: str, config_dir: str | None, *, verbose: bool, as_json: bool) -> int:
    """Bring a project down from the source workspace into a bundle.

    \b
    Example: cmlutil project export -p "Churn Model"
    """
    section = load("export", name, config_dir, verbose=verbose)
    from cmlutils.flows.connect import connect
    from cmlutils.flows.export_project import export_project

    bundle = bundle_of(section)
    with connect(section) as connection:
        bundle.create()
        report = Report("export", section.name)
        with reported(report, bundle, "export_metrics.json", as_json=as_json) as progress:
            export_project(connection, bundle, report, progress)
    return report.exit_code


@project.command("import")
@name_option()
@click.option("--verify", is_flag=True, help="Compare source, bundle and target at the end.")
@config_dir_option
@verbose_option
@json_option
def import_(name: str, config_dir: str | None, *, verify: bool, verbose: bool, as_json: bool) -> int:
    """Take a bundle up to the target workspace; nothing is started there.

    \b
    Example: cmlutil project import -p "Churn Model" --verify
    """
    section = load("import", name, config_dir, verbose=verbose)
    from cmlutils.flows.connect import connect
    from cmlutils.flows.import_project import import_project

    bundle, maps = bundle_of(section), _maps(section, config_dir)
    bundle.open()
    with connect(section) as connection:
        report = Report("import", section.name)
        with reported(report, bundle, "import_metrics.json", as_json=as_json) as progress:
            import_project(connection, bundle, maps, report, progress)
            if verify:
                _validate(connection, bundle, maps, report, progress, config_dir)
    return report.exit_code


def _validate(
    target: Connection,
    bundle: Bundle,
    maps: Maps,
    report: Report,
    progress: TextProgress,
    config_dir: str | None,
) -> None:
    """Compare all three ways; without a usable export section, bundle against target."""
    from cmlutils.flows.connect import connect
    from cmlutils.flows.validate_migration import validate_migration

    try:
        source = config.load("export", target.section.name, config_dir)
    except ConfigError as error:
        report.notes.append(f"The source is not compared: {error.message}")
        validate_migration(None, target, bundle, maps, report, progress)
        return
    with connect(source) as connection:
        validate_migration(connection, target, bundle, maps, report, progress)


@project.command("validate-migration")
@name_option()
@config_dir_option
@verbose_option
@json_option
def validate_migration_command(name: str, config_dir: str | None, *, verbose: bool, as_json: bool) -> int:
    """Compare source, bundle and target: every file, setting and workload.

    \b
    Example: cmlutil project validate-migration -p "Churn Model"
    """
    section = load("import", name, config_dir, verbose=verbose)
    from cmlutils.flows.connect import connect

    bundle, maps = bundle_of(section), _maps(section, config_dir)
    bundle.open()
    with connect(section) as connection:
        report = Report("validate-migration", section.name)
        with reported(report, bundle, "import_metrics.json", as_json=as_json) as progress:
            _validate(connection, bundle, maps, report, progress, config_dir)
    return report.exit_code


@project.command("list")
@config_dir_option
@json_option
def list_command(config_dir: str | None, *, as_json: bool) -> None:
    """List the sections of both ini files, and what each would address.

    \b
    Example: cmlutil project list
    """
    rows = _rows(config_dir)
    if as_json:
        click.echo(json.dumps(rows, indent=2, ensure_ascii=False))
        return
    for row in rows:
        click.echo(logs.mask("  ".join((f"{row['side']:<7}", f"{row['section']:<30}", row["what"]))))


def _rows(config_dir: str | None) -> list[dict[str, str]]:
    """Return a row a section; raise ConfigError when there is neither file."""
    rows: list[dict[str, str]] = []
    missing: list[ConfigError] = []
    sides: tuple[Side, Side] = ("export", "import")
    for side in sides:
        try:
            ini = config.read_file(side, config_dir)
        except ConfigError as error:
            missing.append(error)
            continue
        for name in ini.names():
            try:
                one = config.section(ini, name, os.environ)
                what = f"{one.workspace.url} {one.owner or one.workspace.username}/{name} {bundle_of(one).folder}"
            except ConfigError as error:
                what = f"not usable: {error.message}"
            rows.append({"side": side, "section": name, "what": what})
    if len(missing) == len(sides):
        raise missing[0]
    return rows


@project.command("status")
@name_option(required=False)
@config_dir_option
@json_option
def status_command(name: str | None, config_dir: str | None, *, as_json: bool) -> None:
    """Tell what is done and left, from what runs wrote; asks no workspace.

    \b
    Example: cmlutil project status -p "Churn Model"
    """
    from cmlutils.flows.status import status_of

    sides: tuple[Side, Side] = ("export", "import")
    rows = []
    for side in sides:
        try:
            ini = config.read_file(side, config_dir)
        except ConfigError:
            continue
        for one in ini.names():
            if name in {None, one}:
                section = config.section(ini, one, os.environ)
                rows.append({"section": one, "side": side, **status_of(bundle_of(section), side)})
    if not rows:
        raise ConfigError(f"No ini file has a section {name or ''}.".replace(" .", "."), hint="See 'project list'.")
    if as_json:
        click.echo(json.dumps(rows, indent=2, ensure_ascii=False))
        return
    for row in rows:
        click.echo(logs.mask(f"{row['section']:<30} {row['side']:<7} {row['state']}"))
