from cmlutils.journal import Journal


def test_steps_survive_the_process(tmp_path):
    path = tmp_path / "journal"
    first = Journal(path)
    first.begin("job a", ["1"])
    first.made("job a", "7")
    first.begin("job b", [])
    first.done("job a")
    again = Journal(path)
    assert again.step("job a").done
    assert again.step("job a").target_id == "7"
    assert again.step("job a").before == ("1",)
    assert again.unfinished() == ["job b"]
    assert again.step("job c") is None


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
    assert Journal(tmp_path / "journal").step("a") is None


def test_the_journal_is_private(tmp_path):
    Journal(tmp_path / "journal").begin("a", [])
    assert (tmp_path / "journal").stat().st_mode & 0o777 == 0o600
