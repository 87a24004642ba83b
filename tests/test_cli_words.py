"""The words of the command line: help, examples, completion, colours, widths, quietness."""

import errno
import io
import logging
import os
import pty
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile

import click
import pytest
from rich.cells import cell_len
from words import COMMANDS, LEAVES, examples, understood

from cmlutils import log as logs
from cmlutils import screen
from cmlutils.cli.completion import VARIABLE
from cmlutils.cli.main import cli
from cmlutils.cli.output import width_of
from cmlutils.cli.render import show, show_plan
from cmlutils.errors import ConfigError
from cmlutils.plan import Action, Plan, Planned
from cmlutils.report import Outcome, Report, Status


@pytest.mark.parametrize("words", LEAVES)
def test_every_command_has_help_with_an_example_that_it_understands(words, run_line):
    out = run_line(f"{words} --help").out
    found = examples(out)
    for line in found:
        assert line.startswith(("cmlutil ", "echo "))  # and is no rest of a line that was wrapped
        if line.startswith("cmlutil "):
            understood(line)
    assert any(line.startswith(words) for line in found)


@pytest.mark.parametrize("words", COMMANDS)
def test_every_option_has_a_line_of_help(words):
    for parameter in COMMANDS[words].params:
        if isinstance(parameter, click.Option):
            assert parameter.help, parameter.opts


@pytest.mark.parametrize("verb", ["export", "import", "validate-migration"])
def test_a_workspace_that_goes_away_is_waited_for_an_hour_unless_one_says_otherwise(verb):
    [patience] = [one for one in COMMANDS[f"cmlutil project {verb}"].params if one.name == "patience"]
    assert patience.default == 60


def test_an_example_that_is_wrong_is_found_out():
    for wrong in ("cmlutil project exprot -p x", "cmlutil project export --verify", "cmlutil porject"):
        with pytest.raises(click.UsageError):
            understood(wrong)


@pytest.mark.parametrize("words", COMMANDS)
def test_help_fits_a_terminal_of_eighty_columns(words, run_line, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    assert [line for line in run_line(f"{words} --help").out.splitlines() if len(line) > 80] == []


@pytest.mark.parametrize(("line", "near"), [
    ("cmlutil project export --project-nam x", "--project-name"),
    ("cmlutil project import -p x --verfy", "--verify"),
])  # fmt: skip
def test_a_near_miss_of_an_option_is_guessed(line, near, run_line):
    assert near in run_line(line, exit_code=2).err


@pytest.mark.parametrize(("line", "near"), [
    ("cmlutil projct", "cmlutil project"),
    ("cmlutil project exprt -p x", "cmlutil project export"),
    ("cmlutil export -p x", "cmlutil project export"),
    ("cmlutil Status", "cmlutil project status"),
    ("cmlutil project doctor", "cmlutil doctor"),
])  # fmt: skip
def test_a_near_miss_of_a_command_is_answered_with_the_line_of_the_nearest(line, near, run_line):
    assert f"Did you mean '{near}'?" in run_line(line, exit_code=2).err


@pytest.mark.parametrize("words", [
    "project export",
    "project import",
    "project validate-migration",
    "helpers populate_engine_runtimes_mapping",
])  # fmt: skip
def test_a_run_is_of_one_project(words, run_line):
    assert "one project per run" in run_line(f"cmlutil {words} -p a --project_name b", exit_code=2).err


def test_a_group_alone_and_an_unknown_command_are_usage(run_line):
    assert "project" in run_line("cmlutil", exit_code=2).err
    assert "No such command 'porject'" in run_line("cmlutil porject", exit_code=2).err


@pytest.mark.parametrize("line", [
    "project export --json",
    "project import -p x --quick --json",
    "project status --patience 3 --json",
    "doctor --json --patience x",
])  # fmt: skip
def test_a_line_that_is_not_understood_prints_json_where_that_is_asked_for(line, run_line):
    said = run_line(f"cmlutil {line}", exit_code=2)
    assert said.json["exit_code"] == 2
    assert f"Error: {said.json['error']}" in said.err


# Streams


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-", "| true"])
def test_a_stream_that_nobody_reads_changes_nothing(home, ini, closed):
    line = f"{sys.executable} -m cmlutils project list"
    script = f"{{ sleep 1; {line}; echo $? >&3; }} | true" if closed == "| true" else f"{line} {closed}; echo $? >&3"
    done = subprocess.run(["bash", "-c", f"exec 3>&1; {script}"], capture_output=True, text=True, check=False)
    assert done.stdout.split()[-1] == "0", done
    assert "Traceback" not in done.stderr
    assert "bug" not in done.stderr


@pytest.mark.parametrize("unbuffered", ["", "PYTHONUNBUFFERED=1 "])
@pytest.mark.parametrize(("words", "code", "said"), [
    ("--help", 1, ""),
    ("project list", 1, ""),
    ("project list --json", 1, ""),
    ("completion bash", 1, ""),
    ("project list --jsn --json", 2, "No such option '--jsn'"),
    ("project export -p nope --json", 2, "has no section [nope]"),
    ("project import -p 'Churn Model' --dry-run --json", 2, "the key url is missing"),
    ("project status -p nope --json", 2, "No ini file has a section [nope]"),
])  # fmt: skip
def test_a_full_disk_behind_standard_output_hides_no_other_failure(home, ini, words, code, said, unbuffered):
    script = f"{unbuffered}{sys.executable} -m cmlutils {words} >/dev/full"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == code
    assert said in done.stderr
    assert done.stderr.endswith("error: Standard output can't be written: No space left on device.\n")
    assert "Traceback" not in done.stderr


def test_a_full_disk_elsewhere_is_not_said_to_be_that_of_standard_output(run_line, monkeypatch):
    def full(**_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(tempfile, "mkdtemp", full)
    said = run_line("cmlutil demo", exit_code=1).err
    assert said == "error: A file can't be written: No space left on device.\n"


def test_a_path_that_may_not_be_used_is_named_and_no_bug(run_line, monkeypatch):
    def forbidden(**_):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), "/somewhere")

    monkeypatch.setattr(tempfile, "mkdtemp", forbidden)
    said = run_line("cmlutil demo", exit_code=1).err
    assert said.startswith("error: /somewhere can't be read or written: Permission denied.\n")


