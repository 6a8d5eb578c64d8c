"""Thresholds that are calibrated, tuned or learned, sensitivities, and rotations before the conversion."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from helpers.convert_models import model_of, text
from torch import Tensor, nn

from neurosim.language import Coding, LanguageConfig, LanguageModel, MixerSpec, Tuning, convert, tune
from neurosim.language.attention.train import draw_windows
from neurosim.language.conversion.calibrate import survey_channels
from neurosim.language.conversion.comparison import compare_models
from neurosim.language.conversion.costs import spike_totals
from neurosim.language.conversion.gradients import collect_gradients
from neurosim.language.conversion.rotation import rotate_to_principal_axes


@torch.no_grad()
def test_rotation_changes_nothing_but_the_axes() -> None:
    for kinds in (("gated_deltanet", "gla"), ("mamba2", "hgrn2"), ("gla", "window")):
        model = model_of(*kinds)
        turned, why = rotate_to_principal_axes(model, draw_windows(text(), 8, 32))
        assert why == "" and turned is not model
        tokens = text(80, seed=9).view(2, 40)
        torch.testing.assert_close(turned(tokens)[0], model(tokens)[0], rtol=1e-3, atol=1e-3)

    def moment(each: LanguageModel) -> Tensor:
        """Return what readers get, weighted by how much it matters: the matrix whose axes are looked for."""
        total = torch.zeros(32, 32, dtype=torch.float64)
        writers = ("o_proj", "down_proj", "gk_proj.1")
        readers = [n for n, m in each.named_modules() if isinstance(m, nn.Linear) and not n.endswith(writers)]
        collect_gradients(
            each, readers, draw_windows(text(), 8, 32), lambda n, x, g: total.add_((x.T @ x) * g.square().mean())
        )
        return total

    model = model_of("gated_deltanet", "gla")
    turned, _ = rotate_to_principal_axes(model, draw_windows(text(), 8, 32))
    for each, low, high in ((model, 0.3, 9.0), (turned, 0.0, 0.02)):
        found = moment(each)
        rest = torch.linalg.norm(found - found.diag().diag()) / torch.linalg.norm(found.diag())
        assert low <= rest <= high


def test_what_cannot_be_rotated_says_why() -> None:
    model = model_of("rwkv7")
    same, why = rotate_to_principal_axes(model, draw_windows(text(), 4, 16))
    assert same is model and "other than through a linear layer" in why
    layered = LanguageModel(dataclasses.replace(model_of("gla").config, norm="layer"))
    assert "norms see more" in rotate_to_principal_axes(layered, draw_windows(text(), 4, 16))[1]


def test_sensitivities_are_gradients_of_the_input_of_one_layer(dense: LanguageModel) -> None:
    """g of a layer is what autograd gives for an offset of its input."""
    windows = draw_windows(text(), 2, 16)
    name = "layers.0.mlp.up_proj"
    heard: list[tuple[Tensor, Tensor]] = []
    collect_gradients(dense, [name], windows, lambda n, x, g: heard.append((x, g)), seed=7)
    layer = dense.get_submodule(name)
    offset = torch.zeros(2, 16, layer.in_features, requires_grad=True)
    handle = layer.register_forward_pre_hook(lambda m, given: (given[0] + offset,))
    logits = dense(windows[:, :-1])[0].flatten(0, 1)
    handle.remove()
    labels = torch.multinomial(logits.detach().softmax(-1), 1, generator=torch.Generator().manual_seed(7))[:, 0]
    nn.functional.cross_entropy(logits, labels, reduction="sum").backward()
    assert offset.grad is not None
    torch.testing.assert_close(heard[0][1], offset.grad.flatten(0, 1), rtol=1e-4, atol=1e-6)


@torch.no_grad()
def test_calibration_sends_what_was_asked_for(dense: LanguageModel) -> None:
    tokens = text(8000)
    found = []
    for spikes in (0.3, 1.0):
        made = convert(dense, Coding("calibrated", spikes=spikes), tokens, windows=32, length=64)
        with made.counting() as histograms:
            result = compare_models(dense, made.model, tokens[:2001])
        assert spike_totals(made, histograms).spikes == pytest.approx(spikes, rel=0.1)
        found.append(result.agreement)
    assert found[0] < found[1]


def test_calibration_is_the_best_of_its_grid(dense: LanguageModel) -> None:
    """At the price found, no channel would do better with another threshold of the grid: by brute force."""
    from neurosim.language import Coder
    from neurosim.language.conversion.calibrate import GRID, MIN_THRESHOLD, PRICE

    name = "layers.1.mlp.gate_proj"
    windows = draw_windows(text(), 8, 32)
    found = survey_channels(dense, [name], windows).choose(0.7)
    heard: list[tuple[Tensor, Tensor]] = []
    collect_gradients(dense, [name], windows, lambda n, x, g: heard.append((x, g)))
    x, g = (torch.cat(parts).double() for parts in zip(*heard, strict=True))
    ones = torch.tensor([n.bit_count() for n in range(128)])
    mean = heard[0][0].abs().mean(0).clamp(min=MIN_THRESHOLD)
    costs = []
    for factor in GRID:
        counts = Coder("calibrated", (factor * mean).float(), price=PRICE, limit=127).counts(x.float(), None).double()
        power = (g.square() * counts.square()).sum(0)
        scale = (g.square() * counts * x).sum(0) / power.clamp(min=1e-300)
        errors = (g.square() * (x - scale * counts).square()).mean(0) / 2
        costs.append(errors + found.price * ones[counts.abs().long()].double().mean(0))
    best = torch.stack(costs).amin(0)
    coder = found.coders[name]
    counts = coder.counts(x.float(), None).double()
    errors = (g.square() * (x - coder.scales.double() * counts).square()).mean(0) / 2
    mine = errors + found.price * ones[counts.abs().long()].double().mean(0)
    torch.testing.assert_close(mine.detach(), best, rtol=1e-3, atol=1e-9)


def test_the_largest_seed_of_a_run_is_a_seed_of_a_tuning() -> None:
    """Windows are keyed by the seed times 2^32, which torch's generator does not take."""
    tokens = text(400)
    made = convert(model_of("gla"), Coding("calibrated", spikes=0.4), tokens, windows=2, length=16)
    loss = tune(made.model, made.layers, tokens, Tuning(1, 2, 16, price=made.price, seed=2**63 - 1))
    assert math.isfinite(loss)


