"""The doctor finds all problems at once, says what to do about them, and asks each workspace no more than necessary."""

import contextlib
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest
from emulated import EXPORT

from cmlutils.flows import doctor_machine
from cmlutils.remote import pipes, ssh
from cmlutils.section import Secret, Workspace


def found(line, severity):
    return [one["text"] for one in line.json if one["severity"] == severity]


def test_everything_is_found_at_once(workspaces, run_line, home):
    source, target = workspaces(target_more={"runtimes": []})
    path = home / "cmlutils/export-config.ini"
    more = path.read_text() + "colour=red\n[Nobody]\n[Other]\nusername=\n[Wrong]\napiv1_key=wrong\n"
    more += f"[Who]\nusername=who\n[Shut]\noutput_dir={home}/shut\n"
    (home / "shut").mkdir()
    (home / "shut/Shut").symlink_to("elsewhere")
    path.write_text(more)
    path = home / "cmlutils/import-config.ini"
    path.write_text(f"{path.read_text()}[Shut]\noutput_dir={home}/shut\n")
    line = run_line("cmlutil doctor --json", exit_code=1)
    errors = found(line, "error")
    for word in ("'Nobody'", "username", "rsync-enabled runtime", "401"):
        assert any(word in one for one in errors), word
    assert f"There is no user 'who' at {source.url} (404)." in errors
    [shut] = [one for one in line.json if "is a symbolic link" in one["text"]]
    assert (shut["section"], shut["side"]) == ("Shut", "here")  # once, although both files have it
    assert any("colour" in one for one in found(line, "warning"))
    assert [one["section"] for one in line.json if one["text"] == "ready"] == ["Churn Model"]
    assert all(one["fix"] for one in line.json if one["severity"] == "error" and one["side"] != "-")
    assert {request.method for request in [*source.requests, *target.requests]} == {"GET"}


def test_it_says_ready(workspaces, run_line, home):
    workspaces()
    line = run_line("cmlutil doctor", exit_code=5)  # plain http is a warning
    assert line.out.count("ready") == 1
    assert re.fullmatch(r"errors: 0, warnings: [1-9], ok: [1-9]", line.out.splitlines()[-1])
    assert "not exported yet" in line.out
    run_line(EXPORT)
    (home / "bundles/Churn Model/state/files.list").unlink()  # as in a bundle of cloudera/cmlutils
    line = run_line("cmlutil doctor", exit_code=5)
    assert line.out.count("ready") == 1  # the target forbids Board's open access
    assert "not exported yet" not in line.out


def test_where_the_folder_for_temporary_files_runs_no_program_another_is_taken(
    workspaces, run_line, home, tmp_path, monkeypatch
):
    disk = tmp_path / "noexec"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "noexec", "x", disk]
    if os.getuid() != 0 or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("no mounts here")
    workspaces()
    monkeypatch.setattr(tempfile, "tempdir", str(disk))
    there = {*home.iterdir()}
    try:
        run_line("cmlutil doctor --json", exit_code=5)  # plain http is a warning
        run_line(EXPORT)
        assert not [*disk.iterdir()]
    finally:
        subprocess.run(["umount", disk], check=True)
    assert {*home.iterdir()} - there <= {home / "bundles"}


def test_no_folder_from_which_the_client_can_be_run_is_an_error(monkeypatch):
    def none_usable():
        raise FileNotFoundError(2, "No usable temporary directory found in ['/tmp']")

    monkeypatch.setattr(tempfile, "gettempdir", none_usable)
    [finding] = doctor_machine.temporary()
    assert (finding.severity, finding.text) == ("error", "No usable temporary directory found in ['/tmp']")


def test_a_section_that_is_nowhere_is_an_error(workspaces, run_line):
    workspaces()
    assert "no ini file has a section [Nobody]" in run_line("cmlutil doctor -p Nobody", exit_code=1).out
    assert "did you mean [Churn Model]?" in run_line('cmlutil doctor -p "Churn Modl"', exit_code=1).out


