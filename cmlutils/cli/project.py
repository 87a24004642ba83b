"""`cmlutil project …`: export, import, validate-migration, and list and status (overview.py)."""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING

import click

from cmlutils.cli.commands import Commands
from cmlutils.cli.options import dry_run_option, project_option, quick_option, run_options
from cmlutils.cli.overview import list_command, status_command
from cmlutils.cli.render import show_plan
from cmlutils.cli.runs import Run, begun, load
from cmlutils.errors import CmlutilError, ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

    from cmlutils.bundle import Bundle
    from cmlutils.flows.connect import Connection
    from cmlutils.plan import Plan
    from cmlutils.progress import Progress
    from cmlutils.runtimes import Maps


@click.group(cls=Commands)
def project() -> None:
    """Export, import and check projects.

    \b
    Example: cmlutil project list
    """


project.add_command(list_command)
project.add_command(status_command)


@project.command("export")
@project_option
@click.option(
    "--no-environment-values", "no_values", is_flag=True, help="Leave the values of environment variables out."
)
@dry_run_option
@run_options
def export(name: str, config_dir: str | None, *, no_values: bool, dry_run: bool, patience: float, as_json: bool) -> int:
    """Export a project from the source into a bundle.

    \b
    Example: cmlutil project export -p "Churn Model"
    """
    with begun("export", name, config_dir, patience, as_json=as_json, dry_run=dry_run) as run:
        from cmlutils.flows.export_project import export_project
        from cmlutils.flows.plan_export import plan_export

        if dry_run:
            return _foreseen(run, lambda connection: plan_export(connection, run.bundle))
        with run.connected() as (connection, progress):
            export_project(connection, run.bundle, run.report, progress, values=not no_values)
    return run.report.exit_code


@project.command("import")
@project_option
@click.option("--verify", is_flag=True, help="Compare source, bundle and target at the end.")
@quick_option
@dry_run_option
@run_options
def import_(
    name: str,
    config_dir: str | None,
    *,
    verify: bool,
    quick: bool,
    dry_run: bool,
    patience: float,
    as_json: bool,
) -> int:
    """Import a bundle into the target; nothing is started.

    \b
    Example: cmlutil project import -p "Churn Model" --verify
    """
    if quick and not verify:
        raise click.UsageError("--quick says how to verify: it needs --verify.")
    with begun("import", name, config_dir, patience, as_json=as_json, dry_run=dry_run) as run:
        from cmlutils.flows.import_project import import_project
        from cmlutils.flows.plan_import import plan_import

        bundle, maps = run.bundle, run.maps()
        if dry_run:
            bundle.check()
            return _foreseen(run, lambda connection: plan_import(connection, bundle, maps))
        with run.connected(check=partial(_check, bundle)) as (connection, progress):
            import_project(connection, bundle, maps, run.report, progress)
            if verify:
                _validate(run, connection, maps, progress, quick=quick)
    return run.report.exit_code


def _check(bundle: Bundle) -> None:
    """Check everything that an import reads on this machine, before it writes anything on the target."""
    from cmlutils.flows.copying.ignore_files import import_rules

    bundle.check()
    import_rules(bundle.data)


def _foreseen(run: Run, plan: Callable[[Connection], Plan]) -> int:
    """Show what a run would do, without writing anything."""
    with run.connect() as connection:
        found = plan(connection)
    show_plan(found, as_json=run.as_json)
    return found.exit_code


def _validate(run: Run, target: Connection, maps: Maps, progress: Progress, *, quick: bool) -> None:
    """Compare source, bundle and target; without a usable export section, only bundle and target.

    If the source can't be reached, the rest is compared first, and the error is raised at the end.
    """
    from cmlutils.flows.connect import connect
    from cmlutils.flows.validate_migration import validate_migration

    with ExitStack() as stack:
        source, failure = None, None
        try:
            export = load("export", target.section.name, run.config_dir)
            source = stack.enter_context(connect(export, run.patience))
        except ConfigError as error:
            run.report.notes.append(f"The source is not compared: {error.message}")
        except CmlutilError as error:
            failure = error
        validate_migration(source, target, run.bundle, maps, run.report, progress, quick=quick)
        if failure:
            raise failure


@project.command("validate-migration")
@project_option
@quick_option
@run_options
def validate_migration_command(
    name: str, config_dir: str | None, *, quick: bool, patience: float, as_json: bool
) -> int:
    """Compare source, bundle and target in full.

    \b
    Example: cmlutil project validate-migration -p "Churn Model"
    """
    with begun("validate-migration", name, config_dir, patience, as_json=as_json) as run:
        maps = run.maps()
        with run.connected(check=partial(run.bundle.check, changed=True)) as (connection, progress):
            _validate(run, connection, maps, progress, quick=quick)
    return run.report.exit_code
