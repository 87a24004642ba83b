"""Bad input and bad luck give one sentence, a hint and the right exit code; no traceback, and no session stays open."""

import errno
import os
import socket
import stat
import subprocess
from pathlib import Path

import pytest
from emulated import EXPORT, IMPORT

from cmlutils import log
from cmlutils.emulator.faults import Fault
from cmlutils.emulator.server import start_workspace
from cmlutils.emulator.world import World
from cmlutils.errors import TransferError
from cmlutils.flows.copying.rsyncs import both_rsyncs


def told(line, *words):
    """Assert that the command line failed with a single error message that contains these words."""
    assert "Traceback" not in line.err + line.out
    assert sum(text.startswith("error:") for text in line.err.splitlines()) == 1
    for word in words:
        assert word in line.err


@pytest.fixture
def edit(home):
    """Return a function that changes an ini file written by `workspaces`."""

    def change(side, old, new):
        path = home / "cmlutils" / f"{side}-config.ini"
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new))

    return change


def test_without_an_ini_file(run_line):
    told(run_line(EXPORT, exit_code=2), "export-config.ini", "section for each project")
    told(run_line(IMPORT, exit_code=2), "import-config.ini")


def test_a_section_that_is_not_there(workspaces, run_line):
    workspaces()
    told(run_line('cmlutil project export -p "Churn Mode"', exit_code=2), "[Churn Mode]", "Did you mean [Churn Model]")


def test_a_missing_key(workspaces, run_line, edit):
    source, _ = workspaces()
    edit("export", "username=dana\n", "")
    told(run_line(EXPORT, exit_code=2), "username", "[Churn Model]", "export-config.ini")
    assert source.requests == []


def test_a_connection_refused(workspaces, run_line, edit):
    source, _ = workspaces()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        edit("export", source.url, f"http://127.0.0.1:{free.getsockname()[1]}")
        told(run_line(EXPORT, exit_code=1), "127.0.0.1", "url")


def test_what_ends_a_run_before_there_is_a_bundle_is_json_too(workspaces, run_line, edit):
    source, _ = workspaces()
    edit("export", source.url, "http://127.0.0.1:1")
    line = run_line(f"{EXPORT} --json", exit_code=1)
    assert line.json["exit_code"] == 1
    assert "127.0.0.1:1" in line.json["error"]


@pytest.mark.parametrize("command", ["export", "import", "import --verify", "validate-migration"])
@pytest.mark.parametrize("spoil", ["no file", "no section", "no key", "no map"])
def test_what_the_ini_files_lack_is_json_too(workspaces, run_line, home, command, spoil):
    workspaces()
    side = "export" if command == "export" else "import"
    path = home / f"cmlutils/{side}-config.ini"
    if spoil == "no file":
        path.unlink()
    elif spoil == "no map":
        (home / "cmlutils/runtime-map.yaml").write_text("- a\n")
    else:
        path.write_text(path.read_text().replace("[Churn" if spoil == "no section" else "username", "[Old"))
    verb, _, more = command.partition(" ")
    line = run_line(
        f'cmlutil project {verb} -p "Churn Model" --json {more}', {0} if (verb, spoil) == ("export", "no map") else 2
    )
    if line.exit_code:
        assert (line.json["verb"], line.json["project_name"], line.json["exit_code"]) == (verb, "Churn Model", 2)
        assert line.json["error"] in line.err


@pytest.mark.parametrize("line", [EXPORT, IMPORT])
def test_a_failing_dry_run_keeps_its_form_in_json(run_line, home, line):
    found = run_line(f"{line} --dry-run --json", exit_code=2)
    assert found.json["dry_run"] is True
    assert (found.json["exit_code"], found.json["project"], found.json["actions"]) == (2, "Churn Model", [])
    (blocker,) = found.json["blockers"]
    assert blocker in found.err


