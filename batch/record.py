"""Writes and reads the reports of batches, which include other batches. A full disk does not end a running batch."""

from __future__ import annotations

import contextlib
import fcntl
import html
import os
import sys
import time
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from results import Result, summary

from cmlutils.errors import BundleError
from cmlutils.reader import Reader
from cmlutils.units import counted, utc_time
from cmlutils.wholefile import read_json, write_bytes, write_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path


@dataclass
class Record:
    """batch-report.json and .html in one folder; `others` has the results of projects that are not in this batch.

    They are from earlier batches of this verb, or from others that run at the same time.
    """

    folder: Path
    verb: str
    dry: bool = False
    others: Sequence[Result] = ()
    began: float = field(default_factory=time.time)
    _warned: bool = False

    def write(self, found: Sequence[Result], code: int | None = None) -> None:
        """Write both reports, unless it is a dry run; `code` is None while the batch still runs. Raises BundleError."""
        if self.dry:
            return
        with _alone(self.folder):
            ours = {one.project for one in found}
            known = {one.project: one for one in self.others} | before(self.folder, self.verb)
            self.others = [one for name, one in known.items() if name not in ours]
            self._write(found, code)

    def _write(self, found: Sequence[Result], code: int | None) -> None:
        content = {
            "verb": self.verb,
            "started_at": utc_time(self.began),
            "seconds": round(time.time() - self.began, 1),
            "exit_code": code,
            "projects": [
                {**_row(one), "result": one.words, "earlier": rows is self.others}
                for rows in (self.others, found)
                for one in rows
            ],
        }
        write_json(self.folder / "batch-report.json", content)
        page = _page(content, found, self.others)
        write_bytes(self.folder / "batch-report.html", page.encode("utf-8", "replace"))

    def note(self, found: Sequence[Result], say: Callable[[str], None]) -> None:
        """Bring both reports up to date; only the first failure to do so is passed to `say`."""
        try:
            self.write(found)
        except BundleError as error:
            if not self._warned:
                say(f"{error.message} It is tried again at the end.")
            self._warned = True

    def end(self, found: Sequence[Result], code: int) -> bool:
        """Write both reports for the last time; if that fails, print why and return False."""
        try:
            self.write(found, code)
        except BundleError as error:
            print(f"{error.message} {error.hint}", file=sys.stderr)
            return False
        return True

    def words(self) -> str:
        """Return a line that says where the reports are and what they hold of other batches."""
        if self.dry:
            return "A dry run: nothing of it is recorded."
        more = f", and {summary(self.others)} of other batches" if self.others else ""
        return f"{self.folder / 'batch-report.json'} and batch-report.html have the same{more}."


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Let no other batch write to the folder during the block, unless the folder is on a disk that knows no locks."""
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):
            handle = os.open(folder, os.O_RDONLY)
            stack.callback(os.close, handle)
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def read(folder: Path, verb: str) -> list[Result]:
    """Return the results of the last batch in this folder; raise BundleError if unreadable or of another verb."""
    path = folder / "batch-report.json"
    try:
        content = read_json(path, dict)
        results = [_result(row) for row in Reader(content, str(path), BundleError).items("projects")]
    except BundleError as error:
        raise BundleError(error.message, hint="Leave out --only-failed.") from error
    if content.get("verb") != verb:
        raise BundleError(f"{path} is of {content.get('verb')}, and not of {verb}.", hint="Name its --report-dir.")
    return results


def _row(one: Result) -> dict[str, Any]:
    """Return a result as the report has it; it is never that of a dry run."""
    row = asdict(one)
    del row["foreseen"]
    return row


def _result(row: object) -> Result:
    one = Reader(row, "A project of batch-report.json", BundleError)
    return Result(
        project=one.required_text("project"),
        exit_code=None if one.data.get("exit_code") is None else one.whole("exit_code"),
        seconds=one.number("seconds"),
        log=one.text("log"),
        verb=one.text("verb"),
        reason=one.text("reason"),
        removed=one.flag("removed"),
        after=one.text("after"),
    )


def before(folder: Path, verb: str) -> dict[str, Result]:
    """Return what is reported so far, by project; nothing if there is no readable report of this verb."""
    try:
        return {one.project: one for one in read(folder, verb)}
    except BundleError:
        return {}


def _page(content: dict[str, Any], found: Sequence[Result], others: Sequence[Result]) -> str:
    def row(one: Result) -> str:
        kind = "ok" if one.exit_code == 0 else "hand" if one.exit_code in {4, 5} else "bad"
        cells = (one.project, one.words, one.verb, f"{one.seconds:.0f}", one.reason, one.log)
        return f'<tr class="{kind}">' + "".join(f"<td>{html.escape(cell)}</td>" for cell in cells) + "</tr>"

    # what failed comes first, then what is not finished: people look at the top of a page
    results = sorted([*others, *found], key=lambda one: (one.exit_code == 0, one.exit_code is None))
    more = f"; of other batches: {summary(others)}" if others else ""
    state = "under way" if content["exit_code"] is None else f"ended with exit code {content['exit_code']}"
    return _HTML.format(
        title=html.escape(f"{content['verb']} of {counted(len(results), 'project')}"),
        summary=html.escape(
            f"{summary(found)}; {state}{more}. Begun {content['started_at']}, {content['seconds']:.0f} s."
        ),
        rows="\n".join(row(one) for one in results),
    )


_HTML = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title><style>
body {{ font: 15px/1.5 system-ui, sans-serif; margin: 2em; color: #222 }}
table {{ border-collapse: collapse }} td, th {{ padding: .3em .8em; text-align: left; border-bottom: 1px solid #ddd }}
.ok td:nth-child(2) {{ color: #176f2c }} .hand td:nth-child(2) {{ color: #8a5a00 }}
.bad td:nth-child(2) {{ color: #b00020; font-weight: bold }}
</style></head><body><h1>{title}</h1><p>{summary}</p>
<table><tr><th>project</th><th>result</th><th>last step</th><th>seconds</th><th>why</th><th>log</th></tr>
{rows}
</table></body></html>
"""
