"""The command line of the batch scripts, and which projects it selects."""

from __future__ import annotations

import argparse
import hashlib
import math
import os
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import record
from disk import parse_size

from cmlutils import config
from cmlutils.errors import ConfigError
from cmlutils.section import SIDES, one_output_dir

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cmlutils.section import Section, Side


def _size(text: str) -> int:
    try:
        return parse_size(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _shard(text: str) -> tuple[int, int]:
    first, _, last = text.partition("/")
    if not (first.isdigit() and last.isdigit() and 1 <= int(first) <= int(last)):
        raise argparse.ArgumentTypeError(f"{text!r} is not a part: write 1/3, 2/3 or 3/3 for three hosts.")
    return int(first), int(last)


def _at_least_one(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1.")
    return int(text)


def _minutes(text: str) -> float:
    try:
        found = float(text)
    except ValueError:
        found = -1.0
    if not (math.isfinite(found) and found >= 0):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of minutes of at least 0.")
    return found


class _Parser(argparse.ArgumentParser):
    """A parser whose error for an unknown option says that options for cmlutil go after `--`."""

    def error(self, message: str) -> NoReturn:
        """Print what is wrong, and exit with code 2."""
        hint = "; what is for each cmlutil goes after --" if message.startswith("unrecognized") else ""
        super().error(message + hint)


def parser(verb: str, batch_size: int) -> argparse.ArgumentParser:
    """Return the argument parser of the script for this verb."""
    one = _Parser(
        description=f"Runs 'cmlutil project {verb}' for many projects. What follows -- goes to each cmlutil.",
    )
    if verb == "migrate":
        one.description = "Exports, imports and validates many projects. What follows -- goes to each cmlutil."
    side = side_of(verb)
    one.add_argument("projects", nargs="*", help=f"sections of {side}-config.ini; all of them if none is named")
    at_a_time = str(batch_size)  # argparse checks a default only if it is text
    how_many = "how many at a time (%(default)s)"
    one.add_argument("--batch-size", type=_at_least_one, default=at_a_time, metavar="N", help=how_many)
    one.add_argument("--from-file", type=Path, metavar="FILE", help="a file with one section name a line")
    one.add_argument("--only-failed", action="store_true", help="leave out what the last batch-report.json has as done")
    one.add_argument("--shard", type=_shard, metavar="I/N", help="part I of N, always the same: a part for each host")
    patience = "how long to wait for a workspace that is away (%(default)s)"
    one.add_argument("--patience", type=_minutes, default="60", metavar="MINUTES", help=patience)
    one.add_argument("--config-dir", metavar="FOLDER", help="the folder of the ini files")
    reports = "where the reports and batch-logs go (here)"
    one.add_argument("--report-dir", type=Path, default=Path(), metavar="FOLDER", help=reports)
    one.set_defaults(verify=False, disk_budget=0, remove_bundles=False)  # where a script has no such option
    if verb == "import":
        one.add_argument("--verify", action="store_true", help="compare source, bundle and target")
    if verb == "migrate":
        budget = "disk space that all bundles together may take, such as 200G"
        one.add_argument("--disk-budget", type=_size, metavar="SIZE", help=budget)
        one.add_argument("--remove-bundles", action="store_true", help="remove a bundle that was validated equal")
    return one


def side_of(verb: str) -> Side:
    """Return the side whose ini file lists a script's projects."""
    return "export" if verb in {"export", "migrate"} else "import"


def in_shard(name: str, shard: tuple[int, int]) -> bool:
    """Tell whether a section belongs to part i of n; the answer is the same on every host."""
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big") % shard[1] == shard[0] - 1


def projects(options: argparse.Namespace, verb: str) -> list[str]:
    """Return the names of the sections that the command line selects; raise CmlutilError."""
    names = list(options.projects)
    if options.from_file:
        names += _listed(options.from_file)
    if options.only_failed:
        failed = [one.project for one in record.read(options.report_dir, verb) if one.exit_code != 0]
        names = [name for name in failed if not names or name in names]
    elif not names:
        ini = config.read_file(side_of(verb), options.config_dir)
        names = ini.names()
        if not names:
            raise ConfigError(f"{ini.path} has no section.", hint="Add one for each project.")
    if options.shard:
        names = [name for name in names if in_shard(name, options.shard)]
    return list(dict.fromkeys(names))


def _listed(path: Path) -> list[str]:
    """Return the section names that a file lists; raise ConfigError if it can't be read or lists none."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise ConfigError(f"{path} can't be read: {error.strerror}.", hint="Check --from-file.") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8 text (byte {error.start}).", hint="Save it as UTF-8.") from error
    names = [line.strip() for line in lines if line.strip()]
    if not names:
        raise ConfigError(f"{path} names no section.", hint="Write one on each line.")
    return names


def none_of(options: argparse.Namespace) -> str:
    """Return a sentence that says why there is nothing to run."""
    if options.shard:
        which = "No section that is left to run" if options.only_failed else "No section"
        return f"{which} is in part {options.shard[0]}/{options.shard[1]}."
    return "No section is left to run."


def check_words(words: Sequence[str], verb: str) -> None:
    """Raise ConfigError if one of the words for each cmlutil makes no sense there."""
    if {"-h", "--help"} & set(words):
        hint = f"Run 'cmlutil project {'export' if verb == 'migrate' else verb} --help'."
        raise ConfigError("After -- each project would get --help.", hint=hint)
    if "--dry-run" in words and verb == "migrate":
        hint = "Run export_all.py -- --dry-run, and import_all.py -- --dry-run when the bundles are there."
        raise ConfigError(
            "A whole migration can't be foreseen, as an import reads what an export has written.", hint=hint
        )
    if "--dry-run" in words and verb == "validate-migration":
        raise ConfigError("A validation only compares: it has no --dry-run.", hint="Leave it out.")


def import_would_fail(name: str, sections: Mapping[str, Section], config_dir: str | None) -> str:
    """Say why what the export of a project brings can't be imported; empty if the ini files allow it.

    It is empty, too, if the export's own section can't be used: the export says why.
    """
    if "export" not in sections:
        return ""
    try:
        there = sections.get("import") or config.load("import", name, config_dir)
    except ConfigError as error:
        return error.message
    here = sections["export"]
    if one_output_dir(here, there):
        return ""
    return f"the export writes to {here.output_dir}, and the import looks in {there.output_dir}: output_dir differs."


def sections(names: Sequence[str], config_dir: str | None) -> dict[str, dict[str, Section]]:
    """Return each project's sections by side. Unreadable ones are left out: cmlutil itself says what is wrong."""
    found: dict[str, dict[str, Section]] = {name: {} for name in names}
    for side in SIDES:
        try:
            ini = config.read_file(side, config_dir)
        except ConfigError:
            continue
        for name in names:
            try:
                found[name][side] = config.section(ini, name, os.environ)
            except ConfigError:  # noqa: PERF203
                continue
    return found
