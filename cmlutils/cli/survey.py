"""`cmlutil project list` and `cmlutil project status`: what there is, from local files alone."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import click

from cmlutils import config
from cmlutils import log as logs
from cmlutils.cli.options import config_dir_option, json_option, name_option
from cmlutils.cli.runs import bundle_of
from cmlutils.errors import ConfigError

if TYPE_CHECKING:
    from cmlutils.config import Side


@click.command("list")
@config_dir_option
@json_option
def list_command(config_dir: str | None, *, as_json: bool) -> None:
    """List the sections of both ini files, and what each would address.

    \b
    Example: cmlutil project list
    """
    rows = _rows(config_dir)
    if as_json:
        click.echo(json.dumps(logs.masked(rows), indent=2))
        return
    for row in rows:
        click.echo(logs.one_line("  ".join((f"{row['side']:<7}", f"{row['section']:<30}", row["what"]))))


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


@click.command("status")
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
        click.echo(json.dumps(logs.masked(rows), indent=2))
        return
    for row in rows:
        click.echo(logs.one_line(f"{row['section']:<30} {row['side']:<7} {row['state']}"))
