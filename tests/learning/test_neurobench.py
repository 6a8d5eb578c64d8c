"""NeuroBench: our networks by its metrics, its models by ours, on the same data."""

from __future__ import annotations

import importlib
import sys
from typing import Any

import numpy as np
import pytest

from neurosim.base.distribution import install

torch = pytest.importorskip("torch")
from helpers.bars import bars

from neurosim.base import NeurosimInputError, NeurosimMissingError
from neurosim.learning import Binning, NetworkSpec, SpikingNet

BINNING = Binning((2, 8, 8), dt=0.008, duration=0.08)


def test_without_the_package_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "neurobench", None)
    monkeypatch.delitem(sys.modules, "neurosim.learning.training.neurobench", raising=False)
    with pytest.raises(NeurosimMissingError, match=r"training\.neurobench: needs neurobench") as raised:
        importlib.import_module("neurosim.learning.training.neurobench")
    assert install("neurobench") in str(raised.value)


@pytest.fixture(scope="module")
def bench() -> Any:
    pytest.importorskip("neurobench")
    from neurosim.learning.training import neurobench

    return neurobench


def made(**spec: Any) -> SpikingNet:
    net = SpikingNet(BINNING.shape, 4, NetworkSpec(hidden=(24, 16), **spec), BINNING.dt, seed=2)
    net.calibrate(torch.from_numpy(BINNING.batch(bars(3), np.arange(12)).x))
    net.round_for_exact_sums()
    return net


@pytest.mark.parametrize("recurrent", [False, True])
def test_both_count_the_same_network(bench: Any, recurrent: bool) -> None:
    net = made(recurrent=recurrent)
    recordings = bars(4, 300)
    rows = {row.name: row for row in bench.compare(net, BINNING, recordings)}
    for name in ("ClassificationAccuracy", "ParameterCount"):
        assert rows[name].ours == pytest.approx(rows[name].theirs), name
    # Spikes of the last steps arrive after NeuroBench has stopped counting.
    acs = rows["Effective_ACs"]
    assert acs.theirs == pytest.approx(acs.ours, rel=0.02) and acs.ours > 1000
    assert rows["ActivationSparsity"].theirs == pytest.approx(rows["ActivationSparsity"].ours, abs=0.05)
    text = bench.table(rows.values())
    assert "NeuroBench" in text and "no state" in text


def test_convolutions_are_refused(bench: Any) -> None:
    with pytest.raises(NeurosimInputError, match=r"NetModel\.net: must have dense layers alone"):
        bench.NetModel(made(filters=(3,), kernel=3))


def test_a_model_of_neurobench_by_our_measures(bench: Any) -> None:
    from neurobench.metrics.workload import SynapticOperations
    from neurobench.models import TorchModel

    class Net(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = torch.nn.Linear(6, 5)
            self.act = torch.nn.ReLU()
            self.last = torch.nn.Linear(5, 3)

        def forward(self, batch: Any) -> Any:
            return sum(self.last(self.act(self.first(batch[:, t]))) for t in range(batch.shape[1]))

    torch.manual_seed(0)
    model = TorchModel(Net())
    batch = (torch.rand(7, 4, 6) < 0.4).float()
    ours = bench.measure_model(model, [batch[:3], batch[3:]])
    metric = SynapticOperations()
    model.register_hooks()
    model(batch)
    theirs = metric(model, None, (batch, None))
    model.cleanup_hooks()
    for name in ("Effective_ACs", "Effective_MACs", "Dense"):
        assert getattr(ours.synaptic_operations, name) == pytest.approx(float(theirs[name])), name
    with pytest.raises(NeurosimInputError, match="must have linear layers alone"):
        bench.measure_model(TorchModel(torch.nn.Sequential(torch.nn.Conv1d(1, 1, 2), torch.nn.ReLU())), [batch])
