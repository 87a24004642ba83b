"""The smaller commands, run as a user types them."""

import json

import yaml
from copying import overwrite
from emulated import EXPORT, IMPORT, VALIDATE

from cmlutils.emulator.faults import Fault
from cmlutils.emulator.world import World


def test_list_shows_what_each_section_would_address(workspaces, run_line, home):
    source, target = workspaces()
    line = run_line("cmlutil project list")
    assert f"{source.url} dana/Churn Model" in line.out
    rows = run_line("cmlutil project list --json").json
    assert [row["side"] for row in rows] == ["export", "import"]
    (home / "cmlutils/import-config.ini").write_text("[P]\nurl=x\n")
    assert "not usable" in run_line("cmlutil project list").out
    assert source.requests == target.requests == []


def test_list_tells_what_many_sections_share_once(run_line, home):
    path = home / "cmlutils/export-config.ini"
    path.parent.mkdir()
    shared = "[DEFAULT]\nurl=http://x.test\nusername=u\napiv1_key=k\noutput_dir=~/b\n"
    path.write_text(shared + "".join(f"[{name}]\n" for name in "abcde") + "colour=red\n")
    path.chmod(0o644)
    warnings = [line.removeprefix("warning: ") for line in run_line("cmlutil project list").err.splitlines()]
    assert warnings == [
        f"{path} holds API keys, and other users can read it: run 'chmod 600 {path}'.",
        f"{path}: url is http: keys and files travel unencrypted. Sections: a, b, c and 2 more.",
        f"{path}, section [e]: the key colour is unknown.",
    ]


def test_list_without_any_file_says_so(run_line):
    for command in ("list", "status"):
        said = run_line(f"cmlutil project {command}", exit_code=2).err
        assert "neither export-config.ini nor import-config.ini" in said


def test_status_tells_what_is_done_without_asking_a_workspace(workspaces, run_line, home):
    source, target = workspaces()
    assert run_line("cmlutil project status").out.count("not begun") == 2
    run_line(EXPORT)
    source.forget_requests()
    rows = run_line('cmlutil project status -p "Churn Model" --json').json
    assert rows[0]["state"].startswith("done")
    assert rows[1]["state"] == "not begun"
    assert source.requests == target.requests == []
    said = run_line('cmlutil project status -p "churn modl"', exit_code=2).err
    assert "No ini file has a section [churn modl]." in said
    assert "Did you mean [Churn Model]?" in said
    assert "project list" in run_line("cmlutil project status -p Nobody", exit_code=2).err
    (home / "bundles/Churn Model/logs/export_metrics.json").write_text("{cut")
    assert "damaged" in run_line("cmlutil project status").out


def test_validate_migration_names_each_difference_and_no_secret(workspaces, run_line):
    source, target = workspaces()
    run_line(EXPORT)
    run_line(IMPORT)
    assert "verified: equal" in run_line(VALIDATE).out
    project = target.project("dana", "churn-model")
    project.environment["TOKEN"] = "other"
    project.jobs[0].arguments = "--none"
    project.jobs[2].parent_id = project.jobs[0].id
    project.applications.pop()
    project.description = "changed"
    overwrite(project.files / "keep.log", b"YES\n")
    (project.files / ".env").unlink()
    (project.files / "extra").write_text("x")
    (source.project("dana", "churn-model").files / "serve.py").chmod(0o700)
    line = run_line(f"{VALIDATE} --json", exit_code=4)
    found = {(one["where"], one["what"]) for one in line.json["differences"] if not one["expected"]}
    assert found == {
        ("target project", "environment TOKEN"),
        ("target project", "description"),
        ("target job ingest", "arguments"),
        ("target job mail", "parent"),
        ("target application Board", "existence"),
        ("target file", "'keep.log': content"),
        ("target file", "'.env'"),
        ("target file", "'extra'"),
        ("source file", "'serve.py': mode"),
    }
    assert line.json["isMigrationSuccessful"] is False
    assert "canary-environment-value" not in line.out + line.err


