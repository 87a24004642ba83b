"""What the batch scripts share: from a command line to a table, two reports and an exit code."""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING

try:
    import choose
    import results
    import show
    from disk import Disk
    from plan import Item, Plan
    from pool import Pool

    from cmlutils.errors import CmlutilError, ExitCode
    from cmlutils.screen import columns, fold
except ImportError as error:
    if not (error.name or "").startswith("cmlutils"):
        raise
    sys.exit(
        "cmlutils is not installed for this Python: activate its environment, or run the script with that one's Python."
    )

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence
    from pathlib import Path

    from results import Result

STEPS = {"migrate": ("export", "import", "validate-migration")}


def main(verb: str, batch_size: int, argv: Sequence[str] | None = None) -> int:
    """Run the batch that the command line asks for; return the exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    cut = words.index("--") if "--" in words else len(words)
    options = choose.parser(verb, batch_size).parse_args(words[:cut])
    options.report_dir = options.report_dir.absolute()
    os.umask(0o077)
    try:
        names = choose.projects(options, verb)
        options.report_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        return _run(verb, options, names, words[cut + 1 :])
    except (CmlutilError, OSError, UnicodeDecodeError) as error:
        print(" ".join(filter(None, (str(error), getattr(error, "hint", "")))), file=sys.stderr)
        return ExitCode.USAGE


def _run(verb: str, options: argparse.Namespace, names: Sequence[str], more: Sequence[str]) -> int:
    began, folder = time.time(), options.report_dir
    last = results.before(folder, verb)
    rest = [one for name, one in last.items() if name not in names] if options.only_failed else []
    pool = Pool((sys.executable, "-m", "cmlutils"), options.batch_size)
    with show.view() as view:
        plan = Plan(
            items=_items(verb, options, names, last),
            steps=STEPS.get(verb, (verb,)),
            logs=folder / "batch-logs",
            extra=_extra(options, more),
            say=view.say,
            changed=lambda: results.write(folder, verb, began, [*rest, *plan.results()], None),
            patience=options.patience * 60,
            verify=getattr(options, "verify", False),
            remove=getattr(options, "remove_bundles", False),
            disk=Disk(getattr(options, "disk_budget", 0)),
        )
        plan.changed()
        pool.run(plan, lambda: view.look(plan.results(), pool.running))
    found = [*rest, *plan.results()]
    return _tell(verb, folder, began, found, results.worst(found, pool.signum))


def _items(verb: str, options: argparse.Namespace, names: Sequence[str], last: dict[str, Result]) -> list[Item]:
    """Return the projects; those that a batch before has moved, and whose bundles it removed, are done."""
    items = [Item(name, sections) for name, sections in choose.sections(names, options.config_dir).items()]
    for one in items:
        before = last.get(one.project)
        if verb == "migrate" and before and before.removed and before.exit_code == 0 and not options.projects:
            one.result = before
    return items


def _extra(options: argparse.Namespace, more: Sequence[str]) -> list[str]:
    extra = [f"--patience={options.patience:g}", *more]
    return [f"--config-dir={options.config_dir}", *extra] if options.config_dir else extra


def _tell(verb: str, folder: Path, began: float, found: Sequence[Result], code: int) -> int:
    results.write(folder, verb, began, found, code)
    print(fold(results.table(found), columns(sys.stdout)))
    print(f"{folder / 'batch-report.json'} and batch-report.html have the same.")
    if code > 128:
        print("Ended by a signal. Run the same line again to go on.", file=sys.stderr)
    return code
