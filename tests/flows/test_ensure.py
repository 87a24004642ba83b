"""Repeatable steps, on the smallest possible target and with a real journal."""

from collections import deque
from dataclasses import replace

import pytest
from shelf import Shelf

from cmlutils import interrupts
from cmlutils.errors import AnswerLost, ApiError, BundleError, Interrupted, NotFound, Rejected, Unreachable
from cmlutils.flows.replaying.kinds import Inventory
from cmlutils.flows.replaying.steps import CannotBeInertError, Finished
from cmlutils.journal import JournalEntry
from cmlutils.report import Outcome, Status

KEY = "thing a 0"
LOST = AnswerLost("No answer.")
REFUSED = Rejected("Refused.", status=400, hint="Ask for less.")
BROKEN = ApiError("Broken.")
AWAY = Unreachable("It is away.", hint="Wait.")
LIVE = CannotBeInertError("It runs.", hint="Stop it.")
LOUD = "IS STILL ON THE TARGET AND MAY BE LIVE"


@pytest.fixture
def shelf(tmp_path):
    return Shelf(tmp_path / "journal")


def made(number, status=Status.CREATED, **more):
    return Outcome("thing", "a", status, str(number), **more)


def failed(note, todo):
    return Outcome("thing", "a", Status.FAILED, note=note, todo=todo)


# Things that are there already, and whose they are


def test_what_is_missing_is_created_finished_and_done(shelf, caplog):
    caplog.set_level("INFO", "cmlutils")
    step = shelf.step()
    assert shelf.ensure(step) == (made(7), {"id": 7, "name": "a", "live": False})
    assert shelf.asked == ["list", "create", "finish"]
    assert shelf.pauses == []
    assert shelf.journal.entry(KEY) == JournalEntry((), "7", done=True)
    assert step.claimed == {"7"}
    assert [one["id"] for one in step.find()] == [7]
    assert "thing a: created" in caplog.text


def test_what_is_done_is_looked_at_and_left(shelf):
    shelf.ensure()
    step = shelf.step()
    assert shelf.ensure(step) == (made(7, Status.PRESENT), shelf.things[7])
    assert shelf.asked == ["list"]
    assert step.claimed == {"7"}


def test_what_somebody_else_made_stays_as_it_is_and_is_not_ours(shelf):
    shelf.put("b")
    number = shelf.put("a", live=True)
    for _ in range(2):
        outcome, record = shelf.ensure()
        assert (outcome, record["live"]) == (made(number, Status.PRESENT), True)
        assert shelf.asked == ["list"]
        assert shelf.journal.entry(KEY) is None


def test_what_runs_and_nobody_knows_who_made_it_needs_a_person_and_stays_as_it_is(shelf):
    number = shelf.put(live=True)
    step = shelf.step(live=lambda one: "it runs" if one["live"] else "")
    outcome, record = shelf.ensure(step)
    todo = "stop it, unless somebody wants it to run: this import did not create it"
    assert outcome == made(number, Status.PRESENT, note="it runs", todo=todo, needs_hand=True)
    assert record["live"]
    assert shelf.writes == []


def test_of_equals_each_gets_one_and_what_was_there_counts(shelf):
    there = shelf.put()
    for statuses in (["present", "created", "created"], ["present"] * 3):
        kind = shelf.kind()
        found = [shelf.ensure(shelf.step(nth=nth, kind=kind)) for nth in range(3)]
        assert [outcome.status.value for outcome, _ in found] == statuses
        assert [outcome.target_id for outcome, _ in found] == [there, "8", "9"]
        assert kind.claimed == {("a",): {there, "8", "9"}}
    assert shelf.journal.entry("thing a 1").before == (there,)
    assert shelf.journal.entry("thing a 2").before == (there, "8")


def test_of_equals_the_one_that_went_is_made_anew_and_not_taken_from_the_other(shelf):
    for nth in range(2):
        shelf.ensure(shelf.step(nth=nth))
    del shelf.things[7]
    assert shelf.ensure()[0] == made(9)
    assert shelf.journal.entry("thing a 1").target_id == "8"


def test_a_thing_of_another_kind_with_the_same_number_takes_nothing_away(shelf):
    shelf.journal.begin("other a 0", [])
    shelf.journal.made("other a 0", "7")
    shelf.put()
    assert shelf.ensure()[0] == made(7, Status.PRESENT)


