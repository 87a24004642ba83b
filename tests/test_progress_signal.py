"""A running rsync is asked by a signal how far it is, and no other process gets that signal."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from cmlutils.flows.copying.rsyncs import our_rsync
from cmlutils.remote import progress_signal, rsync


@pytest.fixture
def tree(tmp_path):
    for number in range(40):
        (tmp_path / "from" / f"{number}").mkdir(parents=True)
        (tmp_path / "from" / f"{number}" / "file").write_bytes(os.urandom(20_000))
    return tmp_path


@pytest.mark.parametrize("up", [False, True])
def test_an_rsync_answers_with_how_far_it_is_and_its_ssh_lives_on(tree, up):
    if our_rsync().number < progress_signal.ANSWERING:
        pytest.skip("this rsync does not answer")
    ssh = tree / "ssh"  # in place of ssh; the signal would end it
    ssh.write_text('#!/bin/sh\nshift\n"$@"\n')
    ssh.chmod(0o755)
    ends = [f"{tree}/from/", f"there:{tree}/to"] if up else [f"there:{tree}/from/", f"{tree}/to"]
    argv = ["rsync", "-r", "--no-inc-recursive", "--no-human-readable", "--bwlimit=400", "-e", str(ssh), *ends]
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as child:
        while child.poll() is None:
            progress_signal.ask(child.pid)
            time.sleep(0.01)
        said = child.stdout.read().replace(b"\r", b"\n").splitlines()
    assert child.returncode == 0
    told = {each: progress for each in said if (progress := rsync.progress(each))}
    assert len({each.sent for each in told.values()}) > 10
    assert all(each.rstrip().endswith(b"/81)") for each in told)


def test_who_has_no_handler_is_sent_nothing():
    script = "sleep 30 & one=$!; sleep 30 & two=$!; echo; wait $one; echo $?; wait $two; echo $?"
    with subprocess.Popen(["sh", "-c", script], stdout=subprocess.PIPE) as child:
        child.stdout.read(1)
        children = Path(f"/proc/{child.pid}/task/{child.pid}/children").read_text().split()
        progress_signal.ask(child.pid)
        for each in children:
            os.kill(int(each), signal.SIGTERM)
        ended = child.stdout.read().split()
    assert len(children) == 2
    assert ended == [b"143", b"143"]
    assert child.returncode == 0


def test_one_that_is_gone_is_no_error():
    with subprocess.Popen(["true"]) as child:
        child.wait()
        progress_signal.ask(child.pid)


def test_which_rsync_can_be_asked():
    def answers(*number):
        return progress_signal.answers(rsync.Version(number, zstd=True))

    assert answers(3, 2, 0)
    assert answers(3, 10, 0)
    assert not answers(3, 1, 3)
    assert not answers(0)


def test_none_is_asked_where_children_are_not_told(monkeypatch):
    monkeypatch.setattr(progress_signal, "_children", lambda pid: Path(f"/nowhere/{pid}"))
    assert not progress_signal.answers(rsync.Version((3, 2, 7), zstd=True))
