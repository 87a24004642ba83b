"""Counts, sizes and times as texts."""

from __future__ import annotations

from datetime import datetime, timezone


def counted(number: int, what: str) -> str:
    """Return a number with what it counts, in the plural unless it is 1."""
    return f"{number} {what}{'' if number == 1 else 's'}"


def human_size(count: int) -> str:
    """Return a number of bytes in the unit that makes it short."""
    size = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"


def utc_time(seconds: float) -> str:
    """Return a time, in seconds since the epoch, in UTC and to the second, in ISO 8601 format."""
    return datetime.fromtimestamp(seconds, timezone.utc).isoformat(timespec="seconds")


def human_time(seconds: float) -> str:
    """Return a number of seconds in the unit that a person would use."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"
