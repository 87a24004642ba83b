"""Reading sections from ini files: what is found where, and one sentence for each mistake."""

import os
import ssl
from pathlib import Path

import certifi
import pytest

from cmlutils import config
from cmlutils.errors import ConfigError

GOOD = "[DEFAULT]\nurl=https://cdsw.example.com/\noutput_dir=~/bundles\n[P]\nusername=dana\napiv1_key=k3y\n"


@pytest.fixture
def ini(home):
    def write(text, side="export", folder="cmlutils"):
        path = home / folder / f"{side}-config.ini"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        path.chmod(0o600)
        return path

    return write


def test_a_section_inherits_from_default_and_expands_home(ini, home):
    ini(GOOD)
    section = config.load("export", "P", environ={})
    assert section.workspace.url == "https://cdsw.example.com"
    assert section.output_dir == home / "bundles"
    assert section.workspace.api_key.reveal() == "k3y"
    assert "k3y" not in repr(section)
    assert section.workspace.verify is True
    assert section.warnings == []


@pytest.mark.parametrize("name", ["a b", "a/b", "R&D", "100%", "%(x)s", "größe", "C#", "..", "a=b"])
def test_odd_section_names_are_just_names(ini, name):
    ini(GOOD.replace("[P]", f"[{name}]"))
    assert config.load("export", name, environ={}).name == name


def test_a_percent_sign_in_a_key_is_kept(ini):
    ini(GOOD.replace("k3y", "k%3y%(x)s"))
    assert config.load("export", "P", environ={}).workspace.api_key.reveal() == "k%3y%(x)s"


@pytest.mark.parametrize("key", ["k3m9" * 8, f"{'0a' * 32}.{'1b' * 32}", "dana:hunter2@ml.example.com"])
def test_a_key_or_password_where_the_url_belongs_is_not_said(ini, key):
    ini(GOOD.replace("https://cdsw.example.com/", key))
    with pytest.raises(ConfigError, match="url is not an http or https address\\.") as caught:
        config.load("export", "P", environ={})
    assert key[:8] not in f"{caught.value.message} {caught.value.hint}"


@pytest.mark.parametrize(
    "url",
    [
        "cdsw",
        "htp://cdsw.example.com/with/a/longer/path",
        "https://",
        "https:///x",
        "https://a,b.example.com",
        "https://a..b",
        "https://cdsw.example.com:0",
        "https://cdsw.example.com:99999",
        "https://cdsw.example.com/a b",
    ],
)
def test_an_address_that_can_lead_nowhere_is_refused(ini, url):
    told = f"url is not an http or https address: {url!r}."
    assert told_of(ini, GOOD.replace("https://cdsw.example.com/", url)) == told


@pytest.mark.parametrize("rest", ["cdsw.example.com:1", "10.0.0.1:8443/cdsw", "[::1]:443", "größe.example.com."])
def test_an_address_may_have_a_port_and_a_path(ini, rest):
    ini(GOOD.replace("https://cdsw.example.com/", f"https://{rest}"))
    assert config.load("export", "P", environ={}).workspace.url == f"https://{rest}"


@pytest.mark.parametrize("login", ["dana", ":hunter2", "dana:hunter2"])
def test_a_url_with_a_login_is_refused_and_not_said(ini, login):
    ini(GOOD.replace("https://", f"https://{login}@"))
    with pytest.raises(ConfigError, match=r"url contains a user name or password\.$"):
        config.load("export", "P", environ={})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (GOOD.replace("username=dana\n", ""), ["[P]", "username"]),
        (GOOD.replace("url=https://cdsw.example.com/\n", ""), ["[P]", "url"]),
        (GOOD.replace("apiv1_key=k3y\n", ""), ["[P]", "apiv1_key", "CMLUTILS_SOURCE_APIV1_KEY"]),
        (GOOD.replace("output_dir=~/bundles\n", ""), ["[P]", "output_dir"]),
        (GOOD.replace("https://", "ftp://"), ["url", "ftp"]),
        (GOOD.replace("cdsw.example.com", "cdsw.example.com:port"), ["url"]),
        (GOOD + "ca_path=/nowhere.pem\n", ["ca_path", "/nowhere.pem"]),
        (GOOD + "identity_file=/nowhere\n", ["identity_file", "/nowhere"]),
        (GOOD + "ca_path=/\n", ["ca_path names no file: /."]),
        (GOOD + "identity_file=/\n", ["identity_file names no file: /."]),
        (GOOD + "skip_tls_verification=perhaps\n", ["skip_tls_verification"]),
        (GOOD + "[P]\n", ["line", "[P]", "twice", "Keep only one"]),
        (GOOD + "username=kai\n", ["username", "twice", "Keep only one"]),
        ("username=dana\n", ["line 1", "before"]),
        (GOOD + "what is this\nand this\n", ["line 7"]),
        (GOOD.replace("apiv1_key=k3y", "apiv1_key_command='open"), ["apiv1_key_command"]),
    ],
)
def test_bad_input_is_one_sentence_with_file_section_and_key(ini, text, words):
    path = ini(text)
    with pytest.raises(ConfigError) as caught:
        config.load("export", "P", environ={})
    told = f"{caught.value.message} {caught.value.hint}"
    assert str(path) in told
    assert "k3y" not in told
    for word in words:
        assert word in told


