"""A group of commands that know which of them takes data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click


class RunGroup(click.Group):
    """A click group whose error names the right command where data stands in the place of a command."""

    def __init__(self, *arguments: Any, of_data: str, of_file: str, **settings: Any) -> None:
        """Describe the group.

        Args:
            of_data: name of the command for a dataset or a folder.
            of_file: name of the command for a file.
            arguments, settings: as for `click.Group`.
        """
        super().__init__(*arguments, **settings)
        self._of_data = of_data
        self._of_file = of_file

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        from ....data import catalog

        word = args[0]
        if word not in self.commands and (Path(word).exists() or word in catalog.names()):
            command = self._of_file if Path(word).is_file() else self._of_data
            raise click.UsageError(f"no command '{word}'; for data write: {ctx.command_path} {command} {word}", ctx)
        return super().resolve_command(ctx, args)
