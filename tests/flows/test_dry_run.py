"""A dry run only reads: it says what would be copied, made, mapped and left out, and what it can't foresee."""

import json
import os
import re

import pytest
from emulated import EXPORT, IMPORT

from cmlutils.emulator.faults import Fault

QUESTIONS = ("list-models", "get-model", "runtime-addons")


def tree(folder):
    """Return everything in a folder that a write would change, such as times, by path."""
    found = {}
    for path in [folder, *folder.rglob("*")]:
        status = path.lstat()
        found[os.fspath(path)] = (status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_mode)
    return found


def only_read(workspace):
    writes = [one for one in workspace.requests if one.method != "GET"]
    return all(one.method == "POST" and one.path.endswith(QUESTIONS) for one in writes)


def planned(line, kind):
    return {one["name"]: one["action"] for one in line.json["actions"] if one["kind"] == kind}


def test_a_dry_export_reads_only_and_writes_nothing(workspaces, run_line, home):
    source, target = workspaces()
    line = run_line(f"{EXPORT} --dry-run --json")
    assert only_read(source)
    assert source.requests
    assert target.requests == source.sessions == []
    assert not (home / "bundles").exists()
    assert planned(line, "job") == {"ingest": "export", "score": "export", "mail": "export"}
    assert planned(line, "file") == {".exportignore": "export"}
    assert "files" not in line.json["files"]
    assert any("only a session" in one for one in line.json["unknown"])
    assert "canary-environment-value" not in line.out


def test_a_dry_export_after_an_export_knows_the_files_of_then(workspaces, run_line, home):
    source, _ = workspaces()
    run_line(EXPORT)
    before = tree(home / "bundles")
    source.forget_requests()
    line = run_line(f"{EXPORT} --dry-run --json")
    assert line.json["files"]["files"] == 66
    assert line.json["folders"]["jobs"] == {"files": 1, "bytes": 9}
    assert tree(home / "bundles") == before
    assert only_read(source)


def test_one_of_a_kind_is_told_in_the_singular(workspaces, run_line, sample):
    sample |= {"environment": {"A": "b"}, "files": {".exportignore": "*.log\n"}, "generate": [], "modes": {}}
    workspaces()
    planned_export = run_line(f"{EXPORT} --dry-run").out
    run_line(EXPORT)
    told = planned_export + run_line(f"{IMPORT} --dry-run").out
    assert {"1 file", "1 pattern", "1 collaborator", "1 environment variable"} <= set(re.findall(r"1 [a-z ]+", told))


def test_a_dry_import_says_what_would_be_made_and_makes_nothing(workspaces, run_line, home, sample):
    sample["jobs"][2]["runtime_id"] = 13
    source, target = workspaces(source_runtimes=[(13, "Scala 2.11")])
    run_line(EXPORT)
    before = tree(home / "bundles")
    source.forget_requests()
    line = run_line(f"{IMPORT} --dry-run --json", exit_code=5)
    assert only_read(target)
    assert source.requests == target.sessions == []
    assert target.world.projects == []
    assert tree(home / "bundles") == before
    assert planned(line, "project") == {"Churn Model": "create"}
    assert planned(line, "model") == {"Explain": "create", "Score": "create"}
    assert planned(line, "application") == {"What if": "create", "Board": "fallback"}
    assert planned(line, "job") == {"ingest": "create", "score": "create", "mail": "fail"}
    assert planned(line, "collaborator") == {"kai": "set"}
    assert line.json["files"]["files"] == 66
    assert "Scala 2.11" in line.out


def test_what_it_foresees_is_what_comes(workspaces, run_line):
    _, target = workspaces()
    run_line(EXPORT)
    foreseen = run_line(f"{IMPORT} --dry-run --json").json["actions"]
    outcomes = run_line(f"{IMPORT} --json").json["outcomes"]
    assert not only_read(target)
    words = {"create": "created", "fallback": "fallback"}
    made = {(one["kind"], one["name"]): one["status"] for one in outcomes}
    assert {
        (one["kind"], one["name"]): words[one["action"]] for one in foreseen if one["kind"] != "collaborator"
    } == made
    target.forget_requests()
    line = run_line(f"{IMPORT} --dry-run --json")
    assert {one["action"] for one in line.json["actions"]} == {"present"}
    assert only_read(target)
    assert "Nothing was written" in run_line(f"{IMPORT} --dry-run").out


