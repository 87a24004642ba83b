"""The routes of v1 and v2: addresses, bodies, shapes, paging, owners."""

from __future__ import annotations

import json
import logging
from datetime import datetime, timedelta, timezone
from operator import attrgetter
from urllib.parse import parse_qs, urlsplit

import pytest

from cmlutils.application import ENDED
from cmlutils.bundle import Bundle
from cmlutils.errors import AnswerLost, ApiError, ConfigError, NotFound, Unauthorized
from cmlutils.flows.read_project import read_records
from cmlutils.journal import Journal
from cmlutils.model import live_status
from cmlutils.project import ProjectRef
from cmlutils.remote.http import Http, Patience
from cmlutils.remote.v1 import ApiV1
from cmlutils.remote.v2 import ApiV2
from cmlutils.remote.v2_key import V2Key
from cmlutils.section import Secret, Workspace

URL = "https://ws.example.com"
SUMMARY = f"{URL}/api/v1/users/dana/projects-summary"
PROJECT = f"{URL}/api/v1/projects/dana/churn-model"
REF = ProjectRef("dana", "churn-model", 7, "Churn Model")


@pytest.fixture
def api():
    patience = Patience(60.0, lambda _: None, lambda: 0.0, lambda _: None)
    with Http(Workspace(URL, "dana", Secret("k" * 32)), patience) as http:
        yield ApiV1(http)


def row(number, name="Churn Model", owner="dana", kind="user", creator="dana"):
    return {
        "id": number,
        "name": name,
        "slug_raw": f"slug-{number}",
        "owner": {"username": owner, "type": kind},
        "creator": {"username": creator, "type": "user"},
    }


def query(call):
    return {key: values[0] for key, values in parse_qs(urlsplit(call.request.url).query).items()}


def sent(mock, index=-1):
    return json.loads(mock.calls[index].request.body)


def paged(rows):
    def answer(request):
        asked = parse_qs(urlsplit(request.url).query)
        start = int(asked["offset"][0])
        return 200, {}, json.dumps(rows[start : start + int(asked["limit"][0])])

    return answer


@pytest.mark.parametrize("count", [0, 1, 29, 30, 31, 60, 75])
def test_a_cml_is_asked_page_by_page_until_all_projects_are_there(api, mock, count):
    mock.add_callback("GET", SUMMARY, paged([row(number) for number in range(count)]))
    assert [found["id"] for found in api.projects.visible_to("dana", "Churn")] == list(range(count))


@pytest.mark.parametrize("count", [0, 1, 30, 31, 75])
def test_a_cdsw_that_gives_all_projects_at_once_is_not_asked_for_more_of_them(api, mock, count):
    mock.get(SUMMARY, json=[row(number) for number in range(count)])
    assert len(api.projects.visible_to("dana", "Churn")) == count
    assert len(mock.calls) <= 2


def test_projects_are_asked_for_by_name_in_pages_of_thirty(api, mock):
    mock.get(SUMMARY, json=[])
    api.projects.visible_to("dana", "A & B/%")
    assert query(mock.calls[0]) == {
        "all": "true",
        "scope": "all",
        "context": "dana",
        "sortColumn": "updated_at",
        "projectName": "A & B/%",
        "limit": "30",
        "offset": "0",
    }


def test_projects_without_an_id_are_told_apart_by_what_else_names_them(api, mock):
    rows = [row(1), row(2), row(2)]
    for one in rows:
        del one["id"]
    rows.append({"public_identifier": "ab-cd"})
    mock.get(SUMMARY, json=rows)
    assert len(api.projects.visible_to("dana")) == 3


def test_pages_without_end_are_refused(api, mock, monkeypatch):
    monkeypatch.setattr("cmlutils.remote.v1.projects.MAX_PAGES", 3)

    def answer(request):
        start = int(parse_qs(urlsplit(request.url).query)["offset"][0])
        return 200, {}, json.dumps([row(start + number) for number in range(30)])

    mock.add_callback("GET", SUMMARY, answer)
    with pytest.raises(ApiError, match="has not come to an end"):
        api.projects.visible_to("dana")


