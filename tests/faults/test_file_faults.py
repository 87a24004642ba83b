"""Copying files while tunnels are cut and programs killed: whatever happened, the next run ends with equal trees."""

import contextlib
import filecmp
import os
import signal
import subprocess
from pathlib import Path

import pytest
from emulated import EXPORT, IMPORT, SAMPLE

from cmlutils.emulator.faults import Fault
from cmlutils.entries import compare
from cmlutils.localtree import walk
from cmlutils.remote import rsync, tunnel

DATA = "bundles/Churn Model/project-data"


@pytest.fixture
def sample():
    """The sample project without workloads, which are tested elsewhere."""
    return {key: value for key, value in SAMPLE.items() if key not in {"jobs", "models", "applications"}}


@pytest.fixture
def impatient(monkeypatch):
    """There is no wait between attempts to reopen a tunnel."""
    pauses = []
    monkeypatch.setattr(tunnel.Tunnel, "sleep", staticmethod(pauses.append))
    return pauses


def fill(root):
    """Add what takes time to copy: many small files and one of 9 MB, with odd modes, times and links among them."""
    for number in range(2400):
        path = root / f"d{number % 40}" / f"f{number}"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(os.urandom(20 + number % 3000))
        path.chmod(0o600 + number % 64)
        os.utime(path, ns=(1, 1_600_000_000_123_456_789 + number))
    (root / "large").write_bytes(os.urandom(9 << 20))
    (root / "d7").chmod(0o555)
    (root / "d8/link").symlink_to("/nowhere")


def unequal(left, right):
    """Return what differs between two trees but for what is ignored: path, kind, size, mode, time, link, content."""
    wanted = [each for each in walk(left) if each.path.decode().partition("/")[0] not in {"a.log", ".cache"}]
    found = list(walk(right))
    differences = compare(wanted, found, folder_times=True)
    named = [each.path for each in [*differences.only_left, *differences.only_right]]
    named += [(each.wanted.path, each.what) for each in differences.changed]
    both = {each.path.decode() for each in found if each.kind == "f"} & {each.path.decode() for each in wanted}
    return named + [path for path in both if not filecmp.cmp(left / path, right / path, shallow=False)]


def files_of(workspace):
    return workspace.project("dana", "churn-model").files


@pytest.mark.parametrize("after", [3_000, 60_000, 700_000, 6_000_000])
def test_a_tunnel_cut_at_any_byte_is_reopened_and_the_copy_goes_on(workspaces, run_line, home, impatient, after):
    source, target = workspaces()
    fill(files_of(source))
    source.faults.add(Fault("cut", after_bytes=after))
    run_line(EXPORT)
    assert len(source.session_log) == 2
    assert unequal(files_of(source), home / DATA) == []
    target.faults.add(Fault("cut", after_bytes=after))
    run_line(IMPORT)
    assert len(target.session_log) == 2
    assert unequal(home / DATA, files_of(target)) == []
    assert source.sessions == target.sessions == []


@pytest.mark.parametrize(("verb", "after"), [(EXPORT, 400_000), (IMPORT, 3_000), (IMPORT, 400_000)])
def test_a_tunnel_that_never_holds_ends_in_a_failure_and_later_all_is_well(
    workspaces, run_line, home, impatient, verb, after
):
    source, target = workspaces()
    (files_of(source) / "large").write_bytes(os.urandom(3 << 20))
    workspace = source if verb == EXPORT else target
    if verb == IMPORT:
        run_line(EXPORT)
    workspace.faults.add(Fault("cut", after_bytes=after, times=None))
    failed = run_line(verb, exit_code=1)
    assert "dropped 6 times without progress" in failed.err
    assert 6 <= len(impatient) <= 20
    assert workspace.sessions == []
    workspace.faults.clear()
    run_line(verb)
    assert unequal(files_of(source), home / DATA) == []
    assert verb == EXPORT or unequal(home / DATA, files_of(target)) == []


@pytest.mark.parametrize("verb", [EXPORT, IMPORT])
def test_a_large_file_gets_through_a_tunnel_that_holds_a_while_each_time(
    workspaces, run_line, home, impatient, monkeypatch, verb
):
    monkeypatch.setattr(rsync, "BIG", 1 << 20)
    source, target = workspaces()
    (files_of(source) / "large").write_bytes(os.urandom(9 << 20))
    if verb == IMPORT:
        run_line(EXPORT)
    workspace = source if verb == EXPORT else target
    workspace.faults.add(Fault("cut", after_bytes=1_000_000, times=None))
    run_line(verb)
    assert len(workspace.session_log) > 7
    assert unequal(files_of(source), home / DATA) == []
    assert verb == EXPORT or unequal(home / DATA, files_of(target)) == []


def pids(run, program):
    """Return the processes of a command that run this program."""
    return [pid for pid, words in run.processes().items() if Path(words.split()[0]).name == program]


@pytest.fixture(params=["export", "import"])
def slowly(request, workspaces, run_line, home, program):
    """A copy of many files that takes a while: its command line, its workspace, and the two folders."""
    source, target = workspaces()
    fill(files_of(source))
    real = subprocess.run(["which", "rsync"], capture_output=True, check=True, text=True).stdout.strip()
    if request.param == "import":
        run_line(EXPORT)
    program("rsync", f'case "$1" in --version) exec {real} "$@";; esac\nexec {real} --bwlimit=5m "$@"')
    if request.param == "export":
        return EXPORT, source, files_of(source), lambda: home / DATA
    return IMPORT, target, home / DATA, lambda: files_of(target)


def under_way(run, arrives):
    """Wait until some files have arrived, in staging or in place, while rsync still runs; return its processes."""

    def some():
        try:
            here = arrives()
        except (KeyError, LookupError, StopIteration, AssertionError):
            return None
        places = (here, here / ".cmlutil-tmp/new", here.parent / "state/arriving")
        return sum(1 for place in places for _ in place.glob("d*/f*")) > 20 and pids(run, "rsync")

    return run.until(some, "some files and an rsync", 60)


@pytest.mark.parametrize("victim", ["rsync", "cdswctl", "ssh"])
def test_what_we_run_may_be_killed_and_the_same_run_goes_on(slowly, background, victim):
    line, workspace, source, arrives = slowly
    run = background(line)
    under_way(run, arrives)
    for pid in pids(run, victim):
        with contextlib.suppress(ProcessLookupError):  # a process that served only one command may have ended
            os.kill(pid, signal.SIGKILL)
    assert run.wait(100) == 0, run.text()
    assert unequal(source, arrives()) == []
    run.vanishes(10)
    left = [one.id for one in workspace.sessions]
    assert left == [] or victim == "cdswctl"


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_cmlutil_may_be_killed_and_the_next_run_finishes(slowly, background, run_line, how):
    line, workspace, source, arrives = slowly
    run = background(line)
    under_way(run, arrives)
    code, _ = run.send(how)
    assert code == 128 + how, run.text()
    run.vanishes(20)
    for path in arrives().glob("d*/f*"):
        whole = source / path.relative_to(arrives())
        assert filecmp.cmp(path, whole, shallow=False), "half a file under its own name"
    run_line(line)
    assert unequal(source, arrives()) == []
    assert workspace.sessions == []
