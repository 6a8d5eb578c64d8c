"""Norms between synapses and neurons: their definition, folded into weights, resumed bit for bit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from helpers.bars import bars
from helpers.training import BINNING, DESIGN, assert_resumes, trainer

from neurosim.base import NeurosimInputError
from neurosim.learning import NetworkSpec, SpikingNet, Trainer, to_network
from neurosim.learning.training.norm import ScaleNorm
from neurosim.learning.training.parallel import Team

NORMED = replace(DESIGN, filters=(3,), kernel=3, normalise=True)


def test_in_training_a_channel_has_mean_square_one_then_the_running_one() -> None:
    norm = ScaleNorm(2)
    x = torch.randn(5, 4, 6, generator=torch.Generator().manual_seed(0)) * 3 + 1
    out = norm(x).detach().numpy().reshape(5, 4, 2, 3)
    np.testing.assert_allclose(np.square(out).mean(axis=(0, 1, 3)), 1, rtol=1e-5)
    of_batch = np.square(x.numpy().reshape(5, 4, 2, 3)).mean(axis=(0, 1, 3))
    np.testing.assert_allclose(norm.square, 0.9 + 0.1 * of_batch, rtol=1e-6)
    norm.begin(x)
    np.testing.assert_allclose(norm.square, of_batch, rtol=1e-6)
    norm.eval()
    expected = x.numpy().reshape(5, 4, 2, 3) / np.sqrt(norm.square.numpy() + 1e-6)[:, None]
    np.testing.assert_allclose(norm(x).detach().numpy().reshape(5, 4, 2, 3), expected, rtol=1e-5)


def test_a_folded_network_has_the_same_scores_and_no_norms() -> None:
    made = trainer(design=NORMED, epochs=3)
    course = made.run()
    net = made.net.eval()
    test = bars(6, 500)
    assert isinstance(net, SpikingNet) and course.history[-1].loss < course.history[0].loss  # type: ignore[operator]
    assert all(float((block.norm.square - 1).abs().max()) > 0.05 for block in net.blocks)  # type: ignore[union-attr]
    batch = BINNING.batch(test, np.arange(len(test)))
    x = torch.from_numpy(batch.x)
    lengths = torch.from_numpy(batch.lengths)
    before = net(x, lengths).detach()
    parameters = sum(p.numel() for p in net.parameters())
    with pytest.raises(NeurosimInputError, match=r"needs norms folded into weights: call net.fold\(\)"):
        to_network(net)
    net.fold()
    # The product rounds elsewhere, so that a rare spike may move.
    assert float((net(x, lengths).detach() - before).abs().median()) < 1e-4
    assert sum(p.numel() for p in net.parameters()) == parameters - 3 - 24 - 16
    assert not any(isinstance(module, ScaleNorm) for module in net.modules()) and not net.spec.normalise


def test_an_interrupted_training_goes_on_bit_for_bit(tmp_path: Path) -> None:
    assert_resumes(lambda path: trainer(path, NORMED, 3), tmp_path / "training.safetensors", 2)


def test_processes_that_share_a_batch_are_refused() -> None:
    net = SpikingNet(BINNING.shape, 4, NetworkSpec(normalise=True), BINNING.dt)
    with pytest.raises(NeurosimInputError, match=r"normalise: must be false with several processes"):
        Trainer(net, BINNING, bars(2), team=Team(0, 2))
