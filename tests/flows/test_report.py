"""The report: one page that anybody can open, with everything escaped, and complete however the run ended."""

import json
import shutil
import subprocess
import time
from html.parser import HTMLParser

import pytest
from emulated import BUNDLE, EXPORT, IMPORT

from cmlutils import log as logs
from cmlutils.cli.render import files_text, json_text
from cmlutils.cli.report_html import page
from cmlutils.emulator.faults import Fault
from cmlutils.entries import Differences, Entry, Totals, totals_by_folder
from cmlutils.errors import ExitCode
from cmlutils.flows.copying.result import FileResult, note_files, problems_of
from cmlutils.remote.rsync import complaints
from cmlutils.report import Difference, Group, Outcome, Report, Status

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
VOID = {"meta", "link", "input"}
ODD = '<script>alert("x")</script><img src=http://evil.example.com/x>&amp;'


class Page(HTMLParser):
    """Checks that all tags are closed in the right order; collects tags, attributes and text."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.attributes, self.text = [], [], [], ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += [(tag, *one) for one in attributes]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += [(tag, *one) for one in attributes]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def full_report(rows=3):
    report = Report("import", f"Churn {ODD}", source="https://a dana/p", target="https://b dana/p")
    report.files = {"files": 5, "bytes": 5000, "transferred": 5}
    report.folders = {ODD: {"files": 3, "bytes": 4000}, ".": {"files": 2, "bytes": 1000}}
    report.outcomes = [Outcome("job", f"job {n} {ODD}", Status.CREATED, note=ODD, todo=ODD) for n in range(rows)]
    report.outcomes.append(Outcome("model", "m", Status.FAILED, note="no runtime"))
    report.differences = [
        Difference(f"target file {ODD}", f"'extra {n}'", "absent", "there", group=Group.EXTRA) for n in range(rows)
    ]
    report.file_problems, report.notes, report.todos = [ODD] * rows, [ODD], [ODD]
    report.phases = {"files": 2.5, ODD: 0.1}
    report.verified = False
    return report


def test_the_page_is_well_formed_and_everything_in_it_is_text():
    found = Page(page(full_report()))
    assert not {"script", "img", "iframe", "object"} & set(found.tags)
    assert ODD in found.text
    assert {"svg", "details", "input", "figure"} <= set(found.tags)


def test_the_page_loads_nothing():
    found = Page(page(full_report()))
    links = [value for _, name, value in found.attributes if name in {"src", "href", "action", "data", "srcset"}]
    assert links == ["data:,"]
    assert "url(" not in page(full_report())
    assert "@import" not in page(full_report())


def test_the_page_masks_secrets():
    logs.hide("canary-key-1234")
    report = full_report()
    report.error = report.source = "canary-key-1234"
    report.folders = {"canary-key-1234": {"files": 1, "bytes": 1}}
    report.todos = report.notes = ["canary-key-1234"]
    assert "canary-key-1234" not in page(report)
    assert "canary-key-1234" not in json_text(report.to_json())
    assert json.loads(json_text(report.to_json()))["notes"] == ["***"]


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("https://a dana/p", "Done and verified: source, bundle and target are equal."),
        ("", "Done and verified: bundle and target are equal; the source was not compared."),
    ],
)
def test_the_verdict_says_what_was_compared(source, told):
    assert told in Page(page(Report("import", "p", source=source, verified=True))).text


def test_one_is_told_as_one():
    report = Report("import", "p", folders={"a": {"files": 1, "bytes": 9}, "b": {"files": 2, "bytes": 9}})
    assert "9 B, 1 file<" in page(report)
    assert "9 B, 2 files<" in page(report)
    report.differences = [Difference("target file", "x", "", "", group=Group.EXTRA)]
    assert "1 difference found." in page(report)


def test_a_page_stays_small_enough_to_be_opened():
    report = Report("import", "p")
    report.differences = [Difference("target file", f"row {n}", "", "", group=Group.EXTRA) for n in range(30_000)]
    text = page(report)
    assert text.count("row ") == 20_000
    assert "and 10000 more" in text
    assert "only on the target (30000)" in text


@pytest.mark.parametrize(
    ("counts", "text"),
    [
        ({"files": 296, "folders": 12, "links": 5, "bytes": 7 << 20, "transferred": 313},
         "296 files, 12 folders, 5 links, 7.0 MiB; 313 new or changed"),
        ({"files": 0, "folders": 2, "bytes": 0, "transferred": 0}, "0 files, 2 folders, 0 B; none new or changed"),
        ({"files": 1, "bytes": 9, "deleted": 3}, "1 file, 9 B; none new or changed, 3 removed"),
    ],
)  # fmt: skip
def test_the_line_of_files_counts_the_same_things_twice(counts, text):
    assert files_text(counts) == text


def test_a_failed_run_writes_its_reports_too(workspaces, run_line, home):
    _, target = workspaces()
    run_line(EXPORT)
    metrics = json.loads((home / "bundles/Churn Model/logs/export_metrics.json").read_text())
    assert metrics["folders"]["jobs"] == {"files": 1, "bytes": 9}
    assert metrics["folders"]["."]["files"] == 5
    target.faults.add(Fault("status", method="POST", path="/jobs$", status=403, times=None))
    target.faults.add(Fault("status", method="GET", path="/jobs$", status=403, times=None))
    run_line(f"{IMPORT} --verify", exit_code={1, 5})
    logs_of = home / "bundles/Churn Model/logs"
    metrics = json.loads((logs_of / "import_metrics.json").read_text())
    assert metrics["exit_code"] in {1, 5}
    assert metrics["isMigrationSuccessful"] is False
    text = Page((logs_of / "report.html").read_text()).text
    assert "Explain" in text
    assert "exit code 1" in text or "needs" in text


def test_a_page_that_can_not_be_written_is_not_pointed_to(workspaces, run_line, home):
    workspaces()
    assert "report: " in run_line(EXPORT).out
    page_of_earlier = home / BUNDLE / "logs/report.html"
    page_of_earlier.unlink()
    page_of_earlier.mkdir()
    done = run_line(EXPORT, exit_code=1)
    assert "The report can't be written" in done.err
    assert "report: " not in done.out


@pytest.mark.parametrize(
    ("report", "successful"),
    [
        (Report("import", "p", verified=True), True),
        (Report("import", "p", verified=True, error="x", error_code=1), False),
        (Report("import", "p", verified=True, file_problems=["x"]), False),
        (Report("import", "p", verified=True, outcomes=[Outcome("job", "j", Status.FAILED)]), False),
        (
            Report("import", "p", verified=True, outcomes=[Outcome("bundle", "b", Status.SKIPPED, needs_hand=True)]),
            False,
        ),
        (Report("import", "p", verified=True, outcomes=[Outcome("job", "j", Status.SKIPPED)]), True),
        (Report("import", "p", verified=True, outcomes=[Outcome("job", "j", Status.CREATED, needs_hand=True)]), True),
        (Report("import", "p", verified=True, differences=[Difference("a", "b", "c", "d")]), False),
        (Report("import", "p", error="x", error_code=130), False),
    ],
)
def test_only_a_run_without_any_failure_is_successful(report, successful):
    assert report.to_json()["isMigrationSuccessful"] is successful


def test_what_is_to_be_done_after_a_migration_is_told_when_it_is_whole():
    outcomes = [
        Outcome("project", "p", Status.CREATED),
        Outcome("job", "score", Status.FALLBACK, todo="set its schedule"),
    ]
    whole, cut = (Report("import", "p", outcomes=outcomes, error_code=code).all_todos() for code in (0, 130))
    assert cut == ["job score: set its schedule"]
    assert whole[:1] == cut
    assert [text.split()[0] for text in whole[1:]] == ["Stop", "Models,", "The", "Settings"]
    assert [text.split()[0] for text in Report("import", "p", outcomes=outcomes[:1]).all_todos()] == ["The", "Settings"]
    outcomes[1] = Outcome("model", "m", Status.CREATED)
    assert "Model API keys" in " ".join(Report("import", "p", outcomes=outcomes).all_todos())
    assert Report("export", "p", outcomes=outcomes).all_todos() == Report("import", "p").all_todos() == []


def test_files_are_counted_by_folder_of_the_root():
    entries = [
        Entry(b"a", "f", 1, 0, 0o644),
        Entry(b"d", "d", 4096, 0, 0o755),
        Entry(b"d/e/f", "f", 2, 0, 0o644),
        Entry(b"\xff/f", "f", 3, 0, 0o644),
        Entry(b"d/l", "l", 9, 0, 0o777, b"x"),
    ]
    assert totals_by_folder(entries) == {
        ".": {"files": 1, "bytes": 1},
        "d": {"files": 1, "bytes": 2},
        "\\xff": {"files": 1, "bytes": 3},
    }


def look(tmp_path, text):
    """Open a page in a real browser; return its console output, a dump of its document, and the seconds it took."""
    (tmp_path / "report.html").write_text(text)
    flags = ["headless", "no-sandbox", "disable-gpu", "no-first-run", "disable-background-networking"]
    flags += ["disable-component-update", "disable-sync", "enable-logging=stderr", "dump-dom"]
    flags.append(f"user-data-dir={tmp_path / 'profile'}")
    argv = [CHROMIUM, *(f"--{flag}" for flag in flags), (tmp_path / "report.html").as_uri()]
    began = time.monotonic()
    done = subprocess.run(argv, capture_output=True, text=True, timeout=100, check=True)
    console = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    return console, done.stdout, time.monotonic() - began


@pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")
def test_a_browser_shows_ten_thousand_rows_and_complains_of_nothing(tmp_path):
    console, document, _ = look(tmp_path, page(full_report(10_000)))
    assert console == []
    assert document.count("extra ") >= 10_000
    assert "<script" not in document


@pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")
def test_the_browser_test_would_see_a_request(tmp_path):
    broken = page(full_report()).replace("<footer>", '<img src="http://evil.example.com/x"><footer>')
    console, _, _ = look(tmp_path, broken)
    assert any("evil.example.com" in line for line in console)


def test_what_became_of_the_files_is_in_the_report():
    said = b'rsync: [receiver] mkstemp "/home/cdsw/.snapshot/.f.x1" failed: Read-only file system (30)\n'
    left = Differences([Entry(b".snapshot/.f.x1", "f", 1, 0, 0o644)])
    counts = FileResult(Totals(2, 3, 1, 1, 90), 6, 1, 4, problems_of(left, complaints(said)), ("'pipe'",))
    report = Report("import", "P")
    note_files(report, counts)
    assert report.files == {
        "files": 2, "folders": 3, "links": 1, "bytes": 90, "transferred": 6, "deleted": 1, "kept_extras": 4
    }  # fmt: skip
    [problem] = report.file_problems
    assert problem.startswith("'.snapshot/.f.x1': ")
    assert problem.endswith("Read-only file system (30)")
    assert report.notes == [
        "Files and folders that were made on the target, and stay: 4.",
        "not carried (socket, pipe or device): 'pipe'",
    ]
    assert report.exit_code == ExitCode.NEEDS_HAND