def test_what_a_person_made_again_by_hand_stays_as_it_is(shelf):
    shelf.ensure()
    shelf.things.clear()
    number = shelf.put(live=True)
    outcome, record = shelf.ensure()
    assert (outcome, record["live"]) == (made(number, Status.PRESENT), True)


def test_ours_is_known_by_its_id_whatever_the_target_calls_it(shelf):
    shelf.ensure()
    shelf.put("a")
    shelf.things[7]["name"] = "A"
    assert shelf.ensure() == (made(7, Status.PRESENT), shelf.things[7])


@pytest.mark.parametrize("hidden", [1, 2, 3])
def test_what_is_done_and_a_target_that_is_coming_up_does_not_show_yet_is_not_made_again(shelf, hidden):
    shelf.ensure()
    shelf.shown, shelf.slow, shelf._behind = {}, 9, 0
    shelf.trouble["read"] = [NotFound("Not there.", status=404)] * hidden
    assert shelf.ensure()[0] == made(7, Status.PRESENT)
    assert shelf.writes == []


def test_of_what_a_person_has_deleted_only_the_first_is_waited_for(shelf):
    for nth in range(3):
        shelf.ensure(shelf.step(nth=nth))
    shelf.things.clear()
    kind, pauses = shelf.kind(), []
    for nth in range(3):
        assert shelf.ensure(shelf.step(nth=nth, kind=kind))[0].status is Status.CREATED
        pauses.append(sum(shelf.pauses))
    assert pauses == [7.0, 0.0, 0.0]


# Things left by a crash


def test_a_crash_before_the_creation_creates_it(shelf):
    there = shelf.put()
    shelf.journal.begin(KEY, [there])
    assert shelf.ensure()[0] == made(8)
    assert shelf.writes == ["create", "finish"]
    assert shelf.pauses == [0.0, 1.0, 2.0, 4.0]  # what was made before the crash could show late
    assert shelf.journal.entry(KEY) == JournalEntry((there,), "8", done=True)


def test_a_crash_after_the_creation_finishes_what_came(shelf):
    shelf.journal.begin(KEY, [shelf.put()])
    came = shelf.put(live=True)
    assert shelf.ensure() == (made(came), {"id": 8, "name": "a", "live": False})
    assert shelf.writes == ["finish"]
    assert shelf.journal.entry(KEY).done


def test_a_crash_before_the_finish_finishes_it(shelf):
    shelf.journal.begin(KEY, [])
    shelf.journal.made(KEY, shelf.put(live=True))
    shelf.put()
    assert shelf.ensure() == (made(7), {"id": 7, "name": "a", "live": False})
    assert shelf.writes == ["finish"]


@pytest.mark.parametrize("hidden", [1, 2, 3])
def test_what_a_killed_import_made_and_nothing_shows_yet_is_not_made_again(shelf, hidden):
    shelf.journal.begin(KEY, [])
    shelf.journal.made(KEY, shelf.put(live=True))
    shelf.shown, shelf.slow, shelf._behind = {}, 9, 0
    shelf.trouble["read"] = [NotFound("Not there.", status=404)] * hidden
    assert shelf.ensure()[0] == made(7)
    assert shelf.writes == ["finish"]
    assert len(shelf.things) == 1


def test_what_is_doomed_and_not_shown_yet_is_not_gone(shelf):
    shelf.journal.begin(KEY, [])
    shelf.journal.made(KEY, shelf.put(live=True))
    shelf.journal.doom(KEY, "Why.")
    shelf.shown, shelf.slow, shelf._behind = {}, 9, 0
    shelf.trouble["read"] = [NotFound("Not there.", status=404)] * 2
    shelf.ensure()
    assert [one["id"] for one in shelf.things.values()] == [8]


def test_what_went_before_it_was_finished_is_created_anew(shelf):
    shelf.journal.begin(KEY, [])
    shelf.journal.made(KEY, "1")
    there = shelf.put("b")
    assert shelf.ensure()[0] == made(8)
    assert shelf.journal.entry(KEY).before == (there,)


