"""Files that one side can't see, or shows oddly, are not gone: nothing is deleted or claimed because it is not seen."""

import contextlib
import os
import shlex
import shutil
import subprocess
from dataclasses import replace
from types import SimpleNamespace

import pytest
from copying import At, difference, overwrite, pull, push

from cmlutils.disk import PROBE_MTIME, resolution_of
from cmlutils.errors import ConfigError, TransferError, TunnelError
from cmlutils.flows.copying import push as pushing
from cmlutils.flows.copying import remaining
from cmlutils.flows.copying.listing import KeptListing, is_unchanged
from cmlutils.flows.copying.pushed import target_key
from cmlutils.flows.copying.recopy import RecopyList
from cmlutils.ignore import default_rules
from cmlutils.remote import cdswctl, process, tunnel
from cmlutils.section import Secret, Workspace

not_root = pytest.mark.skipif(os.geteuid() == 0, reason="root may read anything")


def names(root):
    return sorted(str(path.relative_to(root)) for path in root.rglob("*"))


def make(root, *paths):
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(path)


@contextlib.contextmanager
def closed(folder, mode):
    """Give a folder this mode within the block."""
    folder.chmod(mode)
    try:
        yield
    finally:
        folder.chmod(0o755)


def stop(_):
    raise KeyboardInterrupt


# Unreadable files and folders


@not_root
@pytest.mark.parametrize("mode", [0o000, 0o644])
def test_what_can_not_be_read_on_the_source_stays_in_the_bundle_and_on_the_target(project, bundle, way, tmp_path, mode):
    make(project, "notes/precious", "other")
    pull(way, bundle)
    with closed(project / "notes", mode):
        result = pull(way, bundle)
    assert result.problems
    assert result.deleted == 0
    (project / "notes/precious").unlink()  # from here on, the project is the target
    (bundle / "project-data/notes").chmod(0o755)
    push(way, bundle)
    with closed(bundle / "project-data/notes", mode):
        result = push(way, bundle)
    (project / "notes").chmod(0o755)
    assert result.problems
    assert result.deleted == 0
    assert (project / "notes/precious").exists()


@not_root
def test_what_can_not_be_seen_on_the_target_for_once_is_still_ours(project, bundle, way):
    make(bundle / "project-data", "a/x", "y")
    push(way, bundle)
    (bundle / "project-data/y").write_text("more")
    with closed(project / "a", 0):
        push(way, bundle)
    shutil.rmtree(bundle / "project-data/a")
    with closed(project / "a", 0):
        assert push(way, bundle).deleted == 0
    assert push(way, bundle).deleted == 2
    assert names(project) == ["y"]


# What an import remembers


def test_what_an_interrupted_import_was_about_to_change_is_still_ours(project, bundle, way):
    make(bundle / "project-data", "x", "y")
    push(way, bundle)
    (bundle / "project-data/x").write_text("another version")
    with pytest.raises(KeyboardInterrupt):
        push(way, bundle, progress=At("copying", stop))
    assert (project / ".cmlutil-tmp/new").is_dir()  # where the next one goes on
    (bundle / "project-data/x").unlink()
    result = push(way, bundle)
    assert (result.deleted, result.kept_extras, names(project)) == (1, 0, ["y"])


def test_what_is_not_as_an_import_left_it_is_a_persons(project, bundle, way):
    make(bundle / "project-data", "size", "time", "ours")
    push(way, bundle)
    before = (project / "size").stat().st_mtime_ns
    (project / "size").write_text("longer")
    os.utime(project / "size", ns=(before, before))
    os.utime(project / "time", ns=(before, before + 10**9))
    for name in ("size", "time", "ours"):
        (bundle / "project-data" / name).unlink()
    result = push(way, bundle)
    assert (result.deleted, result.kept_extras, names(project)) == (1, 2, ["size", "time"])


def test_what_an_import_did_not_have_to_send_again_is_still_ours(project, bundle, way):
    make(bundle / "project-data", "a", "b")
    push(way, bundle)
    (bundle / "project-data/b").write_text("another version")
    push(way, bundle)
    (bundle / "project-data/a").unlink()
    assert push(way, bundle).deleted == 1
    assert names(project) == ["b"]


def test_what_an_import_put_on_one_workspace_is_a_persons_on_another(project, bundle, way):
    make(bundle / "project-data", "x", "y")
    push(way, bundle)
    (bundle / "project-data/x").unlink()
    first = way.workspace
    way.workspace = replace(first, url="http://other.test")  # where people have just the same files
    result = push(way, bundle)
    assert (result.deleted, result.kept_extras) == (0, 1)
    way.workspace = first
    assert push(way, bundle).deleted == 1


