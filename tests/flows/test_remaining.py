"""How rsync is told what remains to be copied."""

import pytest

from cmlutils.entries import Entry
from cmlutils.flows.copying.remaining import divided


@pytest.mark.parametrize(("tree", "longest"), [(0, 2_000), (10_000, 2_000), (40_000, 4_000), (1_000_000, 20_000)])
def test_the_larger_the_tree_the_more_names_are_listed_rather_than_looked_for_in_it(tree, longest):
    names = [Entry(b"%d" % number, "f", 1, 0, 0o644) for number in range(longest + 1)]
    assert divided(names[1:], range(tree)).listed == names[1:]
    assert divided(names, range(tree)).tree == names
