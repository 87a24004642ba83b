"""The batch scripts: every project runs, none stops the others, signals reach the children."""

from __future__ import annotations

import importlib.util
import json
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

BATCH = Path(__file__).parent.parent / "batch"

_spec = importlib.util.spec_from_file_location("pool", BATCH / "pool.py")
assert _spec is not None
assert _spec.loader is not None
pool = sys.modules["pool"] = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(pool)

# Stands for cmlutil: the project's name says what it does.
STUB = """
    import signal, sys, time
    name = sys.argv[1].partition("=")[2]
    print("hello from", name, sys.argv[2:])
    if name == "wait":
        signal.signal(signal.SIGINT, lambda *_: sys.exit(130))
        print("ready", flush=True)
        time.sleep(60)
    sys.exit(int(name.rpartition(" ")[2]) if name[-1].isdigit() else 0)
"""


@pytest.fixture
def handlers():
    kept = {one: signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    yield
    for one, handler in kept.items():
        signal.signal(one, handler)


@pytest.fixture
def stub(tmp_path):
    path = tmp_path / "stub.py"
    path.write_text(textwrap.dedent(STUB))
    return (sys.executable, str(path))


@pytest.mark.usefixtures("handlers")
def test_one_failure_does_not_stop_the_others(stub, tmp_path):
    names = ["fails 1", "fine", "odd/../name", "hand 5", "-dash"]
    results = pool.Pool(stub, 2, tmp_path, ["--verify"]).run(names)
    assert [one.project for one in results] == names
    assert [one.exit_code for one in results] == [1, 0, 0, 5, 0]
    assert "hello from fine ['--verify']" in Path(results[1].log).read_text()
    assert {Path(one.log).parent for one in results} == {tmp_path}
    assert Path(results[0].log).stat().st_mode & 0o777 == 0o600
    assert pool.worst(results, 0) == 1


@pytest.mark.usefixtures("handlers")
def test_at_most_size_run_at_once(stub, tmp_path, monkeypatch):
    most = []
    plain = pool.Pool._pass_on
    monkeypatch.setattr(pool.Pool, "_pass_on", lambda self: (most.append(len(self._running)), plain(self)))
    pool.Pool(stub, 2, tmp_path).run([f"p{letter}" for letter in "abcde"])
    assert max(most) == 2


@pytest.mark.parametrize(
    ("codes", "signum", "expected"),
    [
        ([], 0, 0),
        ([0, 0], 0, 0),
        ([5, 4], 0, 4),
        ([4, 2, 5], 0, 2),
        ([2, 1, 4], 0, 1),
        ([1, 3], 0, 3),
        ([1, 143, 3], 0, 143),
        ([0, None], 2, 130),
    ],
)
def test_worst(codes, signum, expected):
    assert pool.worst([pool.Result("p", code) for code in codes], signum) == expected


def test_words():
    assert pool.Result("p", None).words == "not started"
    assert pool.Result("p", 130).words == "ended by signal 2"
    assert pool.Result("p", 4).words == "differences"
    assert pool.Result("p", 77).words == "exit code 77"


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_reaches_the_children_even_under_nohup(stub, tmp_path, signum):
    script = tmp_path / "run.py"
    script.write_text(
        f"import sys; sys.path.insert(0, {str(BATCH)!r})\n"
        "from pathlib import Path\n"
        "import pool\n"
        f"one = pool.Pool({stub!r}, 1, Path({str(tmp_path)!r}))\n"
        "results = one.run(['wait', 'never'])\n"
        "print([each.exit_code for each in results])\n"
        "sys.exit(pool.worst(results, one.signum))\n"
    )
    process = subprocess.Popen(
        ["sh", "-c", 'trap "" INT HUP; exec "$@"', "sh", sys.executable, str(script)], stdout=subprocess.PIPE
    )
    log = tmp_path / "wait.log"
    end = time.monotonic() + 30
    while not (log.exists() and "ready" in log.read_text()):
        assert time.monotonic() < end
        time.sleep(0.05)
    process.send_signal(signal.SIGHUP)  # nohup's own business: still ignored
    time.sleep(0.2)
    process.send_signal(signum)
    out, _ = process.communicate(timeout=30)
    assert process.returncode == 128 + signum
    assert out.decode().strip() == f"[{128 + signum}, None]"


@pytest.mark.usefixtures("handlers")
def test_main_takes_the_sections_and_writes_a_report(tmp_path, monkeypatch, capsys):
    ini = tmp_path / "export-config.ini"
    ini.write_text("[DEFAULT]\napiv1_key=hush\n[one]\n[two & a half]\n")
    ini.chmod(0o600)
    seen = []

    def run(self, projects):
        seen.append((list(self.command[1:]), self.size, list(self.extra)))
        return [pool.Result(name, 5, 1.0, "log") for name in projects]

    monkeypatch.setattr(pool.Pool, "run", run)
    argv = [f"--config-dir={tmp_path}", f"--report-dir={tmp_path}", "--batch-size=3", "--", "--verbose"]
    assert pool.main("export", 10, argv) == 5
    assert seen == [(["-m", "cmlutils", "project", "export"], 3, [f"--config-dir={tmp_path}", "--verbose"])]
    report = (tmp_path / "batch-report.json").read_text()
    assert [one["project"] for one in json.loads(report)["projects"]] == ["one", "two & a half"]
    out = capsys.readouterr().out
    assert "two & a half" in out
    assert "hush" not in out + report


@pytest.mark.usefixtures("handlers")
def test_main_takes_names_from_the_line_and_from_a_file(tmp_path, monkeypatch):
    names = []
    monkeypatch.setattr(pool.Pool, "run", lambda _, projects: names.extend(projects) or [])
    listed = tmp_path / "names"
    listed.write_text("b\n\na\n")
    argv = ["a", f"--from-file={listed}", f"--report-dir={tmp_path}", "--verify"]
    assert pool.main("import", 10, argv) == 0
    assert names == ["a", "b"]


def test_no_ini_file_is_one_sentence(tmp_path, capsys):
    argv = [f"--config-dir={tmp_path}", f"--report-dir={tmp_path}"]
    assert pool.main("validate-migration", 10, argv) == 2
    assert "There is no import-config.ini" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["export_all.py", "import_all.py", "validate_all.py"])
def test_each_script_starts(name):
    done = subprocess.run(
        [sys.executable, str(BATCH / name), "--help"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "--batch-size" in done.stdout