def test_what_an_import_has_deleted_is_a_persons_if_it_comes_again(project, bundle, way):
    def make_both(place):
        (place / "empty").mkdir()
        (place / "link").symlink_to("x")

    data = bundle / "project-data"
    make(data, "x")
    make_both(data)
    push(way, bundle)
    (data / "empty").rmdir()
    (data / "link").unlink()
    assert push(way, bundle).deleted == 2
    make_both(project)
    result = push(way, bundle)
    assert (result.deleted, result.kept_extras, names(project)) == (0, 2, ["empty", "link", "x"])


@pytest.mark.parametrize("gone", ["logs", "logs/a"])
def test_what_was_ignored_for_a_while_is_still_ours(project, bundle, way, gone):
    make(bundle / "project-data", "logs/a", "logs/b", "y")
    push(way, bundle)
    place = bundle / "project-data" / gone
    shutil.rmtree(place) if place.is_dir() else place.unlink()
    (bundle / ".importignore").write_text("/logs/\n")
    make(bundle / "project-data", "z")
    push(way, bundle)
    (bundle / ".importignore").unlink()
    result = push(way, bundle)
    assert result.kept_extras == 0
    assert not (project / gone).exists()


@pytest.mark.parametrize("rule", ["logs/\n", "/proj/logs/\n", "*.log\n"])
def test_what_is_ignored_since_an_interruption_does_not_get_in(project, bundle, way, monkeypatch, rule):
    monkeypatch.setattr(remaining, "SHORT", 1)
    make(bundle / "project-data", "proj/a", "proj/logs/f.log", "proj/logs/g.log", "proj/z")
    with pytest.raises(KeyboardInterrupt):
        push(way, bundle, progress=At("checking", stop))
    grown = project / ".cmlutil-tmp/new/proj/logs"
    shutil.rmtree(project / "proj", ignore_errors=True)
    make(grown, "f.log")  # partly copied, as a killed rsync leaves it
    (bundle / ".importignore").write_text(rule)
    assert push(way, bundle).problems == ()
    assert not (project / "proj/logs/f.log").exists()


@pytest.mark.parametrize("kind", ["folder", "link"])
def test_an_importignore_that_is_no_file_is_no_lack_of_rules(project, bundle, way, kind):
    make(bundle / "project-data", "x")
    path = bundle / ".importignore"
    path.mkdir() if kind == "folder" else path.symlink_to("nowhere")
    with pytest.raises(ConfigError, match="is no file"):
        push(way, bundle)
    assert names(project) == []


@pytest.mark.parametrize("mode", [0o555, 0o755])
def test_a_folder_that_has_to_stay_keeps_its_mode_though_files_in_it_are_deleted(project, bundle, way, mode):
    make(bundle / "project-data", "a/ours")
    push(way, bundle)
    make(project, "a/theirs")
    (project / "a").chmod(mode)
    shutil.rmtree(bundle / "project-data/a")
    push(way, bundle)
    assert names(project) == ["a", "a/theirs"]
    assert (project / "a").stat().st_mode & 0o777 == mode


@pytest.fixture
def disk_there(project):
    """Mount a disk at the target's folder `disk`; return a function that remounts it with a mode, such as "ro"."""
    (project / "disk").mkdir()
    mount = ["mount", "-t", "tmpfs", "x", project / "disk"]
    if os.geteuid() != 0 or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("no mounts here")
    yield lambda mode: subprocess.run(["mount", "-o", f"remount,{mode}", project / "disk"], check=True)
    subprocess.run(["umount", project / "disk"], check=True)


def test_what_a_person_changes_just_before_it_would_be_deleted_stays(project, bundle, way, monkeypatch):
    data, real = bundle / "project-data", pushing.delete_there
    (data / "in").mkdir()
    for name in ("in/changed", "in/goes", "stays"):
        (data / name).write_text("x")
    push(way, bundle)
    for name in ("in/changed", "in/goes"):
        (data / name).unlink()
    (data / "in").rmdir()

    def changed_first(*words):
        (project / "in/changed").write_text("a person's")
        real(*words)

    monkeypatch.setattr(pushing, "delete_there", changed_first)
    for _ in range(2):
        assert push(way, bundle).problems == ()
        assert (project / "in/changed").read_text() == "a person's"
        assert not (project / "in/goes").exists()


