# ruff: noqa: PTH101, PTH103, PTH123, PTH208, PTH211
import contextlib
import os
import shutil
import signal
import subprocess
import threading

import pytest
from standin import StandIn

from cmlutils.config import Secret, Workspace
from cmlutils.errors import TransferError
from cmlutils.filelist import compare, walk
from cmlutils.flows import files, mover
from cmlutils.remote import cdswctl, process, rsync, tunnel

NAMES = [b"plain", b"new\nline", b"*[x", b"-dash", b"back\\slash", b"\xff\xfe", b"#hash", b" sp ", b"a?*\\b"]


@pytest.fixture
def standin(tmp_path, monkeypatch):
    found = StandIn(tmp_path / "standin")
    monkeypatch.setattr(tunnel, "LOGIN", found.login)
    monkeypatch.setattr(rsync, "PLACE", found.login + ":./")
    return found


@pytest.fixture
def project(standin):
    return standin.project


@pytest.fixture
def way(standin):
    space = Workspace("http://ws.test", "me", Secret("k"), identity_file=standin.base / "id")
    with tunnel.open_tunnel(space, "me/p", cdswctl.log_in(space, standin.client, standin.base)) as one:
        yield one
    assert not standin.open_session()


@pytest.fixture
def bundle(tmp_path):
    folder = tmp_path / "bundle with 'space"
    (folder / "state").mkdir(parents=True)
    (folder / "project-data").mkdir(mode=0o700)
    return folder


@pytest.fixture
def rsyncs(monkeypatch):
    seen = []
    real = process.running

    def running(argv, **more):
        if argv[0] == "rsync":
            seen.append(argv)
        return real(argv, **more)

    monkeypatch.setattr(process, "running", running)
    return seen


def fill(root):
    top = os.fsencode(root)
    for number, name in enumerate(NAMES):
        for folder in (top, top + b"/in/" + name):
            os.makedirs(folder, exist_ok=True)
            with open(folder + b"/" + name + b".f", "wb") as file:
                file.write(name * (number + 1))
            os.chmod(file.name, 0o640 + number % 8)
            os.utime(file.name, ns=(1, 1_600_000_000_123_456_789 + number))
        os.symlink(b"/nowhere/" + name, top + b"/link-" + name)
    os.makedirs(top + b"/empty/deep")
    os.chmod(top + b"/empty", 0o555)
    os.makedirs(top + b"/.cache/x")
    os.utime(top + b"/in", ns=(5, 1_500_000_000_000_000_001))
    os.mkfifo(top + b"/pipe")


def difference(left, right):
    left, right = list(walk(left)), list(walk(right))
    return compare([each for each in left if not each.path.startswith((b".cache", b"left"))], right, folder_times=True)


def pull(way, bundle, **more):
    return files.pull(way, bundle / "project-data", bundle / "state", **more)


def push(way, bundle):
    return files.push(way, bundle / "project-data", bundle / "state", project="me/p")


@pytest.mark.parametrize("limit", [2000, 1])
@pytest.mark.parametrize("rules", [None, b"/.cache\nleft*\n"])
def test_pull_is_exact_and_idle_when_run_again(way, project, bundle, rsyncs, monkeypatch, limit, rules):
    monkeypatch.setattr(mover, "SHORT", limit)
    fill(project)
    if rules:
        (project / ".exportignore").write_bytes(rules)
        (project / "left*[\n").mkdir()
        (project / "left*[\n" / "x").touch()
    (bundle / "project-data/extra/deep").mkdir(parents=True)
    (bundle / "project-data/plain.f").mkdir()
    result = pull(way, bundle)
    assert result.problems == ()
    assert result.skipped == ("'pipe'",)
    assert not difference(project, bundle / "project-data")
    assert (bundle / "project-data").stat().st_mode & 0o777 == 0o700
    assert len(rsyncs) == 1
    again = pull(way, bundle)
    assert (again.transferred, again.deleted, len(rsyncs)) == (0, 0, 1)
    (project / "plain.f").unlink()
    (project / "empty/deep/new").touch()
    third = pull(way, bundle)
    assert (third.transferred, third.deleted) == (1, 1)
    assert not difference(project, bundle / "project-data")


