"""Read ini files: where they are looked for, and how one of their sections becomes a Section."""

from __future__ import annotations

import configparser
import difflib
import os
import shlex
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cmlutils import section_values as values_of
from cmlutils.errors import ConfigError
from cmlutils.plain_values import check_plain
from cmlutils.section import Oddity, Section, Workspace

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from cmlutils.section import Side

_FEW = 10  # the most sections that are named in a hint


def config_folders(config_dir: str | None, environ: Mapping[str, str]) -> list[Path]:
    """Return the folders that may hold ini files, best first; raise ConfigError for one that can't be used."""
    if config_dir:
        return [values_of.folder("--config-dir", config_dir)]
    named = environ.get("CMLUTILS_CONFIG_DIR")
    folders = [values_of.folder("CMLUTILS_CONFIG_DIR", named)] if named else []
    try:
        homes = [values_of.folder("the ini files' folder", each) for each in ("~/cmlutils", "~/.cmlutils")]
    except ConfigError:  # a service's user may have no home
        if not folders:
            raise
        homes = []
    return folders + homes


@dataclass(frozen=True)
class IniFile:
    """A parsed ini file: its path, its content, and what is odd about it."""

    side: Side
    path: Path
    parser: configparser.ConfigParser
    oddities: tuple[Oddity, ...]

    def names(self) -> list[str]:
        """Return the sections' names in the file's order."""
        return self.parser.sections()


def is_there(path: Path) -> bool:
    """Tell whether there is such a file of the configuration; raise ConfigError if one may not look."""
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        hint = f"Check the permissions of {path.parent}."
        raise ConfigError(f"{path} can't be read: {error.strerror}.", hint=hint) from error


def find_file(side: Side, folders: Sequence[Path]) -> tuple[Path, list[str]]:
    """Return the ini file of this side and warnings about others of its name.

    Raises ConfigError when no folder has it.
    """
    file_name = f"{side}-config.ini"
    found = [folder / file_name for folder in folders if is_there(folder / file_name)]
    if not found:
        places = ", ".join(str(folder) for folder in folders)
        raise ConfigError(
            f"There is no {file_name} in {places}.",
            hint="Run 'cmlutil init', write one with a section for each project, or name its folder with --config-dir.",
        )
    others = [other for other in found if not other.samefile(found[0])]
    return found[0], [f"{other} is ignored: {found[0]} was found first." for other in others]


def _not_where_named(path: Path, config_dir: str | None, environ: Mapping[str, str]) -> list[str]:
    """Warn when the file is taken from another folder than the environment names."""
    named = "" if config_dir else environ.get("CMLUTILS_CONFIG_DIR", "")
    if not named or path.parent == values_of.folder("CMLUTILS_CONFIG_DIR", named):
        return []
    return [f"CMLUTILS_CONFIG_DIR names {named}, which has no {path.name}: {path} is used."]


def read_file(side: Side, config_dir: str | None = None, environ: Mapping[str, str] = os.environ) -> IniFile:
    """Find and parse this side's ini file; raise ConfigError, naming the place, for a mistake."""
    path, warnings = find_file(side, config_folders(config_dir, environ))
    warnings += _not_where_named(path, config_dir, environ)
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read_string(path.read_text(encoding="utf-8-sig"), source=str(path))
    except OSError as error:
        raise ConfigError(f"{path} can't be read: {error.strerror}.", hint="Check its permissions.") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8 text (byte {error.start}).", hint="Save it as UTF-8.") from error
    except configparser.Error as error:
        raise _malformed(path, error) from error
    _check_default(path, parser)
    warnings += _odd_permissions(path, parser)
    return IniFile(side, path, parser, tuple(Oddity(path, text) for text in warnings))


def _malformed(path: Path, error: configparser.Error) -> ConfigError:
    """Return an error that says where an ini file is malformed, without quoting the line, as it may hold a key."""
    hint = "A file has [Project] lines, each followed by lines of the form key=value."
    once = "Keep only one of the two."
    if isinstance(error, configparser.DuplicateSectionError):
        return ConfigError(f"{path}, line {error.lineno}: section [{error.section}] appears twice.", hint=once)
    if isinstance(error, configparser.DuplicateOptionError):
        return ConfigError(
            f"{path}, line {error.lineno}: section [{error.section}] has the key {error.option} twice.",
            hint=once,
        )
    if isinstance(error, configparser.MissingSectionHeaderError):
        return ConfigError(f"{path}, line {error.lineno}: a key comes before the first [section].", hint=hint)
    lines = [number for number, _ in getattr(error, "errors", [])]
    where = f", line {lines[0]}" if lines else ""
    return ConfigError(f"{path}{where}: this line is neither [section] nor key=value.", hint=hint)


