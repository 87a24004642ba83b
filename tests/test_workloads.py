"""Models, applications and jobs: from a reply to a bundle and back, and how differences are found."""

import json
from dataclasses import replace

import pytest

from cmlutils.errors import ApiError, BundleError
from cmlutils.flows.replaying.job_triggers import JobState, armed_as_wanted
from cmlutils.model import live_status
from cmlutils.project import ProjectRef, ProjectSettings
from cmlutils.runtime import Runtime
from cmlutils.workloads import Application, Job, Model, differences, identity_in, identity_of

RUNTIME = {
    "id": 84,
    "imageIdentifier": "reg/ml-runtime:1",
    "editor": "Workbench",
    "kernel": "Python 3.9",
    "edition": "Standard",
    "shortVersion": "2023.05",
    "fullVersion": "2023.05.2-b7",
}
KNOWN = [Runtime.from_v1(RUNTIME)]
JOB = {
    "id": 208,
    "name": "nightly",
    "type": "cron",
    "script": "score.py",
    "arguments": "--day",
    "schedule": "0 2 * * *",
    "timezone": "Europe/Madrid",
    "parent": {"id": 7},
    "cpu": 1,
    "memory": 2.5,
    "nvidia_gpu": 1,
    "kernel": "",
    "runtime": {"id": 84},
    "environment": '{"MODE": "full"}',
    "timeout": 60,
    "timeout_kill": True,
    "report": {
        "attachments": ["a.html"],
        "failure_recipients": "ops@x, dev@x",
        "success_recipients": ["me@x"],
    },
    "notifications": [{"user_id": 1, "failure": True}],
    "addons": [3],
}
APPLICATION = {
    "id": 17,
    "name": "Explainer",
    "description": "what-if",
    "subdomain": "explainer",
    "script": "serve.py",
    "bypass_authentication": True,
    "environment": {"TASK": "serve"},
    "currentDashboard": {"cpu": 1, "memory": 2, "nvidiaGpu": 0, "kernel": "", "runtime": RUNTIME},
    "addons": [3],
}
MODEL = {
    "id": "7",
    "name": "Explain",
    "description": "d",
    "visibility": "public",
    "authEnabled": False,
    "defaultResources": {"cpuMillicores": 500, "memoryMb": 1024, "nvidiaGPUs": 1},
    "defaultReplicationPolicy": {"type": "fixed", "numReplicas": 3},
    "latestModelBuild": {
        "targetFilePath": "serve.py",
        "targetFunctionName": "explain",
        "comment": "first",
        "runtimeId": 84,
        "examples": [{"request": {"x": 1}}],
    },
    "latestModelDeployment": {"environment": {"A": "b"}},
}


@pytest.mark.parametrize(("kind", "reply"), [(Job, JOB), (Application, APPLICATION), (Model, MODEL)])
def test_every_field_passes_through_the_bundle(kind, reply):
    one = kind.from_v1(reply, KNOWN)
    again = kind.from_bundle(json.loads(json.dumps(one.to_bundle())))
    assert again == replace(one, runtime=replace(one.runtime, id=0))  # an id is valid on its workspace only
    assert again.runtime.image == "reg/ml-runtime:1"
    engine = replace(one, runtime=None, kernel="r")
    assert kind.from_bundle(json.loads(json.dumps(engine.to_bundle()))) == engine


def test_a_job_is_read_in_full():
    recipients = {"failure_recipients": ("ops@x", "dev@x"), "success_recipients": ("me@x",)}
    whole = Job(
        "nightly", "score.py", 208, 7, "cron", "--day", "0 2 * * *", "Europe/Madrid", "r", KNOWN[0], 2, 2.5, 1,
        {"MODE": "full"}, 60, True, ("a.html",), recipients, ({"user_id": 1, "failure": True},), (3,),
    )  # fmt: skip
    assert Job.from_v1(JOB | {"cpu": 2, "kernel": "r"}, KNOWN) == whole
    shown = JOB | {"cpu": 2, "kernel": "r", "attachments": ["a.html"]}
    shown["report"] = {key: value for key, value in JOB["report"].items() if key != "attachments"}
    assert Job.from_v1(shown, KNOWN) == whole


