"""Hebbian orthogonal projection: the lateral circuit, projected gradients, and the three trainings."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from neurosim.errors import NeurosimInputError  # noqa: E402
from neurosim.hlop import BPTT, TRAININGS, HLOPNetwork, Online, ProjectedConv2d, ProjectedLinear, Rate, Subspace  # noqa: E402
from neurosim.hlop import neurons  # noqa: E402


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def signal(rank: int, width: int, seed: int) -> torch.Tensor:
    """[rank, width] orthonormal directions."""
    return torch.linalg.qr(draw(width, rank, seed=seed)).Q.T.contiguous()


def taught(subspace: Subspace, directions: torch.Tensor, batches: int, seed: int = 1, size: float = 1.0) -> Subspace:
    for i in range(batches):
        subspace.learn(size * draw(64, len(directions), seed=seed * 10_000 + i) @ directions)
    return subspace


def test_subspace_finds_an_8_dimensional_signal_in_50_and_new_rows_are_orthogonal() -> None:
    first, second = signal(16, 50, seed=3).split(8)
    subspace = Subspace(50, lr=0.1)
    subspace.grow(8)
    taught(subspace, first, 300)
    h = subspace.weights
    assert subspace.captured(draw(500, 8, seed=7) @ first) > 0.9999
    assert torch.dist(h @ h.T, torch.eye(8), p=torch.inf) < 1e-4
    subspace.merge()
    subspace.grow(8)
    # Of the second task's signal half is in the first's directions.
    taught(subspace, torch.cat([first, second]), 600, seed=2)
    assert torch.equal(subspace.old, h)
    assert (subspace.new @ subspace.old.T).abs().max() < 1e-5
    assert subspace.captured(draw(500, 16, seed=8) @ torch.cat([first, second])) > 0.9999


def test_spiking_lateral_neurons_come_close() -> None:
    directions = signal(8, 50, seed=3)
    subspace = Subspace(50, lr=0.01, spiking=True)
    subspace.grow(8)
    taught(subspace, directions, 400, size=3.0)
    assert subspace.captured(draw(500, 8, seed=7) @ directions) > 0.999
    y = subspace.respond(20 * draw(30, 50), subspace.new)
    assert torch.equal(y, (y / 0.5).round() * 0.5) and y.abs().max() == 20 and len(y.unique()) <= 81
