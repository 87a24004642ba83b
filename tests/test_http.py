"""How Http authenticates, fails and waits, and that it never repeats a request that may have worked."""

from __future__ import annotations

import base64
import contextlib
import io
import json
import logging
import re
import socket
import threading
import time
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime

import pytest
import requests
import urllib3

from cmlutils import interrupts
from cmlutils.errors import AnswerLost, ApiError, Interrupted, NotFound, Rejected, Unauthorized, Unreachable
from cmlutils.remote import exchange, headers
from cmlutils.remote.http import Http, Patience
from cmlutils.remote.replies import MAX_REPLY
from cmlutils.remote.waiting import clock_ahead
from cmlutils.section import Secret, Workspace

URL = "https://ws.example.com"
KEY = "k3m9k3m9k3m9k3m9k3m9k3m9k3m9k3m9"


class Clock:
    def __init__(self):
        self.time = 0.0
        self.pauses = []
        self.said = []

    def sleep(self, seconds):
        self.pauses.append(seconds)
        self.time += seconds

    def patience(self, seconds=3600.0):
        return Patience(seconds, self.sleep, lambda: self.time, self.said.append)


@pytest.fixture
def clock():
    return Clock()


def make(clock, url=URL, seconds=3600.0, verify=True, answered=True):
    http = Http(Workspace(url, "dana", Secret(KEY), verify=verify), clock.patience(seconds))
    http.answered = answered
    return http


@pytest.fixture
def http(clock):
    with make(clock) as made:
        yield made


def bearer(request):
    return request.headers.get("Authorization")


def test_the_key_is_sent_as_the_user_of_basic_authentication(http, mock):
    mock.get(f"{URL}/x", json={"a": 1})
    assert http.get("/x", params={"q": "a b"}) == {"a": 1}
    request = mock.calls[0].request
    assert bearer(request) == "Basic " + base64.b64encode(f"{KEY}:".encode()).decode()
    assert request.url == f"{URL}/x?q=a+b"
    assert request.headers["Accept"] == "application/json"
    assert request.body is None


def test_a_netrc_gives_no_password(http, mock, tmp_path, monkeypatch):
    netrc = tmp_path / "netrc"
    netrc.write_text("machine ws.example.com login other password stranger\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    mock.get(f"{URL}/x", json={})
    mock.get(f"{URL}/cli", body=b"z")
    mock.get(f"{URL}/b", json={})
    http.get("/x")
    http.download("/cli", io.BytesIO(), 10)
    http.get("/b", bearer=Secret("v2"))
    assert bearer(mock.calls[0].request).startswith("Basic " + base64.b64encode(KEY.encode())[:20].decode())
    assert bearer(mock.calls[1].request) is None
    assert bearer(mock.calls[2].request) == "Bearer v2"


@pytest.mark.parametrize(("verify", "sent"), [("/ca.pem", "/ca.pem"), (False, False), (True, "/env.pem")])
def test_requests_is_told_which_certificates_to_take_and_how_long_to_wait(clock, verify, sent, monkeypatch):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/env.pem")
    seen = {}

    def fake(self, request, **options):
        seen.update(options)
        raise requests.ConnectTimeout

    monkeypatch.setattr(requests.Session, "send", fake)
    with pytest.raises(Unreachable):
        make(clock, verify=verify, answered=False).get("/x")
    assert seen["verify"] == sent
    assert seen["timeout"] == (10.0, 120.0)
    assert seen["allow_redirects"] is False


def test_a_ca_bundle_that_is_not_there_is_told_as_that(clock):
    with pytest.raises(Unreachable) as error:
        make(clock, verify="/nowhere.pem").get("/x")
    assert error.value.message.endswith(": the CA bundle is unreadable.")
    assert "ca_path" in error.value.hint


@pytest.mark.parametrize(
    ("status", "kind"),
    [(401, Unauthorized), (403, Unauthorized), (404, NotFound), (422, Rejected), (409, Rejected)],
)
def test_a_refusal_is_told_at_once_with_the_call_and_its_status(http, mock, clock, status, kind):
    mock.get(f"{URL}/x", json={"message": "no\x1b[31m way"}, status=status)
    with pytest.raises(kind) as error:
        http.get("/x")
    assert error.value.status == status
    assert "no [31m way" in error.value.message
    assert "GET /x" in error.value.message
    assert clock.pauses == []


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({"error": "bad"}, ": bad."),
        ({"error": {"message": "Deep."}}, ": Deep."),
        ({"message": "", "error": "second"}, ": second."),
        ({"message": "x" * 5000}, ": " + "x" * 300 + "."),
        ({"error": {"code": 7}}, "(400)."),
        ([1], "(400)."),
    ],
)
def test_a_refusal_ends_with_what_the_workspace_says(http, mock, body, text):
    mock.post(f"{URL}/x", json=body, status=400)
    with pytest.raises(Rejected) as error:
        http.send("POST", "/x", {"environment": {"PASSWORD": "geheim"}})
    assert error.value.message.endswith(text)


