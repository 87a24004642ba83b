"""The command line as words: all commands, and parsing of lines that are not run."""

import re
import shlex

import click

from cmlutils.cli.main import cli


def walk(command=cli, words=("cmlutil",)):
    """Yield the words and the object of every command and group."""
    yield " ".join(words), command
    if isinstance(command, click.Group):
        for name, inner in command.commands.items():
            yield from walk(inner, (*words, name))


COMMANDS = dict(walk())
LEAVES = [words for words, command in COMMANDS.items() if not isinstance(command, click.Group)]


def understood(line):
    """Parse a command line as click does, without running it; raise click.UsageError."""
    words = shlex.split(line.replace("\\\n", " "), comments=True)
    cut = next((at for at, word in enumerate(words) if re.fullmatch(r"\d?>+|[|&<]|>>?.+|2>&1", word)), len(words))
    command, context, words = cli, click.Context(cli, info_name="cmlutil"), words[1:cut]
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        _, command, words = command.resolve_command(context, words)
        context = click.Context(command, parent=context, info_name=command.name)
    command.make_parser(context).parse_args(list(words))


def examples(text):
    """Return the lines of a help text's example, with continued lines joined."""
    text = re.sub(r"\\\n\s*", "", text.partition("Example:")[2]).partition("\n\n")[0]
    return [line.strip() for line in text.strip().splitlines()]
