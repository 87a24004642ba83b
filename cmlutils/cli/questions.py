"""What `cmlutil init` has to know: from options, or from a person at a terminal."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import click

from cmlutils.errors import ConfigError
from cmlutils.log import mask
from cmlutils.plain_values import check_plain
from cmlutils.screen import columns, fold
from cmlutils.section import KEY_VARIABLES
from cmlutils.section_values import in_full, output_dir

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cmlutils.errors import CmlutilError
    from cmlutils.flows.list_projects import ListedProject
    from cmlutils.section import Side

WORDS: dict[Side, str] = {"export": "source", "import": "target"}


class Questions:
    """Answers from options such as `source_url`, or from a person where an option is missing and somebody can answer.

    `asked` counts the questions put to a person, so that a caller can tell whether asking again may help.
    """

    def __init__(self, options: Mapping[str, str | None]) -> None:
        self.can_ask = sys.stdin.isatty()
        self.asked = 0
        self._options = options
        self._said: dict[str, str] = {}

    def text(self, side: Side, key: str, question: str, *, default: str | None = None) -> str:
        """Return one answer. Where nobody can give one, return the default, or raise UsageError if there is none.

        A question that is asked again offers the last answer; where none is needed, `none` takes that back.
        """
        word, name = WORDS[side], f"{WORDS[side]}_{key}"
        given = self._options.get(name)
        if given is not None:
            return given.strip()
        if self.can_ask:
            said = self._ask(f"{word.capitalize()}: {question}", default=self._said.get(name, default))
            said = "" if default == "" and said.lower() == "none" else said
            self._said[name] = said
            return said
        if default is None:
            raise click.UsageError(f"Without a terminal, --{word}-{key.replace('_', '-')} is needed.")
        return default

    def folder(self, given: str | None) -> str:
        """Return the folder for the bundles as ini files have it: the option's, or one for which a person is asked.

        A person is asked until it can be one; raises ConfigError for an option's that can't.
        """
        default = "~/migration"
        while True:
            said = given or (self._ask("Folder for the bundles", default=default) if self.can_ask else default)
            try:
                return _folder(said)
            except ConfigError as error:
                if given or not self.can_ask:
                    raise
                say_why(error)

    def key_command(self, side: Side) -> str:
        """Return the command that prints the legacy API key; empty if no option gives one, as it is never asked for."""
        return (self._options.get(f"{WORDS[side]}_key_command") or "").strip()

    def key(self, side: Side) -> str:
        """Return the legacy API key that a person types (it is not shown); empty when the environment has it."""
        if os.environ.get(KEY_VARIABLES[side]):
            return ""
        word = WORDS[side]
        if not self.can_ask:
            raise click.UsageError(f"Without a terminal, --{word}-key-command or {KEY_VARIABLES[side]} is needed.")
        return self._ask(f"{word.capitalize()}: legacy API key (it is not shown)", hide=True)

    def may(self, question: str) -> bool:
        """Ask a yes-or-no question; where nobody can answer, it is a no."""
        return self.can_ask and click.confirm(question, err=True)

    def choose(self, found: Sequence[ListedProject]) -> list[ListedProject]:
        """Show the projects and return those chosen."""
        for number, one in enumerate(found, 1):
            click.echo(mask(f"{number:>5}  {one.name}{f'  (of {one.owner})' if one.owner else ''}"), err=True)
        numbers = click.prompt(
            "Which projects (such as 1,3-5, or all)",
            default="all",
            value_proc=lambda text: pick(text, len(found)),
            err=True,
        )
        return [found[number - 1] for number in numbers]

    def _ask(self, question: str, *, default: str | None = None, hide: bool = False) -> str:
        self.asked += 1
        said = click.prompt(question, default=default, show_default=bool(default), hide_input=hide, err=True)
        return str(said).strip()


def _folder(said: str) -> str:
    """Return the path in full; raise ConfigError if no bundles can live there."""
    if "://" in said:
        raise ConfigError("This is an address.", hint="Name a folder here; addresses are asked for next.")
    text = in_full(said)
    check_plain("bundles", {"output_dir": text})
    output_dir("bundles: output_dir", text)
    return text


def say_why(error: CmlutilError) -> None:
    """Say why an answer can't be taken."""
    told = mask("\n  ".join(filter(None, (f"That does not work: {error.message}", error.hint))))
    click.echo(fold(told, columns(sys.stderr)), err=True)


def pick(text: str, count: int) -> list[int]:
    """Return the numbers that a text such as `1, 3-5` or `all` names, in order; raise UsageError if it is malformed."""
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
