"""Addresses of workspaces, which people spell in several ways."""

from __future__ import annotations

from urllib.parse import urlsplit


def same_workspace(one: str, other: str) -> bool:
    """Tell whether two addresses lead to the same workspace; https and http may."""
    return _place(one) == _place(other)


def _place(url: str) -> tuple[str | None, int | None, str]:
    parts = urlsplit(url)
    return parts.hostname, parts.port, parts.path.rstrip("/")
