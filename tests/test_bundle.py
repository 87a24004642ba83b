"""A bundle is private, complete or reported as unfinished, and never another user's."""

import hashlib
import json
import logging
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from cmlutils import __version__
from cmlutils import log as logs
from cmlutils.bundle import METADATA, Bundle, folder_name
from cmlutils.errors import BundleError, ConfigError, Interrupted
from cmlutils.guard import existing_folder
from cmlutils.lock import holder_of
from cmlutils.wholefile import read_json, write_json


@pytest.fixture
def bundle(tmp_path):
    one = Bundle(tmp_path / "out" / "p")
    one.create()
    return one


@pytest.fixture
def whole(bundle):
    bundle.begin_export("https://x dana/p")
    for kind in METADATA:
        write_json(bundle.metadata(kind), {} if kind == "project" else [])
    bundle.seal("https://x dana/p", {"models": 0})
    return bundle


@pytest.mark.parametrize("written", [False, True])
def test_a_signal_while_a_file_is_replaced_stays_one_and_leaves_no_other_file(tmp_path, monkeypatch, written):
    replace = os.replace

    def interrupted(*names):
        if written:
            replace(*names)
        raise Interrupted(signal.SIGINT)

    monkeypatch.setattr(os, "replace", interrupted)
    with pytest.raises(Interrupted):
        write_json(tmp_path / "file", {})
    assert [path.name for path in tmp_path.iterdir()] == ["file"] * written


@pytest.mark.parametrize("name", ["Churn Model", "größe", "C#", "100%", "a&b", ".hidden", "DEFAULT"])
def test_a_plain_name_is_its_own_folder(name):
    assert folder_name(name) == name


@pytest.mark.parametrize("name", ["..", ".", "", "a/b", "../../etc", "/etc", "a\\b", "a\nb", "x" * 300, "é" * 150])
def test_any_other_name_is_one_safe_folder(name, tmp_path):
    folder = folder_name(name)
    assert (tmp_path / folder).parent == tmp_path
    assert folder not in {".", ".."}
    (tmp_path / folder).mkdir()


@pytest.mark.parametrize(
    ("name", "start"),
    [
        ("a b/c.d", "a b%2Fc%2Ed"), ("../x", "%2E%2E%2Fx"), ("é" * 101, ("%C3%A9" * 27)[:160]), ("x" * 201, "x" * 160),
        ("\ud800/", "%3F%2F"),
    ],
)  # fmt: skip
def test_an_odd_name_can_be_recognised(name, start):
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()
    assert folder_name(name) == f"{start}-{digest[:12]}"


def test_a_name_of_200_bytes_is_still_a_folders():
    assert folder_name("x" * 200) == "x" * 200


def test_two_odd_names_never_meet():
    assert len({folder_name(name) for name in ("a/b", "a\\b", "a%2Fb", "a_b", "a/b/")}) == 5


def test_folders_and_files_are_private(whole):
    assert oct(whole.folder.stat().st_mode & 0o777) == "0o700"
    assert oct(whole.metadata("jobs").stat().st_mode & 0o777) == "0o600"
    whole.check()


def test_a_log_that_has_grown_is_begun_anew_and_the_ones_before_stay_as_private(bundle):
    logs.to_file(bundle.log_file)
    try:
        for _ in range(3):
            logging.getLogger("cmlutils.test").warning("%s", "x" * 6_000_000)
    finally:
        logs.close()
    modes = {path.name: path.stat().st_mode & 0o777 for path in bundle.logs.iterdir()}
    assert modes == dict.fromkeys(("migration.log", "migration.log.1", "migration.log.2"), 0o600)


def test_an_export_that_did_not_finish_is_refused(whole):
    whole.begin_export("https://x dana/p")
    with pytest.raises(BundleError, match="did not finish"):
        whole.check()


def test_nothing_exported_is_refused_without_making_folders(tmp_path):
    bundle = Bundle(tmp_path / "none")
    with pytest.raises(BundleError, match="no exported project"):
        bundle.check()
    assert not bundle.folder.exists()


def test_a_newer_format_is_refused(whole):
    content = json.loads(whole.manifest.read_text())
    write_json(whole.manifest, {**content, "format": 99})
    with pytest.raises(BundleError, match="newer"):
        whole.check()


def test_without_a_manifest_it_is_foreign_and_opens(whole):
    whole.manifest.unlink()
    whole.check()
    assert whole.foreign


