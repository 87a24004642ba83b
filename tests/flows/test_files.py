# ruff: noqa: PTH101, PTH103, PTH123, PTH208, PTH211
import contextlib
import filecmp
import os
import shlex
import shutil
import signal
import subprocess
import threading
from itertools import pairwise
from pathlib import Path

import pytest
from copying import At, difference, pull, push
from until import until

from cmlutils.entries import Entry
from cmlutils.errors import ConfigError, TransferError, TunnelError
from cmlutils.filelist import FIND_FORMAT
from cmlutils.flows.copying import landing, mover, remaining, source_listing
from cmlutils.flows.copying import pull as pulling
from cmlutils.flows.copying.ignore_files import export_rules
from cmlutils.flows.copying.target_folder import TargetFolder
from cmlutils.localtree import walk
from cmlutils.progress import Silent
from cmlutils.remote import child, process, progress_signal, rsync, tunnel

NAMES = [b"plain", b"new\nline", b"*[x", b"-dash", b"back\\slash", b"\xff\xfe", b"#hash", b" sp ", b"a?*\\b"]


@pytest.fixture(autouse=True)
def far(monkeypatch):
    """Treat every workspace as far away: the more rsyncs run at once, the more can go wrong."""
    monkeypatch.setattr(mover, "NEAR", 0)


@pytest.fixture
def rsyncs(monkeypatch):
    seen = []
    real = process.running

    def running(argv, **more):
        if argv[0] == "rsync":
            seen.append(argv)
        return real(argv, **more)

    monkeypatch.setattr(process, "running", running)
    return seen


def fill(root):
    top = os.fsencode(root)
    for number, name in enumerate(NAMES):
        for folder in (top, top + b"/in/" + name):
            os.makedirs(folder, exist_ok=True)
            with open(folder + b"/" + name + b".f", "wb") as file:
                file.write(name * (number + 1))
            os.chmod(file.name, 0o640 + number % 8)
            os.utime(file.name, ns=(1, 1_600_000_000_123_456_789 + number))
        os.symlink(b"/nowhere/" + name, top + b"/link-" + name)
    os.makedirs(top + b"/empty/deep")
    os.chmod(top + b"/empty", 0o555)
    os.makedirs(top + b"/.cache/x")
    os.utime(top + b"/in", ns=(5, 1_500_000_000_000_000_001))
    os.mkfifo(top + b"/pipe")


@pytest.fixture(params=[2000, 1])
def limit(request, monkeypatch):
    """The highest number of names that rsync gets as a list."""
    monkeypatch.setattr(remaining, "SHORT", request.param)
    return request.param


@pytest.fixture(params=[None, b"/.cache\nleft*\n"])
def pulled(request, limit, rsyncs, way, project, bundle):
    """The result of a first pull, with and without rules, where something is in its way."""
    fill(project)
    if request.param:
        (project / ".exportignore").write_bytes(request.param)
        (project / "left*[\n").mkdir()
        (project / "left*[\n" / "x").touch()
    (bundle / "project-data/extra/deep").mkdir(parents=True)
    (bundle / "project-data/plain.f").mkdir()
    return pull(way, bundle)


def test_pull_is_exact(pulled, project, bundle, rsyncs, limit):
    assert pulled.problems == ()
    assert pulled.skipped == ("'pipe'",)
    assert not difference(project, bundle / "project-data")
    assert (bundle / "project-data").stat().st_mode & 0o777 == 0o700
    # A name that a list can't hold needs its own rsync, and so does a place where a folder was in the way.
    assert len(rsyncs) == (2 if limit > 1 else mover.STREAMS + 1)


def test_pull_is_idle_when_run_again(pulled, way, bundle, rsyncs):
    seen = len(rsyncs)
    again = pull(way, bundle)
    assert (again.transferred, again.deleted, len(rsyncs)) == (0, 0, seen)


def test_pull_follows_what_has_come_and_gone(pulled, way, project, bundle):
    pull(way, bundle)  # it copies nothing, and the next pull must know as much as this one
    (project / "plain.f").unlink()
    (project / "empty/deep/new").touch()
    third = pull(way, bundle)
    assert (third.transferred, third.deleted) == (1, 1)
    assert not difference(project, bundle / "project-data")


def test_fewer_rsyncs_run_at_once_where_the_workspace_is_near(copy, rsyncs, monkeypatch):
    monkeypatch.setattr(remaining, "SHORT", 1)
    monkeypatch.setattr(mover, "NEAR", 60)
    fill(copy.source)
    shutil.rmtree(copy.source / ".cache")
    assert copy().problems == ()
    assert not difference(copy.source, copy.goal)
    assert len(rsyncs) == mover.STREAMS_NEAR


