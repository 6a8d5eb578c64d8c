"""`neurosim train`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click

from ...errors import require
from ..frame.command import (
    CPU_OR_CUDA,
    PROFILE,
    CommandOptions,
    CommandResult,
    check_resume,
    common,
    count,
    dataset_argument,
    needs_dataset,
    resume_option,
    setting,
    show_config,
)
from ..frame.logs import check_logs, log_option


@click.command()
@dataset_argument(required=False)
@count("--epochs", "training.epochs", "Passes over the training recordings.")
@count("--members", "members", "Networks to train, whose scores are summed.")
@setting("--split", "data.split", metavar="NAME", help="Split to test on; it trains on the training split.")
@count("--limit", "data.limit", "At most N test recordings.")
@count("--train-limit", "data.train_limit", "At most N training recordings.")
@PROFILE
@click.option("--nir", "graph", type=click.Path(path_type=Path), metavar="FILE", help="Also write the network as NIR.")
@log_option
@resume_option("Continue a training that was interrupted or killed, in its own folder.")
@show_config
@common(CPU_OR_CUDA)
def command(options: CommandOptions, graph: Path | None, logs: tuple[str, ...], resumed: Path | None) -> CommandResult:
    """Train a spiking network on DATASET, test it once, and run it event by event; writes a run folder with a report.

    \b
    neurosim train digits                    needs no files; about a minute on two cores
    neurosim train recordings/               a folder of your own recordings
    neurosim train --resume runs/x           continue after the last complete epoch, to the same result bit for bit
    torchrun --standalone --nproc-per-node 2 -m neurosim train digits    two processes share each batch

    Later wins: defaults, those for the dataset, --config, --set (network.hidden=[64], training.learning_rate=0.001,
    augment.shift=2.0, bins.dt=0.02, validation.fraction=0.2), and the other options.

    [network] (--set network.KEY=VALUE) is the network of spiking neurons. With --set attention.kind=gla the layers of
    [attention] are trained in its place, on the bins (attention.layers=2, attention.width=64), then converted into
    spikes (attention.k=3.0) and run bin by bin. With --set elm.memory=100 it is one ELM neuron with so many memories.
    """
    from . import KIND
    from .config import TrainConfig
    from .run import resume, train_network, write_nir

    check_logs(logs)
    options = replace(options, logs=logs)
    if resumed is not None:
        check_resume(options)
        result = resume(resumed, options)
    else:
        needs_dataset(options)
        config = TrainConfig.configure(options.config, options.sets, options.given)
        other = config.other_network
        require(graph is None or not other, "--nir", f"knows no layers of {other}; leave it out", graph)
        require(graph is None or not config.liquid.use, "--nir", "knows no liquid (liquid.use); leave it out", graph)
        result = train_network(config, options)
    if result is None:  # another process of torchrun answers
        return CommandResult({}, "")
    if graph is not None:
        write_nir(Path(result.run), graph)
    return CommandResult.of(KIND, result)
