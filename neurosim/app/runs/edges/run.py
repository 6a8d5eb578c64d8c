"""Simulate the network of a table of edges over trials, and write one table of rates."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ....base.errors import lookup
from ....base.measure.estimates import energy
from ....base.measure.measures import measure
from ....base.measure.work import LayerCounts
from ....data.files.columns import write_columns
from ....data.files.sonata import write_sonata
from ....data.spikes import Spikes
from ....engine.result import Progress, Result
from ....engine.simulation import Simulation
from ....network.edges import Activation, Edges, read_edges
from ....network.network import Network
from ....network.neurons import MODELS
from ....network.neurons.base import Neuron
from ..frame.folder import SPIKES
from ..frame.kind import Inputs, Run
from ..frame.progress import simulation_bar
from ..network.config import own_models
from .config import EdgesConfig, NeuronModel
from .result import EdgesResult, NeuronRate

# Neurons of the page's table; the file has all.
MAX_SHOWN = 20
NEURONS = "neurons"
BLOCK = 1 << 20


@dataclass(frozen=True, eq=False)
class EdgesInputs:
    """The network of a run, and the units that its settings name.

    Attributes:
        edges: of the table.
        network: their network.
        activated, silenced: units.
        readout: units in the table of rates; None: all that fired.
    """

    edges: Edges
    network: Network
    activated: NDArray[np.int64]
    silenced: NDArray[np.int64]
    readout: NDArray[np.int64] | None


EdgesRun: TypeAlias = Run[EdgesConfig, EdgesInputs]


def load(config: EdgesConfig, models: Sequence[str]) -> Inputs[EdgesInputs]:
    """Return the network that the tables describe; raise where a setting does not fit them.

    Args:
        models: FILE.py:CLASS texts of neurons of the user's own.
    """
    tables = config.edges
    edges = read_edges(
        tables.file,
        pre=tables.pre,
        post=tables.post,
        weight=tables.weight,
        delay=tables.delay,
        weight_scale=tables.weight_scale,
        delay_scale=tables.delay_scale,
        neurons=tables.neurons,
        id=tables.id,
    )
    activated = edges.units(config.activate.neurons, "activate.neurons")
    silenced = edges.units(config.silence, "silence")
    readout = edges.units(config.readout, "readout") if config.readout else None
    activation = Activation(
        config.activate.neurons,
        rate=config.activate.rate,
        weight=config.activate.weight,
        current=config.activate.current,
        receptor=config.activate.receptor,
    )
    model = neuron_of(config.neuron, models)
    network = Network.from_edges(edges, model, activate=[activation], receptor=config.neuron.receptor)
    files = [tables.file] if tables.neurons is None else [tables.file, tables.neurons]
    data = {Path(each).name: {"file": str(Path(each).absolute()), "sha256": _sha256(each)} for each in files}
    inputs = EdgesInputs(edges=edges, network=network, activated=activated, silenced=silenced, readout=readout)
    return Inputs(inputs, data, {"seed": config.seed, "own_models": list(models)})


def neuron_of(settings: NeuronModel, models: Sequence[str]) -> Neuron:
    """Return the neuron that settings name, in upper or lower case.

    Raises:
        NeurosimInputError: no such model or parameter, or a value that breaks its rule.
    """
    own = {name: model for name, (model, _) in own_models(models).items()}
    known = MODELS.beside(own)
    names = {name.lower(): name for name in known}
    owner: Any = lookup(known, names.get(settings.model.lower(), settings.model), "neuron.model")
    parameters = dict.fromkeys(each.name for each in fields(owner) if each.init)
    for name in settings.parameters:
        lookup(parameters, name, f"neuron.parameters of {owner.__name__}")
    model: Neuron = owner(**settings.parameters)
    return model


def work(run: EdgesRun) -> EdgesResult:
    """Run all trials, write the spikes of the first one (SONATA) and the table of rates."""
    config = run.config
    inputs = run.inputs
    edges = inputs.edges
    with run.time("build"):
        simulation = Simulation(
            inputs.network,
            clock=config.clock,
            seed=config.seed,
            threads=run.options.threads,
            precision=config.precision,
            record=[NEURONS],
            count_updates=config.count_updates,
        )
        simulation.silence(NEURONS, inputs.silenced)
    with run.time("run"), simulation_bar(f"simulating {len(edges):,} edges", run.options.quiet) as progress:
        trials = _run_trials(run, simulation, progress)
    counts = trials.counts
    total = config.trials * config.duration
    rows = inputs.readout
    if rows is None:
        # Silent neurons would be lines of zeros.
        rows = np.flatnonzero(counts.any(axis=0))
    rates = table_of_rates(edges, counts, rows, config.duration)
    write_columns(run.path / config.rates, rates)
    layers = trials.work
    return EdgesResult(
        network=Path(config.edges.file).stem,
        seed=config.seed,
        model=type(inputs.network.population(NEURONS).model).__name__,
        neurons=edges.size,
        edges=len(edges),
        clock=config.clock,
        trials=config.trials,
        activated=len(inputs.activated),
        silenced=len(inputs.silenced),
        fired=int(counts.any(axis=0).sum()),
        spikes=int(counts.sum()),
        spike_digest=trials.digest,
        simulated_seconds=total,
        real_time_factor=trials.run_s / total,
        build_s=simulation.build_s,
        run_s=trials.run_s,
        table=config.rates,
        rows=len(rows),
        highest=_highest(rates),
        measures=measure(layers, 1, config.duration, None),
        energy=energy(layers, 1, config.energy.profile),
    )


class _Trials(NamedTuple):
    """Activity of all trials.

    Attributes:
        counts: [trials, units] spikes.
        digest: of the spikes of all trials, in their order.
        work: of the first trial, by layer.
        run_s: seconds that all took.
    """

    counts: NDArray[np.int64]
    digest: str
    work: list[LayerCounts]
    run_s: float


def _run_trials(run: EdgesRun, simulation: Simulation, progress: Callable[[Progress], object] | None) -> _Trials:
    """Run all trials, and write the spikes of the first one."""
    config = run.config
    counts = np.zeros((config.trials, run.inputs.edges.size), np.int64)
    digest = hashlib.sha256()
    results: list[Result] = []
    started = time.perf_counter()
    total = config.trials * config.duration
    before = 0
    for trial in range(config.trials):
        # Trials share the network that was built; only what is drawn while they run differs.
        current = simulation if trial == 0 else simulation.with_trial(trial)

        def report(piece: Progress, done: float = trial * config.duration, spikes: int = before) -> None:
            if progress is not None:
                elapsed = time.perf_counter() - started
                progress(Progress(done + piece.done, total, spikes + piece.spikes, elapsed))

        result = current.run(config.duration, progress=report)
        spikes = result.spikes[NEURONS]
        if not isinstance(spikes, Spikes):
            raise TypeError("a run without a batch has one recording of each population")
        before += len(spikes)
        digest.update(spikes.digest().encode())
        counts[trial] = spikes.counts()
        if trial == 0:
            # The page shows these; a table of rates is what all trials are for.
            write_sonata(run.path / SPIKES, {NEURONS: spikes})
        results.append(result)
    return _Trials(counts, digest.hexdigest(), list(results[0].work), sum(result.run_s for result in results))


def table_of_rates(
    edges: Edges, counts: NDArray[np.int64], units: NDArray[np.int64], duration: float
) -> dict[str, NDArray[Any]]:
    """Return the columns of the table of rates.

    Args:
        counts: [trials, units] spikes of all neurons.
        units: rows of the table.
        duration: of a trial, s.
    """
    own = counts[:, units]
    rates = own / duration
    return {
        "id": edges.ids[units],
        "rate_hz": rates.mean(axis=0),
        "sd_hz": rates.std(axis=0),
        "spikes": own.sum(axis=0),
        "active_trials": np.count_nonzero(own, axis=0),
    }


def _highest(rates: dict[str, NDArray[Any]]) -> tuple[NeuronRate, ...]:
    # Stable: neurons of equal rate stay in the order of their ids.
    order = np.argsort(-rates["rate_hz"], kind="stable")[:MAX_SHOWN]
    return tuple(
        NeuronRate(
            id=str(rates["id"][k]),
            rate_hz=float(rates["rate_hz"][k]),
            sd_hz=float(rates["sd_hz"][k]),
            spikes=int(rates["spikes"][k]),
            active_trials=int(rates["active_trials"][k]),
        )
        for k in order
    )


def _sha256(path: str) -> str:
    state = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(BLOCK):
            state.update(block)
    return state.hexdigest()