def _check_default(path: Path, parser: configparser.ConfigParser) -> None:
    """Refuse a [default] on which other sections seem to rely: only [DEFAULT] is shared."""
    for name in parser.sections():
        if name.strip().lower() == "default":
            own = [key for key in ("username", "url", "output_dir") if key in parser[name]]
            if any(key not in other for key in own for other in parser.values() if other.name != "DEFAULT"):
                raise ConfigError(
                    f"{path}: [{name}] is a project's section; what all sections share goes into [DEFAULT] (capitals).",
                    hint=f"Write [DEFAULT] in place of [{name}].",
                )


def _odd_permissions(path: Path, parser: configparser.ConfigParser) -> list[str]:
    """Warn about a file that holds a key and is readable by other users."""
    holds_key = any("apiv1_key" in values for values in parser.values())
    if holds_key and path.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH):
        return [f"{path} holds API keys, and other users can read it: run 'chmod 600 {shlex.quote(str(path))}'."]
    return []


def load(side: Side, name: str, config_dir: str | None = None, environ: Mapping[str, str] = os.environ) -> Section:
    """Return the section of this name from this side's ini file; raise ConfigError if it can't be used."""
    return section(read_file(side, config_dir, environ), name, environ)


def nearest(name: str, names: Iterable[str]) -> str:
    """Return which of these names was probably meant, ignoring case; empty if none is near."""
    folded = {one.casefold(): one for one in names}
    near = difflib.get_close_matches(name.casefold(), folded, n=1)
    return folded[near[0]] if near else ""


def _instead(name: str, names: Sequence[str]) -> str:
    """Return a hint: which section was probably meant, or which sections exist."""
    near = nearest(name, names)
    if near:
        return f"Did you mean [{near}]?"
    return "See 'cmlutil project list'." if len(names) > _FEW else f"Its sections: {', '.join(names) or 'none'}."


def section(ini: IniFile, name: str, environ: Mapping[str, str]) -> Section:
    """Return one section of a parsed file; raise ConfigError naming file, section and key."""
    if name not in ini.parser or name == ini.parser.default_section:
        raise ConfigError(f"{ini.path} has no section [{name}].", hint=_instead(name, ini.names()))
    values = values_of.with_own_key(dict(ini.parser[name]), ini.parser.defaults())
    where = f"{ini.path}, section [{name}]"
    check_plain(where, values)
    odd = values_of.unknown_keys(values)
    url = values_of.url(where, values_of.required(where, values, "url"))
    verify = values_of.verify(where, values)
    if verify is False:
        odd.append("skip_tls_verification accepts any certificate, so others may get at the key.")
    if url.startswith("http:"):
        odd.append("url is http: keys and files travel unencrypted.")
    owner = values.get("owner_username", "").strip()
    if owner and ini.side == "import":
        odd.append("owner_username has no effect here: on the target, a project belongs to its team or to username.")
    key, command = values_of.key(where, values, ini.side, environ)
    if command and ini.path.stat().st_mode & stat.S_IWOTH:
        raise ConfigError(
            f"{ini.path} names a command, and every user of this machine can change the file.",
            hint=f"Run 'chmod 600 {shlex.quote(str(ini.path))}' and check the command that it names.",
        )
    output_dir = values_of.output_dir(f"{where}: output_dir", values_of.required(where, values, "output_dir"))
    if not output_dir.is_absolute():
        odd.append("output_dir is relative: which folder it means depends on where cmlutil is started.")
    workspace = Workspace(
        url=url,
        username=values_of.required(where, values, "username"),
        api_key=key,
        key_command=command,
        verify=verify,
        identity_file=values_of.identity(where, values.get("identity_file", "")),
    )
    return Section(
        side=ini.side,
        name=name,
        workspace=workspace,
        owner=owner,
        output_dir=output_dir,
        file=ini.path,
        oddities=(*ini.oddities, *(Oddity(ini.path, text, in_section=True) for text in odd)),
    )
