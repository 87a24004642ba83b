"""What is worked out while rsync copies holds only for the listing that it was worked out from."""

import pytest

from cmlutils.entries import Entry, Totals, totals, totals_by_folder
from cmlutils.errors import BundleError
from cmlutils.flows.copying.ahead import Ahead, Sums
from cmlutils.saved_listing import read_list

FILES = [Entry(b"a", "d", 0, 1, 0o755), Entry(b"a/b", "f", 3, 2, 0o644), Entry(b"c", "l", 1, 3, 0o777, b"a")]
LISTING = {each.path: each for each in FILES}
NEWER = {b"new": Entry(b"new", "f", 7, 1, 0o644)}


@pytest.fixture
def draft(tmp_path):
    (tmp_path / "tmp").mkdir()
    return tmp_path / "tmp/draft"


def begun(draft):
    ahead = Ahead(draft)
    ahead.begin(LISTING, lambda: [*FILES])
    return ahead


def test_sums_are_of_the_listing_that_is_asked_for(draft):
    assert begun(draft).sums_of(LISTING) == Sums(totals(FILES), totals_by_folder(FILES))
    assert begun(draft).sums_of(NEWER).totals == Totals(files=1, bytes=7)
    assert Ahead(draft).sums_of(NEWER).totals == Totals(files=1, bytes=7)


def test_the_draft_becomes_the_list_that_it_holds(tmp_path, draft):
    ahead, path = begun(draft), tmp_path / "files.list"
    ahead._written = _once(ahead._written())
    there = draft.stat().st_ino
    ahead.write_list(path, [*FILES])
    assert path.stat().st_ino == there
    assert [*read_list(path)] == FILES
    assert not draft.exists()


@pytest.mark.parametrize("make", [begun, Ahead])
def test_another_list_is_written_anew(tmp_path, draft, make):
    path = tmp_path / "files.list"
    make(draft).write_list(path, FILES[:2])
    assert [*read_list(path)] == FILES[:2]
    assert not draft.exists()


def test_a_draft_that_could_not_be_written_is_none(tmp_path, draft):
    path = tmp_path / "files.list"
    begun(tmp_path / "missing/draft").write_list(path, FILES)
    assert [*read_list(path)] == FILES
    path.unlink()
    path.mkdir()
    with pytest.raises(BundleError, match=r"files\.list can't be written"):
        begun(draft).write_list(path, FILES)


def _once(result):
    return lambda: result