@pytest.mark.slow
def test_tuning_wins_back_what_coding_cost(dense: LanguageModel) -> None:
    """On the text it was trained on, at the same spikes; weights stay what they were in the dense model."""
    tokens = text(8000)
    before = {n: p.detach().clone() for n, p in dense.named_parameters()}
    made = convert(dense, Coding("calibrated", spikes=0.4), tokens, windows=16, length=32)
    start = compare_models(dense, made.model, tokens[:1001])
    tune(made.model, made.layers, tokens, Tuning(30, 8, 32, learning_rate=3e-3, price=made.price), spikes=0.4)
    with made.counting() as histograms:
        end = compare_models(dense, made.model, tokens[:1001])
    assert end.spiking < start.spiking - 0.05
    assert spike_totals(made, histograms).spikes < 0.5
    assert all(torch.equal(before[n], p) for n, p in dense.named_parameters())
    assert not any(p.requires_grad for layer in made.layers.values() for p in (layer.coder.thresholds,))


@torch.no_grad()
def test_limited_counts_lose_less_the_more_levels_there_are(dense: LanguageModel) -> None:
    """And the threshold of a layer is that of least weighted error: by brute force."""
    from neurosim.language.conversion.calibrate import LAYER_GRID, layer_thresholds

    tokens = text(2000)
    losses = []
    for levels in (1, 7, 63):
        made = convert(dense, Coding("qcfs", levels=levels), tokens, windows=8, length=32)
        losses.append(compare_models(dense, made.model, tokens[:801]).agreement)
    assert losses[0] < losses[1] < losses[2] and losses[2] > 0.7
    name = "layers.0.mlp.down_proj"
    windows = draw_windows(tokens, 4, 32)
    heard: list[tuple[Tensor, Tensor]] = []
    collect_gradients(dense, [name], windows, lambda n, x, g: heard.append((x, g)))
    x, g = heard[0]
    grid = torch.tensor(LAYER_GRID) * x.abs().max() / 7
    errors = [(g * (x - t * (x / t + 0.5).floor().clamp(-7, 7))).square().sum() for t in grid]
    found = layer_thresholds(dense, [name], windows, "stbif", 7)[name]
    assert float(found) == pytest.approx(float(grid[int(torch.stack(errors).argmin())]), rel=1e-6)


def test_learned_thresholds_leave_weights_alone(dense: LanguageModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("neurosim.language.conversion.convert.LEARNED_STEPS", 3)
    made = convert(dense, Coding("learned", spikes=0.5, rotate=False), text(), windows=8, length=32)
    plain = convert(dense, Coding("calibrated", spikes=0.5, rotate=False), text(), windows=8, length=32)
    for name, layer in made.layers.items():
        assert torch.equal(layer.weight, plain.layers[name].weight)
    assert any(
        not torch.equal(layer.coder.thresholds, plain.layers[name].coder.thresholds)
        for name, layer in made.layers.items()
    )


def test_a_model_is_converted_in_the_middle_of_its_training() -> None:
    """The loss that balances its memories belongs to the pass, not to the model."""
    layer = MixerSpec("sse", {"num_heads": 2, "head_dim": 6, "topk": 1})
    model = LanguageModel(LanguageConfig((layer,), width=32), 1).train()
    model(text(24)[None])
    assert model.auxiliary_loss().requires_grad
    made = convert(model, Coding("calibrated"), text(600), windows=2, length=16)
    assert made.model.auxiliary_loss() == 0 and model.auxiliary_loss() > 0