def test_a_plain_500_is_told_with_one_full_stop(http, mock):
    mock.get(f"{URL}/x", json={"message": "Disk full."}, status=500)
    with pytest.raises(Rejected, match=r": status 500: Disk full\.$"):
        http.get("/x")


def test_neither_a_message_nor_the_log_has_a_secret(http, mock, caplog):
    caplog.set_level(logging.DEBUG)
    mock.post(f"{URL}/x", json={"message": f"key {KEY} or v2v2v2 unknown"}, status=400)
    with pytest.raises(Rejected) as error:
        http.send("POST", "/x", {"p": "geheim"}, bearer=Secret("v2v2v2"))
    ours = "".join(record.getMessage() for record in caplog.records if record.name.startswith("cmlutils"))
    for text in (error.value.message, ours, repr(error.value)):
        assert KEY not in text
        assert "v2v2v2" not in text
        assert "geheim" not in text
    assert "POST /x: 400" in ours


SECRETS = {"Q": 'pä"SEKRIT\\x', "R": "line1\nSEKRIT2", "S": "geheim&<3"}


@pytest.mark.parametrize("sent", [SECRETS, json.dumps(SECRETS), json.dumps(SECRETS, ensure_ascii=False)])
@pytest.mark.parametrize("ascii_alone", [True, False])
@pytest.mark.parametrize("times", [0, 1, 2])
def test_no_value_of_an_environment_is_said_in_whichever_form_it_is_quoted(http, mock, sent, ascii_alone, times):
    quoted = SECRETS
    for _ in range(times):
        quoted = json.dumps(quoted, ensure_ascii=ascii_alone)
    if times == 2:
        quoted = quoted.replace("&", "\\u0026").replace("<", "\\u003c")
    told = quoted if times else " ".join(SECRETS.values())
    mock.post(f"{URL}/x", json={"message": f"bad environment: {told}"}, status=422)
    with pytest.raises(Rejected, match="bad environment") as error:
        http.send("POST", "/x", {"environment": sent})
    assert error.value.message.count("***") == 3
    assert not any(part in error.value.message for part in ("SEKRIT", "geheim", "line1", "pä", "u00e4"))


def test_of_a_value_that_begins_as_another_does_nothing_is_said(http, mock):
    mock.post(f"{URL}/x", json={"message": "bad value geheim-und-lang"}, status=422)
    with pytest.raises(Rejected, match=r"bad value [*]{3}\.$"):
        http.send("POST", "/x", {"environment": {"A": "geheim", "B": "geheim-und-lang", "C": "geheim-und"}})


def test_a_value_as_short_as_a_usual_word_tears_no_message(http, mock):
    mock.post(f"{URL}/x", json={"message": "no unit 1 for pin"}, status=422)
    with pytest.raises(Rejected, match=r"no unit 1 for [*]{3}\.$"):
        http.send("POST", "/x", {"environment": {"A": "no", "B": "1", "C": "pin", "D": ""}})


def test_an_environment_that_is_one_text_is_not_said(http, mock):
    mock.post(f"{URL}/x", json={"message": "not JSON: PASSWORD=geheim"}, status=422)
    with pytest.raises(Rejected, match=r"not JSON: [*]{3}\.$"):
        http.send("POST", "/x", {"environment": "PASSWORD=geheim"})


def test_the_arguments_of_a_job_are_not_said(http, mock):
    arguments = '--user dana --password "ge heim"'
    mock.post(f"{URL}/x", json={"message": f"arguments {json.dumps(arguments)} are too long"}, status=422)
    with pytest.raises(Rejected, match=r'arguments "[*]{3}" are too long') as error:
        http.send("POST", "/x", {"name": "ingest", "arguments": arguments})
    assert "heim" not in error.value.message


def test_a_redirect_is_not_followed(http, mock):
    mock.get(f"{URL}/x", status=302, headers={"Location": "https://login.example.org/sso?token=abc"})
    with pytest.raises(ApiError) as error:
        http.get("/x")
    assert f"{http.host} gave no usable answer to GET /x: a redirect to https://login.example.org (" in str(error.value)
    assert not isinstance(error.value, AnswerLost)
    assert "abc" not in error.value.message
    assert [call.request.url for call in mock.calls] == [f"{URL}/x"] * 4  # asked past, as one page may be


