"""After a crash the journal knows what was begun; if it is damaged, it says so."""

import os
import stat
from pathlib import Path

import pytest

from cmlutils.errors import BundleError
from cmlutils.journal import Journal, JournalEntry


def test_entries_survive_the_process(tmp_path):
    path = tmp_path / "journal"
    first = Journal(path)
    first.begin("job a", ["1"])
    first.made("job a", "7")
    first.begin("job b", [])
    first.done("job a")
    again = Journal(path)
    assert again.entry("job a").done
    assert again.entry("job a").target_id == "7"
    assert again.entry("job a").before == ("1",)
    assert again.unfinished() == ["job b"]
    assert again.entry("job c") is None


def test_what_is_begun_is_neither_made_nor_done_nor_doomed(tmp_path):
    journal = Journal(tmp_path / "journal")
    journal.begin("job a", ["1"])
    assert Journal(tmp_path / "journal").entry("job a") == JournalEntry(
        ("1",), target_id="", doomed="", done=False, left=False
    )


def test_each_line_is_on_disk_and_a_new_file_is_in_its_folder_before_the_call_that_it_speaks_of(tmp_path, monkeypatch):
    path = tmp_path / "journal"
    synced = []
    real = os.fsync

    def fsync(handle):
        real(handle)
        status = os.fstat(handle)
        synced.append("folder" if stat.S_ISDIR(status.st_mode) else status.st_size)
        assert (status.st_dev, status.st_ino) in {(one.stat().st_dev, one.stat().st_ino) for one in (path, tmp_path)}

    monkeypatch.setattr(os, "fsync", fsync)
    journal = Journal(path)
    journal.begin("a", [])
    assert synced == [path.stat().st_size, "folder"]
    journal.made("a", "7")
    assert synced[2:] == [path.stat().st_size]


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="needs /proc")
def test_a_long_journal_keeps_no_file_open(tmp_path):
    before = len(list(Path("/proc/self/fd").iterdir()))
    Journal(tmp_path / "journal").begin("a", [])
    Journal(tmp_path / "journal").made("a", "7")
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_a_torn_last_line_is_dropped_and_written_over(tmp_path):
    path = tmp_path / "journal"
    Journal(path).begin("a", [])
    with path.open("ab") as file:
        file.write(b'{"key": "b", "ev')
    again = Journal(path)
    assert again.unfinished() == ["a"]
    again.begin("c", [])
    assert Journal(path).unfinished() == ["a", "c"]


def test_what_is_gone_was_never_there(tmp_path):
    journal = Journal(tmp_path / "journal")
    journal.begin("a", [])
    journal.gone("a")
    assert Journal(tmp_path / "journal").entry("a") is None


def test_the_journal_is_private(tmp_path):
    Journal(tmp_path / "journal").begin("a", [])
    assert (tmp_path / "journal").stat().st_mode & 0o777 == 0o600


def test_what_is_doomed_stays_so_until_it_is_gone(tmp_path):
    path = tmp_path / "journal"
    journal = Journal(path)
    journal.begin("application a", [])
    journal.made("application a", "7")
    journal.done("application a")
    journal.doom("application a", "it runs")
    entry = Journal(path).entry("application a")
    assert (entry.doomed, entry.target_id, entry.done) == ("it runs", "7", False)
    assert Journal(path).unfinished() == ["application a"]


def test_what_is_left_to_a_person_is_remembered(tmp_path):
    journal = Journal(tmp_path / "journal")
    journal.begin("a", [])
    journal.done("a", left=True)
    assert Journal(tmp_path / "journal").entry("a").left
    journal.done("a")
    assert not Journal(tmp_path / "journal").entry("a").left


def test_the_ids_of_a_kind_are_those_of_other_keys(tmp_path):
    journal = Journal(tmp_path / "journal")
    for key, number in (("job a", "1"), ("job b", "2"), ("model a", "3")):
        journal.begin(key, [])
        journal.made(key, number)
    journal.begin("job c", [])
    assert journal.ids("job", "job b") == {"1"}