@pytest.mark.parametrize(("kind", "content"), [("project", {"name": "p", "cmlutil": {}}), ("jobs", [{"cmlutil": {}}])])
def test_metadata_of_ours_without_a_manifest_is_told_from_that_of_others(whole, kind, content):
    whole.manifest.unlink()
    assert not whole.lost_manifest
    write_json(whole.metadata(kind), content)
    assert whole.lost_manifest
    whole.check()


def test_all_journals_below_output_dir_are_found_but_a_runs_own(bundle):
    beside = Bundle(bundle.folder.parent / "q")
    beside.create()
    mine, other = (bundle.journal(url, "dana") for url in ("https://x", "https://y"))
    far = beside.journal("https://x", "dana")
    for one in (mine, other, far):
        one.begin("v2 key", [])
    assert {*bundle.other_journals(mine)} == {other.path, far.path}


def test_the_lock_says_who_holds_it(bundle):
    with bundle.lock(), pytest.raises(BundleError, match=f"process {os.getpid()} since"), bundle.lock():
        pass
    with bundle.lock():
        pass


def test_a_planted_link_is_refused(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "p").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigError, match="symbolic link"):
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


def test_json_is_written_for_people_and_in_its_own_order(tmp_path):
    write_json(tmp_path / "x.json", {"b": 1, "a": ["é"]})
    assert (tmp_path / "x.json").read_bytes() == '{\n  "b": 1,\n  "a": [\n    "é"\n  ]\n}\n'.encode()


def test_all_of_it_is_on_disk_beside_its_place_before_it_takes_that(tmp_path, monkeypatch):
    seen = []
    real = os.fsync

    def fsync(handle):
        real(handle)
        seen.append(([path.name for path in tmp_path.iterdir()], os.fstat(handle).st_size))

    monkeypatch.setattr(os, "fsync", fsync)
    write_json(tmp_path / "x.json", [1])
    (((name,), size),) = seen
    assert name.startswith(".x.json.")
    assert size == (tmp_path / "x.json").stat().st_size


@pytest.mark.parametrize(
    ("content", "said"), [("[1", "incomplete"), ("NaN", "incomplete"), ("[" * 10**6, "incomplete"), ("7", "unexpected"),
                          ("[]", "unexpected content"), (None, "is missing")],
)  # fmt: skip
def test_json_that_is_not_what_it_should_be_is_named(tmp_path, content, said):
    path = tmp_path / "x.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(BundleError, match=rf"x\.json .*{said}"):
        read_json(path, dict)


def test_json_that_can_not_be_read_is_named(tmp_path):
    (tmp_path / "x.json").symlink_to("x.json")
    with pytest.raises(BundleError, match=r"x\.json can't be read: "):
        read_json(tmp_path / "x.json", dict)


def test_the_nearest_folder_that_is_there(tmp_path):
    assert existing_folder(tmp_path) == tmp_path
    (tmp_path / "file").write_text("")
    assert existing_folder(tmp_path / "file" / "a" / "b") == tmp_path


def test_the_manifest_says_what_is_in_the_bundle(whole):
    content = json.loads((whole.folder / "manifest.json").read_text())
    assert content.pop("exported_at").endswith("+00:00")
    digests = content.pop("digests")
    assert content == {
        "format": 1,
        "tool": f"cmlutil {__version__}",
        "source": "https://x dana/p",
        "source_id": 0,
        "counts": {"models": 0},
    }
    assert digests["jobs"] == "sha256:" + hashlib.sha256(whole.metadata("jobs").read_bytes()).hexdigest()
    assert set(digests) == set(METADATA)


def test_an_export_that_begins_takes_the_manifest_away_and_the_end_brings_it_back(whole):
    whole.begin_export("https://x dana/p")
    assert not (whole.folder / "manifest.json").exists()
    assert (whole.state / "export-unfinished").exists()
    whole.seal("https://x dana/p", {})
    assert not (whole.state / "export-unfinished").exists()


@pytest.mark.parametrize("begun", [False, True], ids=["whole", "unfinished"])
def test_the_export_of_another_owners_project_is_not_lost(whole, begun):
    if begun:
        whole.begin_export("https://x dana/p")
    whole.check_owner("dana/renamed")
    with pytest.raises(BundleError, match="holds the export of dana/p, which kai/p would replace"):
        whole.check_owner("kai/p")


@pytest.mark.parametrize("damage", ["", "[]", '{"source": 7}', '{"source": "https://x"}'])
def test_a_damaged_manifest_keeps_no_export_away(whole, damage):
    whole.manifest.write_text(damage)
    whole.check_owner("kai/p")
    whole.manifest.unlink()
    whole.check_owner("kai/p")


