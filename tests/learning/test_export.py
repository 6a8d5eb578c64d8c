"""A trained network in the event-driven engine: the same spikes, its work, and NIR."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from helpers.bars import bars

from neurosim import LIF as EngineLIF
from neurosim import Recordings
from neurosim.base import NeurosimInputError
from neurosim.engine import energy, measure
from neurosim.learning import (
    Augment,
    Binning,
    EventNet,
    LIFLayer,
    NetworkSpec,
    SpikingNet,
    Trainer,
    TrainingSpec,
    to_network,
)
from neurosim.learning.training.export import has_exact_sums
from neurosim.network import LI

BINNING = Binning((2, 8, 8), dt=0.004, duration=0.08)
DESIGNS = {
    "LIF": NetworkSpec(hidden=(24, 16)),
    "LIF reset to zero, trained time constants": NetworkSpec(hidden=(24,), reset="zero", train_tau=True, readout="max"),
    "recurrent": NetworkSpec(hidden=(20, 20), recurrent=True, readout="last"),
    "CurrentLIF": NetworkSpec(neuron="CurrentLIF", hidden=(24,), reset="zero", taps=3),
    "CurrentLIF, subtract": NetworkSpec(neuron="CurrentLIF", hidden=(24,), recurrent=True),
    "drawn, trained constants": NetworkSpec(
        neuron="CurrentLIF", hidden=(24,), reset="zero", tau_spread=3.0, train_tau=True
    ),
    "drawn": NetworkSpec(hidden=(24,), recurrent=True, tau_spread=2.0),
    "SEAdLIF": NetworkSpec(neuron="SEAdLIF", hidden=(24, 16), reset="zero", recurrent=True),
    "AdaptiveLIF, subtract": NetworkSpec(neuron="SEAdLIF", hidden=(24,), readout="count"),
    "convolution": NetworkSpec(filters=(4, 6), kernel=3, stride=1, hidden=(16,), taps=2, tap_steps=3),
    "normalised": NetworkSpec(filters=(4,), kernel=3, hidden=(16,), recurrent=True, normalise=True),
    "counted": NetworkSpec(filters=(4,), kernel=3, hidden=(16,), readout="count", train_tau=True),
}


def trained(design: NetworkSpec, binning: Binning = BINNING) -> SpikingNet:
    net = SpikingNet(binning.shape, 4, design, binning.dt, seed=1)
    how = TrainingSpec(epochs=3, batch=16, learning_rate=0.01), Augment(shift=1.0)
    Trainer(net, binning, bars(12), None, *how).run()
    net.round_for_exact_sums(binning.max_count)
    return net


@torch.no_grad()
def traced(net: SpikingNet, binning: Binning, recordings: Recordings) -> tuple[list[list[np.ndarray]], np.ndarray]:
    """Spikes [layer][recording] of shape [its steps, units], and the scores."""
    batch = binning.batch(recordings, np.arange(len(recordings)))
    trace = net.trace(torch.from_numpy(batch.x), torch.from_numpy(batch.lengths))
    grids = [[s[:n, k].numpy() for k, n in enumerate(batch.lengths)] for s in trace.spikes]
    return grids, trace.scores.numpy()


def same_spikes(net: SpikingNet, binning: Binning, recordings: Recordings, threads: int = 1) -> int:
    """Assert that the engine finds the network's spikes and scores; how many spikes there were."""
    event = EventNet.of(net, binning.max_count)
    assert event.exact
    result = event.run(binning.recordings(recordings), threads=threads)
    grids, scores = traced(net, binning, recordings)
    for layer, expected in enumerate(grids):
        found = event.spikes(result, layer)
        for spikes, grid in zip(found, expected, strict=True):
            np.testing.assert_array_equal(spikes.to_grid(binning.dt), grid)
    # Scores are means over time, which torch sums in an order of its own.
    np.testing.assert_allclose(event.scores(result), scores, rtol=1e-5, atol=1e-5)
    return int(sum(grid.sum() for layer in grids for grid in layer))


@pytest.mark.parametrize("name", DESIGNS)
def test_the_engine_finds_the_spikes_of_the_network(name: str) -> None:
    net = trained(DESIGNS[name])
    assert same_spikes(net, BINNING, bars(6, 500)) > 500


def test_counted_inputs_and_threads_change_nothing() -> None:
    binning = Binning((2, 8, 8), dt=0.01, duration=0.08, pool=2, max_count=0)
    net = trained(NetworkSpec(hidden=(24,)), binning)
    for threads in (1, 2):
        assert same_spikes(net, binning, bars(6, 500), threads) > 100


def test_without_rounding_it_is_not_called_exact() -> None:
    net = SpikingNet(BINNING.shape, 4, DESIGNS["recurrent"], BINNING.dt)
    assert not has_exact_sums(net) and not EventNet.of(net).exact
    net.round_for_exact_sums()
    assert has_exact_sums(net)
    assert EventNet.of(net, portable=True).exact