@pytest.mark.parametrize(
    ("where", "told"),
    [
        ("https://ws.example.com:8443/x?token=geheim", "https://ws.example.com:8443"),
        ("//dana:geheim@ws.example.com/x", "ws.example.com"),
    ],
)
def test_a_redirect_to_the_same_machine_tells_what_is_different_there(clock, mock, where, told):
    mock.get("http://ws.example.com/x", status=301, headers={"Location": where})
    with make(clock, "http://ws.example.com") as http, pytest.raises(ApiError) as error:
        http.get("/x")
    usual = "ws.example.com gave no usable answer to GET /x"
    assert error.value.message == f"{usual}: a redirect to {told} (status 301)."


@pytest.mark.parametrize("where", ["/login", "https://[bad", "https:///login", ""])
def test_a_write_that_is_redirected_elsewhere_may_have_had_its_effect(http, mock, where):
    mock.post(f"{URL}/x", status=307, headers={"Location": where})
    with pytest.raises(AnswerLost, match=f"^{http.host} .*: a redirect to another page"):  # it may have taken effect
        http.send("POST", "/x", {})


def test_html_in_place_of_json_is_told_as_that(http, mock):
    mock.get(f"{URL}/x", body="<html>", content_type="text/html")
    mock.post(f"{URL}/x", body="<html>", content_type="text/html")
    with pytest.raises(ApiError, match=r"no usable answer to GET /x: HTML, not JSON \(status 200\)") as error:
        http.get("/x")
    assert not isinstance(error.value, AnswerLost)
    assert "login page" in error.value.hint
    with pytest.raises(AnswerLost, match="HTML"):
        http.send("POST", "/x", {})


def test_json_that_is_cut_leaves_open_whether_a_write_had_its_effect(http, mock):
    mock.get(f"{URL}/x", body='{"a": [1, ')
    mock.put(f"{URL}/x", body='{"a": [1, ')
    mock.post(f"{URL}/q", body='{"a": [1, ')
    with pytest.raises(ApiError) as error:
        http.get("/x")
    assert not isinstance(error.value, AnswerLost)
    with pytest.raises(AnswerLost):
        http.send("PUT", "/x", {}, idempotent=True)
    with pytest.raises(ApiError) as error:
        http.send("POST", "/q", {}, idempotent=True)
    assert not isinstance(error.value, AnswerLost)


PAGES = {
    "html": {"body": "<html>", "content_type": "text/html"},
    "redirect": {"status": 302, "headers": {"Location": "/maintenance"}},
    "cut": {"body": '{"a": [1, '},
}


@pytest.mark.parametrize("page", PAGES.values(), ids=PAGES)
def test_a_page_in_place_of_an_answer_is_asked_past_within_seconds(http, mock, clock, page):
    for method in (mock.get, mock.put):
        method(f"{URL}/x", **page)
        method(f"{URL}/x", json=[1])
    mock.post(f"{URL}/x", **page)
    assert http.get("/x") == http.send("PUT", "/x", {}, idempotent=True) == [1]
    with pytest.raises(AnswerLost):
        http.send("POST", "/x", {})
    assert clock.pauses == [0.5, 0.5]
    assert http.waits == 0
    assert http.calls == {"GET": 2, "PUT": 2, "POST": 1}


@pytest.mark.parametrize("page", PAGES.values(), ids=PAGES)
def test_a_workspace_that_first_answers_with_a_page_is_not_asked_again(clock, mock, page):
    mock.get(f"{URL}/x", **page)
    with pytest.raises(ApiError, match="no usable answer"):
        make(clock, answered=False).get("/x")
    assert len(mock.calls) == 1


def test_json_too_deep_to_be_read_is_told_as_none(http, mock):
    mock.get(f"{URL}/x", body="[" * 200_000)
    with pytest.raises(ApiError, match="other than JSON"):
        http.get("/x")


def test_a_reply_without_a_body_is_nothing(http, mock):
    mock.put(f"{URL}/x", status=204)
    assert http.send("PUT", "/x", {}, idempotent=True) is None


def test_a_body_is_sent_as_json_and_called_that(http, mock):
    mock.post(f"{URL}/x", json={})
    http.send("POST", "/x", {"a": "é"})
    request = mock.calls[0].request
    assert json.loads(request.body) == {"a": "é"}
    assert request.headers["Content-Type"] == "application/json"  # without it, a server may take it for no body


def test_a_write_without_a_body_sends_none(http, mock):
    mock.delete(f"{URL}/x", status=204)
    http.send("DELETE", "/x", idempotent=True)
    assert mock.calls[0].request.body is None


