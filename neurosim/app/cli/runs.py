"""`neurosim runs`: the runs of a folder, and a page that links to their reports."""

from __future__ import annotations

from pathlib import Path

import click

from ..runs.frame.command import CommandResult, common
from ..runs.frame.command_options import NO_RUN, CommandOptions


@click.command()
@click.argument("folder", type=click.Path(path_type=Path), default="runs")
@common(without=NO_RUN)
def command(options: CommandOptions, folder: Path) -> CommandResult:
    """List the runs in FOLDER (default: runs), the latest first, and write index.html there with links to reports."""
    from ...base.plain import to_plain
    from ..report.numbers import date
    from ..runs.frame.index import read_index, write_index

    entries = read_index(folder)
    page = write_index(folder, entries)
    rows = [(each.path, each.kind, each.name, each.status, date(each.started) or "") for each in entries]
    widths = [max((len(row[k]) for row in rows), default=0) for k in range(5)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    lines += [f"{folder / each.path} was {each.status}; {each.next_step}" for each in entries if each.next_step]
    data = {"folder": str(folder), "page": str(page), "runs": to_plain(entries)}
    return CommandResult(data, "\n".join([*(lines or [f"no runs in {folder}; run 'neurosim demo'"]), f"page  {page}"]))
