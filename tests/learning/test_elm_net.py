"""The ELM neuron as a trained network: dropped inputs, training that resumes, the same answers in the engine."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from helpers import command
from helpers.bars import bars
from helpers.training import BINNING, SCHEDULE, assert_resumes

from neurosim import Spikes, simulate
from neurosim.app.runs.train.config import TrainConfig
from neurosim.base import NeurosimInputError
from neurosim.engine import read_description
from neurosim.learning import Trainer
from neurosim.learning.training.elm_net import ELMNet
from neurosim.learning.training.specs import ELMSpec

SPEC = ELMSpec(memory=8, tau_max=0.2, dropout=0.25)


def sequence(steps: int = 11) -> torch.Tensor:
    return torch.rand(steps, 3, 13, generator=torch.Generator().manual_seed(0))


def test_inputs_drop_out_by_key_and_are_scaled_otherwise() -> None:
    net = ELMNet((13,), 3, ELMSpec(memory=7), seed=4)
    x = sequence()
    keys = net.dropout(3, 5)
    dropped = net(x, masks=keys)
    assert torch.equal(dropped, net(x, masks=net.dropout(3, 5)))
    assert not torch.equal(dropped, net(x, masks=net.dropout(3, 6)))
    # A process of several draws for its items alone, some of which may be shorter.
    torch.testing.assert_close(net(x[:, 1:], masks=[keys[0][1:]]), dropped[1:])
    short = net(x, torch.tensor([4, 11, 1]), keys)
    for k, end in enumerate((4, 11, 1)):
        torch.testing.assert_close(short[k], net(x[:end], masks=keys)[k])
    torch.testing.assert_close(net(x), net.elm(x * 0.5)[0][-1])
    seen = net._mask(torch.ones(200, 3, 13), keys[0])
    assert set(seen.unique().tolist()) == {0.0, 1.0} and abs(float(seen.mean()) - 0.5) < 0.02
    assert ELMNet((13,), 3, ELMSpec(dropout=0.0)).dropout(3, 5) == []


def test_order_in_time_is_learned() -> None:
    """Input 0 then 1, or 1 then 0, with a pause: only a memory can tell."""
    x = torch.zeros(15, 2, 2)
    x[0, 0, 0] = x[5, 0, 1] = x[0, 1, 1] = x[5, 1, 0] = 1
    net = ELMNet((2,), 2, ELMSpec(memory=6, dropout=0.0), dt=1e-2, seed=1)
    optimizer = torch.optim.AdamW(net.parameters(), lr=0.05)
    labels = torch.tensor([0, 1])
    for _ in range(60):
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(net(x), labels)
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.1


def trained(checkpoint: Path | None = None) -> Trainer:
    net = ELMNet(BINNING.shape, 4, SPEC, BINNING.dt, seed=3)
    how = replace(SCHEDULE, optimizer="adamax", learning_rate=2 * SCHEDULE.learning_rate)
    return Trainer(net, BINNING, bars(24), bars(6, 1000), how, seed=7, checkpoint=checkpoint)


def test_a_killed_training_resumes(tmp_path: Path) -> None:
    whole = assert_resumes(trained, tmp_path / "training.safetensors", 4)
    assert (whole.state.history[-1].validation_accuracy or 0) > 0.6


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    few = ("--train-limit", 60, "--limit", 20, "--threads", 1, "--epochs", 1)
    sets = (
        word
        for each in ("elm.memory=12", "bins.pool=4", "bins.most=0", "baselines.cnn=false")
        for word in ("--set", each)
    )
    return command.result_of("train", "digits", *few, *sets, "--out", tmp_path_factory.mktemp("runs") / "run")


def test_the_engine_answers_as_the_trained_neuron(done: dict[str, Any]) -> None:
    assert done["model"] == "ELM" and done["units"] == [12] and done["identical"] is True
    assert done["engine_accuracy"] == done["accuracy"]
    run = Path(done["run"])
    found = read_description(run / "elm.toml")
    assert found.network.population("elm").size == 10
    page = (run / "report.html").read_text("utf-8")
    assert "ELM in layers of 12" in page


def test_the_file_of_a_run_answers_as_the_net() -> None:
    net = ELMNet((13,), 3, ELMSpec(memory=7), dt=0.01, seed=4)
    x = (sequence() > 0.7).float()
    steps, units = np.nonzero(x[:, 0].numpy())
    spikes = Spikes((steps + 0.5) * 0.01, units.astype(np.int32), 13, 0.11)
    readings = simulate(net.to_network(), {"input": spikes}, clock=0.01).readings["elm"]
    np.testing.assert_allclose(readings, net.trace(x[:, :1]).readout[:, 0].detach(), atol=2e-5)


@pytest.mark.parametrize(
    ("sets", "words"),
    [
        (("elm.tau_max=0.2",), "elm.tau_max: needs elm.memory, without which the neurons of [network] are trained"),
        (("elm.memory=5", "network.hidden=[3]"), "network.hidden: has no use for the layers of elm.memory 5"),
        (("elm.memory=5", "attention.kind=gla"), "attention.kind: must be left out where elm.memory is given"),
        (("elm.memory=5", "members=2"), "members: must be 1 with elm.memory 5 (got 2)"),
        (("training.optimizer=adam",), "training.optimizer: unknown name 'adam'; did you mean 'adamw'?"),
        (("elm.memory=5", "elm.dropout=1.0"), "elm.dropout: must be >= 0 and < 1 (got 1.0, from --set)"),
    ],
)
def test_mistakes_are_named(sets: tuple[str, ...], words: str) -> None:
    with pytest.raises(NeurosimInputError) as error:
        TrainConfig.configure(None, sets, {"data.name": "digits"})
    assert words in str(error.value)