def test_what_went_before_it_was_finished_and_a_person_replaced_stays_as_it_is(shelf):
    shelf.journal.begin(KEY, [])
    shelf.journal.made(KEY, "1")
    there = shelf.put(live=True)
    assert shelf.ensure()[0] == made(there, Status.PRESENT)
    assert (shelf.writes, shelf.journal.entry(KEY)) == ([], None)


def unlisted(shelf, *, done):
    """Put on the shelf what an earlier run has made, or done, and no listing shows."""
    shelf.journal.begin(KEY, [])
    shelf.journal.made(KEY, shelf.put())
    if done:
        shelf.journal.done(KEY)
    shelf.shown, shelf.slow = {}, 99


@pytest.mark.parametrize("done", [False, True])
def test_what_a_listing_lacks_is_asked_for_by_its_id(shelf, done):
    unlisted(shelf, done=done)
    assert shelf.ensure()[0] == made(7, Status.PRESENT if done else Status.CREATED)
    assert shelf.writes == ([] if done else ["finish"])
    assert list(shelf.things) == [7]


@pytest.mark.parametrize("done", [False, True])
def test_what_may_not_be_read_is_not_taken_for_gone(shelf, done):
    unlisted(shelf, done=done)
    shelf.trouble["read"] = [Rejected("Forbidden.", status=403)] * 9
    assert shelf.ensure()[0].status is Status.FAILED
    assert list(shelf.things) == [7]
    shelf.trouble.clear()
    assert shelf.ensure()[0] == made(7, Status.PRESENT if done else Status.CREATED)


@pytest.mark.parametrize("slow", [1, 2, 3])
def test_what_a_crash_made_and_shows_late_is_not_made_again(shelf, slow):
    shelf.journal.begin(KEY, [])
    shelf.slow = slow
    shelf.create("a")
    assert shelf.ensure()[0] == made(7)
    assert shelf.writes == ["finish"]
    assert shelf.pauses == [0.0, 1.0, 2.0, 4.0][: slow + 1]


def test_what_is_refused_after_a_crash_may_be_there_and_is_not_forgotten(shelf):
    shelf.journal.begin(KEY, [])
    shelf.slow = 99
    shelf.create("a")
    shelf.trouble["create"] = [REFUSED]
    outcome, _ = shelf.ensure()
    assert outcome.status is Status.FAILED
    assert "MAY BE ON THE TARGET, AND LIVE" in outcome.note
    shelf.slow = 0
    assert shelf.ensure()[0] == made(7)
    assert not shelf.things[7]["live"]


@pytest.mark.parametrize("spelled", ["Straße 1", "strasse-1", "STRASSE_1"])
def test_what_a_target_spells_anew_is_known_after_a_lost_answer(shelf, spelled):
    shelf.put("b")
    shelf.trouble["create"] = [(LOST, "after")]
    step = shelf.step("Straße 1")
    create = shelf.create
    assert shelf.ensure(shelf.step("Straße 1", create=lambda: create(spelled)))[0].status is Status.CREATED
    assert [one["name"] for one in shelf.things.values()] == ["b", spelled]
    assert shelf.ensure(step)[0].status is Status.PRESENT


def test_what_another_made_meanwhile_is_not_ours(shelf):
    shelf.journal.begin(KEY, [])
    there = shelf.put(by="kai")
    step = shelf.step(may_be_ours=lambda one: one.get("by") != "kai")
    assert shelf.ensure(step)[0] == made(there, Status.PRESENT)
    assert (shelf.writes, shelf.journal.entry(KEY)) == ([], None)


# Things left for a person to do


def test_what_finishing_found_is_told_and_what_needs_a_person_is_done_again(shelf):
    shelf.found = Finished("a note", "to do", fallback=True, needs_hand=True)
    said = {"note": "a note", "todo": "to do", "needs_hand": True}
    assert shelf.ensure()[0] == made(7, Status.FALLBACK, **said)
    assert shelf.journal.entry(KEY).left
    assert shelf.ensure()[0] == made(7, Status.PRESENT, **said)
    assert shelf.asked == ["list", "again"]
    shelf.found = Finished("a note")
    assert shelf.ensure()[0] == made(7, Status.PRESENT, note="a note")
    assert shelf.ensure()[0] == made(7, Status.PRESENT, note="a note")
    assert shelf.asked == ["list"]


