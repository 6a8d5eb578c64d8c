"""Results as pandas tables, xarray datasets and Neo blocks (extra `tables`).

tables.to_pandas(result)        # population, unit, time, recording of every spike
tables.to_xarray(result)        # samples of the probes over time and units
tables.to_neo(result)           # SpikeTrains and AnalogSignals, for Elephant and other analyses
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..base.distribution import install
from ..base.errors import NeurosimMissingError, require
from ..data.recordings import Recordings
from ..data.spikes import Spikes
from .connections import Connections
from .probe import Probe
from .result import Result


def to_pandas(value: Result | Mapping[str, Spikes | Recordings] | Spikes | Recordings | Connections) -> Any:
    """Return a `pandas.DataFrame` with a row for each spike or synapse.

    Spikes have the columns time (s) and unit; a mapping by population, or a result, population too; `Recordings`
    recording too. `Connections` have pre, post, weight, delay (s).

    Raises:
        NeurosimMissingError: pandas is not installed.
    """
    pandas = _need("pandas")
    if isinstance(value, Connections):
        return pandas.DataFrame({name: getattr(value, name) for name in ("pre", "post", "weight", "delay")})
    if isinstance(value, Spikes):
        return pandas.DataFrame({"time": value.times, "unit": value.units})
    if isinstance(value, Recordings):
        recording = np.repeat(np.arange(len(value)), np.diff(value.offsets))
        return pandas.DataFrame({"recording": recording, "time": value.ticks * value.tick, "unit": value.units})
    if isinstance(value, Result):
        spikes = value.spikes
    else:
        spikes = value
    rule = "must be a Result, its spikes, or Connections"
    require(isinstance(spikes, Mapping), "to_pandas.value", rule, type(value).__name__)
    tables = [to_pandas(each).assign(population=name) for name, each in spikes.items()]
    if not tables:
        return to_pandas(Spikes(np.empty(0), np.empty(0), 1, 0.0)).assign(population=[])
    return pandas.concat(tables, ignore_index=True).astype({"population": "category"})


def to_xarray(result: Result) -> Any:
    """Return an `xarray.Dataset` with a variable for each probe: [time, unit], [recording, time, unit] for a batch.

    Every probe has dimensions of its own, as intervals and units may differ: `E.v time` (s), `E.v unit`. Shorter
    recordings of a batch are filled up with NaN.

    Raises:
        NeurosimMissingError: xarray is not installed.
    """
    xarray = _need("xarray")
    require(isinstance(result, Result), "to_xarray.result", "must be a Result, of a run", type(result).__name__)
    variables: dict[str, object] = {}
    coordinates: dict[str, NDArray[Any]] = {}
    for probe in result.probes:
        samples = result.states[probe.name]
        time = f"{probe.name} time"
        unit = f"{probe.name} unit"
        dimensions = [time, unit]
        if isinstance(samples, list):
            samples = _filled(samples)
            dimensions = ["recording", *dimensions]
        variables[probe.name] = (dimensions, samples, {"interval": probe.interval})
        coordinates[time] = result.sample_times(probe, samples.shape[-2])
        coordinates[unit] = _units(probe, samples.shape[-1])
    return xarray.Dataset(variables, coordinates)


def _filled(pieces: list[NDArray[Any]]) -> NDArray[Any]:
    """Return [recording, time, unit] samples, of which shorter recordings are filled up with NaN."""
    longest = max(len(piece) for piece in pieces)
    filled = np.full((len(pieces), longest, pieces[0].shape[1]), np.nan, pieces[0].dtype)
    for row, piece in zip(filled, pieces, strict=True):
        row[: len(piece)] = piece
    return filled


def to_neo(result: Result) -> Any:
    """Return a `neo.Block`: a segment for each recording, a `SpikeTrain` for each unit, an `AnalogSignal` a probe.

    Trains are annotated with population and unit. Sampled variables have no unit of measurement: they are in volts or
    in the unit of their neuron.

    Raises:
        NeurosimMissingError: Neo is not installed.
    """
    neo = _need("neo")
    quantities = _need("quantities")
    require(isinstance(result, Result), "to_neo.result", "must be a Result, of a run", type(result).__name__)
    block = neo.Block(name="neurosim")
    batches = [each for each in result.spikes.values() if isinstance(each, Recordings)]
    count = len(batches[0]) if batches else 1
    for number in range(count):
        segment = neo.Segment(index=number)
        for name, each in result.spikes.items():
            if isinstance(each, Recordings):
                spikes = each[number]
            else:
                spikes = each
            for unit, times in enumerate(_by_unit(spikes)):
                train = neo.SpikeTrain(times, units="s", t_stop=spikes.duration, population=name, unit=unit)
                segment.spiketrains.append(train)
        for probe in result.probes:
            samples = result.states[probe.name]
            if isinstance(samples, list):
                samples = samples[number]
            signal = neo.AnalogSignal(
                samples,
                units="dimensionless",
                sampling_period=probe.interval * quantities.s,
                t_start=result.sample_times(probe, 1)[0] * quantities.s,
                name=probe.name,
            )
            segment.analogsignals.append(signal)
        block.segments.append(segment)
    return block


def _units(probe: Probe, count: int) -> NDArray[np.int64]:
    if probe.units is None:
        return np.arange(count)
    return np.asarray(probe.units, np.int64)


def _by_unit(spikes: Spikes) -> list[NDArray[np.float64]]:
    order = np.argsort(spikes.units, kind="stable")
    return np.split(spikes.times[order], np.cumsum(spikes.counts())[:-1])


def _need(package: str) -> ModuleType:
    try:
        return importlib.import_module(package)
    except ImportError:
        raise NeurosimMissingError(f"neurosim.engine.tables: needs {package}; run: {install('tables')}") from None
