"""`neurosim simulate`: a dataset through a liquid, a network in TOML, or a pipeline that learns a dataset."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..errors import require
from ..runs.frame.command import (
    PROFILE,
    CommandOptions,
    CommandResult,
    check_resume,
    common,
    count,
    dataset_argument,
    needs_dataset,
    resume_option,
    setting,
    show_config,
)

if TYPE_CHECKING:
    from ..engine.processes import Processes

SPLIT = "Split to simulate; the readout always learns on the training split."


@click.command()
@dataset_argument(required=False)
@setting("--split", "data.split", metavar="NAME", help=SPLIT)
@count("--limit", "data.limit", "At most N test recordings, even over classes.", "recording")
@PROFILE
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
    "--nir",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Also write what NIR can say of the network or pipeline in --config, as it is before it learns.",
)
@resume_option("Continue a run that was interrupted or killed, in its own folder.")
@show_config
@common()
def command(
    options: CommandOptions,
    models: tuple[str, ...],
    checkpoint_every: float | None,
    nir: Path | None,
    resumed: Path | None,
) -> CommandResult:
    """Simulate DATASET, or the network or pipeline that --config describes, and write a run folder with a report.

    \b
    neurosim simulate digits               train a readout on the training recordings, simulate the test recordings
    neurosim simulate recordings/          the same with a folder of your own recordings
    neurosim simulate --config net.toml    run a network: [simulation], [[population]], [[projection]], ...
    mpirun -n 4 neurosim simulate --config net.toml      the same over processes and machines
    neurosim simulate --config pipe.toml   learn a dataset with a network: the same file, and a table [data]
    neurosim simulate --resume runs/x      continue a run that was interrupted

    DATASET may instead stand in the config, as data.name. Later wins: defaults, the dataset's own, --config, --set,
    and the other options. In a network --set calls the entries by name: --set population.E.tau_mem=0.01.
    """
    from .. import runs
    from ..engine.processes import launched, processes_of
    from ..runs.network.config import is_network
    from ..runs.pipeline.config import is_pipeline

    processes = processes_of(launched())
    alone = "only the network of --config runs over processes; leave mpirun out"
    if resumed is not None:
        check_resume(options, nir)
        kind = runs.open_run(resumed).manifest.kind
        if kind == "network":
            return _run_network(options, models, checkpoint_every, nir, processes, resumed)
        require(processes.size == 1, "mpirun", alone, processes.size)
        require(checkpoint_every is None, "--checkpoint-every", "needs the run of a network", checkpoint_every)
        return _run_pipeline(options, models, nir, resumed) if kind == "pipeline" else _run_dataset(options, resumed)
    network = is_network(options.config) and not is_pipeline(options.config)
    require(network or processes.size == 1, "mpirun", alone, processes.size)
    if is_pipeline(options.config):
        require(checkpoint_every is None, "--checkpoint-every", "is data.save_every in a pipeline", checkpoint_every)
        return _run_pipeline(options, models, nir)
    if network:
        dataset = options.given["data.name"]
        require(dataset is None, "DATASET", "must be left out: the network in --config runs by itself", dataset)
        for name in ("split", "limit"):
            value = options.given[f"data.{name}"]
            require(value is None, f"--{name}", "needs a DATASET, and --config holds a network", value)
        return _run_network(options, models, checkpoint_every, nir, processes)
    require(nir is None, "--nir", "needs a network in --config", nir)
    require(not models, "--model", "needs a network in --config", ", ".join(models))
    require(checkpoint_every is None, "--checkpoint-every", "needs a network in --config", checkpoint_every)
    needs_dataset(options)
    return _run_dataset(options)


def _run_dataset(options: CommandOptions, resumed: Path | None = None) -> CommandResult:
    from ..runs.liquid import KIND
    from ..runs.liquid.config import LiquidConfig
    from ..runs.liquid.run import resume, simulate

    if resumed is not None:
        return CommandResult.of(KIND, resume(resumed, options))
    config = LiquidConfig.configure(options.config, options.sets, options.given)
    return CommandResult.of(KIND, simulate(config, options))


def _run_network(
    options: CommandOptions,
    models: tuple[str, ...],
    checkpoint_every: float | None,
    nir: Path | None,
    processes: Processes,
    resumed: Path | None = None,
) -> CommandResult:
    from ..runs.frame.folder import CONFIG
    from ..runs.network import KIND
    from ..runs.network.config import configure, own_models
    from ..runs.network.run import follow, resume, simulate

    with processes.together():
        own = own_models(models)
        if resumed is not None and processes.root:
            again = resume(resumed, own, options, checkpoint_every=checkpoint_every, processes=processes)
            return CommandResult.of(KIND, again)
        file = options.config if resumed is None else resumed / CONFIG
        assert file is not None  # because it holds a network
        new = (options.sets, _of_network(options.given)) if resumed is None else ((), {})
        config = configure(file, *new, own)
        if processes.root:
            done = simulate(config, options, checkpoint_every=checkpoint_every, nir=nir, processes=processes)
            return CommandResult.of(KIND, done)
        follow(config, options, processes)
    raise click.exceptions.Exit(0)  # process 0 prints


def _run_pipeline(
    options: CommandOptions, models: tuple[str, ...], nir: Path | None, resumed: Path | None = None
) -> CommandResult:
    from ..runs.network.config import own_models
    from ..runs.pipeline import KIND
    from ..runs.pipeline.config import configure
    from ..runs.pipeline.run import resume, simulate

    own = own_models(models)
    if resumed is not None:
        return CommandResult.of(KIND, resume(resumed, own, options))
    assert options.config is not None  # because it holds a pipeline
    config = configure(options.config, options.sets, _of_network(options.given), own)
    return CommandResult.of(KIND, simulate(config, options, nir=nir))


def _of_network(given: Mapping[str, object]) -> Mapping[str, object]:
    """Return settings that options gave by the keys of a network, whose seed is in [simulation]."""
    return {"simulation.seed" if key == "seed" else key: value for key, value in given.items()}
