"""The values of a section's keys. Each function checks one value; ConfigError names file, section and key."""

from __future__ import annotations

import difflib
import os
import re
import shlex
import stat
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from cmlutils.errors import ConfigError
from cmlutils.section import KEY_VARIABLES, Secret

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cmlutils.section import Side

KEYS = {
    "username": "who migrates",
    "url": "the workspace's address, http or https",
    "apiv1_key": "the legacy API key",
    "apiv1_key_command": "a command whose first output line is the legacy API key",
    "output_dir": "the folder where bundles live",
    "ca_path": "a CA bundle for the workspace's certificate",
    "skip_tls_verification": "true: accept any certificate",
    "identity_file": "the ssh private key to use",
    "owner_username": "the project's owner, when it is not username (user or team)",
}
_KEY_LENGTH = 32  # characters of a legacy API key; newer ones are longer
_TRUE, _FALSE = {"1", "yes", "true", "on"}, {"0", "no", "false", "off", ""}


def required(where: str, values: Mapping[str, str], key: str) -> str:
    """Return a value that has to be there."""
    value = values.get(key, "").strip()
    if not value:
        hint = f"Add {key}=… ({KEYS[key]}).{meant(values, key)}"
        raise ConfigError(f"{where}: the key {key} is missing.", hint=hint)
    return value


def meant(values: Mapping[str, str], key: str) -> str:
    """Return a hint if an unknown key looks like this one mistyped."""
    near = difflib.get_close_matches(key, [each for each in values if each not in KEYS], n=1)
    return f" Or is {near[0]} a typo for it?" if near else ""


def unknown_keys(values: Mapping[str, str]) -> list[str]:
    """Return a warning for each unknown key, with the nearest known one."""
    warnings = []
    for key in values:
        if key not in KEYS:
            near = difflib.get_close_matches(key, KEYS, n=1)
            meant = f"; did you mean {near[0]}?" if near else "."
            warnings.append(f"the key {key} is unknown{meant}")
    return warnings


def path(where: str, text: str) -> Path:
    """Return a path with its ~ and variables replaced; raise ConfigError if ~ can't be replaced."""
    try:
        return Path(os.path.expandvars(text.strip())).expanduser()
    except RuntimeError as error:
        hint = "Write the path in full, or set HOME."
        raise ConfigError(f"{where}: there is no home folder for {text.strip()!r}.", hint=hint) from error


def in_full(text: str) -> str:
    """Return a path as an ini file should have it: a relative one made absolute, any other as it was written."""
    expanded = os.path.expandvars(text.strip())
    if not expanded or expanded[0] == "~" or Path(expanded).is_absolute():
        return text
    return str(Path(text.strip()).absolute())


def folder(where: str, text: str) -> Path:
    """Return the path of a folder that exists or can be created."""
    place = path(where, text)
    _status(where, place, "Name another folder.")
    return place


def output_dir(where: str, text: str) -> Path:
    """Return the folder for bundles, which exists or can be created."""
    place = folder(where, text)
    if os.path.lexists(place) and not place.is_dir():
        raise ConfigError(f"{where} is not a folder: {place}.", hint="Name a folder, existing or new.")
    if place.is_dir() and not os.access(place, os.X_OK):
        raise ConfigError(f"{where} can't be used: {place}: Permission denied.", hint="Name another folder.")
    return place


def _file(where: str, text: str, hint: str) -> Path:
    place = path(where, text).absolute()
    status = _status(where, place, hint)
    if status is None or not stat.S_ISREG(status.st_mode):
        raise ConfigError(f"{where} names no file: {place}.", hint=hint)
    return place


def _status(where: str, place: Path, hint: str) -> os.stat_result | None:
    """Return the status of what exists at a path, None for nothing; raise ConfigError for an impossible path."""
    try:
        return place.stat()
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is not a path"
        raise ConfigError(f"{where} can't be used: {place}: {reason}.", hint=hint) from error