def test_push_is_exact_and_keeps_what_people_made(way, project, bundle, rsyncs, limit):
    data = bundle / "project-data"
    fill(data)
    (data / "folder").mkdir()
    shutil.rmtree(data / ".cache")
    (project / "theirs").write_text("kept")
    shutil.copy2(data / "plain.f", data / "both")
    shutil.copy2(data / "plain.f", project / "both")
    mode = project.stat().st_mode
    result = push(way, bundle)
    assert result.problems == ()
    assert (result.kept_extras, result.deleted) == (1, 0)
    assert [each.path for each in difference(data, project).only_right] == [b"theirs"]
    assert not difference(data, project).changed
    assert project.stat().st_mode == mode
    seen = len(rsyncs)
    assert seen == (2 if limit > 1 else mover.STREAMS)  # a name that a list can't hold needs its own rsync
    again = push(way, bundle)
    assert (again.transferred, len(rsyncs)) == (0, seen)
    for name in ("plain.f", "#hash.f", "both"):
        (data / name).unlink()
    (project / "#hash.f").write_text("changed by a person")
    for name in ("link-plain", "link-#hash"):
        (data / name).unlink()
    (project / "link-#hash").unlink()
    (project / "link-#hash").symlink_to("changed by a person")
    (data / "folder").rmdir()
    (project / "folder").rmdir()
    (project / "folder").write_text("changed by a person")
    (data / "empty").chmod(0o755)
    shutil.rmtree(data / "empty")
    third = push(way, bundle)
    assert third.deleted == 4
    assert not (project / "plain.f").exists()
    assert not (project / "link-plain").is_symlink()
    assert (project / "#hash.f").exists()
    assert (project / "link-#hash").readlink().name == "changed by a person"
    assert (project / "folder").is_file()
    assert (project / "both").exists()
    assert third.kept_extras == 5
    assert not (project / ".cmlutil-tmp").exists()


class Told(Silent):
    """Remembers the reports of file progress that it got."""

    def __init__(self):
        self.seen = []

    def files(self, so_far):
        self.seen.append(so_far)


@pytest.mark.parametrize("asked", [True, False])
def test_progress_is_told_as_it_goes_and_ends_with_all(copy, monkeypatch, asked):
    monkeypatch.setattr(remaining, "SHORT", 1)
    if not asked:
        monkeypatch.setattr(progress_signal, "answers", lambda _: False)
    whole = rsync.tree
    monkeypatch.setattr(rsync, "tree", lambda *words, **more: ["rsync", "--bwlimit=600", *whole(*words, **more)[1:]])
    for number in range(200):
        folder = copy.source / f"folder{number % 8}"
        folder.mkdir(exist_ok=True)
        (folder / f"file{number}").write_bytes(os.urandom(20_000))
    told = Told()
    assert copy(told).problems == ()
    assert told.seen[-1] == (4_000_000, 4_000_000, 200, 200)
    under_way = [each for each in told.seen if 0 < each.bytes_done < 4_000_000]
    assert under_way == sorted(under_way)
    assert len({each.files_done for each in under_way}) > 2


def test_what_importignore_names_does_not_travel(way, project, bundle):
    (bundle / "project-data/.snapshot").mkdir()
    (bundle / "project-data/a").touch()
    (bundle / ".importignore").write_text(".snapshot/\n")
    result = push(way, bundle)
    assert (result.problems, result.kept_extras, os.listdir(project)) == ((), 0, ["a"])


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
@pytest.mark.parametrize("there", [False, True])
def test_killed_rsync_goes_on_in_the_middle(copy, bundle, rsyncs, monkeypatch, how, there):
    monkeypatch.setattr(rsync, "BIG", 1 << 20)
    monkeypatch.setattr(tunnel.Tunnel, "sleep", staticmethod(lambda _: None))
    content, half = os.urandom(40 << 20), copy.aside / "big"
    (copy.source / "big").write_bytes(content)
    (copy.source / "small").write_bytes(b"x")
    if there:
        (copy.goal / "big").write_bytes(os.urandom(20 << 20) + content[: 20 << 20])
    real, killed, goes_on = process.running, [], []

    def kill_half_way(pid):
        until(lambda: half.exists() and half.stat().st_size >= 2 << 20, "2 MiB of the large file")
        os.killpg(pid, how)

    @contextlib.contextmanager
    def running(argv, **more):
        names = [word.partition("=")[2] for word in argv if word.startswith("--files-from")]
        large = any("big" in Path(name).read_text() for name in names)
        kill = large and not killed
        if large and killed:
            goes_on.append(half.stat().st_size)
        with real([argv[0], "--bwlimit=20m", *argv[1:]] if kill else argv, **more) as child:
            if kill:
                killed.append(child)
                threading.Thread(target=kill_half_way, args=(child.pid,), daemon=True).start()
            yield child

    monkeypatch.setattr(process, "running", running)
    assert copy().problems == ()
    assert not difference(copy.source, copy.goal)
    assert len(rsyncs) <= 4  # the small file may have been under way, too
    (begun,) = goes_on
    assert begun > 1 << 20
    assert copy.side == "target" or os.listdir(bundle / "state/tmp") == []
    assert not half.exists()


def test_each_large_file_lands_when_it_has_come_and_in_a_new_folder_at_the_end(copy, monkeypatch):
    monkeypatch.setattr(rsync, "BIG", 10)
    monkeypatch.setattr(mover, "STREAMS", 1)
    (copy.source / "in").mkdir()
    for number, name in enumerate(["0", "1", "2", "in/3"]):
        (copy.source / name).write_text("new, and large" * (9 - number))
        if name != "in/3":
            (copy.goal / name).write_text("of old, and large")
    seen, streaming = [], mover.streaming

    def looking(job):
        seen.append((job.lands and job.lands.path, [entry.path for entry in walk(copy.aside) if entry.kind == "f"]))
        return streaming(job)

    monkeypatch.setattr(mover, "streaming", looking)
    assert copy().problems == ()
    assert seen == [(None, []), (b"0", []), (b"1", []), (b"2", []), (b"in/3", [])]
    assert not difference(copy.source, copy.goal)