def test_a_project_is_found_by_exactly_its_name(api, mock):
    mock.get(SUMMARY, json=[row(1, "Churn Model 2"), row(2, "churn model"), row(3)])
    assert api.projects.find("Churn Model", "dana")["id"] == 3
    assert api.projects.find("Churn", "dana") is None


def test_the_project_of_the_owner_that_is_named_is_found_or_else_ones_own(api, mock):
    rows = [row(1, owner="kai"), row(2, owner="risk", kind="organization"), row(3)]
    mock.get(SUMMARY, json=rows)
    assert api.projects.find("Churn Model", "dana")["id"] == 3
    assert api.projects.find("Churn Model", "dana", "risk")["id"] == 2
    assert api.projects.find("Churn Model", "dana", "kai")["id"] == 1


def test_owner_that_has_none_is_asked_itself(api, mock):
    mock.get(SUMMARY, json=[row(3)])
    mock.get(f"{URL}/api/v1/users/risk/projects-summary", json=[row(4, owner="risk"), row(5)])
    assert api.projects.find("Churn Model", "dana", "risk")["id"] == 4
    mock.get(f"{URL}/api/v1/users/none/projects-summary", status=404, json={"message": "user.notFound"})
    assert api.projects.find("Churn Model", "dana", "none") is None


def test_the_project_of_the_only_team_of_a_user_is_found_and_said_so(api, mock, caplog):
    caplog.set_level(logging.INFO)
    rows = [row(number, owner=f"t{number}", kind="organization", creator="kai") for number in (1, 2)]
    mock.get(SUMMARY, json=[*rows, row(3, owner="kai", creator="kai"), {"name": "Churn Model", "owner": "odd"}])
    mock.get(f"{URL}/api/v1/users/t1", json={"teamMembers": [{"username": "kai"}]})
    mock.get(f"{URL}/api/v1/users/t2", json={"teamMembers": [{"username": "dana"}]})
    assert api.projects.find("Churn Model", "dana")["id"] == 2
    assert "team t2" in caplog.text
    assert api.projects.teams_of("dana") == ["t2"]


def test_a_team_may_spell_its_members_in_other_capitals_than_their_own_records(api, mock):
    mock.get(SUMMARY, json=[row(2, owner="t2", kind="organization", creator="kai")])
    mock.get(f"{URL}/api/v1/users/t2", json={"teamMembers": [{"username": "DANA"}]})
    assert api.projects.find("Churn Model", "dana")["id"] == 2


def test_projects_of_several_teams_need_their_owner_named(api, mock):
    mock.get(SUMMARY, json=[row(number, owner=f"t{number}", kind="organization", creator="") for number in (1, 2)])
    mock.get(f"{URL}/api/v1/users/t1", json={})
    mock.get(f"{URL}/api/v1/users/t2", status=403)
    with pytest.raises(ConfigError, match="t1, t2") as error:
        api.projects.find("Churn Model", "dana")
    assert "owner_username" in error.value.hint


def test_two_projects_of_one_name_and_owner_are_refused(api, mock):
    mock.get(SUMMARY, json=[row(1), row(2)])
    with pytest.raises(ConfigError) as error:
        api.projects.find("Churn Model", "dana")
    assert "Rename" in error.value.hint


