"""Spoils one part of a JSON value."""

import json

JUNK = (
    None, True, False, 0, -1, 7.5, 10**30, 1e308, float("nan"), float("inf"), "", "x", "7", "\ud800", "a\x1b[31m\nb",
    "../../x", "\x00", [], {}, [None], [[]], {"id": None}, {"id": {"id": []}}, "y" * 70_000,
)  # fmt: skip


def places(value, at=()):
    """Yield the path (a tuple of keys) of each part of a value, beginning with that of the whole value."""
    yield at
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, one in inner:
        yield from places(one, (*at, key))


def spoilt(value, chance):
    """Return a copy of a value in which one part is removed, doubled or replaced; and a text of what was done."""
    value = json.loads(json.dumps(value))
    way = chance.choice(list(places(value)))
    if not way:
        junk = chance.choice(JUNK)
        return junk, f"all := {junk!r:.60}"
    holder = value
    for key in way[:-1]:
        holder = holder[key]
    deed = chance.randrange(6)
    if deed == 0:
        del holder[way[-1]]
        return value, f"{way} is gone"
    if deed == 1 and isinstance(holder, list):
        holder.append(holder[way[-1]])
        return value, f"{way} is there twice"
    holder[way[-1]] = junk = chance.choice(JUNK)
    return value, f"{way} := {junk!r:.60}"
