"""Attention layers that read recordings: embedding of events, training, and spikes bin by bin."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.bars import bars
from helpers.training import BINNING, SCHEDULE, assert_resumes

from neurosim.app.runs.train.attention import run_in_spikes
from neurosim.base import NeurosimInputError
from neurosim.language import Coding, LanguageConfig, LanguageModel, MixerSpec, convert, read_converted, read_model
from neurosim.language.attention.events import EventEmbedding, EventInput
from neurosim.language.conversion.events import classify_events, counting_events
from neurosim.language.conversion.rotation import rotate_to_principal_axes
from neurosim.learning import AttentionNet, AttentionSpec, Augment, Trainer

SPEC = AttentionSpec("gla", {"num_heads": 2}, layers=1, width=16, hidden=24, filters=(4,), kernel=3, dropout=0.1)


def trained(checkpoint: Path | None = None) -> Trainer:
    net = AttentionNet(BINNING.shape, 4, SPEC, BINNING.dt, seed=3)
    return Trainer(net, BINNING, bars(24), bars(6, 1000), SCHEDULE, Augment(shift=1.0), 7, checkpoint=checkpoint)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("shape", [(2, 9, 8), (9, 11), (23,)])
@torch.no_grad()
def test_convolutions_of_events_are_convolutions(shape: tuple[int, ...], training: bool) -> None:
    torch.manual_seed(0)
    layer = EventEmbedding(EventInput(shape, (4, 5), kernel=3, stride=2), 6).train(training)
    x = torch.randint(0, 3, (2, 5, int(np.prod(shape)))).float()
    planes, height, width = ((1,) * (3 - len(shape)) + shape)[-3:]
    image = x.view(10, planes, height, width)
    kernel, stride = ((1, 3), (1, 2)) if height == 1 else ((3, 3), (2, 2))
    for inner in list(layer.layers)[:-1]:
        weight = inner.weight.view(inner.out_features, image.shape[1], *kernel)  # type: ignore[operator, arg-type]
        image = torch.nn.functional.conv2d(image, weight, inner.bias, stride).relu()  # type: ignore[arg-type]
    expected = image.flatten(1) @ layer.layers[-1].weight.T  # type: ignore[operator]
    torch.testing.assert_close(layer(x), expected.view(2, 5, 6), rtol=1e-4, atol=1e-5)


def test_bars_are_learned_and_a_killed_training_resumes(tmp_path: Path) -> None:
    whole = assert_resumes(trained, tmp_path / "training.safetensors", 4)
    assert (whole.state.history[-1].validation_accuracy or 0) > 0.6


@torch.no_grad()
def test_bin_by_bin_is_the_whole_recording_and_stops_where_it_ends() -> None:
    net = AttentionNet(BINNING.shape, 4, SPEC, BINNING.dt, seed=1).eval()
    batch = BINNING.batch(bars(6), np.arange(6))
    x = torch.from_numpy(batch.x)
    lengths = torch.tensor([10, 3, 7, 1, 10, 5]).clamp(max=len(batch.x))
    first = net.model.get_submodule("embeddings.layers.0")
    assert isinstance(first, torch.nn.Linear)
    with counting_events(first) as found:
        scores = classify_events(net.model, x, lengths)
    torch.testing.assert_close(scores, net(x, lengths), rtol=1e-4, atol=1e-5)
    events = operations = 0
    places = range(0, 8 - 3 + 1, 2)
    for k, length in enumerate(lengths.tolist()):
        for image in x[:length, k].view(length, 2, 8, 8):
            for row in places:
                for column in places:
                    patch = image[:, row : row + 3, column : column + 3]
                    events += int(torch.count_nonzero(patch))
                    operations += 4 * int(torch.count_nonzero(patch))
    assert (found.events, found.operations, found.binary) == (events, operations, True)
    assert found.rows == int(lengths.sum()) * len(places) ** 2


def test_in_spikes_with_every_layer_counted(tmp_path: Path) -> None:
    net = AttentionNet(BINNING.shape, 4, replace(SPEC, k=20.0), BINNING.dt, seed=1).eval()
    items = bars(2)
    found = run_in_spikes(net, BINNING, items, tmp_path, 1)
    dense = net(*(torch.from_numpy(getattr(BINNING.batch(items, np.arange(8)), name)) for name in ("x", "lengths")))
    assert found.scores == pytest.approx(dense.detach().numpy(), abs=0.05) and found.spikes > 0
    names = [layer.name for layer in found.layers if not layer.name.endswith(".coding")]
    linear = [name for name, module in net.model.named_modules() if isinstance(module, torch.nn.Linear)]
    assert sorted(names) == sorted([*linear, "layers.0.mixer.state"])
    x = torch.ones(1, 2, 128)
    for model in (read_model(tmp_path / "model"), read_converted(tmp_path / "spiking").model):
        torch.testing.assert_close(model(x)[0], net.model(x)[0], rtol=0.0, atol=0.05)


@pytest.mark.parametrize("kind", ["mom", "sse"])
def test_the_loss_of_a_kind_is_trained_with_the_scores(kind: str) -> None:
    """The loss that balances memories adds its own gradient to that of the scores, each share of a batch its part."""
    found = []
    for coefficient in (0.0, 0.5):
        options = {"num_heads": 1, "head_dim": 8, "aux_loss_coef": coefficient}
        net = AttentionNet(BINNING.shape, 4, AttentionSpec(kind, options, layers=1, width=16, hidden=24), BINNING.dt, 3)
        made = Trainer(net, BINNING, bars(3, 1))
        made._backward(np.arange(6), slice(0, 4))
        found.append({name: p.grad for name, p in net.named_parameters()})
    batch = BINNING.batch(bars(3, 1), np.arange(4), made.augment, made.seed, 0)
    alone = net.trace(torch.from_numpy(batch.x), torch.from_numpy(batch.lengths)).auxiliary * 4 / 6
    grads = torch.autograd.grad(alone, list(net.parameters()), allow_unused=True)
    for (name, _), grad in zip(net.named_parameters(), grads, strict=True):
        if grad is not None:
            assert bool(grad.any())
            torch.testing.assert_close(found[1][name] - found[0][name], grad, rtol=1e-3, atol=1e-7)


def test_specs_that_break_a_rule() -> None:
    with pytest.raises(NeurosimInputError, match=r"AttentionSpec\.layers: must be >= 1"):
        AttentionSpec(layers=0)
    with pytest.raises(NeurosimInputError, match="attention kind: unknown name 'glaa'"):
        AttentionNet((5,), 3, AttentionSpec("glaa"))
    with pytest.raises(NeurosimInputError, match=r"EventInput\.kernel: must be <= the 1 x 5 units before it \(got 7\)"):
        AttentionNet((5,), 3, AttentionSpec(filters=(3,), kernel=7))
    with pytest.raises(NeurosimInputError, match=r"EventInput\.shape: must be one to three sizes > 0"):
        EventInput(())
    with pytest.raises(NeurosimInputError, match=r"LanguageConfig\.tied: must be false for tokens that are events"):
        LanguageModel(LanguageConfig((MixerSpec("gla"),), vocabulary=3, tied=True, events=EventInput((5,))))


def test_the_embedding_of_events_is_not_coded() -> None:
    net = AttentionNet((2, 8, 8), 4, SPEC)
    made = convert(net.model, Coding("ternary", head=True))
    assert "embeddings.layers.0" not in made.layers and "embeddings.layers.1" in made.layers
    assert dict(made.dense)["embeddings.layers.0"] == "linear layer on floats"
    assert rotate_to_principal_axes(net.model, torch.zeros(1, 3, 128))[1] == "its tokens are events"


def test_a_batch_is_computed_where_the_network_is() -> None:
    net = AttentionNet(BINNING.shape, 4, replace(SPEC, dropout=0.2))
    made = Trainer(net, BINNING, bars(3, 1))
    net.to("meta")
    made._device = torch.device("meta")
    found = made._backward(np.arange(6), slice(0, 4))
    assert found.is_meta and all(p.grad is None or p.grad.is_meta for p in net.parameters())
