"""A group of commands that, for a command which it does not have, names the nearest one of any group."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from cmlutils.config import nearest

if TYPE_CHECKING:
    from collections.abc import Iterator


class Commands(click.Group):
    """A group that answers a command which it does not have with the whole line of the nearest one there is."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that the first word names; raise UsageError where there is none."""
        name, root = args[0], ctx.find_root().command
        if name in self.commands or name.startswith("-") or ctx.resilient_parsing or not isinstance(root, click.Group):
            return super().resolve_command(ctx, args)
        lines = {line.rpartition(" ")[2]: line for line in (*_lines(root, "cmlutil"), *_lines(self, ctx.command_path))}
        near = nearest(name, lines)
        raise click.UsageError(f"No such command '{name}'.{f' Did you mean {lines[near]!r}?' if near else ''}", ctx)


def _lines(group: click.Group, before: str) -> Iterator[str]:
    """Name the commands of a group and of those within, as whole lines."""
    for name, command in group.commands.items():
        yield f"{before} {name}"
        if isinstance(command, click.Group):
            yield from _lines(command, f"{before} {name}")
