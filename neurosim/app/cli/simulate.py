"""`neurosim simulate`: a dataset through a liquid, a network in TOML, or a pipeline that learns a dataset."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ...base.errors import require
from ..runs.frame.arguments import PROFILE, count, dataset_argument, setting
from ..runs.frame.command import run_command
from ..runs.frame.command_options import CommandOptions
from ..runs.frame.kind import Kind

SPLIT = "Split to simulate; the readout always learns on the training split."


@run_command(resume="Continue a run that was interrupted or killed, in its own folder.")
@dataset_argument()
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
def command(
    options: CommandOptions, models: tuple[str, ...], checkpoint_every: float | None, nir: Path | None
) -> Kind[Any, Any, Any]:
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
    from ...engine.processes import launched, processes_of
    from ..runs.liquid import LiquidKind
    from ..runs.network import NetworkKind
    from ..runs.network.config import own_models
    from ..runs.pipeline import PipelineKind

    name = _kind(options, nir)
    network = name == NetworkKind.name
    pipeline = name == PipelineKind.name
    processes = processes_of(launched()).size
    alone = "only the network of --config runs over processes; leave mpirun out"
    require(network or processes == 1, "mpirun", alone, processes)
    if pipeline:
        rule = "is data.save_every in a pipeline"
    else:
        rule = "needs a network in --config"
    require(network or checkpoint_every is None, "--checkpoint-every", rule, checkpoint_every)
    if network:
        return NetworkKind(own_models(models), nir, checkpoint_every)
    if pipeline:
        return PipelineKind(own_models(models), nir)
    require(nir is None, "--nir", "needs a network in --config", nir)
    require(not models, "--model", "needs a network in --config", ", ".join(models))
    return LiquidKind()


def _kind(options: CommandOptions, nir: Path | None) -> str:
    """Return the name of the kind of run: from the folder to resume, or else from the settings.

    Raises:
        NeurosimInputError: options that such a run does not have.
    """
    from ..runs.frame.folder import open_run
    from ..runs.network.config import is_network
    from ..runs.pipeline.config import is_pipeline

    if options.resumed is not None:
        options.check_resume(nir)
        name = open_run(options.resumed).manifest.kind
        return name if name in ("network", "pipeline") else "liquid"
    if is_pipeline(options.config):
        return "pipeline"
    if not is_network(options.config):
        options.require_dataset()
        return "liquid"
    dataset = options.settings["data.name"]
    require(dataset is None, "DATASET", "must be left out: the network in --config runs by itself", dataset)
    for key in ("split", "limit"):
        value = options.settings[f"data.{key}"]
        require(value is None, f"--{key}", "needs a DATASET, and --config holds a network", value)
    return "network"