@pytest.mark.parametrize(
    "shown",
    [
        {"currentDashboard": {"cpu": 0.5, "memory": 4, "nvidiaGpu": 1, "kernel": "r", "runtime": RUNTIME}},
        {"cpu": 0.5, "memory": 4, "nvidia_gpu": 1, "kernel": "r", "runtime": {"id": 84}},
        {"cpu": 0.5, "memory": 4, "nvidia_gpu": 1, "kernel": "r", "runtime": {"id": 84}, "currentDashboard": {"id": 5}},
    ],
)
def test_an_application_is_read_in_full_from_what_ran_last_or_else_from_itself(shown):
    plain = {key: value for key, value in APPLICATION.items() if key != "currentDashboard"}
    whole = Application(
        "Explainer", "explainer", "serve.py", "what-if", True, "r", KNOWN[0], 0.5, 4, 1, {"TASK": "serve"}, (3,)
    )
    assert Application.from_v1(plain | shown, KNOWN) == whole


def test_a_model_is_read_in_full_from_its_defaults_or_else_from_what_is_deployed():
    whole = Model(
        "Explain", "d", "public", False, "serve.py", "explain", "first", "r", KNOWN[0], 500, 1024, 1, 3, {"A": "b"},
        ({"request": {"x": 1}},),
    )  # fmt: skip
    reply = MODEL | {"latestModelBuild": MODEL["latestModelBuild"] | {"kernel": "r"}}
    assert Model.from_v1(reply, KNOWN) == whole
    deployed = {**MODEL["defaultResources"], "replicationPolicy": {"numReplicas": 3}, "environment": {"A": "b"}}
    bare = {key: value for key, value in reply.items() if not key.startswith("default")}
    assert Model.from_v1(bare | {"latestModelDeployment": deployed}, KNOWN) == whole
    assert Model.from_v1(reply | {"latestModelDeployment": None, "environment": {"A": "b"}}, KNOWN) == whole


def test_a_job_is_created_without_what_would_make_it_live():
    body = Job.from_v1(JOB, KNOWN).to_v1()
    assert body["type"] == "manual"
    assert body["paused"] is True
    assert not {"schedule", "parent", "parent_id", "parent_job_id", "runtime", "id"} & set(body)
    assert body["notifications"] == []


def test_a_model_is_created_built_but_never_deployed():
    body = Model.from_v1(MODEL, KNOWN).to_v1()
    assert body["autoBuildModel"] is True
    assert body["autoDeployModel"] is False
    unbuilt = Model("x").to_v1()
    assert (unbuilt["autoBuildModel"], unbuilt["autoDeployModel"]) == (False, False)
    assert body["cpuMillicores"] == 500
    assert body["replicationPolicy"] == {"type": "fixed", "numReplicas": 3}


def test_what_never_ran_or_was_never_built_is_read():
    bare = {"name": "x", "subdomain": "x", "environment": {}, "currentDashboard": None}
    assert Application.from_v1(bare, KNOWN).runtime is None
    assert Model.from_v1({"name": "x", "latestModelBuild": None}, KNOWN).file == ""
    assert Job.from_v1({"name": "x", "script": "y", "report": None}, KNOWN).type == "manual"


@pytest.mark.parametrize(
    ("kind", "reply", "word"),
    [
        (Job, [], "job"),
        (Job, {"script": "x"}, "name"),
        (Job, JOB | {"environment": "{cut"}, "nightly"),
        (Job, JOB | {"cpu": "many"}, "cpu"),
        (Application, {"name": "x"}, "subdomain"),
        (Model, {"name": "x", "latestModelBuild": "y"}, "x"),
        (Job, JOB | {"notifications": 3}, "notifications"),
    ],
)
def test_a_reply_of_the_wrong_shape_names_the_workload(kind, reply, word):
    with pytest.raises(ApiError, match=word):
        kind.from_v1(reply, KNOWN)


