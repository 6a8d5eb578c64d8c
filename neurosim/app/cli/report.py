"""`neurosim report RUN`: write the page of a run again, from its stored results."""

from __future__ import annotations

from pathlib import Path

import click

from ..runs.frame.arguments import run_argument
from ..runs.frame.command import Command, CommandResult, common
from ..runs.frame.command_options import CommandOptions


@click.command(cls=Command)
@run_argument("run")
@common(without=("config", "sets", "seed", "threads"))
def command(options: CommandOptions, run: Path) -> CommandResult:
    """Write the report page of RUN again and print its path (with --out, a copy in that folder).

    \b
    neurosim report RUN --out pages
    """
    from ...base.atomic import write_bytes
    from ..runs.frame.finished import write_page
    from ..runs.frame.folder import make_folder, open_run

    folder = open_run(run)
    page = write_page(folder.path)
    if options.out is not None:
        copy = options.out / page.name
        make_folder(options.out)
        write_bytes(copy, page.read_bytes())
        page = copy
    return CommandResult({"run": str(folder.path), "report": str(page)}, str(page))
