"""A local tree is listed by find, or by our own walk if find is of another kind or complains."""

import os

import pytest
from until import until

from cmlutils.errors import TransferError
from cmlutils.flows.copying import local_listing
from cmlutils.flows.copying.local_listing import listing_beside
from cmlutils.localtree import walk
from cmlutils.remote import watchdog


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
    """Return entries in order, without the sizes of folders and the modes of links, which do not matter."""
    return sorted(
        each._replace(size=0) if each.kind == "d" else each._replace(mode=0, size=0) if each.kind == "l" else each
        for each in entries
    )


def listed(root, **more):
    with listing_beside(root, list, **more) as found:
        return found()


def test_find_lists_what_a_walk_lists(tree, monkeypatch):
    walked = all_of(walk(tree))
    monkeypatch.setattr(local_listing, "walk", lambda *_, **__: pytest.fail("find was not enough"))
    assert all_of(listed(tree)) == walked
    assert {each.path for each in listed(tree / "a")} == {b"empty", b"new\nline"}


@pytest.mark.parametrize(
    "script",
    [
        "exit 1",
        "printf 'find: -printf: unknown' >&2; exit 0",
        "kill -9 $$",
        "exec {find} . -name x",
        '{find} "$@"; exit 1',
        '{find} "$@" | head -c 100',
        '{find} "$@"; echo an error >&2',
    ],
)
def test_another_find_or_one_that_complains_is_not_listened_to(tree, program, script):
    program("find", script.format(find="/usr/bin/find"))
    assert all_of(listed(tree)) == all_of(walk(tree))


def test_without_find_it_is_our_own_walk(tree, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert all_of(listed(tree)) == all_of(walk(tree))


def test_a_root_that_is_not_there_is_named(tmp_path):
    with pytest.raises(TransferError, match=r"cannot read '.*/none'"):
        listed(tmp_path / "none")


def test_what_may_not_be_read_is_left_to_our_own_walk(tree, program, monkeypatch):
    program("find", "echo \"find: 'x': Permission denied\" >&2; exit 1")
    asked = []
    monkeypatch.setattr(local_listing, "walk", lambda root, **more: asked.append((root, more)) or [])
    unread = []
    assert listed(tree, unread=unread, unlock=True) == []
    assert asked == [(tree, {"unread": unread, "unlock": True})]
    assert asked[0][1]["unread"] is unread


def test_a_find_that_has_ended_is_struck_out_at_once_as_its_number_may_be_used_again(tree, monkeypatch):
    gone = []
    monkeypatch.setattr(watchdog.Watchdog, "gone", lambda _, number: gone.append(number))
    with listing_beside(tree, list) as found:
        assert len(found()) == len(list(walk(tree)))
        assert len(gone) == 1


def test_a_listing_that_nobody_waits_for_ends_with_the_block(tmp_path, program):
    pid = tmp_path / "pid"
    program("find", f"echo $$ > {pid}; exec sleep 60")
    with listing_beside(tmp_path, list) as found:
        until(lambda: pid.exists() and pid.read_text(), "a find that runs")
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)
    assert {each.path for each in found()} == {b"pid"}
