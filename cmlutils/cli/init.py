"""`cmlutil init`: asks for the two workspaces and writes the two ini files."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from cmlutils import config
from cmlutils.bundle import write_bytes
from cmlutils.cli.options import config_dir_option
from cmlutils.errors import BundleError, ConfigError
from cmlutils.inifile import can_be_section, ini_text
from cmlutils.log import mask

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from cmlutils.config import Section, Side
    from cmlutils.flows.list_projects import Listed

_WORDS: dict[Side, str] = {"export": "source", "import": "target"}


@dataclass(frozen=True)
class Answers:
    """What the options say; what they don't say is asked for, where somebody can answer."""

    options: dict[str, str | None]
    asks: bool

    def get(self, side: Side, key: str, question: str, *, default: str | None = None) -> str:
        """Return one answer, empty where neither an option nor a person gives one; raise UsageError if it must be."""
        word = _WORDS[side]
        given = self.options.get(f"{word}_{key}")
        if given is not None:
            return given.strip()
        if self.asks:
            return str(click.prompt(f"{word.capitalize()}: {question}", default=default, err=True)).strip()
        if default is None:
            raise click.UsageError(f"Without a terminal to ask on, --{word}-{key.replace('_', '-')} is needed.")
        return default


def _side_options(word: str) -> Callable[[Any], Any]:
    """Return the options that describe one workspace; there is none for a key, which others could read there."""

    def add(command: Any) -> Any:
        for name, metavar, text in (
            ("ca-path", "FILE", "CA bundle for its certificate."),
            ("key-command", "COMMAND", "A command whose first output line is the legacy API key."),
            ("username", "NAME", "Who migrates."),
            ("url", "URL", f"Address of the {word} workspace."),
        ):
            command = click.option(f"--{word}-{name}", metavar=metavar, help=text)(command)
        return command

    return add


@click.command()
@_side_options("source")
@_side_options("target")
@click.option("--output-dir", metavar="FOLDER", help="Where bundles will live.  [default: ~/migration]")
@click.option("--project", "projects", metavar="NAME", multiple=True, help="Only this project; may be repeated.")
@click.option("--all", "everything", is_flag=True, help="All your projects and those of your teams.")
@click.option("--force", is_flag=True, help="Replace ini files that are there; the old ones are kept as *.old.")
@config_dir_option
def init(
    *,
    output_dir: str | None,
    projects: tuple[str, ...],
    everything: bool,
    force: bool,
    config_dir: str | None,
    **options: str | None,
) -> None:
    """Write both ini files, with a section for each project that you choose.

    What no option says is asked for. An API key is asked for without showing it; or it comes from a command, or from
    CMLUTILS_SOURCE_APIV1_KEY and CMLUTILS_TARGET_APIV1_KEY, and then the files hold no key. Without the target's
    address only export-config.ini is written.

    \b
    Example:
      cmlutil init
      cmlutil init --source-url https://cdsw.example.com --source-username alice \\
        --source-key-command 'pass cdsw' --all
    """
    answers = Answers(options, asks=sys.stdin.isatty())
    folder = config.config_folders(config_dir, os.environ)[0].absolute()
    files: dict[Side, Path] = {side: folder / f"{side}-config.ini" for side in _WORDS}
    if not (answers.asks or everything or projects):
        raise click.UsageError("Without a terminal to ask on, --all or --project is needed.")
    _may_replace(files["export"], answers, force=force)
    output = output_dir or (_ask_output_dir() if answers.asks else "~/migration")
    source, chosen = _source(answers, files["export"], output, projects, everything=everything)
    texts: dict[Side, str] = {"export": ini_text(source, [(one.name, {"owner_username": one.owner}) for one in chosen])}
    target = _target(answers, files["import"], output, source["username"], force=force)
    if target:
        texts["import"] = ini_text(target, [(one.name, {}) for one in chosen])
    for side, text in texts.items():
        _write(files[side], text)
        click.echo(f"{files[side]}: {len(chosen)} projects")
    click.echo("Next: cmlutil doctor")


def _ask_output_dir() -> str:
    return str(click.prompt("Folder for the bundles", default="~/migration", err=True))


def _source(
    answers: Answers, file: Path, output_dir: str, projects: Sequence[str], *, everything: bool
) -> tuple[dict[str, str], list[Listed]]:
    """Return what the sections of the export share, and the projects chosen."""
    from cmlutils.flows.list_projects import list_projects, named_projects

    values, section = _workspace(answers, "export", file, output_dir, answers.get("export", "url", "address"))
    if projects:
        return values, _writable(named_projects(section, projects))
    found = _writable(list_projects(section))
    if not found:
        raise ConfigError(
            f"{section.workspace.host} has no project of {values['username']}, nor of a team of theirs.",
            hint="Name a project that somebody else owns with --project.",
        )
    return values, found if everything else _choose(found)


