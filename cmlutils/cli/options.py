"""Options that several commands share."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import click

from cmlutils import log as logs
from cmlutils.cli.completion import sections

if TYPE_CHECKING:
    from collections.abc import Callable


def _number(context: click.Context, option: click.Parameter, value: float) -> float:
    if math.isnan(value):
        raise click.BadParameter("it is not a number.", context, option)
    return value


def _one(context: click.Context, option: click.Parameter, names: tuple[str, ...]) -> str | None:
    if len(names) > 1:
        raise click.BadParameter("only one project per run; the scripts in batch/ run many.", context, option)
    return names[0] if names else None


config_dir_option = click.option(
    "--config-dir", metavar="FOLDER", help="The folder with export-config.ini and import-config.ini."
)
json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print JSON on standard output, and nothing else there."
)
dry_run_option = click.option(
    "--dry-run", is_flag=True, help="Only read, and print what would be done and what can't be foreseen."
)
quick_option = click.option("--quick", is_flag=True, help="Compare sizes and times of files, not their contents.")
patience_option = click.option(
    "--patience",
    metavar="MINUTES",
    type=click.FloatRange(min=0),
    default=60,
    show_default=True,
    callback=_number,
    help="How long to wait for a workspace that goes away during the run.",
)
quiet_option = click.option(
    "-q",
    "--quiet",
    is_flag=True,
    is_eager=True,  # so that --verbose has the last word
    expose_value=False,
    callback=lambda _context, _option, quiet: logs.to_terminal(quiet=True) if quiet else None,
    help="Show warnings, errors and the report only.",
)
verbose_option = click.option(
    "-v",
    "--verbose",
    is_flag=True,
    expose_value=False,
    callback=lambda _context, _option, verbose: logs.to_terminal(verbose=True) if verbose else None,
    help="Show each call and each step.",
)


def name_option(parameter: str = "name", **more: Any) -> Callable[..., Any]:
    """Return the -p option, which also has the spelling of cloudera/cmlutils; `more` goes to click.

    Unless `multiple` is asked for, a second -p is refused: click would silently take the last one.
    """
    single = {} if more.get("multiple") else {"multiple": True, "callback": _one}
    settings = {"metavar": "NAME", "shell_complete": sections, **single, **more}
    return click.option("-p", "--project-name", "--project_name", parameter, **settings)


project_option = name_option(required=True, help="The section of the ini file: the project's name.")


def run_options(command: Any) -> Any:
    """Add the options that export, import and validate-migration have in common."""
    for option in (json_option, quiet_option, verbose_option, patience_option, config_dir_option):
        command = option(command)
    return command
