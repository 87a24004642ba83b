"""The shell scripts that run on a workspace: a plain sh can read each of them, and the quoted scripts within."""

import re
import shutil
import subprocess

import pytest

from cmlutils.flows.copying import ignore_files, target_files, target_folder
from cmlutils.remote import channels

SCRIPTS = {
    f"{module.__name__.rpartition('.')[2]}.{name}": value
    for module in (ignore_files, target_files, target_folder, channels)
    for name, value in vars(module).items()
    if isinstance(value, str) and re.fullmatch(r"_?[A-Z_]+", name) and " " in value and name != "_BEGIN"
}
SHELLS = [shell for shell in ("sh", "dash", "bash", "busybox") if shutil.which(shell)]


def with_quoted(script):
    """Return a script and the quoted scripts within that it passes to another sh."""
    return [script, *re.findall(r"sh -c '(.*?)'", script, re.DOTALL)]


def test_all_scripts_are_found():
    assert {"ignore_files.EXPORT_RULES", "target_folder._LAND", "channels._WAITER", "target_files._DELETE"} <= {
        *SCRIPTS
    }


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_is_one_that_a_shell_can_read(name, shell):
    for script in with_quoted(SCRIPTS[name]):
        command = [shell, *(["sh"] if shell == "busybox" else []), "-n"]
        read = subprocess.run(command, input=script.encode(), capture_output=True, check=False)
        assert (read.returncode, read.stderr) == (0, b""), script


@pytest.mark.skipif(not shutil.which("shellcheck"), reason="needs shellcheck")
@pytest.mark.parametrize("name", SCRIPTS)
def test_shellcheck_finds_nothing_wrong(name):
    for script in with_quoted(SCRIPTS[name]):
        command = ["shellcheck", "--shell=sh", "--severity=warning", "-e", "SC2154", "-"]
        checked = subprocess.run(command, input=script.encode(), capture_output=True, check=False)
        assert checked.returncode == 0, checked.stdout.decode()