def test_two_ini_files_that_do_not_fit_together_are_told_each_thing_once(workspaces, run_line, home):
    workspaces()
    for side, own, folder in (("export", "Sales]\n[Zebra", "bundles"), ("import", "Quark]\n[Sale", "elsewhere")):
        path = home / f"cmlutils/{side}-config.ini"
        more = "".join(f"[P{number}]\n" for number in range(300)) + f"[{own}]\n"
        path.write_text(path.read_text().replace("~/bundles", f"~/{folder}") + more)
    warnings = found(run_line("cmlutil doctor --json", exit_code=1), "warning")
    told = [one for one in warnings if "import-config.ini only" in one]
    assert told == ["[Sale] is in import-config.ini only; did you mean [Sales]?"]
    told = [one for one in warnings if "output_dir" in one]
    assert told == [f"output_dir differs: export writes {home}/bundles, import looks in {home}/elsewhere"]
    assert any(
        "did you mean" in one for one in found(run_line("cmlutil doctor -p Sales --json", exit_code=1), "warning")
    )
    line = run_line('cmlutil doctor -p "Churn Model" --json', exit_code=5)
    assert not any("did you mean" in one for one in found(line, "warning"))


def test_ini_files_fit_where_one_is_not_there_or_a_folder_has_two_names(workspaces, run_line, home):
    workspaces()
    (home / "other").symlink_to(home / "bundles")
    path = home / "cmlutils/import-config.ini"
    path.write_text(path.read_text().replace("~/bundles", "~/other") + "[P9]\n")
    export = home / "cmlutils/export-config.ini"
    export.write_text(export.read_text() + "".join(f"[P{number}]\n" for number in (1, 10)))
    (home / "bundles").mkdir()
    line = run_line("cmlutil doctor --json", exit_code=1)
    assert not any("output_dir" in one for one in found(line, "warning"))
    path.unlink()
    line = run_line("cmlutil doctor --json", exit_code=1)
    assert not any("only" in one or "output_dir" in one for one in found(line, "warning"))


def test_a_map_that_is_none_is_a_finding_among_others(workspaces, run_line, home):
    workspaces()
    (home / "cmlutils/runtime-map.yaml").write_text("- a\n")
    line = run_line("cmlutil doctor --json", exit_code=1)
    assert any("runtime-map.yaml is not a map" in one for one in found(line, "error"))
    assert "ready" in found(line, "ok")


def test_the_bundle_is_held_against_the_target(workspaces, run_line, sample):
    sample["jobs"][2]["runtime_id"] = 13
    sample["owner"] = "crew"
    team = {"username": "crew", "id": 31, "members": {"dana": "owner"}}
    other = {
        "owner": "dana",
        "name": "Other",
        "applications": [{"name": "x", "script": "x.py", "subdomain": "what-if", "runtime_id": 72}],
    }
    _, target = workspaces(
        source_runtimes=[(13, "Scala 2.11")], source_more={"teams": [team]}, target_more={"projects": [other]}
    )
    run_line(EXPORT)
    target.forget_requests()
    line = run_line("cmlutil doctor --json", exit_code=1)
    errors, warnings = found(line, "error"), found(line, "warning")
    assert any("no team 'crew'" in one for one in errors)
    assert any("job mail" in one and "Scala 2.11" in one for one in errors)
    assert any("what-if is taken by dana/other" in one for one in errors)
    assert any("Board" in one and "unauthenticated" in one for one in warnings)
    assert {one.method for one in target.requests} == {"GET"}


def test_deep_opens_a_session_and_leaves_none(workspaces, run_line, home):
    source, target = workspaces()
    line = run_line("cmlutil doctor --deep --json", exit_code=5)
    assert any("your ssh key is accepted" in one for one in found(line, "ok"))
    [untried] = [one for one in line.json if "no session could be opened" in one["text"]]
    assert (untried["severity"], untried["fix"]) == ("warning", "import one of them, then run doctor --deep again")
    assert source.sessions == target.sessions == []
    source.world.users[0].ssh_keys.clear()
    line = run_line("cmlutil doctor --deep --json", exit_code=1)
    assert any("accepted no ssh key" in one for one in found(line, "error"))
    assert not (home / "bundles").exists()


def test_keys_that_nobody_can_use_are_found(workspaces, run_line, home):
    workspaces()
    key = home / ".ssh/id_ed25519"
    subprocess.run(
        ["ssh-keygen", "-q", "-p", "-P", "", "-N", "secret phrase", "-f", key], check=True, capture_output=True
    )
    assert any("has a passphrase" in one for one in found(run_line("cmlutil doctor --json", exit_code=1), "error"))
    key.unlink()
    assert any("no ssh key" in one for one in found(run_line("cmlutil doctor --json", exit_code=1), "error"))


