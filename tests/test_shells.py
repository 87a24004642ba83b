"""Completion in real shells: a line is typed into each on a terminal, and a program notes the words it gets."""

import json
import os
import pty
import select
import shutil
import subprocess
import sys
import time

import pytest

PROMPT = b"type> "
NAMES = ["Churn Model", "Charts $x `y`", "it's", "a;b|c", 'say "hi"', "[x] *?", "Größe", "comma,x", "~tilde", "#hash"]
TYPED = [r"Churn\ M", r"Char", "it", "a", "say", r"\[", "Gr", "comma", r"\~", r"\#"]
PROGRAM = """
import json, os, sys
if "_CMLUTIL_COMPLETE" in os.environ or sys.argv[1] == "completion":
    from cmlutils.cli.main import main
    main()
with open({noted!r}, "a") as file:
    print(json.dumps(sys.argv[1:]), file=file)"""


class Shell:
    """An interactive shell on its own terminal, with completion switched on as README says."""

    def __init__(self, name, home, program):
        self.noted = home / "noted"
        path = program("cmlutil", PROGRAM.format(noted=str(self.noted)), sys.executable)
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("XDG_", "ZDOTDIR"))}
        environ = {**kept, "HOME": str(home), "TERM": "xterm"}
        evaluated = f'eval "$(cmlutil completion {name})"\n'
        if name == "fish":
            folder = home / ".config/fish"
            (folder / "completions").mkdir(parents=True)
            (folder / "config.fish").write_text(f"function fish_prompt; printf '{PROMPT.decode()}'; end\n")
            script = subprocess.run([path, "completion", name], capture_output=True, env=environ, check=True).stdout
            (folder / "completions/cmlutil.fish").write_bytes(script)
        else:
            (home / f".{name}rc").write_text(f"{evaluated}PS1='{PROMPT.decode()}'\n")
        self.terminal, theirs = pty.openpty()
        ends = {"stdin": theirs, "stdout": theirs, "stderr": theirs}
        self.process = subprocess.Popen(["setsid", "--ctty", name, "-i"], env=environ, **ends)
        os.close(theirs)
        self.shown = b""

    def until(self, there):
        """Read what the shell shows until a condition is met."""
        end = time.monotonic() + 20
        while not there():
            assert time.monotonic() < end, self.shown.decode(errors="replace")
            if select.select([self.terminal], [], [], 0.05)[0]:
                self.shown += os.read(self.terminal, 65536)

    def words(self, line):
        """Type a line, then tab and return; return the words that the program got."""
        self.until(lambda: PROMPT in self.shown)
        self.shown = b""
        before = self.lines()
        os.write(self.terminal, f"{line}\t\r".encode())
        self.until(lambda: len(self.lines()) > len(before))
        return json.loads(self.lines()[-1])

    def lines(self):
        return self.noted.read_text().splitlines() if self.noted.exists() else []

    def close(self):
        self.process.kill()
        self.process.wait()
        os.close(self.terminal)


@pytest.fixture
def ini(home):
    (home / "cmlutils").mkdir()
    (home / "cmlutils/export-config.ini").write_text("".join(f"[{name}]\n" for name in NAMES))


@pytest.mark.parametrize("name", ["bash", "zsh", "fish"])
def test_a_section_completes_to_one_word_in_a_real_shell(name, home, ini, program):
    if shutil.which(name) is None:
        pytest.skip(f"needs {name}: apt-get install {name}")
    shell = Shell(name, home, program)
    try:
        assert shell.words("cmlutil proj") == ["project"]
        for typed, section in zip(TYPED, NAMES, strict=True):
            assert shell.words(f"cmlutil project export -p {typed}") == ["project", "export", "-p", section]
            if name != "bash":  # it takes the option, = and the name for three words, which click can't put together
                words = shell.words(f"cmlutil project export --project-name={typed}")
                assert words == ["project", "export", f"--project-name={section}"]
    finally:
        shell.close()