@pytest.mark.parametrize(("words", "code"), [
    ("project list", 0),
    ("project lst", 2),
    ("project export -p 'Churn Model'", 2),
])  # fmt: skip
@pytest.mark.parametrize("after", ["2>/dev/full; echo $? >&3", "2>&1 >/dev/null; echo $? >&3; } | true"])
def test_a_standard_error_that_can_not_be_written_changes_no_exit_code(home, ini, words, code, after):
    line = f"{'{ sleep 0.3; ' if 'true' in after else ''}{sys.executable} -m cmlutils {words} {after}"
    done = subprocess.run(["bash", "-c", f"exec 3>&1; {line}"], capture_output=True, text=True, check=False)
    assert done.stdout.split()[-1] == str(code)
    assert done.stderr == ""


@pytest.mark.parametrize("before", ["", "trap '' INT; "])
def test_a_signal_while_modules_are_read_ends_it_without_a_traceback(tmp_path, before):
    (tmp_path / "click.py").write_text("import time; print('reading', flush=True); time.sleep(60)")
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
    argv = ["bash", "-c", f"{before}exec {sys.executable} -m cmlutils --help"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environ, text=True) as started:
        assert started.stdout.readline() == "reading\n"
        started.send_signal(signal.SIGINT)
        _, said = started.communicate(timeout=30)
    assert (started.returncode, said) == (-signal.SIGINT, "")


A_SECTION = "url=https://x.test\nusername=me\napiv1_key=k\noutput_dir=~/out\n"


