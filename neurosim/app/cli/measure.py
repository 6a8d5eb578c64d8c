"""`neurosim measure RUN`: measures and energy from the counts the run stored."""

from __future__ import annotations

from pathlib import Path

import click

from ..runs.frame.arguments import COSTS, run_argument, setting
from ..runs.frame.command import Command, CommandResult, common
from ..runs.frame.command_options import CommandOptions


@click.command(cls=Command)
@run_argument("run")
@setting("--profile", "energy.profile", metavar="NAME", help=f"{COSTS} Left out: the run's own.")
@common(without=("seed", "threads"))
def command(options: CommandOptions, run: Path) -> CommandResult:
    """Print the measures and energy estimates of RUN again, or under another energy profile.

    \b
    neurosim measure RUN --profile loihi2

    Nothing is simulated. With --out, they are also written there as measures.json.
    """
    from ...base.json_toml import write_json
    from ..runs.frame.finished import measure_again, reconfigure
    from ..runs.frame.folder import make_folder, open_run

    folder = open_run(run)
    config = reconfigure(folder, options.config, options.sets, options.settings, changeable=("energy",))
    result = measure_again(folder, config)
    if options.out is not None:
        make_folder(options.out)
        write_json(options.out / "measures.json", result.to_dict())
    return CommandResult(result.to_dict(), result.table())
