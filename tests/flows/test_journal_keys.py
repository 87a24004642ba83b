"""The journal's keys: what they belong to, and what can be read from them alone."""

from dataclasses import replace

from cmlutils.application import Application
from cmlutils.flows.replaying.journal_keys import Named, keyed, named, unfinished
from cmlutils.job import Job
from cmlutils.journal import Journal
from cmlutils.model import Model

JOB = Job("a 1", "dir/b 2.py")
BOARD = Application("Board", "board")


def test_equals_are_counted_and_a_subdomain_is_there_once():
    every = [Model("m"), Model("m"), JOB, JOB, replace(JOB, script="c"), BOARD, BOARD]
    keys = [key for key, _ in keyed(every)]
    assert keys[:2] == ["model m 0", "model m 1"]
    assert keys[5:] == ["application board", "application board"]
    assert len(set(keys)) == 6
    assert [one for _, one in keyed(every)] == every


def test_a_key_tells_what_it_is_of():
    names = [named(key) for key, _ in keyed([Model("m 0 "), JOB, BOARD])]
    assert names == [Named("model", ("m 0 ",)), Named("job", ("a 1", "dir/b 2.py")), Named("application", ("board",))]
    assert named("v2 key") is named("in project") is named("job [ 0") is named("job 7 0") is None


def test_what_is_unfinished_is_known_by_its_whole_name(tmp_path):
    journal = Journal(tmp_path / "journal")
    journal.begin("model Churn Explainer 0", [])
    journal.begin("application churn-2", [])
    journal.begin(keyed([JOB, JOB])[1][0], [])
    models = [Model("Churn"), Model("Churn Explainer"), Model("Churn Explainer 0")]
    boards = [replace(BOARD, subdomain=one) for one in ("churn", "churn-2", "churn-22")]
    assert unfinished(journal, [*models, JOB, *boards]) == [models[1], JOB, boards[1]]