def test_what_an_import_has_made_is_foreseen_to_stay_whatever_its_name_by_now(workspaces, run_line):
    _, target = workspaces()
    run_line(EXPORT)
    run_line(IMPORT)
    project = target.project("dana", "churn-model")
    project.name = "renamed"
    project.jobs[0].name, project.jobs[1].name = project.jobs[1].name, "another"
    project.models[0].name = "another"
    foreseen = run_line(f"{IMPORT} --dry-run --json").json["actions"]
    done = run_line(f"{IMPORT} --json").json["outcomes"]
    told = [[(one["kind"], one[word]) for one in some] for some, word in ((foreseen, "action"), (done, "status"))]
    assert told[0] == told[1]
    assert {what for _, what in told[0]} == {"present"}


def test_what_an_import_has_made_is_foreseen_to_stay_also_where_a_list_lags_behind(workspaces, run_line):
    _, target = workspaces()
    run_line(EXPORT)
    run_line(IMPORT)
    target.faults.add(Fault("status", method="GET", path="/jobs$", status=200, body=[], times=None))
    assert set(planned(run_line(f"{IMPORT} --dry-run --json"), "job").values()) == {"present"}


def test_of_two_equal_jobs_only_the_one_that_is_there_is_foreseen_to_stay(workspaces, run_line, sample):
    sample["jobs"] = [sample["jobs"][0], {**sample["jobs"][0], "id": 99}]
    there = {"owner": "dana", "name": "Churn Model", "jobs": [sample["jobs"][0]]}
    workspaces(target_more={"projects": [there]})
    run_line(EXPORT)
    actions = [one["action"] for one in run_line(f"{IMPORT} --dry-run --json").json["actions"] if one["kind"] == "job"]
    assert actions == ["present", "create"]


def test_what_is_to_be_deleted_again_is_foreseen_to_be_made_anew(workspaces, run_line, home):
    workspaces()
    run_line(EXPORT)
    run_line(IMPORT)
    (journal,) = (home / "bundles/Churn Model/state").glob("journal-*")
    key = next(key for line in journal.read_text().splitlines() if "mail" in (key := json.loads(line)["key"]))
    with journal.open("a") as file:
        file.write(json.dumps({"key": key, "event": "doomed", "value": "It was live."}) + "\n")
    (mail,) = [one for one in run_line(f"{IMPORT} --dry-run --json").json["actions"] if one["name"] == "mail"]
    assert mail["action"] == "create"
    assert "began" not in mail["note"]


def test_what_an_interrupted_import_began_and_nobody_wants_is_foreseen_to_go(workspaces, run_line, home):
    source, target = workspaces()
    run_line(EXPORT)
    run_line(IMPORT)
    (journal,) = (home / "bundles/Churn Model/state").glob("journal-*")
    lines = journal.read_text().splitlines(True)
    journal.write_text("".join(line for line in lines if not ("mail" in line and '"done"' in line)))
    source.project("dana", "churn-model").jobs.pop()
    run_line(EXPORT)
    assert planned(run_line(f"{IMPORT} --dry-run --json"), "job") == dict.fromkeys(("ingest", "score"), "present") | {
        "mail": "remove"
    }
    run_line(IMPORT)
    assert {one.name for one in target.project("dana", "churn-model").jobs} == {"ingest", "score"}


@pytest.mark.parametrize("engine_type", ["ml_runtime", "legacy_engine"])
def test_what_the_project_that_is_there_runs_on_is_foreseen(workspaces, run_line, home, sample, engine_type):
    sample |= {"engine_type": "legacy_engine", "models": [], "applications": [], "jobs": sample["jobs"][:1]}
    sample["jobs"][0] |= {"runtime_id": None, "kernel": "scala"}
    there = {"owner": "dana", "name": "Churn Model", "engine_type": engine_type}
    workspaces(target_more={"projects": [there], "engine_images": [{"id": 3, "repository": "engine", "tag": "15"}]})
    (home / "cmlutils/engine-map.yaml").write_text("{}\n" if engine_type == "ml_runtime" else "scala: none:1\n")
    run_line(EXPORT)
    code, action, status = (5, "fail", "failed") if engine_type == "ml_runtime" else (0, "create", "created")
    assert planned(run_line(f"{IMPORT} --dry-run --json", exit_code=code), "job") == {"ingest": action}
    done = run_line(f"{IMPORT} --json", exit_code=code).json["outcomes"]
    assert {one["name"]: one["status"] for one in done if one["kind"] == "job"} == {"ingest": status}