def test_an_rsync_that_has_ended_is_struck_out_at_once_as_its_number_may_be_used_again(
    way, project, bundle, monkeypatch
):
    monkeypatch.setattr(rsync, "BIG", 10)
    for name in ("small", "a large one"):
        (project / name).write_text(name)
    ended, judged = [], []
    end_group, judge = child.Child.end_group, mover.Mover._judge

    def ending(one):
        if one.program == "rsync" and not one._ended:
            ended.append(one)
        return end_group(one)

    def judging(*words):
        judged.append(len(ended))
        return judge(*words)

    monkeypatch.setattr(child.Child, "end_group", ending)
    monkeypatch.setattr(mover.Mover, "_judge", judging)
    assert pull(way, bundle).problems == ()
    assert [after - before for before, after in pairwise(judged)] == [1]


def lost(place):
    place.joinpath("in/lost").unlink()


def touched(place):
    os.utime(place / "in/touched", ns=(1, 1))


def swapped(place):
    (place / "in").rename(place.parent / "elsewhere")
    (place / "in").symlink_to(place.parent / "elsewhere")


def emptied(place):
    shutil.rmtree(place / "in")


@pytest.mark.parametrize("spoil", [lost, touched, swapped, emptied])
def test_what_rsync_says_that_it_did_is_looked_at(copy, monkeypatch, spoil):
    source, goal = copy.source, copy.goal
    (source / "in").mkdir()
    for name in ("lost", "touched", "other"):
        (source / "in" / name).write_text("at first")
    assert copy().problems == ()
    for name in ("lost", "touched"):
        (source / "in" / name).write_text("then")
    run, runs = mover.Mover._run, []

    def spoiled(self, jobs, names):
        run(self, jobs, names)
        runs.append(1)
        if len(runs) == 1:
            spoil(goal)

    monkeypatch.setattr(mover.Mover, "_run", spoiled)
    assert copy().problems == ()
    assert len(runs) > 1
    assert (goal / "in/lost").read_text() == (goal / "in/touched").read_text() == "then"
    assert not difference(source, goal)


def test_only_what_has_holes_is_searched_for_them(copy, rsyncs, monkeypatch):
    monkeypatch.setattr(rsync, "BIG", 1 << 20)
    monkeypatch.setattr(mover, "STREAMS", 2)
    (copy.source / "dense\n").write_bytes(os.urandom(3 << 20))
    with (copy.source / "./-holes").open("wb") as file:
        file.truncate(6 << 20)
        file.write(b"begin")
    assert copy().problems == ()
    assert not difference(copy.source, copy.goal)
    assert (copy.goal / "-holes").stat().st_blocks < 4096
    assert sorted("--sparse" in argv for argv in rsyncs) == [False, True]


def test_what_is_new_grows_aside_and_a_cut_shows_no_half_file(copy, monkeypatch):
    monkeypatch.setattr(remaining, "SHORT", 1)
    source, goal, growing, seen = copy.source, copy.goal, copy.aside, []
    for number in range(8):
        (source / f"d{number}").mkdir()
        (source / f"d{number}/f").write_bytes(os.urandom(2_000_000))
    fill(source / "d1")
    (source / "d7").chmod(0o555)
    run = mover.Mover._run

    def cut(self, jobs, names):
        if not seen:
            run(self, jobs[:2], names)  # these arrived; of the others, one was half copied
            (growing / "d6").mkdir(exist_ok=True)
            (growing / "d6/f").write_bytes((source / "d6/f").read_bytes()[:1_000_000])
            seen.append(([name for name in os.listdir(goal) if name != ".cmlutil-tmp"], len(os.listdir(growing))))
            raise TunnelError("cut")
        run(self, jobs, names)

    monkeypatch.setattr(mover.Mover, "_run", cut)
    monkeypatch.setattr(tunnel.Tunnel, "sleep", staticmethod(lambda _: None))
    assert copy().problems == ()
    [(visible, hidden)] = seen
    assert visible == []
    assert hidden > 1
    found = difference(source, goal)
    assert not found, found
    assert not growing.exists()


def test_a_planted_name_of_another_file_is_not_written_through(way, project, bundle, tmp_path, monkeypatch):
    monkeypatch.setattr(remaining, "SHORT", 1)
    for name in ("d/one", "d/two"):
        (project / name).parent.mkdir(exist_ok=True)
        (project / name).write_text("from the source")
    (tmp_path / "mine").write_text("mine")
    (bundle / "state/arriving/d").mkdir(parents=True)
    os.link(tmp_path / "mine", bundle / "state/arriving/d/one")
    assert pull(way, bundle).problems == ()
    assert (tmp_path / "mine").read_text() == "mine"
    assert (bundle / "project-data/d/one").read_text() == "from the source"


def test_what_an_interrupted_copy_left_aside_and_the_sender_lost_is_not_moved_in(copy, monkeypatch):
    monkeypatch.setattr(remaining, "SHORT", 1)
    moved, grow = [], mover.Mover._copy_staged
    for name in ("d/one", "d/two"):
        (copy.source / name).parent.mkdir(exist_ok=True)
        (copy.source / name).write_text("of the sender")
    (copy.aside / "d/gone").mkdir(parents=True)
    (copy.aside / "d/gone/old").write_text("of an earlier time")

    def growing_aside(*words):
        moved.append(sorted(os.listdir(copy.aside / "d")))
        grow(*words)

    monkeypatch.setattr(mover.Mover, "_copy_staged", growing_aside)
    result = copy()
    assert (result.problems, result.kept_extras, result.deleted, moved) == ((), 0, 0, [[]])
    assert not difference(copy.source, copy.goal)


