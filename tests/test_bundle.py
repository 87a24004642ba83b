import json
import os

import pytest

from cmlutils.bundle import METADATA, Bundle, folder_name, write_json
from cmlutils.errors import BundleError


@pytest.fixture
def bundle(tmp_path):
    one = Bundle(tmp_path / "out" / "p")
    one.create()
    return one


@pytest.fixture
def whole(bundle):
    bundle.begin_export()
    for kind in METADATA:
        write_json(bundle.metadata(kind), {} if kind == "project" else [])
    bundle.seal("https://x", {"models": 0})
    return bundle


@pytest.mark.parametrize("name", ["Churn Model", "größe", "C#", "100%", "a&b", ".hidden", "DEFAULT"])
def test_a_plain_name_is_its_own_folder(name):
    assert folder_name(name) == name


@pytest.mark.parametrize("name", ["..", ".", "", "a/b", "../../etc", "/etc", "a\\b", "a\nb", "x" * 300, "é" * 150])
def test_any_other_name_is_one_safe_folder(name, tmp_path):
    folder = folder_name(name)
    assert (tmp_path / folder).parent == tmp_path
    assert folder not in {".", ".."}
    (tmp_path / folder).mkdir()


def test_two_odd_names_never_meet():
    assert len({folder_name(name) for name in ("a/b", "a\\b", "a%2Fb", "a_b", "a/b/")}) == 5


def test_folders_and_files_are_private(whole):
    assert oct(whole.folder.stat().st_mode & 0o777) == "0o700"
    assert oct(whole.metadata("jobs").stat().st_mode & 0o777) == "0o600"
    whole.check()


def test_an_export_that_did_not_finish_is_refused(whole):
    whole.begin_export()
    with pytest.raises(BundleError, match="did not finish"):
        whole.check()


def test_nothing_exported_is_refused_without_making_folders(tmp_path):
    bundle = Bundle(tmp_path / "none")
    with pytest.raises(BundleError, match="no exported project"):
        bundle.check()
    assert not bundle.folder.exists()


def test_tampered_metadata_is_named(whole):
    whole.metadata("jobs").write_text("[]  ")
    with pytest.raises(BundleError, match="jobs-metadata"):
        whole.check()


def test_a_newer_format_is_refused(whole):
    content = json.loads(whole.manifest.read_text())
    write_json(whole.manifest, {**content, "format": 99})
    with pytest.raises(BundleError, match="newer"):
        whole.check()


def test_without_a_manifest_it_is_foreign_and_opens(whole):
    whole.manifest.unlink()
    whole.check()
    assert whole.foreign


def test_the_lock_says_who_holds_it(bundle):
    with bundle.lock(), pytest.raises(BundleError, match=f"process {os.getpid()} since"), bundle.lock():
        pass
    with bundle.lock():
        pass


def test_a_planted_link_is_refused(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "p").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(BundleError, match="symbolic link"):
        Bundle(tmp_path / "p").create()


def test_a_write_that_fails_leaves_the_old_file(whole, monkeypatch):
    before = whole.metadata("jobs").read_bytes()
    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(BundleError, match="No space"):
        write_json(whole.metadata("jobs"), [1])
    assert whole.metadata("jobs").read_bytes() == before
    assert sorted(path.name for path in whole.metadata("jobs").parent.iterdir()) == sorted(
        f"{kind}-metadata.json" for kind in METADATA
    )


def test_an_output_dir_is_made_with_all_above_it_and_may_be_there_already(tmp_path):
    for _ in range(2):
        Bundle(tmp_path / "a" / "b" / "p").create()
    assert oct((tmp_path / "a" / "b").stat().st_mode & 0o777) == "0o700"


def test_half_a_surrogate_pair_is_written_so_that_others_can_read_it(tmp_path):
    write_json(tmp_path / "x.json", {"name": "\ud800é"})
    assert json.loads((tmp_path / "x.json").read_text(encoding="utf-8")) == {"name": "\ud800é"}
