"""`cmlutil project …`: export, import, validate-migration, and list and status (survey.py)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from cmlutils import config
from cmlutils.cli.options import (
    config_dir_option,
    dry_run_option,
    json_option,
    name_option,
    patience_option,
    quiet_option,
    verbose_option,
)
from cmlutils.cli.render import show_plan
from cmlutils.cli.runs import bundle_of, load, maps_of, reported
from cmlutils.cli.survey import list_command, status_command
from cmlutils.errors import ConfigError
from cmlutils.report import Report

if TYPE_CHECKING:
    from cmlutils.bundle import Bundle
    from cmlutils.flows.connect import Connection, Progress
    from cmlutils.plan import Plan
    from cmlutils.runtimes import Maps


@click.group()
def project() -> None:
    """Export, import and check projects."""


project.add_command(list_command)
project.add_command(status_command)


@project.command("export")
@name_option()
@click.option(
    "--no-environment-values", "no_values", is_flag=True, help="Leave the values of environment variables out."
)
@dry_run_option
@config_dir_option
@patience_option
@verbose_option
@quiet_option
@json_option
def export(
    name: str, config_dir: str | None, *, no_values: bool, dry_run: bool, patience: float, verbose: bool, as_json: bool
) -> int:
    """Bring a project down from the source workspace into a bundle.

    \b
    Example: cmlutil project export -p "Churn Model"
    """
    section = load("export", name, config_dir, verbose=verbose)
    from cmlutils.flows.connect import connect
    from cmlutils.flows.export_project import export_project
    from cmlutils.flows.plan_export import plan_export

    bundle = bundle_of(section)
    with connect(section, patience * 60) as connection:
        if dry_run:
            return _shown(plan_export(connection, bundle), as_json=as_json)
        bundle.create()
        report = Report("export", section.name)
        with reported(report, bundle, "export_metrics.json", as_json=as_json) as progress:
            export_project(connection, bundle, report, progress, values=not no_values)
    return report.exit_code


@project.command("import")
@name_option()
@click.option("--verify", is_flag=True, help="Compare source, bundle and target at the end.")
@dry_run_option
@config_dir_option
@patience_option
@verbose_option
@quiet_option
@json_option
def import_(
    name: str, config_dir: str | None, *, verify: bool, dry_run: bool, patience: float, verbose: bool, as_json: bool
) -> int:
    """Take a bundle up to the target workspace; nothing is started there.

    \b
    Example: cmlutil project import -p "Churn Model" --verify
    """
    section = load("import", name, config_dir, verbose=verbose)
    from cmlutils.flows.connect import connect
    from cmlutils.flows.import_project import import_project
    from cmlutils.flows.plan_import import plan_import

    bundle, maps = bundle_of(section), maps_of(section, config_dir)
    if dry_run:
        bundle.check()
        with connect(section, patience * 60) as connection:
            return _shown(plan_import(connection, bundle, maps), as_json=as_json)
    bundle.open()
    with connect(section, patience * 60) as connection:
        report = Report("import", section.name)
        with reported(report, bundle, "import_metrics.json", as_json=as_json) as progress:
            import_project(connection, bundle, maps, report, progress)
            if verify:
                _validate(connection, bundle, maps, report, progress, config_dir, patience * 60)
    return report.exit_code


def _shown(plan: Plan, *, as_json: bool) -> int:
    show_plan(plan, as_json=as_json)
    return plan.exit_code


def _validate(
    target: Connection,
    bundle: Bundle,
    maps: Maps,
    report: Report,
    progress: Progress,
    config_dir: str | None,
    patience: float,
    *,
    quick: bool = False,
) -> None:
    """Compare all three ways; without a usable export section, bundle against target."""
    from cmlutils.flows.connect import connect
    from cmlutils.flows.validate_migration import validate_migration

    try:
        source = config.load("export", target.section.name, config_dir)
    except ConfigError as error:
        report.notes.append(f"The source is not compared: {error.message}")
        validate_migration(None, target, bundle, maps, report, progress, quick=quick)
        return
    with connect(source, patience) as connection:
        validate_migration(connection, target, bundle, maps, report, progress, quick=quick)


@project.command("validate-migration")
@name_option()
@click.option("--quick", is_flag=True, help="Compare sizes and times of files, not their contents.")
@config_dir_option
@patience_option
@verbose_option
@quiet_option
@json_option
def validate_migration_command(
    name: str, config_dir: str | None, *, quick: bool, patience: float, verbose: bool, as_json: bool
) -> int:
    """Compare source, bundle and target: every file, setting and workload.

    \b
    Example: cmlutil project validate-migration -p "Churn Model"
    """
    section = load("import", name, config_dir, verbose=verbose)
    from cmlutils.flows.connect import connect

    bundle, maps = bundle_of(section), maps_of(section, config_dir)
    bundle.open(changed=True)
    with connect(section, patience * 60) as connection:
        report = Report("validate-migration", section.name)
        with reported(report, bundle, "import_metrics.json", as_json=as_json) as progress:
            _validate(connection, bundle, maps, report, progress, config_dir, patience * 60, quick=quick)
    return report.exit_code