def test_what_the_rsync_of_a_killed_run_still_removes_is_no_trouble(way, project, bundle, monkeypatch):
    (project / "f").write_text("f")
    (bundle / "project-data/.f.Ab12Cd").write_text("half")
    delete = pulling.delete_extras

    def late(data, differences, unread):
        for entry in differences.only_right:
            (data / os.fsdecode(entry.path)).unlink()
        return delete(data, differences, unread)

    monkeypatch.setattr(pulling, "delete_extras", late)
    assert pull(way, bundle).problems == ()
    assert not difference(project, bundle / "project-data")


def test_what_vanishes_from_aside_at_the_begin_is_no_trouble(bundle, monkeypatch):
    ghost = Entry(b".f.Ab12Cd", "f", 1, 1, 0o600)
    monkeypatch.setattr(landing, "walk", lambda folder, **_: [*walk(folder), ghost])
    assert landing.open_staging(bundle / "state/arriving").is_dir()


def test_what_will_not_fit_is_refused_before_the_first_byte(way, project, bundle, monkeypatch):
    (project / "x").write_text("1")
    monkeypatch.setattr("cmlutils.flows.copying.room.free_space", lambda _: (5, 100))
    with pytest.raises(TransferError, match=r"has 5 B free, and 4\.0 KiB are to come; 4\.0 MiB should stay"):
        pull(way, bundle)
    assert os.listdir(bundle / "project-data") == []


@pytest.mark.parametrize("linked", [False, True], ids=["", "with another hard link"])
def test_what_will_be_deleted_gives_back_its_room(way, project, bundle, monkeypatch, linked):
    old, new = bundle / "project-data/old", os.urandom(8 << 20)
    old.write_bytes(new[:-1])
    (project / "new").write_bytes(new)
    if linked:
        (bundle / "link").hardlink_to(old)
    monkeypatch.setattr("cmlutils.flows.copying.room.free_space", lambda _: (5 << 20, 0))
    refused = pytest.raises(TransferError, match=r"5\.0 MiB free, and 8\.0 MiB are to come")
    with refused if linked else contextlib.nullcontext():
        pull(way, bundle)
    assert os.listdir(bundle / "project-data") == ["old" if linked else "new"]


def test_a_session_without_rsync_is_told_so(way, project, monkeypatch, bundle):
    (project / "x").touch()
    real = way.run
    monkeypatch.setattr(way, "run", lambda script, *a, **k: real(script.replace("rsync", "rsink"), *a, **k))
    with pytest.raises(TransferError, match="no rsync"):
        pull(way, bundle)


@pytest.mark.skipif(os.getuid() != 0, reason="needs a mount, and attributes that root alone may set")
@pytest.mark.parametrize(
    ("close", "open_again", "why"),
    [
        ("mount -t tmpfs -o ro x", "umount", "Read-only file system"),
        ("chattr +i", "chattr -i", "Operation not permitted"),
    ],
)
def test_a_place_where_nobody_may_write_is_named_with_what_to_do(way, project, bundle, close, open_again, why):
    shut = project / "shut"
    shut.mkdir()
    if subprocess.run([*close.split(), shut], check=False).returncode:
        pytest.skip(f"no {close} here")
    try:
        (bundle / "project-data/shut").mkdir()
        (bundle / "project-data/shut/f").touch()
        (bundle / "project-data/g").touch()
        result = push(way, bundle)
    finally:
        subprocess.run([*open_again.split(), shut], check=True)
    assert any("shut/f" in each and why in each and ".importignore" in each for each in result.problems)
    assert (project / "g").exists()


not_root = pytest.mark.skipif(os.getuid() == 0, reason="root may read anything")


def test_modes_times_and_names_at_their_limits_arrive(copy):
    source = copy.source
    for number, mode in enumerate([0o555, 0o700, 0o2755, 0o1777, 0o511]):
        folder = source / f"folder{number}"
        folder.mkdir()
        (folder / "in").mkdir(mode=0o500)
        (folder / "f").write_text("x")
        os.chmod(folder, mode)
    for number, (mode, mtime) in enumerate([(0o4755, -1_500_000_001), (0o444, -1), (0o400, 10**18 + 1), (0o2644, 7)]):
        (source / f"file{number}").write_text("y" * number)
        os.chmod(source / f"file{number}", mode)
        os.utime(source / f"file{number}", ns=(mtime, mtime))
    (source / ("n" * 255)).mkdir()
    (source / ("n" * 255) / (b"\xff" * 255).decode("utf-8", "surrogateescape")).write_text("long")
    deep = source.joinpath(*["deep" * 20] * 20)
    deep.mkdir(parents=True)
    (deep / "end").symlink_to("/" + "l" * 2000)
    assert copy().problems == ()
    assert not difference(source, copy.goal)
    assert (copy().transferred, copy().problems) == (0, ())
    new = source / "folder0/new"
    for change in (lambda: new.write_text("z"), new.unlink):
        os.chmod(source / "folder0", 0o755)
        change()
        os.chmod(source / "folder0", 0o555)
        assert copy().problems == ()
        assert not difference(source, copy.goal)


