"""`cmlutil init` writes both ini files from answers or flags, with the source's projects to choose from."""

import configparser
import os
import pty
import select
import subprocess
import sys
import time
from pathlib import Path

import certifi
import click
import pytest

from cmlutils.cli.questions import pick
from cmlutils.emulator.world import World
from cmlutils.inifile import comes_back, ini_text

SOURCE_KEY, TARGET_KEY = "source0key0source0key0source0key0", "target0key0target0key0target0key0"
ODD = "50% [x] a/b & größe: #1"


@pytest.fixture
def bare(workspaces, home, sample, monkeypatch):
    """Two workspaces with projects of dana, of her team and of kai, but no ini file."""
    small = {"owner": "dana", "files": {"a": "1"}}
    projects = [sample, {**small, "name": ODD}, {**small, "owner": "crew", "name": "Shared"},
                {**small, "owner": "kai", "name": "Of Kai", "visibility": "public"},
                {**small, "owner": "crew", "name": "Churn Model"}]  # fmt: skip
    team = {"username": "crew", "id": 31, "members": {"dana": "owner"}}
    pair = workspaces(source_more={"teams": [team], "projects": projects}, target_more={"teams": [team]})
    for path in (home / "cmlutils").iterdir():
        path.unlink()
    monkeypatch.setenv("CMLUTILS_SOURCE_APIV1_KEY", SOURCE_KEY)
    monkeypatch.setenv("CMLUTILS_TARGET_APIV1_KEY", TARGET_KEY)
    return pair


def flags(source, target):
    return f"cmlutil init --source-url {source.url} --source-username dana --target-url {target.url}"


def read(home, side):
    parser = configparser.ConfigParser(interpolation=None)
    parser.read_string((home / f"cmlutils/{side}-config.ini").read_text(encoding="utf-8"))
    return parser


def test_flags_alone_write_both_files_and_the_export_runs(bare, home, run_line):
    line = run_line(f"{flags(*bare)} --all")
    for side in ("export", "import"):
        parser = read(home, side)
        assert parser.sections() == [ODD, "Churn Model", "Shared"]
        assert "apiv1_key" not in parser["Shared"]
        assert (home / f"cmlutils/{side}-config.ini").stat().st_mode & 0o777 == 0o600
    assert read(home, "export")["Shared"]["owner_username"] == "crew"
    assert "owner_username" not in read(home, "export")["Churn Model"]
    assert "'Churn Model' of crew" in line.err
    for name in (ODD, "Shared"):
        run_line(f'cmlutil project export -p "{name}"')
    assert (home / "migration/Shared/project-data/a").read_text() == "1"


def test_a_username_in_other_letters_has_the_same_projects(bare, home, run_line, monkeypatch):
    exact = World.find_user
    monkeypatch.setattr(World, "find_user", lambda world, name: exact(world, name.lower()))
    line = flags(*bare).replace("username dana", "username DANA")
    run_line(f"{line} --all")
    assert read(home, "export").sections() == [ODD, "Churn Model", "Shared"]
    run_line(f"{line} --force --project Shared --project 'Churn Model'")
    assert read(home, "export")["Shared"]["owner_username"] == "crew"
    assert "owner_username" not in read(home, "export")["Churn Model"]


def test_chosen_projects_keep_their_order_and_anybodys_may_be_named(bare, home, run_line):
    run_line(f'{flags(*bare)} --project "Of Kai" --project "Churn Model" --output-dir ~/elsewhere')
    parser = read(home, "export")
    assert parser.sections() == ["Of Kai", "Churn Model"]
    assert parser["Of Kai"]["owner_username"] == "kai"
    assert parser["Of Kai"]["output_dir"] == "~/elsewhere"


def test_a_project_that_is_not_there_writes_nothing(bare, home, run_line):
    line = run_line(f"{flags(*bare)} --project shared", exit_code=1)
    assert "'shared'" in line.err
    assert list((home / "cmlutils").iterdir()) == []


def test_a_command_gives_the_key_and_goes_into_the_file(bare, home, run_line, monkeypatch):
    monkeypatch.delenv("CMLUTILS_SOURCE_APIV1_KEY")
    run_line(f"{flags(*bare)} --all", exit_code=2)
    run_line(f"{flags(*bare)} --all --source-key-command 'echo {SOURCE_KEY}'")
    assert read(home, "export")["Shared"]["apiv1_key_command"] == f"echo {SOURCE_KEY}"