def test_a_section_that_is_not_there_names_the_nearest(ini):
    ini(GOOD.replace("[P]", "[Project-A]"))
    with pytest.raises(ConfigError, match="no section") as caught:
        config.load("export", "Project-B", environ={})
    assert caught.value.hint == "Did you mean [Project-A]?"


@pytest.mark.parametrize(("more", "told"), [("", "P"), ("[Q]\n[R S]\n", "P, Q, R S")])
def test_of_few_sections_all_are_named_when_none_is_near(ini, more, told):
    ini(GOOD + more)
    with pytest.raises(ConfigError) as caught:
        config.load("export", "Sales", environ={})
    assert caught.value.hint == f"Its sections: {told}."


def test_what_all_sections_share_is_no_section(ini):
    ini(GOOD)
    with pytest.raises(ConfigError, match=r"has no section \[DEFAULT\]"):
        config.load("export", "DEFAULT", environ={})


def test_a_file_without_sections_is_told_to_have_none(ini):
    ini("[DEFAULT]\nusername=dana\n")
    with pytest.raises(ConfigError) as caught:
        config.load("export", "Sales", environ={})
    assert caught.value.hint == "Its sections: none."


def test_of_many_sections_none_is_named_that_was_not_meant(ini):
    ini(GOOD + "".join(f"[{number:03}]\n" for number in range(300)))
    with pytest.raises(ConfigError) as caught:
        config.load("export", "Sales", environ={})
    assert caught.value.hint == "See 'cmlutil project list'."


def test_no_file_says_where_it_looked(home):
    with pytest.raises(ConfigError, match=r"export-config\.ini") as caught:
        config.load("export", "P", environ={})
    assert str(home / ".cmlutils") in caught.value.message


def test_the_first_folder_wins_and_a_later_one_is_told(ini, home):
    first = ini(GOOD.replace("dana", "first"))
    second = ini(GOOD.replace("dana", "second"), folder=".cmlutils")
    section = config.load("export", "P", environ={})
    assert section.workspace.username == "first"
    assert section.warnings == [f"{second} is ignored: {first} was found first."]
    assert config.load("export", "P", str(home / ".cmlutils"), environ={}).workspace.username == "second"
    environ = {"CMLUTILS_CONFIG_DIR": str(home / ".cmlutils")}
    assert config.load("export", "P", environ=environ).workspace.username == "second"


def test_a_folder_of_the_environment_without_the_file_is_warned_of(ini, home):
    path = ini(GOOD)
    [warning] = config.load("export", "P", environ={"CMLUTILS_CONFIG_DIR": "/nowhere"}).warnings
    assert warning == f"CMLUTILS_CONFIG_DIR names /nowhere, which has no export-config.ini: {path} is used."
    assert config.load("export", "P", str(home / "cmlutils"), {"CMLUTILS_CONFIG_DIR": "/nowhere"}).warnings == []


def test_warnings_name_what_is_odd(ini):
    path = ini(GOOD.replace("https", "http") + "skip_tls_verification=true\nowner_usrname=kai\n")
    path.chmod(0o666)
    warnings = "\n".join(config.load("export", "P", environ={}).warnings)
    for word in ("owner_username", "chmod 600", "skip_tls_verification", "unencrypted"):
        assert word in warnings


