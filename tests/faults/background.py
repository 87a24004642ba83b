"""Commands as a weekend runs them: in the background under nohup, with signals from outside."""

import contextlib
import os
import re
import signal
import subprocess
import time
import uuid
from pathlib import Path

from until import until

# A shell that is not interactive starts what is in the background with SIGINT ignored; nohup ignores SIGHUP too.
NOHUP = 'nohup "$@" </dev/null >>"$OUT" 2>&1 & echo $!; wait $!; echo "exit code $?"'
PLAIN = '"$@" </dev/null >>"$OUT" 2>&1 & echo $!; wait $!; echo "exit code $?"'


def marked_processes(mark):
    """Return {pid: command line} of all processes that have this in their environment, zombies apart."""
    found = {}
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            words = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            if words and mark.encode() in (entry / "environ").read_bytes():
                found[int(entry.name)] = words
    return found


class Background:
    """A command that a script started; `pid` is its own, not the shell's."""

    def __init__(self, words, out, script=NOHUP):
        self.mark, self.out, self.folders = f"RUN={uuid.uuid4()}", out, set()
        name, _, value = self.mark.partition("=")
        environ = {**os.environ, name: value, "OUT": str(out)}
        self.shell = subprocess.Popen(["sh", "-c", script, "sh", *map(str, words)], stdout=subprocess.PIPE, env=environ)
        self.pid = int(self.shell.stdout.readline())

    def text(self):
        return self.out.read_text(errors="replace") if self.out.exists() else ""

    def until(self, condition, what, seconds=40):
        """Wait for something while it runs; what it has said is told if that does not come."""
        return until(condition, what, seconds, shown=self.text)

    def processes(self):
        """What is left of us, the shell and zombies apart: {pid: command line}; takes note of private folders."""
        found = marked_processes(self.mark)
        self.folders |= {folder for words in found.values() for folder in re.findall(r"[\w./-]*/cml-[\w]+", words)}
        found.pop(self.shell.pid, None)
        return found

    def watchdogs(self):
        """The shells that the command and what it started keep beside them."""
        parents, own = {}, self.processes()
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
        found = []
        for pid, parent in parents.items():
            with contextlib.suppress(OSError):  # it may have ended since
                if parent in own and pid not in own and b"trap" in Path(f"/proc/{pid}/cmdline").read_bytes():
                    found.append(pid)
        return found

    def send(self, signum=signal.SIGINT):
        """Send a signal; return the exit code and the seconds until the end."""
        self.processes()
        self.dogs = self.watchdogs()
        begin = time.monotonic()
        os.kill(self.pid, signum)
        return self.wait(), time.monotonic() - begin

    def wait(self, seconds=60):
        out, _ = self.shell.communicate(timeout=seconds)
        return int(out.split()[-1])

    def left(self):
        """What is still there: processes, watchdogs, private folders."""
        dogs = [pid for pid in getattr(self, "dogs", []) if Path(f"/proc/{pid}").exists()]
        return [*self.processes().values(), *dogs, *(one for one in self.folders if Path(one).exists())]

    def vanishes(self, seconds):
        """Wait until nothing is left of it."""
        until(lambda: not self.left(), "the end of all that belongs to the command", seconds, shown=self.left)

    def kill(self):
        for pid in [self.shell.pid, *self.processes()]:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        self.shell.wait()
        self.shell.stdout.close()