def test_what_an_interrupted_import_began_is_foreseen_to_be_finished(workspaces, run_line, home):
    _, target = workspaces()
    run_line(EXPORT)
    run_line(IMPORT)
    (journal,) = (home / "bundles/Churn Model/state").glob("journal-*")
    lines = [line for line in journal.read_text().splitlines(True) if '"job ' not in line or '"begun"' in line]
    journal.write_text("".join(lines) + '{"key": "to')  # a torn line, as after a crash
    torn = journal.read_bytes()
    line = run_line(f"{IMPORT} --dry-run --json")
    assert journal.read_bytes() == torn
    assert planned(line, "job") == dict.fromkeys(("ingest", "score", "mail"), "create")
    assert {one["note"] for one in line.json["actions"] if one["kind"] == "job"} == {
        "an interrupted import began it, and this one finishes it"
    }
    done = run_line(f"{IMPORT} --json").json["outcomes"]
    assert {one["status"] for one in done if one["kind"] == "job"} == {"created"}
    assert len(target.project("dana", "churn-model").jobs) == 3


@pytest.mark.parametrize("answer_lost", [False, True])
def test_a_project_that_an_interrupted_import_began_is_foreseen_to_be_set_up(
    workspaces, run_line, home, sample, answer_lost
):
    sample["collaborators"] = {"kai": "write"}
    workspaces()
    run_line(EXPORT)
    run_line(IMPORT)
    (journal,) = (home / "bundles/Churn Model/state").glob("journal-*")
    begun, made = [line for line in journal.read_text().splitlines(True) if '"project ' in line][:2]
    journal.write_text(begun if answer_lost else begun + made)
    line = run_line(f"{IMPORT} --dry-run --json")
    assert planned(line, "project") == {"Churn Model": "create"}
    assert planned(line, "collaborator") == {"kai": "set"}
    run_line(IMPORT)
    line = run_line(f"{IMPORT} --dry-run --json")
    assert planned(line, "project") == {"Churn Model": "present"}
    assert planned(line, "collaborator") == {}


def test_what_comes_without_add_ons_parent_or_build_is_foreseen(workspaces, run_line, sample):
    sample["jobs"][1]["runtime_id"] = 13
    sample["jobs"][0]["addons"] = [5]
    sample["models"][1] |= {"state": "unbuilt", "target_file_path": "", "target_function_name": ""}
    addon = {"id": 5, "component": "Spark", "display_name": "Spark 3.2.0"}
    workspaces(source_runtimes=[(13, "Scala 2.11")], source_more={"addons": [addon]})
    run_line(EXPORT)
    foreseen = {one["name"]: one for one in run_line(f"{IMPORT} --dry-run --json", exit_code=5).json["actions"]}
    done = {one["name"]: one for one in run_line(f"{IMPORT} --json", exit_code=5).json["outcomes"]}
    assert foreseen["score"]["action"] == "fail"
    assert done["score"]["status"] == "failed"
    assert (foreseen["mail"]["action"], done["mail"]["status"]) == ("fallback", "fallback")
    assert "without its parent" in foreseen["mail"]["note"]
    assert "Spark 3.2.0" in foreseen["ingest"]["fix"]
    assert "Spark 3.2.0" in done["ingest"]["todo"]
    assert "never built" in foreseen["Score"]["note"]


def test_a_parent_that_the_bundle_does_not_have_is_foreseen(workspaces, run_line, home):
    workspaces()
    run_line(EXPORT)
    path = home / "bundles/Churn Model/project-metadata/jobs-metadata.json"
    path.write_text(json.dumps([one for one in json.loads(path.read_text()) if one["name"] != "ingest"]))
    (home / "bundles/Churn Model/manifest.json").unlink()
    foreseen = run_line(f"{IMPORT} --dry-run --json")
    assert planned(foreseen, "job") == {"score": "fallback", "mail": "create"}
    done = run_line(f"{IMPORT} --json", exit_code=5).json["outcomes"]
    assert {one["name"]: one["status"] for one in done if one["kind"] == "job"} == {
        "score": "fallback",
        "mail": "created",
    }


def test_what_can_not_even_be_foreseen_is_told_as_json_too(workspaces, run_line, home):
    source, _ = workspaces()
    (blocker,) = run_line(f"{IMPORT} --dry-run --json", exit_code=1).json["blockers"]
    assert "no exported project" in blocker
    assert not (home / "bundles").exists()
    source.faults.add(Fault("unauthorized", times=None), Fault("status", path="users/dana$", status=403, times=None))
    line = run_line(f"{EXPORT} --dry-run --json", exit_code=1).json
    assert (line["exit_code"], line["actions"], len(line["blockers"])) == (1, [], 1)


def test_a_collaborator_whom_we_may_not_look_up_is_no_failure(workspaces, run_line):
    _, target = workspaces()
    run_line(EXPORT)
    target.faults.add(Fault("status", "GET", r"^/api/v1/users/kai$", status=403, times=None))
    line = run_line(f"{IMPORT} --dry-run --json")
    assert planned(line, "collaborator") == {"kai": "set"}
    assert "Whether the target has the user kai: it does not let you see them." in line.json["unknown"]
    run_line(IMPORT)
    assert target.project("dana", "churn-model").collaborators == {"kai": "write"}