def test_a_file_without_a_key_may_be_read_by_others(ini):
    ini(GOOD.replace("apiv1_key=k3y", "apiv1_key_command=pass show it")).chmod(0o644)
    assert config.load("export", "P", environ={}).warnings == []


def test_the_key_may_come_from_the_environment_or_a_command(ini):
    ini(GOOD.replace("apiv1_key=k3y\n", ""))
    section = config.load("export", "P", environ={"CMLUTILS_SOURCE_APIV1_KEY": "fromenv"})
    assert section.workspace.api_key.reveal() == "fromenv"
    ini(GOOD.replace("apiv1_key=k3y", "apiv1_key_command=pass show 'my key'"))
    assert config.load("export", "P", environ={}).workspace.key_command == ("pass", "show", "my key")
    other = config.load("export", "P", environ={"CMLUTILS_SOURCE_APIV1_KEY": "fromenv"}).workspace
    assert (other.api_key.reveal(), other.key_command) == ("", ("pass", "show", "my key"))  # what is written wins


@pytest.mark.parametrize("key", ["k3y k3y", "k3y\N{NO-BREAK SPACE}k3y", "kéy"])
def test_a_key_of_impossible_characters_is_refused_and_not_said(ini, key):
    assert told_of(ini, GOOD.replace("k3y", key)) == "apiv1_key contains a character that no API key has."


def test_a_key_may_have_any_visible_ascii_character(ini):
    key = "".join(map(chr, range(33, 127)))
    ini(GOOD.replace("k3y", f"k{key}"))
    assert config.load("export", "P", environ={}).workspace.api_key.reveal() == f"k{key}"


def test_a_sections_own_key_or_command_wins_over_a_shared_one(ini):
    own = GOOD.replace("[P]", "apiv1_key=shared\n[P]").replace("apiv1_key=k3y", "apiv1_key_command=pass show it")
    ini(own)
    workspace = config.load("export", "P", environ={}).workspace
    assert (workspace.api_key.reveal(), workspace.key_command) == ("", ("pass", "show", "it"))
    ini(GOOD.replace("[P]", "apiv1_key_command=pass show it\n[P]"))
    workspace = config.load("export", "P", environ={}).workspace
    assert (workspace.api_key.reveal(), workspace.key_command) == ("k3y", ())


def test_ca_path_is_what_requests_takes(ini, tmp_path):
    ca = tmp_path / "ca.pem"
    ca.write_bytes(Path(certifi.where()).read_bytes())
    ini(GOOD + f"ca_path={ca}\n")
    assert config.load("export", "P", environ={}).workspace.verify == str(ca)
    for spoiled in (b"", b"no certificate\n"):
        ca.write_bytes(spoiled)
        with pytest.raises(ConfigError, match=r"section \[P\]: ca_path holds no certificate"):
            config.load("export", "P", environ={})


def test_hundreds_of_sections_share_a_look_at_their_ca_file(ini, tmp_path, monkeypatch):
    ca, loaded = tmp_path / "ca.pem", []
    ca.write_bytes(Path(certifi.where()).read_bytes())
    load = ssl.SSLContext.load_verify_locations
    monkeypatch.setattr(
        ssl.SSLContext, "load_verify_locations", lambda context, place: loaded.append(place) or load(context, place)
    )
    names = [f"P{number}" for number in range(300)]
    ini(
        GOOD.replace("[P]", f"ca_path={ca}\n[P]").partition("[P]")[0]
        + "username=u\napiv1_key=k\n"
        + "".join(f"[{name}]\n" for name in names)
    )
    file = config.read_file("export", environ={})
    assert {config.section(file, name, {}).workspace.verify for name in names} == {str(ca)}
    assert loaded == [ca]
    ca.write_bytes(b"no certificate\n")
    with pytest.raises(ConfigError, match="ca_path holds no certificate"):
        config.section(file, "P1", {})