def test_an_export_that_lacks_a_file_is_not_sealed(whole):
    whole.begin_export("https://x dana/p")
    whole.metadata("jobs").unlink()
    with pytest.raises(BundleError, match=r"jobs-metadata\.json is missing"):
        whole.seal("https://x dana/p", {})
    assert whole.foreign


@pytest.mark.parametrize("odd", [{"format": "1"}, {"format": True}, {"digests": []}, {"digests": None}])
def test_a_manifest_that_is_none_is_named(whole, odd):
    write_json(whole.manifest, {**json.loads(whole.manifest.read_text()), **odd})
    with pytest.raises(BundleError, match=r"manifest\.json has unexpected content"):
        whole.check()


def test_metadata_that_was_changed_or_is_gone_is_named_or_let_pass(whole):
    assert whole.changed_metadata() == []
    whole.metadata("models").write_text("[ ]")
    with pytest.raises(BundleError, match=r"models-metadata\.json has changed since the export"):
        whole.check()
    whole.check(changed=True)
    whole.metadata("models").unlink()
    with pytest.raises(BundleError, match=r"models-metadata\.json is missing"):
        whole.check()
    assert whole.changed_metadata() == ["models"]
    whole.manifest.unlink()
    assert whole.changed_metadata() == []


def test_an_export_without_files_is_none(whole):
    whole.data.rmdir()
    with pytest.raises(BundleError, match="no exported project"):
        whole.check()


def test_folders_that_were_there_become_private_and_links_of_the_project_are_its_own(bundle):
    for folder in (bundle.folder, bundle.data, bundle.state, bundle.logs):
        folder.chmod(0o755)
    (bundle.data / "link").symlink_to("/etc/passwd")
    bundle.create()
    assert {folder.stat().st_mode & 0o777 for folder in (bundle.folder, bundle.data, bundle.state, bundle.logs)} == {
        0o700
    }


def test_a_folder_that_can_not_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=f"^{tmp_path}/file can't be created or written: ") as caught:
        Bundle(tmp_path / "file" / "p").create()
    assert caught.value.hint.startswith("Free disk space or fix the permissions")  # several reasons are possible


def test_a_place_that_others_may_write_to_is_warned_of_once_it_is_one(tmp_path, caplog):
    Bundle(tmp_path / "p").create()
    assert caplog.text == ""
    tmp_path.chmod(0o777)
    Bundle(tmp_path / "p").create()
    assert f"{tmp_path} can be written to by every user" in caplog.text


def test_a_lock_that_names_nobody_is_held_by_somebody(bundle):
    with bundle.lock(), pytest.raises(BundleError, match="in use by another process"):
        (bundle.state / "lock").write_bytes(b"")
        with bundle.lock():
            pass


def test_a_lock_names_its_holder_alone_and_nobody_afterwards(bundle):
    path = bundle.state / "lock"
    path.write_text("x" * 100)
    with bundle.lock():
        assert path.read_text().startswith(f"process {os.getpid()} since 2")
        assert path.read_text().endswith("+00:00\n")
    assert path.read_bytes() == b""


def test_a_holder_that_is_another_users_counts_as_one(bundle, monkeypatch):
    def refused(*_):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "kill", refused)
    with bundle.lock():
        assert holder_of(bundle.lock_file).pid == os.getpid()


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="needs /proc")
def test_a_lock_leaves_no_file_open(bundle):
    before = len(list(Path("/proc/self/fd").iterdir()))
    with bundle.lock(), pytest.raises(BundleError), bundle.lock():
        pass
    assert len(list(Path("/proc/self/fd").iterdir())) == before


@pytest.mark.parametrize(
    ("url", "known"),
    [
        ("https://ml.example.com/cdsw", 7),
        ("http://ML.example.com/cdsw/", 7),
        ("https://ml.example.com", 0),
        ("https://ml.example.com:8443/cdsw", 0),
        ("https://other.example.com/cdsw", 0),
    ],
)
def test_a_bundle_knows_the_project_of_which_it_is_the_export(whole, url, known):
    whole.seal("https://ml.example.com/cdsw dana/p", {}, 7)
    assert whole.source_id(url) == known
    whole.manifest.unlink()
    assert whole.source_id(url) == 0


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux tells")
def test_a_holder_that_is_stopped_is_told_as_that(bundle):
    with subprocess.Popen(["sleep", "60"]) as child, bundle.lock():
        bundle.lock_file.write_text(f"process {child.pid} since then\n")
        assert holder_of(bundle.lock_file).text == f"process {child.pid} since then"
        child.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, child.pid, os.WSTOPPED)
        try:
            with pytest.raises(BundleError, match=rf"since then, stopped \(kill -CONT {child.pid} "), bundle.lock():
                pass
        finally:
            child.kill()