@pytest.mark.parametrize("line", ["list", "status", 'status -p "Churn Modl"'])
def test_a_failure_of_a_command_without_a_report_is_json_too(workspaces, run_line, home, line):
    if "-p" in line:
        workspaces()
    found = run_line(f"cmlutil project {line} --json", exit_code=2)
    assert set(found.json) == {"exit_code", "error", "hint"}
    assert found.json["exit_code"] == 2
    assert found.json["error"] in found.err


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("output_dir", "~nosuchuser/x", "output_dir"),
        ("output_dir", "~/" + "x" * 300, "output_dir"),
        ("output_dir", "~/plain/x", "output_dir"),
        ("ca_path", "~nosuchuser/x", "ca_path"),
        ("ca_path", "x" * 300, "ca_path"),
        ("identity_file", "~nosuchuser/x", "identity_file"),
        ("url", "https://ex..ample.com", "url"),
        ("url", "https://*.example.com", "url"),
        ("url", f"https://{'x' * 64}.com", "url"),
        ("apiv1_key_command", "nosuchprogram", "nosuchprogram"),
        ("apiv1_key_command", "printf 'k\\303\\251y'", "no API key has"),
    ],
)
def test_a_value_that_can_be_nobodys_is_named(run_line, home, key, value, said):
    (home / "plain").touch()
    values = {"username": "u", "url": "http://127.0.0.1:1", "output_dir": "~/bundles", "apiv1_key": "k", key: value}
    if key == "apiv1_key_command":
        del values["apiv1_key"]
    (home / "cmlutils").mkdir()
    text = "".join(f"{one}={text}\n" for one, text in values.items())
    (home / "cmlutils/export-config.ini").write_text("[Churn Model]\n" + text)
    (home / "cmlutils/export-config.ini").chmod(0o600)
    told(run_line(EXPORT, exit_code=2), said, "export-config.ini, section [Churn Model]: ")


def test_rules_that_can_not_be_read_stop_an_import_before_it_writes(workspaces, run_line, home):
    _, target = workspaces()
    run_line(EXPORT)
    (home / "bundles/Churn Model/.importignore").write_text("z" * 5000)
    told(run_line(IMPORT, exit_code=2), ".importignore, line 1")
    assert {one.method for one in target.requests} <= {"GET"}


def test_a_full_disk_or_a_folder_in_place_of_a_file_is_named(workspaces, run_line, home, monkeypatch):
    workspaces()
    run_line(EXPORT)
    jobs = home / "bundles/Churn Model/project-metadata/jobs-metadata.json"
    jobs.unlink()
    jobs.mkdir()
    told(run_line(IMPORT, exit_code=1), "jobs-metadata.json")
    told(run_line(EXPORT, exit_code=1), "jobs-metadata.json", "Remove that folder")
    jobs.rmdir()

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    told(run_line(EXPORT, exit_code=1), "state/lock", "No space left")


def test_a_log_that_can_not_be_written_any_more_is_told_once_and_the_run_goes_on(workspaces, run_line, monkeypatch):
    workspaces()
    real = log.to_file
    monkeypatch.setattr(log, "to_file", lambda _: real(Path("/dev/full")))
    err = run_line(EXPORT).err
    assert err.count("warning: /dev/full can't be written: No space left on device.") == 1
    assert "Traceback" not in err
    assert "Arguments" not in err


@pytest.mark.parametrize("dry", ["", " --dry-run"])
@pytest.mark.parametrize("what", ["folder", "pipe", "endless"])
def test_what_stands_in_place_of_a_journal_is_named_and_not_read(workspaces, run_line, home, what, dry):
    workspaces()
    run_line(EXPORT)
    run_line(IMPORT)
    [journal] = (home / "bundles/Churn Model/state").glob("journal-*.jsonl")
    journal.unlink()
    {"folder": journal.mkdir, "pipe": lambda: os.mkfifo(journal), "endless": lambda: journal.symlink_to("/dev/zero")}[
        what
    ]()
    told(run_line(f"{IMPORT}{dry}", exit_code=1), str(journal))
    assert str(journal) in run_line(f"{IMPORT}{dry} --json", exit_code=1).out


@pytest.mark.parametrize("dry", ["", " --dry-run"])
@pytest.mark.skipif(os.geteuid() == 0, reason="root may read anything")
def test_a_folder_that_may_not_be_read_is_named_and_no_bug(workspaces, run_line, home, dry):
    workspaces()
    run_line(EXPORT)
    bundle = home / "bundles/Churn Model"
    bundle.chmod(0)
    told(run_line(f"{IMPORT}{dry}", exit_code=1), f"{bundle}", "can't be read or written: Permission denied.")
    bundle.chmod(0o700)


