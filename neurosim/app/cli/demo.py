"""`neurosim demo`: run the embedded digits, and explain the figures."""

from __future__ import annotations

import click

from ..runs.frame.arguments import show_config
from ..runs.frame.command import Command, CommandResult, common
from ..runs.frame.command_options import CommandOptions

DATASET = "digits"


@click.command(cls=Command)
@show_config
@common()
def command(options: CommandOptions) -> CommandResult:
    """Simulate the embedded digits and explain the figures.

    Handwritten digits, moved in three saccades before an emulated event camera, go through a liquid of spiking
    neurons; a linear readout tells them apart.
    """
    from ..runs.frame import lifecycle
    from ..runs.liquid import KIND
    from ..runs.liquid.overview import demo

    options.say("Handwritten digits before an emulated event camera, through a liquid of spiking neurons ...")
    config = KIND.configure(
        options.config, options.sets, {"data.name": DATASET, "baselines.cnn": False, **options.settings}
    )
    result = lifecycle.start(KIND, config, options)
    return CommandResult(result.to_dict(), demo(result).text(result))
