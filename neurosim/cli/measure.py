"""`neurosim measure RUN`: measures and energy from the counts the run stored."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..runs.command import CommandOptions, CommandResult, common, setting

if TYPE_CHECKING:
    from ..runs.finished import MeasuredAgain


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@setting("--profile", "energy.profile", metavar="NAME", help="Energy profile; the run's own when left out.")
@common()
def command(options: CommandOptions, run: Path) -> CommandResult:
    """Print the measures and energy estimates of RUN again, under another energy profile if asked.

    Nothing is simulated. With --out, they are also written there as measures.json.
    """
    from .. import files, runs

    folder = runs.open_run(run)
    config = runs.reconfigure(folder, options.config, options.sets, options.given, changeable=("energy",))
    result = runs.measure_again(folder, config)
    if options.out is not None:
        runs.make_folder(options.out)
        files.write_json(options.out / "measures.json", result.to_dict())
    return CommandResult(result.to_dict(), _table(result))


def _table(result: MeasuredAgain) -> str:
    """Return every measure with its unit, then energy; what is unknown says why."""
    from ..measure import DEFINITIONS
    from ..runs.tables import energy_rows, joules, quantity, table

    heading, measures = result.heading, result.measures
    if "network" in heading:
        head, each = f"{heading['network']}, from {result.run}", "the run"
    else:
        head = f"{heading['dataset']} {heading['split']}: {heading['samples']} recordings, from {result.run}"
        each = "a recording"
    rows = []
    for name, definition in DEFINITIONS.items():
        value, unit = measures[name], "B" if definition.unit == "bytes" else definition.unit
        known = quantity(value, "B") if unit == "B" else f"{quantity(value)} {unit}".rstrip()
        unknown = f"- ({measures.reasons.get(name, 'not recorded')})"
        rows.append((definition.title, unknown if value is None else known))
    published = [
        (f"  on {chip.title}", joules(chip.energy) if chip.energy else f"- ({chip.reason})")
        for chip in result.energy.published
    ]
    energy = energy_rows(result.energy, each)
    return table([*rows, *energy, ("Published figures per event", ""), *published], head)