AT = "/api/v1/projects/dana/churn-model"
MODELS = "/api/altus-ds-1/models"
READS = [
    ("users.get", ("d/a na",), "GET", "/api/v1/users/d%2Fa%20na", {}),
    ("projects.get", (REF,), "GET", AT, {"id": 7}),
    ("projects.environment", (REF,), "GET", f"{AT}/environment", {}),
    ("projects.collaborators", (REF,), "GET", f"{AT}/collaborators", []),
    ("projects.engine_image", (REF,), "GET", f"{AT}/engine-images", {}),
    ("jobs.of", (REF,), "GET", f"{AT}/jobs", []),
    ("jobs.get", (REF, 8), "GET", f"{AT}/jobs/8", {"id": 8}),
    ("applications.of", (REF,), "GET", f"{AT}/applications", []),
    ("applications.get", (REF, 8), "GET", f"{AT}/applications/8", {"id": 8}),
    ("models.get", (REF, 7), "POST", f"{MODELS}/get-model", {"id": "7"}),
    ("models.of", (REF,), "POST", f"{MODELS}/list-models", []),
    ("runtimes.addons", ("Spark",), "POST", "/api/v1/runtime-addons", []),
    ("v2_keys.of", ("dana",), "GET", "/api/v1/users/dana/apikey", []),
]


@pytest.mark.parametrize(("name", "args", "method", "path", "reply"), READS)
def test_each_read_asks_its_route_and_refuses_another_shape(api, mock, name, args, method, path, reply):
    mock.add(method, URL + path, json=reply)
    assert attrgetter(name)(api)(*args) == reply
    assert urlsplit(mock.calls[0].request.url).path == path
    mock.reset()
    nothing = (None, []) if name == "projects.engine_image" else ()
    for empty in nothing:
        mock.upsert(method, URL + path, json=empty)
        assert attrgetter(name)(api)(*args) == reply
    for wrong in ({"a": 1} if reply == [] else [], "text", 5, None, True):
        if wrong in nothing:
            continue
        mock.upsert(method, URL + path, json=wrong)
        with pytest.raises(ApiError, match=f"{method} .* where a"):
            attrgetter(name)(api)(*args)
    if reply == []:
        mock.upsert(method, URL + path, json=[1])
        with pytest.raises(ApiError, match="where objects were expected"):
            attrgetter(name)(api)(*args)


WRITES = [
    ("projects.create", ("team", {"name": "x"}), "POST", "/api/v1/users/team/projects", {"name": "x"}),
    ("jobs.create", (REF, {"a": 1}), "POST", f"{AT}/jobs", {"a": 1}),
    ("applications.create", (REF, {"a": 1}), "POST", f"{AT}/applications", {"a": 1}),
    ("models.create", ({"a": 1},), "POST", f"{MODELS}/create-model", {"a": 1}),
    ("models.build", ({"a": 1},), "POST", f"{MODELS}/build-model", {"a": 1}),
    ("models.delete", (REF, 7), "POST", f"{MODELS}/delete-model", {"id": "7"}),
    ("projects.patch", (REF, {"a": 1}), "PATCH", AT, {"a": 1}),
    ("projects.put_environment", (REF, {"A": "1"}), "PUT", f"{AT}/environment", {"A": "1"}),
    ("projects.put_collaborator", (REF, "k/i", {"p": 1}), "PUT", f"{AT}/collaborators/k%2Fi", {"p": 1}),
    ("jobs.patch", (REF, 8, {"a": 1}), "PATCH", f"{AT}/jobs/8", {"a": 1}),
    ("applications.stop", (REF, 8), "PUT", f"{AT}/applications/8/stop", {}),
    ("applications.stop_dashboard", (REF, "e1"), "PUT", f"{AT}/dashboards/e1/stop", {}),
    ("jobs.delete", (REF, 8), "DELETE", f"{AT}/jobs/8", None),
    ("applications.delete", (REF, 8), "DELETE", f"{AT}/applications/8", None),
]


@pytest.mark.parametrize(("name", "args", "method", "path", "body"), WRITES)
def test_each_write_goes_to_its_address_with_its_body(api, mock, name, args, method, path, body):
    mock.add(method, URL + path, json={"id": 1})
    attrgetter(name)(api)(*args)
    request = mock.calls[0].request
    assert urlsplit(request.url).path == path
    assert request.body is None if body is None else json.loads(request.body) == body


