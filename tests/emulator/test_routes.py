"""The v1 and RPC routes: status codes, shapes, and differences between the products."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import requests

from .conftest import ADMIN, DANA, KAI

if TYPE_CHECKING:
    from collections.abc import Callable

    from cmlutils.emulator.server import Workspace

    from .conftest import Api

P = "projects/dana/churn-model"
JOB = {"name": "j", "type": "manual", "script": "a.py", "runtime_id": 84, "cpu": 1, "memory": 2, "nvidia_gpu": 0}
APP = {"name": "a", "subdomain": "a", "script": "a.py", "runtime_id": 84, "cpu": 1, "memory": 2, "nvidia_gpu": 0}


def model_body(workspace: Workspace, **more: Any) -> dict[str, Any]:
    project = workspace.project("dana", "churn-model")
    return {
        "projectId": project.id, "name": "m", "targetFilePath": "m.py", "targetFunctionName": "f", "runtimeId": 84,
        "cpuMillicores": 1000, "memoryMb": 2048, "comment": "c", "examples": [{"request": {}}],
        "replicationPolicy": {"type": "fixed", "numReplicas": 2}, **more,
    }  # fmt: skip


def kinds(workspace: Workspace) -> list[str]:
    return [event.kind for event in workspace.went_live]


def test_the_root_needs_no_key_and_the_rest_does(workspace: Workspace) -> None:
    assert requests.get(f"{workspace.url}/api/v1/", timeout=5).text == "Sense API v1"
    for headers in ({}, {"Authorization": "Basic !"}, {"Authorization": "Bearer no"}):
        reply = requests.get(f"{workspace.url}/api/v1/users/dana", headers=headers, timeout=5)
        assert (reply.status_code, reply.json()) == (401, {"message": "Unauthorized"})


def test_a_key_works_as_basic_user_and_as_bearer(workspace: Workspace, api: Api) -> None:
    assert api.call(200, "GET", "users/dana")["api_key"] == DANA
    bearer = {"Authorization": f"Bearer {DANA}"}
    assert requests.get(f"{workspace.url}/api/v1/users/dana", headers=bearer, timeout=5).status_code == 200


def test_unknown_routes_and_methods_are_json_too(api: Api) -> None:
    assert api.call(404, "GET", "nothing") == {"message": "Not Found"}
    assert api.call(405, "DELETE", "runtimes") == {"message": "Method Not Allowed"}


def test_users_and_teams(api: Api, login: Callable[..., Api], workspace: Workspace) -> None:
    admin = login(workspace, ADMIN)
    assert "api_key" not in api.call(200, "GET", "users/kai")
    assert admin.call(200, "GET", "users/kai")["api_key"] == KAI
    team = api.call(200, "GET", "users/research")
    assert (team["type"], team["members"]) == ("organization", 2)
    assert [member["permission"] for member in team["teamMembers"]] == ["owner", "write"]
    assert api.call(404, "GET", "users/nobody") == {"message": "user.notFound"}
    assert len(api.call(200, "GET", "users")) == 4
    api.call(403, "GET", "site/users")
    assert len(admin.call(200, "GET", "site/users?type=user&limit=2")) == 2
    assert len(admin.call(200, "GET", "site/users?type=user&limit=2&offset=2")) == 1
    api.call(403, "POST", "users", {"username": "new"})
    assert admin.call(201, "POST", "users", {"username": "new"})["api_key"]
    admin.call(422, "POST", "users", {"username": "new"})
    api.call(201, "POST", "users", {"username": "crew", "type": "organization"})
    member = {"username": "kai", "permission": "write"}
    assert api.call(201, "POST", "users/crew/members", member)["members"] == 2
    assert "already a member of this team" in api.call(422, "POST", "users/crew/members", member)["message"]
    login(workspace, KAI).call(403, "POST", "users/crew/members", {"username": "new", "permission": "read"})


def test_v2_keys_come_and_go(api: Api) -> None:
    api.call(422, "POST", "users/dana/apikey", {"expiryDate": "soon"})
    api.call(403, "POST", "users/kai/apikey", {"expiryDate": "2030-01-01T00:00:00Z"})
    made = api.call(200, "POST", "users/dana/apikey", {"expiryDate": "2030-01-01T00:00:00.000Z"})
    assert len(made["apiKey"]) == 129
    assert made["comments"] is None
    assert [key["keyid"] for key in api.call(200, "GET", "users/dana/apikey")] == [made["keyid"]]
    api.call(200, "DELETE", f"users/dana/apikey/{made['keyid']}")
    api.call(404, "DELETE", f"users/dana/apikey/{made['keyid']}")
    assert api.call(200, "GET", "users/dana/apikey") == []


def test_a_v2_key_opens_v1_on_cml_only(start: Callable[..., Workspace], login: Callable[..., Api]) -> None:
    for personality, status in (("cml", 200), ("cdsw", 401)):
        workspace = start(personality)
        body = {"expiryDate": "2030-01-01T00:00:00Z"}
        key = login(workspace).call(200, "POST", "users/dana/apikey", body)["apiKey"]
        login(workspace, key).call(status, "GET", "users/dana")


def test_summary_is_like_and_shows_public_projects_of_others(api: Api) -> None:
    names = {project["name"] for project in api.call(200, "GET", "users/dana/projects-summary?all=true")}
    assert names == {"Churn Model", "Open", "Shared"}
    (found,) = api.call(200, "GET", "users/dana/projects-summary?projectName=churn_m")
    assert (found["slug_raw"], found["owner"]["username"], found["owner"]["type"]) == ("churn-model", "dana", "user")
    assert api.call(200, "GET", "users/dana/projects-summary?projectName=nope") == []
    api.call(404, "GET", "users/nobody/projects-summary")


def test_cml_pages_the_summary_and_cdsw_does_not(start: Callable[..., Workspace], login: Callable[..., Api]) -> None:
    for personality, count in (("cml", 2), ("cdsw", 3)):
        api = login(start(personality))
        assert len(api.call(200, "GET", "users/dana/projects-summary?limit=2&offset=0")) == count
    assert [len(api.call(200, "GET", "users/dana/projects-summary?limit=2&offset=30"))] == [3]


def test_a_project_shows_every_field(workspace: Workspace, api: Api) -> None:
    project = api.call(200, "GET", P)
    assert project["slug"] == "dana/churn-model"
    assert (project["project_visibility"], project["default_project_engine_type"]) == ("private", "ml_runtime")
    assert (project["description"], project["shared_memory_limit"]) == ("monthly", 256)
    assert project["url"] == f"{workspace.url}/api/v1/{P}"
    assert isinstance(project["id"], int)
    shared = api.call(200, "GET", "projects/research/shared")
    assert "description" not in shared
    assert "shared_memory_limit" not in shared
    assert len(api.call(200, "GET", "users/kai/projects")) == 1
    api.call(404, "GET", "users/nobody/projects")
    api.call(404, "GET", "projects/kai/secret")
    api.call(403, "PATCH", "projects/kai/open", {"name": "x"})


def test_projects_of_the_same_name_get_slugs_of_their_own(workspace: Workspace, api: Api) -> None:
    body = {"name": "Größe & Maß 100%", "template": "blank", "project_visibility": "private", "description": "d"}
    slugs = [api.call(201, "POST", "users/dana/projects", body)["slug_raw"] for _ in range(3)]
    assert slugs == ["gr-e-ma-100", "gr-e-ma-100-1", "gr-e-ma-100-2"]
    assert workspace.project("dana", slugs[0]).files.is_dir()
    assert workspace.project("dana", slugs[0]).description == "d"


def test_a_project_may_have_the_folder_that_an_earlier_workspace_left(workspace: Workspace, api: Api) -> None:
    left = workspace.state_dir / "dana/n/kept.txt"
    left.parent.mkdir()
    left.touch()
    api.call(201, "POST", "users/dana/projects", {"name": "n", "template": "blank", "project_visibility": "private"})
    assert workspace.project("dana", "n").files == left.parent
    assert left.exists()


def test_creating_projects_for_others(start: Callable[..., Workspace], login: Callable[..., Api]) -> None:
    api = login(start())
    body = {"name": "n", "template": "blank", "project_visibility": "private"}
    assert api.call(201, "POST", "users/research/projects", body)["owner"]["type"] == "organization"
    api.call(403, "POST", "users/kai/projects", body)
    api.call(404, "POST", "users/nobody/projects", body)
    api.call(422, "POST", "users/dana/projects", {"name": "n"})
    api.call(422, "POST", "users/dana/projects", {**body, "project_visibility": "odd"})
    plain = login(start(assume={"team_project_create": False, "project_create_settings": False}))
    plain.call(404, "POST", "users/research/projects", body)
    made = plain.call(201, "POST", "users/dana/projects", {**body, "default_project_engine_type": "legacy_engine"})
    assert made["default_project_engine_type"] == "ml_runtime"


def test_patching_a_project(start: Callable[..., Workspace], login: Callable[..., Api]) -> None:
    api = login(start())
    body = {"name": "New", "description": "", "shared_memory_limit": 0, "project_visibility": "public"}
    patched = api.call(200, "PATCH", P, body)
    assert (patched["name"], patched["slug_raw"], patched["project_visibility"]) == ("New", "churn-model", "public")
    assert "description" not in patched
    api.call(422, "PATCH", P, {"default_project_engine_type": "odd"})
    plain = login(start(assume={"project_patch": False}))
    assert plain.call(200, "PATCH", P, {"description": "new"})["description"] == "monthly"


def test_a_new_owner_makes_it_private_and_moves_it(workspace: Workspace, login: Callable[..., Api]) -> None:
    admin = login(workspace, ADMIN)
    kai = admin.call(200, "GET", "users/kai")["id"]
    admin.call(200, "PATCH", P, {"project_visibility": "public"})
    admin.call(404, "PATCH", P, {"newOwnerId": 1})
    given = admin.call(200, "PATCH", P, {"newOwnerId": kai})
    assert (given["slug"], given["project_visibility"]) == ("kai/churn-model", "private")
    admin.call(404, "GET", P)
    assert (workspace.project("kai", "churn-model").files / "README.md").read_text() == "hello"


def test_deleting_a_project(workspace: Workspace, api: Api) -> None:
    files = workspace.project("dana", "churn-model").files
    assert api.call(204, "DELETE", P) == b""
    api.call(404, "GET", P)
    assert not files.exists()
    with pytest.raises(KeyError):
        workspace.project("dana", "churn-model")


def test_environment_is_replaced_as_a_whole(api: Api) -> None:
    assert api.call(204, "PUT", f"{P}/environment", {"B": "2"}) == b""
    assert api.call(200, "GET", f"{P}/environment") == {"B": "2"}


def test_collaborators(api: Api) -> None:
    (kai,) = api.call(200, "GET", f"{P}/collaborators")
    assert kai | {"id": 0} == {
        "permissions": "write", "id": 0, "username": "kai", "name": "kai", "admin": False, "businessUser": False,
    }  # fmt: skip
    api.call(200, "PUT", f"{P}/collaborators/kai", {"permissions": "read"})
    assert api.call(200, "GET", f"{P}/collaborators")[0]["permissions"] == "read"
    api.call(404, "PUT", f"{P}/collaborators/nobody", {"permissions": "read"})
    api.call(422, "PUT", f"{P}/collaborators/kai", {"permissions": "all"})


def test_files(workspace: Workspace, api: Api) -> None:
    assert api.call(200, "GET", f"{P}/files/a%20b/%C3%BC.txt") == b"x"
    api.call(404, "GET", f"{P}/files/.exportignore")
    api.call(404, "GET", f"{P}/files/..%2f..%2f..%2fetc/passwd")
    upload = {"name": ("n", b"\x00\xff")}
    api.call(200, "PUT", f"{P}/files/new/bin", files=upload)
    assert (workspace.project("dana", "churn-model").files / "new/bin").read_bytes() == b"\x00\xff"
    api.call(422, "PUT", f"{P}/files/new/bin")


def test_engine_images(api: Api, workspace: Workspace, login: Callable[..., Api]) -> None:
    assert api.call(200, "GET", f"{P}/engine-images")["id"] == 3
    assert api.call(200, "PATCH", f"{P}/engine-images", {"engineImageId": 4})["tag"] == "15"
    api.call(422, "PATCH", f"{P}/engine-images", {"engineImageId": 99})
    body = {"engineImage": {"repository": "r", "tag": "1", "description": ""}}
    api.call(403, "POST", "engine-images", body)
    made = login(workspace, ADMIN).call(200, "POST", "engine-images", body)["id"]
    login(workspace, ADMIN).call(422, "POST", "engine-images", {})
    assert [image["id"] for image in api.call(200, "GET", "engine-images")] == [3, 4, made]


def test_runtimes(start: Callable[..., Workspace], login: Callable[..., Api]) -> None:
    api = login(start(runtimes_loading=2))
    api.call(501, "GET", "runtimes")
    api.call(501, "GET", "runtimes")
    assert [runtime["id"] for runtime in api.call(200, "GET", "runtimes")["runtimes"]] == [84, 85]
    every = api.call(200, "GET", "runtimes?includeAll=True&runtimeCatalog=true")["runtimes"]
    assert [(runtime["id"], runtime["isLatest"]) for runtime in every] == [
        (84, True),
        (83, False),
        (85, True),
        (86, True),
    ]
    assert set(every[0]) >= {"imageIdentifier", "editor", "kernel", "edition", "shortVersion", "fullVersion"}
    assert [a["identifier"] for a in api.call(200, "POST", "runtime-addons", {"component": "Spark"})] == [7]
    assert api.call(200, "POST", "runtime-addons", {"component": "Hadoop"}) == []


def test_site(start: Callable[..., Workspace], login: Callable[..., Api]) -> None:
    cdsw, cml = start("cdsw"), start("cml")
    stats = login(cdsw).call(200, "GET", "site/stats")
    assert {"key": "config.release", "name": "Release", "value": "1.10.4"} in stats
    assert all("key" not in row for row in login(cml).call(200, "GET", "site/stats"))
    assert isinstance(login(cml).call(200, "GET", "site/config")["environment"], str)
    login(cml).call(403, "PATCH", "site/config", {"max_gpu_per_engine": 1})
    assert login(cml, ADMIN).call(200, "PATCH", "site/config/", {"max_gpu_per_engine": 1})["max_gpu_per_engine"] == 1


def test_jobs_in_list_and_detail(start: Callable[..., Workspace], login: Callable[..., Api]) -> None:
    cdsw, cml = login(start("cdsw")), login(start("cml"))
    first, second = cml.call(200, "GET", f"{P}/jobs")
    assert first["paused"] is False
    assert "paused" not in cdsw.call(200, "GET", f"{P}/jobs")[0]
    assert "report" not in first
    detail = cml.call(200, "GET", f"{P}/jobs/{first['id']}")
    assert detail["report"]["failure_recipients"] == "ops@example.com"
    assert (detail["schedule"], detail["runtime"]["id"], detail["timeout"]) == ("0 2 * * *", 84, 60)
    assert "parent" not in detail
    assert second["parent"] == {"id": first["id"]}
    assert second["project"]["default_project_engine_type"] == "ml_runtime"
    cml.call(404, "GET", f"{P}/jobs/1")


def test_a_job_is_created_inert_or_live(workspace: Workspace, api: Api) -> None:
    manual = api.call(201, "POST", f"{P}/jobs", JOB)
    paused = api.call(201, "POST", f"{P}/jobs", {**JOB, "type": "cron", "schedule": "* * * * *", "paused": True})
    assert paused["paused"] is True
    assert workspace.went_live == []
    api.call(201, "POST", f"{P}/jobs", {**JOB, "type": "cron", "schedule": "* * * * *"})
    dependent = {**JOB, "type": "dependent", "parent_id": manual["id"], "notifications": [{"user_id": 1}]}
    assert api.call(201, "POST", f"{P}/jobs", dependent)["notifications"] == [{"user_id": 1}]
    assert kinds(workspace) == ["job-live", "job-live"]
    api.call(200, "PATCH", f"{P}/jobs/{paused['id']}", {"paused": False})
    assert kinds(workspace) == ["job-live"] * 3
    api.call(200, "PATCH", f"{P}/jobs/{paused['id']}", {"paused": True})
    assert workspace.went_live[-1].reached == "stopped"


@pytest.mark.parametrize(
    "change",
    [
        {"runtime_id": 9999}, {"runtime_id": None}, {"runtime_id": True}, {"name": ""}, {"addons": [1]},
        {"parent_id": 1}, {"environment": "A=1"}, {"cpu": "one"}, {"memory": True},
    ],
)  # fmt: skip
def test_a_job_that_cannot_be_is_refused(workspace: Workspace, api: Api, change: dict[str, Any]) -> None:
    api.call(422, "POST", f"{P}/jobs", {**JOB, **change})
    assert len(workspace.project("dana", "churn-model").jobs) == 2


def test_patching_a_job(workspace: Workspace, api: Api) -> None:
    first, second = workspace.project("dana", "churn-model").jobs
    path = f"{P}/jobs/{second.id}"
    changed = api.call(200, "PATCH", path, {"schedule": "1 1 * * *", "environment": {"X": "1"}, "runtime_id": 85})
    assert (changed["type"], changed["schedule"], changed["runtime"]["id"]) == ("cron", "1 1 * * *", 85)
    assert "parent" not in changed
    changed = api.call(200, "PATCH", path, {"parent": {"id": first.id}, "environment": '{"Y": "2"}'})
    assert (changed["type"], changed["parent"], changed["environment"]) == ("dependent", {"id": first.id}, {"Y": "2"})
    api.call(200, "PATCH", path, {"parent_id": None, "failure_recipients": ["a@example.com"], "attachments": ["f"]})
    assert second.type == "manual"
    assert api.call(200, "GET", path)["report"]["failure_recipients"] == ["a@example.com"]
    api.call(422, "PATCH", path, {"schedule": "* * * * *", "parent_id": first.id})
    api.call(422, "PATCH", path, {"parent_id": second.id})


def test_runs_and_deletion_of_a_job(workspace: Workspace, api: Api) -> None:
    job = api.call(201, "POST", f"{P}/jobs", JOB)["id"]
    api.call(200, "POST", f"{P}/jobs/{job}/stop", {})
    assert len(api.call(200, "POST", f"{P}/jobs/{job}/start", {})["engine_id"]) == 16
    assert api.call(200, "GET", f"{P}/jobs/{job}")["latest"]["status"] == "running"
    api.call(200, "POST", f"{P}/jobs/{job}/stop", {})
    assert api.call(204, "DELETE", f"{P}/jobs/{job}") == b""
    assert [(event.kind, event.reached) for event in workspace.went_live] == [("job-started", "stopped")]


def test_without_the_assumptions_about_jobs(start: Callable[..., Workspace], login: Callable[..., Api]) -> None:
    names = ("job_patch", "job_paused", "job_parent", "job_parent_id", "job_notifications", "addons_on_read")
    workspace = start(assume=dict.fromkeys(names, False))
    api = login(workspace)
    job = api.call(201, "POST", f"{P}/jobs", {**JOB, "schedule": "* * * * *", "paused": True, "parent_id": 1})
    assert not {"paused", "parent", "notifications", "addons"} & set(job)
    assert kinds(workspace) == ["job-live"]
    api.call(404, "PATCH", f"{P}/jobs/{job['id']}", {"paused": True})


def test_applications_in_list(api: Api) -> None:
    running, idle = api.call(200, "GET", f"{P}/applications")
    assert (running["status"], running["currentDashboard"]["nvidiaGpu"]) == ("running", 0)
    assert running["currentDashboard"]["kernel"] == ""
    assert running["currentDashboard"]["runtime"]["shortVersion"] == "2023.05"
    assert running["environment"] == {}
    assert idle["status"] == "stopped"
    assert "currentDashboard" not in idle
    api.call(404, "GET", f"{P}/applications/1")


def test_environments_may_be_json_text(start: Callable[..., Workspace], login: Callable[..., Api]) -> None:
    api = login(start(switches={"environment_as_string": True}))
    assert json.loads(api.call(200, "GET", f"{P}/applications")[0]["environment"]) == {}
    assert json.loads(api.call(200, "GET", f"{P}/jobs")[0]["environment"]) == {}


def test_an_application_starts_runs_and_stops(workspace: Workspace, api: Api) -> None:
    made = api.call(201, "POST", f"{P}/applications", APP)
    path = f"{P}/applications/{made['id']}"
    assert [api.call(200, "GET", path)["status"] for _ in range(2)] == ["starting", "running"]
    api.call(200, "PUT", f"{path}/stop", {})
    assert [api.call(200, "GET", path)["status"] for _ in range(2)] == ["stopping", "stopped"]
    (event,) = workspace.went_live
    assert (event.kind, event.reached) == ("application-started", "stopping")
    assert event.stopped is not None
    api.call(200, "PUT", f"{path}/stop", {})
    api.call(200, "PUT", f"{path}/restart", {})
    workspace.settle()
    assert [(e.kind, e.reached) for e in workspace.went_live[1:]] == [("application-restarted", "running")]
    engine = api.call(200, "GET", path)["currentDashboard"]["id"]
    api.call(200, "PUT", f"{P}/dashboards/{engine}/stop", {})
    api.call(404, "PUT", f"{P}/dashboards/other/stop", {})
    assert api.call(200, "DELETE", path) == {}
    api.call(404, "GET", path)


def test_applications_that_cannot_be(start: Callable[..., Workspace], login: Callable[..., Api]) -> None:
    api = login(start())
    api.call(422, "POST", f"{P}/applications", {**APP, "subdomain": "ui-dana"})
    api.call(422, "POST", f"{P}/applications", {**APP, "bypass_authentication": True})
    api.call(422, "POST", f"{P}/applications", {**APP, "runtime_id": 1})
    allowed = login(start(switches={"unauthenticated_applications": True}))
    made = allowed.call(201, "POST", f"{P}/applications", {**APP, "bypass_authentication": True})
    assert made["bypass_authentication"] is True


def test_patching_an_application(start: Callable[..., Workspace], login: Callable[..., Api]) -> None:
    workspace = start()
    application = workspace.project("dana", "churn-model").applications[0]
    body = {"subdomain": "ui-dana", "description": "d", "environment": {"A": "1"}}
    patched = login(workspace).call(200, "PATCH", f"{P}/applications/{application.id}", body)
    assert (patched["description"], patched["environment"]) == ("d", {"A": "1"})
    names = ("application_patch", "application_stop", "dashboard_stop", "addons_on_read")
    bare = start(assume=dict.fromkeys(names, False))
    api = login(bare)
    application = bare.project("dana", "churn-model").applications[0]
    path = f"{P}/applications/{application.id}"
    api.call(404, "PATCH", path, {})
    api.call(404, "PUT", f"{path}/stop", {})
    api.call(404, "PUT", f"{P}/dashboards/{application.engine_id}/stop", {})
    assert "addons" not in api.call(200, "GET", path)


def test_an_application_may_fail(start: Callable[..., Workspace], login: Callable[..., Api]) -> None:
    workspace = start(failing_applications=["a"], pace={"polls": 0})
    api = login(workspace)
    made = api.call(201, "POST", f"{P}/applications", APP)
    assert api.call(200, "GET", f"{P}/applications/{made['id']}")["status"] == "failed"
    assert workspace.went_live[0].stopped is not None


def test_models_in_list_and_detail(workspace: Workspace, api: Api) -> None:
    project = workspace.project("dana", "churn-model")
    expand = {"latestModelBuild": True, "latestModelDeployment": True}
    served, bare = api.models("list-models", {"projectId": project.id, **expand})
    assert isinstance(served["id"], str)
    assert served["project"]["id"] == project.id
    assert (served["latestModelBuild"]["status"], served["latestModelBuild"]["runtimeId"]) == ("built", 84)
    assert served["latestModelDeployment"]["replicationStatus"] == {"numReplicasAvailable": 1}
    assert "latestModelBuild" not in bare
    assert "latestModelBuild" not in api.models("get-model", {"id": served["id"]})
    assert len(api.models("list-models", {})) == 2
    assert len(api.models("list-models", {"projectOwnerName": "dana"})) == 2
    assert api.models("list-models", {"projectOwnerName": "kai"}) == []
    assert api.models("get-model", {"id": "1"}, 404) == {"message": "model not found"}


def test_a_model_is_built_and_deployed_unless_told_otherwise(workspace: Workspace, api: Api) -> None:
    expand = {"latestModelBuild": True, "latestModelDeployment": True}
    quiet = api.models("create-model", model_body(workspace, autoBuildModel=False, autoDeployModel=False))
    assert not {"modelBuild", "modelDeployment"} & set(quiet)
    built = api.models("create-model", model_body(workspace, autoDeployModel=False, kernel="python3", engineImageId=3))
    assert "modelDeployment" not in built
    assert built["modelBuild"]["engineImageId"] == 3
    assert workspace.went_live == []
    loud = api.models("create-model", model_body(workspace))
    assert loud["accessKey"]
    shown = [api.models("get-model", {"id": loud["id"], **expand}) for _ in range(9)]
    builds = [model["latestModelBuild"]["status"] for model in shown]
    assert builds[:4] == ["pending", "building", "building", "built"]
    assert shown[-1]["latestModelDeployment"]["status"] == "deployed"
    assert [(event.kind, event.reached) for event in workspace.went_live] == [("model-deployment", "deployed")]


def test_without_the_assumptions_about_models(start: Callable[..., Workspace], login: Callable[..., Api]) -> None:
    names = ("explicit_auto_false", "model_stop", "model_restart", "model_update")
    workspace = start(assume=dict.fromkeys(names, False))
    api = login(workspace)
    made = api.models("create-model", model_body(workspace, autoBuildModel=False, autoDeployModel=False))
    assert kinds(workspace) == ["model-deployment"]
    for verb in ("stop-model", "restart-model", "update-model"):
        api.models(verb, {}, 404)
    api.models("delete-model", {"id": made["id"]})
    assert workspace.went_live[0].reached == "deleted"


def test_what_only_some_targets_do_about_models(start: Callable[..., Workspace], login: Callable[..., Api]) -> None:
    quiet = {"autoBuildModel": True, "autoDeployModel": False, "authEnabled": False}
    expand = {"latestModelBuild": True, "latestModelDeployment": True}
    workspace = start()
    api = login(workspace)
    model = api.models("create-model", model_body(workspace, **quiet))
    assert (model["modelBuild"]["status"], model["authEnabled"], kinds(workspace)) == ("pending", False, [])
    weak = start(assume=dict.fromkeys(("build_at_create", "build_without_deploy", "model_auth_at_create"), False))
    api = login(weak)
    model = api.models("create-model", model_body(weak, **quiet))
    assert model["authEnabled"]
    assert "latestModelBuild" not in api.models("get-model", {"id": model["id"], **expand})
    api.models("build-model", {**model_body(weak, **quiet), "modelId": model["id"]})
    assert kinds(weak) == ["model-deployment"]


def test_a_target_may_hide_what_it_knows(start: Callable[..., Workspace], login: Callable[..., Api]) -> None:
    workspace = start(assume=dict.fromkeys(("job_paused_shown", "application_public_id"), False))
    api = login(workspace)
    job = api.call(201, "POST", f"{P}/jobs", {**JOB, "schedule": "* * * * *", "paused": True})
    assert "paused" not in job
    assert kinds(workspace) == []
    assert "public_identifier" not in api.call(200, "GET", f"{P}/applications")[0]


def test_a_target_may_want_environments_as_json_text(
    start: Callable[..., Workspace], login: Callable[..., Api]
) -> None:
    api = login(start(switches={"environment_wanted_as_string": True}))
    api.call(422, "POST", f"{P}/jobs", {**JOB, "environment": {"A": "1"}})
    job = api.call(201, "POST", f"{P}/jobs", {**JOB, "environment": '{"A": "1"}'})
    assert job["environment"] == {"A": "1"}


def test_the_life_of_a_model(workspace: Workspace, api: Api) -> None:
    expand = {"latestModelBuild": True, "latestModelDeployment": True}
    body = model_body(workspace, autoBuildModel=False)
    model = api.models("create-model", body)["id"]
    build = api.models("build-model", {**body, "modelId": model, "autoDeployModel": False, "addons": [7]})
    assert build["addons"] == [7]
    deployed = api.models("deploy-model", {"modelBuildId": build["id"], "cpuMillicores": 500, "memoryMb": 100})
    assert (deployed["status"], deployed["cpuMillicores"]) == ("pending", 500)
    workspace.settle()
    assert api.models("stop-model", {"modelDeploymentId": deployed["id"]})["status"] == "stopping"
    assert api.models("stop-model", {"modelDeploymentId": deployed["id"]})["status"] == "stopping"
    workspace.settle()
    assert api.models("get-model", {"id": model, **expand})["latestModelDeployment"]["status"] == "stopped"
    api.models("restart-model", {"modelDeploymentId": deployed["id"]})
    api.models("build-model", {**body, "modelId": model})
    assert api.models("update-model", {"id": model, "name": "renamed"})["name"] == "renamed"
    assert api.models("set-model-auth", {"id": model, "enableAuth": False})["authEnabled"] is False
    assert api.models("deploy-model", {"modelBuildId": "1"}, 404)
    assert api.models("delete-model", {"id": model}) == {}
    assert kinds(workspace) == ["model-deployment"] * 3
    assert all(event.stopped for event in workspace.went_live)


def test_a_build_may_fail(start: Callable[..., Workspace], login: Callable[..., Api]) -> None:
    workspace = start(failing_builds=["m"])
    api = login(workspace)
    made = api.models("create-model", model_body(workspace))
    workspace.settle()
    shown = api.models("get-model", {"id": made["id"], "latestModelBuild": True, "latestModelDeployment": True})
    assert shown["latestModelBuild"]["status"] == "build failed"
    assert shown["latestModelDeployment"]["status"] == "failed"


def test_engine_projects_need_no_runtime(workspace: Workspace, login: Callable[..., Api]) -> None:
    kai = login(workspace, KAI)
    job = kai.call(201, "POST", "projects/kai/open/jobs", {**JOB, "runtime_id": None, "kernel": "python3"})
    assert "runtime" not in job
    assert job["kernel"] == "python3"
    body = {**model_body(workspace), "projectId": str(workspace.project("kai", "open").id), "runtimeId": None}
    assert "runtimeId" not in kai.models("create-model", body)["modelBuild"]


def test_requests_are_recorded_in_order(workspace: Workspace, api: Api) -> None:
    workspace.forget_requests()
    api.call(200, "GET", "users/dana?x=1")
    api.call(422, "POST", f"{P}/jobs", {"name": "j"})
    api.call(404, "GET", "nothing", data=None)
    got = [(r.method, r.path, r.query, r.json, r.status) for r in workspace.requests]
    assert got[0] == ("GET", "/api/v1/users/dana", {"x": "1"}, None, 200)
    assert got[1] == ("POST", f"/api/v1/{P}/jobs", {}, {"name": "j"}, 422)
    assert str(workspace.requests[2]) == "GET /api/v1/nothing -> 404"
