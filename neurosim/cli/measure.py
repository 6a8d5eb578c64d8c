"""`neurosim measure RUN`: measures and energy from the counts the run stored."""

from __future__ import annotations

from pathlib import Path

import click

from .common import Answer, Options, common


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--profile", metavar="NAME", help="Energy profile; the run's own when left out.")
@common()
def command(options: Options, run: Path, profile: str | None) -> Answer:
    """Print the measures and energy estimates of RUN again, under another energy profile if asked.

    Nothing is simulated. With --out, they are also written there as measures.json.
    """
    from .. import files, runs
    from ..runs.tables import measures_table

    folder = runs.open_run(run)
    given = {"seed": options.seed, "energy.profile": profile}
    config = runs.reconfigure(folder, options.config, options.sets, given, changeable=("energy",))
    data = runs.measure_again(folder, config)
    if options.out is not None:
        runs.make_folder(options.out)
        files.write_json(options.out / "measures.json", data)
    return Answer(data, measures_table(data))
