"""A disk that takes two names for one, as the usual ones of macOS do, never makes one file or bundle of two."""

import os
import unicodedata
from pathlib import Path

import pytest
from copying import pull

from cmlutils.bundle import Bundle
from cmlutils.errors import ConfigError, TransferError
from cmlutils.guard import obstacle
from cmlutils.lookalikes import lookalikes

COMPOSED, DECOMPOSED = "caf\u00e9", "cafe\u0301"


def case_and_form(name):
    return unicodedata.normalize("NFD", name).casefold()


def form(name):
    return unicodedata.normalize("NFD", name)


@pytest.fixture
def disk(monkeypatch):
    """Let new files find a name taken if its fold is: a stand-in for disks that Linux lacks."""
    real = os.open

    def put(fold):
        def opened(path, flags, *more, **others):
            new = Path(os.fsdecode(path))
            if flags & os.O_EXCL and any(fold(each.name) == fold(new.name) for each in new.parent.iterdir()):
                raise FileExistsError(path)
            return real(path, flags, *more, **others)

        monkeypatch.setattr(os, "open", opened)

    return put


PATHS = ["README.md", "readme.md", "a/x", "A/x", "a", "A", "b/readme.md", COMPOSED, DECOMPOSED, "Ma\u00df", "mass"]
CASES, FORMS = [("README.md", "readme.md"), ("a", "A")], [(COMPOSED, DECOMPOSED)]


@pytest.mark.parametrize(
    ("fold", "found"),
    [(None, []), (form, FORMS), (str.lower, CASES), (lambda name: form(name).lower(), CASES + FORMS)],
)
def test_what_the_disk_takes_for_one_is_found_and_no_more(disk, tmp_path, fold, found):
    if fold:
        disk(fold)
    paths = [path.encode() for path in PATHS] + [b"\xff", b"\xfe"]
    pairs = [(one.encode(), other.encode()) for one, other in found]
    assert sorted(lookalikes(tmp_path, paths)) == sorted(pairs)
    assert not [*tmp_path.iterdir()]


def test_files_that_would_be_one_are_refused_before_anything_changes(disk, way, project, bundle):
    (project / "README.md").write_text("one")
    pull(way, bundle)
    (project / "readme.md").write_text("another")
    (project / "more").write_text("more")
    disk(case_and_form)
    with pytest.raises(TransferError, match=r"takes '\w+\.md' and '\w+\.md' for one name\.$") as error:
        pull(way, bundle)
    assert ".exportignore" in error.value.hint
    assert [path.name for path in (bundle / "project-data").iterdir()] == ["README.md"]
    (project / ".exportignore").write_text("/readme.md\n")
    assert not pull(way, bundle).problems
    assert (bundle / "project-data/README.md").read_text() == "one"


@pytest.mark.parametrize(("name", "listed", "taken"), [("sales", "Sales", True), (COMPOSED, DECOMPOSED, False)])
def test_the_bundle_of_a_section_that_differs_only_in_case_is_left_alone(tmp_path, monkeypatch, name, listed, taken):
    Bundle(tmp_path / name).create()
    monkeypatch.setattr(os, "listdir", lambda _: [listed])
    if not taken:
        Bundle(tmp_path / name).create()
        assert not obstacle(tmp_path / name)
        return
    with pytest.raises(ConfigError, match=r"sales is the bundle of section 'Sales'"):
        Bundle(tmp_path / name).create()
    assert "section 'Sales'" in obstacle(tmp_path / name)
