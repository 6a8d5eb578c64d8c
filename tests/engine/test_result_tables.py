"""Results in pandas, xarray and Neo hold what the result holds."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from neurosim import (
    LIF,
    AllToAll,
    Network,
    Population,
    Probe,
    Projection,
    Recordings,
    Simulation,
    Spikes,
    SpikeSource,
    simulate,
)
from neurosim.base import NeurosimInputError
from neurosim.engine import Result, tables
from neurosim.engine.connections import connections

NETWORK = Network(
    [Population("in", 3, SpikeSource()), Population("out", 2, LIF())], [Projection("in", "out", AllToAll(), 0.6)]
)
INPUT = Spikes(np.arange(12) * 1e-3, np.arange(12) % 3, 3, 0.02)
PROBES = [Probe("out", "v", 2e-3, units=[1]), Probe("out", "refractory", 5e-3)]


@pytest.fixture
def result() -> Result:
    return simulate(NETWORK, INPUT, probes=PROBES, record=["out"])


@pytest.fixture
def batch() -> Result:
    recordings = Recordings.collect([INPUT, Spikes(np.array([0.0]), np.array([0]), 3, 0.01)])
    return simulate(NETWORK, recordings, probes=PROBES)


def test_pandas(result: Result, batch: Result) -> None:
    pytest.importorskip("pandas")
    table = tables.to_pandas(result)
    spikes = result.spikes["out"]
    assert list(table.columns) == ["time", "unit", "population"] and len(table) == len(spikes) > 4
    np.testing.assert_array_equal(table["time"], spikes.times)
    assert table.groupby("unit").size().tolist() == spikes.counts().tolist()
    many = tables.to_pandas(batch)
    assert many["recording"].tolist() == [0] * len(batch.spikes["out"][0])
    synapses = tables.to_pandas(connections(NETWORK, "in->out"))
    assert synapses[["pre", "post"]].to_numpy().tolist() == [[p, q] for p in range(3) for q in range(2)]


def test_xarray(result: Result, batch: Result) -> None:
    pytest.importorskip("xarray")
    found = tables.to_xarray(result)
    np.testing.assert_array_equal(found["out.v"], result.states["out.v"])
    np.testing.assert_allclose(found["out.v time"], np.arange(10) * 2e-3)
    assert found["out.v unit"].values.tolist() == [1]
    many = tables.to_xarray(batch)["out.v"]
    assert many.dims[0] == "recording" and np.isnan(many[1, 5:]).all() and not np.isnan(many[0]).any()


def test_pieces_have_their_times() -> None:
    pytest.importorskip("xarray")
    simulation = Simulation(NETWORK, INPUT, probes=PROBES)
    simulation.run(0.003)
    piece = simulation.run(0.009)
    assert piece.start == pytest.approx(0.003)
    times = tables.to_xarray(piece)["out.v time"]
    np.testing.assert_allclose(times, [4e-3, 6e-3, 8e-3, 10e-3])
    assert len(times) == len(piece.states["out.v"])


def test_neo(result: Result, batch: Result) -> None:
    pytest.importorskip("neo")
    (segment,) = tables.to_neo(result).segments
    spikes = result.spikes["out"]
    for train in segment.spiketrains:
        np.testing.assert_array_equal(train.magnitude, spikes.times[spikes.units == train.annotations["unit"]])
        assert float(train.t_stop) == spikes.duration
    signal = segment.analogsignals[0]
    assert signal.name == "out.v" and float(signal.sampling_period) == 2e-3
    np.testing.assert_array_equal(signal.magnitude, result.states["out.v"])
    assert [len(segment.spiketrains) for segment in tables.to_neo(batch).segments] == [2, 2]


@pytest.mark.parametrize(
    ("make", "package"), [(tables.to_pandas, "pandas"), (tables.to_xarray, "xarray"), (tables.to_neo, "neo")]
)
def test_what_is_no_result_is_named(make: Callable[[object], object], package: str) -> None:
    pytest.importorskip(package)
    with pytest.raises(NeurosimInputError, match=r"to_\w+\.\w+: must be a Result, .* \(got Simulation\)"):
        make(Simulation(NETWORK, INPUT))