@pytest.mark.parametrize(("words", "text"), [
    ("--target-username nobody --all", "nobody"),
    ("--source-url nowhere --all", "http or https"),
    ("--source-ca-path /not/there --all", "ca_path"),
    ("--output-dir ~/.nope/$NOPE --all", "bundles: output_dir names $NOPE, which is not set."),
    ("--config-dir /dev/null --all", "/dev/null is no folder to which you can write."),
    ("--config-dir /dev/null/x/y --all", "--config-dir can't be used"),
    ("", "--all"),
])  # fmt: skip
def test_mistakes_are_named_and_nothing_is_written(bare, home, run_line, words, text):
    line = run_line(f"{flags(*bare)} {words}", exit_code={1, 2})
    assert text in line.err
    assert list((home / "cmlutils").iterdir()) == []


def test_a_file_that_is_there_stays_unless_forced(bare, home, run_line):
    path = home / "cmlutils/import-config.ini"
    path.write_text("mine\n")
    line = run_line(f"{flags(*bare)} --all", exit_code=2)
    assert "--force" in line.err
    assert [one.name for one in path.parent.iterdir()] == ["import-config.ini"]
    assert path.read_text() == "mine\n"
    run_line(f"{flags(*bare)} --all --force")
    assert path.with_name("import-config.ini.old").read_text() == "mine\n"
    assert read(home, "import").sections()


def test_without_a_target_only_the_export_is_written(bare, home, run_line):
    run_line(f"cmlutil init --source-url {bare[0].url} --source-username dana --all")
    assert [one.name for one in (home / "cmlutils").iterdir()] == ["export-config.ini"]


class Typist:
    """A person at a terminal who answers a program's questions."""

    def __init__(self, *words, environ):
        self._ours, theirs = pty.openpty()
        argv = [sys.executable, "-m", "cmlutils", *words]
        self._process = subprocess.Popen(
            argv, stdin=theirs, stdout=theirs, stderr=theirs, env=environ, start_new_session=True
        )
        os.close(theirs)
        self.seen = ""

    def answer(self, question, text):
        """Wait for a question, then type an answer."""
        self.read_until(lambda: question in self.seen.rpartition("\x00")[2])
        self.seen += "\x00"
        os.write(self._ours, f"{text}\n".encode())

    def read_until(self, done):
        deadline = time.monotonic() + 60
        while not done():
            assert time.monotonic() < deadline, self.seen
            if select.select([self._ours], [], [], 0.2)[0]:
                try:
                    self.seen += os.read(self._ours, 4096).decode(errors="replace")
                except OSError:  # on Linux this means that the other end is closed
                    return

    def end(self):
        """Return the program's exit code."""
        self.read_until(lambda: False)
        return self._process.wait(20)

    def go(self):
        """Kill the program and close the terminal."""
        self._process.kill()
        self._process.wait()
        os.close(self._ours)


@pytest.fixture
def typing():
    """Return a function that starts cmlutil with a person at its terminal."""
    typists = []

    def start(*words, **more):
        environ = {name: text for name, text in os.environ.items() if not name.startswith("CMLUTILS_")} | more
        typists.append(Typist(*words, environ=environ))
        return typists[-1]

    yield start
    for one in typists:
        one.go()


def test_a_person_is_asked_and_the_keys_are_never_shown(bare, home, typing):
    source, target = bare
    typist = typing("init")
    typist.answer("Folder for the bundles", "")
    typist.answer("Source: address", source.url)
    typist.answer("Source: user name", "dana")
    typist.answer("Source: CA file", "")
    typist.answer("Source: legacy API key", SOURCE_KEY)
    typist.answer("Which projects", "7")
    typist.answer("Which projects", "1, 3")
    typist.answer("Target: address", target.url)
    typist.answer("Target: user name [dana]", "")
    typist.answer("Target: CA file", "")
    typist.answer("Target: legacy API key", TARGET_KEY)
    assert typist.end() == 0, typist.seen
    assert SOURCE_KEY not in typist.seen
    assert TARGET_KEY not in typist.seen
    assert "3  Shared  (of crew)" in typist.seen
    assert read(home, "export").sections() == read(home, "import").sections() == [ODD, "Shared"]
    assert read(home, "export")["Shared"]["apiv1_key"] == SOURCE_KEY
    assert read(home, "import")["Shared"]["apiv1_key"] == TARGET_KEY


def test_a_person_is_asked_again_for_what_does_not_work(bare, home, typing):
    source, _ = bare
    typist = typing("init", "--source-url", source.url, "--output-dir", "~/m")
    for username, key in (("nobody", SOURCE_KEY), ("dana", "mistaken0key0mistaken0key0mistaken"), ("", SOURCE_KEY)):
        typist.answer("Source: user name", username)
        typist.answer("Source: CA file", "")
        typist.answer("Source: legacy API key", key)
    typist.answer("Which projects", "1")
    typist.answer("Target: address", "")
    assert typist.end() == 0, typist.seen
    assert typist.seen.count("That does not work") == 2
    assert read(home, "export")["DEFAULT"]["username"] == "dana"


