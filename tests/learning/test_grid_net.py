"""Layers over the pixels of recordings: images of counts, scores by hand, files, and `neurosim train` with them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import command

from neurosim.base import NeurosimInputError
from neurosim.learning.training.binning import Binning
from neurosim.learning.training.grid_net import GRID_KINDS, GridNet
from neurosim.learning.training.saved import load_grid, save_grid
from neurosim.learning.training.specs import GRID_NAMES, AttentionSpec

SPECS = {
    "lightnet2d": AttentionSpec("lightnet2d", {"num_heads": 2}, layers=1, width=8, hidden=0),
    "plstm2d": AttentionSpec("plstm2d", {"num_heads": 2, "norm": "each"}, layers=1, width=8, hidden=6, dropout=0.5),
}


def test_kinds_over_pixels_are_those_that_a_config_can_name() -> None:
    assert set(GRID_NAMES) == set(GRID_KINDS) == set(SPECS)


@pytest.mark.parametrize("kind", GRID_NAMES)
def test_scores_are_those_of_the_image_of_counts(kind: str) -> None:
    torch.manual_seed(0)
    net = GridNet((2, 5, 6), 3, SPECS[kind], seed=1)
    x = torch.poisson(torch.full((7, 4, 60), 0.4))
    scores = net(x, torch.full((4,), 7))
    assert torch.allclose(net(x.flip(0)), scores, atol=1e-6), "the order of bins counts nothing"
    # By hand, recording by recording.
    for item in range(4):
        counts = x[:, item].sum(0).view(2, 5, 6)
        squares = torch.stack([net.embed(counts[:, i, j].sqrt()) for i in range(5) for j in range(6)]).view(1, 5, 6, 8)
        squares = squares + net.layers[0](net.norms[0](squares))
        if SPECS[kind].hidden:
            squares = squares + net.feed_forward[0](squares)
        by_hand = net.head(net.last_norm(squares).amax((1, 2)))[0]
        assert torch.allclose(scores[item], by_hand, atol=1e-5)
    scores.square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in net.parameters())
    same = GridNet((2, 5, 6), 3, SPECS[kind], seed=1)
    assert torch.equal(same.embed.weight, net.embed.weight)
    masks = net.dropout(4, 0)
    assert (len(masks) == 1 and set(masks[0].unique().tolist()) == {0.0, 2.0}) or SPECS[kind].dropout == 0


def test_a_network_survives_its_file_and_mistakes_are_named(tmp_path: Path) -> None:
    spec = AttentionSpec("lightnet2d", None, layers=1, width=8, hidden=0, filters=(3,), kernel=3, stride=2)
    net = GridNet((9, 9), 2, spec)
    save_grid(tmp_path / "net", net, Binning((9, 9), 0.01, 0.1), ("a", "b"))
    again, binning, classes = load_grid(tmp_path / "net")
    x = torch.ones(2, 3, 81)
    assert torch.equal(again(x), net(x)) and binning.dt == 0.01 and classes == ("a", "b")
    # Weights with a mask have another name in the file.
    masked = AttentionSpec("plstm2d", {"num_heads": 2, "closed": True}, layers=1, width=8, hidden=0)
    net = GridNet((2, 2), 2, masked, seed=1)
    save_grid(tmp_path / "masked", net, Binning((2, 2), 0.01, 0.1), ("a", "b"))
    x = torch.ones(2, 3, 4)
    assert torch.equal(load_grid(tmp_path / "masked")[0](x), net(x))
    for shape, options, message in (
        ((80,), None, r"GridNet\.shape: must be a sensor of pixels"),
        ((2, 2), None, r"AttentionSpec\.kernel: must be <= the pixels before it"),
        ((9, 9), {"heads": 2}, "attention.options of lightnet2d: unknown name 'heads'"),
    ):
        with pytest.raises(NeurosimInputError, match=message):
            GridNet(shape, 2, AttentionSpec("lightnet2d", options, filters=(3,), kernel=3))


@pytest.mark.slow
@pytest.mark.usefixtures("elsewhere")
def test_digits_are_learned_from_pixels() -> None:
    words = [f"--set=attention.{s}" for s in ("kind=lightnet2d", "layers=1", "filters=[12]", "width=32", "hidden=0")]
    more = ["--set=training.batch=16", "--set=validation.fraction=0.0", "--epochs", "3", "--threads", "1"]
    done = command.result_of("train", "digits", "--train-limit", "64", "--limit", "40", *words, *more, "--out", "run")
    assert done["model"] == "lightnet2d" and done["engine_accuracy"] is None
    losses = [epoch["loss"] for epoch in done["history"]]
    assert losses[-1] < losses[0]
    layers = {layer["name"]: layer for layer in done["measures"]["layers"]}
    squares = layers["embed"]["steps"]
    assert {"embed", "layers.0.q_proj", "head"} <= set(layers) and layers["head"]["steps"] == 40
    assert squares % 40 == 0 and squares > 40 and np.isfinite(done["energy"]["memory_aware"]["low"])
    page = Path("run/report.html").read_text("utf-8")
    assert "layers over pixels (lightnet2d)" in page and "spikes a neuron and step" not in page
    assert load_grid("run/net.safetensors")[0].spec.kind == "lightnet2d"
