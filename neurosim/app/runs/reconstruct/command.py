"""`neurosim reconstruct`: a system from its series, by a network that is linear in a few regions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..frame.arguments import count, setting, setting_argument, several
from ..frame.command import run_command
from ..frame.command_options import CommandOptions

if TYPE_CHECKING:
    from . import ReconstructKind


@run_command()
@setting_argument("system.name", "[SERIES]")
@several("--column", "system.columns", "COLUMN", "Column of a table that is observed; default all of numbers.")
@setting("--time", "system.time", metavar="COLUMN", help="Column of times; default the first with dates.")
@count("--steps", "system.steps", "Steps of a computed series; default 100,000.")
@count("--updates", "network.updates", "Updates of the training before the refinement; default 2,000.")
@setting("--refine/--no-refine", "refine", default=None, help="Gauss-Newton updates and a search; the default.")
def command(options: CommandOptions) -> ReconstructKind:
    """Reconstruct a system from its SERIES: a network whose free orbit visits the same states.

    SERIES is a table with values in its columns, or lorenz63, which is computed and takes two to four minutes. The
    network is almost linear: between the borders of a few regions it is a linear map. The page shows its orbit beside
    the series, coloured by region, and the graph of the steps from region to region.

    \b
    neurosim reconstruct lorenz63
    neurosim reconstruct pendulum.csv --column angle --column speed
    """
    from . import KIND

    options.require_argument("system.name", "SERIES", "a table such as pendulum.csv, or lorenz63")
    return KIND
