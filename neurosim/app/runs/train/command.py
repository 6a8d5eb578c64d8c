"""`neurosim train`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..frame.arguments import CPU_OR_CUDA, PROFILE, count, dataset_argument, setting
from ..frame.command import run_command
from ..frame.command_options import CommandOptions
from ..frame.logs import log_option

if TYPE_CHECKING:
    from . import TrainKind


@run_command(devices=CPU_OR_CUDA, resume="Continue a training that was interrupted or killed, in its own folder.")
@dataset_argument()
@count("--epochs", "training.epochs", "Passes over the training recordings.")
@count("--members", "members", "Networks to train, whose scores are summed.")
@setting("--split", "data.split", metavar="NAME", help="Split to test on; it trains on the training split.")
@count("--limit", "data.limit", "At most N test recordings.")
@count("--train-limit", "data.train_limit", "At most N training recordings.")
@PROFILE
@click.option("--nir", type=click.Path(path_type=Path), metavar="FILE", help="Also write the network as NIR.")
@log_option
def command(options: CommandOptions, nir: Path | None) -> TrainKind:
    """Train a spiking network on DATASET, test it once, and run it event by event; writes a run folder with a report.

    \b
    neurosim train digits                    needs no files; learns 1,000 recordings, for a first look
    neurosim train digits --train-limit 1497 --set baselines.cnn=true    all, and a small CNN beside
    neurosim train recordings/               a folder of your own recordings
    neurosim train --resume runs/x           continue after the last complete epoch, to the same bits
    torchrun --standalone --nproc-per-node 2 -m neurosim train digits    two processes, one batch

    Later wins: defaults, those for the dataset, --config, --set (network.hidden=[64], training.learning_rate=0.001,
    augment.shift=2.0, bins.dt=0.02, validation.fraction=0.2), and the other options.

    [network] (--set network.KEY=VALUE) is the network of spiking neurons. With --set attention.kind=gla the layers of
    [attention] are trained in its place, on the bins (attention.layers=2, attention.width=64), then converted into
    spikes (attention.k=3.0) and run bin by bin. lightnet2d and plstm2d see a recording as the image of its counts, and
    stay as they are. With --set elm.memory=100 it is one ELM neuron with so many memories.
    """
    from . import TrainKind

    if options.resumed is None:
        options.require_dataset()
    return TrainKind(nir)