def test_an_empty_project_is_a_project(copy):
    assert copy().problems == ()
    assert os.listdir(copy.source) == os.listdir(copy.goal) == []


def test_what_is_of_another_kind_now_is_replaced(copy):
    def make(turn):
        for name in ("a", "b", "c"):
            kind = "fdl"[("abc".index(name) + turn) % 3]
            place = copy.source / name
            if kind == "f":
                place.write_text(name * turn)
            elif kind == "d":
                (place / "sub").mkdir(parents=True)
                (place / "sub/file").write_text("in")
            else:
                place.symlink_to("sub/file")

    for turn in range(4):
        make(turn)
        assert copy().problems == ()
        assert not difference(copy.source, copy.goal)
        for each in copy.source.iterdir():
            if each.is_dir() and not each.is_symlink():
                shutil.rmtree(each)
            else:
                each.unlink()


def test_nothing_is_written_or_deleted_through_a_link_on_the_target(way, project, bundle, tmp_path):
    outside, data = tmp_path / "outside", bundle / "project-data"
    outside.mkdir()
    for name in ("data", "more"):
        (data / name).mkdir()
        (data / name / "x").write_text("new")
    (project / "data").symlink_to(outside)
    assert push(way, bundle).problems == ()
    assert not difference(data, project)
    assert os.listdir(outside) == []
    shutil.copytree(data / "more", outside, dirs_exist_ok=True)  # exactly as pushed, including times
    shutil.rmtree(project / "more")
    (project / "more").symlink_to(outside)
    shutil.rmtree(data / "more")
    assert push(way, bundle).deleted == 0
    assert os.listdir(outside) == ["x"]
    assert (project / "more").is_symlink()


def test_our_folder_on_the_target_goes_whatever_was_left_in_it_and_whatever_is_to_copy(way, project, bundle):
    (bundle / "project-data/x").write_text("x")
    half = project / ".cmlutil-tmp/.y.Ab12Cd"  # as an rsync leaves it that was cut
    for _ in range(2):  # the second time there is nothing to copy
        (project / ".cmlutil-tmp/new/in").mkdir(parents=True)
        for name in ("new/in/half", ".x.Ab12Cd", "time"):
            (project / ".cmlutil-tmp" / name).write_text("h")
        (project / ".cmlutil-tmp/new/in").chmod(0o500)
        assert push(way, bundle, At("checking", lambda _: half.write_text("h"))).problems == ()
        assert os.listdir(project) == ["x"]


@pytest.mark.parametrize("kind", ["link", "file"])
def test_what_is_in_the_place_of_our_folder_on_the_target_stays(way, project, bundle, tmp_path, kind):
    (tmp_path / "other/new").mkdir(parents=True)
    for name in (".x.Ab12Cd", "time"):
        (tmp_path / "other" / name).write_text("mine")
    place = project / ".cmlutil-tmp"
    place.symlink_to(tmp_path / "other") if kind == "link" else place.write_text("mine")
    (bundle / "project-data/x").write_text("x")
    with pytest.raises(TransferError, match="in the way"):
        push(way, bundle)
    (bundle / "project-data/x").unlink()  # now there is nothing to copy
    assert push(way, bundle).problems == ()
    folder = TargetFolder(way, ".cmlutil-tmp")  # as if that had come in its place meanwhile
    folder.list_and_remove([b"x"])
    folder.leave()
    assert sorted(os.listdir(tmp_path / "other")) == [".x.Ab12Cd", "new", "time"]
    assert place.is_symlink() if kind == "link" else place.read_text() == "mine"


@pytest.mark.parametrize("refused", [False, True])
def test_our_folder_on_the_target_goes_also_if_the_connection_breaks_just_then(
    way, standin, project, bundle, monkeypatch, caplog, refused
):
    (bundle / "project-data/x").write_text("x")
    push(way, bundle)
    (project / ".cmlutil-tmp/new/left").mkdir(parents=True)
    real, left = TargetFolder.remove, [1]

    def remove(folder):
        if left and left.pop():
            os.killpg(way._endpoint.child.pid, signal.SIGKILL)
            way.close()
            if refused:
                (standin.base / "id.pub").write_text("")
        real(folder)

    monkeypatch.setattr(TargetFolder, "remove", remove)
    monkeypatch.setattr(tunnel.Tunnel, "sleep", staticmethod(lambda _: None))
    assert push(way, bundle).problems == ()
    assert sorted(os.listdir(project)) == [".cmlutil-tmp", "x"][not refused :]
    assert ("stays on the target until the next import" in caplog.text) == refused


def test_an_interruption_is_told_as_one_though_the_connection_is_gone_as_well(way, bundle):
    (bundle / "project-data/x").write_text("x")

    def interrupted(_):
        os.killpg(way._endpoint.child.pid, signal.SIGKILL)
        way.close()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        push(way, bundle, At("copying", interrupted))


def test_our_folder_on_the_target_goes_with_the_look_at_what_arrived(way, project, bundle, monkeypatch):
    (bundle / "project-data/x").write_text("x")
    monkeypatch.setattr(TargetFolder, "remove", None)
    assert push(way, bundle).problems == ()
    assert os.listdir(project) == ["x"]