def test_the_engine_map_takes_the_newest_by_number(workspaces, run_line, home):
    runtimes = [
        {"id": n, "image_identifier": f"reg/{kernel}:{n}", "editor": "Workbench", "kernel": kernel,
         "edition": "Standard", "short_version": "2023.05", "full_version": "2023.05.1-b1"}
        for n, kernel in enumerate(["Python 3.9", "Python 3.10", "R 4.1", "Scala 2.12"], 1)
    ]  # fmt: skip
    workspaces(target_more={"runtimes": runtimes})
    run_line("cmlutil helpers populate_engine_runtimes_mapping")
    mapping = yaml.safe_load((home / "cmlutils/engine-map.yaml").read_text())
    assert mapping["python3"] == mapping["default"] == "reg/Python 3.10:2"
    assert mapping["r"] == "reg/R 4.1:3"


def test_the_engine_map_names_what_it_can_not_map_and_keeps_what_a_person_wrote(workspaces, run_line, home):
    workspaces()
    mine = home / "cmlutils/engine-map.yaml"
    mine.write_text("r: mine\n")
    said = run_line("cmlutil helpers populate_engine_runtimes_mapping").out
    assert "Workloads of engine scala will not be created: the target has no Workbench runtime" in said
    assert "engine-map.yaml.old" in said
    assert (home / "cmlutils/engine-map.yaml.old").read_text() == "r: mine\n"
    assert "old" not in run_line("cmlutil helpers populate_engine_runtimes_mapping").out


def test_the_engine_map_needs_a_python(workspaces, run_line):
    workspaces(target_more={"runtimes": []})
    line = run_line("cmlutil helpers populate_engine_runtimes_mapping", exit_code=1)
    assert "The target has no Python runtime" in line.err


def test_a_workspace_that_fails_to_show_people_is_not_one_without_them(workspaces, run_line, home, sample):
    sample["owner"] = "crew"
    team = {"username": "crew", "id": 31, "members": {"dana": "owner"}}
    source, target = workspaces(target_more={"teams": [team]}, source_more={"teams": [team]})
    source.faults.add(Fault("status", path="collaborators", status=500, times=9))
    assert "collaborators" in run_line(EXPORT, exit_code=1).err
    assert not (home / "bundles/Churn Model/manifest.json").exists()
    source.faults.clear()
    source.faults.add(Fault("status", path="collaborators", status=403, times=9))
    assert "The project's collaborators can't be read" in run_line(EXPORT).err
    target.faults.add(Fault("status", path="users/crew$", status=500, times=None))
    said = run_line(IMPORT, exit_code=1).err
    assert "500" in said
    assert "no team" not in said


def test_a_project_on_engines_is_exported_though_the_workspace_does_not_show_its_image(workspaces, run_line, sample):
    sample |= {"engine_type": "legacy_engine", "models": [], "applications": [], "jobs": []}
    source, _ = workspaces()
    source.faults.add(Fault("status", path="/engine-images$", status=500, times=9))
    assert "engine-images" in run_line(EXPORT, exit_code=1).err
    source.faults.clear()
    source.faults.add(Fault("status", path="/engine-images$", status=404, times=None))
    assert "The project's engine image can't be read" in run_line(EXPORT).err


def test_metrics_keep_the_names_of_cloudera_cmlutils(workspaces, run_line, home):
    workspaces()
    run_line(EXPORT)
    metrics = json.loads((home / "bundles/Churn Model/logs/export_metrics.json").read_text())
    assert metrics["total_model"] == 2
    assert metrics["job_name_list"] == ["ingest", "mail", "score"]


def test_a_username_in_other_letters_is_spelled_as_the_workspace_has_it(workspaces, run_line, home, monkeypatch):
    _, target = workspaces()
    exact = World.find_user
    monkeypatch.setattr(World, "find_user", lambda world, name: exact(world, name.lower()))
    for side in ("export", "import"):
        path = home / f"cmlutils/{side}-config.ini"
        path.write_text(path.read_text().replace("username=dana", "username=DANA"))
    assert "ready" in run_line("cmlutil doctor", exit_code=5).out  # plain http is a warning
    run_line(EXPORT)
    run_line(f"{IMPORT} --verify")
    assert target.project("dana", "churn-model").owner == "dana"