def test_what_can_not_be_deleted_on_the_target_is_named_and_still_ours(project, bundle, disk_there, way):
    make(bundle / "project-data", "disk/in/it's", "disk/in/new\nline", "other")
    (bundle / "project-data/disk/empty").mkdir()
    push(way, bundle)
    make(project, "disk/theirs/x")
    disk_there("ro")
    shutil.rmtree(bundle / "project-data/disk")
    for _ in range(2):
        result = push(way, bundle)
        named = sorted(one.partition(":")[0] for one in result.problems)
        assert named == ['"disk/in/it\'s"', "'disk/empty'", "'disk/in/new\\nline'"]
        assert all("can't be deleted" in one and "Read-only file system" in one for one in result.problems)
        assert all(".importignore" in one for one in result.problems)
        assert (result.deleted, result.kept_extras) == (0, 2)
    disk_there("rw")
    result = push(way, bundle)
    assert (result.problems, names(project)) == ((), ["disk", "disk/theirs", "disk/theirs/x", "other"])


@not_root
def test_what_an_import_has_opened_by_itself_is_no_problem(project, bundle, way):
    make(bundle / "project-data", "a/x", "y")
    push(way, bundle)
    (project / "a").chmod(0)
    result = push(way, bundle)
    (project / "a").chmod(0o755)
    assert (result.problems, names(project)) == ((), ["a", "a/x", "y"])


@not_root
def test_what_an_import_put_into_a_folder_that_can_not_be_seen_any_more_is_named(project, bundle, way):
    make(bundle / "project-data", "a/x", "y")
    make(project, "theirs/x")
    push(way, bundle)
    shutil.rmtree(bundle / "project-data/a")
    with closed(project / "a", 0), closed(project / "theirs", 0):
        assert push(way, bundle).problems == ("'a': Permission denied",)


# Names and paths that rsync can't express


@pytest.mark.parametrize("limit", [2000, 1])
def test_no_name_keeps_the_others_away(copy, monkeypatch, limit):
    monkeypatch.setattr(remaining, "SHORT", limit)
    make(copy.source, "\\*", "\\[1]", "a\\?", "dir\\*/f", "C:\\tmp\\*.csv", "*a\\", "in/\\?/deep", "plain")
    (copy.source / "empty\\*").mkdir()
    assert copy().problems == ()
    assert not difference(copy.source, copy.goal)


