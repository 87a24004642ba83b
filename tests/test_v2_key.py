"""A run makes at most one v2 key, never forgets one, and never revokes a person's key."""

import json
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime

import pytest
import responses

from cmlutils.errors import AnswerLost, Rejected
from cmlutils.journal import Journal
from cmlutils.remote import v2_key
from cmlutils.remote.http import Http, Patience
from cmlutils.remote.v1 import ApiV1
from cmlutils.remote.v2_key import JOURNAL_KEY, V2Key
from cmlutils.section import Secret, Workspace

URL = "https://ws.example.com"
KEYS = f"{URL}/api/v1/users/dana/apikey"
NOW = datetime(2026, 5, 1, 8, 30, tzinfo=timezone.utc)
OURS = {"created_at": "2026-05-01", "expiry_date": "2026-05-02"}


class Keys:
    """The keys of a workspace, as rows by id; its attributes set what the workspace does wrong."""

    def __init__(self, mock):
        self.rows = {}
        self.shown = OURS
        self.lost = self.refused = 0  # how many of the next POSTs lose their answers and how many DELETEs are refused
        self.lost_as = 502
        self.says_id = self.revokes = True
        self.made = 0
        self.headers, self.ends = {}, ""
        mock.add_callback("GET", KEYS, lambda request: (200, self.headers, json.dumps(list(self.rows.values()))))
        mock.add_callback("POST", KEYS, self._create)
        for number in range(9):
            mock.add_callback("DELETE", f"{KEYS}/id{number}", self._delete)

    def add(self, keyid, **shown):
        self.rows[keyid] = {"keyid": keyid, **shown}

    def _create(self, request):
        self.made += 1
        self.ends = json.loads(request.body)["expiryDate"]
        keyid = f"id{self.made}"
        self.add(keyid, **self.shown)
        if self.lost:
            self.lost -= 1
            return self.lost_as, {}, ""
        return 200, {}, json.dumps({"apiKey": f"secret-{keyid}", **({"keyid": keyid} if self.says_id else {})})

    def _delete(self, request):
        if self.refused:
            self.refused -= 1
            return 403, {}, json.dumps({"message": "not now"})
        if self.revokes and not self.rows.pop(request.url.rpartition("/")[2], None):
            return 404, {}, json.dumps({"message": "apikey.notFound"})
        return 200, {}, "{}"


@pytest.fixture
def keys(monkeypatch):
    monkeypatch.setattr(v2_key, "_TRIES", (0.0,) * len(v2_key._TRIES))
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        yield Keys(mock)


class Runs:
    """Imports that run one after another with the same journal."""

    def __init__(self, v1, path):
        self.v1, self.path = v1, path
        self.at = NOW.timestamp()

    def key(self):
        return V2Key(self.v1, "dana", Journal(self.path), now=lambda: NOW)

    def run(self, uses=1):
        """Use the key this many times; return what is left for a person to do about it."""
        key = self.key()
        with key:
            for _ in range(uses):
                with pytest.raises((Rejected, AnswerLost)):
                    raise_unless_made(key)
        return key.left

    def killed(self, ago=3600):
        """Act as if an import had died just before the request that makes the key, this many seconds ago."""
        self.at = NOW.timestamp() - ago
        Journal(self.path).begin(JOURNAL_KEY, [])
        self.at = NOW.timestamp()


def raise_unless_made(key):
    assert key.get()
    raise Rejected("it was made", status=0)


@pytest.fixture
def runs(tmp_path, monkeypatch):
    patience = Patience(60.0, lambda _: None, lambda: 0.0, lambda _: None)
    with Http(Workspace(URL, "dana", Secret("k" * 32)), patience) as http:
        http.answered = True
        found = Runs(ApiV1(http), tmp_path / "journal")
        monkeypatch.setattr("cmlutils.journal.time.time", lambda: found.at)
        yield found


def test_no_second_key_is_made_while_the_first_is_not_revoked(runs, keys, caplog):
    keys.lost, keys.refused = 1, 99
    (left,) = runs.run(uses=3)
    assert keys.made == 1
    assert "id1" in left
    assert "secret" not in left + caplog.text
    keys.refused = 0
    assert runs.run() == []
    assert (keys.made, keys.rows) == (2, {})


def test_a_key_that_is_not_revoked_at_once_is_tried_again(runs, keys):
    keys.lost, keys.refused = 1, 1
    assert runs.run() == []
    assert (keys.made, keys.rows) == (2, {})
    keys.refused = 2
    assert runs.run() == []
    assert (keys.made, keys.rows) == (3, {})