@pytest.mark.parametrize(("name", "args", "method", "path", "body"), WRITES)
def test_only_what_may_be_repeated_is(api, mock, name, args, method, path, body):
    api.http.answered = True
    mock.add(method, URL + path, status=502)
    if method == "POST":
        with pytest.raises(AnswerLost):
            attrgetter(name)(api)(*args)
        assert len(mock.calls) == 1
    else:
        mock.add(method, URL + path, json={})
        attrgetter(name)(api)(*args)
        assert len(mock.calls) == 2


@pytest.mark.parametrize("reply", [{"message": "hm"}, [], None])
def test_a_create_whose_reply_has_no_id_may_have_had_its_effect(api, mock, reply):
    mock.post(f"{PROJECT}/jobs", json=reply, status=201)
    with pytest.raises(AnswerLost):
        api.jobs.create(REF, {})


def test_models_of_other_projects_are_left_out(api, mock):
    rows = [{"id": "1", "project": {"id": 7}}, {"id": "2", "project": {"id": 9}}, {"id": "3"}]
    mock.post(f"{URL}/api/altus-ds-1/models/list-models", json=rows)
    assert [model["id"] for model in api.models.of(REF)] == ["1", "3"]
    assert sent(mock) == {"projectId": 7, "latestModelDeployment": True, "latestModelBuild": True}


@pytest.mark.parametrize("hidden", ["latestModelBuild", "latestModelDeployment"])
def test_what_a_list_of_models_leaves_out_is_asked_for(api, mock, hidden):
    whole = {"id": "1", "latestModelBuild": {"id": "2"}, "latestModelDeployment": {"environment": {"A": "1"}}}
    other = {**whole, "id": "3"}
    mock.post(URL + f"{MODELS}/list-models", json=[{**whole, hidden: None}, other])
    mock.get(f"{PROJECT}/applications", json=[])
    mock.get(f"{PROJECT}/jobs", json=[])
    assert read_records(api, REF)["model"] == [{**whole, hidden: None}, other]  # the reply says that there is none
    mock.upsert("POST", URL + f"{MODELS}/list-models", json=[{key: whole[key] for key in whole if key != hidden}])
    mock.post(URL + f"{MODELS}/get-model", json=whole)
    assert read_records(api, REF)["model"] == [whole]


def test_a_variable_without_a_value_is_empty(api, mock):
    mock.get(f"{PROJECT}/environment", json={"A": None, "B": "x", "C": 0.5})
    assert api.projects.environment(REF) == {"A": "", "B": "x", "C": "0.5"}


def test_a_models_authentication_is_set_by_its_id(api, mock):
    mock.post(f"{URL}/api/altus-ds-1/models/set-model-auth", json={})
    api.models.set_auth("7", enabled=False)
    assert sent(mock) == {"id": "7", "enableAuth": False}


def test_all_runtimes_of_the_catalogue_are_asked_for_and_a_reply_without_a_list_is_refused(api, mock):
    mock.get(f"{URL}/api/v1/runtimes", json={"runtimes": [{"id": 84}]})
    assert [one.id for one in api.runtimes.all()] == [84]
    assert query(mock.calls[0]) == {"includeAll": "true", "runtimeCatalog": "true"}
    mock.upsert("GET", f"{URL}/api/v1/runtimes", json={})
    with pytest.raises(ApiError, match="nothing where a list"):
        api.runtimes.all()


def test_a_file_is_read_as_its_bytes_by_its_quoted_path(api, mock):
    mock.get(f"{PROJECT}/files/a%20b/.exportignore", body=b"\xff*.log")
    assert api.projects.file(REF, "a b/.exportignore") == b"\xff*.log"
    mock.get(f"{PROJECT}/files/none", status=404, json={"message": "gone"})
    with pytest.raises(NotFound):
        api.projects.file(REF, "none")


def test_another_project_at_the_address_of_a_known_one_is_refused(api, mock):
    mock.get(f"{URL}{AT}", json={"id": 8, "name": "Churn Model"})
    with pytest.raises(ApiError, match="something other than what was asked for"):
        api.projects.get(REF)
    assert api.projects.get(ProjectRef.at("dana/churn-model"))["id"] == 8


