import errno
import importlib
import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from until import gone, until

from cmlutils import interrupts
from cmlutils.cli.signals import signals
from cmlutils.errors import CommandError, Interrupted
from cmlutils.remote import pipes, process, watchdog
from cmlutils.remote.child import start


def test_a_program_is_run_to_its_end_or_its_deadline_and_a_failure_says_why():
    assert process.run(["printf", r"a\0"], timeout=5) == (0, b"a\0", b"")
    assert process.run(["sh", "-c", "exit 3"], timeout=5, check=False).code == 3
    with pytest.raises(CommandError, match="exit code 3: why"):
        process.run(["sh", "-c", "echo why >&2; exit 3"], timeout=5)
    with pytest.raises(CommandError, match=r"did not end within 0\.2 s"):
        process.run(["sleep", "9"], timeout=0.2)


def test_a_program_starts_though_the_folder_that_we_are_in_was_deleted(tmp_path, monkeypatch):
    here = tmp_path / "gone"
    here.mkdir()
    monkeypatch.chdir(here)
    assert process.run(["pwd", "-P"], timeout=5).out == f"{here}\n".encode()
    here.rmdir()
    assert process.run(["rsync", "-r", f"{tmp_path}/", f"{tmp_path}/copy"], timeout=5).code == 0


def fed(argv, data):
    with start(argv, fed=True) as child:
        return process.finish(child, data, 20)


def test_much_goes_in_while_as_much_comes_out():
    data = os.urandom(3 << 20)
    assert fed(["cat"], data).out == data
    assert fed(["true"], data).code == 0  # it reads none of its input
    assert fed(["cat"], b"").out == b""


@pytest.mark.parametrize("end", ["", " >&2"])
def test_endless_output_ends_the_program(monkeypatch, end):
    monkeypatch.setattr(pipes, "MAX_OUTPUT", 1 << 20)
    begin = time.monotonic()
    with pytest.raises(CommandError, match="sh was ended: it wrote more than 1 MiB"):
        process.run(["sh", "-c", f"cat /dev/zero{end}"], timeout=60, check=False)
    assert time.monotonic() - begin < 10


def test_a_program_that_closes_its_pipes_and_stays_is_too_slow():
    with pytest.raises(CommandError, match="did not end within"):
        process.run([sys.executable, "-c", "import os, time; os.close(1); os.close(2); time.sleep(60)"], timeout=1)


@pytest.mark.parametrize("noise", ["yes", "cat /dev/zero", "cat /dev/zero >&2"])
def test_lines_come_to_an_end_in_time_however_much_is_said(noise):
    begin = time.monotonic()
    with process.running(["sh", "-c", noise]) as child:
        longest = max(len(line) for _, line in child.lines(0.5))
        assert time.monotonic() - begin < 5
    assert longest <= process.MAX_LINE + process.MAX_CHUNK
    assert len(child.err) <= process.TAIL


@pytest.mark.skipif(not Path("/proc/sys/fs/pipe-max-size").exists(), reason="Linux can make pipes roomy")
def test_a_listing_goes_on_for_a_while_though_we_are_busy():
    script = "import fcntl, sys, time\nwhile fcntl.fcntl(1, fcntl.F_GETPIPE_SZ) < int(sys.argv[1]): time.sleep(0.01)"
    with process.running([sys.executable, "-c", script, str(process.ROOMY)]) as child:
        assert list(child.chunks()) == []
        assert child.wait(5) == 0