def test_shared_constants_become_the_engines_own_neurons() -> None:
    network = to_network(SpikingNet((6,), 3, NetworkSpec(hidden=(5,), tau_mem=0.03, tau_out=0.2), 0.01))
    assert network.population("layer1").model == EngineLIF(tau_mem=0.03, soft_reset=True)
    assert network.population("readout").model == LI(tau_mem=0.2)
    assert [p.name for p in network.projections] == ["input->layer1", "layer1->readout"]


def test_the_work_is_what_a_brute_force_count_says() -> None:
    net = trained(DESIGNS["LIF"])
    recordings = bars(3, 500)
    event = EventNet.of(net)
    result = event.run(BINNING.recordings(recordings), count_updates=True)
    grids, _ = traced(net, BINNING, recordings)
    batch = BINNING.batch(recordings, np.arange(len(recordings)))
    inputs = [[batch.x[:n, k] for k, n in enumerate(batch.lengths)], *grids]
    steps = int(sum(batch.lengths)) + len(recordings) * (event.depth + 1)
    for layer, block, arrived in zip(result.work, net.layers, inputs, strict=True):
        weights = block.connection.weight.detach().numpy().T
        expected = sum(int((grid.sum(axis=0) @ (weights != 0)).sum()) for grid in arrived)
        # The engine's last steps let spikes arrive, some of a time that the recording did not have.
        late = layer.synaptic_operations - expected
        assert 0 <= late <= 4 * len(recordings) * weights.size
        assert layer.outputs == block.connection.units and layer.weights == weights.size
        assert layer.dense_operations == weights.size * steps
        assert layer.steps == steps and layer.membrane_updates is not None
    first = result.work[0]
    assert first.input_events == int(batch.x.sum()) and first.spiking
    assert not result.work[-1].spiking
    measures = measure(list(result.work), len(recordings), result.duration, first.input_events).to_dict()
    assert 0.5 < measures["activation_sparsity"] < 1
    assert energy(list(result.work), len(recordings)).memory_aware.low > 0


@pytest.mark.parametrize("name", ["LIF", "recurrent", "convolution", "LIF reset to zero, trained time constants"])
def test_a_network_comes_back_from_nir(name: str, tmp_path: Path) -> None:
    pytest.importorskip("nir")
    from neurosim import simulate
    from neurosim.network import from_nir
    from neurosim.network.nir.files import write_nir
    from neurosim.network.nir.save import to_nir

    net = trained(NetworkSpec(**{**vars(DESIGNS[name]), "readout": "mean", "train_tau": name.endswith("constants")}))
    network = to_network(net, portable=True)
    write_nir(tmp_path / "net.nir", to_nir(network, dt=BINNING.dt))
    back = from_nir(tmp_path / "net.nir")
    played = BINNING.recordings(bars(5, 800))
    here, there = (simulate(n, played, clock=BINNING.dt) for n in (network, back))
    for layer in (p.name for p in network.populations if p.name.startswith("layer")):
        assert len(here.spikes[layer].ticks) > 100  # type: ignore[union-attr]
        assert here.spikes[layer].digest() == there.spikes[layer].digest()
    event = EventNet.of(net)
    spikes = [event.spikes(event.run(played), k) for k in range(len(net.blocks))]
    assert same_spikes(net, BINNING, bars(5, 800)) == sum(len(s.ticks) for s in spikes)


def test_what_nir_or_the_engine_lack_is_named() -> None:
    net = SpikingNet((6,), 3, NetworkSpec(neuron="SEAdLIF", hidden=(5,)), 0.01)
    with pytest.raises(NeurosimInputError, match="to_network: neurons that NIR knows: unknown name 'SEAdLIFLayer'"):
        to_network(net, portable=True)
    with pytest.raises(
        NeurosimInputError, match=r"CurrentLIFLayer.reset: must be zero for NIR's CubaLIF \(got subtract\)"
    ):
        to_network(SpikingNet((6,), 3, NetworkSpec(neuron="CurrentLIF", hidden=(5,)), 0.01), portable=True)
    late = SpikingNet((6,), 3, NetworkSpec(hidden=(5,)), 0.01)
    late.blocks[0].neurons = LIFLayer(5, reset="subtract_late", dt=0.01)
    with pytest.raises(NeurosimInputError, match=r"LIFLayer\.reset: must be subtract or zero to run in the engine"):
        to_network(late)


@pytest.mark.data
def test_real_recordings_give_the_same_spikes(data_root: Path) -> None:
    from neurosim.data import catalog

    train = catalog.load("nmnist", "train", data_root / "NMNIST")
    test = catalog.load("nmnist", "test", data_root / "NMNIST").select(range(0, 100, 3))
    binning = Binning(train.shape, dt=0.01, duration=0.31, pool=2)
    design = NetworkSpec(filters=(6,), kernel=5, hidden=(32,), recurrent=True)
    net = SpikingNet(binning.shape, 10, design, binning.dt)
    Trainer(net, binning, train.select(range(0, 800, 8)), None, TrainingSpec(epochs=1)).run()
    net.round_for_exact_sums()
    assert same_spikes(net, binning, test, threads=2) > 10_000