def test_a_download_larger_than_allowed_is_refused(http, mock):
    mock.get(f"{URL}/cli", body=b"x" * 100)
    to = io.BytesIO()
    with pytest.raises(ApiError, match="larger than 10 bytes"):
        http.download("/cli", to, 10)
    with pytest.raises(ApiError, match="larger than 10 bytes"):
        http.content("/cli", 10)


def test_json_larger_than_allowed_is_refused(http, mock):
    mock.get(f"{URL}/x", body=b" " * (MAX_REPLY + 1))
    with pytest.raises(ApiError, match="larger"):
        http.get("/x")


def test_a_reply_that_drips_is_given_up_at_its_deadline(mock, clock):
    http = Http(Workspace(URL, "dana", Secret(KEY)), Patience(now=lambda: clock.sleep(500) or clock.time))
    mock.get(f"{URL}/x", body=b" " * 200_000)
    mock.post(f"{URL}/x", body=b" " * 200_000)
    with pytest.raises(ApiError, match="takes longer than 600 s"):
        http.get("/x")
    with pytest.raises(AnswerLost, match="takes longer"):
        http.send("POST", "/x", {})


def test_a_download_is_tried_again_begins_anew_and_needs_no_key(http, mock):
    mock.get(f"{URL}/cli", status=503)
    mock.get(f"{URL}/cli", body=b"archive")
    to = io.BytesIO(b"longer than the archive")
    http.download("/cli", to, 100)
    assert to.getvalue() == b"archive"
    assert mock.calls[1].request.headers["Accept-Encoding"] == "identity"  # a file is written as it comes
    assert all(bearer(call.request) is None for call in mock.calls)


def test_a_login_page_is_no_file(http, mock):
    mock.get(f"{URL}/cli", body="<html>", content_type="text/html; charset=utf-8")
    with pytest.raises(ApiError, match="HTML, not a file"):
        http.download("/cli", io.BytesIO(), 100)


@pytest.mark.parametrize(("body", "kind"), [("Please log in", "text/html"), ("\n <html>", "text/plain")])
def test_a_page_is_known_by_its_type_or_by_how_it_begins(http, mock, body, kind):
    mock.get(f"{URL}/x", body=body, content_type=kind)
    with pytest.raises(ApiError, match="HTML, not JSON"):
        http.get("/x")


def test_a_projects_file_may_be_html(http, mock):
    mock.get(f"{URL}/f", body="<p>", content_type="text/html")
    assert http.content("/f") == b"<p>"
    assert bearer(mock.calls[0].request).startswith("Basic")


def test_a_projects_file_is_asked_for_again_when_its_answer_was_lost(http, mock):
    mock.get(f"{URL}/f", status=503)
    mock.get(f"{URL}/f", body=b"text")
    assert http.content("/f") == b"text"


@pytest.mark.parametrize("status", [502, 503, 504])
def test_a_workspace_that_never_answered_is_not_waited_for(clock, mock, status):
    http = make(clock, answered=False)
    mock.get(f"{URL}/x", status=status)
    with pytest.raises(Unreachable) as error:
        http.get("/x")
    assert error.value.hint
    assert clock.pauses == []
    assert http.answered is False


def test_a_workspace_that_asks_to_wait_has_answered(clock, mock):
    http = make(clock, answered=False)
    mock.get(f"{URL}/x", status=429, headers={"Retry-After": "7"})
    mock.get(f"{URL}/x", json=[])
    assert http.get("/x") == []
    assert clock.pauses == [7.0]


@pytest.mark.parametrize("status", [502, 503, 504, 429])
def test_a_workspace_that_has_answered_before_is_waited_for(http, mock, clock, status):
    mock.get(f"{URL}/x", json=[1])
    assert http.get("/x") == [1]
    mock.get(f"{URL}/y", status=status)
    mock.get(f"{URL}/y", status=status)
    mock.get(f"{URL}/y", json=[2])
    assert http.get("/y") == [2]
    assert len(clock.pauses) == http.waits == 2
    assert all(1 <= pause <= 2 for pause in clock.pauses)
    asked = "" if status == 429 else " to answer GET /y"
    assert clock.said[0].startswith(f"waiting for ws.example.com{asked}: ")
    assert len(clock.said) == 1


def test_why_it_is_waited_for_is_said_once_and_again_when_it_changes(http, mock, clock):
    for status in (503, 503, 502):
        mock.get(f"{URL}/x", status=status)
    mock.get(f"{URL}/x", json=[1])
    assert http.get("/x") == [1]
    assert ["503" in said for said in clock.said] == [True, False]