def test_names_of_any_letters_are_told_also_by_an_interpreter_for_ascii(home):
    (home / "cmlutils").mkdir()
    (home / "cmlutils/export-config.ini").write_text(f"[Żółw]\n{A_SECTION}", encoding="utf-8")
    environ = {**os.environ, "LC_ALL": "POSIX", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    argv = [sys.executable, "-m", "cmlutils", "project", "list"]
    done = subprocess.run(argv, capture_output=True, env=environ, check=False)
    assert done.returncode == 0, done.stderr
    assert "out/Żółw" in done.stdout.decode()


def test_folders_have_the_same_names_whatever_the_locale(home, tmp_path):
    made = ["localedef", "-i", "en_US", "-f", "ISO-8859-1", str(tmp_path / "en_US.ISO-8859-1")]
    if not shutil.which("localedef") or subprocess.run(made, capture_output=True, check=False).returncode:
        pytest.skip("needs localedef and its sources: apt-get install locales")
    (home / "cmlutils").mkdir()
    (home / "cmlutils/export-config.ini").write_text(f"[Größe]\n{A_SECTION}\n[Żółw]\n{A_SECTION}", encoding="utf-8")
    environ = {**os.environ, "LC_ALL": "en_US.ISO-8859-1", "LOCPATH": str(tmp_path), "PYTHONUTF8": "0"}
    argv = [sys.executable, "-m", "cmlutils", "project"]
    done = subprocess.run([*argv, "list"], capture_output=True, env=environ, check=False)
    assert done.returncode == 0, done.stderr
    assert "out/Größe" in done.stdout.decode()
    assert "out/Żółw" in done.stdout.decode()
    done = subprocess.run([*argv, "status", "-p", "Größe"], capture_output=True, env=environ, check=False)
    assert done.stdout.decode().startswith("Größe")


def test_letters_that_a_terminal_has_not_are_shown_by_their_numbers(home):
    (home / "cmlutils").mkdir()
    (home / "cmlutils/export-config.ini").write_text("[Żółw]\n", encoding="utf-8")
    environ = {**os.environ, "PYTHONIOENCODING": "latin-1"}
    argv = [sys.executable, "-m", "cmlutils", "project", "list"]
    done = subprocess.run(argv, capture_output=True, env=environ, check=True)
    assert b"\\u017b" in done.stdout


# Completion


@pytest.fixture
def ini(home):
    """Both ini files, with section names that are difficult for shells."""
    (home / "cmlutils").mkdir()
    for side, names in (("export", ["Churn Model", "Churn $x `y`", "it's"]), ("import", ["Churn Model", "Charts"])):
        text = "".join(f"[{name}]\n" for name in names)
        (home / f"cmlutils/{side}-config.ini").write_text(text)


@pytest.fixture
def bash(home, program):
    """Return a function that takes the words of a line and returns bash's completions as they would appear in it."""
    program("cmlutil", "from cmlutils.cli.main import main\nmain()", sys.executable)

    def offered(typed):
        script = f"""
            eval "$(cmlutil completion bash)"
            COMP_WORDS=({" ".join(shlex.quote(word) for word in typed)}); COMP_CWORD={len(typed) - 1}
            _cmlutil_completion cmlutil
            printf '%s\\n' "${{COMPREPLY[@]}}"
        """
        done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, cwd=home, check=True)
        assert done.stderr == ""
        return done.stdout.split("\n")[:-1]

    return offered


def test_bash_completes_commands_and_options(bash):
    assert bash(["cmlutil", "pro"]) == ["project"]
    assert "--verify" in bash(["cmlutil", "project", "import", "--v"])


def test_bash_completes_sections_so_that_they_are_one_word(bash, home, ini):
    (home / "y").touch()
    offered = bash(["cmlutil", "project", "export", "-p", ""])
    assert [shlex.split(one) for one in offered] == [["Churn Model"], ["Churn $x `y`"], ["it's"]]
    assert bash(["cmlutil", "project", "export", "-p", r"Churn\ M"]) == [r"Churn\ Model"]
    assert bash(["cmlutil", "project", "export", "-p", '"Churn M']) == ["Churn Model"]
    assert bash(["cmlutil", "project", "import", "-p", "Ch"]) == [r"Churn\ Model", "Charts"]


def complete(shell, line, word):
    environ = {**os.environ, VARIABLE: f"{shell}_complete", "COMP_WORDS": line, "COMP_CWORD": word}
    argv = [sys.executable, "-m", "cmlutils"]
    return subprocess.run(argv, capture_output=True, text=True, env=environ, check=True).stdout