def url(where: str, text: str) -> str:
    """Return the address without a trailing slash."""
    try:
        parts = urlsplit(text)
        usable = parts.scheme in {"http", "https"} and _is_host(parts.hostname or "")
        usable = usable and (parts.port is None or parts.port > 0)
    except ValueError:
        usable = False
    if not usable or any(ord(letter) <= 32 for letter in text):
        secret = "@" in text or (len(text) >= _KEY_LENGTH and text.replace(".", "").isalnum())  # a password, a key
        quoted = "" if secret else f": {text!r}"
        raise ConfigError(
            f"{where}: url is not an http or https address{quoted}.",
            hint="Write it as https://ml.example.com.",
        )
    if parts.username or parts.password:
        raise ConfigError(f"{where}: url contains a user name or password.", hint="Use username and apiv1_key.")
    return f"{parts.scheme}://{parts.netloc}{parts.path}".rstrip("/")


def verify(where: str, values: Mapping[str, str]) -> bool | str:
    """Return what requests takes as `verify`: the path of a CA bundle, or whether to verify at all."""
    skip = values.get("skip_tls_verification", "").strip().lower()
    if skip not in _TRUE | _FALSE:
        raise ConfigError(f"{where}: skip_tls_verification is neither true nor false.", hint="Write true or false.")
    if skip in _TRUE:
        return False
    ca_path = values.get("ca_path", "").strip()
    if not ca_path:
        return True
    hint = "Name a file of CA certificates (PEM)."
    place = _file(f"{where}: ca_path", ca_path, hint)
    try:
        status = place.stat()
        _load_certificates(place, status.st_mtime_ns, status.st_size)
    except PermissionError as error:
        raise ConfigError(f"{where}: ca_path can't be read: {place}: {error.strerror}.", hint=hint) from error
    except (OSError, ValueError) as error:
        raise ConfigError(f"{where}: ca_path holds no certificate that can be read: {place}.", hint=hint) from error
    return str(place)


@lru_cache
def _load_certificates(place: Path, _changed: int, _size: int) -> None:
    """Load a file of certificates, once for all sections, as the system's file takes longer than all else."""
    import ssl

    ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(place)


def _is_host(name: str) -> bool:
    """Tell whether this may be a host name or address; raise ValueError for labels that no name may have."""
    if ":" in name:
        return True  # urlsplit has checked it
    name.removesuffix(".").encode("idna")
    return bool(re.fullmatch(r"[\w.-]+", name))


def could_be_key(text: str) -> bool:
    """Tell whether a text consists of characters that a key may have."""
    return all(32 < ord(letter) < 127 for letter in text)


def with_own_key(values: Mapping[str, str], shared: Mapping[str, str]) -> dict[str, str]:
    """Return a section's values without a shared key or key command if the section has one of its own."""
    kinds = [each for each in ("apiv1_key", "apiv1_key_command") if values.get(each)]
    own = [each for each in kinds if values[each] != shared.get(each)]
    return {each: text for each, text in values.items() if each not in kinds or each in (own or kinds)}


def key(
    where: str, values: Mapping[str, str], side: Side, environ: Mapping[str, str]
) -> tuple[Secret, tuple[str, ...]]:
    """Return the legacy key and the command that prints it; a key in the file overrides the environment's."""
    text = values.get("apiv1_key", "").strip()
    command = values.get("apiv1_key_command", "").strip()
    if not text and not command:
        text = environ.get(KEY_VARIABLES[side], "").strip()
    if not text and not command:
        hint = f"Add apiv1_key=… or apiv1_key_command=…, or set {KEY_VARIABLES[side]}."
        raise ConfigError(f"{where}: the key apiv1_key is missing.", hint=hint + meant(values, "apiv1_key"))
    if text and not could_be_key(text):
        raise ConfigError(f"{where}: apiv1_key contains a character that no API key has.", hint="Copy it again.")
    try:
        return Secret(text), () if text else tuple(shlex.split(command))
    except ValueError as error:
        raise ConfigError(f"{where}: apiv1_key_command has an open quote.", hint="Close it.") from error


def identity(where: str, text: str) -> Path | None:
    """Return the private key to use, if one is named."""
    if not text.strip():
        return None
    return _file(f"{where}: identity_file", text, "Name the ssh private key.")