def test_what_was_told_once_is_told_by_every_later_run(shelf):
    shelf.found = Finished("a note", "to do")
    assert shelf.ensure()[0] == made(7, note="a note", todo="to do")
    for _ in range(2):
        assert shelf.ensure()[0] == made(7, Status.PRESENT, note="a note", todo="to do")
        assert shelf.asked == ["list"]


# Things that can't be made


LACKING = failed("No runtime.", "Add one.")


def test_what_can_not_be_made_is_not_even_begun(shelf):
    assert shelf.ensure(shelf.step(lacks=lambda: LACKING)) == (LACKING, None)
    assert shelf.asked == ["list"]
    assert shelf.journal.entry(KEY) is None


def test_what_is_there_stays_though_it_could_not_be_made_today(shelf):
    shelf.put()
    assert shelf.ensure(shelf.step(lacks=lambda: LACKING))[0] == made(7, Status.PRESENT)
    assert shelf.writes == []


@pytest.mark.parametrize("known", [True, False])
def test_what_a_crash_has_left_is_finished_though_it_could_not_be_made_today(shelf, known):
    shelf.journal.begin(KEY, [])
    shelf.create("a")
    if known:
        shelf.journal.made(KEY, "7")
    assert shelf.things[7]["live"]
    assert shelf.ensure(shelf.step(lacks=lambda: LACKING))[0] == made(7)
    assert shelf.writes == ["finish"]
    assert not shelf.things[7]["live"]


def test_what_was_done_is_not_taken_away_because_it_can_not_be_read(shelf):
    shelf.found = Finished(needs_hand=True)
    shelf.ensure()
    shelf.trouble["again"] = [BROKEN, BROKEN]
    assert shelf.ensure() == (failed("Broken.", "Run the import again."), None)
    assert shelf.writes == ["again", "again"]
    assert shelf.journal.entry(KEY) == JournalEntry((), "7", done=True, left=True)


def test_what_comes_to_life_when_it_is_done_again_is_taken_away(shelf):
    shelf.found = Finished(needs_hand=True)
    shelf.ensure()
    shelf.trouble["again"] = [LIVE]
    assert shelf.ensure() == (failed("It runs. It was deleted again.", "Stop it."), None)
    assert (shelf.things, shelf.journal.entry(KEY)) == ({}, None)


# Lost answers


@pytest.mark.parametrize(
    ("slow", "pauses"), [(0, [0.0]), (1, [0.0, 1.0]), (2, [0.0, 1.0, 2.0]), (3, [0.0, 1.0, 2.0, 4.0])]
)
def test_what_a_lost_answer_made_is_looked_for_until_it_shows(shelf, slow, pauses):
    shelf.journal.begin("thing a 1", [])
    shelf.journal.made("thing a 1", shelf.put())  # so the thing that is there belongs to another step
    shelf.slow = slow
    shelf.trouble["create"] = [(LOST, "after")]
    assert shelf.ensure() == (made(8), {"id": 8, "name": "a", "live": False})
    assert shelf.writes == ["create", "finish"]
    assert shelf.pauses == pauses
    assert shelf.asked.count("list") == 1 + len(pauses)


def test_a_lost_answer_that_made_nothing_is_followed_by_a_second_try(shelf, caplog):
    shelf.trouble["create"] = [LOST]
    assert shelf.ensure()[0] == made(7)
    assert "No answer. Looking whether thing a was created." in caplog.text
    assert shelf.asked == ["list", "create", *["list"] * 4, "create", "finish"]


@pytest.mark.parametrize("second", [(LOST, "after"), (REFUSED, "after")])
def test_a_second_try_that_fails_too_is_looked_after(shelf, second):
    shelf.trouble["create"] = [LOST, second]
    assert shelf.ensure()[0] == made(7)
    assert shelf.writes == ["create", "create", "finish"]
    assert shelf.pauses == [0.0, 1.0, 2.0, 4.0, 0.0]


@pytest.mark.parametrize(("second", "todo"), [(LOST, "Run the import again."), (REFUSED, "Ask for less.")])
def test_what_two_lost_answers_did_not_make_may_still_come_and_is_then_ours(shelf, second, todo):
    shelf.trouble["create"] = [LOST, second]
    outcome, record = shelf.ensure()
    assert outcome == replace(
        failed(f"{second.message} thing a MAY BE ON THE TARGET, AND LIVE.", todo), needs_hand=True
    )
    assert record is None
    assert shelf.pauses == [*[0.0, 1.0, 2.0, 4.0] * 2, 0.0]
    assert shelf.journal.entry(KEY) == JournalEntry()
    came = shelf.put(live=True)
    assert shelf.ensure()[0] == made(came)
    assert shelf.writes == ["finish"]


