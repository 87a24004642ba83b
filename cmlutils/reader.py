"""Typed access to JSON from outside: a missing or odd field is an error that names the thing."""

from __future__ import annotations

import contextlib
import json
import re
from typing import TYPE_CHECKING, Any

from cmlutils import strict_json
from cmlutils.errors import ApiError

if TYPE_CHECKING:
    from cmlutils.errors import CmlutilError

MARK = "(left out of the bundle)"  # stands in a bundle for an environment value that its export left out
_HUGE = 1 << 63


class Reader:
    """Typed access to one JSON object; a missing or odd field is an error that names the workload."""

    def __init__(self, data: object, what: str, error: type[CmlutilError] = ApiError) -> None:
        if not isinstance(data, dict):
            raise error(f"{what} is not a JSON object.")
        self.data: dict[str, Any] = data
        self.what = what
        self.error = error

    @classmethod
    def of(cls, kind: str, reply: object) -> Reader:
        """Read what a workspace says of one thing of a kind (such as "Job"); errors will say which by its name."""
        found = cls(reply, f"A {kind.lower()}" if kind[0] not in "AEIOU" else f"An {kind.lower()}")
        found.what = f"{kind} {found.required_text('name')[:80]!r}"
        return found

    def named(self) -> Reader:
        """Return the reader itself; from here on, its errors also give the thing's name."""
        self.what += f" {self.required_text('name')[:80]!r}"
        return self

    def _unusable(self, key: str) -> CmlutilError:
        return self.error(f"{self.what} has no usable {key!r}.")

    def text(self, key: str, default: str = "") -> str:
        """Return a text; an absent one is the default."""
        return default if self.data.get(key) is None else self.required_text(key)

    def required_text(self, key: str) -> str:
        """Return a text that must be there."""
        value = self.data.get(key)
        if not isinstance(value, str):
            raise self._unusable(key)
        return value

    def number(self, key: str, default: float = 0) -> float:
        """Return a finite number; a text of digits counts as one, a boolean does not."""
        value = self.data.get(key)
        if value is None or value == "":
            return default
        if isinstance(value, str):
            with contextlib.suppress(ValueError):
                value = int(value) if re.fullmatch(r"-?[0-9]{1,18}", value) else float(value)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) < _HUGE:
            raise self._unusable(key)
        return value

    def whole(self, key: str, default: int = 0) -> int:
        """Return a whole number; 7.0 is one, and 7.5 is an error rather than 7."""
        value = self.number(key, default)
        if value != int(value):
            raise self._unusable(key)
        return int(value)

    def flag(self, key: str, *, default: bool = False) -> bool:
        """Return a boolean; 0, 1 and the texts `true` and `false` count as one."""
        value = self.data.get(key)
        if value is None:
            return default
        known = {"true": True, "false": False, "1": True, "0": False}.get(str(value).lower())
        if known is None:  # also for 1.0, as its text is `1.0`
            raise self._unusable(key)
        return known

    def inner(self, key: str) -> Reader:
        """Return a reader of an object inside this one; an absent object reads as empty."""
        return Reader(self.data.get(key) or {}, f"{self.what}, {key}", self.error)

    def environment(self) -> dict[str, str]:
        """Return the environment, whether it is an object or a JSON text of one; a variable without value is empty.

        A variable whose value was left out does not exist.
        """
        value = self.data.get("environment") or {}
        if isinstance(value, str):
            try:
                value = strict_json.loads(value)
            except ValueError:
                value = None
        simple = (str, int, float, type(None))
        if not isinstance(value, dict) or not all(isinstance(one, simple) for one in value.values()):
            raise self._unusable("environment")
        found = {
            str(name): one if isinstance(one, str) else "" if one is None else json.dumps(one)
            for name, one in value.items()
        }
        return {name: one for name, one in found.items() if one != MARK}

    def items(self, key: str) -> tuple[Any, ...]:
        """Return a list; a single text counts as one item, an empty one as none."""
        value = self.data.get(key) or ()
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        if not isinstance(value, (list, tuple)):
            raise self._unusable(key)
        return tuple(value)

    def texts(self, key: str) -> tuple[str, ...]:
        """Return a list of texts."""
        found = self.items(key)
        if not all(isinstance(one, str) for one in found):
            raise self._unusable(key)
        return found