def test_a_folder_named_like_ours_travels(way, project, bundle, tmp_path):
    (project / ".cmlutil-tmp/new").mkdir(parents=True)
    (project / ".cmlutil-tmp/new/file").write_text("mine")
    assert pull(way, bundle).problems == ()
    assert not difference(project, bundle / "project-data")
    shutil.rmtree(project / ".cmlutil-tmp")
    assert push(way, bundle).problems == ()
    assert not difference(bundle / "project-data", project)
    assert os.listdir(project) == [".cmlutil-tmp"]


def test_the_root_keeps_its_mode_and_time(way, project, bundle):
    (bundle / "project-data/x").write_text("x")
    os.chmod(project, 0o751)
    os.utime(project, ns=(1, 1_500_000_000_123_456_789))
    push(way, bundle)
    status = project.stat()
    assert (status.st_mode & 0o7777, status.st_mtime_ns) == (0o751, 1_500_000_000_123_456_789)
    assert (bundle / "project-data").stat().st_mode & 0o7777 == 0o700


def test_what_changes_or_goes_under_way_is_looked_at_again(way, project, bundle, limit):
    for name in ("grows", "goes", "same size", "stays"):
        (project / name).write_text("x")

    def change(turn):
        if turn == 1:
            (project / "grows").write_text("xx")
            (project / "goes").unlink()
            (project / "same size").write_text("y")
            (project / "new").write_text("n")

    for step in ("copying", "checking"):
        result = pull(way, bundle, progress=At(step, change))
        assert result.problems == ()
        assert not difference(project, bundle / "project-data")
        (project / "goes").write_text("again")


def test_after_a_brief_copy_only_what_was_copied_is_looked_at_again(way, project, bundle, monkeypatch):
    listings = []
    monkeypatch.setattr(pulling, "is_unchanged", lambda *_: listings.append("whole") or True)
    for name in ("in/copied", "in/other"):
        (project / "in").mkdir(exist_ok=True)
        (project / name).write_text("x")
    monkeypatch.setattr(pulling, "BRIEF", 1e9)
    result = pull(way, bundle, progress=At("checking", lambda turn: turn == 1 and (project / "new").write_text("n")))
    assert (result.problems, listings) == ((), [])
    assert sorted(os.listdir(bundle / "project-data")) == ["in"]
    for spoil in ((project / "in/copied").unlink, lambda: (project / "in/copied").write_text("z")):
        (project / "in/copied").write_text("yy")
        pull(way, bundle, progress=At("checking", lambda turn, spoil=spoil: turn == 1 and spoil()))
        assert not difference(project, bundle / "project-data")
    assert listings == []
    monkeypatch.setattr(pulling, "BRIEF", 0)
    (project / "in/other").write_text("yy")
    pull(way, bundle)
    assert listings == ["whole"]


def test_a_file_that_changes_all_the_time_is_a_problem_by_name(way, project, bundle):
    (project / "log").write_text("x")
    (project / "other").write_text("y")
    result = pull(way, bundle, progress=At("checking", lambda turn: (project / "log").write_text("x" * turn)))
    assert [each.partition(":")[0] for each in result.problems] == ["'log'"]
    assert "changed on the source" in result.problems[0]
    assert (bundle / "project-data/other").read_text() == "y"


def test_files_that_appear_all_the_time_are_not_just_missing(way, project, bundle, monkeypatch):
    monkeypatch.setattr(pulling, "BRIEF", 0)  # the whole source is looked at after each copy
    (project / "f").write_text("f")
    result = pull(way, bundle, progress=At("checking", lambda turn: (project / f"new{turn}").write_text("n")))
    [problem] = result.problems
    assert problem.startswith("'new")
    assert "new or changed on the source" in problem
    assert pull(way, bundle).problems == ()
    assert not difference(project, bundle / "project-data")


def test_what_an_exportignore_leaves_out_later_leaves_the_bundle(way, project, bundle):
    for name in ("in", "out"):
        (project / name).mkdir()
        (project / name / "f").write_text(name)
    pull(way, bundle)
    (project / ".exportignore").write_text("/out/\n")
    assert pull(way, bundle).deleted == 2
    assert sorted(os.listdir(bundle / "project-data")) == [".exportignore", "in"]


def test_an_exportignore_behind_a_link_counts_and_one_that_leads_nowhere_fails(way, project, bundle):
    (project / "f").write_text("f")
    (project / ".exportignore").symlink_to("rules")
    with pytest.raises(TransferError, match="link that leads nowhere"):
        pull(way, bundle)
    (project / "rules").write_text("f\n")
    pull(way, bundle)
    assert sorted(os.listdir(bundle / "project-data")) == [".exportignore", "rules"]


@pytest.mark.parametrize(("shell", "why"), [("exit 7", "code 7"), ("exit 0", "code 0"), ("PATH=", "not found|No such")])
def test_a_login_shell_that_runs_nothing_is_told_as_that(way, bundle, monkeypatch, shell, why):
    real = way.run
    monkeypatch.setattr(way, "run", lambda script, *a, **k: real(f"{shell}\nsh -c {shlex.quote(script)}", *a, **k))
    with pytest.raises(TransferError, match=f"shell.*{why}"):
        pull(way, bundle)


