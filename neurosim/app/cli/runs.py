"""`neurosim runs ...`: runs as things that can be listed, shown, opened, compared, repeated and removed."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ...base.errors import NeurosimInputError, NeurosimWriteError
from ..runs.frame.arguments import CPU_OR_CUDA, RUNS, at_least, run_argument
from ..runs.frame.command import Command, CommandResult, common, run_command
from ..runs.frame.command_options import NO_RUN, CommandOptions
from .program import CommandEntry, Program

if TYPE_CHECKING:
    from ..runs.frame.folder import RunFolder
    from ..runs.frame.kind import Kind

STATUSES = ("running", "done", "interrupted", "failed", "killed")
COMMANDS = {
    "list": CommandEntry(
        __name__, "The runs of a folder, with their figures; a page links to their reports.", "listed"
    ),
    "show": CommandEntry(__name__, "One run: where it came from, its results, its files.", "show"),
    "open": CommandEntry(__name__, "Open the report of a run in the browser.", "open_page"),
    "compare": CommandEntry(__name__, "Runs of one kind side by side, with a page.", "compare"),
    "rerun": CommandEntry(__name__, "Repeat a run from its folder, and say whether it gave the same.", "again"),
    "rm": CommandEntry(__name__, "Remove runs.", "remove"),
}


@click.group(cls=Program, entries=COMMANDS, invoke_without_command=True)
@click.pass_context
def group(context: click.Context) -> None:
    """List, show, open, compare, repeat and remove runs.

    \b
    neurosim runs list                     every run below runs/, the latest first
    neurosim runs list --kind train --status done
    neurosim runs show RUN                 where it came from, its results, its files
    neurosim runs open RUN                 its report, in the browser
    neurosim runs compare RUN RUN          figures, and the settings that differ
    neurosim runs rerun RUN                the same again in a new folder, compared with the first
    neurosim runs rm RUN                   asks first

    RUN is the folder of a run, or the name of one below runs/.
    """
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


_run = run_argument("run")
_runs = run_argument("runs", nargs=-1, required=True)


@click.command(cls=Command)
@click.argument("folder", type=click.Path(path_type=Path), default=RUNS)
@click.option("--kind", metavar="NAME", help="Runs of this kind only, such as train or network.")
@click.option("--status", type=click.Choice(STATUSES), help="Runs that ended so, or are running.")
@click.option("--name", metavar="PATTERN", help="Runs whose name or folder fits, with * and ?.")
@click.option("--limit", type=int, callback=at_least(1, "must be >= 1"), metavar="N", help="The latest N.")
@common(without=NO_RUN)
def listed(
    options: CommandOptions, folder: Path, kind: str | None, status: str | None, name: str | None, limit: int | None
) -> CommandResult:
    """List the runs in FOLDER (default: runs), the latest first, and write index.html there with links to reports.

    The page has all runs; --kind, --status, --name and --limit choose what is printed.
    """
    from ...base.plain import to_plain
    from ..report.numbers import date, text
    from ..runs.frame.index import IndexFilter, read_index, write_index

    every = read_index(folder)
    page = None
    try:
        page = str(write_index(folder, every))
        last = f"page  {page}"
    except NeurosimWriteError as error:
        # Runs on a disk that is read-only, or full, are listed all the same.
        last = f"no page: {error}"
    entries = IndexFilter(kind=kind, status=status, name=name, limit=limit).apply(every)
    heads = ("RUN", "KIND", "NAME", "STATUS", "STARTED", "FIGURES")
    rows = [(e.path, e.kind, e.name, e.status, text(date(e.started) or ""), e.key_figures) for e in entries]
    if entries:
        lines = _aligned([heads, *rows])
        # Another program reads a line a run, whatever COLUMNS it has from its parent.
        if sys.stdout.isatty():
            width = shutil.get_terminal_size().columns
            if width < max(map(len, lines)):
                lines = [line for row in rows for line in _stacked(row, width)]
    elif every:
        lines = [f"none of the {len(every)} runs in {folder} fits; leave out --kind, --status or --name"]
    else:
        lines = [f"no runs in {folder}; run 'neurosim demo'"]
    lines += [f"{folder / each.path} was {each.status}; {each.next_step}" for each in entries if each.next_step]
    data = {"folder": str(folder), "page": page, "runs": to_plain(entries)}
    return CommandResult(data, "\n".join([*lines, last]))


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the rows as lines, each column as wide as its longest cell."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    padded = [[cell.ljust(width) for cell, width in zip(row, widths, strict=True)] for row in rows]
    return ["  ".join(row).rstrip() for row in padded]


def _stacked(row: Sequence[str], width: int) -> list[str]:
    """Return a run in lines of at most `width` characters: its folder, then the rest below it."""
    folder, *middle, figures = row
    lines = [folder]
    for words in (", ".join(filter(None, middle)), figures):
        lines += textwrap.wrap(words, width, initial_indent="  ", subsequent_indent="  ", break_long_words=False)
    return lines


@click.command(cls=Command)
@_run
@common(without=NO_RUN)
def show(options: CommandOptions, run: Path) -> CommandResult:
    """Show RUN: where it came from, its results as its command printed them, and its files."""
    from ..report.numbers import si, text
    from ..report.provenance import provenance_facts
    from ..runs.frame.folder import open_run, present_status
    from ..runs.frame.registry import UNNAMED
    from ..runs.frame.tables import table

    folder = open_run(run)
    manifest = folder.manifest
    status = present_status(folder)
    files = {path.name: path.stat().st_size for path in sorted(run.iterdir()) if path.is_file()}
    origin = {**dict(provenance_facts(manifest.known())), "Status": status}
    head = f"{run}: {manifest.name}, a run of the kind {manifest.kind or UNNAMED}"
    results, texts = _results_of(folder, status)
    parts = [
        table([(name, str(value)) for name, value in origin.items()], head),
        *texts,
        table([(name, text(si(size, "B"))) for name, size in files.items()], "Files"),
    ]
    data = {"run": str(run), "status": status, "manifest": manifest.to_dict(), **results, "files": files}
    return CommandResult(data, "\n\n".join(parts))


def _results_of(folder: RunFolder, status: str) -> tuple[dict[str, object], list[str]]:
    """Return the results of a run as data and as texts; without results, what is finished and the next step."""
    from ..runs.frame.folder import METRICS, read_metrics
    from ..runs.frame.index import UNFINISHED, next_step
    from ..runs.frame.registry import kind_of

    kind = kind_of(folder)
    if (folder.path / METRICS).is_file():
        # A run may have been moved, and the working folder is another: the results name the place where it was written.
        result = replace(kind.result.from_dict(read_metrics(folder)), run=str(folder.path))
        shown = CommandResult.of(kind, result)
        return {"results": shown.data}, [shown.text]
    if status in UNFINISHED:
        step = next_step(folder)
    else:
        step = None if status == "running" else folder.rerun_hint
    reason = f"no results ({folder.manifest.reason or status})"
    texts = ["; ".join(filter(None, (reason, step)))]
    so_far = kind.so_far(folder)
    if so_far is None:
        return {"results": None}, texts
    shown = CommandResult.of(kind, so_far)
    return {"results": None, "so_far": shown.data}, [*texts, f"Finished so far:\n{shown.text}"]


@click.command(cls=Command)
@_run
@common(without=NO_RUN)
def open_page(options: CommandOptions, run: Path) -> CommandResult:
    """Open the report of RUN in the browser and print its path; it is written first where it is missing.

    With --json the path is printed, and nothing is opened.
    """
    import webbrowser

    from ..runs.frame.finished import write_page
    from ..runs.frame.folder import REPORT, open_run

    folder = open_run(run)
    page = folder.path / REPORT
    if not page.is_file():
        page = write_page(folder.path)
    text = str(page)
    if not options.json and not webbrowser.open(page.resolve().as_uri()):
        text = f"{page}  (no browser was found; open the file yourself)"
    return CommandResult({"run": str(folder.path), "report": str(page)}, text)


@run_command(short_help=COMMANDS["compare"].help, without=("config", "sets", "seed", "threads"))
@_runs
def compare(options: CommandOptions, runs: tuple[Path, ...]) -> Kind[Any, Any, Any]:
    """Compare RUNS of one kind: their figures, the settings that differ, and versions, machines and data that differ.

    The comparison is a run folder with a page and comparison.csv. Of runs of 'continual' it has the learners of all,
    with accuracy matrices, paired tests, pictures, and the table as CSV and LaTeX.
    """
    from ..runs.comparison import ComparisonKind
    from ..runs.frame.folder import open_run
    from ..runs.frame.registry import kind_of

    kinds = [kind_of(open_run(run)) for run in runs]
    return kinds[0].comparison(runs) or ComparisonKind(runs)


@click.command(cls=Command)
@_run
@common(CPU_OR_CUDA, without=("config", "sets", "seed"), needs_torch=False)
def again(options: CommandOptions, run: Path) -> CommandResult:
    """Repeat RUN in a new folder, with the settings, seed and name of the first, and compare their figures.

    Nothing but the folder is needed, and the data that it names. A run whose neurons are in Python files of your own
    is repeated by its own command, which names them.
    """
    from ...base.plain import to_plain
    from ..runs.rerun import rerun

    done = rerun(run, options)
    shown = CommandResult.of(done.kind, done.result)
    verdict = {
        "of": str(run),
        "same_data": done.same_data,
        "same_digests": done.same_digests,
        "differing": to_plain(done.differing),
    }
    lines = "\n".join(f"rerun: {line}" for line in done.lines())
    return CommandResult({**shown.data, "rerun": verdict}, f"{shown.text}\n\n{lines}", shown.failure)


@click.command(cls=Command)
@_runs
@click.option("--yes", is_flag=True, help="Do not ask.")
@common(without=NO_RUN)
def remove(options: CommandOptions, runs: tuple[Path, ...], yes: bool) -> CommandResult:
    """Remove RUNS with all their files, after a question.

    Only folders of runs are removed, and none of a run that is running, that holds other runs or a git checkout, or
    that the working folder is in.
    """
    from ...base.shown import counted
    from ..report.numbers import si, text
    from ..runs.frame.remove import check_removable, remove_run

    # All are checked before the first is removed.
    known = [check_removable(run) for run in runs]
    lines = [f"{each.path}  {counted(each.files, 'file')}, {text(si(each.size, 'B'))}" for each in known]
    if not yes:
        if not sys.stdin.isatty():
            raise NeurosimInputError("runs rm: asks before it removes, and there is no terminal; give --yes")
        click.echo("\n".join(lines), err=True)
        click.confirm(f"Remove {counted(len(known), 'run')}?", abort=True, err=True)
    for each in known:
        remove_run(each.path)
    removed = [{"run": str(each.path), "files": each.files, "bytes": each.size} for each in known]
    return CommandResult({"removed": removed}, "\n".join(f"removed {line}" for line in lines))
