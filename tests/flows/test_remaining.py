"""How rsync is told what remains to be copied."""

import pytest

from cmlutils.entries import Entry, compare
from cmlutils.flows.copying import remaining
from cmlutils.flows.copying.listing import KeptListing
from cmlutils.flows.copying.remaining import Remaining, divided, remaining_of, to_fetch, worth_staging
from cmlutils.ignore import IgnoreRules
from cmlutils.remote import rsync


@pytest.mark.parametrize(("tree", "longest"), [(0, 2_000), (10_000, 2_000), (40_000, 4_000), (1_000_000, 20_000)])
def test_the_larger_the_tree_the_more_names_are_listed_rather_than_looked_for_in_it(tree, longest):
    names = [Entry(b"%d" % number, "f", 1, 0, 0o644) for number in range(longest + 1)]
    assert divided(names[1:], range(tree)).listed == names[1:]
    assert divided(names, range(tree)).tree == names
    assert divided(names, range(tree), anew=True).listed == names  # it would take them for equal


def entry(path, kind="f", size=1, mode=0o644):
    return Entry(path, kind, size, 0, mode)


def test_only_a_large_file_is_copied_so_that_it_can_be_resumed():
    large, small = entry(b"large", size=rsync.BIG), entry(b"small", size=rsync.BIG - 1)
    link = entry(b"link", "l", rsync.BIG)
    parts = divided([large, link, small], range(3))
    assert (parts.large, parts.listed) == ([large], [link, small])
    anew = divided([large, link, small], range(3), anew=True)
    assert (anew.large, anew.listed) == ([], [large, link, small])


def test_what_a_list_can_not_name_is_told_by_rules_and_what_rsync_can_not_hold_is_kept_from_it():
    plain, longest, longer = (entry(b"x" * length) for length in (1, rsync.LONGEST, rsync.LONGEST + 1))
    large = entry(b"a*\\", size=rsync.BIG)
    parts = divided([plain, longest, longer, large], range(4))
    assert (parts.listed, parts.by_rules, parts.too_long, parts.large) == ([plain], [longest, large], [longer], [])


def test_a_pull_copies_all_but_the_modes_of_folders_that_are_there():
    there = [entry(b"dir", "d"), entry(b"file"), entry(b"was", "f"), entry(b"same")]
    wanted = [entry(b"dir", "d", mode=0o700), entry(b"file", mode=0o600), entry(b"was", "d"), entry(b"same")]
    new = [entry(b"top", "d"), entry(b"top/x")]
    differences = compare([*wanted, *new], there)
    fetched = to_fetch(differences)
    assert sorted(each.path for each in fetched) == [b"file", b"top", b"top/x", b"was"]
    assert remaining_of(fetched, 0, differences).new == {b"top"}


NEW = [entry(b"new/%d" % number) for number in range(4)]


@pytest.mark.parametrize(
    ("wanted", "there", "pays"),
    [
        (NEW, [], True),
        (NEW[:3], [], False),  # a list does
        ([*NEW[:3], entry(b"new/large", size=rsync.BIG)], [], False),
        ([*NEW[:3], entry(b"old/x")], [], False),
        (NEW, [b"1", b"2", b"2/x", b"2/y"], True),
        (NEW, [b"1", b"2", b"3"], False),  # too many to be excluded by name
    ],
)
def test_staging_pays_for_much_that_is_new_beside_few_other_names(monkeypatch, wanted, there, pays):
    monkeypatch.setattr(remaining, "SHORT", 3)
    monkeypatch.setattr(rsync, "MAX_LITERALS", 2)
    kept = KeptListing([entry(b"new", "d"), *NEW, *map(entry, there)], IgnoreRules.parse(b"", source=""))
    assert worth_staging(Remaining(wanted, 0, frozenset({b"new"})), kept) is pays