def test_a_key_that_can_not_be_used_is_told_before_a_session_is_opened(workspaces, run_line, home):
    source, _ = workspaces()
    key = home / ".ssh/id_ed25519"
    subprocess.run(
        ["ssh-keygen", "-q", "-p", "-P", "", "-N", "secret phrase", "-f", key], check=True, capture_output=True
    )
    assert f"The ssh key {key} has a passphrase" in run_line(EXPORT, exit_code=1).err
    assert not [one.path for one in source.requests if one.path.startswith("/cli/")]


@pytest.mark.parametrize("settings", ["Bogus yes", "Port"])
def test_settings_that_ssh_can_not_use_are_told_before_a_session_opens(
    workspaces, run_line, tmp_path, program, settings
):
    source, _ = workspaces()
    config = tmp_path / "ssh_config"
    config.write_text(f"Host *\n{settings}\n")
    program("ssh", f'exec {shutil.which("ssh")} -F "{config}" "$@"')
    told = f"ssh can't use its settings: {config}"
    assert told in run_line(EXPORT, exit_code=1).err
    assert not [one.path for one in source.requests if one.path.startswith("/cli/")]
    assert any(told in one for one in found(run_line("cmlutil doctor --json", exit_code=1), "error"))


@pytest.mark.parametrize("other", ["SSH_AUTH_SOCK", "config"])
def test_an_agent_or_a_configuration_may_have_another_key(home, keys, other, monkeypatch):
    space = Workspace("http://ws.test", "me", Secret("k"))
    subprocess.run(["ssh-keygen", "-q", "-p", "-N", "secret phrase", "-f", home / ".ssh/id_ed25519"], check=True)
    with pytest.raises(ssh.Refused, match="has a passphrase"):
        ssh.check_keys(space)
    if other == "config":
        (home / ".ssh/config").touch()
    else:
        monkeypatch.setenv(other, str(home))
    ssh.check_keys(space)


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ('Load key "/k/id": Permission denied', "can't be read: Permission denied"),
        ("/k/id: No such file or directory", "can't be read: No such file or directory"),
        ("", "can't be read: ssh-keygen ended with exit code 255"),
    ],
)
def test_a_key_that_may_not_be_read_is_not_called_usable(tmp_path, program, said, told):
    program("ssh-keygen", f"echo '{said}' >&2\nexit 255")
    space = Workspace("http://ws.test", "me", Secret("k"), identity_file=tmp_path / "id")
    (finding,) = doctor_machine.ssh_keys([space])
    assert (finding.severity, finding.text) == ("error", f"the ssh key {tmp_path}/id {told}")
    with pytest.raises(ssh.Refused, match=told):
        ssh.check_keys(space)


@pytest.mark.parametrize(
    ("said", "severity"),
    [("3.2.6", "warning"), ("3.0.9", "error"), ("2.6.9", "error"), ("3.2.7", "ok"), ("3.10.0", "ok")],
)
def test_an_old_rsync_is_warned_of(program, said, severity):
    program("rsync", f"echo 'rsync  version {said}  protocol version 31'")
    assert [one.severity for one in doctor_machine.programs() if "rsync" in one.text] == [severity]


def test_a_program_in_place_of_rsync_that_fails_is_a_finding_and_not_the_end_of_doctor(program, monkeypatch):
    monkeypatch.setattr(pipes, "MAX_OUTPUT", 1 << 16)
    program("rsync", "exec yes")
    assert [one.severity for one in doctor_machine.programs() if "rsync" in one.text] == ["error"]


@pytest.mark.parametrize(
    ("said", "severity", "prefers"),
    [
        ("OpenSSH_7.4p1, OpenSSL 1.0.2k-fips", "error", False),
        ("OpenSSH_8.0p1, OpenSSL 1.1.1k", "ok", False),
        ("OpenSSH_8.1p1", "ok", True),
        ("OpenSSH_for_Windows_9.5p2", "ok", True),
        ("Sun_SSH_2.4", "error", False),
    ],
)
def test_an_old_ssh_is_told_and_gets_no_list_of_ciphers_that_it_can_not_read(
    tmp_path, program, said, severity, prefers
):
    program("ssh", f"echo '{said}' >&2")
    assert [one.severity for one in doctor_machine.programs() if "SSH" in one.text] == [severity]
    argv = ssh.command(Workspace("http://ws.test", "me", Secret("k")), 22, tmp_path)
    assert (ssh.FAST in argv) is prefers


