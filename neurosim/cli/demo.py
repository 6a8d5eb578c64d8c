"""`neurosim demo`: the embedded digits, and what the figures mean."""

from __future__ import annotations

import click

from .common import Answer, Options, common

DATASET = "digits"


@click.command()
@common()
def command(options: Options) -> Answer:
    """Simulate the embedded digits and explain the figures.

    Handwritten digits, moved in three saccades before an emulated event camera, go through a liquid of spiking
    neurons; a linear readout tells them apart.
    """
    from ..runs.tables import demo_text
    from .simulate import run

    options.say("Handwritten digits before an emulated event camera, through a liquid of spiking neurons ...")
    result, page = run(options, {"data.name": DATASET})
    return Answer(result, demo_text(result, page))