def test_what_is_refused_was_not_begun(shelf):
    shelf.trouble["create"] = [REFUSED]
    assert shelf.ensure() == (failed("Refused.", "Ask for less."), None)
    assert shelf.asked == ["list", "create", "list"]
    assert shelf.pauses == [0.0]
    assert shelf.journal.entry(KEY) is None
    there = shelf.put()  # it comes after the step was given up, so it is somebody else's
    assert shelf.ensure()[0] == made(there, Status.PRESENT)


def test_what_was_made_though_it_was_refused_is_finished(shelf):
    shelf.trouble["create"] = [(REFUSED, "after")]
    assert shelf.ensure() == (made(7), {"id": 7, "name": "a", "live": False})
    assert shelf.writes == ["create", "finish"]


def test_what_was_refused_is_not_forgotten_while_nobody_can_look(shelf):
    shelf.put("b")
    step = shelf.step()
    step.find()
    shelf.trouble.update(create=[(REFUSED, "after")], list=[BROKEN, BROKEN])
    outcome, _ = shelf.ensure(step)
    assert "MAY BE ON THE TARGET, AND LIVE" in outcome.note
    assert shelf.ensure()[0] == made(8)
    assert not shelf.things[8]["live"]


# Things that can't be finished and are removed


def test_a_finish_that_fails_once_is_tried_once_more(shelf, caplog):
    shelf.trouble["finish"] = [BROKEN]
    assert shelf.ensure()[0] == made(7)
    assert "thing a: Broken. Trying once more." in caplog.text
    assert shelf.pauses == [1.0]


@pytest.mark.parametrize(("missing", "broken"), [(2, 1), (2, 2), (3, 1)])
def test_what_shows_late_by_its_id_and_fails_then_is_finished_or_taken_away(shelf, missing, broken):
    shelf.trouble["finish"] = [*[NotFound("Not there.", status=404)] * missing, *[BROKEN] * broken]
    outcome, _ = shelf.ensure()
    if missing + broken < 4:
        assert outcome == made(7)
    else:
        note = "It could not be confirmed as inert: Broken. It was deleted again."
        assert (outcome, shelf.things) == (failed(note, "Run the import again."), {})


def test_what_shows_late_by_its_id_is_waited_for_as_in_a_listing(shelf):
    shelf.trouble["finish"] = [NotFound("Not there.", status=404)] * 3
    assert shelf.ensure()[0] == made(7)
    assert shelf.pauses == [1.0, 2.0, 4.0]


@pytest.mark.parametrize(("error", "todo"), [(BROKEN, "Run the import again."), (REFUSED, "Ask for less.")])
def test_what_can_not_be_shown_to_be_inert_is_taken_away(shelf, error, todo):
    shelf.trouble["finish"] = [error, error]
    step = shelf.step()
    note = f"It could not be confirmed as inert: {error.message} It was deleted again."
    assert shelf.ensure(step) == (failed(note, todo), None)
    assert shelf.asked == ["list", "create", "finish", "finish", "request_stop", "remove", "read"]
    assert shelf.pauses == [1.0, 0.0]
    assert (shelf.things, step.claimed, shelf.journal.entry(KEY)) == ({}, set(), None)


def test_what_is_never_taken_away_is_finished_by_the_next_run(shelf):
    shelf.trouble["finish"] = [BROKEN, BROKEN]
    assert shelf.ensure(shelf.step(kind=shelf.kind(remove=None))) == (failed("Broken.", "Run the import again."), None)
    assert shelf.journal.entry(KEY) == JournalEntry((), "7")
    assert shelf.ensure(shelf.step(kind=shelf.kind(remove=None)))[0] == made(7)
    assert shelf.writes == ["finish"]


