import pytest

from cmlutils.errors import CheckFailed, ConfigError
from cmlutils.flows.map_engines import map_engines
from cmlutils.runtimes import Maps, Runtime, load_maps, nearest, rsync_runtime


def runtime(kernel="Python 3.9", editor="Workbench", edition="Standard", short="2023.05", full="2023.05.2-b7", **more):
    image = more.pop("image", f"reg/{kernel}-{editor}-{edition}:{full}".lower().replace(" ", ""))
    return Runtime(image, kernel, editor, edition, short, full, **more)


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


def test_another_kernel_is_never_taken():
    assert nearest(runtime(), [runtime(kernel="R 4.1"), runtime(kernel="Python 3.10")]) is None


def test_a_tuple_equal_under_another_image_is_noted():
    match = nearest(runtime(image="docker.io/x"), [runtime(image="mirror/x", id=3)])
    assert match.runtime.id == 3
    assert "mirror/x" in match.note
    assert not match.fallback


def test_a_disabled_one_is_the_last_choice():
    off = runtime(short="2024.01", full="2024.01.1", id=1, enabled=False)
    on = runtime(short="2023.08", full="2023.08.1", id=2)
    assert nearest(runtime(), [off, on]).runtime.id == 2


def test_rsync_runtime_needs_the_word_in_its_edition():
    assert rsync_runtime([runtime()]) is None
    assert (
        rsync_runtime([runtime(kernel="R 4.1", edition="rsync", id=1), runtime(edition="Standard-Rsync", id=2)]).id == 2
    )


def test_engines_are_mapped_by_image_name():
    maps = Maps({}, {"python3": "docker/cdsw/ml-runtime-workbench-python3.9-standard:1", "default": "x/other:2"})
    there = [runtime(image="mirror/ml-runtime-workbench-python3.9-standard:2", id=4)]
    assert maps.find(None, "python3", there).runtime.id == 4
    assert maps.find(None, "r", there) is None


def test_the_users_map_overrides():
    maps = Maps({"a:1": "b:2"}, {})
    assert maps.find(runtime(image="a:1"), "", [runtime(image="b:2", id=5)]).runtime.id == 5
    assert maps.find(runtime(image="a:1"), "", [runtime(image="c:2", id=5)]) is None


def test_maps_are_read_from_the_first_folder_that_has_them(tmp_path):
    (tmp_path / "runtime-map.yaml").write_text("a: b\n")
    (tmp_path / "engine-map.yaml").write_text("{}\n")
    maps = load_maps([tmp_path])
    assert maps.images == {"a": "b"}
    assert maps.engines == {}
    assert load_maps([tmp_path / "none"]).engines["python3"]


@pytest.mark.parametrize("text", ["- a\n", "a: [b]\n", "a: : b\n"])
def test_a_map_that_is_none_is_told_by_name(tmp_path, text):
    (tmp_path / "runtime-map.yaml").write_text(text)
    with pytest.raises(ConfigError, match=r"runtime-map\.yaml"):
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
    assert maps.named(None, "scala") == "the engine map names x:1"
    assert Maps({}, {}).named(None, "r") == ""
