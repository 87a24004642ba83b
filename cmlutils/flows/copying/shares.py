"""Divide what is to be copied among several rsyncs that run at the same time, by weight.

One ssh channel carries about 2 MiB per round trip, and one rsync creates files on one processor; several rsyncs over
the same connection overcome both limits.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, TypeVar

from cmlutils.entries import upwards
from cmlutils.remote import rsync

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from cmlutils.entries import Entry

T = TypeVar("T")
MAX_PIECES = 64  # the most folders that filter rules tell apart
NAME_WEIGHT = 4096  # the bytes that take as long to copy as one more name


def weight(entry: Entry) -> int:
    """Return how much work it is to copy this, in bytes."""
    return NAME_WEIGHT + (entry.size if entry.kind == "f" else 0)


def evenly(weights: Mapping[T, int], shares: int, *, first: int = 0) -> list[list[T]]:
    """Distribute them so that all shares weigh about the same; the first share already weighs `first`."""
    dealt: list[list[T]] = [[] for _ in range(shares)]
    loads = [first, *[0] * (shares - 1)]
    for each in sorted(weights, key=weights.__getitem__, reverse=True):
        lightest = loads.index(min(loads))
        dealt[lightest].append(each)
        loads[lightest] += weights[each]
    return dealt


def by_folder(wanted: Sequence[Entry], kept: Mapping[bytes, Entry], shares: int) -> list[list[bytes]]:
    """Divide a tree; return for each share the filter rules that leave out the others' folders.

    `kept` has every folder of the tree. A folder that its owner can't write to is not divided: the first rsync to
    end would lock the others out. Whatever lies beside the folders that are dealt out belongs to the first share.
    """
    weights = _folder_weights(wanted)
    total = weights.pop(b"")
    inside: dict[bytes, list[bytes]] = {}
    for path in weights:
        inside.setdefault(path.rpartition(b"/")[0], []).append(path)
    pieces, split = set(inside.get(b"", ())), [b""]
    while pieces and len(pieces) < MAX_PIECES:
        heaviest = max(pieces, key=lambda path: (weights[path], path))
        folder = kept.get(heaviest)
        if 2 * shares * weights[heaviest] <= total or heaviest not in inside or not folder or not folder.mode & 0o200:
            break
        pieces.remove(heaviest)
        pieces.update(inside[heaviest])
        split.append(heaviest)
    loose = total - sum(weights[path] for path in pieces)
    _, *others = evenly({path: weights[path] for path in sorted(pieces)}, shares, first=loose)
    theirs = [path for share in others for path in share]
    return [
        [rsync.literal(b"/" + path, folder=True) for path in theirs],
        *(_only(share, split) for share in others if share),
    ]


def _folder_weights(wanted: Iterable[Entry]) -> dict[bytes, int]:
    """Return the weight of every folder with everything below it; b"" is the root."""
    weights = defaultdict[bytes, int](int, {b"": 0})
    for entry in wanted:
        weights[entry.path if entry.kind == "d" else entry.path.rpartition(b"/")[0]] += weight(entry)
    for path in list(weights):
        for parent in upwards(path):
            weights.setdefault(parent, 0)
    for path in sorted(weights, key=lambda path: path.count(b"/"), reverse=True):
        if path:
            weights[path.rpartition(b"/")[0]] += weights[path]
    return weights


def _only(share: Sequence[bytes], split: Iterable[bytes]) -> list[bytes]:
    """Return rules that include only these folders, and those on the way to them."""
    ways = {path for each in share for path in upwards(each)}
    rules = [rsync.literal(b"/" + path, folder=True, keep=True) for path in sorted(ways)]
    return rules + [rsync.all_inside(path) for path in split]
