"""`neurosim continual ...`: learners on a stream of tasks over seeds."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ....base.errors import NeurosimInputError
from ....base.plugins import first_line
from ..frame.arguments import CPU_OR_CUDA, at_least, count
from ..frame.command import Command, CommandResult, common, run_command
from ..frame.command_options import NO_RUN, CommandOptions, with_folder
from ..frame.group import RunGroup

if TYPE_CHECKING:
    from . import ContinualKind


def _learners(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    from ....learning.continual.learners import LEARNERS

    return [name for name in LEARNERS if name.startswith(incomplete)]


@click.group(cls=RunGroup, of_data="run", of_file="run", invoke_without_command=True)
@click.pass_context
def command(context: click.Context) -> None:
    """Learn one task after the other, and see what is forgotten.

    \b
    neurosim continual list                                  streams, learners and measures
    neurosim continual run digits --learner plain            two new classes in each task
    neurosim continual run stream.toml --seeds 3             a stream and learners of your own choice

    `run` takes a TOML file: a stream of tasks, learners with their settings, a grid. Every learner meets the stream
    with every seed; the whole accuracy matrix is kept. Without a file: permuted digits, embedded.
    """
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


@run_command(
    "run", short_help="Run learners on a stream of tasks.", devices=CPU_OR_CUDA, resume="Continue an interrupted run."
)
@click.argument("file", required=False, type=click.Path(path_type=Path))
@count("--seeds", "seeds", "Seeds of each learner; default 1.")
@click.option(
    "--workers", type=int, default=1, callback=at_least(1, "must be >= 1"), metavar="N", help="Processes; default 1."
)
@click.option(
    "--learner",
    "learners",
    multiple=True,
    shell_complete=_learners,
    metavar="NAME",
    help="This learner only; repeatable.",
)
@click.option("--cluster", metavar="ADDRESS", help="Run on a dask scheduler: its address or its file.")
def run(
    options: CommandOptions,
    file: Path | None,
    workers: int,
    learners: tuple[str, ...],
    cluster: str | None,
) -> ContinualKind:
    """Run every learner of FILE on its stream of tasks, with every seed and every point of its grid.

    \b
    neurosim continual run stream.toml --learner replay --seeds 3 --workers 2

    FILE may instead be a dataset, a folder of your own recordings or images, which is read as in other runs (--set
    data.options.test=0.3), or an .npz file of embeddings (x_train, y_train, x_test, y_test): then two of its classes
    are new in each task. Images are taken as they are; --set stream.still=false records them by an event camera.

    Each learner and seed has a folder of its own and continues from its last whole task: after Ctrl-C, or when workers
    were killed, give --resume RUN. Results do not depend on --workers; each has one thread unless --threads says.
    With --device cuda the learners that train a network in torch do so there; others are refused by name.
    """
    from ....data import catalog
    from ....learning.continual.sources import ARRAYS
    from . import ContinualKind

    if options.resumed is not None:
        options.check_resume(file, *learners)
        return ContinualKind(workers, cluster)
    if file is not None and options.config is not None:
        raise NeurosimInputError(f"FILE: give it or --config, not both (got {file} and {options.config})")
    if file is not None and not file.is_file() and (file.is_dir() or str(file) in catalog.names()):
        return ContinualKind(workers, cluster, learners, data=with_folder({"data.name": str(file)}))
    if file is not None and file.suffix == ARRAYS:
        return ContinualKind(workers, cluster, learners, data={"stream.source": str(file)})
    if file is not None and file.suffix == ".npy":
        raise NeurosimInputError(f"{file}: holds one array; save items x and labels y together with numpy.savez")
    return ContinualKind(workers, cluster, learners, file)


@command.command("list", cls=Command, short_help="List streams, sources of items, and learners.")
@common(without=NO_RUN)
def list_all(options: CommandOptions) -> CommandResult:
    """List the streams, the sources of their items, the learners, and the measures with their formulas."""
    from ....learning.continual.learners import LEARNERS
    from ....learning.continual.matrix import MEASURES
    from ....learning.continual.sources import SOURCES
    from ....learning.continual.streams import STREAMS

    streams = {name: first_line(recipe.__doc__) for name, recipe in STREAMS.every().items()}
    sources = {name: source.title for name, source in SOURCES.items()}
    entries = LEARNERS.every()
    learners = {name: entry.title for name, entry in entries.items()}
    measures = {name: {"formula": m.formula, "meaning": m.meaning} for name, m in MEASURES.items()}
    free = [name for name, entry in entries.items() if entry.task_free]
    data = {"streams": streams, "sources": sources, "learners": learners, "task_free": free, "measures": measures}
    return CommandResult(data, _listing(streams, sources, learners, free))


def _listing(
    streams: Mapping[str, str], sources: Mapping[str, str], learners: Mapping[str, str], free: Collection[str]
) -> str:
    """Return everything there is to choose, each by name with its title; `free` learners need no boundaries."""
    from ....learning.continual.matrix import MEASURES
    from ..frame.tables import table

    titles = [(name, f"{title}{'; task-free' if name in free else ''}") for name, title in learners.items()]
    measures = [(name, f"{m.formula}: {m.meaning}") for name, m in MEASURES.items()]
    return "\n".join(
        [
            table(sorted(streams.items()), "streams"),
            table(sorted(sources.items()), "sources"),
            table(titles, "learners; those that are task-free take stream.boundaries=false"),
            table(measures, "measures"),
        ]
    )


command.add_command(run)
