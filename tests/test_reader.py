"""What is read as a number, a boolean, a text or an environment, and what is refused."""

import pytest

from cmlutils.errors import ApiError
from cmlutils.reader import MARK, Reader


def read(value):
    return Reader({"x": value}, "A job")


@pytest.mark.parametrize(
    ("value", "number"), [(7, 7), (7.5, 7.5), ("7", 7), ("-7", -7), ("0.5", 0.5), (None, 3), ("", 3), (0, 0)]
)
def test_a_number(value, number):
    assert read(value).number("x", 3) == number


@pytest.mark.parametrize(
    "value", [True, "x", "nan", "inf", float("nan"), float("inf"), 1 << 63, -(1 << 63), [], {}, "9" * 30]
)
def test_what_is_no_number(value):
    with pytest.raises(ApiError, match="A job has no usable 'x'"):
        read(value).number("x")


@pytest.mark.parametrize(
    ("value", "number"), [(7, 7), (7.0, 7), ("7", 7), (None, 0), ("9007199254740993", 9007199254740993)]
)
def test_a_whole_number(value, number):
    assert read(value).whole("x") == number
    assert type(read(value).whole("x")) is int


@pytest.mark.parametrize("value", [7.5, "7.5", True, "x"])
def test_what_is_no_whole_number(value):
    with pytest.raises(ApiError, match="no usable"):
        read(value).whole("x")


@pytest.mark.parametrize(
    ("value", "flag"),
    [(True, True), (False, False), ("true", True), ("False", False), (1, True), (0, False), ("0", False)],
)
def test_a_boolean(value, flag):
    assert read(value).flag("x", default=not flag) is flag
    assert read(None).flag("x", default=flag) is flag


@pytest.mark.parametrize("value", ["yes", 2, 1.0, "", [], {}])
def test_what_is_no_boolean(value):
    with pytest.raises(ApiError, match="no usable"):
        read(value).flag("x")


def test_texts_are_texts():
    assert read(["a", "b"]).texts("x") == read("a, b").texts("x") == ("a", "b")
    with pytest.raises(ApiError, match="no usable"):
        read(["a", 1]).texts("x")


def environment(value):
    return Reader({"environment": value}, "A job").environment()


def test_an_environment_holds_texts_and_not_what_was_left_out():
    assert environment({"A": "1", "B": 2, "C": True, "D": MARK}) == {"A": "1", "B": "2", "C": "true"}
    assert environment('{"A": "1", "B": null}') == {"A": "1", "B": ""}
    for value in ({"A": {}}, "x", [1], 7):
        with pytest.raises(ApiError, match="environment"):
            environment(value)


def test_a_name_without_end_is_not_repeated_as_a_whole():
    with pytest.raises(ApiError) as caught:
        Reader.of("Job", {"name": "x" * 70_000, "cpu": []}).number("cpu")
    assert str(caught.value) == f"Job '{'x' * 80}' has no usable 'cpu'."
