"""Canaries take the place of all secrets, and are searched for in everything that a run leaves, prints or exposes."""

import base64
import json
import os
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path
from urllib.parse import quote

import pytest
from emulated import EXPORT, IMPORT, VALIDATE

from cmlutils import log as logs
from cmlutils.emulator.faults import Fault

ODD = "k'\"{}[]#&*!|>%@`\\,-?"  # characters with a meaning in YAML, JSON, a shell or an address
KEYS = {"export": ODD + "source0canary", "import": ODD + "target0canary"}
VALUES = ("canary-of-project", "canary-of-job", "canary-of-application", "canary-of-model")


def forms(secret):
    """Return a secret as it is, and as written in headers, addresses, JSON and Python."""
    basic = base64.b64encode(f"{secret}:".encode()).decode()
    return {secret, basic.rstrip("="), quote(secret, safe=""), json.dumps(secret)[1:-1], repr(secret)[1:-1]}


def found(text, secrets):
    return [one for secret in secrets for one in forms(secret) if one in text]


@pytest.fixture
def canaries(workspaces, sample, home):
    """Return a function that starts both workspaces with canaries for keys and values."""

    def start(**more):
        sample["environment"] = {"TOKEN": VALUES[0]}
        sample["jobs"][0]["environment"] = {"TOKEN": VALUES[1]}
        sample["applications"][0]["environment"] = {"TOKEN": VALUES[2]}
        sample["models"][0]["environment"] = {"TOKEN": VALUES[3]}
        pair = workspaces(**more)
        for side, workspace in zip(KEYS, pair, strict=True):
            path = home / "cmlutils" / f"{side}-config.ini"
            user = workspace.world.user("dana")
            path.write_text(path.read_text().replace(f"apiv1_key={user.api_key}", f"apiv1_key={KEYS[side]}"))
            user.api_key = KEYS[side]
        return pair

    return start


def texts_of(folder):
    """Return the content of every file that a run has left in a folder, except the project's own files."""
    return {
        path: path.read_bytes().decode("utf-8", "replace")
        for path in folder.rglob("*")
        if path.is_file() and "project-data" not in path.parts
    }


def test_keys_are_nowhere_and_values_in_private_metadata_alone(canaries, answering, run_line, home):
    _, target = canaries(without=("application_stop", "dashboard_stop", "job_patch"))
    made = []

    def remember(_method, path, reply):
        if path.endswith("/apikey") and isinstance(reply, dict):
            made.append(reply["apiKey"])
        return reply

    answering(target, remember)
    lines = [
        run_line(f"{EXPORT} -v"), run_line(f"{IMPORT} -v", exit_code={0, 5}), run_line(f"{IMPORT} --json", {0, 5}),
        run_line('cmlutil project validate-migration -v -p "Churn Model"', exit_code={0, 4}),
        run_line("cmlutil project status"), run_line("cmlutil project list"), run_line("cmlutil doctor", {0, 1, 5}),
    ]  # fmt: skip
    assert made, "no v2 key was needed, so none could leak"
    for line in lines:
        assert found(line.out + line.err, [*KEYS.values(), *made, *VALUES]) == []
    holders = set()
    for path, text in texts_of(home / "bundles").items():
        assert found(text, [*KEYS.values(), *made]) == [], path
        if found(text, VALUES):
            holders.add(path)
    assert {path.parent.name for path in holders} == {"project-metadata"}
    assert {stat.S_IMODE(path.stat().st_mode) for path in holders} == {0o600}


def test_a_traceback_has_no_key(canaries, run_line, home, monkeypatch):
    canaries()

    def bug(*_args, **_more):
        raise RuntimeError(" ".join(forms(KEYS["export"])))

    monkeypatch.setattr("cmlutils.flows.export_project.write_metadata", bug)
    line = run_line(f"{EXPORT} -v", exit_code=3)
    log = (home / "bundles/Churn Model/logs/migration.log").read_text()
    assert "RuntimeError" in log
    assert "Traceback" in log
    for text in (line.out, line.err, *texts_of(home / "bundles").values()):
        assert found(text, KEYS.values()) == []


@pytest.mark.parametrize("ending", [0, 1])
def test_a_key_command_that_talks_too_much_is_not_quoted(canaries, run_line, home, ending):
    canaries()
    script = home / "key"
    script.write_text(f"#!/bin/sh\ncat {home}/secret\ncat {home}/secret >&2\nexit {ending}\n")
    script.chmod(0o700)
    (home / "secret").write_text(f"{KEYS['export'] if ending else 'wrong0canary'}\nTraceback: wrong0canary\n")
    path = home / "cmlutils" / "export-config.ini"
    kept = [text for text in path.read_text().splitlines() if not text.startswith("apiv1_key")]
    path.write_text("\n".join([*kept, f"apiv1_key_command={script} --for canary0argument"]))
    line = run_line(f"{EXPORT} -v", exit_code={1, 2})
    assert found(line.out + line.err, [*KEYS.values(), "wrong0canary", "canary0argument"]) == []