def test_what_is_live_is_taken_away_at_once(shelf, caplog):
    shelf.trouble["finish"] = [LIVE]
    assert shelf.ensure() == (failed("It runs. It was deleted again.", "Stop it."), None)
    assert "It runs. It was deleted again." in caplog.text
    assert shelf.writes == ["create", "finish", "request_stop", "remove"]
    assert (shelf.things, shelf.journal.entry(KEY)) == ({}, None)


def test_what_a_listing_shows_after_its_end_is_nobodys(shelf):
    shelf.put("b")
    shelf.ensure()
    shelf.journal.doom(KEY, "It runs.")
    shelf.trouble["create"] = [REFUSED]
    shelf.slow = 2
    assert shelf.ensure()[0].note == "Refused."
    assert shelf.writes == ["request_stop", "remove", "create"]
    assert shelf.pauses == [0.0, 0.0, 0.0]
    assert [one["name"] for one in shelf.things.values()] == ["b"]


def test_what_a_listing_still_shows_of_what_an_earlier_import_took_away_is_nobodys(shelf):
    shelf.ensure()
    shelf.journal.doom(KEY, "It runs.")
    shelf.slow = 99
    lacks = failed("There is no runtime for it.", "Add one.")
    assert shelf.ensure(shelf.step(lacks=lambda: lacks)) == (lacks, None)
    assert [one["id"] for one in shelf.list()] == [7]
    assert shelf.things == {}
    assert shelf.ensure()[0] == made(8)


@pytest.mark.parametrize(
    ("verb", "trouble", "stays"),
    [
        ("remove", [REFUSED] * 4, "Refused"),
        ("remove", [NotFound("Not there.", status=404)] * 4, "it is still there"),
        ("read", [BROKEN] * 9, "Broken"),
    ],
)
def test_what_can_not_be_taken_away_is_said_loudly_and_goes_with_the_next_run(shelf, verb, trouble, stays, caplog):
    shelf.trouble["finish"] = [LIVE]
    shelf.trouble[verb] = trouble
    outcome, record = shelf.ensure()
    note = f"It runs. IT {LOUD}: it could not be deleted again ({stays})."
    todo = "Stop or delete it on the target at once, then run the import again."
    assert outcome == Outcome("thing", "a", Status.FAILED, note=note, todo=todo, needs_hand=True)
    assert record is None
    assert f"thing a {LOUD}: {stays}" in caplog.text
    assert shelf.pauses == [0.0, 1.0, 2.0, 4.0]
    assert shelf.writes == ["create", "finish", "request_stop", *["remove"] * 4]
    assert shelf.journal.entry(KEY) == JournalEntry((), "7", doomed="It runs.")
    shelf.trouble.clear()
    assert shelf.ensure()[0] == made(8)
    assert list(shelf.things) == [8]


def test_what_a_failing_deletion_left_is_not_believed_gone_because_a_listing_lags(shelf):
    shelf.trouble["finish"], shelf.trouble["remove"] = [LIVE], [REFUSED] * 4
    shelf.slow = 99  # it is not in the listing yet
    outcome, _ = shelf.ensure()
    assert LOUD in outcome.note
    assert shelf.journal.entry(KEY).doomed


@pytest.mark.parametrize("trouble", [{"remove": [BROKEN] * 4}, {}])
def test_what_the_target_says_it_does_not_have_is_gone(shelf, trouble):
    shelf.trouble.update({"finish": [LIVE], **trouble})

    def finish(record):
        shelf.things.clear()  # a person deletes it just now
        return shelf.finish(record)

    assert "It was deleted again." in shelf.ensure(shelf.step(finish=finish))[0].note
    assert shelf.journal.entry(KEY) is None


def test_what_is_not_shown_yet_when_its_deletion_fails_is_not_gone(shelf):
    shelf.trouble.update({"finish": [LIVE], "remove": [BROKEN], "read": [NotFound("Not there.", status=404)]})
    shelf.slow = 99  # it is not in the listing yet
    assert "It was deleted again." in shelf.ensure()[0].note
    assert shelf.things == {}


def test_a_target_that_has_nothing_at_any_address_for_a_while_does_not_say_that_it_is_gone(shelf):
    nothing = NotFound("Nothing here.", status=404)
    shelf.trouble["finish"] = [nothing] * 4
    shelf.trouble.update({verb: [nothing] * 4 for verb in ("request_stop", "remove", "read")})
    shelf.trouble["list"] = [None, *[nothing] * 4]
    outcome, _ = shelf.ensure()
    assert LOUD in outcome.note
    assert shelf.journal.entry(KEY).doomed
    assert shelf.ensure()[0] == made(8)
    assert list(shelf.things) == [8]


