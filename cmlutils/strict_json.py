"""JSON as in RFC 8259: Python's reader also takes NaN and Infinity, and its versions differ in long numbers."""

from __future__ import annotations

import json
import math
from typing import Any

MAX_DIGITS = 4300  # of an integer, Python's own limit since 3.10.7: reading a longer one takes quadratic time


def loads(text: bytes | str) -> Any:
    """Parse JSON; raise ValueError if it is malformed, or too deep or too large to be read."""
    try:
        return json.loads(text, parse_constant=_no_number, parse_float=_finite, parse_int=_integer)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def _no_number(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


def _finite(text: str) -> float:
    """Return a number; refuse one that is too large and would become infinity."""
    number = float(text)
    if math.isinf(number):
        raise ValueError(f"{text[:20]} is too large")
    return number


def _integer(text: str) -> int:
    if len(text) > MAX_DIGITS:
        raise ValueError(f"{text[:20]}... is too long")
    return int(text)