def test_without_an_exportignore_two_folders_at_the_root_stay_and_the_log_says_so(way, project, bundle, caplog):
    caplog.set_level("INFO")
    for folder in (".cache", ".local", "sub/.cache"):
        (project / folder).mkdir(parents=True)
    assert pull(way, bundle).problems == ()
    assert os.listdir(bundle / "project-data") == ["sub"]
    assert os.listdir(bundle / "project-data/sub") == [".cache"]
    assert "There is no .exportignore: /.cache/ and /.local/ stay." in caplog.messages
    assert sorted(os.listdir(project)) == [".cache", ".local", "sub"]  # the target gets none


def test_an_exportignore_that_is_a_folder_has_no_rules(way, project, bundle):
    (project / ".exportignore/.cache").mkdir(parents=True)
    (project / ".cache").mkdir()
    assert pull(way, bundle).problems == ()
    assert os.listdir(bundle / "project-data") == [".exportignore"]
    assert os.listdir(bundle / "project-data/.exportignore") == [".cache"]


@pytest.mark.parametrize("brief", [0, 1e9])
@pytest.mark.parametrize("before", [None, "*.log\n", ".*\n"])
def test_an_exportignore_that_changes_during_the_copy_decides_as_it_is_then(
    way, project, bundle, monkeypatch, caplog, brief, before
):
    monkeypatch.setattr(pulling, "BRIEF", brief)
    for name in ("a.log", "secret", "plain"):
        (project / name).write_text("x")
    if before:
        (project / ".exportignore").write_text(before)
    change = At("checking", lambda turn: turn == 1 and (project / ".exportignore").write_text("/secret\n"))
    result = pull(way, bundle, progress=change)
    assert result.problems == ()
    assert sorted(os.listdir(bundle / "project-data")) == [".exportignore", "a.log", "plain"]
    assert ".exportignore changed during the copy; it decides as it is now." in caplog.messages


@pytest.mark.parametrize("before", [None, "*.log\n", "/secre?\n"])
def test_an_exportignore_that_changes_just_after_it_was_read_decides_as_it_is_then(way, project, bundle, before):
    for name in ("a.log", "secret", "plain"):
        (project / name).write_text("x")
    if before:
        (project / ".exportignore").write_text(before)
    change = At("listing", lambda _: (project / ".exportignore").write_text("/secret\n"))
    assert pull(way, bundle, progress=change).problems == ()
    assert sorted(os.listdir(bundle / "project-data")) == [".exportignore", "a.log", "plain"]
    (project / ".exportignore").unlink()
    assert pull(way, bundle, progress=At("listing", lambda _: (project / ".exportignore").mkdir())).problems == ()
    assert sorted(os.listdir(bundle / "project-data")) == [".exportignore", "a.log", "plain", "secret"]


@pytest.mark.parametrize("time", [-1_500_000_000, -1, 0, 1_600_000_000_123_456_789])
def test_an_exportignore_of_any_time_is_known_again(standin, way, project, bundle, time):
    standin.program("stat", "echo 8 1600000000.123456700")  # as uutils' stat rounds it: only find may be asked
    (project / ".exportignore").write_text("/secret\n")
    os.utime(project / ".exportignore", ns=(1, time))
    assert export_rules(way).version == (8, time)
    assert pull(way, bundle).problems == ()


def test_an_exportignore_that_changes_each_time_it_was_read_ends_the_run(way, project, bundle, monkeypatch):
    real = source_listing.remote_listing

    def changed(*words, **more):
        with (project / ".exportignore").open("a") as file:
            file.write("/secret\n")
        return real(*words, **more)

    monkeypatch.setattr(source_listing, "remote_listing", changed)
    with pytest.raises(TransferError, match="changed each time"):
        pull(way, bundle)
    assert os.listdir(bundle / "project-data") == []


def test_what_was_renamed_while_it_was_listed_is_not_taken_for_gone(way, project, bundle, monkeypatch):
    real, left = tunnel.Tunnel.stream, [1]
    half = f"find . -maxdepth 1 -printf {shlex.quote(FIND_FORMAT)}; mv before after; LC_ALL=C find ./before; "

    def stream(self, script, **more):
        yield from real(self, f"{half} printf 'END\\000'; exit 1" if left and left.pop() else script, **more)

    (project / "before").mkdir()
    (project / "before/x").write_text("x")
    pull(way, bundle)
    monkeypatch.setattr(tunnel.Tunnel, "stream", stream)
    assert pull(way, bundle).problems == ()
    assert not difference(project, bundle / "project-data")
    assert os.listdir(bundle / "project-data/after") == ["x"]


def test_an_exportignore_that_can_not_be_used_any_more_is_no_end_that_touched_nothing(way, project, bundle):
    (project / "plain").write_text("x")
    change = At("checking", lambda _: (project / ".exportignore").write_bytes(b"#" * 2_000_000))
    with pytest.raises(TransferError, match="more than 1 MiB"):
        pull(way, bundle, progress=change)


def test_an_exportignore_of_ten_megabytes_is_refused(way, project, bundle):
    (project / ".exportignore").write_bytes(b"#" * 10_000_000)
    with pytest.raises(ConfigError, match="more than 1 MiB"):
        pull(way, bundle)


@not_root
def test_an_unreadable_exportignore_fails(way, project, bundle):
    (project / ".exportignore").write_text("x")
    (project / ".exportignore").chmod(0)
    with pytest.raises(TransferError, match=r"can't be read.*Permission denied"):
        pull(way, bundle)


