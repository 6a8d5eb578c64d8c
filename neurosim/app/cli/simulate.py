"""`neurosim simulate`: a dataset through a liquid, a network in TOML, a table of edges, or a pipeline."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from ...base.errors import require
from ..runs.frame.arguments import PROFILE, SectionOption, count, dataset_argument, setting, several
from ..runs.frame.command import run_command
from ..runs.frame.command_options import CommandOptions
from ..runs.frame.kind import Kind

CHOSEN = "ID|COLUMN=VALUE"
EDGES: Mapping[str, Any] = {"cls": SectionOption, "section": "Options of a table of edges"}
SPLIT = "Split to simulate; the readout always learns on the training split."


@run_command(resume="Continue a run that was interrupted or killed, in its own folder.")
@dataset_argument()
@setting("--split", "data.split", metavar="NAME", help=SPLIT)
@count("--limit", "data.limit", "At most N test recordings, even over classes.", "recording")
@PROFILE
@setting(
    "--edges",
    "edges.file",
    metavar="FILE",
    help="Table of edges, .parquet, .feather or .csv: pre, post, weight.",
    **EDGES,
)
@setting("--neurons", "edges.neurons", metavar="FILE", help="Table of the neurons: ids and properties.", **EDGES)
@several("--activate", "activate.neurons", CHOSEN, "Neurons that get Poisson spikes (--rate) or --current.", **EDGES)
@setting("--rate", "activate.rate", type=float, metavar="HZ", help="Rate of these spikes, for each neuron.", **EDGES)
@setting("--weight", "activate.weight", type=float, metavar="W", help="Weight of these spikes.", **EDGES)
@setting("--current", "activate.current", type=float, metavar="A", help="Current into each activated neuron.", **EDGES)
@several("--silence", "silence", CHOSEN, "Neurons whose spikes reach no other neuron.", **EDGES)
@several("--readout", "readout", CHOSEN, "Neurons in the table of rates; default all that fired.", **EDGES)
@count("--trials", "trials", "Runs, each with random input of its own.", "run", **EDGES)
@setting("--duration", "duration", type=float, metavar="SECONDS", help="Duration of each trial; default 1 s.", **EDGES)
@click.option(
    "--model",
    "models",
    multiple=True,
    metavar="FILE.py:CLASS",
    help="A neuron of your own that --config names; runs the file as Python. Repeatable. The neuron of --edges: this, "
    "or a NAME such as lif.",
)
@click.option(
    "--checkpoint-every",
    type=float,
    metavar="SECONDS",
    help="Save a network's run after so much biological time, to resume it after a kill. After Ctrl-C it resumes in "
    "any case.",
)
@click.option(
    "--nir",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Also write what NIR can say of --config, before it learns.",
)
def command(
    options: CommandOptions, models: tuple[str, ...], checkpoint_every: float | None, nir: Path | None
) -> Kind[Any, Any, Any]:
    """Simulate a dataset, a network, a pipeline or a table of edges; write a run folder with a report.

    \b
    neurosim simulate digits               train a readout, simulate the test recordings
    neurosim simulate recordings/          the same with a folder of your own recordings
    neurosim simulate --config net.toml    run a network: [simulation], [[population]], ...
    mpirun -n 4 neurosim simulate --config net.toml      the same over processes and machines
    neurosim simulate --config pipe.toml   learn a dataset with a network: a table [data], too
    neurosim simulate circuit_config.json  a SONATA network: nodes, edges, inputs and reports
    neurosim simulate --edges connectome.parquet --model lif --activate 17 --rate 100
    neurosim simulate --resume runs/x      continue a run that was interrupted

    Of settings given twice the later counts: the dataset's own, --config, --set, the other options. In a network
    --set calls entries by name: --set population.E.tau_mem=0.01.
    """
    from ...engine.processes import launched, processes_of
    from ..runs.edges import EdgesKind
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
    if name == EdgesKind.name:
        require(nir is None, "--nir", "needs a network in --config", nir)
        return EdgesKind(models)
    if network:
        return NetworkKind(own_models(models), nir, checkpoint_every, circuit=_circuit(options))
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
    from ..runs.edges.config import is_edges
    from ..runs.frame.config import sources_of
    from ..runs.frame.folder import open_run
    from ..runs.frame.settings import merge
    from ..runs.network.config import is_network
    from ..runs.pipeline.config import is_pipeline

    if options.resumed is not None:
        options.check_resume(nir)
        # A folder of any other kind is refused by `lifecycle.resume`, which names the command that continues it.
        name = open_run(options.resumed).manifest.kind
        return name if name in ("network", "pipeline", "edges") else "liquid"
    if _circuit(options) is not None:
        return "network"
    if is_edges(merge(sources_of(options.config, options.sets, options.settings))):
        _refuse_recordings(options, "the table of edges runs by itself")
        return "edges"
    if is_pipeline(options.config):
        return "pipeline"
    if not is_network(options.config):
        options.require_dataset()
        return "liquid"
    _refuse_recordings(options, "the network in --config runs by itself")
    return "network"


def _circuit(options: CommandOptions) -> Path | None:
    """Return the configuration of a SONATA network that stands in the place of DATASET, or in --config."""
    name = options.settings["data.name"]
    path = options.config if name is None else Path(str(name))
    if path is not None and path.suffix == ".json":
        return path
    return None


def _refuse_recordings(options: CommandOptions, reason: str) -> None:
    dataset = options.settings["data.name"]
    require(dataset is None, "DATASET", f"must be left out: {reason}", dataset)
    for key in ("split", "limit"):
        value = options.settings[f"data.{key}"]
        require(value is None, f"--{key}", f"needs a DATASET: {reason}", value)