def test_zsh_and_fish_get_sections_as_they_are(ini):
    assert complete("zsh", "cmlutil project export -p Churn", "4") == "plain\nChurn Model\n_\nplain\nChurn $x `y`\n_\n"
    assert complete("fish", "cmlutil doctor -p ", "Ch").splitlines() == [
        "plain,Churn Model",
        "plain,Churn $x `y`",
        "plain,Charts",
    ]


def test_completion_is_silent_where_there_is_no_ini_file(bash):
    assert bash(["cmlutil", "project", "export", "-p", ""]) == [""]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_gets_its_script(shell, run_line):
    assert f"{VARIABLE}={shell}_complete" in run_line(f"cmlutil completion {shell}").out


# Colours, widths, quietness


class Screen(io.StringIO):
    """A stream that claims to be a terminal."""

    def isatty(self):
        return True


@pytest.mark.parametrize(("stream", "environ", "wanted"), [
    (Screen(), {}, True),
    (Screen(), {"NO_COLOR": "1"}, False),
    (Screen(), {"TERM": "dumb"}, False),
    (Screen(), {"TERM": "unknown"}, False),
    (io.StringIO(), {}, False),
    (io.StringIO(), {"FORCE_COLOR": "1"}, True),
    (io.StringIO(), {"FORCE_COLOR": "1", "NO_COLOR": "1"}, False),
])  # fmt: skip
def test_colours_only_on_a_terminal_and_never_with_no_color(stream, environ, wanted):
    assert screen.coloured(stream, environ) is wanted


@pytest.mark.parametrize(("kind", "cleared"), [("xterm", True), ("dumb", False)])
def test_watching_clears_the_screen_where_there_is_one_to_clear(home, kind, cleared):
    (home / "cmlutils").mkdir()
    (home / "cmlutils/export-config.ini").write_text(f"[p]\n{A_SECTION}")
    ours, theirs = pty.openpty()
    argv = [sys.executable, "-m", "cmlutils", "project", "status", "--watch"]
    subprocess.run(argv, stdout=theirs, check=True, env={**os.environ, "TERM": kind})
    os.close(theirs)
    assert (b"\x1b[2J" in os.read(ours, 4096)) == cleared
    os.close(ours)


def test_where_there_is_nothing_to_tell_but_the_report_one_line_sets_it_apart(capsys):
    show(Report("export", "p"), as_json=False, report_file="/r.html")
    assert capsys.readouterr().out == "\n  report: /r.html\n"


