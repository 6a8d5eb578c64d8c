"""Train a network on a series, refine it, and compare its free orbit with another part of the series."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....base.errors import NeurosimError
from ....data.files.columns import write_columns
from ....learning.training.reconstruction import (
    BEFORE,
    AlmostLinearNetwork,
    reconstruct,
    spectrum_distance,
    state_space_divergence,
)
from ....learning.training.refinement import refine
from ..frame.kind import Inputs, Run
from ..frame.options import RunOptions
from ..frame.progress import bar
from .config import ReconstructConfig
from .data import SystemData, read_system
from .result import NETWORK, ORBIT, ReconstructResult

# Steps of the series and of the orbit that the page shows.
SHOWN = 4000


def load(config: ReconstructConfig, options: RunOptions) -> Inputs[SystemData]:
    """Return the series."""
    data = read_system(config)
    return Inputs(data, {"series": {"digest": data.digest, "values": len(data.learned) + len(data.compared)}})


def work(run: Run[ReconstructConfig, SystemData]) -> ReconstructResult:
    """Train, refine and compare."""
    config = run.config
    data = run.inputs
    network = _trained(run)
    network.save(run.path / NETWORK)
    channels = len(data.names)
    with run.time("compare"):
        states = network.orbit(data.compared[0], BEFORE + len(data.compared))[BEFORE:]
        if not np.isfinite(states).all():
            raise NeurosimError("reconstruct: the network's orbit grows without bound; refine, or train longer")
        free = np.ascontiguousarray(states[:, :channels])
        symbols = network.symbols(states)
        counts = network.transitions(states)
    shown = min(SHOWN, len(free))
    table: dict[str, NDArray[Any]] = {"step": np.arange(shown)}
    for k, name in enumerate(data.names):
        table[f"series_{name}"] = data.compared[:shown, k]
        table[f"orbit_{name}"] = free[:shown, k]
    table["region"] = symbols[:shown]
    write_columns(run.path / ORBIT, table)
    visits = np.bincount(symbols, minlength=len(counts)) / len(symbols)
    # Regions that the orbit never leaves, because it is never there, have no shares.
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    return ReconstructResult(
        dataset=config.system.shown_name,
        names=data.names,
        seed=config.seed,
        steps=len(data.learned),
        compared=len(data.compared),
        units=config.network.units,
        rectified=config.network.rectified,
        updates=config.network.updates,
        generations=config.refinement.generations if config.refine else 0,
        d_stsp=state_space_divergence(data.compared, free),
        d_h=spectrum_distance(data.compared, free),
        same_d_stsp=state_space_divergence(data.compared, data.learned),
        same_d_h=spectrum_distance(data.compared, data.learned),
        visits=tuple(visits.tolist()),
        transitions=tuple(tuple(row) for row in shares.tolist()),
    )


def _trained(run: Run[ReconstructConfig, SystemData]) -> AlmostLinearNetwork:
    """Return the network trained on the series, and refined by its free orbits where the config says so."""
    config = run.config
    data = run.inputs.learned
    with run.time("train"), bar("training", "updates", run.options.quiet) as report:

        def on_update(update: int, loss: float) -> None:
            if report is not None:
                report(update, config.network.updates, f"loss {loss:.4f}")

        network = reconstruct(data, replace(config.network, seed=config.seed), on_update)
    if not config.refine:
        return network
    spec = replace(config.refinement, seed=config.seed)
    with run.time("refine"), bar("refining", "updates", run.options.quiet) as report:

        def on_round(done: int, value: float) -> None:
            if report is not None:
                report(done, spec.updates + spec.generations, f"{value:.4f}")

        return refine(network, data, spec, on_round)