def test_values_stay_out_of_the_bundle_on_request(canaries, run_line, home):
    _, target = canaries()
    notes = run_line(f"{EXPORT} --no-environment-values --json").json["notes"]
    assert "The values of environment variables are not in the bundle: an import lists them." in notes
    for path, text in texts_of(home / "bundles").items():
        assert found(text, VALUES) == [], path
    line = run_line(f"{IMPORT} --verify --json", exit_code={0})
    assert "Set TOKEN of the project: its value is not in the bundle." in line.json["to_do"]
    assert "Set TOKEN of job ingest: its value is not in the bundle." in line.json["to_do"]
    project = target.project("dana", "churn-model")
    assert [one.environment.get("TOKEN") for one in (project, *project.jobs, *project.applications)] == [None] * 6
    target.project("dana", "churn-model").environment["TOKEN"] = "filled-in-by-hand"
    run_line(IMPORT)
    assert target.project("dana", "churn-model").environment["TOKEN"] == "filled-in-by-hand"
    run_line(VALIDATE)


def test_a_value_left_out_of_one_workload_excuses_no_other(canaries, run_line):
    source, _ = canaries()
    jobs = source.project("dana", "churn-model").jobs
    jobs[0].environment["MINE"] = "one"
    run_line(f"{EXPORT} --no-environment-values")
    run_line(f"{IMPORT} --verify")
    jobs[1].environment["MINE"] = "another"
    line = run_line(f"{VALIDATE} --json", exit_code=4)
    unexpected = [(one["where"], one["what"]) for one in line.json["differences"] if not one["expected"]]
    assert unexpected == [(f"source job {jobs[1].name}", "environment MINE")]


class Sampler:
    """Checks the command line and environment of every process, again and again as fast as it can."""

    def __init__(self, words):
        self.words = [word.encode() for word in words]
        self.seen, self.looks, self.programs = [], 0, set()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()

    def _run(self):
        while not self._stop.is_set():
            self.looks += 1
            for folder in Path("/proc").glob("[0-9]*"):
                try:
                    before, environ, line = ((folder / name).read_bytes() for name in ("cmdline", "environ", "cmdline"))
                except OSError:
                    continue
                self.programs.add(line.partition(b"\0")[0].rpartition(b"/")[2])
                # cmlutil itself got the key in its environment, and a child is a copy of it until its exec. During the
                # exec, and at its end, a process has no command line, so we can't tell whose environment it was
                other = bool(line) and before == line and b"-m\0cmlutils\0" not in line
                if any(word in line or (word in environ and other) for word in self.words):
                    self.seen.append(line)


@pytest.fixture
def start_program(home, tmp_path):
    """Return a function that starts the real `cmlutil` with the source's key in its environment."""
    children = []

    def start(line):
        (tmp_path / "tmp").mkdir(exist_ok=True)
        path = home / "cmlutils" / "export-config.ini"
        path.write_text(path.read_text().replace(f"apiv1_key={KEYS['export']}\n", ""))
        env = {**os.environ, "TMPDIR": str(tmp_path / "tmp"), "CMLUTILS_SOURCE_APIV1_KEY": KEYS["export"]}
        argv = [sys.executable, "-m", "cmlutils", *line]
        children.append(subprocess.Popen(argv, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT))
        return children[-1]

    yield start
    for child in children:
        child.kill()
        child.communicate()


def clients(tmp_path):
    """Return the paths that cmlutil has made in the temporary folder."""
    return list((tmp_path / "tmp").glob("cml*-*"))


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="needs /proc")
def test_no_process_shows_a_secret_to_others(canaries, start_program, tmp_path):
    source, _ = canaries()
    with (source.project("dana", "churn-model").files / "large").open("wb") as file:
        file.truncate(96 << 20)  # so that rsync runs for more than one look
    words = {one for secret in (*KEYS.values(), *VALUES) for one in forms(secret)}
    with Sampler(words) as sampler:
        for verb in ("export", "import"):
            child = start_program(["project", verb, "-v", "-p", "Churn Model"])
            out = child.communicate(timeout=100)[0].decode()
            assert child.returncode in {0, 5}, out
            assert found(out, [*KEYS.values(), *VALUES]) == []
    assert sampler.seen == []
    assert sampler.looks > 20
    assert {b"ssh", b"rsync"} <= sampler.programs
    assert clients(tmp_path) == []


@pytest.mark.slow
def test_a_kill_leaves_no_login_behind(canaries, start_program, tmp_path):
    source, _ = canaries()
    source.faults.add(Fault("silent"))
    child = start_program(["project", "export", "-p", "Churn Model"])
    end = time.monotonic() + 60
    while not any((one / ".cdsw" / "config.yaml").exists() for one in clients(tmp_path)):
        assert time.monotonic() < end
        time.sleep(0.05)
    child.kill()
    end = time.monotonic() + 10
    while clients(tmp_path):
        assert time.monotonic() < end, [str(one) for folder in clients(tmp_path) for one in folder.rglob("*")]
        time.sleep(0.05)


def test_a_short_text_is_no_secret_and_a_long_one_is_hidden_in_each_form():
    logs.hide("abc")
    logs.hide(KEYS["export"])
    assert logs.mask("abc") == "abc"
    for form in forms(KEYS["export"]):
        assert logs.mask(f"<{form}>").startswith("<***")
