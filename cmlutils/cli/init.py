"""`cmlutil init`: asks for the two workspaces and writes the two ini files."""

from __future__ import annotations

import os
import shlex
from typing import TYPE_CHECKING, Any

import click

from cmlutils import config, paths
from cmlutils.cli.options import config_dir_option
from cmlutils.cli.questions import WORDS, Questions, say_why
from cmlutils.errors import ApiError, BundleError, CmlutilError, ConfigError, Interrupted, Unreachable
from cmlutils.inifile import comes_back, ini_text
from cmlutils.log import mask
from cmlutils.section_values import in_full
from cmlutils.units import counted
from cmlutils.wholefile import write_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from cmlutils.flows.list_projects import ListedProject
    from cmlutils.section import Section, Side


def _side_options(word: str) -> Callable[[Any], Any]:
    """Return the options that describe one workspace. A key has no option: other users can read command lines."""

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
    """Write both ini files, with a section for each project.

    You choose the projects. What no option says is asked for. An API key is not shown while you type it; or it comes
    from a command, or from CMLUTILS_SOURCE_APIV1_KEY and CMLUTILS_TARGET_APIV1_KEY, and then the files hold no key.
    Without the target's address only export-config.ini is written.

    \b
    Example:
      cmlutil init
      cmlutil init --source-url https://cdsw.example.com --source-username alice \\
        --source-key-command 'pass cdsw' --all
    """
    questions = Questions(options)
    if not (questions.can_ask or everything or projects):
        raise click.UsageError("Without a terminal, --all or --project is needed.")
    if everything and projects:
        raise click.UsageError("Give --all or --project, not both.")
    folder = config.config_folders(config_dir, os.environ)[0].absolute()
    _check_place(folder)
    files: dict[Side, Path] = {side: folder / f"{side}-config.ini" for side in WORDS}
    try:
        texts, count = _texts(questions, files, output_dir, projects, everything=everything, force=force)
    except click.Abort as error:  # Ctrl-D
        click.echo(err=True)
        raise CmlutilError("Nothing was written.", hint="Type 'cmlutil init' to start again.") from error
    except Interrupted:  # Ctrl-C
        click.echo("\nNothing was written.", err=True)
        raise
    for side, text in texts.items():
        _write(files[side], text)
        click.echo(f"{files[side]}: {counted(count, 'project')}")
    where = f" --config-dir {shlex.quote(config_dir)}" if config_dir else ""
    click.echo(f"Next: cmlutil doctor{where}")


def _texts(
    questions: Questions,
    files: Mapping[Side, Path],
    output_dir: str | None,
    projects: Sequence[str],
    *,
    everything: bool,
    force: bool,
) -> tuple[dict[Side, str], int]:
    """Ask for everything; return the texts of the files, and how many sections they have."""
    _may_replace(files["export"], questions, force=force)
    output = questions.folder(output_dir)
    source, section = _workspace(questions, "export", files["export"], output)
    chosen = _projects(questions, section, projects, everything=everything)
    texts: dict[Side, str] = {"export": ini_text(source, [(one.name, _keys(one)) for one in chosen])}
    url = questions.text("import", "url", "address (none: write only the export's file)", default="")
    if url:
        _may_replace(files["import"], questions, force=force)
        target, _ = _workspace(questions, "import", files["import"], output, url=url, username=source["username"])
        texts["import"] = ini_text(target, [(one.name, {}) for one in chosen])
    return texts, len(chosen)


def _workspace(
    questions: Questions, side: Side, file: Path, output_dir: str, *, url: str = "", username: str | None = None
) -> tuple[dict[str, str], Section]:
    """Ask for one workspace and try it, until it works; return the lines of [DEFAULT], and a section to use it."""
    from cmlutils.flows.list_projects import check_user

    while True:
        asked = questions.asked
        try:
            known = {"url": url or questions.text(side, "url", "address"), "output_dir": output_dir}
            values, section = _asked(questions, side, file, known, username=username)
            check_user(section)
        except (ConfigError, ApiError, Unreachable) as error:
            error.message = error.message.replace(f"{file}, section [DEFAULT]", WORDS[side])  # there is no file yet
            if questions.asked == asked:
                raise
            say_why(error)
            url = ""
        else:
            return values, section


