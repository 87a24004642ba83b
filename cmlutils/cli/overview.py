"""`cmlutil project list` and `cmlutil project status`: what there is, from local files alone."""

from __future__ import annotations

import contextlib
import logging
import math
import os
import sys
import time
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from cmlutils import config
from cmlutils import log as logs
from cmlutils.bundle import bundle_of
from cmlutils.cli.options import config_dir_option, json_option, name_option
from cmlutils.cli.output import say, width_of
from cmlutils.cli.render import json_text
from cmlutils.cli.runs import failures_as_json
from cmlutils.errors import BundleError, ConfigError, ExitCode, Interrupted
from cmlutils.finding import section_names
from cmlutils.flows.status import status_of
from cmlutils.project import ProjectSettings
from cmlutils.screen import can_redraw, padded
from cmlutils.section import KEY_VARIABLES, SIDES, by_oddity
from cmlutils.units import human_size, human_time
from cmlutils.wholefile import read_json

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cmlutils.flows.status import SideState
    from cmlutils.section import Section

log = logging.getLogger(__name__)
_BETWEEN = 5.0  # seconds without a run until watching ends: a batch has begun its next project by then


@click.command("list")
@config_dir_option
@json_option
def list_command(config_dir: str | None, *, as_json: bool) -> None:
    """List the sections of both ini files.

    Each shows which project it addresses on which workspace.

    \b
    Example: cmlutil project list
    """
    with failures_as_json(as_json=as_json):
        rows = _rows(config_dir)
    if as_json:
        click.echo(json_text(rows))
        return
    width = width_of(row["section"] for row in rows)
    for row in rows:
        problem = f"not usable: {row['problem']}" if "problem" in row else ""
        what = problem or " ".join(row[key] for key in ("url", "project", "folder"))
        say(logs.one_line(f"{row['side']:<7}  {padded(row['section'], width)}  {what}"))


def _rows(config_dir: str | None) -> list[dict[str, str]]:
    """Return one row for each section; raise ConfigError if there is none."""
    rows: list[dict[str, str]] = []
    sections: list[Section] = []
    for ini in _ini_files(config_dir):
        for name in ini.names():
            try:
                one = config.section(ini, name, os.environ)
            except ConfigError as error:
                rows.append({"side": ini.side, "section": name, "problem": error.message})
                continue
            sections.append(one)
            project = f"{_owner(one)}/{name}"
            url, folder = one.workspace.url, str(bundle_of(one).folder)
            rows.append({"side": ini.side, "section": name, "url": url, "project": project, "folder": folder})
    for odd, some in by_oddity(sections).items():
        several = odd.in_section and len(some) > 1
        log.warning("%s", f"{odd.told()} Sections: {section_names(some)}." if several else odd.told(some[0].name))
    return rows


def _owner(section: Section) -> str:
    """Return the project's owner: on the target a team, if the bundle says so."""
    if section.side == "export":
        return section.owner or section.workspace.username
    with contextlib.suppress(BundleError):
        settings = read_json(bundle_of(section).metadata("project"), dict)
        return ProjectSettings.from_bundle(settings).team or section.workspace.username
    return section.workspace.username


def _ini_files(config_dir: str | None) -> list[config.IniFile]:
    """Read the ini files that exist; raise ConfigError if one is malformed, or if none has a section."""
    folders = config.config_folders(config_dir, os.environ)
    there = [side for side in SIDES if any(config.is_there(folder / f"{side}-config.ini") for folder in folders)]
    if not there:
        raise ConfigError(
            f"There is neither export-config.ini nor import-config.ini in {', '.join(map(str, folders))}.",
            hint="Run 'cmlutil init', write them with a section for each project, or name their folder with "
            "--config-dir.",
        )
    files = [config.read_file(side, config_dir) for side in there]
    if not any(ini.names() for ini in files):
        raise ConfigError("No ini file has a section.", hint="Add one for each project.")
    return files