def test_a_client_may_say_something_and_close_its_session_after_a_kill_9_of_ours(tmp_path):
    closed = tmp_path / "closed"
    client = f"trap 'echo out; echo err >&2; sleep 1; : >{closed}; exit' INT; echo up; while :; do sleep 0.05; done"
    script = f"sh -c {shlex.quote(client)}; true"  # the client may be a script that runs the real one
    ours = (
        "import os, signal\nfrom cmlutils.remote import process\n"
        f"with process.running(['sh', '-c', {script!r}], outspoken=True) as child:\n"
        "    assert next(iter(child.lines(20))) == ('out', b'up')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    assert subprocess.run([sys.executable, "-c", ours], check=False).returncode == -signal.SIGKILL
    until(closed.exists, "a session that is closed", 10)


def test_output_that_both_hold_comes_to_its_end_and_no_descriptor_is_left():
    watchdog.ours()
    before = len(list(Path("/dev/fd").iterdir()))
    with process.running(["sh", "-c", "echo one; echo two >&2"], outspoken=True) as child:
        assert sorted(child.lines(20)) == [("err", b"two"), ("out", b"one")]
        assert child.ended
    with pytest.raises(CommandError, match="not installed"), process.running(["nowhere to be found"], outspoken=True):
        pass
    assert len(list(Path("/dev/fd").iterdir())) == before


@pytest.mark.parametrize(
    ("program", "packages"),
    [("rsync", ("rsync", "rsync", "rsync")), ("ssh-keygen", ("openssh-client", "openssh-clients", "openssh"))],
)
def test_a_program_that_is_missing_is_told_with_its_package_on_each_system(monkeypatch, program, packages):
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(CommandError, match=f"{program} is not installed") as caught:
        process.run([program], timeout=5)
    debian, fedora, macos = packages
    how = f"Install it: apt-get install {debian}, dnf install {fedora} or brew install {macos}."
    assert caught.value.hint == how


def test_secrets_are_not_logged(caplog):
    caplog.set_level("DEBUG")
    process.run(["echo", "sekrit"], timeout=5, secret="sekrit")
    assert "echo ***" in caplog.text
    assert "sekrit" not in caplog.text


def test_the_log_shows_words_that_are_not_utf_8(caplog):
    caplog.set_level("DEBUG")
    process.run(["echo", b"\xff", "\udcfe"], timeout=5)
    assert [one for one in caplog.messages if one.startswith("running")] == [r"running echo \xff \xfe"]


def test_lines_come_as_they_are_written_and_the_block_stops_what_still_runs():
    script = "printf 'a\\rb\\nc'; echo e >&2; sleep 60"
    with process.running(["sh", "-c", script]) as child:
        seen = list(child.lines(0.5))
        assert sorted(seen) == [("err", b"e"), ("out", b"a"), ("out", b"b")]
        assert child.err == b"e\n"
        begin = time.monotonic()
    assert time.monotonic() - begin < 2
    assert child.poll() == -signal.SIGINT


def test_a_reader_that_stops_within_what_came_at_once_goes_on_there():
    with process.running(["sh", "-c", "printf 'a\\nb\\nc\\nd'"]) as child:
        assert next(child.lines(5)) == ("out", b"a")
        assert next(child.lines(5)) == ("out", b"b")
        assert list(child.lines(5)) == [("out", b"c"), ("out", b"d")]


def test_stubborn_and_talkative_child_is_killed():
    with process.running(["sh", "-c", "trap '' INT TERM; yes & yes"], grace=0.2) as child:
        until(child._queue.full, "more than anybody reads")
    assert child.poll() == -signal.SIGKILL


def test_a_child_hears_sigint_though_we_run_in_the_background_of_a_script():
    code = (
        "import signal, sys; signal.signal(signal.SIGINT, signal.SIG_IGN); "
        "from cmlutils.cli.signals import signals; from cmlutils.remote import process\n"
        "with signals():\n"
        "    r = process.run(['grep', 'SigIgn', '/proc/self/status'], timeout=5)\n"
        "sys.exit(int(r.out.split()[1], 16) >> signal.SIGINT - 1 & 1)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_kill_9_leaves_no_child():
    code = (
        "import os, signal; from cmlutils.remote import process\n"
        "with process.running(['sleep', '60']) as child:\n"
        "    print(child.pid, flush=True); os.kill(os.getpid(), signal.SIGKILL)"
    )
    out = subprocess.run([sys.executable, "-c", code], check=False, stdout=subprocess.PIPE).stdout
    until(lambda: gone(int(out)), "the child's end", 3)


def test_kill_9_leaves_no_child_that_was_just_started():
    code = (
        "import os, signal; from cmlutils.remote import process, watchdog\n"
        "process.run(['true'], timeout=5)\n"
        "watchdog.Watchdog.enrol = lambda _, pid: (print(pid, flush=True), os.kill(os.getpid(), signal.SIGKILL))\n"
        "process.run(['sleep', '60'], timeout=5)"
    )
    out = subprocess.run([sys.executable, "-c", code], check=False, stdout=subprocess.PIPE).stdout
    until(lambda: gone(int(out)), "the child's end", 15)


# A client that is a script: it notes the signals it gets, and has a child that does not end by itself.
SCRIPT = """
trap 'echo interrupted >> "$1"' INT
sh -c 'trap "" INT TERM; sleep 60' &
echo $! >> "$1"
while :; do wait; done
"""


@pytest.mark.parametrize("stopping", [False, True])
def test_kill_9_interrupts_a_script_once_and_ends_its_children_and_folders(tmp_path, stopping):
    seen, folder = tmp_path / "seen", tmp_path / "a folder"
    folder.mkdir()
    (folder / "key").write_text("sekrit")
    code = (
        "import os, signal, sys, time; from pathlib import Path; from cmlutils.remote import process, watchdog\n"
        f"watchdog.ours().remove_later(Path({str(folder)!r}))\n"
        f"with process.running(['sh', '-c', {SCRIPT!r}, 'sh', {str(seen)!r}]) as child:\n"
        f"    while not Path({str(seen)!r}).exists() or not Path({str(seen)!r}).read_text(): time.sleep(0.02)\n"
        f"    if {stopping}: child._process.signal_group(signal.SIGINT)\n"
        f"    while {stopping} and 'interrupted' not in Path({str(seen)!r}).read_text(): time.sleep(0.02)\n"
        "    print(child.pid, watchdog.ours()._pid, flush=True); os.killpg(0, signal.SIGKILL)"
    )
    ours = subprocess.run([sys.executable, "-c", code], check=False, stdout=subprocess.PIPE, start_new_session=True)
    left = [int(pid) for pid in (*ours.stdout.split(), seen.read_text().split()[0])]
    assert len(left) == 3
    until(lambda: all(map(gone, left)), "the end of the script, of its child and of the watchdog", 15)
    assert seen.read_text().split()[1:] == ["interrupted"]
    assert not folder.exists()


def test_a_run_that_hangs_while_it_cleans_up_is_ended_before_a_batch_would_kill_it(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parents[1] / "batch")
    folder = tmp_path / "a folder"
    folder.mkdir()
    code = (
        "import time; from pathlib import Path; from cmlutils import interrupts\n"
        "from cmlutils.cli.signals import signals; from cmlutils.remote import process, watchdog\n"
        "with signals(), process.running(['sh', '-c', \"trap '' INT; echo; sleep 60 & wait; sleep 60\"]) as child:\n"
        f"    next(child.lines(5)); watchdog.ours().remove_later(Path({str(folder)!r}))\n"
        "    with interrupts.held():\n"
        "        print(child.pid, flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as run:
        child, begin = int(run.stdout.readline()), time.monotonic()
        run.send_signal(signal.SIGINT)
        assert run.wait(20) == 130
        assert time.monotonic() - begin < importlib.import_module("pool").END_SECONDS
    until(lambda: gone(child) and not folder.exists(), "the end of what the run has left to its watchdog", 5)


def test_a_second_signal_while_the_first_one_still_ends_a_child_changes_no_exit_code():
    code = (
        "import sys, time; from cmlutils.cli import main; from cmlutils.remote import process\n"
        "def line(**_):\n"
        "    with process.running(['sh', '-c', \"trap 'sleep 0.5; exit' INT; echo; sleep 60 & wait\"]) as child:\n"
        "        next(child.lines(5)); print(child.pid, flush=True); time.sleep(60)\n"
        "main.cli.main = line; main.main()"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as run:
        child = int(run.stdout.readline())
        for _ in range(2):
            run.send_signal(signal.SIGINT)
            time.sleep(0.1)
        assert (run.wait(20), gone(child)) == (130, True), run.stderr.read().decode()


def test_what_a_signal_kept_from_being_cleaned_up_is_gone_at_the_end(tmp_path):
    folder = tmp_path / "a folder"
    folder.mkdir()
    with pytest.raises(Interrupted), signals():
        child = start(["sleep", "60"])
        watchdog.ours().remove_later(folder)
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(5)
    with child:  # closes its pipes
        assert child.wait(5) == -signal.SIGINT
    until(lambda: not folder.exists(), "the folder's end", 5)  # on a slow machine, the shell outlives the block


def test_a_signal_that_comes_where_python_ignores_what_is_raised_ends_the_run_all_the_same(capfd):
    class Finaliser:
        def __del__(self):
            signal.raise_signal(signal.SIGTERM)
            time.sleep(0)

    begin = time.monotonic()
    with pytest.raises(Interrupted), signals():
        Finaliser()  # it is deleted at once
        until(lambda: False, "the signal", 5)
    assert time.monotonic() - begin < 2
    assert "Traceback" not in capfd.readouterr().err


def test_a_signal_that_comes_while_a_reader_of_output_starts_leaves_none(monkeypatch):
    class Interrupting(threading.Thread):
        def start(self):
            super().start()
            if not interrupts.ending():
                signal.raise_signal(signal.SIGTERM)

    with pytest.raises(Interrupted), signals(), start(["sleep", "60"]) as child:
        try:
            monkeypatch.setattr(process.threading, "Thread", Interrupting)
            with process.beside(child):
                pass
        finally:
            readers = [each for each in threading.enumerate() if "_drain" in each.name]
            child.end_group()
    assert readers == []


def test_nothing_is_started_any_more_when_the_watchdog_ends_all():
    code = (
        "from cmlutils.errors import CommandError\n"
        "from cmlutils.remote import process, watchdog\n"
        "process.run(['true'], timeout=5)\n"
        "watchdog.leave()\n"
        "try:\n"
        "    process.run(['sleep', '50'], timeout=5)\n"
        "except CommandError as error:\n"
        "    print(error)"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True)
    assert said.stdout == "The program sleep was not started: the run is ending.\n"


def test_the_watchdog_ends_what_still_runs_and_nothing_that_got_the_number_of_what_is_gone():
    def sleeper():
        return subprocess.Popen(["sleep", "60"], start_new_session=True)

    dog, other = watchdog.Watchdog(grace=0.2), watchdog.Watchdog()
    theirs, ours = sleeper(), {number: sleeper() for number in (2, 10, 20)}
    try:
        for number in range(1, 21):
            assert dog.enrol(ours.get(number, theirs).pid) == number
        for number in {*range(1, 21)} - {*ours}:
            dog.gone(number)
        dog.told(20)
        for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):  # as whoever ends all of a user's processes does
            os.kill(dog._pid, number)
        dog.leave()
        assert [one.wait(5) for one in ours.values()] == [-signal.SIGINT, -signal.SIGINT, -signal.SIGKILL]
        other.enrol(theirs.pid)
        other.end()
        assert theirs.poll() is None
    finally:
        for one in (theirs, *ours.values()):
            one.kill()
            one.wait()


def test_where_no_more_processes_may_be_started_that_is_told_and_nothing_stays_open(monkeypatch):
    def refused(*_, **__):
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    monkeypatch.setattr(os, "posix_spawn", refused)
    before = len(list(Path("/dev/fd").iterdir()))
    with pytest.raises(CommandError, match="sh can't be started: Resource temporarily unavailable"):
        watchdog.Watchdog()
    assert len(list(Path("/dev/fd").iterdir())) == before


def test_the_watchdog_ends_with_us_and_forgets_what_ended():
    code = (
        "from cmlutils.remote import process, watchdog\n"
        "process.run(['true'], timeout=5)\n"
        "print(watchdog.ours()._pid); watchdog.dismiss()"
    )
    out = subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.PIPE).stdout
    assert not Path(f"/proc/{int(out)}").exists()