@pytest.mark.parametrize("slug", ["", ".", ".."])
def test_what_would_change_the_path_is_not_asked(api, slug):
    with pytest.raises(ApiError, match="part of an address"):
        api.projects.get(ProjectRef("dana", slug, 7, "Churn Model"))


@pytest.mark.parametrize(
    ("answer", "allowed"),
    [
        ({"json": {"allow_unauthenticated_access_to_app": False}}, False),
        ({"json": {"allow_unauthenticated_access_to_app": True}}, True),
        ({"json": {}}, True),
        ({"status": 403}, True),
    ],
)
def test_open_applications_are_allowed_unless_the_site_says_no(api, mock, answer, allowed):
    mock.get(f"{URL}/api/v1/site/config", **answer)
    assert api.site.bypass_allowed() is allowed


NOW = datetime(2026, 5, 1, 8, 30, tzinfo=timezone(timedelta(hours=2)))
KEYS = f"{URL}/api/v1/users/dana/apikey"


@pytest.fixture
def journal(tmp_path):
    (tmp_path / "mine/state").mkdir(parents=True)
    return Journal(tmp_path / "mine/state/journal-1.jsonl")


@pytest.fixture
def key(api, journal):
    return V2Key(api, "dana", journal, now=lambda: NOW)


@pytest.fixture
def v2(api, key):
    return ApiV2(api.http, key)


def test_v2_makes_no_key_unasked(key, mock):
    with key:
        pass
    assert len(mock.calls) == 0


def test_v2_key_lives_for_the_run(v2, key, mock, journal):
    mock.get(KEYS, json=[{"keyid": "id0"}])
    mock.post(KEYS, json={"apiKey": "geheim", "keyid": "id1"})
    mock.delete(f"{KEYS}/id1", json={})
    stop = mock.post(f"{URL}/api/v2/projects/p-1/applications/a-1:stop", json={})
    mock.patch(f"{URL}/api/v2/projects/p-1/jobs/j-1", json={"paused": True})
    mock.get(f"{URL}/api/v2/projects/p-1/jobs/j-1", json={"paused": True})
    with key:
        v2.stop_application("p-1", "a-1")
        assert v2.patch_job("p-1", "j-1", {"paused": True}) == {"paused": True}
        assert v2.job("p-1", "j-1") == {"paused": True}
        assert str(key.get()) == "***"
        assert key.get().reveal() == "geheim"
        assert journal.entry("v2 key").target_id == "id1"
    assert journal.entry("v2 key") is None
    assert sent(mock, 1) == {"expiryDate": "2026-05-02T06:30:00Z"}
    assert urlsplit(stop.calls[0].request.url).path.endswith(("a-1:stop", "a-1%3Astop"))
    headers = [call.request.headers["Authorization"] for call in mock.calls]
    assert headers[2:-2] == ["Bearer geheim"] * 3
    assert len({*headers[:2], *headers[-2:], "Bearer geheim"}) == 2


def test_a_v2_key_that_can_not_be_revoked_is_left_to_the_next_run(api, v2, key, mock, journal, caplog):
    mock.get(KEYS, json=[])
    mock.post(KEYS, json={"apiKey": "geheim", "keyid": "id1"})
    mock.delete(f"{KEYS}/id1", status=503)
    mock.get(f"{URL}/api/v2/projects/p/jobs/j", status=404)
    with pytest.raises(NotFound), key:
        v2.job("p", "j")
    warned = [record.getMessage() for record in caplog.records if record.name.endswith("v2_key")]
    assert "id1" in warned[0]
    assert "geheim" not in caplog.text
    mock.upsert("DELETE", f"{KEYS}/id1", status=200)
    with V2Key(api, "dana", Journal(journal.path)):
        pass
    assert Journal(journal.path).entry("v2 key") is None


