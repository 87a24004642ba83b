"""A local tree is listed by find, and by our own walk where find is another one or complains."""

import os
import signal
import threading

import pytest

from cmlutils import interrupts
from cmlutils.errors import Interrupted, TransferError
from cmlutils.flows import here
from cmlutils.localtree import walk


@pytest.fixture
def tree(tmp_path):
    root = tmp_path / "-odd [root]*"
    (root / "a" / "empty").mkdir(parents=True)
    (root / "a" / "new\nline").write_text("x" * 70_000)
    (root / ".hidden").touch(mode=0o600)
    os.close(os.open(os.fsencode(root) + b"/not-utf8-\xff", os.O_CREAT))
    (root / "link").symlink_to("/nowhere")
    os.mkfifo(root / "pipe")
    os.utime(root / ".hidden", ns=(0, -1_500_000_000))
    return root


def all_of(entries):
    """The size of a folder and the mode of a link are no part of a tree."""
    return sorted(
        each._replace(size=0) if each.kind == "d" else each._replace(mode=0, size=0) if each.kind == "l" else each
        for each in entries
    )


def test_find_lists_what_a_walk_lists(tree, monkeypatch):
    walked = all_of(walk(tree))
    monkeypatch.setattr(here, "walk", lambda *_, **__: pytest.fail("find was not enough"))
    assert all_of(here.listed(tree)) == walked
    assert {each.path for each in here.listed(tree / "a")} == {b"empty", b"new\nline"}


@pytest.mark.parametrize(
    "script", ["exit 1", "printf 'find: -printf: unknown' >&2; exit 0", "kill -9 $$", "exec {find} . -name x"]
)
def test_another_find_or_one_that_complains_is_not_listened_to(tree, tmp_path, monkeypatch, script):
    program = tmp_path / "bin" / "find"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\n{script.format(find='/usr/bin/find')}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    assert all_of(here.listed(tree)) == all_of(walk(tree))


def test_without_find_it_is_our_own_walk(tree, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert all_of(here.listed(tree)) == all_of(walk(tree))


def test_a_root_that_is_not_there_is_named(tmp_path):
    with pytest.raises(TransferError, match=r"cannot read '.*/none'"):
        list(here.listed(tmp_path / "none"))


def test_what_another_thread_holds_keeps_no_signal_from_us():
    begun, over = threading.Event(), threading.Event()

    def hold():
        with interrupts.held():
            begun.set()
            over.wait(30)

    thread = threading.Thread(target=hold)
    thread.start()
    begun.wait(30)
    try:
        with pytest.raises(Interrupted):
            interrupts.hear(signal.SIGINT)
    finally:
        over.set()
        thread.join()
        interrupts.forget()