def test_a_taken_subdomain_is_foreseen(workspaces, run_line):
    other = {
        "owner": "dana",
        "name": "Other",
        "applications": [{"name": "x", "script": "x.py", "subdomain": "what-if", "runtime_id": 72}],
    }
    workspaces(target_more={"projects": [other]})
    run_line(EXPORT)
    line = run_line(f"{IMPORT} --dry-run --json", exit_code=5)
    assert planned(line, "application")["What if"] == "fail"
    fixes = {one["name"]: one["fix"] for one in line.json["actions"]}
    assert fixes["What if"] == "free it on the target, or change it on the source"
    assert fixes["Board"] == "let the target's admin allow it, or do without"
    assert fixes["ingest"] == ""
    assert "taken by dana/other" in line.out


def test_what_an_application_on_an_engine_may_not_have_is_foreseen(workspaces, run_line, home, sample):
    sample |= {"engine_type": "legacy_engine", "models": [], "jobs": []}
    for one in sample["applications"]:
        one |= {"runtime_id": None, "kernel": "python3"}
    taken = {"name": "x", "script": "x.py", "subdomain": "what-if", "runtime_id": 72}
    other = {"owner": "dana", "name": "Other", "applications": [taken]}
    workspaces(target_more={"projects": [other], "engine_images": [{"id": 3, "repository": "engine", "tag": "15"}]})
    (home / "cmlutils/engine-map.yaml").write_text("{}\n")
    run_line(EXPORT)
    line = run_line(f"{IMPORT} --dry-run --json", exit_code=5)
    assert planned(line, "application") == {"What if": "fail", "Board": "fallback"}


def test_what_stands_in_the_way_is_an_error(workspaces, run_line, sample):
    sample["owner"] = "crew"
    team = {"username": "crew", "id": 31, "members": {"dana": "owner"}}
    workspaces(source_more={"teams": [team]}, target_more={"runtimes": []})
    run_line(EXPORT)
    line = run_line(f"{IMPORT} --dry-run", exit_code=1)
    assert "no team 'crew'" in line.out
    assert "no rsync-enabled runtime" in line.out


def foreseen_to_fail(run_line, words, exit_code=2):
    """Assert that a dry export names the reason why the export fails, and that the doctor does so, too."""
    line = run_line(f"{EXPORT} --dry-run", exit_code=1)
    (blocker,) = [one for one in line.out.splitlines() if one.startswith("  ! ")]
    assert words in blocker
    assert planned(run_line(f"{EXPORT} --dry-run --json", exit_code=1), "job")
    assert words in run_line("cmlutil doctor", exit_code=1).out
    run_line(EXPORT, exit_code=exit_code)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_an_output_folder_that_can_not_be_made_is_foreseen(workspaces, run_line, home):
    workspaces(more="output_dir=~/closed/bundles\n")
    (home / "closed").mkdir(mode=0o555)
    foreseen_to_fail(run_line, f"{home}/closed can't be written to")


@pytest.mark.parametrize(("kind", "told"), [("link", "is a symbolic link"), ("file", "is not a folder")])
def test_a_bundle_that_can_not_be_written_is_foreseen(workspaces, run_line, home, kind, told):
    workspaces()
    (home / "bundles").mkdir()
    (home / "elsewhere").mkdir()
    if kind == "link":
        (home / "bundles/Churn Model").symlink_to(home / "elsewhere")
    else:
        (home / "bundles/Churn Model").touch()
    foreseen_to_fail(run_line, told)


@pytest.mark.parametrize(
    ("place", "told"),
    [(name, "is neither a file nor a folder") for name in ("state/files.list", "manifest.json")]
    + [("logs", "is a symbolic link")],
)
def test_a_link_within_a_bundle_is_foreseen(workspaces, run_line, home, place, told):
    workspaces()
    run_line(EXPORT)
    there = home / "bundles/Churn Model" / place
    there.rename(home / "moved")
    there.symlink_to(home / "moved")
    foreseen_to_fail(run_line, told, exit_code=1)
    line = run_line(f"{IMPORT} --dry-run --json", exit_code=1)
    assert [told in one for one in line.json["blockers"]] == [True]
    assert told in run_line(IMPORT, exit_code=1).err


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder to somebody else")
def test_a_bundle_of_another_user_is_foreseen(workspaces, run_line, home):
    workspaces()
    run_line(EXPORT)
    os.chown(home / "bundles/Churn Model", 12345, 12345)
    foreseen_to_fail(run_line, "belongs to another user")
    line = run_line(f"{IMPORT} --dry-run --json", exit_code=1)
    assert any("belongs to another user" in one for one in line.json["blockers"])
