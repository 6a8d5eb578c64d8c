"""`neurosim sweep`: a run of any kind for every point of a grid."""

from __future__ import annotations

import click

from ....base.errors import NeurosimInputError
from ..frame.arguments import CPU_OR_CUDA, at_least
from ..frame.command import run_command
from ..frame.command_options import CommandOptions
from . import SweepKind

RESUME = "Continue an interrupted sweep: runs that are done stay, those that failed are tried again."


@run_command(devices=CPU_OR_CUDA, without=("config",), resume=RESUME)
@click.argument("target", required=False, metavar="[CONFIG]")
@click.option("--grid", multiple=True, metavar="KEY=A,B,C", help="Values of a setting; repeatable.")
@click.option(
    "--seeds", type=int, callback=at_least(1, "must be >= 1"), metavar="N", help="Seeds of each point; default 1."
)
@click.option("--kind", metavar="NAME", help="The kind of run, such as train; needed for a dataset.")
@click.option(
    "--workers", type=int, default=1, callback=at_least(1, "must be >= 1"), metavar="N", help="Processes; default 1."
)
@click.option("--cluster", metavar="ADDRESS", help="Run on a dask scheduler: its address or its file.")
def command(
    options: CommandOptions,
    target: str | None,
    grid: tuple[str, ...],
    seeds: int | None,
    kind: str | None,
    workers: int,
    cluster: str | None,
) -> SweepKind:
    """Run every point of a grid of settings with several seeds, and show the figures side by side.

    CONFIG is a TOML file of a network or pipeline, the folder of a run of any kind, which is varied, or a dataset or
    another TOML file with --kind.

    \b
    neurosim sweep net.toml --grid population.E.tau_mem=0.01,0.02 --seeds 5
    neurosim sweep digits --kind train --grid network.hidden=[64],[128] --grid training.epochs=5,10
    neurosim sweep RUN --grid population.E.tau_mem=0.01,0.02 --workers 2
    neurosim sweep --resume runs/y

    The keys are those of --set. Every run has a folder of its own in cells/ of the sweep's folder, which has a page,
    sweep.csv, and continues from the runs that are done. The results do not depend on --workers.
    """
    from .config import new_sweep

    if options.resumed is not None:
        options.check_resume(target, *grid, seeds, kind)
        return SweepKind(workers=workers, cluster=cluster)
    if target is None:
        raise NeurosimInputError("CONFIG: is missing; give a TOML file, the folder of a run, or a dataset")
    first = options.seed or 0
    every = range(first, first + (seeds or 1))
    return SweepKind(new_sweep(target, kind, grid, every, options.sets), workers, cluster)