@pytest.mark.parametrize(
    ("kind", "record", "words"),
    [
        (Job, {"name": "nightly", "cpu": "many"}, "jobs-metadata.json: a job 'nightly' has no usable 'cpu'"),
        (Model, {"name": "m", "file_path": 7}, "models-metadata.json: a model 'm' has no usable 'file_path'"),
        (Application, {"name": "a"}, "applications-metadata.json: an application 'a' has no usable 'subdomain'"),
        (Job, {"script": "s.py"}, "jobs-metadata.json: a job has no usable 'name'"),
    ],
)
def test_a_record_of_a_bundle_that_is_wrong_is_named(kind, record, words):
    with pytest.raises(BundleError, match=words):
        kind.from_bundle(record)


def test_a_bundle_of_cloudera_cmlutils_is_read():
    job = Job.from_bundle(
        {
            "name": "j",
            "script": "s.py",
            "source_jobid": 3,
            "parent_jobid": 2,
            "kill_on_timeout": True,
            "failure_recipients": "a@x",
            "runtime_kernel": "Python 3.9",
            "runtime_editor": "Workbench",
            "runtime_edition": "Standard",
            "runtime_shortversion": "2023.05",
            "runtime_fullversion": "2023.05.2-b7",
        }
    )
    assert (job.type, job.parent_id, job.timeout_kill) == ("dependent", 2, True)
    assert job.runtime.kernel == "Python 3.9"
    model = Model.from_bundle({"name": "m", "disable_authentication": True, "runtime_identifier": "reg/x:1"})
    assert model.runtime.image == "reg/x:1"
    assert not model.auth_enabled
    with pytest.raises(BundleError, match="job"):
        Job.from_bundle({"script": "s"})


def test_environments_differ_by_key_and_show_no_value():
    a = Job("j", "s", environment={"A": "secret-1", "B": "x"})
    b = Job("j", "s", environment={"A": "secret-2", "C": "x"})
    rows = differences(a, b)
    assert rows == [
        ("environment A", "***", "***"),
        ("environment B", "***", "absent"),
        ("environment C", "absent", "***"),
    ]


def test_fields_that_may_hold_secrets_differ_without_their_values():
    a = Job("j", "s", arguments="--token=secret-1")
    assert differences(a, Job("j", "s", arguments="--token=secret-2")) == [("arguments", "***", "***")]
    assert differences(a, Job("j", "s")) == [("arguments", "***", "none")]
    a = Model("m", description="secret-1")
    rows = differences(a, Model("m", description="secret-2", examples=({"request": "secret-3"},)))
    assert rows == [("description", "***", "***"), ("examples", "none", "***")]


def test_project_settings_pass_through_the_bundle():
    reply = {
        "name": "P",
        "description": "d",
        "project_visibility": "public",
        "shared_memory_limit": 64,
        "default_project_engine_type": "legacy_engine",
        "owner": {"username": "crew", "type": "organization"},
    }
    settings = ProjectSettings.from_v1(reply, {"A": "b"}, [{"username": "kai", "permissions": "write", "id": 4}])
    kai = {"username": "kai", "permissions": "write"}
    assert settings == ProjectSettings("P", "d", "public", 64, "legacy_engine", {"A": "b"}, "crew", "crew", (kai,))
    assert ProjectSettings.from_bundle(json.loads(json.dumps(settings.to_bundle()))) == settings
    assert settings.to_bundle()["default_project_engine_type"] == "legacy_engine"