def test_waiting_ends_when_patience_does(http, mock, clock):
    mock.get(f"{URL}/x", status=503)
    with pytest.raises(Unreachable, match=r"did not come back within 3600 s: .* \(GET /x\)\.$"):
        http.get("/x")
    assert sum(clock.pauses) == pytest.approx(3600)
    assert max(clock.pauses) <= 30
    assert len({*clock.pauses}) > len(clock.pauses) / 2  # varied, so as not to be in step with other clients that wait
    assert 5 < len(clock.said) < 15


def test_nobody_waits_longer_than_patience_whatever_retry_after_says(clock, mock):
    http = make(clock, seconds=60.0)
    mock.get(f"{URL}/x", status=503, headers={"Retry-After": "999999"})
    with pytest.raises(Unreachable):
        http.get("/x")
    assert clock.pauses == [60.0]


@pytest.mark.parametrize("other", ["soon", "-9", "\N{SUPERSCRIPT TWO}"])
def test_retry_after_is_heeded_as_a_date_and_ignored_as_anything_else(http, mock, clock, other):
    when = format_datetime(datetime.now(timezone.utc) + timedelta(seconds=90), usegmt=True)
    mock.get(f"{URL}/x", status=429, headers={"Retry-After": when})
    mock.get(f"{URL}/x", status=429, headers={"Retry-After": other})
    mock.get(f"{URL}/x", json={})
    http.get("/x")
    assert 80 < clock.pauses[0] <= 90
    assert 1 <= clock.pauses[1] <= 2


@pytest.mark.parametrize("days", [-400, -1, 1, 400])
def test_a_date_to_retry_after_is_one_by_the_workspaces_clock(http, mock, clock, days):
    there = datetime.now(timezone.utc) + timedelta(days=days)
    date, when = (format_datetime(there + timedelta(seconds=n), usegmt=True) for n in (0, 90))
    mock.get(f"{URL}/x", status=429, headers={"Date": date, "Retry-After": when})
    mock.get(f"{URL}/x", json={})
    http.get("/x")
    assert 85 < clock.pauses[0] <= 95


def test_clocks_are_compared_unless_a_date_is_beyond_belief():
    assert clock_ahead("Thu, 01 Jan 2099 00:00:00 GMT") > 1e9
    beyond = "Fri, 31 Dec 9999 23:59:59 GMT"
    assert clock_ahead("") == clock_ahead("nonsense") == clock_ahead(beyond) == 0


@pytest.mark.parametrize("date", ["01 Jan 2099 00:00:00", "01 Jan 2099 00:00:00 -0000", "01 Jan 2099 09:00:00 +0900"])
def test_a_date_without_a_time_zone_is_in_utc(date, monkeypatch):
    monkeypatch.setenv("TZ", "XYZ-5")
    time.tzset()
    assert clock_ahead(date) == pytest.approx(clock_ahead("Thu, 01 Jan 2099 00:00:00 GMT"), abs=5)
    monkeypatch.undo()
    time.tzset()


def test_a_plain_500_is_tried_again_three_times_within_seconds(http, mock, clock):
    mock.get(f"{URL}/x", status=500, json={"message": "oops"})
    with pytest.raises(Rejected, match="oops") as error:
        http.get("/x")
    assert error.value.status == 500
    assert clock.pauses == [0.5, 1.0, 2.0]


def test_a_plain_500_is_tried_again_even_if_it_is_the_first_answer(clock, mock):
    mock.get(f"{URL}/x", status=500)
    mock.get(f"{URL}/x", json=[1])
    assert make(clock, answered=False).get("/x") == [1]
    assert clock.pauses == [0.5]


def test_a_501_is_waited_for_when_reading_and_ends_a_write(http, mock, clock):
    for _ in range(5):  # more than a 500 is tried
        mock.get(f"{URL}/api/v1/runtimes", status=501)
    mock.get(f"{URL}/api/v1/runtimes", json={"runtimes": []})
    mock.put(f"{URL}/x", status=501)
    assert http.get("/api/v1/runtimes") == {"runtimes": []}
    assert len(clock.pauses) == 5
    with pytest.raises(Rejected) as error:
        http.send("PUT", "/x", {}, idempotent=True)
    assert error.value.status == 501


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_a_post_is_never_repeated_after_a_server_error(http, mock, clock, status):
    mock.post(f"{URL}/x", status=status)
    with pytest.raises(AnswerLost, match=f"POST /x: status {status}"):
        http.send("POST", "/x", {})
    assert len(mock.calls) == 1
    assert clock.pauses == []


