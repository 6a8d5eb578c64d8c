"""`neurosim simulate`: a dataset through the configured network, or a network in TOML, into a run folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from ..errors import require
from ..runs.command import CommandOptions, CommandResult, at_least, common, complete_dataset


@click.command()
@click.argument("dataset", required=False, shell_complete=complete_dataset)
@click.option("--split", metavar="NAME", help="Split to simulate; the readout always learns on the training split.")
@click.option(
    "--limit",
    type=int,
    callback=at_least(1, "must be >= 1 recording"),
    metavar="N",
    help="At most N test recordings, even over classes.",
)
@click.option("--profile", metavar="NAME", help="Energy profile.")
@click.option(
    "--model",
    "models",
    multiple=True,
    metavar="FILE.py:CLASS",
    help="A neuron of your own that the network in --config names; runs the file as Python. Repeatable.",
)
@click.option(
    "--checkpoint-every",
    type=float,
    metavar="SECONDS",
    help="Of biological time, after which a network's run can be resumed whatever happens. Ctrl-C leaves a resumable "
    "run in any case.",
)
@click.option(
    "--resume",
    "resumed",
    type=click.Path(path_type=Path),
    metavar="RUN",
    help="Take up a run that was interrupted or killed, in its own folder.",
)
@common()
def command(
    options: CommandOptions,
    dataset: str | None,
    split: str | None,
    limit: int | None,
    profile: str | None,
    models: tuple[str, ...],
    checkpoint_every: float | None,
    resumed: Path | None,
) -> CommandResult:
    """Simulate DATASET, or the network that --config describes, and write a run folder with a report.

    \b
    neurosim simulate digits               train a readout on the training recordings, simulate the test recordings
    neurosim simulate --config net.toml    run a network: [simulation], [[population]], [[projection]], ...
    neurosim simulate --resume runs/x      go on with a run that was interrupted

    DATASET may instead stand in the config, as data.name. Later wins: defaults, the dataset's own, --config, --set,
    and the other options. In a network --set calls the entries by name: --set population.E.tau_mem=0.01.
    """
    from ..runs.network.config import is_network

    if resumed is not None:
        return resume(options, resumed, models, checkpoint_every, (dataset, split, limit, profile))
    if is_network(options.config):
        require(dataset is None, "DATASET", "must be left out: the network in --config runs by itself", dataset)
        require(split is None, "--split", "needs a DATASET, and --config holds a network", split)
        require(limit is None, "--limit", "needs a DATASET, and --config holds a network", limit)
        return run_network(options, models, profile, checkpoint_every)
    require(not models, "--model", "needs a network in --config", ", ".join(models))
    require(checkpoint_every is None, "--checkpoint-every", "needs a network in --config", checkpoint_every)
    if dataset is None and options.config is None and not options.sets:
        raise click.UsageError("no DATASET given; 'neurosim datasets list' names them")
    given = {"data.name": dataset, "data.split": split, "data.limit": limit, "energy.profile": profile}
    result, page = run(options, given)
    from ..runs.tables import result_table

    return CommandResult(result, result_table(result, page))


def resume(
    options: CommandOptions,
    path: Path,
    models: tuple[str, ...],
    checkpoint_every: float | None,
    others: tuple[object, ...],
) -> CommandResult:
    """Go on with a run; its folder says what decides its results."""
    from .. import runs
    from ..report import write
    from ..runs import network
    from ..runs.network.config import own_models
    from ..runs.network.run import resume as resume_network
    from ..runs.tables import result_table

    decided = (*others, options.config, options.seed, options.out, *options.sets)
    given = [str(value) for value in decided if value is not None]
    require(not given, "--resume", "takes the run as its folder says: leave out what decides it", ", ".join(given))
    if runs.open_run(path).manifest.get("kind") != network.KIND.name:
        require(checkpoint_every is None, "--checkpoint-every", "needs the run of a network", checkpoint_every)
        result = runs.resume(
            path, threads=options.threads, quiet=options.quiet, command=options.command, finish=[write]
        )
        return CommandResult(result, result_table(result, path / runs.REPORT))
    found = resume_network(path, own_models(models), options, checkpoint_every=checkpoint_every)
    return CommandResult.of(network.KIND, found)


def run_network(
    options: CommandOptions, models: tuple[str, ...], profile: str | None, checkpoint_every: float | None
) -> CommandResult:
    """Run the network that the config describes."""
    from ..runs import network
    from ..runs.network.config import configure, own_models
    from ..runs.network.run import simulate

    assert options.config is not None  # because it holds a network
    given = {"energy.profile": profile, "simulation.seed": options.seed}
    config = configure(options.config, options.sets, given, own_models(models))
    return CommandResult.of(network.KIND, simulate(config, options, checkpoint_every=checkpoint_every))


def run(options: CommandOptions, given: Mapping[str, Any]) -> tuple[dict[str, Any], Path]:
    """Simulate with the common options and `given` settings (None: not given); the result and the report's path."""
    from .. import runs
    from ..report import write

    config = runs.configure(options.config, options.sets, {**given, "seed": options.seed})
    result = runs.simulate(
        config,
        out=options.out,
        threads=options.threads,
        quiet=options.quiet,
        command=options.command,
        say=options.say,
        finish=[write],
    )
    return result, Path(result["run"]) / runs.REPORT