@pytest.mark.parametrize("length", [250, 10])  # short names: some folders are too long for us, and not for rsync
@pytest.mark.parametrize("limit", [2000, 1])
def test_a_path_that_rsync_can_not_hold_is_named_and_the_rest_arrives(project, bundle, way, monkeypatch, limit, length):
    monkeypatch.setattr(remaining, "SHORT", limit)
    make(project, "plain")
    with contextlib.chdir(project) if hasattr(contextlib, "chdir") else pytest.skip("needs Python 3.11"):
        for _ in range(4200 // length):
            os.mkdir("d" * length)  # noqa: PTH102
            os.chdir("d" * length)
        with open("deep", "w") as file:  # noqa: PTH123
            file.write("x")
    for _ in range(2):
        result = pull(way, bundle)
        assert (bundle / "project-data/plain").read_text() == "plain"
        assert any("too long" in one for one in result.problems)
    shutil.rmtree(project / ("d" * length))


# Files of which only the contents differ


def test_what_was_found_to_differ_in_contents_alone_is_brought_anew(copy, bundle):
    make(copy.source, "in/a", "b", "c*\\")
    copy()
    for name in ("in/a", "c*\\"):
        overwrite(copy.goal / name, b"x" * len(name))
    assert copy().transferred == 0  # a copy compares only size and time
    recopy_list = RecopyList(bundle / "state", copy.key)
    recopy_list.note([b"in/a", b"gone", b"in"])
    assert copy().transferred == 1
    assert (copy.goal / "in/a").read_text() == "in/a"
    assert copy().transferred == 0
    recopy_list.note([b"c*\\"])
    assert copy().problems == ()


@pytest.fixture
def listed(copy, bundle):
    """The list that notes three copied files to be brought anew: their contents changed on the receiving side."""
    make(copy.source, "in/a", "b", "c")
    copy()
    for name in ("in/a", "b", "c"):
        overwrite(copy.goal / name, b"x" * len(name))
    recopy_list = RecopyList(bundle / "state", copy.key)
    recopy_list.note([b"in/a", b"b", b"c"])
    return recopy_list._path


def contents(root):
    return [(root / name).read_text() for name in ("in/a", "b", "c")]


def test_of_very_many_that_differ_in_contents_alone_none_is_forgotten(copy, listed, monkeypatch):
    monkeypatch.setattr(remaining, "SHORT", 1)
    assert copy().transferred == 3
    assert contents(copy.goal) == ["in/a", "b", "c"]
    assert not listed.exists()


def test_one_whose_mode_differs_too_is_brought_anew_however_many_others_are_to_come(copy, listed, monkeypatch):
    monkeypatch.setattr(remaining, "SHORT", 1)
    (copy.source / "b").chmod(0o600)
    make(copy.source, "new/1", "new/2")
    assert copy().problems == ()
    assert contents(copy.goal) == ["in/a", "b", "c"]
    assert not listed.exists()


def instead(monkeypatch, script):
    """Run this shell script in place of the next rsync that copies."""
    scripts, real = [script], process.running

    def running(argv, **more):
        copying = argv[0] == "rsync" and "--version" not in argv
        return real(["sh", "-c", scripts.pop()] if copying and scripts else argv, **more)

    monkeypatch.setattr(process, "running", running)


def test_one_whose_new_copy_was_cut_is_copied_again(copy, listed, monkeypatch):
    monkeypatch.setattr(tunnel.Tunnel, "sleep", staticmethod(lambda _: None))
    instead(monkeypatch, "kill -9 $$")
    assert copy().problems == ()
    assert contents(copy.goal) == ["in/a", "b", "c"]
    assert not listed.exists()


@pytest.mark.parametrize(
    ("line", "refused"),
    [
        ('rsync: [receiver] mkstemp "/home/cdsw/in/.a.Ab12Cd" failed: Permission denied (13)', ["in/a"]),
        ('rsync: [receiver] mkstemp "/home/cdsw/.b.Ab12Cd" failed: Permission denied (13)', ["b"]),
        ('rsync: [generator] chgrp "/home/cdsw/in" failed: Operation not permitted (1)', ["in/a"]),
        ('rsync: [sender] send_files failed to open "/home/cdsw/b": Permission denied (13)', ["b"]),
        ("ERROR: b failed verification -- update discarded.", ["b"]),
        ('rsync: [receiver] mkstemp "/home/cdsw/.tmp/.a.Ab12Cd" failed: Permission denied (13)', ["b", "c", "in/a"]),
        ("something else", ["b", "c", "in/a"]),
        ('rsync: [generator] failed to set times on "/home/cdsw/in": Operation not permitted (1)', []),
    ],
)
def test_one_that_can_not_be_brought_anew_is_a_problem_and_stays_known(copy, listed, monkeypatch, line, refused):
    instead(monkeypatch, f"echo {shlex.quote(line)} >&2; exit 23")
    result = copy()
    assert sorted(one.partition(":")[0] for one in result.problems) == [f"'{name}'" for name in refused]
    assert all("contents differ" in one for one in result.problems)
    noted = listed.read_bytes().split(b"\0") if refused else []
    assert sorted(noted) == [name.encode() for name in refused]
    assert copy().problems == ()
    assert not listed.exists()
    brought = zip(["in/a", "b", "c"], contents(copy.goal), strict=True)
    assert sorted(name for name, content in brought if name == content) == refused  # nobody has copied the others


def recopies_of(way, bundle, project):
    return RecopyList(bundle / "state", target_key(way.workspace.url, project))


def test_what_differs_in_contents_alone_on_one_target_waits_for_an_import_there(project, bundle, way):
    make(bundle / "project-data", "a")
    push(way, bundle)
    overwrite(project / "a", b"x")
    recopies_of(way, bundle, "me/p").note([b"a"])
    assert push(way, bundle, into="me/other").transferred == 0
    assert push(way, bundle).transferred == 1
    assert (project / "a").read_text() == "a"


def test_what_the_source_changed_unseen_comes_to_each_target_though_it_was_equal_before(project, bundle, way):
    make(project, "a")
    pull(way, bundle)
    targets = ["me/p", "me/other"]
    assert [push(way, bundle, into=each).transferred for each in targets] == [0, 0]
    overwrite(project / "a", b"x")
    RecopyList(bundle / "state", "source").note([b"a"])
    pull(way, bundle)
    for each in targets:
        overwrite(project / "a", b"y")
        assert push(way, bundle, into=each).transferred == 1
        assert (project / "a").read_text() == "x"


def test_what_the_rules_leave_out_for_once_is_not_forgotten(project, bundle, way):
    make(bundle / "project-data", "a")
    recopy_list = recopies_of(way, bundle, "me/p")
    recopy_list.note([b"a"])
    (bundle / ".importignore").write_text("a\n")
    push(way, bundle)
    (bundle / ".importignore").unlink()
    make(project, "a")
    shutil.copystat(bundle / "project-data/a", project / "a")
    (project / "a").write_text("x")
    shutil.copystat(bundle / "project-data/a", project / "a")
    push(way, bundle)
    assert (project / "a").read_text() == "a"


# Odd shells and systems on the workspace

# As sshd runs a command directly in the user's bash: home is the project, and bash reads .bashrc.
AS_AT_HOME = (
    'cd {0} && export HOME={0} said="$SSH_ORIGINAL_COMMAND" && unset SSH_ORIGINAL_COMMAND SHLVL && '
    'exec /bin/bash -c "$said"'
)


@pytest.fixture
def opened(standin):
    """Return a function that opens a tunnel into a session whose sshd runs every command by way of the given one."""

    def go(command):
        path = standin.base / "sshd_config"
        lines = [line for line in path.read_text().splitlines() if not line.startswith("ForceCommand")]
        path.write_text("\n".join([*lines, f"ForceCommand {command}", ""]))
        space = Workspace("http://ws.test", "me", Secret("k"), identity_file=standin.base / "id")
        return tunnel.open_tunnel(space, "me/p", cdswctl.logged_in(space, standin.client, standin.base))

    return go


@pytest.mark.parametrize("line", ["cd src", "cd ~/src", "pushd src >/dev/null", "cd /usr/share"])
@pytest.mark.parametrize("up", [False, True])
def test_a_startup_file_that_leads_elsewhere_is_told_before_anything_is_taken_for_the_project(
    standin, project, bundle, opened, line, up
):
    make(project, "src/in", "top")
    make(bundle / "project-data", "src/in", "top", "kept")
    (project / ".bashrc").write_text(f"{line}\n")
    before = names(project), names(bundle / "project-data")
    with (
        opened(AS_AT_HOME.format(standin.project)) as way,
        pytest.raises(TransferError, match="does not start in the project's folder") as caught,
    ):
        push(way, bundle) if up else pull(way, bundle)
    assert ".bashrc" in caught.value.hint
    assert (names(project), names(bundle / "project-data")) == before


@pytest.mark.parametrize(
    "line", ["case $- in *i*) cd src;; esac", "export CDPATH=/tmp", "umask 077", "set -u", "exec 2>/dev/null"]
)
def test_a_startup_file_that_leads_nowhere_is_none_of_our_business(standin, project, bundle, opened, line):
    make(project, "src/in", "top")
    (project / ".bashrc").write_text(f"{line}\n")
    with opened(AS_AT_HOME.format(standin.project)) as way:
        assert pull(way, bundle).problems == ()
    assert names(bundle / "project-data") == [".bashrc", "src", "src/in", "top"]


def test_a_startup_file_that_prints_is_named(standin, project, bundle, opened):
    make(project, "top")
    (project / ".bashrc").write_text("echo welcome\n")
    with opened(AS_AT_HOME.format(standin.project)) as way, pytest.raises(TransferError) as caught:
        pull(way, bundle)
    assert ".bashrc" in caught.value.hint


def test_a_find_without_printf_is_named(standin, project, bundle, way):
    make(project, "top")
    standin.program("find", "echo 'find: unrecognized: -printf' >&2; exit 1")
    with pytest.raises(TransferError) as caught:
        pull(way, bundle)
    assert "GNU find" in caught.value.hint


def test_what_the_system_complains_of_at_a_find_that_ended_well_is_no_problem(standin, project, bundle, opened):
    make(project, "top")
    make(bundle / "project-data", "extra")
    command = f'cd {standin.project} && LD_PRELOAD=/nonexistent.so exec /bin/sh -c "$SSH_ORIGINAL_COMMAND"'
    with opened(command) as way:
        result = pull(way, bundle)
    assert (result.problems, result.deleted) == ((), 1)


@pytest.mark.parametrize("big", [False, True])
def test_an_rsync_that_never_connects_ends_in_a_failure_though_other_commands_run(
    standin, project, bundle, way, monkeypatch, big
):
    monkeypatch.setattr(tunnel.Tunnel, "sleep", staticmethod(lambda _: None))
    monkeypatch.setattr("cmlutils.remote.rsync.BIG", 1 if big else 1 << 26)
    make(project, "top")
    standin.program("rsync", 'case "$*" in *--server*) exit 12;; esac\nexec /usr/bin/rsync "$@"')
    with pytest.raises(TunnelError, match="dropped 6 times"):
        pull(way, bundle)


def test_an_answer_without_end_to_whether_all_is_as_it_was_is_no_yes():
    said = []

    def stream(*_, **__):
        while True:
            said.append(1)
            yield b"0123456789"

    kept = KeptListing([], default_rules())
    assert not is_unchanged(SimpleNamespace(stream=stream), kept)
    assert len(said) < 100


def test_the_environment_does_not_change_rsyncs_ways(project, bundle, way, monkeypatch):
    monkeypatch.setenv("RSYNC_ICONV", "utf-8,latin1")
    monkeypatch.setenv("RSYNC_MAX_ALLOC", "1")
    make(project, "é", "plain")
    with open(os.fsencode(project) + b"/\xff", "w"):  # noqa: PTH123
        pass
    assert pull(way, bundle).problems == ()
    assert not difference(project, bundle / "project-data")


@pytest.mark.parametrize("time", [-1_500_000_000, -500_000_000, 0, 1_600_000_000_123_456_789])
def test_a_target_root_keeps_its_time_whenever_it_was(project, bundle, way, time):
    make(bundle / "project-data", "x")
    os.utime(project, ns=(time, time))
    push(way, bundle)
    assert project.stat().st_mtime_ns == time


# Times that a file system can't keep


@pytest.mark.parametrize(
    ("kept", "resolution_ns"),
    [
        (PROBE_MTIME, 1),
        (PROBE_MTIME // 100 * 100, 100),
        (PROBE_MTIME // 1000 * 1000, 1000),
        (1_500_000_001_000_000_000, 10**9),
        (1_500_000_000_000_000_000, 2 * 10**9),
        (1_500_000_002_000_000_000, 2 * 10**9),  # it rounds times
        (1_700_000_000_000_000_000, 1),  # the time was not set at all
    ],
)
def test_how_fine_times_are_is_seen_by_what_is_kept_of_one(kept, resolution_ns):
    assert resolution_of(kept) == resolution_ns


@pytest.fixture
def coarse(request, tmp_path, project, bundle):
    """Put bundle or target on a disk with times in whole seconds. To be used before a tunnel starts shells there."""
    place, image = bundle if request.param == "bundle" else project, tmp_path / "disk.img"
    with image.open("wb") as file:
        file.truncate(40 << 20)
    made = subprocess.run(["mkfs.ext4", "-q", "-F", "-I", "128", image], capture_output=True, check=False)
    mounted = made.returncode or subprocess.run(["mount", "-o", "loop", image, place], check=False).returncode
    if mounted:
        pytest.skip("needs root, mkfs.ext4 and a loop device")
    try:
        (place / "lost+found").rmdir()
        for name in ("state", "project-data") if place == bundle else ():
            (place / name).mkdir()
        yield request.param
    finally:
        subprocess.run(["umount", place], check=True)


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("mkfs.ext4"), reason="needs root and mkfs.ext4")
@pytest.mark.parametrize("coarse", ["bundle", "target"], indirect=True)
@pytest.mark.parametrize("limit", [2000, 1])
def test_where_times_are_whole_seconds_a_copy_is_whole_and_idle_when_run_again(
    project, bundle, coarse, way, monkeypatch, limit
):
    monkeypatch.setattr(remaining, "SHORT", limit)
    monkeypatch.setattr("cmlutils.remote.rsync.BIG", 1 << 20)
    left, right, copy = (project, bundle / "project-data", pull) if coarse == "bundle" else (
        bundle / "project-data", project, push
    )  # fmt: skip
    make(left, "a", "in/b", "c")
    (left / "large").write_bytes(os.urandom(3 << 20))
    assert copy(way, bundle).problems == ()
    assert (right / "large").read_bytes() == (left / "large").read_bytes()
    again = copy(way, bundle)
    assert (again.transferred, again.problems) == (0, ())
    (left / "a").write_text("b")
    os.utime(left / "a", (1_600_000_000, 1_600_000_000))
    (left / "c").unlink()
    again = copy(way, bundle)
    assert (again.transferred, again.deleted, again.problems) == (1, 1, ())
    assert (right / "a").read_text() == "b"
