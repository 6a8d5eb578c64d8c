"""`neurosim demo`: run the embedded digits, and explain the figures."""

from __future__ import annotations

import click

from ..runs.frame.arguments import show_config
from ..runs.frame.command import Command, CommandResult, common
from ..runs.frame.command_options import CommandOptions

DATASET = "digits"
# A third of the training recordings and two thirds of the others take 12 CPU s where all take 19, and 93 % are right
# where 96 are. A --set of the user comes after these.
SETS = ("data.train_limit=500", "data.limit=200")


@click.command(cls=Command)
@show_config
@common()
def command(options: CommandOptions) -> CommandResult:
    """Simulate the embedded digits and explain the figures.

    Handwritten digits, moved in three saccades before an emulated event camera, go through a liquid of spiking
    neurons; a linear readout tells them apart. It learns 500 of them and answers 200 others: 'neurosim simulate digits'
    takes all.
    """
    from ..runs.frame import lifecycle
    from ..runs.liquid import KIND
    from ..runs.liquid.overview import demo

    options.say("Handwritten digits before an emulated event camera, through a liquid of spiking neurons ...")
    sets = options.sets if options.config else [*SETS, *options.sets]
    config = KIND.configure(options.config, sets, {"data.name": DATASET, "baselines.cnn": False, **options.settings})
    result = lifecycle.start(KIND, config, options)
    return CommandResult(result.to_dict(), demo(result).text(result))