def _target(answers: Answers, file: Path, output_dir: str, username: str, *, force: bool) -> dict[str, str]:
    """Return what the sections of the import share; nothing when there is no target yet."""
    from cmlutils.flows.list_projects import check_user

    url = answers.get("import", "url", "address (empty: write only the export's file)", default="")
    if not url:
        return {}
    _may_replace(file, answers, force=force)
    values, section = _workspace(answers, "import", file, output_dir, url, username=username)
    check_user(section)
    return values


def _workspace(
    answers: Answers, side: Side, file: Path, output_dir: str, url: str, *, username: str | None = None
) -> tuple[dict[str, str], Section]:
    """Return one workspace as [DEFAULT] will have it, and ready to be asked."""
    from cmlutils.flows.list_projects import key_from, shared_section

    command = (answers.options.get(f"{_WORDS[side]}_key_command") or "").strip()
    values = {
        "url": url,
        "username": answers.get(side, "username", "user name", default=username),
        "ca_path": answers.get(side, "ca_path", "file of its certificate authority (empty: the system's)", default=""),
        "output_dir": output_dir,
    }
    if command:
        key = key_from(command)
    else:
        key = "" if os.environ.get(config.KEY_VARIABLES[side]) else _ask_key(answers, side)
    section = shared_section(side, file, values | {"apiv1_key": key})
    return values | ({"apiv1_key_command": command} if command else {"apiv1_key": key}), section


def _ask_key(answers: Answers, side: Side) -> str:
    word = _WORDS[side]
    if not answers.asks:
        raise click.UsageError(
            f"Without a terminal to ask on, --{word}-key-command or {config.KEY_VARIABLES[side]} is needed."
        )
    return str(click.prompt(f"{word.capitalize()}: legacy API key (not shown)", hide_input=True, err=True)).strip()


def _writable(found: Sequence[Listed]) -> list[Listed]:
    """Return the projects that an ini file can hold, and say of the others why it can't."""
    taken: dict[str, Listed] = {}
    for one in found:
        if not can_be_section(one.name):
            click.echo(mask(f"left out: {one.name!r} can't be the name of a section"), err=True)
        elif one.name in taken:
            other = taken[one.name].owner or "you"
            click.echo(
                mask(
                    f"left out: {one.name!r} of {one.owner}: a file has one section of a name, and {other} has one, too"
                ),
                err=True,
            )
        else:
            taken[one.name] = one
    return list(taken.values())


def _choose(found: Sequence[Listed]) -> list[Listed]:
    """Show the projects and ask which; the answer is numbers, ranges, or all."""
    for number, one in enumerate(found, 1):
        click.echo(mask(f"{number:>5}  {one.name}{f'  (of {one.owner})' if one.owner else ''}"), err=True)
    numbers = click.prompt(
        "Which projects (such as 1,3-5, or all)",
        default="all",
        value_proc=lambda text: pick(text, len(found)),
        err=True,
    )
    return [found[number - 1] for number in numbers]


def pick(text: str, count: int) -> list[int]:
    """Return the numbers that a text such as `1, 3-5` or `all` names, in order; raise UsageError."""
    if text.strip().lower() == "all":
        return list(range(1, count + 1))
    chosen: set[int] = set()
    for part in text.replace(",", " ").split():
        first, dash, last = part.partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()):
            raise click.UsageError(f"{part!r} is neither a number nor a range such as 3-5.")
        numbers = range(int(first), int(last or first) + 1)
        if not numbers or numbers[0] < 1 or numbers[-1] > count:
            raise click.UsageError(f"{part!r} is not within 1-{count}.")
        chosen.update(numbers)
    if not chosen:
        raise click.UsageError("Name at least one.")
    return sorted(chosen)


def _may_replace(path: Path, answers: Answers, *, force: bool) -> None:
    """Make sure that a file which is there may be replaced; raise ConfigError if not."""
    if force or not path.exists():
        return
    if answers.asks and click.confirm(f"{path} is there. Replace it (it is kept as {path.name}.old)?", err=True):
        return
    raise ConfigError(
        f"{path} is there and was left as it is.", hint="Name another folder with --config-dir, or --force."
    )


def _write(path: Path, text: str) -> None:
    """Write an ini file, readable by its owner only, and keep the one that was there."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if path.exists():
            write_bytes(path.with_name(f"{path.name}.old"), path.read_bytes())
    except OSError as error:
        raise BundleError(f"{path} can't be written: {error.strerror}.", hint="Choose another --config-dir.") from error
    write_bytes(path, text.encode())
