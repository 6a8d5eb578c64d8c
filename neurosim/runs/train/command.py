"""`neurosim train`."""

from __future__ import annotations

from pathlib import Path

import click

from ..command import (
    PROFILE,
    CommandOptions,
    CommandResult,
    at_least,
    check_resume,
    common,
    complete_dataset,
    resume_option,
)


@click.command()
@click.argument("dataset", required=False, shell_complete=complete_dataset)
@click.option(
    "--epochs", type=int, callback=at_least(1, "must be >= 1"), metavar="N", help="Passes over the training recordings."
)
@click.option("--split", metavar="NAME", help="Split to test on; it trains on the training split.")
@click.option("--limit", type=int, callback=at_least(1, "must be >= 1"), metavar="N", help="At most N test recordings.")
@click.option(
    "--train-limit",
    type=int,
    callback=at_least(1, "must be >= 1"),
    metavar="N",
    help="At most N training recordings.",
)
@PROFILE
@click.option("--nir", "graph", type=click.Path(path_type=Path), metavar="FILE", help="Also write the network as NIR.")
@resume_option("Continue a training that was interrupted or killed, in its own folder.")
@common()
def command(
    options: CommandOptions,
    dataset: str | None,
    epochs: int | None,
    split: str | None,
    limit: int | None,
    train_limit: int | None,
    profile: str | None,
    graph: Path | None,
    resumed: Path | None,
) -> CommandResult:
    """Train a spiking network on DATASET, test it once, and run it event by event; writes a run folder with a report.

    \b
    neurosim train digits                    needs no files
    neurosim train --resume runs/x           continue after the last complete epoch, to the same result bit for bit
    torchrun --standalone --nproc-per-node 2 -m neurosim train digits    two processes share each batch

    Later wins: defaults, those for the dataset, --config, --set (network.hidden=[64], training.learning_rate=0.001,
    augment.shift=2.0, bins.dt=0.02, validation.fraction=0.2), and the other options.
    """
    from . import KIND
    from .config import configure
    from .run import resume, train_network, write_nir

    given = {
        "data.name": dataset,
        "training.epochs": epochs,
        "data.split": split,
        "data.limit": limit,
        "data.train_limit": train_limit,
        "energy.profile": profile,
        "seed": options.seed,
    }
    if resumed is not None:
        check_resume(options, given.values())
        result = resume(resumed, options)
    elif dataset is None and options.config is None and not options.sets:
        raise click.UsageError("no DATASET given; 'neurosim datasets list' names them")
    else:
        result = train_network(configure(options.config, options.sets, given), options)
    if result is None:  # another process of torchrun answers
        return CommandResult({}, "")
    if graph is not None:
        write_nir(Path(result.run), graph)
    return CommandResult.of(KIND, result)
