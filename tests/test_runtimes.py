"""Which runtime replaces another: the nearest, never one with another kernel; the user's maps take precedence."""

import os
from dataclasses import replace

import pytest

from cmlutils.errors import ApiError, BundleError, CheckFailed, ConfigError
from cmlutils.flows.map_engines import map_engines
from cmlutils.ours import OURS
from cmlutils.reader import Reader
from cmlutils.runtime import Runtime
from cmlutils.runtimes import Maps, load_maps, nearest, rsync_runtime, version_key


def runtime(kernel="Python 3.9", editor="Workbench", edition="Standard", short="2023.05", full="2023.05.2-b7", **more):
    image = more.pop("image", f"reg/{kernel}-{editor}-{edition}:{full}".lower().replace(" ", ""))
    return Runtime(image, kernel, editor, edition, short, full, **more)


def read_back(record, image=""):
    return Runtime.from_bundle(Reader(record | {OURS: {"image_identifier": image}}, "a job", BundleError))


LISTED = {
    "id": 7,
    "imageIdentifier": "reg/x:1",
    "kernel": "Python 3.9",
    "editor": "Workbench",
    "edition": "Standard",
    "shortVersion": "2023.05",
    "fullVersion": "2023.05.2-b7",
    "status": "ENABLED",
}
READ = Runtime("reg/x:1", "Python 3.9", "Workbench", "Standard", "2023.05", "2023.05.2-b7", 7, enabled=True)


def test_a_runtime_as_a_workspace_lists_it():
    assert Runtime.from_v1(LISTED) == READ
    assert Runtime.from_v1({}) == Runtime("", "", "", "", "", "", 0, enabled=True) == Runtime("")
    assert Runtime.from_v1(dict.fromkeys(LISTED) | {"id": 7, "imageIdentifier": ""}) == Runtime("", id=7)


@pytest.mark.parametrize(("status", "enabled"), [("available", True), (None, True), ("DISABLED", False), ("x", False)])
def test_a_runtime_that_is_switched_off_is_known(status, enabled):
    assert Runtime.from_v1(LISTED | {"status": status}).enabled is enabled


@pytest.mark.parametrize("odd", [{"id": "x"}, {"id": 7.5}, {"id": True}, {"imageIdentifier": 7}])
def test_a_runtime_without_a_number_or_an_image_is_none(odd):
    with pytest.raises(ApiError, match="no usable"):
        Runtime.from_v1(LISTED | odd)


@pytest.mark.parametrize("name", ["kernel", "editor", "edition", "shortVersion", "fullVersion", "status"])
@pytest.mark.parametrize("odd", [True, False, ["x"], {}])
def test_a_runtime_with_something_else_than_a_text_is_refused(name, odd):
    with pytest.raises(ApiError, match=f"Runtime 7 has no usable '{name}'"):
        Runtime.from_v1(LISTED | {name: odd})


def test_a_workload_shows_its_runtime_by_number_by_image_or_by_words():
    known = [replace(READ, id=8, full_version="2023.05.1-b1", image="reg/py:0"), READ]
    for shown in ({"id": READ.id}, {"id": str(READ.id)}, {"imageIdentifier": READ.image}):
        assert Runtime.from_v1(shown).among(known) is READ
    words = {key: value for key, value in LISTED.items() if key not in {"id", "imageIdentifier"}}
    assert Runtime.from_v1(words).among(known) is READ
    other = Runtime.from_v1(words | {"kernel": "R 4.1"})
    assert other.among(known) is other


def test_a_runtime_of_which_only_an_unknown_number_is_shown_is_no_engine():
    unknown = Runtime.from_v1({"id": 99}).among([READ])
    kept = read_back(unknown.to_bundle(), unknown.image)
    assert "99" in str(kept)
    assert Maps({}, {"default": READ.image}).find(kept, "", [READ]) is None
    assert Maps({unknown.image: READ.image}, {}).find(kept, "", [READ]).runtime is READ


def test_a_bundle_keeps_all_but_the_workspaces_own_number():
    record = READ.to_bundle()
    assert record == {
        "runtime_kernel": "Python 3.9",
        "runtime_editor": "Workbench",
        "runtime_edition": "Standard",
        "runtime_shortversion": "2023.05",
        "runtime_fullversion": "2023.05.2-b7",
    }
    kept = Runtime("reg/x:1", "Python 3.9", "Workbench", "Standard", "2023.05", "2023.05.2-b7")
    assert read_back(record, "reg/x:1") == kept
    assert read_back(record | {"runtime_identifier": "reg/x:1"}) == kept
    assert read_back(record | {"runtime_identifier": "reg/y:1"}, "reg/x:1") == kept
    assert read_back(record).image == ""
    assert read_back({"runtime_kernel": "R 4.1"}) == Runtime("", "R 4.1")
    assert read_back({"runtime_identifier": "reg/x:1"}) == Runtime("reg/x:1")
    assert read_back(dict.fromkeys(record)) is None