@pytest.mark.parametrize(
    "failure", [requests.ReadTimeout(), requests.ConnectionError(ConnectionResetError(104, "reset"))]
)
def test_a_post_without_an_answer_is_never_sent_again(http, mock, failure):
    mock.post(f"{URL}/x", body=failure)
    with pytest.raises(AnswerLost):
        http.send("POST", "/x", {})
    assert len(mock.calls) == 1


def test_a_write_that_may_be_repeated_is(http, mock, clock):
    mock.put(f"{URL}/x", body=requests.ReadTimeout())
    mock.put(f"{URL}/x", status=204)
    assert http.send("PUT", "/x", {}, idempotent=True) is None
    assert len(clock.pauses) == 1


def test_a_post_that_was_turned_away_for_a_moment_is_sent_again(http, mock, clock):
    mock.post(f"{URL}/x", status=429, headers={"Retry-After": "3"})
    mock.post(f"{URL}/x", json={"id": 1}, status=201)
    assert http.send("POST", "/x", {}) == {"id": 1}
    assert clock.pauses == [3.0]


def test_a_call_without_patience_is_tried_once(http, mock, clock):
    mock.delete(f"{URL}/x", status=503)
    mock.delete(f"{URL}/y", status=500)
    with pytest.raises(Unreachable):
        http.send("DELETE", "/x", idempotent=True, patient=False)
    with pytest.raises(Rejected):
        http.send("DELETE", "/y", idempotent=True, patient=False)
    assert clock.pauses == []


def test_after_a_signal_there_is_one_short_try(http, mock, clock):
    mock.get(f"{URL}/x", status=503)
    with pytest.raises(Interrupted), interrupts.held():
        interrupts.hear(2)
        with pytest.raises(Unreachable):
            http.get("/x")
    interrupts.forget()
    assert clock.pauses == []
    assert max(mock.calls[-1].request.req_kwargs["timeout"]) < interrupts.SECONDS


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def test_a_post_that_could_not_connect_waits_as_it_was_not_sent(clock):
    http = make(clock, f"http://127.0.0.1:{free_port()}", seconds=5.0)
    with http, pytest.raises(Unreachable, match=r"did not come back within 5 s: connection refused\.$"):
        http.send("POST", "/x", {})
    assert clock.pauses
    assert "/x" not in clock.said[0]


def test_a_connection_refused_from_the_start_names_the_url(clock):
    with (
        make(clock, f"http://127.0.0.1:{free_port()}", answered=False) as http,
        pytest.raises(Unreachable, match="connection refused") as error,
    ):
        http.get("/x")
    assert "url" in error.value.hint


def test_a_name_that_no_server_knows_is_told_as_that(clock):
    with (
        make(clock, "http://nowhere.invalid", answered=False) as http,
        pytest.raises(Unreachable, match="resolved"),
    ):
        http.get("/x")


def received(connection):
    """Read one request, body and all: a connection that is closed with something unread in it is reset."""
    data = b""
    while not (head := re.search(rb"(?s).*?\r\n\r\n", data)):
        data += (more := connection.recv(65536))
        if not more:
            return data
    length = re.search(rb"(?i)content-length: *(\d+)", head[0])
    while len(data) < head.end() + int(length[1] if length else 0):
        data += (more := connection.recv(65536))
        if not more:
            break
    return data


class Peer:
    """A server that sends one prepared answer (bytes) per connection and closes it."""

    def __init__(self, *answers):
        self.answers = answers
        self.seen = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self):
        for answer in self.answers:
            connection, _ = self.listener.accept()
            with connection:
                connection.settimeout(10)
                self.seen.append(received(connection))
                connection.sendall(answer)
        self.listener.close()

    def join(self):
        self.thread.join(10)


GOOD = b'HTTP/1.1 200 OK\r\nContent-Length: 8\r\nConnection: close\r\n\r\n{"a": 1}'
CUT = b'HTTP/1.1 200 OK\r\nContent-Length: 800\r\n\r\n{"a": 1}'
HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
CHUNKED = HEAD + b'4\r\n{"a"\r\n4\r\n: 1}\r\n0\r\n\r\n'
CUT_CHUNKED = HEAD + b'4\r\n{"a"\r\n'


@pytest.mark.parametrize("broken", [b"", b"HTTP/1.1", CUT, CUT_CHUNKED])
def test_broken_answers_on_the_wire(clock, broken):
    peer = Peer(broken, CHUNKED, broken)
    with make(clock, peer.url) as http:
        assert http.get("/x") == {"a": 1}
        assert len(clock.pauses) == 1
        with pytest.raises(AnswerLost):
            http.send("POST", "/x", {"b": 2})
    peer.join()
    assert len(peer.seen) == 3


