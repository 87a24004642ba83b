"""Shows how a batch goes: a live table on a terminal, otherwise a line per change and a summary every few minutes."""

from __future__ import annotations

import sys
import time
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from cmlutils.log import one_line
from cmlutils.screen import can_redraw

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pool import Running
    from results import Result

SUMMARY_SECONDS = 300.0


def summary(results: Sequence[Result], running: Sequence[Running]) -> str:
    """Return one line: how many projects ended how, how many run, how many wait."""
    ended = Counter(one.words for one in results if one.exit_code is not None)
    waiting = sum(one.exit_code is None for one in results) - len(running)
    counts = [f"{count} {words}" for words, count in ended.items()]
    return ", ".join([*counts, f"{len(running)} running", f"{max(waiting, 0)} waiting"])


class Lines:
    """Prints a line for each change, with the time of day."""

    def __init__(self) -> None:
        self._next = time.monotonic() + SUMMARY_SECONDS

    def say(self, line: str) -> None:
        """Print what changed."""
        print(time.strftime("%H:%M:%S"), one_line(line), file=sys.stderr, flush=True)

    def look(self, results: Sequence[Result], running: Sequence[Running]) -> None:
        """Print a summary every SUMMARY_SECONDS."""
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + SUMMARY_SECONDS
            self.say(summary(results, running))


class Table:
    """Shows what runs as a table that is redrawn in place; changes scroll by above it."""

    def __init__(self, live: Any) -> None:
        self._live = live
        self._next = 0.0

    def say(self, line: str) -> None:
        """Print what changed."""
        self._live.console.print(f"{time.strftime('%H:%M:%S')} {one_line(line)}", markup=False, highlight=False)

    def look(self, results: Sequence[Result], running: Sequence[Running]) -> None:
        """Redraw the table, at most twice a second."""
        from rich.table import Table as RichTable
        from rich.text import Text

        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + 0.5
        table = RichTable(title=summary(results, running), title_justify="left", expand=False)
        table.add_column("project")  # alone may become narrower
        table.add_column("step", no_wrap=True)
        table.add_column("seconds", justify="right", no_wrap=True)
        for one in running:
            name = Text(one_line(one.task.project), overflow="ellipsis", no_wrap=True)
            table.add_row(name, one.task.verb, f"{one.seconds:.0f}")
        self._live.update(table, refresh=True)


@contextmanager
def view() -> Iterator[Lines | Table]:
    """Yield what shows the batch: a table if standard error is a terminal that can redraw one, or plain lines."""
    if not can_redraw(sys.stderr):
        yield Lines()
        return
    from rich.console import Console
    from rich.live import Live

    with Live(console=Console(stderr=True), auto_refresh=False, transient=True) as live:
        yield Table(live)