def test_a_folder_that_can_be_none_is_asked_for_again_before_anything_else(bare, home, typing):
    (home / "file").touch()
    typist = typing("init", "--source-url", bare[0].url, "--source-username", "dana")
    for folder in ("~/file/in", "$NOPE/in", "https://cdsw.test"):
        typist.answer("Folder for the bundles", folder)
    typist.answer("Folder for the bundles", "~/m")
    typist.answer("Source: CA file", "")
    typist.answer("Source: legacy API key", SOURCE_KEY)
    typist.answer("Which projects", "1")
    typist.answer("Target: address", "")
    assert typist.end() == 0, typist.seen
    assert typist.seen.count("That does not work") == 3
    assert read(home, "export")["DEFAULT"]["output_dir"] == "~/m"


def test_a_mistaken_answer_can_be_taken_back(bare, home, typing):
    typist = typing("init", "--source-url", bare[0].url, "--source-username", "dana", "--output-dir", "~/m")
    typist.answer("Source: CA file", "/not/there")
    typist.answer("Source: legacy API key", SOURCE_KEY)
    typist.answer("Source: CA file of its certificate (none: the system's) [/not/there]", "none")
    typist.answer("Source: legacy API key", SOURCE_KEY)
    typist.answer("Which projects", "1")
    typist.answer("Target: address", "")
    assert typist.end() == 0, typist.seen
    assert "ca_path" not in read(home, "export")["DEFAULT"]


def test_a_person_is_asked_before_a_file_is_replaced(bare, home, typing):
    path = home / "cmlutils/export-config.ini"
    path.write_text("mine\n")
    typist = typing("init")
    typist.answer("Replace it", "n")
    assert typist.end() == 2
    assert path.read_text() == "mine\n"


@pytest.mark.parametrize("name", ["%(x)s", "[x]", "a]b", "#x", ";x", " a ", "a:b=c", "größe", "日本"])
def test_odd_names_come_back_as_they_were_written(name):
    parser = configparser.ConfigParser(interpolation=None)
    parser.read_string(ini_text({"url": "u"}, [("first", {}), (name, {"owner_username": "%o"})]))
    assert parser.sections() == ["first", name]
    assert dict(parser[name]) == {"url": "u", "owner_username": "%o"}


@pytest.mark.parametrize("name", ["a\nb", "x]\rurl=http://else.test\r[y", "a\ud800", "DEFAULT", ""])
def test_names_that_no_section_can_have_are_known(name):
    assert not comes_back(name, {})


@pytest.mark.parametrize("owner", ["kai\nurl=x", "kai\rurl=x", "a\n[b]", " kai", "\ud800"])
def test_owners_that_no_key_can_have_are_known(owner):
    assert comes_back("a", {"owner_username": "kai"})
    assert not comes_back("a", {"owner_username": owner})


def test_numbers_and_ranges_are_picked():
    assert pick("all", 3) == [1, 2, 3]
    assert pick("5, 1-2 4-4", 5) == [1, 2, 4, 5]
    for wrong in ("0", "6", "3-1", "x", "1-", "", "-2"):
        with pytest.raises(click.UsageError):
            pick(wrong, 5)


@pytest.mark.parametrize(("command", "text"), [
    ("false", "gave no key"),
    ("echo 'geheim", "open quote"),
    ("echo geheim | cat", "It gets no shell"),
    ("~/bin/key", "It gets no shell"),
    ("/etc/passwd geheim", "/etc/passwd can't be started: Permission denied.\n      Run it by hand"),
])  # fmt: skip
def test_a_command_that_gives_no_key_is_named(bare, home, run_line, command, text):
    words = ["--source-key-command", f'"{command}"']
    line = run_line(f"{flags(*bare)} --all {' '.join(words)}", exit_code=2)
    assert text in line.err
    assert "geheim" not in line.err
    assert list((home / "cmlutils").iterdir()) == []


def test_relative_paths_are_written_in_full(bare, home, run_line, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ca.pem").write_bytes(Path(certifi.where()).read_bytes())
    run_line(f"{flags(*bare)} --all --output-dir out/here --source-ca-path ca.pem")
    assert read(home, "export")["DEFAULT"]["output_dir"] == str(tmp_path / "out/here")
    assert read(home, "import")["DEFAULT"]["output_dir"] == str(tmp_path / "out/here")
    assert read(home, "export")["DEFAULT"]["ca_path"] == str(tmp_path / "ca.pem")
    assert "ca_path" not in read(home, "import")["DEFAULT"]