def _asked(
    questions: Questions, side: Side, file: Path, known: dict[str, str], *, username: str | None
) -> tuple[dict[str, str], Section]:
    """Return what the options, or else a person, say about one workspace."""
    from cmlutils.flows.list_projects import key_from, shared_section

    values = {
        **known,
        "username": questions.text(side, "username", "user name", default=username),
        "ca_path": in_full(
            questions.text(side, "ca_path", "CA file of its certificate (none: the system's)", default="")
        ),
    }
    command = questions.key_command(side)
    key = key_from(command) if command else questions.key(side)
    section = shared_section(side, file, values | {"apiv1_key": key})
    return values | ({"apiv1_key_command": command} if command else {"apiv1_key": key}), section


def _projects(
    questions: Questions, section: Section, projects: Sequence[str], *, everything: bool
) -> list[ListedProject]:
    """Return the projects that get a section: those named by options, all, or those that a person chooses."""
    from cmlutils.flows.list_projects import list_projects, named_projects

    if projects:
        return _writable(named_projects(section, projects))
    found = _writable(list_projects(section))
    if not found:
        raise ConfigError(
            f"{section.workspace.host} has no project of {section.workspace.username} or of one of their teams.",
            hint="Name a project that somebody else owns with --project.",
        )
    return found if everything else questions.choose(found)


def _keys(one: ListedProject) -> dict[str, str]:
    """Return the keys of a project's section of export-config.ini."""
    return {"owner_username": one.owner}


def _writable(found: Sequence[ListedProject]) -> list[ListedProject]:
    """Return the projects whose names and owners an ini file can hold; warn about the others.

    Both come from the workspace: one with a line break in it could add lines of its own, such as a command.
    """
    taken: dict[str, ListedProject] = {}
    for one in found:
        if not comes_back(one.name, _keys(one)):
            whose = f" of {one.owner!r}" if one.owner else ""
            click.echo(mask(f"left out: {one.name!r}{whose}: an ini file can't hold such a name"), err=True)
        elif one.name in taken:
            other = taken[one.name].owner or "you"
            click.echo(
                mask(
                    f"left out: {one.name!r} of {one.owner}: {other} has one of this name, too, and a file can "
                    "have only one section for it"
                ),
                err=True,
            )
        else:
            taken[one.name] = one
    return list(taken.values())


def _check_place(folder: Path) -> None:
    """Raise ConfigError, before anything is asked, if no file can be written to this folder."""
    place = next(one for one in (folder, *folder.parents) if os.path.lexists(one))
    if not place.is_dir() or not os.access(place, os.W_OK | os.X_OK):
        raise ConfigError(f"{place} is no folder to which you can write.", hint="Choose another --config-dir.")


def _may_replace(path: Path, questions: Questions, *, force: bool) -> None:
    """Ask whether an existing file may be replaced; raise ConfigError if not."""
    if force or not paths.exists(path):
        return
    if questions.may(f"{path} exists already. Replace it (it is kept as {path.name}.old)?"):
        return
    raise ConfigError(
        f"{path} exists already, and was left unchanged.", hint="Name another folder with --config-dir, or use --force."
    )


def _write(path: Path, text: str) -> None:
    """Write an ini file, readable by its owner only; an existing one is kept under another name."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if paths.exists(path):
            write_bytes(path.with_name(f"{path.name}.old"), path.read_bytes())
    except OSError as error:
        raise BundleError(f"{path} can't be written: {error.strerror}.", hint="Choose another --config-dir.") from error
    write_bytes(path, text.encode())