@pytest.mark.parametrize("looks", [1, 4])
def test_a_lost_answer_and_a_listing_that_can_not_be_read_are_said_until_it_is_found(shelf, looks):
    shelf.trouble["create"] = [(LOST, "after")]
    shelf.trouble["list"] = [None, *[BROKEN] * looks]
    outcome, _ = shelf.ensure()
    if looks < 4:
        assert outcome == made(7)
    else:
        assert "MAY BE ON THE TARGET, AND LIVE" in outcome.note
        assert not shelf.things[7]["live"]  # it was stopped as soon as it could be seen again
    assert len(shelf.things) == 1


def test_what_is_doomed_and_stays_is_neither_kept_nor_made_again(shelf):
    shelf.ensure()
    shelf.journal.doom(KEY, "It runs.")
    shelf.trouble["remove"] = [REFUSED] * 4
    outcome, record = shelf.ensure()
    assert outcome.note.startswith("It runs. IT IS STILL ON THE TARGET")
    assert (record, shelf.writes) == (None, ["request_stop", *["remove"] * 4])
    assert shelf.journal.entry(KEY).doomed == "It runs."


def test_what_is_doomed_and_gone_is_created_anew(shelf):
    shelf.ensure()
    shelf.journal.doom(KEY, "It runs.")
    shelf.things.clear()
    assert shelf.ensure()[0] == made(8)
    assert shelf.writes == ["create", "finish"]


def test_in_place_of_what_is_doomed_and_gone_a_persons_own_is_left(shelf):
    shelf.ensure()
    shelf.journal.doom(KEY, "It runs.")
    shelf.things.clear()
    there = shelf.put()
    assert shelf.ensure()[0] == made(there, Status.PRESENT)
    assert (shelf.writes, shelf.journal.entry(KEY)) == ([], None)


# Workspaces that go away


@pytest.mark.parametrize(
    "trouble",
    [
        {"finish": [AWAY]},
        {"finish": [BROKEN, AWAY]},
        {"finish": [LIVE], "remove": [AWAY]},
        {"finish": [LIVE], "read": [AWAY]},
    ],
)
def test_a_workspace_that_goes_away_ends_the_run_and_what_is_left_there_is_said(shelf, trouble):
    shelf.trouble.update(trouble)
    with pytest.raises(Unreachable) as caught:
        shelf.ensure()
    assert caught.value.message == f"It is away. thing a {LOUD}."
    assert caught.value.hint == "Import again as soon as it is back, to finish or remove it."
    shelf.ensure()
    assert [one["live"] for one in shelf.things.values()] == [False]


@pytest.mark.parametrize("trouble", [{"list": [AWAY]}, {"create": [AWAY]}, {"finish": [AWAY]}])
def test_of_what_is_not_there_or_never_taken_away_nothing_is_said(shelf, trouble):
    shelf.trouble.update(trouble)
    with pytest.raises(Unreachable) as caught:
        shelf.ensure(shelf.step(kind=shelf.kind(remove=None)))
    assert (caught.value.message, caught.value.hint) == ("It is away.", "Wait.")


def test_a_failure_is_an_outcome(shelf, caplog):
    shelf.trouble["list"] = [BROKEN]
    assert shelf.ensure() == (failed("Broken.", "Run the import again."), None)
    assert "thing a failed: Broken." in caplog.text


# Signals


@pytest.mark.parametrize(
    ("trouble", "hushed"),
    [
        ({"list": [Interrupted(2)]}, False),
        ({"create": [Interrupted(2)]}, False),
        ({"create": [(Interrupted(2), "after")]}, True),
        ({"create": [(LOST, "after")], "list": [None, Interrupted(2)]}, True),
        ({"finish": [Interrupted(2)]}, True),
        ({"finish": [LIVE], "remove": [Interrupted(2)]}, True),
        ({"finish": [LIVE], "remove": [(Interrupted(2), "after")]}, True),
    ],
)
def test_a_signal_hushes_what_we_may_have_made_and_the_next_run_finishes_it(shelf, trouble, hushed):
    there = shelf.put(live=True)
    shelf.journal.begin("thing a 1", [])
    shelf.journal.made("thing a 1", there)  # it belongs to another step, so it must not be stopped
    shelf.trouble.update({verb: list(some) for verb, some in trouble.items()})
    with pytest.raises(Interrupted):
        shelf.ensure()
    assert ("request_stop" in shelf.asked) == hushed
    assert [number for number, one in shelf.things.items() if one["live"]] == [int(there)]
    assert shelf.ensure()[0].status is Status.CREATED
    assert len(shelf.things) == 2