def test_a_runtime_is_named_by_its_tuple_or_its_image():
    assert str(READ) == "Python 3.9 Workbench Standard 2023.05.2-b7"
    assert str(Runtime("reg/x:1", "R 4.1")) == "R 4.1"
    assert str(Runtime("reg/x:1")) == "reg/x:1"


def test_a_version_of_a_million_digits_takes_no_time():
    assert version_key("2023.5.2-b7") == (2023, 5, 2, 7)
    assert version_key("9" * 10**6) == (10**18 - 1,)


def test_the_same_image_wins_over_everything():
    wanted = runtime()
    other = runtime(short="2024.10", full="2024.10.1-b1", id=1)
    same = runtime(id=2)
    assert nearest(wanted, [other, same]).runtime.id == 2
    assert nearest(wanted, [other, same]).note == ""


def test_another_version_is_noted_and_the_newest_by_number_is_taken():
    old, new = (
        runtime(short="2023.08", full="2023.08.2-b8", id=1),
        runtime(short="2023.12", full="2023.12.1-b4", id=2),
    )
    match = nearest(runtime(), [new, old])
    assert match.runtime.id == 2
    assert match.note
    assert not match.fallback


def test_another_edition_or_editor_is_a_fallback():
    assert nearest(runtime(), [runtime(edition="Nvidia GPU", id=1)]).fallback
    assert nearest(runtime(), [runtime(editor="JupyterLab", id=1)]).fallback
    match = nearest(runtime(), [runtime(edition="Nvidia GPU", full="1.2")])
    assert (
        match.note
        == "runtime Python 3.9 Workbench Nvidia GPU 1.2 instead of Python 3.9 Workbench Standard 2023.05.2-b7"
    )


def test_what_is_nearer_wins_over_what_is_newer():
    newer = runtime(short="2025.01", full="2025.01.3-b1")
    assert nearest(runtime(), [newer, runtime(full="2023.05.1-b1", id=1)]).runtime.id == 1
    newer = runtime(editor="JupyterLab", full="2025.01.3-b1")
    assert nearest(runtime(), [newer, runtime(edition="Nvidia GPU", id=1)]).runtime.id == 1


def test_another_kernel_is_never_taken():
    assert nearest(runtime(), [runtime(kernel="R 4.1"), runtime(kernel="Python 3.10")]) is None


def test_a_tuple_equal_under_another_image_is_noted():
    match = nearest(runtime(image="docker.io/x"), [runtime(image="mirror/x", id=3)])
    assert match.runtime.id == 3
    assert match.note == "runtime image mirror/x instead of docker.io/x"
    assert not match.fallback
    assert nearest(runtime(image=""), [runtime(image="mirror/x", id=3)]).note == ""


def test_a_disabled_one_is_the_last_choice():
    off = runtime(short="2024.01", full="2024.01.1", id=1, enabled=False)
    on = runtime(short="2023.08", full="2023.08.1", id=2)
    assert nearest(runtime(), [off, on]).runtime.id == 2


def test_a_disabled_one_is_named_as_such():
    match = Maps({}, {}).find(runtime(), "", [runtime(id=1, enabled=False)])
    assert match.note == f"the target has runtime {runtime()} disabled or deprecated"
    assert Maps({}, {}).find(runtime(), "", [runtime(id=1)]).note == ""


def test_rsync_runtime_needs_the_word_in_its_edition():
    assert rsync_runtime([runtime()]) is None
    assert (
        rsync_runtime([runtime(kernel="R 4.1", edition="rsync", id=1), runtime(edition="Standard-Rsync", id=2)]).id == 2
    )


def test_engines_are_mapped_by_image_name():
    maps = Maps({}, {"python3": "docker/cdsw/ml-runtime-workbench-python3.9-standard:1", "default": "x/other:2"})
    there = [runtime(image="mirror/ml-runtime-workbench-python3.9-standard:2", id=4)]
    assert maps.find(None, "python3", there).runtime.id == 4
    assert maps.find(None, "python3", there).note == f"engine python3 became runtime {there[0]}"
    assert maps.find(None, "r", there) is None
    other = runtime(image="y/other:5:6", id=5)
    assert maps.find(None, "python2", [*there, other]).runtime.id == 5
    assert maps.find(None, "r", [*there, other]) is None
    assert maps.find(None, "r", [runtime("R 4.1", image="y/other:5:6", id=6)]).runtime.id == 6
    assert Maps({}, {"r": "x/other:2"}).find(None, "r", [other]).runtime.id == 5
    assert maps.find(None, "", [other]).note == f"engine default became runtime {other}"
    assert Maps({}, {}).find(None, "r", [runtime(image="", id=1)]) is None


