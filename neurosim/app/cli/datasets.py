"""`neurosim datasets`: list, describe, make, fetch and verify datasets."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import click

from ...base.errors import NeurosimInputError
from ..runs.frame.arguments import complete_dataset
from ..runs.frame.command import Command, CommandResult, common
from ..runs.frame.command_options import NO_RUN, CommandOptions, with_folder
from ..runs.frame.tables import table
from .folders import SKIP_BAD, describe_folder, folder_options
from .program import CommandEntry, Program

if TYPE_CHECKING:
    from ...data.catalog import Dataset

IN_FILES = "found in the files"
COMMANDS = {
    "list": CommandEntry(__name__, "The datasets, and whether their files are here.", "list_all"),
    "info": CommandEntry(__name__, "One dataset, or a folder of your own: shape, classes, splits, files.", "info"),
    "make": CommandEntry(__name__, "Compute a dataset's files.", "make"),
    "fetch": CommandEntry(__name__, "Download a dataset's files.", "fetch"),
    "verify": CommandEntry(__name__, "Count, check and decode every file of a dataset.", "verify"),
    "shard": CommandEntry(__name__, "Write a dataset or folder into shards, for more than memory holds.", "shard"),
}


@click.group(cls=Program, entries=COMMANDS, invoke_without_command=True)
@click.pass_context
def group(context: click.Context) -> None:
    """List, describe, make, fetch, verify and shard datasets.

    \b
    neurosim datasets list
    neurosim datasets info digits
    neurosim datasets info recordings/                      a folder of your own
    neurosim datasets shard recordings/ shards              for more than memory holds

    A dataset's files are looked for in --root, else in $NEUROSIM_DATA/<folder> if that exists, else in the user's
    cache folder.
    """
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


_name = click.argument("name", shell_complete=complete_dataset)
_root = click.option("--root", type=click.Path(path_type=Path), metavar="DIR", help="The folder with its files.")


@click.command(cls=Command)
@common(without=NO_RUN)
def list_all(options: CommandOptions) -> CommandResult:
    """List the datasets, and whether their files are here."""
    from ...data import catalog

    places = [(dataset, catalog.place(dataset)) for dataset in catalog.datasets().values()]
    rows = [(dataset.name, f"{dataset.title}  [{_place(dataset, folder)}]") for dataset, folder in places]
    return CommandResult({"datasets": [_describe(*each) for each in places]}, table(rows))


@click.command(cls=Command)
@_name
@_root
@click.option("--skip-bad", is_flag=True, help="Leave out files of a folder that cannot be read, and name them.")
@common(without=("config", "seed", "out", "threads"))
def info(options: CommandOptions, name: str, root: Path | None, skip_bad: bool) -> CommandResult:
    """Describe dataset NAME, or the recordings in the folder NAME.

    --set data.options.KEY=VALUE says how a folder is read, as in a run.
    """
    from ...data import catalog

    if name not in catalog.names() and Path(name).is_dir():
        sets = (*options.sets, SKIP_BAD) if skip_bad else options.sets
        return describe_folder(Path(name), sets, quiet=options.quiet)
    if Path(name).is_file():
        # Its error says what takes such a file.
        with_folder({"data.name": name})
    # Only a folder has options that say how it is read.
    options.refuse("sets")
    if skip_bad:
        raise NeurosimInputError(f"--skip-bad: is of folders of your own recordings (got {name}); leave it out")
    dataset = catalog.module(name).INFO
    folder = catalog.place(dataset, root)
    if root is not None and folder.is_dir():
        # Files of this folder may be others of the layout; `neurosim datasets verify` counts them.
        dataset = replace(catalog.describe(name, root), recordings={})
    splits = [f"{split} ({dataset.recordings[split]:,})" if dataset.recordings else split for split in dataset.splits]
    rows = [
        ("shape", " x ".join(map(str, dataset.shape)) or IN_FILES),
        ("classes", ", ".join(dataset.classes) or IN_FILES),
        ("splits", ", ".join(splits)),
        ("can hold out", ", ".join(dataset.groups) or "-"),
        ("licence", dataset.licence),
        ("files", dataset.layout),
        ("folder", f"{folder}  [{_place(dataset, folder)}]" if dataset.folder else "any: name it with data.root"),
        *(("source", address) for source in dataset.sources for address in source.addresses),
    ]
    return CommandResult(
        _describe(dataset, folder), f"{dataset.title}\n\n{textwrap.fill(dataset.about, 100)}\n\n{table(rows)}"
    )


@click.command(cls=Command)
@_name
@_root
@common(without=("out", "threads"))
def make(options: CommandOptions, name: str, root: Path | None) -> CommandResult:
    """Compute the files of dataset NAME, into --root or the folder where they are looked for.

    --seed, --set and --config change how, e.g. --set camera.threshold_on=0.25; then name a folder with --root.
    """
    from ...data import catalog

    module = _module_with(name, "make", "is not computed")
    folder = catalog.place(module.INFO, root)
    recipe = _recipe(module.Recipe, options)
    manifest = module.make(folder, recipe, quiet=options.quiet)
    data = {"dataset": name, "folder": str(folder), **manifest, "parameters": asdict(recipe)}
    return CommandResult(data, f"{folder}: {manifest['files']:,} recordings, {manifest['bytes'] / 1e6:.1f} MB")


@click.command(cls=Command)
@_name
@_root
@click.option(
    "--min-rate",
    type=click.FloatRange(0, min_open=True),
    metavar="KB/S",
    help="Give up where the whole of a file is slower; default 32 kB/s.",
)
@common(without=NO_RUN)
def fetch(options: CommandOptions, name: str, root: Path | None, min_rate: float | None) -> CommandResult:
    """Download the files of dataset NAME, into --root or the folder where they are looked for.

    Goes on where an earlier try stopped, checks every archive and counts its files. Existing files stay as they are.
    """
    from ...data import catalog
    from ...data.download import RetryPolicy, count_files

    module = _module_with(name, "fetch", "is not downloaded")
    folder = catalog.place(module.INFO, root)
    if min_rate is None:
        retries = {}
    else:
        retries = {"retries": RetryPolicy(min_rate=1e3 * min_rate)}
    counts = {str(path): count_files(path) for path in module.fetch(folder, quiet=options.quiet, **retries)}
    lines = [f"{path}: {count:,} file{'s' if count > 1 else ''}" for path, count in counts.items()]
    return CommandResult({"dataset": name, "folder": str(folder), "files": counts}, "\n".join(lines))


@click.command(cls=Command)
@_name
@_root
@common(without=NO_RUN)
def verify(options: CommandOptions, name: str, root: Path | None) -> CommandResult:
    """Count, check and decode every file of dataset NAME; exit code 1 if anything is wrong."""
    from ...data import catalog

    dataset = catalog.module(name).INFO
    folder = catalog.place(dataset, root)
    report = catalog.verify(name, root, quiet=options.quiet)
    data = {
        "dataset": name,
        "folder": str(folder),
        "recordings": dict(report.recordings),
        "files": report.files,
        "events": report.events,
        "problems": list(report.problems),
        "good": not report.problems,
    }
    rows = [(split, _recordings(count, dataset.recordings.get(split))) for split, count in report.recordings.items()]
    text = "\n".join([table([*rows, ("events", f"{report.events:,}")], str(folder)), *report.problems])
    count = len(report.problems)
    if count:
        plural = "s" if count > 1 else ""
        failure = f"{folder}: {count} problem{plural}, the first: {report.problems[0]}"
    else:
        failure = ""
    return CommandResult(data, text, failure)


@click.command(cls=Command)
@_name
@click.argument("target", type=click.Path(path_type=Path), metavar="OUT")
@click.option(
    "--megabytes", type=click.IntRange(1), default=64, show_default=True, metavar="N", help="Size of a shard."
)
@common(without=("config", "seed", "out", "threads"))
def shard(options: CommandOptions, name: str, target: Path, megabytes: int) -> CommandResult:
    """Write dataset NAME, or the recordings in the folder NAME, into shards in the folder OUT.

    OUT then is a folder of recordings for every command: `neurosim train OUT` reads from it what a batch needs, and
    memory holds no more. Of a folder one recording is in memory at a time. Run again, it goes on where it was stopped.
    """
    from ...data import catalog
    from ...data.folder.sharded import shard_dataset, shard_folder

    size = megabytes << 20
    if name not in catalog.names() and Path(name).is_dir():
        sizes = shard_folder(Path(name), target, folder_options(options.sets), size, quiet=options.quiet)
    else:
        options.refuse("sets")
        sizes = shard_dataset(name, target, size)
    text = "\n".join(f"{target / split}: {count:,} recordings" for split, count in sizes.items())
    return CommandResult({"dataset": name, "folder": str(target), "recordings": dict(sizes)}, text)


def _describe(dataset: Dataset, folder: Path) -> Mapping[str, object]:
    return {**asdict(dataset), "folder": str(folder), "here": bool(dataset.folder) and folder.is_dir()}


def _place(dataset: Dataset, folder: Path) -> str:
    if not dataset.folder:
        return "name it: `neurosim datasets info FOLDER`"
    if folder.is_dir():
        return "here"
    if dataset.made:
        return "made on first use"
    return f"not here; `neurosim datasets fetch {dataset.name}`"


def _recordings(count: int, whole: int | None) -> str:
    if whole and count < whole:
        subset = f", a subset of {whole:,}"
    else:
        subset = ""
    return f"{count:,} recordings{subset}"


def _module_with(name: str, verb: str, otherwise: str) -> ModuleType:
    """Return the module of a dataset that has the function `verb`."""
    from ...data import catalog

    module = catalog.module(name)
    # A dataset that can be made or fetched has a function of that name; others lack it.
    able = sorted(n for n, m in catalog.modules().items() if hasattr(m, verb))
    if name not in able:
        raise NeurosimInputError(f"dataset {name}: {otherwise}; `neurosim datasets {verb}` knows {', '.join(able)}")
    return module


def _recipe(owner: type, options: CommandOptions) -> Any:
    """Return the parameters of a computed dataset. Later wins: defaults, --config, --set, --seed."""
    from ..runs.frame.config import sources_of
    from ..runs.frame.settings import resolve

    sources = sources_of(options.config, options.sets, options.settings)
    return resolve(owner, sources)