def test_the_ids_of_what_was_taken_away_are_known_as_long_as_it_is_the_same_project(tmp_path):
    journal = Journal(tmp_path / "journal")
    journal.enter(1)
    for key, number in (("job a", "1"), ("job b", "2")):
        journal.begin(key, [])
        journal.made(key, number)
    journal.doom("job a", "It runs.")
    journal.gone("job a")
    journal.gone("job b")
    assert Journal(tmp_path / "journal").ids("job", "job a") == {"1"}
    assert Journal(tmp_path / "journal").ids("model", "model a") == set()
    journal.enter(2)
    assert Journal(tmp_path / "journal").ids("job", "job a") == set()


def test_a_project_that_is_begun_anew_is_another_one_though_it_gets_the_same_id(tmp_path):
    journal = Journal(tmp_path / "journal")
    journal.begin("project dana P", [])
    journal.enter(1)
    journal.begin("job a", [])
    journal.done("hand over 1: visibility")
    assert Journal(tmp_path / "journal").is_in(1)
    journal.begin("project dana P", [])
    for one in (journal, Journal(tmp_path / "journal")):
        assert not one.is_in(1)
    assert Journal(tmp_path / "journal").enter(1) == ["job a"]
    anew = Journal(tmp_path / "journal")
    assert anew.is_in(1)
    assert (anew.entry("job a"), anew.entry("hand over 1: visibility")) == (None, None)


def test_where_a_thing_is_is_remembered_with_its_id(tmp_path):
    journal = Journal(tmp_path / "journal")
    journal.begin("project dana P", [])
    journal.made("project dana P", "7", "dana/p")
    for one in (journal, Journal(tmp_path / "journal")):
        assert one.entry("project dana P") == JournalEntry(target_id="7", place="dana/p")


def test_what_was_begun_in_another_project_is_forgotten_and_nothing_else(tmp_path):
    journal = Journal(tmp_path / "journal")
    journal.begin("project dana P", [])
    journal.enter(1)
    journal.begin("v2 key", [])
    for key in ("model a", "application b", "job c", "job d"):
        journal.begin(key, [])
    journal.done("job d")
    assert Journal(tmp_path / "journal").enter(2) == ["model a", "application b", "job c"]
    anew = Journal(tmp_path / "journal")
    assert anew.unfinished() == ["project dana P", "v2 key"]
    assert [anew.entry(key) for key in ("model a", "application b", "job c", "job d")] == [None] * 4


@pytest.mark.parametrize(
    "line",
    [
        "{}", "[]", "no", '{"key": 1, "event": "done"}', '{"key": "a", "event": "odd"}',
        '{"key": "a", "event": []}', '{"key": "a", "event": {}}',
        pytest.param("[" * 100_000, id="too deep"),
    ],
)  # fmt: skip
def test_a_damaged_journal_is_named(tmp_path, line):
    path = tmp_path / "journal"
    path.write_text(f'{line}\n{{"key": "a", "event": "done"}}\n')
    with pytest.raises(BundleError, match="journal is damaged"):
        Journal(path)


def test_a_line_that_can_not_be_written_whole_is_not_there(tmp_path, monkeypatch):
    path = tmp_path / "journal"
    journal = Journal(path)
    journal.begin("a", [])
    before = path.read_bytes()
    real = os.write

    def full(handle, data):
        if not data.startswith(b"{"):
            raise OSError(28, "No space left on device")
        return real(handle, data[:5])

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        with pytest.raises(BundleError, match="No space left"):
            journal.made("a", "7")
    assert path.read_bytes() == before
    assert journal.entry("a").target_id == ""
    journal.made("a", "8")
    assert Journal(path).entry("a").target_id == "8"


def test_anothers_journal_is_only_read(tmp_path):
    path = tmp_path / "journal"
    path.write_text('{"key": "a", "event": "begun", "value": []}\n{"key": "b", "ev')
    assert Journal(path, read_only=True).unfinished() == ["a"]
    assert path.read_text().endswith('"ev')
