"""Other users of this machine: what they have planted is refused, and what they can change is not trusted."""

import os
import stat

import pytest
from emulated import EXPORT, IMPORT

from cmlutils import config, guard
from cmlutils.bundle import Bundle
from cmlutils.errors import BundleError, CmlutilError, ConfigError
from cmlutils.log import to_file

root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files to somebody else")


@pytest.fixture
def bundle(tmp_path):
    one = Bundle(tmp_path / "out" / "p")
    one.create()
    return one


PLANTED = (
    "state/lock", "state/session.json", "state/session.json.new", "state/tmp", "state/arriving",
    "state/export-unfinished",
    "state/journal-0123456789abcdef.jsonl", "logs/migration.log", "logs/report.html", "logs/export_metrics.json",
    "project-metadata/jobs-metadata.json", "manifest.json",
)  # fmt: skip


@pytest.mark.parametrize("place", PLANTED)
def test_a_planted_link_is_refused_and_not_written_through(bundle, tmp_path, place):
    victim = tmp_path / "victim"
    victim.write_text("mine")
    (bundle.folder / place).symlink_to(victim)
    with pytest.raises(BundleError, match="neither a file nor a folder"):
        bundle.create()
    assert victim.read_text() == "mine"


def test_a_planted_pipe_is_refused_and_not_waited_for(bundle):
    os.mkfifo(bundle.state / "lock")
    with pytest.raises(BundleError, match="neither a file nor a folder"):
        bundle.create()


def test_a_folder_in_place_of_the_manifest_is_refused(bundle):
    bundle.manifest.mkdir()
    with pytest.raises(BundleError, match=r"manifest\.json is a folder"):
        bundle.create()


def test_a_pipe_in_place_of_the_manifest_is_not_waited_for(bundle):
    bundle.metadata("project").write_text("{}")
    os.mkfifo(bundle.manifest)
    with pytest.raises(BundleError, match="not a file"):
        bundle.check()


def test_a_log_that_is_a_link_is_not_written_through(tmp_path):
    (tmp_path / "log").symlink_to(tmp_path / "victim")
    with pytest.raises(BundleError, match="can't be written"):
        to_file(tmp_path / "log")
    assert not (tmp_path / "victim").exists()


@root_only
@pytest.mark.parametrize("place", ["", "state", "project-data", "state/lock", "logs/report.html"])
def test_what_belongs_to_somebody_else_is_refused(bundle, place):
    path = bundle.folder / place
    if not path.exists():
        path.write_text("")
    os.chown(path, 65534, 65534)
    with pytest.raises(CmlutilError, match="belongs to another user"):
        bundle.create()


def test_an_output_dir_that_everybody_may_change_is_warned_of(tmp_path):
    folder = tmp_path / "shared"
    folder.mkdir()
    folder.chmod(0o777)
    assert "every user of this machine" in guard.place_warning(folder)
    Bundle(folder / "p").create()
    assert (folder / "p").stat().st_mode & 0o777 == 0o700
    folder.chmod(0o1777)  # sticky as /tmp, so others can't rename what is ours
    assert guard.place_warning(folder) == ""


def test_a_command_that_everybody_may_change_is_not_run(home):
    folder = home / "cmlutils"
    folder.mkdir()
    path = folder / "export-config.ini"
    path.write_text("[p]\nurl=https://x\nusername=u\noutput_dir=~/o\napiv1_key_command=cat /tmp/key\n")
    path.chmod(0o666)
    with pytest.raises(ConfigError, match="can change the file"):
        config.load("export", "p")
    path.chmod(0o600)
    assert config.load("export", "p").workspace.key_command == ("cat", "/tmp/key")


@pytest.mark.parametrize("key", ["username", "output_dir", "identity_file", "apiv1_key_command"])
@pytest.mark.parametrize("letter", ["\x00", "\x1b", "\n\tb"])
def test_a_value_with_a_control_character_is_refused(home, key, letter):
    folder = home / "cmlutils"
    folder.mkdir()
    values = {"url": "https://x", "username": "u", "output_dir": "~/o", "apiv1_key_command": "k"}
    values |= {key: f"a{letter}b"}
    (folder / "export-config.ini").write_text("[p]\n" + "".join(f"{name}={text}\n" for name, text in values.items()))
    with pytest.raises(ConfigError, match=f"{key} has a line break or control character"):
        config.load("export", "p")


@pytest.mark.parametrize("url", ["http://[", "https://x:y@[", "http://\u2100", "https://a:99999", "http://a b"])
def test_an_address_that_is_none_is_told(home, url):
    folder = home / "cmlutils"
    folder.mkdir()
    (folder / "export-config.ini").write_text(f"[p]\nurl={url}\nusername=u\noutput_dir=~/o\napiv1_key=k\n")
    with pytest.raises(ConfigError, match="url"):
        config.load("export", "p")


def test_all_that_a_run_writes_is_private(workspaces, without_files, run_line, home):
    workspaces()
    old = os.umask(0o000)
    try:
        run_line(EXPORT)
        run_line(IMPORT)
    finally:
        os.umask(old)
    folder = home / "bundles"
    open_to_others = [
        path
        for path in (folder, *folder.rglob("*"))
        if stat.S_IMODE(path.lstat().st_mode) & 0o077 and "project-data" not in path.parts
    ]
    assert open_to_others == []