@click.command("status")
@name_option("names", multiple=True, help="Only this section; may be repeated.")
@click.option("--watch", is_flag=True, help="Refresh every second, until nothing has run for 5 seconds.")
@config_dir_option
@json_option
def status_command(names: tuple[str, ...], config_dir: str | None, *, watch: bool, as_json: bool) -> int:
    """Show what is done, running and left.

    It reads local files only, and asks no workspace.

    \b
    Example: cmlutil project status -p "Churn Model" --watch
    """
    with failures_as_json(as_json=as_json):
        sections = _sections(names, config_dir)
    show = click.echo if as_json else say
    shown: list[str] = []
    ran = -math.inf
    while True:
        states = [(one, status_of(bundle_of(one), one.side)) for one in sections]
        lines = [_status_json(states)] if as_json else _status_lines(states)
        if lines != shown:
            if watch and can_redraw(sys.stdout):
                click.clear()
            for line in lines:
                show(line)
            shown = lines
        now = time.monotonic()
        ran = now if any(state.running for _, state in states) else ran
        if not watch or now - ran >= _BETWEEN:
            return ExitCode.OK
        try:
            time.sleep(1)
        except Interrupted as error:
            return 128 + error.signum


def _sections(names: tuple[str, ...], config_dir: str | None) -> list[Section]:
    """Return the usable sections of both files; warn of what is odd about a file and of each unusable section.

    Raises ConfigError if none is usable, or for a name that no file has.
    """
    found, unusable, known = [], list[ConfigError](), dict[str, None]()
    keys = dict.fromkeys(KEY_VARIABLES.values(), "none")
    for ini in _ini_files(config_dir):
        known |= dict.fromkeys(ini.names())
        for odd in ini.oddities:
            log.warning("%s", odd.told())
        for one in ini.names():
            if names and one not in names:
                continue
            try:
                found.append(config.section(ini, one, {**os.environ, **keys}))
            except ConfigError as error:
                unusable.append(error)
    if missing := [name for name in names if name not in known]:
        near = [f"[{one}]" for name in missing if (one := config.nearest(name, known))]
        hint = f"Did you mean {' and '.join(near)}?" if near else "See 'cmlutil project list'."
        raise ConfigError(f"No ini file has a section {', '.join(f'[{name}]' for name in missing)}.", hint=hint)
    if not found:
        raise unusable[0]
    for each in unusable:
        log.warning("%s", each.message)
    return found


def _status_json(states: Sequence[tuple[Section, SideState]]) -> str:
    rows = [{"section": section.name, "side": section.side, **asdict(state)} for section, state in states]
    return json_text(rows)


def _status_lines(states: Sequence[tuple[Section, SideState]]) -> list[str]:
    """Return one line for each section and side, with indented lines below it where there is more to tell.

    What runs comes last: of hundreds of sections, a terminal shows the end.
    """
    lines = []
    width = width_of(section.name for section, _ in states)
    for section, state in sorted(states, key=lambda each: each[1].running):
        what = " ".join(filter(None, (state.phase, f"({state.step})" if state.step else "")))
        text = f"{what or 'running'}; {state.state}" if state.running else state.state
        lines.append(f"{padded(section.name, width)}  {section.side:<7} {text}")
        more = [*_files(_numbers(state.files)), *_workloads(state.workloads, exported=section.side == "export")]
        if state.running and state.error:
            more.append(f"last warning: {state.error}")
        lines += [f"    {one}" for one in more]
    return [logs.one_line(line) for line in lines]


def _numbers(value: object) -> dict[str, int]:
    """Return those values of an object that are whole numbers; nothing for what is no object, as in a damaged file."""
    return {key: one for key, one in value.items() if isinstance(one, int)} if isinstance(value, dict) else {}


def _files(files: Mapping[str, int]) -> list[str]:
    if "bytes_total" in files:
        done, size, rate, left, files_done, files_total = (
            files.get(key, 0)
            for key in ("bytes_done", "bytes_total", "bytes_per_second", "seconds_left", "files_done", "files_total")
        )
        text = f"files: {human_size(done)} of {human_size(size)}, {files_done} of {files_total}"
        return [text + (f", {human_size(rate)}/s" if rate else "") + (f", {human_time(left)} left" if left else "")]
    return [f"files: {files['files']}, {human_size(files.get('bytes', 0))}"] if "files" in files else []


def _workloads(workloads: Mapping[str, Mapping[str, int]], *, exported: bool) -> list[str]:
    kinds = [
        f"{kind}s: " + ", ".join(f"{n} {'exported' if exported else what}" for what, n in _numbers(counts).items())
        for kind, counts in workloads.items()
    ]
    return ["; ".join(kinds)] if kinds else []
