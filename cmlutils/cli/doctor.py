"""`cmlutil doctor`: what a migration needs, all findings at once, the worst last."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from cmlutils import config
from cmlutils import log as logs
from cmlutils.cli.options import config_dir_option, json_option, name_option
from cmlutils.cli.output import say, width_of
from cmlutils.cli.render import json_text
from cmlutils.errors import ConfigError, ExitCode
from cmlutils.finding import Finding
from cmlutils.runtimes import load_maps
from cmlutils.screen import padded
from cmlutils.section import SIDES

if TYPE_CHECKING:
    from cmlutils.section import Section, Side

_ORDER = {"ok": 0, "warning": 1, "error": 2}  # the worst last: that is where one looks in a terminal


@click.command()
@name_option("names", multiple=True, help="Only this section; may be repeated.")
@click.option("--deep", is_flag=True, help="Also open a session on each workspace, which proves the ssh key.")
@config_dir_option
@json_option
def doctor(names: tuple[str, ...], config_dir: str | None, *, deep: bool, as_json: bool) -> int:
    """Check what a migration needs, for all sections.

    It checks the sections of both ini files, or only those that -p names, and changes nothing.

    \b
    Example: cmlutil doctor -p "Churn Model"
    """
    from cmlutils.flows.doctor import examine

    sections, findings = _sections(names, config_dir)
    try:
        maps = load_maps(config.config_folders(config_dir, os.environ))
    except ConfigError as error:
        findings.append(Finding.of_error("-", "import", error))
        maps = load_maps([])
    findings += examine(sections, maps, deep=deep)
    counts = Counter(one.severity for one in findings)
    if as_json:
        click.echo(json_text([asdict(one) for one in findings]))
    else:
        width = width_of(one.section for one in findings)
        for one in sorted(findings, key=lambda one: _ORDER[one.severity]):
            fix = f" → {one.fix}" if one.fix else ""
            say(logs.one_line(f"{one.severity:<8} {one.side:<7} {padded(one.section, width)}  {one.text}{fix}"))
        click.echo(f"errors: {counts['error']}, warnings: {counts['warning']}, ok: {counts['ok']}")
    if counts["error"]:
        return ExitCode.FAILED
    return ExitCode.NEEDS_HAND if counts["warning"] else ExitCode.OK


def _sections(names: tuple[str, ...], config_dir: str | None) -> tuple[list[Section], list[Finding]]:
    """Read the wanted sections of both files, and what is wrong with the others, as findings."""
    from cmlutils.flows.doctor_ini import misfits

    sections: list[Section] = []
    found: list[Finding] = []
    known: dict[Side, list[str]] = {}
    for side in SIDES:
        try:
            ini = config.read_file(side, config_dir)
        except ConfigError as error:
            found.append(Finding.of_error("-", side, error))
            continue
        known[side] = ini.names()
        if not known[side]:
            found.append(Finding("-", side, "warning", f"{ini.path} has no section", "add one for each project"))
        for name in known[side]:
            if names and name not in names:
                continue
            try:
                sections.append(config.section(ini, name, os.environ))
            except ConfigError as error:
                found.append(Finding.of_error(name, side, error))
    everything = [name for each in known.values() for name in each]
    for name in names:
        if name not in everything:
            near = config.nearest(name, everything)
            fix = f"did you mean [{near}]?" if near else "see 'cmlutil project list'"
            found.append(Finding(name, "-", "error", f"no ini file has a section [{name}]", fix))
    return sections, found + misfits(known, sections)
