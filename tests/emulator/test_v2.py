"""The routes of API v2 that a migration falls back on."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import requests

from cmlutils.emulator.records import public_identifier

from .conftest import DANA

if TYPE_CHECKING:
    from collections.abc import Callable

    from cmlutils.emulator.server import Workspace

    from .conftest import Api


class ApiV2:
    def __init__(self, workspace: Workspace, api: Api, expiry: str = "2030-01-01T00:00:00Z") -> None:
        key = api.call(200, "POST", "users/dana/apikey", {"expiryDate": expiry})["apiKey"]
        self.headers = {"Authorization": f"Bearer {key}"}
        self.url = f"{workspace.url}/api/v2"

    def call(self, expected: int, method: str, path: str, body: Any = None) -> Any:
        reply = requests.request(method, f"{self.url}/{path}", headers=self.headers, json=body, timeout=5)
        assert reply.status_code == expected, reply.text
        return reply.json()


@pytest.fixture
def v2(workspace: Workspace, api: Api) -> ApiV2:
    return ApiV2(workspace, api)


@pytest.fixture
def place(workspace: Workspace) -> str:
    return f"projects/{public_identifier('project', workspace.project('dana', 'churn-model').id)}"


def test_only_a_living_v2_key_opens_v2(workspace: Workspace, api: Api, v2: ApiV2) -> None:
    v2.call(200, "GET", "runtimes")
    old = ApiV2(workspace, api, "2020-01-01T00:00:00Z")
    assert old.call(401, "GET", "runtimes")["code"] == 16
    v2.headers = {"Authorization": f"Bearer {DANA}"}
    v2.call(401, "GET", "runtimes")


def test_there_may_be_no_v2(start: Callable[..., Workspace], login: Callable[..., Api]) -> None:
    workspace = start(switches={"no_v2": True})
    ApiV2(workspace, login(workspace)).call(404, "GET", "runtimes")


def test_runtimes_come_in_pages(v2: ApiV2) -> None:
    first = v2.call(200, "GET", "runtimes?page_size=2")
    assert len(first["runtimes"]) == 2
    assert "id" not in first["runtimes"][0]
    last = v2.call(200, "GET", f"runtimes?page_size=2&page_token={first['next_page_token']}")
    assert [r["image_identifier"] for r in last["runtimes"]] == ["img-rsync:2"]
    assert last["next_page_token"] == ""


def test_projects_are_found_by_name(v2: ApiV2, place: str) -> None:
    query = json.dumps({"name": "Churn Model"})
    (found,) = v2.call(200, "GET", f"projects?search_filter={query}")["projects"]
    assert f"projects/{found['id']}" == place
    assert v2.call(200, "GET", place)["name"] == "Churn Model"
    v2.call(404, "GET", "projects/none")


def test_an_application_is_stopped(workspace: Workspace, v2: ApiV2, place: str) -> None:
    running = v2.call(200, "GET", f"{place}/applications")["applications"][0]
    path = f"{place}/applications/{running['id']}"
    assert running["status"] == "APPLICATION_RUNNING"
    v2.call(200, "POST", f"{path}:stop", {})
    assert v2.call(200, "GET", path)["status"] == "APPLICATION_STOPPING"
    workspace.settle()
    assert v2.call(200, "GET", path)["status"] == "APPLICATION_STOPPED"
    v2.call(404, "POST", f"{place}/applications/none:stop", {})


def test_a_job_is_paused_and_linked(workspace: Workspace, v2: ApiV2, place: str) -> None:
    first, second = v2.call(200, "GET", f"{place}/jobs")["jobs"]
    path = f"{place}/jobs/{second['id']}"
    assert second["parent_id"] == first["id"]
    body = {"paused": True, "schedule": "1 1 * * *", "kill_on_timeout": True}
    changed = v2.call(200, "PATCH", path, body)
    assert (changed["paused"], changed["parent_id"], changed["kill_on_timeout"]) == (True, "", True)
    assert v2.call(200, "PATCH", path, {"parent_id": first["id"]})["schedule"] == ""
    assert v2.call(200, "PATCH", path, {"parent_job_id": ""})["parent_id"] == ""
    v2.call(404, "PATCH", path, {"parent_id": "none"})
    assert v2.call(200, "GET", path)["paused"] is True
    assert workspace.went_live == []
