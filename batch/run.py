"""What the batch scripts share: from a command line to a table, two reports and an exit code."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, NoReturn

import choose
import record
import results
import show
from disk import Disk
from plan import Item, Plan
from pool import Pool
from results import Result

from cmlutils.__main__ import COMMAND
from cmlutils.cli.output import end_streams, usable_streams
from cmlutils.errors import CmlutilError, ConfigError, ExitCode
from cmlutils.screen import columns

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Sequence
    from pathlib import Path

STEPS = {"migrate": ("export", "import", "validate-migration")}


def script(verb: str, batch_size: int) -> NoReturn:
    """Run a script's own command line and exit with its code, even if an output stream can't be written."""
    usable_streams()
    try:
        code = main(verb, batch_size)
    except SystemExit as error:  # argparse has printed why
        code = int(error.code or 0)
    sys.exit(end_streams(code))


def main(verb: str, batch_size: int, argv: Sequence[str] | None = None) -> int:
    """Run the batch that the command line asks for; return the exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    cut = words.index("--") if "--" in words else len(words)
    options = choose.parser(verb, batch_size).parse_args(words[:cut])
    os.umask(0o077)
    try:
        choose.check_words(words[cut + 1 :], verb)
        names = choose.projects(options, verb)
        if names:
            options.report_dir = _folder(options.report_dir)
            return _run(verb, options, names, words[cut + 1 :])
    except CmlutilError as error:
        print(" ".join(filter(None, (error.message, error.hint))), file=sys.stderr)
        return ExitCode.USAGE
    print(choose.none_of(options))
    return ExitCode.OK


def _folder(path: Path) -> Path:
    """Return the absolute path of the report folder, which is made if missing; raise ConfigError."""
    try:
        folder = path.absolute()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"{path} can't be created: {error.strerror}.", hint="Name another --report-dir.") from error
    return folder


def _run(verb: str, options: argparse.Namespace, names: Sequence[str], more: Sequence[str]) -> int:
    folder, dry = options.report_dir, "--dry-run" in more
    last = record.before(folder, verb)
    reports = record.Record(folder, verb, dry)
    pool = Pool(COMMAND, options.batch_size)
    with show.view() as view:
        plan = Plan(
            items=_items(verb, options, names, last, view.say),
            logs=folder / "batch-logs" / ("dry-run" if dry else ""),
            extra=_extra(options, more),
            say=view.say,
            changed=lambda: reports.note(plan.results(), view.say),
            patience=options.patience * 60,
            verify=options.verify,
            remove=options.remove_bundles,
            dry=dry,
            disk=Disk(options.disk_budget),
        )
        reports.write(plan.results())
        pool.run(plan, lambda: view.look(plan.results(), pool.running))
    return _tell(reports, plan.results(), pool.signum)


def _items(
    verb: str,
    options: argparse.Namespace,
    names: Sequence[str],
    last: dict[str, Result],
    say: Callable[[str], None],
) -> list[Item]:
    """Return the projects.

    Those that an earlier batch migrated, removing the bundle, are done unless named now. Those that the ini files don't
    let be imported have failed, as an export may take hours.
    """
    steps = STEPS.get(verb, (verb,))
    items = [Item(name, sections, steps) for name, sections in choose.sections(names, options.config_dir).items()]
    for one in items if verb == "migrate" else ():
        before = last.get(one.project)
        if before and before.removed and before.exit_code == 0 and not options.projects:
            one.result = before
        elif why := choose.import_would_fail(one.project, one.sections, options.config_dir):
            one.result = Result(one.project, ExitCode.USAGE, verb="import", reason=why)
            say(f"{one.project}: import: {one.result.words}, so it is not exported: {why}")
    return items


def _extra(options: argparse.Namespace, more: Sequence[str]) -> list[str]:
    extra = [f"--patience={options.patience:g}", *more]
    return [f"--config-dir={options.config_dir}", *extra] if options.config_dir else extra


def _tell(reports: record.Record, found: Sequence[Result], signum: int) -> int:
    """Print the table; return the exit code, which is never 0 if a report can't be written."""
    code = results.worst(found, signum)
    written = reports.end(found, code)
    table = f"{results.table(found, columns(sys.stdout))}\n{results.summary(found)}"
    print(f"{table}\n{reports.words()}" if written else table)
    if signum:
        print("Ended by a signal. Run the same command again to continue.", file=sys.stderr)
    return code if written else code or ExitCode.FAILED
