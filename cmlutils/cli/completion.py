"""`cmlutil completion SHELL`, and the sections' names for the -p options."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

import click

from cmlutils import config
from cmlutils.errors import ConfigError
from cmlutils.section import SIDES

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

VARIABLE = "_CMLUTIL_COMPLETE"  # click derives it from the program's name
_MENDED = {  # what click's scripts lack: zsh may not have loaded its completion, and a name may hold a comma
    "zsh": ("    compdef _", "    (( $+functions[compdef] )) || { autoload -Uz compinit && compinit }\n    compdef _"),
    "fish": ('string split ","', 'string split --max 1 ","'),
}


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the script for completion in bash, zsh or fish.

    It completes commands, options and sections of the ini files.

    \b
    Example:
      echo 'eval "$(cmlutil completion bash)"' >> ~/.bashrc
      echo 'eval "$(cmlutil completion zsh)"' >> ~/.zshrc
      cmlutil completion fish > ~/.config/fish/completions/cmlutil.fish
    """
    from click.shell_completion import get_completion_class

    script = get_completion_class(shell)
    if script is None:
        raise click.UsageError(f"click knows no completion for {shell}.")
    source = script(click.get_current_context().find_root().command, {}, "cmlutil", VARIABLE).source()
    click.echo(source.replace(*_MENDED.get(shell, ("", ""))))


def sections(context: click.Context, _option: click.Parameter, typed: str) -> list[CompletionItem[str]]:
    """Return the sections of the ini files that begin with what was typed."""
    from click.shell_completion import CompletionItem

    sides = [side for side in SIDES if side == context.info_name] or SIDES
    names: dict[str, None] = {}
    for side in sides:
        try:
            ini = config.read_file(side, context.params.get("config_dir"))
        except ConfigError:
            continue
        names |= dict.fromkeys(ini.names())
    joined = _joined()
    return [CompletionItem(joined + _as_typed(name)) for name in names if name.startswith(typed)]


def _joined() -> str:
    """Return `--project-name=` if that begins the word: click looks behind it, but a shell replaces the whole word."""
    from click.shell_completion import split_arg_string

    word = os.environ.get("COMP_CWORD", "")  # fish gives the word itself, the others its number
    if word.isdigit():
        word = "".join(split_arg_string(os.environ.get("COMP_WORDS", ""))[int(word) :][:1])
    found = re.match(r"--[\w-]+=", word)
    return found[0] if found else ""


def _as_typed(name: str) -> str:
    """Return a name as bash takes it; zsh and fish quote by themselves."""
    if not os.environ.get(VARIABLE, "").startswith("bash"):
        return name
    words = os.environ.get("COMP_WORDS", "").split("\n")
    number = os.environ.get("COMP_CWORD", "")
    word = words[int(number)] if number.isdigit() and int(number) < len(words) else ""
    # click's script reads our line with `read`, which takes one layer of back-slashes away.
    if word[:1] == "'":
        quoted = name.replace("'", r"'\''")
    else:
        quoted = re.sub(r'(["$`\\])' if word[:1] == '"' else r"([^\w./:@%+-])", r"\\\1", name)
    return quoted.replace("\\", "\\\\")