def test_a_download_that_was_cut_begins_anew(clock):
    peer = Peer(CUT, GOOD)
    to = io.BytesIO()
    with make(clock, peer.url) as http:
        http.download("/cli", to, 100)
    peer.join()
    assert to.getvalue() == b'{"a": 1}'


class Firewall(Peer):
    """A server whose connections stay open after their first answer, but get no further one."""

    def serve(self):
        with self.listener, contextlib.ExitStack() as kept:
            for answer in self.answers:
                connection, _ = self.listener.accept()
                kept.enter_context(connection)
                self.seen.append(received(connection))
                connection.sendall(answer)


class Steady(Peer):
    """A server that sends all its answers on one connection."""

    def serve(self):
        connection, _ = self.listener.accept()
        self.listener.close()
        with connection:
            connection.settimeout(10)
            for answer in self.answers:
                self.seen.append(received(connection))
                connection.sendall(answer)


KEPT = GOOD.replace(b"Connection: close\r\n", b"")


def test_a_connection_that_has_rested_is_not_used_again(clock, monkeypatch):
    monkeypatch.setattr(exchange, "TIMEOUTS", (5.0, 2.0))
    peer = Firewall(KEPT, KEPT)
    with make(clock, peer.url) as http:
        assert http.get("/x") == {"a": 1}
        clock.sleep(5)
        assert http.send("POST", "/x", {}) == {"a": 1}
        assert clock.pauses == [5]
    peer.join()
    assert len(peer.seen) == 2


def test_a_connection_that_has_not_rested_is_used_again(clock):
    peer = Steady(KEPT, KEPT, KEPT)
    with make(clock, peer.url) as http:
        for _ in range(3):
            assert http.get("/x") == {"a": 1}
            clock.time += 0.6
    peer.join()
    assert len(peer.seen) == 3


def test_the_connection_is_closed_at_the_end(clock):
    peer = Steady(KEPT, b"")  # waits for a second request, or for the connection's end
    with make(clock, peer.url) as http:
        assert http.get("/x") == {"a": 1}
    peer.join()
    assert peer.seen[1:] == [b""]


def test_cookies_are_not_kept(clock):
    first = GOOD.replace(b"Connection", b"Set-Cookie: session=1; Path=/\r\nConnection")
    peer = Peer(first, GOOD)
    with make(clock, peer.url) as http:
        http.get("/x")
        http.get("/x")
    peer.join()
    assert b"cookie" not in peer.seen[1].lower()


def test_proxy_of_the_environment(clock, monkeypatch):
    peer = Peer(GOOD)
    monkeypatch.setenv("http_proxy", peer.url)
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    with make(clock, "http://ws.example.com") as http:
        assert http.get("/x") == {"a": 1}
    peer.join()
    assert peer.seen[0].startswith(b"GET http://ws.example.com/x")


def test_proxy_that_is_away(clock, monkeypatch):
    monkeypatch.setenv("http_proxy", f"http://user:geheim@127.0.0.1:{free_port()}")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    with (
        make(clock, "http://ws.example.com", answered=False) as http,
        pytest.raises(Unreachable, match="proxy") as error,
    ):
        http.get("/x")
    assert "geheim" not in error.value.message + error.value.hint


@pytest.mark.parametrize("proxy", ["socks5h://127.0.0.1:9", "http://user:geheim@127.0.0.1:port", "ftp://proxy"])
def test_a_proxy_that_is_none_is_told_as_that(clock, monkeypatch, proxy):
    monkeypatch.setenv("http_proxy", proxy)
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    with make(clock, "http://ws.example.com") as http, pytest.raises(Unreachable, match="the proxy that") as error:
        http.get("/x")
    assert "ALL_PROXY" in error.value.hint
    assert ("pip install pysocks" in error.value.hint) is proxy.startswith("socks")
    assert "geheim" not in error.value.message + error.value.hint


