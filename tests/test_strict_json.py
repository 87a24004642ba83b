"""JSON is read as the RFC defines it, whichever Python version runs."""

import pytest

from cmlutils import strict_json
from cmlutils.errors import ApiError
from cmlutils.reader import Reader


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity", "1e999", "-1e999", pytest.param("9" * 5000, id="9")])
def test_what_is_no_number_is_no_json(text):
    with pytest.raises(ValueError, match=r"not JSON|too large|too long"):
        strict_json.loads(f'{{"id": {text}}}')


def test_what_is_too_deep_is_no_json():
    with pytest.raises(ValueError, match="nested"):
        strict_json.loads("[" * 100_000)


def test_numbers_are_what_they_were():
    assert strict_json.loads('[1, -2.5, 1e3, "x", null, true]') == [1, -2.5, 1000.0, "x", None, True]


def test_an_environment_that_is_too_deep_is_named():
    with pytest.raises(ApiError, match="a job has no usable 'environment'"):
        Reader({"environment": "[" * 100_000}, "a job").environment()