def test_a_user_whom_the_system_does_not_know_is_told_as_that(program, monkeypatch):
    for name in ("ssh", "ssh-keygen"):
        program(name, "echo 'No user exists for uid 4711' >&2; exit 255")
    (error,) = [one for one in doctor_machine.programs() if one.severity == "error"]
    assert error.text == "ssh does not run: No user exists for uid 4711"
    assert "/etc/passwd" in error.fix
    with pytest.raises(ssh.Refused, match="ssh does not run: No user exists for uid 4711") as refused:
        ssh.check_settings()
    assert "/etc/passwd" in refused.value.hint
    (found,) = doctor_machine.ssh_keys([Workspace("http://ws.test", "me", Secret("k"), identity_file=Path("/k"))])
    assert found.text == "the ssh key /k can't be used: No user exists for uid 4711"
    assert found.fix == error.fix
    monkeypatch.delenv("HOME")
    monkeypatch.setattr(os, "getuid", lambda: 4711)
    found = doctor_machine.ssh_keys([Workspace("http://ws.test", "me", Secret("k"))])
    assert [one.text for one in found] == ["there is no ssh key in ~/.ssh"]


def test_an_untrusted_certificate_says_which_key_to_set(workspaces, run_line, home, tmp_path):
    workspaces()
    argv = [sys.executable, "-m", "cmlutils", "emulator", "start", "--tls", "--personality", "cdsw"]
    with subprocess.Popen([*argv, "--state-dir", tmp_path / "tls"], stdout=subprocess.PIPE, text=True) as server:
        try:
            url = next(word for line in server.stdout for word in line.split() if word.startswith("https://"))
            path = home / "cmlutils/export-config.ini"
            path.write_text(path.read_text().replace("[Churn Model]", f"[Churn Model]\nurl={url.rstrip('.,')}"))
            line = run_line("cmlutil doctor --json", exit_code=1)
            assert any("ca_path" in one["fix"] for one in line.json if one["severity"] == "error")
        finally:
            server.terminate()
            server.wait(30)


def test_a_workspace_that_does_not_answer_is_not_asked_for_every_user(workspaces, run_line, home):
    workspaces()
    calls = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def hang_up():
            with contextlib.suppress(OSError):
                while True:
                    calls.append(server.accept()[0].close())

        threading.Thread(target=hang_up, daemon=True).start()
        users = "".join(f"[P{number}]\nusername=u{number}\n" for number in range(60))
        head = f"[DEFAULT]\nurl=http://127.0.0.1:{server.getsockname()[1]}\noutput_dir=~/b\napiv1_key=k3yk3y\n"
        (home / "cmlutils/export-config.ini").write_text(head + users)
        line = run_line("cmlutil doctor --json", exit_code=1)
        server.shutdown(socket.SHUT_RDWR)
    assert len([one for one in found(line, "error") if "can't be reached" in one]) == 60
    assert 1 <= len(calls) <= 20


def test_many_sections_share_one_login_and_end_within_a_minute(workspaces, run_line, home, sample):
    count = 150
    others = [{"owner": "dana", "name": f"P{number}"} for number in range(count)]
    source, target = workspaces(source_more={"projects": [sample, *others]})
    for side in ("export", "import"):
        path = home / f"cmlutils/{side}-config.ini"
        path.write_text(path.read_text() + "".join(f"[P{number}]\n" for number in range(count)))
    began = time.monotonic()
    line = run_line("cmlutil doctor --json", exit_code=5)
    assert time.monotonic() - began < 60
    assert found(line, "ok").count("ready") == count + 1
    for workspace in (source, target):
        assert sum(one.path.endswith("/users/dana") for one in workspace.requests) == 1
        assert sum(one.path.endswith("/runtimes") for one in workspace.requests) == 1
    assert len([one for one in line.json if "http" in one["text"]]) == 2


def test_a_key_command_that_fails_is_told_once_for_all_sections(workspaces, run_line, home):
    workspaces()
    path = home / "cmlutils/export-config.ini"
    keyless = re.sub("apiv1_key=.*", "apiv1_key_command=false", path.read_text())
    path.write_text(keyless + "".join(f"[P{number}]\n" for number in range(5)))
    [one] = [one for one in run_line("cmlutil doctor --json", exit_code=1).json if "gave no key" in one["text"]]
    assert (one["section"], one["side"]) == ("Churn Model, P0, P1 and 3 more", "export")