@not_root
def test_what_may_not_be_read_is_named_and_the_rest_arrives(way, project, bundle, limit):
    (project / "secret").write_text("s")
    (project / "secret").chmod(0)
    (project / "plain").write_text("p")
    for name in ("closed", "ignored"):
        (project / name / "sub").mkdir(parents=True)
        (project / name).chmod(0)
    (project / ".exportignore").write_text("/ignored*/\n")
    for _ in range(2):
        result = pull(way, bundle)
        assert sorted(each.partition(":")[0] for each in result.problems) == ["'closed'", "'secret'"]
        assert all("Permission denied" in each for each in result.problems)
        assert (bundle / "project-data/plain").read_text() == "p"
        assert (bundle / "project-data/closed").stat().st_mode & 0o777 == 0
    for each in (project / "closed", project / "ignored", bundle / "project-data/closed"):
        each.chmod(0o700)


@not_root
def test_what_may_not_be_written_on_the_target_is_named_and_the_rest_arrives(way, project, bundle):
    data = bundle / "project-data"
    (data / "shut").mkdir(mode=0o700)
    (data / "shut").chmod(0)
    (data / "open").write_text("o")
    (project / "theirs").mkdir()
    (project / "theirs").chmod(0)
    result = push(way, bundle)
    assert [each.partition(":")[0] for each in result.problems] == ["'shut'"]
    assert (project / "open").read_text() == "o"
    for each in (data / "shut", project / "shut", project / "theirs"):
        each.chmod(0o700)


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 12 MB, and a function that makes it larger."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=12m", "x", disk]
    if os.getuid() != 0 or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("no mounts here")
    yield disk, lambda: subprocess.run(["mount", "-o", "remount,size=80m", disk], check=True)
    subprocess.run(["umount", disk], check=True)


def test_a_disk_that_is_full_half_way_is_named_and_the_next_pull_goes_on(way, project, small_disk, limit):
    disk, grow = small_disk
    (disk / "state").mkdir()
    for number in range(6):
        (project / f"f{number}").write_bytes(os.urandom(1 << 20))
    filled = At("copying", lambda _: (disk / "others").write_bytes(b"x" * (8 << 20)))
    with pytest.raises(TransferError, match=r"No space left: \d+ bytes and \d+ inodes are free"):
        pull(way, disk, progress=filled)
    for path in (disk / "project-data").glob("f*"):
        assert filecmp.cmp(path, project / path.name, shallow=False)
    grow()
    assert pull(way, disk).problems == ()
    assert not difference(project, disk / "project-data")


@pytest.fixture
def small_target(small_disk, project):
    """Put the project on a small disk, before a tunnel starts shells there; return a function that enlarges it."""
    disk, grow = small_disk
    subprocess.run(["mount", "--bind", disk, project], check=True)
    yield grow
    subprocess.run(["umount", project], check=True)


def test_a_target_without_room_is_named_and_the_next_push_goes_on(project, bundle, small_target, way):
    for number in range(6):
        (bundle / f"project-data/f{number}").write_bytes(os.urandom(3 << 20))
    with pytest.raises(TransferError, match=r"No space left: \d+ bytes and \d+ inodes are free"):
        push(way, bundle)
    small_target()
    assert push(way, bundle).problems == ()
    assert not difference(bundle / "project-data", project)
    assert len(os.listdir(project)) == 6


@pytest.mark.parametrize(
    ("said", "why"), [("No space left on device", "No space left"), ("Disk quota exceeded", "A disk quota is used up")]
)
def test_a_smaller_disk_within_the_target_is_named_by_what_did_not_fit(
    project, bundle, small_disk, way, monkeypatch, caplog, said, why
):
    for folder in (project / "in", bundle / "project-data/in"):
        folder.mkdir()
    (bundle / "project-data/in/large").write_bytes(os.urandom(13 << 20))
    judge = mover.Mover._judge

    def judging(self, code, err):
        return judge(self, code, err.replace(b"No space left on device", said.encode()))

    monkeypatch.setattr(mover.Mover, "_judge", judging)
    subprocess.run(["mount", "--bind", small_disk[0], project / "in"], check=True)
    try:
        with pytest.raises(TransferError, match=rf"{why}: \d+ bytes"):
            push(way, bundle)
    finally:
        subprocess.run(["umount", project / "in"], check=True)
    assert "in/large" in caplog.text
    assert said in caplog.text


def test_a_target_without_inodes_is_told_so(project, bundle, small_target, way, tmp_path):
    subprocess.run(["mount", "-o", "remount,nr_inodes=8", tmp_path / "disk"], check=True)
    for number in range(9):
        (bundle / f"project-data/f{number}").touch()
    with pytest.raises(TransferError, match=r"No space left: \d+ bytes and [0-8] inodes are free"):
        push(way, bundle)


def test_holes_need_no_room(way, project, bundle, monkeypatch):
    with (project / "sparse").open("wb") as file:
        file.truncate(100 << 20)
        file.write(b"begin")
    monkeypatch.setattr("cmlutils.flows.copying.room.free_space", lambda _: (8 << 20, 100))
    assert pull(way, bundle).problems == ()
    assert not difference(project, bundle / "project-data")
    assert (bundle / "project-data/sparse").stat().st_blocks < 4096
