"""Commands as people run them over a weekend: in the background under nohup, with signals from outside."""

import contextlib
import os
import re
import signal
import subprocess
import time
import uuid
from pathlib import Path

from until import until

# A shell that is not interactive starts background commands with SIGINT ignored; nohup ignores SIGHUP as well.
NOHUP = 'nohup "$@" </dev/null >>"$OUT" 2>&1 & echo $!; wait $!; echo "exit code $?"'
PLAIN = '"$@" </dev/null >>"$OUT" 2>&1 & echo $!; wait $!; echo "exit code $?"'


def marked_processes(mark):
    """Return {pid: command line} of all processes with this mark in their environment, except zombies."""
    found = {}
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            words = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            if words and mark.encode() in (entry / "environ").read_bytes():
                found[int(entry.name)] = words
    return found


def session_commands(workspace):
    """Return the command lines that run in the workspace's sessions."""
    found = []
    for session in workspace.sessions:
        for child in list(session.sshd._children):
            with contextlib.suppress(OSError):
                found.append(Path(f"/proc/{child.pid}/cmdline").read_text(errors="replace"))
    return " ".join(found)


def big_file(workspace, size=3 << 30):
    """Give the project a file that takes rsync some time."""
    with (workspace.project("dana", "churn-model").files / "big.bin").open("wb") as file:
        file.truncate(size)


class Background:
    """A command that a shell script has started; `pid` is that of the command, not of the shell."""

    def __init__(self, words, out, script=NOHUP):
        self.mark, self.out, self.folders = f"RUN={uuid.uuid4()}", out, set()
        name, _, value = self.mark.partition("=")
        environ = {**os.environ, name: value, "OUT": str(out)}
        self.shell = subprocess.Popen(["sh", "-c", script, "sh", *map(str, words)], stdout=subprocess.PIPE, env=environ)
        self.pid = int(self.shell.stdout.readline())

    def text(self):
        return self.out.read_text(errors="replace") if self.out.exists() else ""

    def until(self, condition, what, seconds=40):
        """Wait for a condition while the command runs; if it takes too long, fail with the command's output."""
        return until(condition, what, seconds, shown=self.text)

    def processes(self):
        """Return {pid: command line} of our processes, except the shell and zombies; remember their private folders."""
        found = marked_processes(self.mark)
        self.folders |= {folder for words in found.values() for folder in re.findall(r"[\w./-]*/cml-[\w]+", words)}
        found.pop(self.shell.pid, None)
        return found

    def watchdogs(self):
        """Return the pids of the watchdog shells of the command and of the processes that it started."""
        parents, own = {}, self.processes()
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
        found = []
        for pid, parent in parents.items():
            with contextlib.suppress(OSError):  # it may have ended meanwhile
                if parent in own and pid not in own and b"trap" in Path(f"/proc/{pid}/cmdline").read_bytes():
                    found.append(pid)
        return found

    def send(self, signum=signal.SIGINT):
        """Send the command a signal; return its exit code and the seconds until it ended."""
        self.processes()
        self.dogs = self.watchdogs()
        begin = time.monotonic()
        os.kill(self.pid, signum)
        return self.wait(), time.monotonic() - begin

    def wait(self, seconds=60):
        out, _ = self.shell.communicate(timeout=seconds)
        return int(out.split()[-1])

    def left(self):
        """Return what still exists: processes, watchdogs, private folders."""
        dogs = [pid for pid in getattr(self, "dogs", []) if Path(f"/proc/{pid}").exists()]
        return [*self.processes().values(), *dogs, *(one for one in self.folders if Path(one).exists())]

    def vanishes(self, seconds):
        """Wait until nothing is left of the command."""
        until(lambda: not self.left(), "the end of all that belongs to the command", seconds, shown=self.left)

    def kill(self):
        for pid in [self.shell.pid, *self.processes()]:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        self.shell.wait()
        self.shell.stdout.close()
