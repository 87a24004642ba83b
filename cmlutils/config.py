"""Ini file and section name to a Section: who migrates, from or to where, and where bundles live."""

from __future__ import annotations

import configparser
import difflib
import os
import shlex
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

from cmlutils.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Side = Literal["export", "import"]

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
KEY_VARIABLES: dict[Side, str] = {
    "export": "CMLUTILS_SOURCE_APIV1_KEY",
    "import": "CMLUTILS_TARGET_APIV1_KEY",
}
_TRUE, _FALSE = {"1", "yes", "true", "on"}, {"0", "no", "false", "off", ""}


class Secret:
    """A text that prints as ***; `reveal()` gives it to the one place that sends it."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """Return the text itself."""
        return self._text

    def __bool__(self) -> bool:
        return bool(self._text)

    def __repr__(self) -> str:
        return "***"

    __str__ = __repr__


@dataclass(frozen=True)
class Workspace:
    """Who we are and where: all that is needed to talk to one workspace.

    `verify` is exactly what requests takes; `key_command` is run when there is no `api_key` in the file.
    """

    url: str
    username: str
    api_key: Secret
    key_command: tuple[str, ...] = ()
    verify: bool | str = True
    identity_file: Path | None = None

    @property
    def host(self) -> str:
        """The name that messages use for this workspace."""
        return urlsplit(self.url).netloc


@dataclass(frozen=True)
class Section:
    """One project of an ini file; `owner` is empty when the file names none."""

    side: Side
    name: str
    workspace: Workspace
    owner: str
    output_dir: Path
    file: Path
    warnings: tuple[str, ...] = field(default=())


def config_folders(config_dir: str | None, environ: Mapping[str, str]) -> list[Path]:
    """Return the folders that may hold ini files, first choice first."""
    if config_dir:
        return [Path(config_dir).expanduser()]
    named = [Path(environ["CMLUTILS_CONFIG_DIR"]).expanduser()] if environ.get("CMLUTILS_CONFIG_DIR") else []
    return [*named, Path("~/cmlutils").expanduser(), Path("~/.cmlutils").expanduser()]


@dataclass(frozen=True)
class IniFile:
    """A parsed ini file: where it is, what it holds, and what is odd about it."""

    side: Side
    path: Path
    parser: configparser.ConfigParser
    warnings: tuple[str, ...]

    def names(self) -> list[str]:
        """Return the sections' names in the file's order."""
        return self.parser.sections()


def find_file(side: Side, folders: Iterable[Path]) -> tuple[Path, list[str]]:
    """Return the ini file of this side and warnings about others of its name.

    Raises ConfigError when no folder has it.
    """
    file_name = f"{side}-config.ini"
    folders = list(folders)
    found = [folder / file_name for folder in folders if (folder / file_name).is_file()]
    if not found:
        places = ", ".join(str(folder) for folder in folders)
        raise ConfigError(
            f"There is no {file_name} in {places}.",
            hint="Run 'cmlutil init', write one with a section for each project, or name its folder with --config-dir.",
        )
    warnings = [f"{other} is ignored: {found[0]} was found first." for other in found[1:]]
    return found[0], warnings


def read_file(side: Side, config_dir: str | None = None, environ: Mapping[str, str] | None = None) -> IniFile:
    """Find and parse this side's ini file; raise ConfigError with the place of the mistake."""
    path, warnings = find_file(side, config_folders(config_dir, os.environ if environ is None else environ))
    parser = configparser.ConfigParser(interpolation=None, strict=True, default_section="DEFAULT")
    try:
        parser.read_string(path.read_text(encoding="utf-8-sig"), source=str(path))
    except OSError as error:
        raise ConfigError(f"{path} can't be read: {error.strerror}.", hint="Check its permissions.") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8 text (byte {error.start}).", hint="Save it as UTF-8.") from error
    except configparser.Error as error:
        raise _malformed(path, error) from error
    warnings += _odd_permissions(path, parser)
    return IniFile(side, path, parser, tuple(warnings))


def _malformed(path: Path, error: configparser.Error) -> ConfigError:
    """Say where an ini file breaks its form, without quoting the line: it may hold a key."""
    hint = "A file has [Project] lines, each followed by lines of the form key=value."
    if isinstance(error, configparser.DuplicateSectionError):
        return ConfigError(f"{path}, line {error.lineno}: section [{error.section}] is there twice.", hint=hint)
    if isinstance(error, configparser.DuplicateOptionError):
        return ConfigError(
            f"{path}, line {error.lineno}: section [{error.section}] has the key {error.option} twice.",
            hint=hint,
        )
    if isinstance(error, configparser.MissingSectionHeaderError):
        return ConfigError(f"{path}, line {error.lineno}: a key stands before the first [section].", hint=hint)
    lines = [number for number, _ in getattr(error, "errors", [])]
    where = f", line {lines[0]}" if lines else ""
    return ConfigError(f"{path}{where}: this line is neither [section] nor key=value.", hint=hint)


def _odd_permissions(path: Path, parser: configparser.ConfigParser) -> list[str]:
    """Warn about a file that holds a key and that others may read."""
    holds_key = any("apiv1_key" in values for values in parser.values())
    if holds_key and path.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH):
        return [f"{path} holds API keys and others may read it: run 'chmod 600 {shlex.quote(str(path))}'."]
    return []


def load(side: Side, name: str, config_dir: str | None = None, environ: Mapping[str, str] | None = None) -> Section:
    """Return the section of this name from this side's ini file; raise ConfigError if it is unfit."""
    environ = os.environ if environ is None else environ
    return section(read_file(side, config_dir, environ), name, environ)


