"""Addresses of workspaces, which can be spelled in several ways."""

from __future__ import annotations

from urllib.parse import urlsplit

_DEFAULT_PORTS = {"http": 80, "https": 443}


def same_workspace(one: str, other: str) -> bool:
    """Tell whether two addresses lead to the same workspace; one may be https and the other http."""
    return workspace_at(one) == workspace_at(other)


def workspace_at(url: str) -> str:
    """Return an address in a form that is the same for all its spellings, with https or http."""
    parts = urlsplit(url)
    port = "" if parts.port in {None, _DEFAULT_PORTS.get(parts.scheme)} else f":{parts.port}"
    return f"{parts.hostname}{port}{parts.path.rstrip('/')}"
