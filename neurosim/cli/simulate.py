"""`neurosim simulate`: a dataset through the configured network, into a run folder with a report."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from ..errors import check
from .common import Answer, Options, common


def _complete(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    from .. import catalog

    return [name for name in catalog.datasets() if name.startswith(incomplete)]


def _positive(context: click.Context, parameter: click.Parameter, value: int | None) -> int | None:
    check(value is None or value >= 1, parameter.opts[0], "must be >= 1 recording", value)
    return value


@click.command()
@click.argument("dataset", required=False, shell_complete=_complete)
@click.option("--split", metavar="NAME", help="Split to simulate; the readout always learns on the training split.")
@click.option(
    "--limit", type=int, callback=_positive, metavar="N", help="At most N test recordings, even over classes."
)
@click.option("--profile", metavar="NAME", help="Energy profile.")
@common()
def command(options: Options, dataset: str | None, split: str | None, limit: int | None, profile: str | None) -> Answer:
    """Train a readout on DATASET's training recordings, simulate its test recordings, and write a run folder.

    DATASET may instead stand in the config, as data.name. Later wins: defaults, the dataset's own, --config, --set,
    and the other options.
    """
    if dataset is None and options.config is None and not options.sets:
        raise click.UsageError("no DATASET given; 'neurosim datasets list' names them")
    given = {"data.name": dataset, "data.split": split, "data.limit": limit, "energy.profile": profile}
    result, page = run(options, given)
    from .tables import result_table

    return Answer(result, result_table(result, page))


def run(options: Options, given: Mapping[str, Any]) -> tuple[dict[str, Any], Path]:
    """Simulate with the common options and `given` settings (None: not given); the result and the report's path."""
    from .. import runs
    from ..report import write

    config = runs.configure(options.config, options.sets, {**given, "seed": options.seed})
    result = runs.simulate(
        config,
        out=options.out,
        threads=options.threads,
        quiet=options.quiet,
        command=["neurosim", *sys.argv[1:]],
        say=options.say,
        finish=[write],
    )
    return result, Path(result["run"]) / runs.REPORT
