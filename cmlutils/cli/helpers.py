"""`cmlutil helpers …` and `cmlutil doctor`."""

from __future__ import annotations

import json
import os
from dataclasses import asdict

import click

from cmlutils import config
from cmlutils import log as logs
from cmlutils.bundle import write_bytes
from cmlutils.cli.completion import sections
from cmlutils.cli.options import config_dir_option, json_option, verbose_option
from cmlutils.cli.runs import load
from cmlutils.errors import ConfigError, ExitCode


@click.group()
def helpers() -> None:
    """Prepare a migration."""


@helpers.command("populate_engine_runtimes_mapping")
@click.option(
    "-p",
    "--project-name",
    "--project_name",
    "name",
    metavar="NAME",
    help="The section to take.",
    shell_complete=sections,
)
@config_dir_option
@verbose_option
def populate_engine_runtimes_mapping(name: str | None, config_dir: str | None, *, verbose: bool) -> None:
    """Write engine-map.yaml from the target's runtimes.

    \b
    Example: cmlutil helpers populate_engine_runtimes_mapping
    """
    import yaml

    from cmlutils.flows.connect import connect
    from cmlutils.flows.map_engines import map_engines
    from cmlutils.runtimes import Runtime

    ini = config.read_file("import", config_dir)
    if name is None and not ini.names():
        raise ConfigError(f"{ini.path} has no section.", hint="Add one for each project.")
    section = load("import", name or ini.names()[0], config_dir, verbose=verbose)
    with connect(section) as connection:
        mapping = map_engines([Runtime.from_v1(one) for one in connection.v1.runtimes()])
    path = ini.path.parent / "engine-map.yaml"
    write_bytes(path, yaml.safe_dump(mapping).encode())
    click.echo(f"{path}: {len(mapping)} engines mapped")


@click.command()
@click.option(
    "-p",
    "--project-name",
    "--project_name",
    "names",
    metavar="NAME",
    multiple=True,
    shell_complete=sections,
    help="Only this section.",
)
@config_dir_option
@json_option
def doctor(names: tuple[str, ...], config_dir: str | None, *, as_json: bool) -> int:
    """Check what a migration needs, for all sections of both ini files.

    \b
    Example: cmlutil doctor -p "Churn Model"
    """
    from cmlutils.flows.doctor import Finding, check

    findings: list[Finding] = []
    sides: tuple[config.Side, config.Side] = ("export", "import")
    for side in sides:
        try:
            ini = config.read_file(side, config_dir)
        except ConfigError as error:
            findings.append(Finding("-", side, "error", error.message, error.hint))
            continue
        for name in ini.names():
            if names and name not in names:
                continue
            try:
                findings += check(config.section(ini, name, os.environ))
            except ConfigError as error:
                findings.append(Finding(name, side, "error", error.message, error.hint))
    if as_json:
        click.echo(json.dumps([asdict(one) for one in findings], indent=2, ensure_ascii=False))
    else:
        for one in findings:
            fix = f" → {one.fix}" if one.fix else ""
            click.echo(logs.mask(f"{one.severity:<8} {one.side:<7} {one.section:<24} {one.text}{fix}"))
    severities = {one.severity for one in findings}
    if "error" in severities:
        return ExitCode.FAILED
    return ExitCode.NEEDS_HAND if "warning" in severities else ExitCode.OK