@pytest.mark.parametrize(("key", "mistyped"), [("username", "user"), ("apiv1_key", "api_key"), ("url", "uri")])
def test_a_mistyped_key_that_is_required_is_named(ini, key, mistyped):
    ini(GOOD.replace(f"{key}=", f"{mistyped}="))
    with pytest.raises(ConfigError, match=f"the key {key} is missing") as caught:
        config.load("export", "P", environ={})
    assert f"Or is {mistyped} a typo for it?" in caught.value.hint


def test_a_key_that_has_a_meaning_of_its_own_is_no_mistyped_one(ini):
    ini(GOOD.replace("username=", "owner_username="))
    with pytest.raises(ConfigError, match="the key username is missing") as caught:
        config.load("export", "P", environ={})
    assert "typo" not in caught.value.hint


def test_one_folder_by_two_names_is_one(ini, home):
    ini(GOOD)
    (home / ".cmlutils").symlink_to(home / "cmlutils")
    assert config.load("export", "P", environ={"CMLUTILS_CONFIG_DIR": str(home / "cmlutils")}).warnings == []


def test_an_owner_is_the_sources(ini, home):
    ini(GOOD + "owner_username=crew\n")
    assert config.load("export", "P", environ={}).warnings == []
    ini(GOOD, "import")
    assert config.load("import", "P", environ={}).warnings == []
    ini(GOOD + "owner_username=crew\n", "import")
    (warning,) = config.load("import", "P", environ={}).warnings
    assert "owner_username has no effect here" in warning


def test_who_has_no_home_can_name_the_folder(ini, home, monkeypatch):
    path = ini(GOOD.replace("~/bundles", "/bundles"))
    monkeypatch.setenv("HOME", "/dev/null")
    with pytest.raises(ConfigError, match="Not a directory"):
        config.load("export", "P", environ={})
    assert config.load("export", "P", environ={"CMLUTILS_CONFIG_DIR": str(path.parent)}).file == path


def test_unreadable_text_is_told(ini, home):
    path = Path(os.fspath(ini(GOOD)))
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="UTF-8"):
        config.load("export", "P", environ={})


def told_of(ini, text):
    ini(text)
    with pytest.raises(ConfigError) as caught:
        config.load("export", "P", environ={})
    return caught.value.message.partition("section [P]: ")[2]


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("output_dir", '"~/bundles"', "output_dir is in quotes."),
        ("output_dir", "'/no/bundles'", "output_dir is in quotes."),
        ("output_dir", "~/bundles   # temp", "output_dir has a comment in it (' # …'): comments need their own line."),
        ("output_dir", "~/bundles ;temp", "output_dir has a comment in it (' ; …'): comments need their own line."),
        ("output_dir", "$MIGR/bundles", "output_dir names $MIGR, which is not set."),
        ("output_dir", "~/${MIGR}/bundles", "output_dir names ${MIGR}, which is not set."),
        ("ca_path", "'~/ca.pem'", "ca_path is in quotes."),
        ("ca_path", "$MIGR/ca.pem", "ca_path names $MIGR, which is not set."),
        ("identity_file", "~/id # mine", "identity_file has a comment in it (' # …'): comments need their own line."),
        ("username", '"dana"', "username is in quotes."),
        ("username", "dana ; me", "username has a comment in it (' ; …'): comments need their own line."),
        ("owner_username", "'crew'", "owner_username is in quotes."),
        ("username", ".", "username is not a user's or team's name."),
        ("owner_username", "..", "owner_username is not a user's or team's name."),
        ("owner_username", 1001 * "x", "owner_username is not a user's or team's name."),
        ("url", '"https://cdsw.example.com"', "url is in quotes."),
        ("url", "https://cdsw.example.com # it", "url has a comment in it (' # …'): comments need their own line."),
        ("apiv1_key", '"k3yk3y"', "apiv1_key is in quotes."),
        ("apiv1_key", "k3yk3y # it", "apiv1_key has a comment in it (' # …'): comments need their own line."),
    ],
)
def test_quotes_comments_and_unset_variables_are_told_and_not_taken(ini, key, value, told, monkeypatch):
    monkeypatch.delenv("MIGR", raising=False)
    lines = [line for line in GOOD.splitlines() if not line.startswith(f"{key}=")]
    assert told_of(ini, "\n".join([*lines, f"{key}={value}"])) == told