@pytest.mark.parametrize("days", [-400, 3, 400])
def test_a_key_ends_a_day_later_by_the_workspaces_clock(runs, keys, days):
    there = NOW + timedelta(days=days)  # by our clock it is NOW
    keys.headers = {"Date": format_datetime(there, usegmt=True)}
    today, ends = (str((NOW + timedelta(days=n)).date()) for n in (days, days + 1))
    keys.shown = {"created_at": today, "expiry_date": ends}
    keys.lost = 1
    assert runs.run() == []
    assert keys.ends[:10] == ends
    assert (keys.made, keys.rows) == (2, {})


def test_a_key_is_not_tried_again_when_that_takes_too_long(runs, keys, monkeypatch):
    monkeypatch.setattr(v2_key, "_SECONDS", -1.0)
    keys.lost, keys.refused = 1, 2  # one try before the next key would be made, and one at the end
    (left,) = runs.run()
    assert left.startswith("Revoke the API key id1 of dana")
    assert runs.run() == []
    assert (keys.made, keys.rows) == (2, {})


def test_two_lost_answers_leave_nothing(runs, keys):
    keys.lost = 4
    assert runs.run(uses=2) == []
    assert (keys.made, keys.rows) == (4, {})


def test_a_key_that_was_made_though_it_was_refused_is_revoked_at_once(runs, keys):
    keys.lost, keys.lost_as = 1, 403
    key = runs.key()
    with key:
        with pytest.raises(Rejected):
            key.get()
        assert keys.rows == {}
    assert keys.made == 1


@pytest.mark.parametrize("shown", [{}, {"expiry_date": None}, {"created_at": "2026-05-01"}])
def test_a_key_that_may_be_a_persons_is_named_and_stays(runs, keys, shown):
    runs.killed()
    keys.add("id7", **shown)
    (left,) = runs.run()
    assert left.startswith("Revoke the API key id7 of dana on ws.example.com")
    assert [*keys.rows] == ["id7"]
    assert runs.run() == []


@pytest.mark.parametrize(
    "shown", [{"expiry_date": "2027-05-01"}, {"created_at": "2026-04-29", "expiry_date": "2026-05-02T08:30:00.000Z"}]
)
def test_a_key_that_lives_longer_than_ours_is_a_persons(runs, keys, shown):
    runs.killed()
    keys.add("id7", **shown)
    keys.add("id8", **OURS)
    assert runs.run() == []
    assert [*keys.rows] == ["id7"]


@pytest.mark.parametrize("shown", [{}, {"expiry_date": None}, {"created_at": "2026-05-01"}])
def test_a_key_that_came_lately_and_does_not_show_its_end_is_ours(runs, keys, shown):
    runs.killed(ago=60)
    keys.add("id7", **shown)
    assert runs.run() == []
    assert keys.rows == {}


def test_a_key_without_an_end_is_taken_for_the_one_whose_answer_got_lost_just_now(runs, keys):
    keys.lost, keys.shown = 1, {}
    assert runs.run(uses=2) == []
    assert (keys.made, keys.rows) == (2, {})


def test_of_several_keys_that_may_be_ours_none_is_revoked(runs, keys):
    runs.killed()
    keys.add("id7", **OURS)
    keys.add("id8", **OURS)
    (left,) = runs.run()
    assert "one of the API keys id7, id8" in left
    assert [*keys.rows] == ["id7", "id8"]


def test_a_key_that_a_workspace_only_says_to_have_revoked_is_left_to_a_person(runs, keys):
    keys.revokes = False
    (left,) = runs.run()
    assert left.startswith("Revoke the API key id1 of dana on ws.example.com")
    assert len(runs.run()) == 1
    assert keys.made == 1
    keys.rows["id1"]["expiry_date"] = "2026-04-30"  # it has expired
    assert "id2" in runs.run()[0]


@pytest.mark.parametrize("ago", [0, 3600])
@pytest.mark.parametrize("shown", [OURS, {}, {"expiry_date": "2027-05-01"}])
def test_a_key_whose_id_was_not_said_is_found_and_revoked_at_the_end_of_a_long_run_too(runs, keys, shown, ago):
    runs.at -= ago
    keys.add("id8", expiry_date="2027-05-01")
    keys.says_id, keys.shown = False, shown
    assert runs.run(uses=2) == []
    assert (keys.made, [*keys.rows]) == (1, ["id8"])


def test_a_key_whose_id_is_never_shown_is_left_to_a_person(runs, keys, monkeypatch):
    keys.says_id = False
    monkeypatch.setattr(keys, "add", lambda keyid, **shown: None)
    (left,) = runs.run()
    assert left.startswith("Revoke the API key that ends in a day of dana on ws.example.com")
