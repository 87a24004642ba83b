# ruff: noqa: PTH102, PTH123
"""Shares for several rsyncs at once: each file is in exactly one share, and the shares are about equally heavy."""

import os
import random
import subprocess

import pytest

from cmlutils.entries import Entry
from cmlutils.flows.copying import shares
from cmlutils.localtree import walk
from cmlutils.remote import rsync

NAMES = [b"a", b"*", b"[b]", b"a?", b"back\\slash", b"new\nline", b"-x", b" ", b"\xff", b".git", b"a*b\\c", b"~"]


def grow(root, chance, depth=0):
    """Make a random tree with odd names."""
    for name in chance.sample(NAMES, chance.randrange(1, len(NAMES))):
        if depth < 3 and chance.random() < 0.6:
            os.mkdir(root + b"/" + name)
            grow(root + b"/" + name, chance, depth + 1)
        else:
            with open(root + b"/" + name, "wb") as file:
                file.write(b"x" * chance.randrange(20_000))


@pytest.mark.parametrize("seed", range(12))
def test_each_file_is_in_one_share(tmp_path, seed):
    (tmp_path / "tree").mkdir()
    grow(os.fsencode(tmp_path / "tree"), random.Random(seed))
    kept = {entry.path: entry for entry in walk(tmp_path / "tree")}
    rules = shares.by_folder(list(kept.values()), kept, 4)
    found = []
    for number, lines in enumerate(rules):
        (tmp_path / "rules").write_bytes(rsync.rules_file(lines))
        goal = tmp_path / str(number)
        argv = ["rsync", "-lptr", "--from0", f"--filter=merge,s {tmp_path}/rules", f"{tmp_path}/tree/", f"{goal}/"]
        subprocess.run(argv, check=True)
        found.append({entry.path: entry for entry in walk(goal)})
    files = [path for share in found for path, entry in share.items() if entry.kind != "d"]
    assert sorted(files) == sorted(path for path, entry in kept.items() if entry.kind != "d")
    assert {path for share in found for path in share} == set(kept)


def file(path, size):
    return Entry(path, "f", size, 0, 0o644)


def folder(path, mode=0o755):
    return Entry(path, "d", 0, 0, mode)


def test_a_heavy_folder_is_divided_unless_it_may_not_be_written_to():
    inside = [folder(b"a/%d" % each) for each in range(4)]
    files = [file(b"a/%d/f" % each, 10_000_000) for each in range(4)]
    divided = shares.by_folder(
        [folder(b"a"), *inside, *files], {each.path: each for each in [folder(b"a"), *inside]}, 4
    )
    assert len(divided) == 4
    assert [line for line in divided[1] if line.count(b"/") < 3] == [b"+ /a/", b"- /*", b"- /a/*"]
    locked = folder(b"a", 0o555)
    whole = shares.by_folder([locked, *inside, *files], {each.path: each for each in [locked, *inside]}, 4)
    assert whole == [[]]


def test_shares_weigh_about_the_same():
    weights = {number: number * 1000 for number in range(1, 40)}
    loads = [sum(map(weights.__getitem__, share)) for share in shares.evenly(weights, 4, first=50_000)]
    loads[0] += 50_000
    assert max(loads) < 1.05 * min(loads)