def section(ini: IniFile, name: str, environ: Mapping[str, str]) -> Section:
    """Return one section of a parsed file; raise ConfigError naming file, section and key."""
    if name not in ini.parser or name == ini.parser.default_section:
        near = difflib.get_close_matches(name, ini.names(), n=1)
        hint = f"Did you mean [{near[0]}]?" if near else f"Its sections: {', '.join(ini.names()) or 'none'}."
        raise ConfigError(f"{ini.path} has no section [{name}].", hint=hint)
    values = dict(ini.parser[name])
    where = f"{ini.path}, section [{name}]"
    _printable(where, values)
    warnings = [*ini.warnings, *_unknown_keys(where, values)]
    url = _url(where, _required(where, values, "url"))
    verify = _verify(where, values)
    if verify is False:
        warnings.append(f"{where}: skip_tls_verification accepts any certificate: anybody in between can read the key.")
    if url.startswith("http:"):
        warnings.append(f"{where}: url is http: keys and files travel unencrypted.")
    key, command = _key(where, values, ini.side, environ)
    if command and ini.path.stat().st_mode & stat.S_IWOTH:
        raise ConfigError(
            f"{ini.path} names a command, and every user of this machine may change it.",
            hint=f"Run 'chmod 600 {shlex.quote(str(ini.path))}' and look what it says.",
        )
    workspace = Workspace(
        url=url,
        username=_required(where, values, "username"),
        api_key=key,
        key_command=command,
        verify=verify,
        identity_file=_identity(where, values.get("identity_file", "")),
    )
    return Section(
        side=ini.side,
        name=name,
        workspace=workspace,
        owner=values.get("owner_username", "").strip(),
        output_dir=Path(os.path.expandvars(_required(where, values, "output_dir"))).expanduser(),
        file=ini.path,
        warnings=tuple(warnings),
    )


def _printable(where: str, values: Mapping[str, str]) -> None:
    for key in KEYS:
        if any(ord(letter) < 32 or ord(letter) == 127 for letter in values.get(key, "")):
            raise ConfigError(f"{where}: {key} holds a line break or control character.", hint="Write it on one line.")


def _required(where: str, values: Mapping[str, str], key: str) -> str:
    value = values.get(key, "").strip()
    if not value:
        raise ConfigError(f"{where}: the key {key} is missing.", hint=f"Add {key}=… ({KEYS[key]}).")
    return value


def _unknown_keys(where: str, values: Mapping[str, str]) -> list[str]:
    warnings = []
    for key in values:
        if key not in KEYS:
            near = difflib.get_close_matches(key, KEYS, n=1)
            meant = f"; did you mean {near[0]}?" if near else "."
            warnings.append(f"{where}: the key {key} is unknown{meant}")
    return warnings


def _url(where: str, text: str) -> str:
    """Return the address without a trailing slash."""
    try:
        parts = urlsplit(text)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        usable = False
    if not usable or any(ord(letter) <= 32 for letter in text):
        quoted = "" if "@" in text else f": {text!r}"  # there may be a password before it
        raise ConfigError(
            f"{where}: url is not an http or https address{quoted}.",
            hint="Write it as https://ml.example.com.",
        )
    if parts.username or parts.password:
        raise ConfigError(f"{where}: url holds a user name or password.", hint="Use username and apiv1_key.")
    return f"{parts.scheme}://{parts.netloc}{parts.path}".rstrip("/")


def _verify(where: str, values: Mapping[str, str]) -> bool | str:
    skip = values.get("skip_tls_verification", "").strip().lower()
    if skip not in _TRUE | _FALSE:
        raise ConfigError(f"{where}: skip_tls_verification is neither true nor false.", hint="Write true or false.")
    if skip in _TRUE:
        return False
    ca_path = values.get("ca_path", "").strip()
    if not ca_path:
        return True
    path = Path(os.path.expandvars(ca_path)).expanduser().absolute()
    if not path.is_file():
        raise ConfigError(f"{where}: ca_path names no file: {path}.", hint="Name a file of CA certificates (PEM).")
    return str(path)


def _key(
    where: str, values: Mapping[str, str], side: Side, environ: Mapping[str, str]
) -> tuple[Secret, tuple[str, ...]]:
    """Return the legacy key, or the command that prints it; the file's key wins over the environment's."""
    text = values.get("apiv1_key", "").strip()
    command = values.get("apiv1_key_command", "").strip()
    if not text and not command:
        text = environ.get(KEY_VARIABLES[side], "").strip()
    if not text and not command:
        raise ConfigError(
            f"{where}: the key apiv1_key is missing.",
            hint=f"Add apiv1_key=… or apiv1_key_command=…, or set {KEY_VARIABLES[side]}.",
        )
    if text and any(not 32 < ord(letter) < 127 for letter in text):
        raise ConfigError(f"{where}: apiv1_key has a character that no key has.", hint="Copy it again.")
    try:
        return Secret(text), () if text else tuple(shlex.split(command))
    except ValueError as error:
        raise ConfigError(f"{where}: apiv1_key_command has an open quote.", hint="Close it.") from error


def _identity(where: str, text: str) -> Path | None:
    if not text.strip():
        return None
    path = Path(os.path.expandvars(text.strip())).expanduser().absolute()
    if not path.is_file():
        raise ConfigError(f"{where}: identity_file names no file: {path}.", hint="Name the ssh private key.")
    return path