def test_an_image_of_which_only_the_name_is_known_is_found_by_its_repository():
    there = [runtime(image="mirror/a/x:1", full="1", id=1), runtime(image="mirror/x:2", full="2", id=2)]
    match = nearest(Runtime("docker/x:9:9"), [*there, runtime(image="mirror/xx:1", full="3")])
    assert match.runtime.id == 2
    assert match.note == "runtime image mirror/x:2 instead of docker/x:9:9"
    assert nearest(Runtime("x"), there).runtime.id == 2
    assert nearest(Runtime("docker/z:9"), there) is None
    assert nearest(Runtime(""), [runtime(image="")]) is None


def test_the_users_map_overrides():
    maps = Maps({"a:1": "b:2"}, {})
    match = maps.find(runtime(image="a:1"), "", [runtime(image="b:2", id=5)])
    assert match.runtime.id == 5
    assert match.note == "runtime-map.yaml: b:2 for a:1"
    assert maps.find(runtime(image="z:1"), "", [runtime(image="z:1", id=6)]).runtime.id == 6
    assert maps.find(runtime(image="a:1"), "", [runtime(image="c:2", id=5)]) is None


def test_maps_are_read_from_the_first_folder_that_has_them(tmp_path):
    (tmp_path / "runtime-map.yaml").write_text("a: b\n")
    (tmp_path / "engine-map.yaml").write_text("{}\n")
    maps = load_maps([tmp_path / "none", tmp_path])
    assert maps.images == {"a": "b"}
    assert maps.engines == {}
    assert load_maps([tmp_path / "none"]).engines["python3"]


@pytest.mark.parametrize(("text", "told"), [
    ("- a\n", " is not a map of text to text."),
    ("x: y\na: [b]\n", " is not a map of text to text: see a."),
    ("a:1:\n", " is not a map of text to text: see a:1."),
    ("x: y\na: : b\n", ", line 2: this is not readable YAML."),
    ("x: 2024-13-01\n", " is not readable YAML."),
])  # fmt: skip
def test_a_map_that_is_none_is_told_by_name_and_place(tmp_path, text, told):
    (tmp_path / "runtime-map.yaml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_maps([tmp_path])
    assert caught.value.message == f"{tmp_path / 'runtime-map.yaml'}{told}"


def test_an_engine_that_is_mistyped_is_warned_of(tmp_path, caplog):
    (tmp_path / "engine-map.yaml").write_text("pythn3: a\nR: b\nscala: c\nown: d\n")
    load_maps([tmp_path])
    assert caplog.messages == [
        f"engine-map.yaml: there is no engine {typed}; did you mean {meant}?"
        for typed, meant in (("pythn3", "python3"), ("R", "r"))
    ]


def test_a_line_that_a_map_has_twice_is_told(tmp_path):
    (tmp_path / "engine-map.yaml").write_text("r: a\npython3: b\n'r': c\n")
    with pytest.raises(ConfigError, match=r"engine-map\.yaml has r twice\."):
        load_maps([tmp_path])


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read anything")
def test_a_map_that_may_not_be_read_is_named_as_that(tmp_path):
    (tmp_path / "runtime-map.yaml").touch(mode=0)
    with pytest.raises(ConfigError, match=r"runtime-map\.yaml can't be read: Permission denied\."):
        load_maps([tmp_path])


def test_the_engine_map_takes_each_kernel_where_it_is_and_the_newest_by_number():
    there = [
        runtime(full="2023.5.1-b1"),
        runtime(full="2023.12.1-b1"),
        runtime(editor="PBJ Workbench", full="2024.10.1-b1"),
        runtime(kernel="R 4.1", editor="PBJ Workbench"),
        runtime(kernel="Scala 2.11", edition="Other"),
        runtime(full="2025.1.1-b1", enabled=False),
    ]
    newest = there[1].image
    assert map_engines(there) == {"python3": newest, "python2": newest, "default": newest, "r": there[3].image}
    with pytest.raises(CheckFailed, match="no Python runtime"):
        map_engines(there[3:])


def test_a_map_says_what_it_names():
    maps = Maps({"a:1": "b:2"}, {"python3": "py:1", "default": "x:1"})
    assert maps.named(runtime(image="a:1"), "") == "runtime-map.yaml names b:2"
    assert maps.named(runtime(image="c:1"), "") == ""
    assert maps.named(None, "python3") == "the engine map names py:1"
    assert maps.named(None, "scala") == ""
    assert maps.named(None, "") == "the engine map names x:1"
    assert Maps({}, {}).named(None, "r") == ""