@pytest.mark.parametrize(("before", "after"), [("username=dana", "username=dan"), (":{port}", ":{port}/dana/churn")])
def test_a_wrong_username_or_address_names_the_key(workspaces, run_line, edit, before, after):
    source, _ = workspaces()
    port = source.url.rpartition(":")[2]
    edit("export", before.format(port=port), after.format(port=port))
    told(run_line(EXPORT, exit_code=1), "username", "url", "export-config.ini, section [Churn Model]")


def test_a_wrong_key(workspaces, run_line, edit, home):
    source, _ = workspaces()
    edit("export", "source0key0", "mistaken0key")
    line = run_line(EXPORT, exit_code=1)
    told(line, "apiv1_key")
    assert "mistaken0key" not in line.err
    assert not (home / "bundles").exists()
    assert source.session_log == []


def test_an_unknown_ca_and_the_right_one(workspaces, run_line, edit, tmp_path, keys):
    source, _ = workspaces()
    world = {"users": [{"username": "dana", "api_key": "tls0key0tls0key0tls0key0tls0key0", "ssh_keys": [keys]}]}
    with start_workspace(World.load(world), personality="cdsw", tls=True, state_dir=tmp_path / "tls") as secure:
        edit("export", source.url, secure.url)
        edit("export", "source0key0source0key0source0key0", "tls0key0tls0key0tls0key0tls0key0")
        told(run_line(EXPORT, exit_code=1), "ca_path")
        edit("export", "username=dana", f"username=dana\nca_path={secure.ca_file}")
        told(run_line(EXPORT, exit_code=1), "no project")
        edit("export", f"ca_path={secure.ca_file}", "skip_tls_verification=true")
        line = run_line(EXPORT, exit_code=1)
        told(line, "no project", "any certificate")


def test_the_authority_of_the_environment_is_also_the_clients(workspaces, run_line, edit, tmp_path, keys, monkeypatch):
    source, _ = workspaces()
    key = "tls0key0tls0key0tls0key0tls0key0"
    runtime = {"id": 1, "image_identifier": "r:1", "editor": "W", "kernel": "Python 3.9", "edition": "Standard rsync"}
    runtime |= {"short_version": "1", "full_version": "1", "description": "with rsync"}
    world = {"users": [{"username": "dana", "api_key": key, "ssh_keys": [keys]}], "runtimes": [runtime]}
    world["projects"] = [{"owner": "dana", "name": "Churn Model", "files": {"a": "1"}}]
    with start_workspace(World.load(world), personality="cdsw", tls=True, state_dir=tmp_path / "tls") as secure:
        edit("export", source.url, secure.url)
        edit("export", "source0key0source0key0source0key0", key)
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(secure.ca_file))
        monkeypatch.setenv("SSL_CERT_FILE", "/dev/null")
        told(run_line(EXPORT, exit_code=1), "x509", "ca_path")
        monkeypatch.delenv("SSL_CERT_FILE")
        run_line(EXPORT)


def test_a_project_that_is_not_there(workspaces, run_line):
    source, _ = workspaces(section="Nobody knows")
    told(run_line('cmlutil project export -p "Nobody knows"', exit_code=1), "Nobody knows", "owner_username")
    assert source.session_log == []


def test_an_rsync_that_lacks_what_it_takes_is_named(workspaces, run_line, program):
    workspaces()
    program("rsync", "echo 'rsync  version 2.6.9  protocol version 29'")
    told(run_line(EXPORT, exit_code=1), "2.6.9", "brew install rsync")


def test_an_rsync_here_that_does_not_say_its_version_is_taken_for_another_program(program):
    program("rsync", "exit 1")
    with pytest.raises(TransferError, match="does not say its version"):
        both_rsyncs(b"rsync  version 3.2.7  protocol version 31\n")


