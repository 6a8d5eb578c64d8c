"""Groups of a sensor's units, which a readout reads beside the neurons of a liquid."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from neurosim import Recordings, Spikes
from neurosim.base import NeurosimInputError
from neurosim.learning import Liquid, Readout, TrainedReadout


def sounds(count: int, seed: int = 0) -> Recordings:
    """Random events of 20 channels; a recording of class 1 has more of them in the upper half."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 2
    some = []
    for label in labels:
        units = np.append(rng.integers(0, 20, 200), rng.integers(10 * label, 10 + 10 * label, 100))
        some.append(Spikes.sort(rng.uniform(0, 0.2, 300), units, 20, 0.2))
    return Recordings.collect(some, labels)


def test_groups_are_units_behind_the_neurons_in_the_order_of_time() -> None:
    recordings = sounds(3)
    liquid = Liquid((20,), neurons=30, in_degree=10, input_groups=4, seed=1)
    spikes = liquid.run(recordings).recordings("liquid")
    read = liquid.read(spikes, recordings)
    assert read.size == 34 and np.array_equal(read.labels, recordings.labels)
    for i in range(3):
        both, own, events = read[i], spikes[i], recordings[i]
        assert np.all(np.diff(both.times) >= 0)
        is_neuron = both.units < 30
        assert np.array_equal(both.units[is_neuron], own.units) and np.array_equal(both.times[is_neuron], own.times)
        # Five channels a group; events lie at the beginning of their step of 1 ms.
        assert np.array_equal(both.units[~is_neuron], 30 + events.units // 5)
        assert np.allclose(both.times[~is_neuron], np.floor(events.times / 1e-3 + 1e-6) * 1e-3)
    assert replace(liquid, input_groups=0).read(spikes, recordings) is spikes


def test_a_readout_reads_them_and_counts_their_work(tmp_path: Path) -> None:
    recordings = sounds(40)
    # Five neurons with one synapse each: the groups tell the classes apart.
    small = Liquid((20,), neurons=5, patches=1, patch_synapses=1, in_degree=0, input_groups=2)
    spikes = small.run(recordings).recordings("liquid")
    read = small.read(spikes, recordings)
    readout = Readout(windows=1).fit(read, recordings.labels)
    readout.save(tmp_path / "readout")
    test = sounds(20, 5)
    inputs = small.read(small.run(test).recordings("liquid"), test)
    again = TrainedReadout.load(tmp_path / "readout")
    assert (again.predict(inputs) == test.labels).mean() > 0.9
    (layer,) = again.work(inputs)
    assert layer.inputs == 2 * 7


def test_more_groups_than_units_are_refused() -> None:
    liquid = Liquid((20,), neurons=5, in_degree=0, input_groups=21)
    with pytest.raises(NeurosimInputError, match=r"input_groups: must be <= 20, the units of the sensor \(got 21\)"):
        liquid.adapt(sounds(2))
