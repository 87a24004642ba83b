"""Scripted trouble, as a client sees it."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest
import requests
from until import until

from cmlutils.emulator import wire
from cmlutils.emulator.faults import Fault

from .conftest import DANA

if TYPE_CHECKING:
    from collections.abc import Callable

    from cmlutils.emulator.server import Workspace

    from .conftest import Api

USER = "/api/v1/users/dana"
PROJECTS = "/api/v1/users/dana/projects"
NEW = {"name": "new", "template": "blank", "project_visibility": "private"}


def get(workspace: Workspace, path: str = USER, timeout: float = 5) -> requests.Response:
    return requests.get(workspace.url + path, auth=(DANA, ""), timeout=timeout)


def create(workspace: Workspace) -> requests.Response:
    return requests.post(workspace.url + PROJECTS, auth=(DANA, ""), json=NEW, timeout=5)


def made(workspace: Workspace) -> bool:
    return workspace.world.find_project("dana", "new") is not None


def test_a_status_with_body_and_headers_for_the_nth_request_only(workspace: Workspace) -> None:
    workspace.faults.add(Fault("status", status=429, headers={"Retry-After": "2"}, nth=2, times=2))
    replies = [get(workspace) for _ in range(4)]
    assert [reply.status_code for reply in replies] == [200, 429, 429, 200]
    assert replies[1].headers["Retry-After"] == "2"
    assert replies[1].json() == {"message": "Too Many Requests"}
    assert [r.status for r in workspace.requests] == [200, 429, 429, 200]


def test_text_and_objects_as_bodies(workspace: Workspace) -> None:
    workspace.faults.add(Fault("status", status=502, body="Bad Gateway"), Fault("status", nth=2, body={"error": "x"}))
    assert get(workspace).text == "Bad Gateway"
    assert get(workspace).json() == {"error": "x"}


def test_faults_choose_by_method_path_and_body(workspace: Workspace) -> None:
    workspace.faults.add(Fault("status", method="POST", path=r"/projects$", containing='"new"', times=None))
    assert get(workspace, PROJECTS).status_code == 200
    assert [create(workspace).status_code for _ in range(2)] == [503, 503]
    workspace.faults.clear()
    assert create(workspace).status_code == 201


def test_faults_come_with_the_world(start: Callable[..., Workspace]) -> None:
    workspace = start(faults=[{"action": "status", "path": "users", "status": 500}])
    assert [get(workspace).status_code for _ in range(2)] == [500, 200]


@pytest.mark.parametrize(("action", "effect"), [("reset", False), ("reset-after", True)])
def test_resets(workspace: Workspace, action: str, effect: bool) -> None:
    workspace.faults.add(Fault(action, path="projects"))
    with pytest.raises(requests.ConnectionError, match=r"reset by peer"):
        create(workspace)
    assert made(workspace) is effect
    assert workspace.requests[-1].status == 0


def test_a_reset_is_one_under_tls_too(start: Callable[..., Workspace]) -> None:
    workspace = start(tls=True)
    workspace.faults.add(Fault("reset"))
    with pytest.raises(requests.ConnectionError):
        requests.get(workspace.url + USER, auth=(DANA, ""), timeout=5, verify=str(workspace.ca_file))
    assert requests.get(workspace.url + USER, auth=(DANA, ""), timeout=5, verify=str(workspace.ca_file)).ok


def test_502_after_the_effect(workspace: Workspace) -> None:
    workspace.faults.add(Fault("status-after", status=502))
    assert create(workspace).status_code == 502
    assert made(workspace)


@pytest.mark.parametrize(("action", "effect"), [("hang", False), ("hang-after", True)])
def test_hangs_outlast_a_time_out(workspace: Workspace, action: str, effect: bool) -> None:
    workspace.faults.add(Fault(action, path="projects"))
    with pytest.raises(requests.ReadTimeout):
        requests.post(workspace.url + PROJECTS, auth=(DANA, ""), json=NEW, timeout=0.3)
    assert made(workspace) is effect


def test_a_hang_ends_with_its_seconds_or_with_the_workspace(start: Callable[..., Workspace]) -> None:
    workspace = start()
    workspace.faults.add(Fault("hang", seconds=0.1), Fault("hang", nth=2))
    with pytest.raises(requests.ConnectionError):
        get(workspace)
    failures: list[Exception] = []

    def wait() -> None:
        try:
            get(workspace, timeout=60)
        except requests.ConnectionError as error:
            failures.append(error)

    waiting = threading.Thread(target=wait)
    waiting.start()
    until(lambda: len(workspace.requests) >= 2, "the second request")
    workspace.close()
    waiting.join(5)
    assert len(failures) == 1


def test_a_page_instead_of_an_answer(workspace: Workspace) -> None:
    workspace.faults.add(Fault("html"))
    reply = create(workspace)
    assert (reply.status_code, reply.headers["Content-Type"]) == (200, "text/html")
    assert not made(workspace)


def test_cut_and_wrong_json(workspace: Workspace) -> None:
    workspace.faults.add(Fault("cut-json"), Fault("wrong-type", nth=2), Fault("wrong-type", path="/projects$"))
    with pytest.raises(requests.JSONDecodeError):
        get(workspace).json()
    assert get(workspace).json() == []
    assert get(workspace, PROJECTS).json() == {}
    workspace.faults.add(Fault("wrong-type", body="text"))
    assert get(workspace).json() == "text"


def test_a_slow_body(workspace: Workspace) -> None:
    workspace.faults.add(Fault("slow", seconds=0.3))
    began = time.monotonic()
    assert get(workspace).json()["username"] == "dana"
    assert time.monotonic() - began > 0.25


def test_an_unknown_fault_is_refused() -> None:
    with pytest.raises(ValueError, match="no fault is called 'odd'"):
        Fault("odd")


def test_down_and_up_on_the_same_port(workspace: Workspace, api: Api) -> None:
    api.call(200, "GET", "users/dana")
    workspace.go_down()
    workspace.go_down()
    with pytest.raises(requests.ConnectionError):
        get(workspace)
    workspace.come_up()
    workspace.come_up()
    assert get(workspace).ok
    assert api.call(200, "GET", "users/dana")


def test_connections_are_kept_alive(workspace: Workspace) -> None:
    with socket.create_connection(("127.0.0.1", workspace.port), timeout=5) as connection:
        for method in (b"GET", b"HEAD"):
            connection.sendall(method + b" /api/v1/ HTTP/1.1\r\nHost: x\r\n\r\n")
            received = b""
            while b"\r\n\r\n" not in received:
                received += connection.recv(4096)
            assert received.startswith((b"HTTP/1.1 200", b"HTTP/1.1 405"))


def test_a_client_that_leaves_early_harms_nobody(workspace: Workspace) -> None:
    with socket.create_connection(("127.0.0.1", workspace.port), timeout=5) as connection:
        connection.sendall(b"POST /api/v1/users HTTP/1.1\r\nContent-Length: 100\r\n\r\n{")
    assert get(workspace).ok


def test_a_request_that_is_cut_off_is_none(workspace: Workspace) -> None:
    with socket.create_connection(("127.0.0.1", workspace.port), timeout=5) as connection:
        connection.sendall(b"POST /api/v1/users HTTP/1.1\r\nContent-Length: 100\r\n\r\n{")
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(4096) == b""
    assert workspace.requests == []


def test_several_workspaces_at_once(start: Callable[..., Workspace]) -> None:
    one, other = start("cdsw"), start("cml")
    assert one.port != other.port
    assert create(one).ok
    assert not made(other)
    ids = [workspace.project("dana", "churn-model").id for workspace in (one, other)]
    assert ids[0] != ids[1]


def test_many_connections_at_once_do_not_delay_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    free, accept = threading.Event(), wire.Server.get_request
    monkeypatch.setattr(wire.Server, "get_request", lambda server: free.wait(10) and accept(server))
    server = wire.Server(0, lambda _: wire.Answer(), threading.Event())
    with ExitStack() as stack:
        stack.callback(server.close)
        stack.callback(free.set)
        for _ in range(50):  # a connection that finds no place is tried again after a second
            stack.enter_context(socket.create_connection(server.server_address, timeout=0.8))
