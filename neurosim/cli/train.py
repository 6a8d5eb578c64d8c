"""`neurosim train`: a spiking network trained on a dataset, tested, and run event by event, into a run folder."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click

from ..errors import require
from .common import Answer, Options, common, complete_dataset, table, whole


@click.command()
@click.argument("dataset", required=False, shell_complete=complete_dataset)
@click.option(
    "--epochs", type=int, callback=whole("must be >= 1", 1), metavar="N", help="Passes over the training recordings."
)
@click.option("--split", metavar="NAME", help="Split to test on; it trains on the training split.")
@click.option("--limit", type=int, callback=whole("must be >= 1", 1), metavar="N", help="At most N test recordings.")
@click.option(
    "--train-limit", type=int, callback=whole("must be >= 1", 1), metavar="N", help="At most N training recordings."
)
@click.option("--profile", metavar="NAME", help="Energy profile.")
@click.option("--nir", "graph", type=click.Path(path_type=Path), metavar="FILE", help="Also write the network as NIR.")
@click.option(
    "--resume",
    "resumed",
    type=click.Path(path_type=Path),
    metavar="RUN",
    help="Go on with a training that was interrupted or killed, in its own folder.",
)
@common()
def command(
    options: Options,
    dataset: str | None,
    epochs: int | None,
    split: str | None,
    limit: int | None,
    train_limit: int | None,
    profile: str | None,
    graph: Path | None,
    resumed: Path | None,
) -> Answer:
    """Train a spiking network on DATASET, test it once, and run it event by event; writes a run folder with a report.

    \b
    neurosim train digits                    needs no files
    neurosim train --resume runs/x           go on after the last whole epoch, to the same result bit for bit
    torchrun --standalone --nproc-per-node 2 -m neurosim train digits    two processes share each batch

    Later wins: defaults, those for the dataset, --config, --set (network.hidden=[64], training.learning_rate=0.001,
    augment.shift=2.0, bins.dt=0.02, validation.fraction=0.2), and the other options.
    """
    from ..runs import train

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
        decided = (*given.values(), options.config, options.out, *options.sets)
        words = ", ".join(str(value) for value in decided if value is not None)
        require(not words, "--resume", "takes the run as its folder says: leave out what decides it", words)
        result = train.resume(resumed, _job(options, graph))
    else:
        if dataset is None and options.config is None and not options.sets:
            raise click.UsageError("no DATASET given; 'neurosim datasets list' names them")
        from ..runs.train_config import configure

        result = train.train(configure(options.config, options.sets, given), options.out, _job(options, graph))
    return Answer(result, train_table(result)) if result else Answer({}, "")


def train_table(result: Mapping[str, Any]) -> str:
    """What `neurosim train` prints."""
    from ..runs import REPORT
    from ..runs.tables import accuracy, activity, energy

    epochs, best = len(result["history"]), result["best_epoch"]
    head = f"{result['dataset']}: {result['model']} in layers of {', '.join(map(str, result['units']))}, seed "
    checked = result["validation_accuracy"]
    early = ", stopped early" if result["stopped_early"] else ""
    same = "spike for spike" if result["identical"] else "not spike for spike"
    rows = [
        ("trained", f"{result['train_samples']:,} recordings, {epochs} epochs{early}; epoch {best} is kept"),
        ("validation", "-" if checked is None else f"{checked:.1%} of {result['validation_samples']}"),
        (f"accuracy on {result['split']}", accuracy(result)),
        ("event by event", f"{result['engine_accuracy']:.1%}, {same} the trained network"),
        *activity(result),
        *energy(result),
        ("spike digest", result["spike_digest"][:16]),
        ("run", result["run"]),
        ("report", str(Path(result["run"]) / REPORT)),
    ]
    return table(rows, head + str(result["seed"]))


def _job(options: Options, graph: Path | None) -> Any:
    from ..report import write
    from ..runs.train import Job, write_nir

    finish: list[Callable[[Path], object]] = [write]
    if graph is not None:
        finish.append(lambda run: write_nir(run, graph))
    return Job(options.threads, options.quiet, ["neurosim", *sys.argv[1:]], options.say, finish)