@pytest.mark.parametrize("limit", [2000, 1])
def test_push_is_exact_and_keeps_what_people_made(way, project, bundle, rsyncs, monkeypatch, limit):
    monkeypatch.setattr(mover, "SHORT", limit)
    data = bundle / "project-data"
    fill(data)
    shutil.rmtree(data / ".cache")
    (project / "theirs").write_text("kept")
    mode = project.stat().st_mode
    result = push(way, bundle)
    assert result.problems == ()
    assert (result.kept_extras, result.deleted) == (1, 0)
    assert [each.path for each in difference(data, project).only_right] == [b"theirs"]
    assert not difference(data, project).changed
    assert project.stat().st_mode == mode
    assert len(rsyncs) == 1
    again = push(way, bundle)
    assert (again.transferred, len(rsyncs)) == (0, 1)
    (data / "plain.f").unlink()
    (data / "#hash.f").unlink()
    (project / "#hash.f").write_text("changed by a person")
    shutil.rmtree(data / "empty")
    third = push(way, bundle)
    assert third.deleted == 3
    assert not (project / "plain.f").exists()
    assert (project / "#hash.f").exists()
    assert third.kept_extras == 2
    assert not (project / ".cmlutil-tmp").exists()


def test_importignore(way, project, bundle):
    (bundle / "project-data/.snapshot").mkdir()
    (bundle / "project-data/a").touch()
    (bundle / ".importignore").write_text(".snapshot/\n")
    result = push(way, bundle)
    assert (result.problems, result.kept_extras, os.listdir(project)) == ((), 0, ["a"])


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
@pytest.mark.parametrize("up", [False, True])
def test_killed_rsync_goes_on(way, project, bundle, rsyncs, monkeypatch, up, how):
    monkeypatch.setattr(rsync, "BIG", 1 << 20)
    monkeypatch.setattr(tunnel.time, "sleep", lambda _: None)
    source, target = (bundle / "project-data", project) if up else (project, bundle / "project-data")
    (source / "big").write_bytes(os.urandom(40 << 20))
    (source / "small").write_bytes(b"x")
    real, killed = process.running, []

    @contextlib.contextmanager
    def running(argv, **more):
        kill = not killed and any(word.startswith("--partial-dir") for word in argv)
        with real([argv[0], "--bwlimit=20m", *argv[1:]] if kill else argv, **more) as child:
            if kill:
                killed.append(child)
                threading.Timer(1, lambda: os.killpg(child.pid, how)).start()
            yield child

    monkeypatch.setattr(process, "running", running)
    result = push(way, bundle) if up else pull(way, bundle)
    assert result.problems == ()
    assert not difference(source, target)
    assert len(rsyncs) == 3
    assert up or os.listdir(bundle / "state/tmp") == []


def test_no_room(way, project, bundle, monkeypatch):
    (project / "x").write_text("1")
    monkeypatch.setattr("cmlutils.flows.pull._free", lambda _: (5, 100))
    with pytest.raises(TransferError, match="5 bytes free, and 4096 are to come"):
        pull(way, bundle)
    assert os.listdir(bundle / "project-data") == []


def test_no_rsync_there(way, project, monkeypatch, bundle):
    (project / "x").touch()
    real = way.run
    monkeypatch.setattr(way, "run", lambda script, *a, **k: real(script.replace("rsync", "rsink"), *a, **k))
    with pytest.raises(TransferError, match="no rsync"):
        pull(way, bundle)


@pytest.mark.skipif(os.getuid() != 0, reason="needs a mount")
def test_read_only_place_is_named(way, project, bundle):
    (project / "ro").mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "ro", "x", project / "ro"], check=False).returncode:
        pytest.skip("no mounts here")
    try:
        (bundle / "project-data/ro").mkdir()
        (bundle / "project-data/ro/f").touch()
        (bundle / "project-data/g").touch()
        result = push(way, bundle)
    finally:
        subprocess.run(["umount", project / "ro"], check=True)
    assert any("Read-only file system" in each and ".importignore" in each for each in result.problems)
    assert (project / "g").exists()