def test_a_status_is_known_in_whatever_letters_a_workspace_has_it(api, mock):
    model = {"id": "5", "latestModelBuild": {"status": "BUILT"}, "latestModelDeployment": {"status": "Deployed"}}
    mock.post(URL + f"{MODELS}/list-models", json=[model])
    mock.post(URL + f"{MODELS}/get-model", json=model)
    for found in (*api.models.of(REF), api.models.get(REF, 5)):
        assert (found["latestModelBuild"]["status"], live_status(found)) == ("built", "deployed")
    mock.get(f"{PROJECT}/applications", json=[{"id": 8, "status": "STOPPED"}])
    mock.get(f"{PROJECT}/applications/8", json={"id": 8, "status": "Stopped"})
    mock.post(f"{PROJECT}/applications", json={"id": 8, "status": "Stopped"})
    shown = [*api.applications.of(REF), api.applications.get(REF, 8), api.applications.create(REF, {})]
    assert {one["status"] for one in shown} == {"stopped"}


@pytest.mark.parametrize("odd", [["stopped"], {"is": "built"}, 7, False])
def test_a_status_of_another_type_is_a_text_that_nobody_knows(api, mock, odd):
    mock.post(URL + f"{MODELS}/get-model", json={"id": "5", "latestModelDeployment": {"status": odd}})
    mock.post(f"{PROJECT}/applications", json={"id": 8, "status": odd})
    assert live_status(api.models.get(REF, 5)) == api.applications.create(REF, {})["status"] == str(odd).lower()
    assert api.applications.create(REF, {})["status"] not in ENDED


@pytest.mark.parametrize("answer", [{"status": 502}, {"json": {"message": "no"}}, {"body": "<html>"}])
def test_a_v2_key_whose_answer_got_lost_is_revoked(key, mock, answer):
    mock.get(KEYS, json=[{"keyid": "old"}])
    mock.post(KEYS, **answer)
    mock.get(KEYS, json=[{"keyid": "old"}, {"keyid": "lost", "expiry_date": "2026-05-02"}])
    mock.get(KEYS, json=[{"keyid": "old"}])
    mock.post(KEYS, json={"apiKey": "geheim", "keyid": "id1"})
    revoked = [mock.delete(f"{KEYS}/{one}", status=200) for one in ("lost", "id1")]
    with key:
        assert key.get().reveal() == "geheim"
    assert [one.call_count for one in revoked] == [1, 1]


@pytest.mark.parametrize("other", [{"made": "id9"}, {}])
def test_the_keys_of_other_runs_are_left_alone(api, mock, journal, other, caplog):
    (journal.path.parents[2] / "other/state").mkdir(parents=True)
    others = Journal(journal.path.parents[2] / "other/state/journal-2.jsonl")
    others.begin("v2 key", [])
    if other:
        others.made("v2 key", other["made"])
    journal.begin("v2 key", ["id0"])
    mock.get(KEYS, json=[{"keyid": "id0"}, {"keyid": "id9"}])
    bundle = Bundle(journal.path.parents[1])
    with V2Key(api, "dana", journal, bundle.other_journals):
        pass
    assert {call.request.method for call in mock.calls} == {"GET"}
    assert ("id9" in caplog.text) == (not other)


def test_a_refused_v2_key_is_asked_for_once(v2, mock):
    mock.get(KEYS, json=[])
    refused = mock.post(KEYS, status=403)
    for _ in range(2):
        with pytest.raises(Unauthorized):
            v2.job("p", "j")
    assert refused.call_count == 1


def test_v2_lists_in_pages(v2, key, mock):
    mock.get(KEYS, json=[])
    mock.post(KEYS, json={"apiKey": "geheim", "keyid": "id1"})
    mock.delete(f"{KEYS}/id1", status=200)
    path = f"{URL}/api/v2/projects/p-1/applications"
    mock.get(path, json={"applications": [{"id": "a-1"}], "next_page_token": "t2"})
    mock.get(path, json={"applications": [{"id": "a-2"}], "next_page_token": "t2"})
    with key:
        assert v2.applications("p-1") == [{"id": "a-1"}, {"id": "a-2"}]
    assert query(mock.calls[3])["page_token"] == "t2"