def test_a_signal_when_it_is_done_hushes_nothing(shelf):
    shelf.found = Finished(needs_hand=True)
    shelf.ensure()
    shelf.trouble["again"] = [Interrupted(2)]
    with pytest.raises(Interrupted):
        shelf.ensure()
    assert shelf.asked == ["list", "again"]


def test_a_signal_asks_nothing_of_what_does_not_run_by_itself(shelf):
    shelf.trouble["finish"] = [Interrupted(2)]
    with pytest.raises(Interrupted):
        shelf.ensure(shelf.step(runs_by_itself=False))
    assert shelf.asked == ["list", "create", "finish"]


@pytest.mark.parametrize(
    "trouble",
    [
        {"request_stop": [BROKEN]},
        {"request_stop": [AWAY]},
        {"create": [(Interrupted(2), "after")], "list": [None, *[BROKEN] * 3]},
    ],
)
def test_a_signal_ends_the_run_also_when_the_target_does_not_listen(shelf, trouble, caplog):
    shelf.trouble.update({"finish": [Interrupted(2)], **trouble})
    with pytest.raises(Interrupted):
        shelf.ensure()
    assert "thing a may be live until the next import" in caplog.text
    shelf.trouble.clear()
    assert shelf.ensure()[0] == made(7)


def test_a_second_signal_does_not_break_into_the_hush(shelf):
    shelf.trouble["finish"] = [Interrupted(2)]

    def request_stop(record):
        interrupts.hear(15)
        shelf.request_stop(record)

    try:
        with pytest.raises(Interrupted):
            shelf.ensure(shelf.step(request_stop=request_stop))
    finally:
        interrupts.forget()
    assert not shelf.things[7]["live"]


def test_a_journal_that_can_not_be_written_ends_the_run_and_what_was_made_is_hushed(shelf, tmp_path):
    kept = tmp_path / "kept"

    def create():
        record = shelf.create("a")
        shelf.path.rename(kept)
        shelf.path.mkdir()
        return record

    with pytest.raises(BundleError, match="can't be written"):
        shelf.ensure(shelf.step(create=create))
    assert not shelf.things[7]["live"]
    shelf.path.rmdir()
    kept.rename(shelf.path)
    assert shelf.ensure()[0] == made(7)
    assert shelf.writes == ["finish"]


# Listings


def test_a_listing_is_read_once_oldest_first_and_anew_when_there_is_doubt():
    answers = deque([[{"id": 10}, {"id": "9"}, {"id": 2}], [{"id": 11}]])
    inventory = Inventory(answers.popleft)
    assert [one["id"] for one in inventory.rows()] == [2, "9", 10]
    inventory.rows().clear()
    assert len(inventory.rows()) == 3
    assert inventory.rows(anew=True) == [{"id": 11}]
    assert inventory.rows() == [{"id": 11}]


def test_a_listing_knows_what_was_added_once_it_was_read():
    answers = deque([[{"id": 1}]])
    inventory = Inventory(answers.popleft)
    inventory.add({"id": 1})
    assert inventory.rows() == [{"id": 1}]
    inventory.add({"id": 2})
    inventory.add({"id": "2"})
    assert inventory.rows() == [{"id": 1}, {"id": 2}]


@pytest.mark.parametrize("row", [{}, {"id": None}, {"id": [1]}])
def test_something_without_an_id_stops_the_step_before_it_creates_anything(shelf, row):
    outcome, _ = shelf.ensure(shelf.step(kind=shelf.kind(inventory=Inventory(lambda: [{"id": 1, "name": "b"}, row]))))
    assert outcome == failed("The target lists something without an id.", "Run the import again.")
    assert shelf.asked == []