@pytest.mark.parametrize("program", ["rsync", "ssh"])
def test_an_absent_program(workspaces, run_line, monkeypatch, tmp_path, program):
    source, _ = workspaces()
    folder = tmp_path / "bin"
    folder.mkdir()
    other = {"rsync": "ssh", "ssh": "rsync"}[program]
    (folder / other).symlink_to(f"/usr/bin/{other}")
    monkeypatch.setenv("PATH", str(folder))
    told(run_line(EXPORT, exit_code=1), program, "apt-get install")
    assert source.requests == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_an_output_folder_that_cannot_be_written(workspaces, run_line, home):
    workspaces()
    (home / "bundles").mkdir(mode=stat.S_IRUSR | stat.S_IXUSR)
    told(run_line(EXPORT, exit_code=2), "bundles", "output_dir")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs a mount")
def test_a_bundle_on_a_disk_that_became_read_only_is_foreseen(workspaces, run_line, home):
    workspaces()
    (home / "bundles").mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "x", home / "bundles"], check=False, capture_output=True).returncode:
        pytest.skip("no mounts here")
    try:
        run_line(EXPORT)
        subprocess.run(["mount", "-o", "remount,ro", home / "bundles"], check=True)
        why = f"{home}/bundles/Churn Model is on a read-only file system"
        for line in (EXPORT, IMPORT):
            assert why in run_line(f"{line} --dry-run", exit_code=1).out
            assert "Read-only file system" in run_line(line, exit_code=2).err
        assert why in run_line("cmlutil doctor", exit_code=1).out
    finally:
        subprocess.run(["umount", home / "bundles"], check=True)


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a place where nobody can make a folder")
def test_an_output_folder_that_cannot_be_made(workspaces, run_line, edit):
    workspaces()
    edit("export", "output_dir=~/bundles", "output_dir=/proc/bundles")
    told(run_line(EXPORT, exit_code=2), "/proc/bundles can't be created or written", "output_dir")


def test_an_output_folder_that_is_a_file(workspaces, run_line, home):
    workspaces()
    (home / "bundles").write_text("")
    told(run_line(EXPORT, exit_code=2), "bundles", "output_dir")


def test_html_where_json_should_be(workspaces, run_line):
    source, _ = workspaces()
    source.faults.add(Fault("html", path="users/dana$", times=None))
    told(run_line(EXPORT, exit_code=1), "HTML")


def test_an_import_before_the_export(workspaces, run_line, home):
    _, target = workspaces()
    told(run_line(IMPORT, exit_code=1), "project export")
    assert target.requests == []
    assert not (home / "bundles").exists()


def test_an_export_that_ended_half_way_leaves_nothing_to_import(workspaces, run_line, home):
    source, target = workspaces()
    run_line(EXPORT)
    (source.project("dana", "churn-model").files / "serve.py").write_text("newer work\n")
    in_the_way = home / "bundles/Churn Model/state/files.list"
    in_the_way.unlink()
    in_the_way.mkdir()
    told(run_line(EXPORT, exit_code=1), "files.list")
    told(run_line(IMPORT, exit_code=1), "did not finish", "project export' again")
    assert target.requests == []
    in_the_way.rmdir()
    run_line(EXPORT)
    run_line(f"{IMPORT} --verify")


def test_the_bundle_of_another_owners_project_of_the_same_name_is_left_alone(workspaces, run_line, edit, home, sample):
    theirs = {"owner": "kai", "name": "Churn Model", "collaborators": {"dana": "write"}}
    workspaces(source_more={"projects": [sample, theirs]})
    run_line(EXPORT)
    before = (home / "bundles/Churn Model/manifest.json").read_bytes()
    edit("export", "username=dana\n", "username=dana\nowner_username=kai\n")
    told(run_line(EXPORT, exit_code=1), "holds the export of dana/churn-model, which kai/churn-model would replace")
    assert (home / "bundles/Churn Model/manifest.json").read_bytes() == before