@pytest.mark.parametrize(
    ("record", "team"),
    [
        ({"original_owner_username": "crew", "team_name": "dana"}, "crew"),  # who ran the export is called its team
        ({"team_name": "crew"}, "crew"),
        ({"original_owner_username": "dana"}, ""),
        ({"original_owner_username": "dana", "team_name": "crew", "cmlutil": {}}, ""),
        ({"original_owner_username": "crew", "team_name": "crew", "cmlutil": {"team": "crew"}}, "crew"),
    ],
)
def test_the_team_of_a_project_is_read_from_bundles_of_both_tools(record, team):
    assert ProjectSettings.from_bundle({"name": "P", **record}).team == team


def test_a_subdomain_keeps_its_capitals_and_is_the_same_without():
    shown = Application.from_v1({"name": "Board", "subdomain": "My-Board", "environment": {}}, [])
    assert shown.to_v1()["subdomain"] == Application.from_bundle(shown.to_bundle()).subdomain == "My-Board"
    assert identity_of(shown) == identity_in("application", {"subdomain": "MY-board"}) == ("my-board",)
    assert differences(shown, replace(shown, subdomain="my-board")) == []
    assert differences(shown, replace(shown, subdomain="board")) == [("subdomain", "My-Board", "board")]


def test_a_collaborator_without_a_name_is_nobody():
    people = [{"username": None, "permissions": "write"}, {"permissions": "read"}, {"username": "kai"}]
    settings = ProjectSettings.from_v1({"name": "P"}, {}, people)
    assert settings.collaborators == ({"username": "kai", "permissions": "read"},)


@pytest.mark.parametrize("odd", [{"username": 7}, {"username": False}, {"username": ["kai"]}, {"permissions": {}}])
def test_a_collaborator_of_another_type_is_refused(odd):
    with pytest.raises(ApiError, match=f"collaborator.* has no usable '{next(iter(odd))}'"):
        ProjectSettings.from_v1({"name": "P"}, {}, [{"username": "kai", "permissions": "write"} | odd])


@pytest.mark.parametrize("shown", [["a@x", "b@x"], ["a@x, b@x"], [" a@x", "", "b@x "], "a@x,b@x", " a@x , , b@x"])
def test_recipients_are_the_same_in_the_bundle_however_they_are_listed(shown):
    job = Job.from_v1(JOB | {"report": {"failure_recipients": shown, "success_recipients": [""]}}, KNOWN)
    assert job.recipients == {"failure_recipients": ("a@x", "b@x")}
    assert Job.from_bundle(job.to_bundle()).recipients == job.recipients


@pytest.mark.parametrize(
    ("zone", "armed"), [("UTC", True), (None, True), ("CET", False), (["UTC"], False), ({}, False)]
)
def test_a_time_zone_of_any_type_is_compared(zone, armed):
    state = JobState({"id": 1, "schedule": "@daily", "timezone": zone}, paused=True, by_v2=False, parent_id=0)
    assert armed_as_wanted(state, Job("j", "j.py", schedule="@daily"), 0) is armed


def test_a_project_reference_takes_the_slug_as_told():
    ref = ProjectRef.from_v1({"id": 1, "name": "My P", "slug": "dana/my-p-2", "public_identifier": "x-y"})
    assert ref.path == "dana/my-p-2"
    ref = ProjectRef.from_v1({"id": 1, "name": "P", "slug_raw": "p", "owner": {"username": "kai"}})
    assert ref.path == "kai/p"


@pytest.mark.parametrize("status", ["pending", "deploying", "deployed", "scaling"])
def test_a_deployment_of_a_status_that_nobody_knows_counts_as_live(status):
    assert live_status({"latestModelDeployment": {"status": status}}) == status


@pytest.mark.parametrize("deployment", [None, {}, {"status": "stopping"}, {"status": "stopped"}, {"status": "failed"}])
def test_a_deployment_that_is_known_to_have_ended_is_not_live(deployment):
    assert not live_status({"latestModelDeployment": deployment})