def test_the_path_of_a_report_is_one_line_however_narrow_the_terminal(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    show(Report("export", "p"), as_json=False, report_file="/a/folder/of bundles/with spaces/Churn Model/report.html")
    assert "  report: /a/folder/of bundles/with spaces/Churn Model/report.html\n" in capsys.readouterr().out


def test_warnings_are_coloured_on_a_terminal(monkeypatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    shown = Screen()
    logs.to_terminal(shown)
    logging_to("warning", "look")
    logs.close()
    assert shown.getvalue() == "\x1b[33mwarning\x1b[0m: look\n"


def logging_to(level, text):
    getattr(logging.getLogger("cmlutils.test"), level)(text)


def test_a_quiet_terminal_shows_warnings_and_errors_only():
    shown = io.StringIO()
    logs.to_terminal(shown, quiet=True)
    assert logs.is_quiet()
    for level in ("debug", "info", "warning", "error"):
        logging_to(level, level)
    logs.to_terminal(shown)
    assert not logs.is_quiet()
    logs.close()
    assert shown.getvalue() == "warning: warning\nerror: error\n"


@pytest.mark.parametrize(("words", "level"), [("", "INFO"), ("-q", "WARNING"), ("-q -v", "DEBUG"), ("-v -q", "DEBUG")])
def test_verbose_has_the_last_word_over_quiet(words, level):
    logs.to_terminal()
    with pytest.raises(ConfigError):  # as there is no ini file
        cli.main(["project", "export", *words.split(), "-p", "x"], standalone_mode=False)
    [handler] = logging.getLogger(logs.ROOT).handlers
    assert logging.getLevelName(handler.level) == level
    logs.close()


def test_the_width_comes_from_the_environment_or_the_terminal():
    assert screen.columns(io.StringIO(), {}) is None
    assert screen.columns(io.StringIO(), {"COLUMNS": "72"}) == 72
    assert screen.columns(io.StringIO(), {"COLUMNS": "3"}) == 40
    for odd in ("wide", "-3", "²", "9" * 5000):
        assert screen.columns(io.StringIO(), {"COLUMNS": odd}) is None


def test_a_line_is_folded_between_words_and_set_in():
    line = "  + job   one two three four five"
    assert screen.fold(line, None) == line
    assert screen.fold(line, 80) == line
    assert screen.fold(line, 20) == "  + job   one two\n      three four\n      five"
    assert screen.fold(f"  report: {'x' * 90}", 40).endswith("x" * 90)
    assert screen.fold("  + job   予測 需要 売上 分析", 20) == "  + job   予測 需要\n      売上 分析"


WIDE_NAMES = ["plain", "売上予測モデル", "\N{ROCKET} launch", "e\N{COMBINING ACUTE ACCENT}te"]


@pytest.mark.parametrize("name", ["モデル", "🚀 x", "e\u0301", "x" * 40, ""])
def test_a_column_of_names_ends_in_one_place_whatever_their_letters(name):
    assert cell_len(screen.padded(name, 32)) == max(32, len(name))
    assert width_of(["ab", name]) == min(max(cell_len(name), 2), 30)


def starts(lines, word):
    """Return the terminal columns, as rich counts them, in which the word begins."""
    return {cell_len(line[: line.index(word)]) for line in lines if word in line}


def test_columns_stand_below_each_other_whatever_letters_a_name_has(capfd, home, run_line):
    show(Report("import", "p", outcomes=[Outcome("job", name, Status.CREATED) for name in WIDE_NAMES]), as_json=False)
    assert len(starts(capfd.readouterr().out.splitlines(), "created")) == 1
    plan = Plan("import", "p", actions=[Planned("job", name, Action.CREATE) for name in WIDE_NAMES])
    show_plan(plan, as_json=False)
    assert len(starts(capfd.readouterr().out.splitlines()[2:-2], "create")) == 1
    (home / "cmlutils").mkdir()
    (home / "cmlutils/export-config.ini").write_text("".join(f"[{name}]\n{A_SECTION}" for name in WIDE_NAMES))
    assert len(starts(run_line("cmlutil project list").out.splitlines(), "http")) == 1
    assert len(starts(run_line("cmlutil project status").out.splitlines(), "export ")) == 1


def test_it_runs_beside_a_folder_of_ini_files_called_like_the_package(ini, home):
    argv = [sys.executable, "-m", "cmlutils", "project", "list"]
    done = subprocess.run(argv, cwd=home, capture_output=True, text=True, check=False)
    assert "Churn Model" in done.stdout, done.stderr


def test_help_loads_nothing_that_is_slow_to_load():
    script = "import sys; from cmlutils.cli.main import run; run(['--help']); print(*sys.modules)"
    loaded = subprocess.check_output([sys.executable, "-c", script], text=True).split()
    assert not {"requests", "rich", "yaml", "pathspec", "flask", "asyncssh", "asyncio", "ssl"} & set(loaded)


def test_a_relative_path_without_a_working_folder_is_told_in_a_sentence(run_line, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    place = tmp_path / "gone"
    place.mkdir()
    os.chdir(place)
    place.rmdir()
    line = run_line("cmlutil init --config-dir here --all", exit_code=2)
    assert line.err.startswith("error: The current folder no longer exists")
    assert "bug" not in line.err


@pytest.mark.parametrize("where", ["threading.Thread.start", "cmlutils.cli.overview._rows"])
def test_a_limit_of_threads_is_told_as_that(run_line, home, monkeypatch, where):
    def none_left(*_):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(where, none_left)
    line = run_line("cmlutil project list", exit_code=1)
    assert line.err.startswith("error: This machine lets this user start no more threads or processes.")
    assert "ulimit -u" in line.err
