"""`cmlutil helpers …`: what cloudera/cmlutils has to prepare a migration."""

from __future__ import annotations

import click

from cmlutils import config, paths
from cmlutils.cli.commands import Commands
from cmlutils.cli.options import config_dir_option, name_option, verbose_option
from cmlutils.cli.runs import load
from cmlutils.errors import ConfigError
from cmlutils.units import counted
from cmlutils.wholefile import write_bytes


@click.group(cls=Commands)
def helpers() -> None:
    """Prepare a migration.

    \b
    Example: cmlutil helpers populate_engine_runtimes_mapping
    """


@helpers.command("populate_engine_runtimes_mapping")
@name_option(help="The section whose workspace is asked; by default, the first one.")
@config_dir_option
@verbose_option
def populate_engine_runtimes_mapping(name: str | None, config_dir: str | None) -> None:
    """Write engine-map.yaml for the target.

    The file names one of the target's runtimes for each kernel of legacy engines.

    \b
    Example: cmlutil helpers populate_engine_runtimes_mapping
    """
    import yaml

    from cmlutils.flows.connect import connect
    from cmlutils.flows.map_engines import KERNELS, map_engines

    ini = config.read_file("import", config_dir)
    if name is None and not ini.names():
        raise ConfigError(f"{ini.path} has no section.", hint="Add one for each project.")
    section = load("import", name or ini.names()[0], config_dir)
    with connect(section) as connection:
        mapping = map_engines(connection.v1.runtimes.all())
    path = ini.path.parent / "engine-map.yaml"
    content = yaml.safe_dump(mapping).encode()
    if paths.exists(path) and path.read_bytes() != content:
        write_bytes(old := path.with_suffix(".yaml.old"), path.read_bytes())
        click.echo(f"{path} existed already, and was kept as {old.name}")
    write_bytes(path, content)
    click.echo(f"{path}: {counted(len(mapping), 'engine')} mapped")
    for kernel in sorted(KERNELS.keys() - mapping.keys()):
        click.echo(
            f"Workloads of engine {kernel} will not be created: the target has no Workbench runtime in edition "
            "Standard for it. Add one, or name another image in the file."
        )
