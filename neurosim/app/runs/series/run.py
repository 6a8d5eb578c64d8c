"""Drive a liquid by a series, fit a readout to its states, and write the forecasts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ....base.measure.activity import count
from ....base.measure.estimates import energy
from ....base.measure.measures import measure
from ....base.measure.work import LayerCounts
from ....data.files.columns import write_columns
from ....data.recordings import Recordings
from ....engine.result import Progress, Result
from ....learning.liquid.regression import (
    RidgeRegression,
    TrainedRegression,
    ahead,
    lagged,
    normalised_error,
)
from ....learning.liquid.series import SeriesLiquid, kernel_ranks, memory_capacity
from ..frame.folder import READOUT
from ..frame.kind import Inputs, Run
from ..frame.options import RunOptions
from ..frame.progress import simulation_bar
from ..liquid.stages import Stage, StageCache
from .config import SeriesConfig
from .data import SeriesInputs, read_inputs
from .result import FORECASTS, HorizonError, SeriesResult

# Values at the beginning that set the liquid's gains.
GAIN_VALUES = 500
SeriesRun: TypeAlias = Run[SeriesConfig, SeriesInputs]


def load(config: SeriesConfig, options: RunOptions) -> Inputs[SeriesInputs]:
    """Return the series; raise where it is too short for the settings."""
    inputs = read_inputs(config)
    return Inputs(inputs, {"series": {"digest": inputs.digest, "values": len(inputs.target)}})


def work(run: SeriesRun) -> SeriesResult:
    """Train the readout on the states of the training part, and test it on the others."""
    config = run.config
    own = run.inputs
    tuned = _tuned(run)
    result = _played(run, tuned)
    spikes = result.recordings("liquid")
    with run.time("read"):
        liquid_states = tuned.states(spikes)[0]
        # The readout sees the inputs beside the states, as in echo-state networks.
        states = np.concatenate([liquid_states, lagged(own.inputs, config.states.inputs)], axis=1)
        targets = ahead(own.target, own.horizons)
        trained, forecasts = _forecasts(run, states, targets)
        trained.save(run.path / READOUT)
        errors = _errors(run, forecasts, targets, trained.penalties)
        _write(run, forecasts, targets)
        layers = [*result.work, _readout_work(trained, states)]
    values = len(own.target)
    memory: NDArray[np.float64] = np.empty(0)
    ranks = None
    if config.states.memory:
        with run.time("memory"):
            memory = _memory(run, tuned)
            ranks = kernel_ranks(tuned, seed=config.seed, threads=run.options.threads)
    return SeriesResult(
        dataset=config.series.shown_name,
        target=own.target_name,
        inputs=own.names,
        seed=config.seed,
        samples=values,
        train=own.train,
        missing=own.missing,
        lags=config.series.lags,
        neurons=config.liquid.neurons,
        states=states.shape[1],
        spikes=len(spikes.ticks) / values,
        errors=errors,
        memory=tuple(memory.tolist()),
        memory_capacity=float(memory.sum()) if memory.size else None,
        kernel_rank=None if ranks is None else ranks.kernel,
        generalisation_rank=None if ranks is None else ranks.generalisation,
        ranked=None if ranks is None else ranks.states,
        spectral_radius=tuned.liquid.spectral_radius(),
        digest=spikes.digest(),
        real_time_factor=result.real_time_factor,
        measures=measure(layers, values, result.duration, len(tuned.code.encode(own.inputs[None]).ticks)),
        energy=energy(layers, values, config.energy.profile),
    )


def series_liquid(config: SeriesConfig, inputs: NDArray[np.float64]) -> SeriesLiquid:
    """Return the liquid of a config, whose code has the ranges of [values, columns] inputs."""
    low = tuple(inputs.min(axis=0).tolist())
    high = tuple(inputs.max(axis=0).tolist())
    code = replace(config.code, low=low, high=high)
    liquid = replace(config.liquid, shape=code.shape, seed=config.seed)
    return SeriesLiquid(liquid, code, config.states.taus)


def _tuned(run: SeriesRun) -> SeriesLiquid:
    """Return the liquid with its gains; ranges and gains are those of the training part."""
    own = run.inputs
    bare = series_liquid(run.config, own.inputs[: own.train])

    def adapt() -> Stage:
        tuned = bare.adapt(own.inputs[: min(GAIN_VALUES, own.train)], run.options.threads)
        return Stage({}, {"gains": np.asarray(tuned.liquid.gains)})

    with run.time("adapt"):
        gains = StageCache(run.path).get_or_compute("gains", adapt).arrays["gains"]
    return replace(bare, liquid=replace(bare.liquid, gains=gains))


def _played(run: SeriesRun, tuned: SeriesLiquid) -> Result:
    """Return the activity of the liquid, in the folder as a stage until the run is done."""
    inputs = run.inputs.inputs
    threads = run.options.threads

    def simulated(recordings: Recordings, progress: Callable[[Progress], object] | None) -> Result:
        return tuned.liquid.run(recordings, threads=threads, count_updates=True, progress=progress)

    title = f"simulating {run.config.series.shown_name}"
    with run.time("simulate"), simulation_bar(title, run.options.quiet) as progress:
        return StageCache(run.path).simulate("series", tuned.code.encode(inputs[None]), simulated, progress)


def _memory(run: SeriesRun, tuned: SeriesLiquid) -> NDArray[np.float64]:
    def compute() -> Stage:
        return Stage({}, {"memory": memory_capacity(tuned, seed=run.config.seed, threads=run.options.threads)})

    return StageCache(run.path).get_or_compute("memory", compute).arrays["memory"]


def _forecasts(
    run: SeriesRun, states: NDArray[np.float64], targets: NDArray[np.float64]
) -> tuple[TrainedRegression, dict[str, NDArray[np.float64]]]:
    """Return the trained readout, and [values, horizons] forecasts of the test part by name, NaN before it."""
    own = run.inputs
    settings = run.config.series
    begin = max(settings.washout, settings.lags, run.config.states.inputs)
    # No target of the training part may lie in the test part.
    end = own.train - max(own.horizons)
    trained = RidgeRegression().fit(states[begin:end], targets[begin:end])
    rows = lagged(own.inputs, settings.lags)
    linear = RidgeRegression().fit(rows[begin:end], targets[begin:end])
    forecasts = {
        "liquid": trained.predict(states[own.train :]),
        "linear": linear.predict(rows[own.train :]),
    }
    if own.is_own:
        forecasts["last"] = np.repeat(own.target[own.train :, None], len(own.horizons), axis=1)
    return trained, forecasts


def _errors(
    run: SeriesRun,
    forecasts: dict[str, NDArray[np.float64]],
    targets: NDArray[np.float64],
    penalties: NDArray[np.float64],
) -> tuple[HorizonError, ...]:
    own = run.inputs
    # All horizons are tested on the same values.
    end = len(own.target) - max(own.horizons)
    tested = targets[own.train : end]
    errors = {name: normalised_error(each[: len(tested)], tested) for name, each in forecasts.items()}
    return tuple(
        HorizonError(
            horizon=horizon,
            liquid=float(errors["liquid"][k]),
            linear=float(errors["linear"][k]),
            last=float(errors["last"][k]) if "last" in errors else None,
            penalty=float(penalties[k]),
        )
        for k, horizon in enumerate(own.horizons)
    )


def _write(run: SeriesRun, forecasts: dict[str, NDArray[np.float64]], targets: NDArray[np.float64]) -> None:
    """Write forecasts.csv: for each value of the test part the forecasts from it, and what came."""
    own = run.inputs
    rows = np.arange(own.train, len(own.target))
    table: dict[str, NDArray[Any]] = {"value": rows}
    if own.texts:
        table["time"] = np.array(own.texts)[rows]
    table["target"] = own.target[rows]
    for k, horizon in enumerate(own.horizons):
        table[f"ahead_{horizon}"] = targets[rows, k]
        table[f"forecast_{horizon}"] = forecasts["liquid"][:, k]
    write_columns(run.path / FORECASTS, table)


def _readout_work(trained: TrainedRegression, states: NDArray[np.float64]) -> LayerCounts:
    """Return the work of the readout, each value being a step."""
    x = states[:, None].astype(np.float32)
    outputs = trained.predict(states)[:, None].astype(np.float32)
    none = np.zeros((*outputs.shape, 0), np.float32)
    return count("readout", trained.weights.astype(np.float32), x, outputs, none, spiking=False)