def test_cut_metadata_is_named_and_nothing_touched(workspaces, run_line, home):
    _, target = workspaces()
    run_line(EXPORT)
    path = home / "bundles/Churn Model/project-metadata/jobs-metadata.json"
    path.write_bytes(path.read_bytes()[:-20])
    told(run_line(IMPORT, exit_code=1), "jobs-metadata.json", "export again")
    assert target.requests == []


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (Fault("unauthorized"), ("401",)),
        (Fault("no-rsync"), ("rsync",)),
        (Fault("refused-key"), ("ssh key", "Remote Editing")),
    ],
    ids=lambda value: getattr(value, "action", ""),
)
def test_a_session_that_cannot_be_used(workspaces, run_line, fault, words):
    source, _ = workspaces()
    fault.times = None
    source.faults.add(fault)
    told(run_line(EXPORT, exit_code=1), *words)
    assert source.sessions == []


@pytest.fixture
def exported_before(workspaces, run_line, home):
    """The source of an export; asserts afterwards that a refused second export left the first one intact."""
    source, _ = workspaces()
    run_line(EXPORT)
    bundle = home / "bundles/Churn Model"
    before = (bundle / "manifest.json").read_bytes()
    files = source.project("dana", "churn-model").files
    (files / "serve.py").rename(files / "another.py")
    yield source
    assert (bundle / "manifest.json").read_bytes() == before
    assert (bundle / "project-data/serve.py").exists()
    run_line(IMPORT)


def test_an_export_that_gets_no_session_leaves_the_one_before_as_it_was(exported_before, run_line):
    exported_before.faults.add(Fault("unauthorized", times=None))
    assert "exported" not in run_line(EXPORT, exit_code=1).out


def test_an_exportignore_that_can_not_be_used_leaves_the_export_before_as_it_was(exported_before, run_line):
    (exported_before.project("dana", "churn-model").files / ".exportignore").write_bytes(b"/x\n" * 20_000)
    told(run_line(EXPORT, exit_code=2), ".exportignore")


def test_an_export_from_a_session_without_rsync_leaves_the_one_before_as_it_was(exported_before, run_line):
    exported_before.faults.add(Fault("no-rsync", times=None))
    told(run_line(EXPORT, exit_code=1), "rsync")


def test_an_export_that_will_not_fit_leaves_the_one_before_as_it_was(exported_before, run_line, monkeypatch):
    monkeypatch.setattr("cmlutils.flows.copying.room.free_space", lambda _: (5, 100))
    told(run_line(EXPORT, exit_code=1), "5 B free", "output_dir")


@pytest.mark.parametrize("action", ["port-taken", "no-port-flag"])
def test_a_port_that_cannot_be_had_at_first(workspaces, run_line, action):
    source, _ = workspaces()
    source.faults.add(Fault(action))
    run_line(EXPORT)
    assert source.sessions == []


@pytest.mark.parametrize("name", ["a/b", "R&D", "100%", "größe", "C# + more?", "..", "x y"])
def test_any_name_of_a_project_migrates(workspaces, run_line, sample, name):
    sample["name"], sample["slug"] = name, "odd"
    _, target = workspaces(section=name)
    run_line(f"cmlutil project export -p '{name}'")
    run_line(f"cmlutil project import --verify -p '{name}'")
    assert [project.name for project in target.world.projects] == [name]


def test_a_project_that_is_not_there_is_told_with_where_it_was_looked_for(workspaces, run_line, home):
    workspaces()
    path = home / "cmlutils/export-config.ini"
    path.write_text(path.read_text() + "[Nope]\n[Nor me]\nowner_username=kai\n")
    said = run_line("cmlutil project export -p Nope", exit_code=1).err
    assert "has no project 'Nope' of dana or of one of their teams.\n" in said
    assert "Check the section's name, or name the project's owner with owner_username.\n" in said
    said = run_line("cmlutil project export -p 'Nor me'", exit_code=1).err
    assert "has no project 'Nor me' of kai.\n" in said
    assert "Check the section's name and its owner_username.\n" in said


def test_a_refused_key_is_told_with_its_file_and_section(workspaces, run_line, home):
    workspaces()
    path = home / "cmlutils/export-config.ini"
    path.write_text(path.read_text() + "[Wrong]\napiv1_key=wrong\n")
    said = run_line("cmlutil project export -p Wrong", exit_code=1).err
    assert f"See {path}, section [Wrong].\n" in said
