"""`neurosim series`: a series of values through a liquid, and forecasts from its states."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..frame.arguments import PROFILE, count, integers, setting, setting_argument, several
from ..frame.command import run_command
from ..frame.command_options import CommandOptions

if TYPE_CHECKING:
    from . import SeriesKind


@run_command(resume="Continue a run that was interrupted or killed.")
@setting_argument("series.name", "[SERIES]")
@setting("--target", "series.target", metavar="COLUMN", help="Column that is forecast; default the first of numbers.")
@several("--input", "series.inputs", "COLUMN", "Column that the forecast uses; default the target.")
@setting("--time", "series.time", metavar="COLUMN", help="Column of times; default the first with dates.")
@setting("--ahead", "series.horizons", callback=integers, metavar="N,N,..", help="How many values ahead.")
@count("--values", "series.values", "Values of a computed series; default 5,000.", "value")
@count("--neurons", "liquid.neurons", "Neurons of the liquid.", "neuron")
@setting(
    "--memory/--no-memory",
    "states.memory",
    default=None,
    help="Measure memory capacity and kernel quality, the default.",
)
@PROFILE
def command(options: CommandOptions) -> SeriesKind:
    """Drive a liquid by a series of values and forecast it from the liquid's states, by ridge regression.

    SERIES is a table with a time and values in any columns, or a series that is computed: mackey-glass, narma10,
    lorenz. Errors stand beside those of the last value and of a linear autoregression; the liquid's memory capacity and
    kernel quality are measured on random values.

    \b
    neurosim series mackey-glass
    neurosim series load.csv --target load --ahead 1,24
    """
    from . import KIND

    return KIND