@pytest.mark.parametrize("name", ["Project #1", "set $aside", "a # b", "'quoted'"])
def test_a_path_that_is_there_means_itself(ini, home, name, monkeypatch):
    monkeypatch.chdir(home)
    (home / name).mkdir()
    for inner in ("", "/bundles"):
        ini(GOOD.replace("~/bundles", f"{name}{inner}"))
        assert str(config.load("export", "P", environ={}).output_dir) == f"{name}{inner}"


def test_a_new_folder_may_have_a_number_and_a_variable_that_is_set(ini, home, monkeypatch):
    monkeypatch.setenv("MIGR", "moved")
    ini(GOOD.replace("~/bundles", "~/$MIGR/Project #1"))
    assert config.load("export", "P", environ={}).output_dir == home / "moved/Project #1"


def test_an_output_folder_that_can_be_none_is_told(ini, home):
    (home / "plain").touch()
    (home / "nowhere").symlink_to("not there")
    for name in ("plain", "nowhere"):
        told = told_of(ini, GOOD.replace("~/bundles", f"~/{name}"))
        assert told == f"output_dir is not a folder: {home / name}."
    assert "Not a directory" in told_of(ini, GOOD.replace("~/bundles", "~/plain/x"))


def test_a_relative_output_folder_is_warned_of(ini):
    path = ini(GOOD.replace("~/bundles", "bundles"))
    (warning,) = config.load("export", "P", environ={}).warnings
    told = "output_dir is relative: which folder it means depends on where cmlutil is started."
    assert warning == f"{path}, section [P]: {told}"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read anything")
def test_a_ca_file_that_may_not_be_read_is_named_as_that(ini, tmp_path):
    ca = tmp_path / "ca.pem"
    ca.write_bytes(Path(certifi.where()).read_bytes())
    ca.chmod(0)
    assert told_of(ini, GOOD + f"ca_path={ca}\n") == f"ca_path can't be read: {ca}: Permission denied."


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read anything")
def test_an_output_folder_that_may_not_be_entered_is_told(ini, home):
    (home / "bundles").mkdir(mode=0o600)
    assert "Permission denied" in told_of(ini, GOOD)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read anything")
def test_an_ini_file_that_may_not_be_read_is_told(ini):
    path = ini(GOOD)
    path.chmod(0)
    with pytest.raises(ConfigError) as caught:
        config.load("export", "P", environ={})
    assert caught.value.message == f"{path} can't be read: Permission denied."


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read anything")
def test_a_folder_of_ini_files_that_may_not_be_entered_is_bad_configuration(ini, home, run_line):
    path = ini(GOOD)
    path.parent.chmod(0o600)
    for line in ("project list --json", "project status --json", "project export -p P --json"):
        said = run_line(f"cmlutil {line}", exit_code=2)
        assert said.json["error"] == f"{path} can't be read: Permission denied."
    told = [one["text"] for one in run_line("cmlutil doctor --json", exit_code=1).json]
    assert f"{path} can't be read: Permission denied." in told
    path.parent.chmod(0o700)


@pytest.mark.parametrize("name", ["default", "Default", " default "])
def test_what_all_sections_share_goes_to_default_in_capitals(ini, name):
    ini(GOOD.replace("[DEFAULT]", f"[{name}]"))
    with pytest.raises(ConfigError) as caught:
        config.read_file("export")
    told = f"[{name}] is a project's section; what all sections share goes into [DEFAULT] (capitals)."
    assert told in caught.value.message


@pytest.mark.parametrize(
    "text",
    [
        GOOD + "[default]\nowner_username=crew\n",  # no other section lacks the key that it has
        GOOD.replace("[P]", "[default]"),
        GOOD + "[default]\nusername=kai\n",
        "[default]\n" + GOOD.replace("[DEFAULT]\n", "").replace("[P]\n", ""),
    ],
)
def test_a_project_may_be_called_default(ini, text):
    ini(text)
    assert "default" in config.read_file("export").names()


def test_the_nearest_name_is_found_in_whatever_case():
    assert config.nearest("churn modl", ["Sales", "Churn Model"]) == "Churn Model"
    assert config.nearest("SALES", ["Churn Model", "Sales"]) == "Sales"
    assert config.nearest("Zebra", ["Churn Model", "Sales"]) == ""