class TlsPeer(Peer):
    """A server with a certificate of this name; its second connection gets one of `second`, if that is named.

    `period` says from when (`not_before`) and until when (`not_after`) the certificates are valid.
    """

    def __init__(self, name, *answers, second=None, **period):
        import ssl

        import trustme

        self.authority = trustme.CA()
        self.contexts = []
        for one in (name, second or name, name):
            self.contexts.append(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
            self.authority.issue_cert(one, **period).configure_cert(self.contexts[-1])
        super().__init__(*answers)
        self.url = self.url.replace("http:", "https:")

    def serve(self):
        for answer, context in zip(self.answers, self.contexts, strict=False):
            connection, _ = self.listener.accept()
            connection.settimeout(10)
            try:
                with context.wrap_socket(connection, server_side=True) as secured:
                    self.seen.append(received(secured))
                    secured.sendall(answer)
            except OSError:
                connection.close()
        self.listener.close()


def test_a_certificate_of_the_ca_bundle_is_taken_and_any_when_that_is_asked_for(clock, tmp_path):
    peer = TlsPeer("127.0.0.1", GOOD, GOOD, GOOD)
    bundle = tmp_path / "ca.pem"
    peer.authority.cert_pem.write_to_path(bundle)
    with make(clock, peer.url, verify=str(bundle)) as http:
        assert http.get("/x") == {"a": 1}
    with make(clock, peer.url, verify=False) as http:
        assert http.get("/x") == {"a": 1}
    with (
        make(clock, peer.url, answered=False) as http,
        pytest.raises(Unreachable, match="can't be trusted") as error,
    ):
        http.send("POST", "/x", {})
    assert "ca_path" in error.value.hint
    assert clock.pauses == []
    peer.join()


def test_a_certificate_of_another_name_is_refused(clock, tmp_path):
    peer = TlsPeer("other.example.com", GOOD)
    bundle = tmp_path / "ca.pem"
    peer.authority.cert_pem.write_to_path(bundle)
    with make(clock, peer.url, verify=str(bundle), answered=False) as http, pytest.raises(Unreachable) as error:
        http.get("/x")
    assert "url must name" in error.value.hint
    assert error.value.message.endswith("'127.0.0.1'.")
    peer.join()


@pytest.mark.parametrize(("first", "last", "said"), [(1, 9, "is not valid yet"), (-9, -1, "has expired")])
def test_a_certificate_out_of_its_period_may_mean_a_wrong_clock(clock, tmp_path, first, last, said):
    now = datetime.now(timezone.utc)
    period = {"not_before": now + timedelta(days=first), "not_after": now + timedelta(days=last)}
    peer = TlsPeer("127.0.0.1", GOOD, **period)
    bundle = tmp_path / "ca.pem"
    peer.authority.cert_pem.write_to_path(bundle)
    with make(clock, peer.url, verify=str(bundle), answered=False) as http, pytest.raises(Unreachable) as error:
        http.get("/x")
    assert error.value.hint == f"Its certificate {said}, or this machine's clock is wrong."
    peer.join()


def test_a_certificate_that_is_wrong_for_a_while_is_waited_for_and_nothing_is_sent_to_it(clock, tmp_path):
    peer = TlsPeer("127.0.0.1", GOOD, GOOD, GOOD, second="other.example.com")
    bundle = tmp_path / "ca.pem"
    peer.authority.cert_pem.write_to_path(bundle)
    with make(clock, peer.url, verify=str(bundle), answered=False) as http:
        assert http.get("/x") == {"a": 1}
        assert http.send("POST", "/x", {}) == {"a": 1}
    peer.join()
    assert len(clock.pauses) == 1
    assert "its certificate can't be trusted" in clock.said[0]
    assert len(peer.seen) == 2


class PlainPeer(Peer):
    """A server that answers whatever it hears first, which is no request."""

    def serve(self):
        connection, _ = self.listener.accept()
        with self.listener, connection:
            connection.recv(65536)
            connection.sendall(*self.answers)


def test_https_to_a_plain_server_is_unreachable(clock):
    peer = PlainPeer(GOOD)
    with make(clock, peer.url.replace("http:", "https:"), answered=False) as http, pytest.raises(Unreachable):
        http.get("/x")
    peer.join()


def test_start_up_does_not_load_requests():
    import subprocess
    import sys

    code = "import sys; from cmlutils.remote import http, v1, v2; print('requests' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_a_socks_proxy_keeps_its_own_kind_of_connections(monkeypatch):
    class Socks(urllib3.connection.HTTPConnection):
        pass

    class SocksPool(urllib3.HTTPConnectionPool):
        ConnectionCls = Socks

    manager = urllib3.PoolManager()
    manager.pool_classes_by_scheme = {"http": SocksPool, "https": SocksPool}
    monkeypatch.setattr(requests.adapters.HTTPAdapter, "proxy_manager_for", lambda *_, **__: manager)
    adapter = headers.in_time(7)
    for _ in range(2):  # a manager is used again
        pool = adapter.proxy_manager_for("socks5h://127.0.0.1:1080").pool_classes_by_scheme["http"]
        assert issubclass(pool, SocksPool)
        assert issubclass(pool.ConnectionCls, Socks)
        assert pool.ConnectionCls.seconds == 7
