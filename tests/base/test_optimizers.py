"""Optimisers take the steps of torch's classes, bit for bit, without importing its compiler."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
import torch

from neurosim.base import optimizers

NAMES = ("SGD", "Adam", "AdamW", "Adamax", "RAdam")
ARGUMENTS: dict[str, dict[str, Any]] = {"SGD": {"momentum": 0.9}, "Adam": {"fused": True}}


@pytest.mark.parametrize("name", NAMES)
def test_steps_are_those_of_torch(name: str) -> None:
    draws = torch.Generator().manual_seed(0)
    shapes = [(5, 7), (7,), (3, 2, 2)]
    start = [torch.randn(shape, generator=draws) for shape in shapes]
    start[0] = start[0].t().contiguous().t()  # as a layer's weights lie
    parameters = [[torch.nn.Parameter(each.clone()) for each in start] for _ in range(2)]
    mine, its = parameters
    both = []
    for kind, (first, *others) in zip((getattr(optimizers, name), getattr(torch.optim, name)), parameters, strict=True):
        groups = [{"params": [first], "weight_decay": 0.01}, {"params": others, "weight_decay": 0.0}]
        both.append(kind(groups, lr=1e-2, **ARGUMENTS.get(name, {})))
    ours, peer = both
    for k in range(20):
        for a, b in zip(mine, its, strict=True):
            a.grad = torch.randn(a.shape, generator=draws)
            b.grad = a.grad.clone()
        # One parameter has no gradient at first.
        if k < 3:
            mine[2].grad = its[2].grad = None
        for group in [*ours.param_groups, *peer.param_groups]:
            group["lr"] = 1e-2 / (k + 1)
        ours.step()
        peer.step()
        for a, b in zip(mine, its, strict=True):
            assert torch.equal(a, b), k
    for a, b in zip(mine, its, strict=True):
        for key, value in peer.state[b].items():
            assert torch.equal(ours.state[a][key], value), key
    ours.load_state_dict(peer.state_dict())
    assert ours.state_dict().keys() == peer.state_dict().keys()
    ours.zero_grad()
    assert all(each.grad is None for each in mine)


TRAINING = """
import sys, numpy as np
from neurosim import Recordings, Spikes
from neurosim.language import LanguageConfig, LanguageTraining, MixerSpec, train_bytes
from neurosim.learning import Binning, SpikingNet, Trainer
from neurosim.learning.training.specs import NetworkSpec, TrainingSpec
rng = np.random.default_rng(0)
clips = [Spikes.sort(rng.uniform(0, .1, 40), rng.integers(0, 6, 40), 6, .1) for _ in range(8)]
binning = Binning((6,), duration=.1)
net = SpikingNet((6,), 2, NetworkSpec(hidden=(4,)), binning.dt)
Trainer(net, binning, Recordings.collect(clips, np.arange(8) % 2), spec=TrainingSpec(epochs=1, batch=4)).run()
config = LanguageConfig((MixerSpec("gla", {"num_heads": 1}),), width=16)
train_bytes(b"a b c " * 200, config, LanguageTraining(steps=2, batch=2, length=16, optimizer="muon"))
print("torch._dynamo" in sys.modules)
"""


@pytest.mark.slow
def test_trainings_do_not_import_the_compiler() -> None:
    done = subprocess.run([sys.executable, "-c", TRAINING], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
