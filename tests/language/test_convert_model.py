"""Converted models: executed equals simulated, states, streams, files, what is counted, what is left on floats."""

from __future__ import annotations

import ctypes
import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.samples import sampled
from helpers.triton_tools import cases, interpret, on_gpu
from torch import Tensor, nn

from neurosim import NeurosimError
from neurosim.base import NeurosimFormatError, NeurosimInputError
from neurosim.engine import PROFILES, count
from neurosim.kernels.decode.program import OPERANDS
from neurosim.language import (
    KINDS,
    SCHEMES,
    Coding,
    Converted,
    Decoder,
    LanguageConfig,
    LanguageModel,
    MixerSpec,
    SpikedLinear,
    Tuning,
    convert,
    read_converted,
    tune,
    write_converted,
)
from neurosim.language.attention.train import draw_windows
from neurosim.language.conversion.blockwise import hidden_by_block
from neurosim.language.conversion.calibrate import survey_channels
from neurosim.language.conversion.checkpoint import is_converted
from neurosim.language.conversion.coding import ternary
from neurosim.language.conversion.comparison import check_execution, compare_models, each_layer_alone
from neurosim.language.conversion.costs import (
    coding_counts,
    energy_comparison,
    layer_counts,
    other_processes,
    spike_totals,
)
from neurosim.language.conversion.generate import Sampling, draw_token, generate_tokens
from neurosim.language.conversion.gradients import collect_gradients
from neurosim.language.conversion.linear import integer_product
from neurosim.language.conversion.rotation import rotate_to_principal_axes
from neurosim.language.conversion.spiked_mixer import SpikedMixer

SMALL = {
    "lightnet": {"expand_ratio": 16},
    "gated_deltanet": {"num_heads": 2, "head_dim": 8, "head_v_dim": 12},
    "deltaproduct": {"num_heads": 2, "head_dim": 8, "head_v_dim": 8},
    "kda": {"num_heads": 2, "head_dim": 8},
    "mamba2": {"head_dim": 8, "state_size": 8},
    "mom": {"num_heads": 2, "head_dim": 8},
    "sse": {"num_heads": 2, "head_dim": 8},
    "comba": {"num_heads": 2, "head_dim": 8},
    "hgrn2": {"expand_ratio": 8},
    "rwkv5": {"head_dim": 8},
    "rwkv6": {"head_dim": 8},
    "rwkv7": {"head_dim": 8},
    "memora": {"num_heads": 2, "expansion": 2},
    "moneta": {"num_heads": 2, "expansion": 2},
    "titans": {"num_heads": 2, "expansion": 2},
    "titans_context": {"num_heads": 2, "expansion": 2},
    "titans_gate": {"num_heads": 2, "expansion": 2},
    "titans_layer": {"num_heads": 2, "memory": {"expansion": 2}},
    "yaad": {"num_heads": 2, "expansion": 2},
    "window_linear": {"window_size": 4},
}


def model_of(*kinds: str, seed: int = 1) -> LanguageModel:
    layers = tuple(MixerSpec(kind, SMALL.get(kind, {})) for kind in kinds)
    model = LanguageModel(LanguageConfig(layers, width=32, hidden=48), seed)
    draws = torch.Generator().manual_seed(seed)
    with torch.no_grad():  # as after training: weights of size 1, norms that are not all alike
        for name, p in model.named_parameters():
            if p.dim() == 2:
                p.copy_(torch.randn(p.shape, generator=draws) / p.shape[1] ** 0.5)
            elif "norm" in name and p.dim() == 1:
                p.copy_(1 + 0.3 * torch.randn(p.shape, generator=draws))
    return model.eval()


def text(size: int = 4000, seed: int = 0) -> Tensor:
    """Bytes that are not all alike: a Markov chain."""
    draws = np.random.default_rng(seed)
    steps = draws.choice([1, 2, 3, 17], size=size)
    return torch.from_numpy((np.cumsum(steps) % 61 + 32).astype(np.int64))


@pytest.fixture(scope="module")
def dense() -> LanguageModel:
    return model_of("gated_deltanet", "gla")


@pytest.mark.parametrize("scheme", sampled(SCHEMES, set(SCHEMES) - {"learned"}))
@torch.no_grad()
def test_executed_with_int8_weights_is_simulated_bit_for_bit(scheme: str, dense: LanguageModel) -> None:
    made = convert(dense, Coding(scheme, weights="int8", head=True), text(), windows=4, length=32)
    tokens = text(90, seed=3).view(2, 45)
    simulated, _ = made.model(tokens)
    executed, _ = made.execute(threads=2).model(tokens)
    assert torch.equal(simulated, executed)
    assert not torch.equal(simulated, dense(tokens)[0])


@pytest.mark.parametrize("largest", [3, 127, 128, 40_000, 2**22])
def test_products_of_integers_are_exact(largest: int) -> None:
    """Counts of one, two and more digits; some tokens have none beyond int8."""
    generator = torch.Generator().manual_seed(largest)
    counts = torch.randint(-3, 4, (5, 7, 33), generator=generator)
    counts[1:3] = torch.randint(-largest, largest + 1, (2, 7, 33), generator=generator)
    counts[1, 0, :2] = torch.tensor([largest, -largest])
    rows = torch.randint(-127, 128, (20, 33), generator=generator, dtype=torch.int8)
    assert torch.equal(integer_product(counts.float(), rows).long(), counts @ rows.long().T)


@torch.no_grad()
def test_large_layers_are_simulated_by_products_of_integers() -> None:
    """Executed bit for bit, with a token of massive activations; NaN is passed on."""
    generator = torch.Generator().manual_seed(5)
    dense = nn.Linear(600, 500, bias=False)
    dense.weight.copy_(torch.randn(500, 600, generator=generator))
    layer = SpikedLinear(dense, ternary(8.0), "int8")
    x = torch.randn(40, 600, generator=generator)
    x[3, 7] = 4000.0
    simulated = layer(x)
    assert layer._values(integers=True)[0].dtype == torch.int8
    layer.execute(True)
    assert torch.equal(layer(x), simulated)
    layer.execute(False)
    x[5, 5] = torch.nan
    assert bool(layer(x)[5].isnan().all()) and torch.equal(layer(x)[:5], simulated[:5])


@torch.no_grad()
def test_the_simulated_form_keeps_what_it_rounds_until_weights_change(dense: LanguageModel) -> None:
    made = convert(dense, Coding("ternary"))
    tokens = text(20)[None]
    layer = made.layers["layers.0.mixer.q_proj"]
    x = torch.randn(3, layer.in_features, generator=torch.Generator().manual_seed(1))
    first = layer(x)
    made.model(tokens)
    assert layer._values(integers=False)[0] is layer._values(integers=False)[0]
    layer.weight[:, 0] += 1.0
    fresh = SpikedLinear(nn.Linear(layer.in_features, layer.out_features, bias=False), layer.coder, "int8")
    fresh.weight.copy_(layer.weight)
    assert torch.equal(layer(x), fresh(x)) and not torch.equal(layer(x), first)
    with torch.enable_grad():
        layer.weight.requires_grad_()
        layer(x).sum().backward()
    assert layer.weight.grad is not None and bool(layer.weight.grad.abs().sum() > 0)
    layer.weight.requires_grad_(False)


@torch.no_grad()
def test_executed_with_float_weights_is_simulated_within_rounding(dense: LanguageModel) -> None:
    """Layer by layer on the same inputs: a count at a tie may flip behind another order of sums."""
    made = convert(dense, Coding("ternary", weights="float32"))
    inputs: dict[str, tuple[Tensor, Tensor]] = {}

    def keep(name: str) -> None:
        layer = made.layers[name]
        layer.register_forward_hook(lambda m, given, out: inputs.__setitem__(name, (given[0], out)))

    for name in made.layers:
        keep(name)
    made.model(text(64)[None])
    simulated = dict(inputs)
    made.execute()
    for name, (x, out) in simulated.items():
        torch.testing.assert_close(made.layers[name](x), out, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", sampled(sorted(KINDS), ["gla", "gated_deltanet", "mamba2", "rwkv7", "window"]))
@torch.no_grad()
def test_every_kind_is_converted_streamed_and_executed(kind: str) -> None:
    model = model_of(kind, "gla")
    made = convert(model, Coding("ternary", k=8.0, weights="int8"))
    tokens = text(24, seed=5).view(2, 12)
    whole, _ = made.model(tokens)
    state = None
    steps = []
    for t in range(12):
        logits, state = made.execute().model.step(tokens[:, t], state)
        steps.append(logits)
    # Another order of sums in the chunked recurrence may flip single counts.
    difference = (torch.stack(steps, 1) - whole).abs()
    assert float(difference.median()) < 0.02 * float(whole.abs().max())
    linear = [n for n, m in model.named_modules() if isinstance(m, nn.Linear) and n != "lm_head"]
    assert sorted(made.layers) == sorted(linear)


NO_QK = ("alrnn", "gam", "hgrn", "lssl", "paragru", "paralstm", "seqboat", "ssm")
QK = [kind for kind in sorted(KINDS) if kind not in NO_QK]
# Kinds whose state is not updated lazily.
DENSE_STATE = ("latent", "mom", "rwkv5", "rwkv6", "softmax", "sse", "window")
DENSE_STATE += (
    "bmojo",
    "comba",
    "gsa",
    "hax",
    "local_linear",
    "memora",
    "moneta",
    "plstm",
    "scout",
    "sea",
    "tcnca",
    "titans",
    "titans_context",
    "titans_gate",
    "titans_layer",
    "yaad",
)


@pytest.mark.parametrize("kind", sampled(QK, ["gla", "deltanet", "rwkv7"]))
@torch.no_grad()
def test_lazy_state_is_the_dense_state(kind: str) -> None:
    """q and k in spikes: one mixer, lazily and densely, over two calls with the state carried on."""
    model = model_of(kind)
    made = convert(model, Coding("ternary", k=1.0, qk=True))
    mixer = made.model.mixers()[0]
    x = torch.randn(2, 20, 32, generator=torch.Generator().manual_seed(1))
    updates = mixer.row_updates()
    assert (updates is None) == (kind in DENSE_STATE)
    if updates is None:
        assert "densely" in dict(made.dense)["layers.0.mixer"] or kind == "window"
        return
    lazy = SpikedMixer(mixer, 1)
    shared: list[dict[str, Tensor]] = [{}, {}]
    first, state = mixer(x[:, :11], None, shared[0])
    second, _ = mixer(x[:, 11:], state, shared[0])
    mine, own = lazy(x[:, :11], None, shared[1])
    after, _ = lazy(x[:, 11:], own, shared[1])
    torch.testing.assert_close(mine, first, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(after, second, rtol=1e-4, atol=1e-5)
    with made.counting() as histograms:
        mixer(x)
    assert 0.05 < histograms["layers.0.mixer.codes.k"].silent() / histograms["layers.0.mixer.codes.k"].entries < 0.95


@torch.no_grad()
def test_a_coded_state_is_coded_after_every_token() -> None:
    made = convert(model_of("gla"), Coding("ternary", k=4.0, state=True))
    with made.counting() as histograms:
        _, state = made.model(text(9)[None])
    assert histograms["layers.0.mixer.codes.state"].entries == 9 * state[0]["memory"].numel()
    rows = state[0]["memory"]
    level = rows.abs().amax(-1, keepdim=True).clamp(min=1e-9)
    assert all(
        len(torch.unique((r / m * 1e4).round())) < r.numel() for r, m in zip(rows[0, 0], level[0, 0], strict=True)
    )


@torch.no_grad()
def test_streams_with_constant_memory(dense: LanguageModel) -> None:
    made = convert(dense, Coding("ternary", weights="int8", qk=True)).execute()
    sizes = [size for _, size in generate_tokens(made.model, b"abc", Sampling(40))]
    assert len(sizes) == 40 and len(set(sizes)) == 1


def test_draws_depend_on_seed_and_position_alone() -> None:
    logits = torch.randn(256, generator=torch.Generator().manual_seed(0))
    tokens = [draw_token(logits, Sampling(seed=4, temperature=1.0), position) for position in range(400)]
    assert tokens == [draw_token(logits, Sampling(seed=4, temperature=1.0), position) for position in range(400)]
    assert len(set(tokens)) > 50
    assert {draw_token(logits, Sampling(temperature=0.0), p) for p in range(5)} == {int(logits.argmax())}
    top = {draw_token(logits, Sampling(temperature=5.0, top=3), p) for p in range(200)}
    assert top == set(logits.topk(3).indices.tolist())


@torch.no_grad()
def test_rotation_changes_nothing_but_the_axes() -> None:
    for kinds in (("gated_deltanet", "gla"), ("mamba2", "hgrn2"), ("gla", "window")):
        model = model_of(*kinds)
        turned, why = rotate_to_principal_axes(model, draw_windows(text(), 8, 32))
        assert why == "" and turned is not model
        tokens = text(80, seed=9).view(2, 40)
        torch.testing.assert_close(turned(tokens)[0], model(tokens)[0], rtol=1e-3, atol=1e-3)

    def moment(each: LanguageModel) -> Tensor:
        """What readers get, weighted by how much it matters: the matrix whose axes are looked for."""
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


@torch.no_grad()
def test_work_is_that_of_a_brute_force_count(dense: LanguageModel) -> None:
    """Every spike of every plane, on every nonzero weight."""
    made = convert(dense, Coding("ternary", weights="int8", planes=8))
    name = "layers.0.mixer.o_proj"
    layer = made.layers[name]
    kept: list[Tensor] = []
    layer.register_forward_pre_hook(lambda m, given: kept.append(given[0]))
    with made.counting() as histograms:
        made.model(text(40).view(2, 20))
    found = {each.name: each for each in layer_counts(made, histograms)}[name]
    counts = layer.coder.counts(kept[0], layer.coder.level(kept[0])).to(torch.int64).flatten(0, 1)
    bits = torch.stack([(counts.abs() >> b) & 1 for b in range(8)]) * counts.sign()
    stored, _ = layer.stored()
    spikes = bits.permute(1, 0, 2).numpy().astype(np.int8)  # [tokens, planes, K]: each plane a step
    expected = count(name, stored.numpy().T, spikes, np.zeros((40, 8, layer.out_features)))
    assert found.synaptic_operations == expected.synaptic_operations
    assert found.input_events == expected.input_events and found.binary_input and expected.binary_input
    assert found.nonzero_weights == expected.nonzero_weights
    assert found.dense_operations == 40 * layer.in_features * layer.out_features


@torch.no_grad()
def test_energy_is_spikes_times_additions(dense: LanguageModel) -> None:
    """Horowitz: int32 addition .1 pJ, fp16 MAC 1.5 pJ, int8 multiplication .2 pJ; sums are 32 bits wide."""
    made = convert(dense, Coding("ternary", weights="int8"))
    with made.counting() as histograms:
        made.model(text(30)[None])
    layers = layer_counts(made, histograms)
    found = energy_comparison(layers, 30, "horowitz45")
    operations = sum(layer.synaptic_operations or 0 for layer in layers)
    products = sum(layer.dense_operations or 0 for layer in layers)
    assert found.compute_only.low == pytest.approx(operations * 0.1e-12 / 30)
    assert found.fp16.compute_only.low == pytest.approx(products * 1.5e-12 / 30)
    assert found.int8.compute_only.low == pytest.approx(products * 0.3e-12 / 30)
    # Weights of 4 bits are multiplied as int8, and half as many bits are moved.
    assert found.int4.compute_only == found.int8.compute_only
    assert found.int4.memory_aware.low < found.int8.memory_aware.low
    assert found.fp16.saving["compute_only"] == pytest.approx(1 - operations * 0.1 / (products * 1.5))
    assert found.memory_aware.low > found.in_registers.low > found.compute_only.low
    # Sums that are read and written once a token, not for every spike.
    sums = sum((layer.synaptic_operations or 0) - (layer.output_entries or 0) for layer in layers)
    outputs = {layer.outputs for layer in layers}
    per_bit = PROFILES["horowitz45"].memory.per_bit
    if max(outputs) * 4 <= 8192:  # the smallest memory of the profile
        apart = 2 * sums * 32 * per_bit(4)[0] * 1e-12 / 30
        assert found.memory_aware.low - found.in_registers.low == pytest.approx(apart)


@torch.no_grad()
def test_energy_in_every_process_with_costs_of_operations(dense: LanguageModel) -> None:
    """7 nm: int32 addition .03 pJ, int8 multiplication .07 pJ."""
    made = convert(dense, Coding("ternary", weights="int8"))
    with made.counting() as histograms:
        made.model(text(30)[None])
    layers = layer_counts(made, histograms)
    (found,) = other_processes(layers, 30, "horowitz45")
    assert found.profile == "jouppi7"
    operations = sum(layer.synaptic_operations or 0 for layer in layers)
    products = sum(layer.dense_operations or 0 for layer in layers)
    assert found.compute_only.low == pytest.approx(operations * 0.03e-12 / 30)
    assert found.int8.compute_only.low == pytest.approx(products * 0.1e-12 / 30)
    assert [other.profile for other in other_processes(layers, 30, "jouppi7")] == ["horowitz45"]


@torch.no_grad()
def test_coders_and_scales_are_counted(dense: LanguageModel) -> None:
    made = convert(dense, Coding("ternary", weights="int8"))
    with made.counting() as histograms:
        made.model(text(30)[None])
    layers = layer_counts(made, histograms)
    coders = coding_counts(made, histograms)
    assert [row.name for row in coders] == [f"{layer.name}.coding" for layer in layers]
    for layer, row in zip(layers, coders, strict=True):
        assert row.synaptic_operations == 30 * (layer.inputs + layer.outputs) and row.dense_operations == 0
        assert row.output_events == layer.input_events and row.input_events == 30 * layer.inputs
    alone, both = (energy_comparison(rows, 30, "horowitz45") for rows in (layers, [*layers, *coders]))
    work = sum(row.synaptic_operations or 0 for row in coders)
    added = both.compute_only.low - alone.compute_only.low
    assert added == pytest.approx(work * 4.6e-12 / 30)  # a multiply-add on float32
    assert (both.fp16.compute_only, both.int8.memory_aware) == (alone.fp16.compute_only, alone.int8.memory_aware)


def test_a_model_is_converted_in_the_middle_of_its_training() -> None:
    """The loss that balances its memories belongs to the pass, not to the model."""
    layer = MixerSpec("sse", {"num_heads": 2, "head_dim": 6, "topk": 1})
    model = LanguageModel(LanguageConfig((layer,), width=32), 1).train()
    model(text(24)[None])
    assert model.auxiliary_loss().requires_grad
    made = convert(model, Coding("calibrated"), text(600), windows=2, length=16)
    assert made.model.auxiliary_loss() == 0 and model.auxiliary_loss() > 0


@torch.no_grad()
def test_layers_that_no_token_reaches() -> None:
    """A router that chooses no token: the layers behind it work on nothing, and cannot be calibrated."""
    model = LanguageModel(LanguageConfig((MixerSpec("seqboat", {"slots": 3}),), width=16, hidden=16), 0).eval()
    for name, p in model.named_parameters():
        if "hx_proj" in name:
            p[:2] = 0  # no token is more active than not
    made = convert(model, Coding("ternary"))
    simulated = made.model(text(6)[None])[0]
    made.execute()
    assert torch.equal(made.model(text(6)[None])[0], simulated) and torch.isfinite(simulated).all()
    for scheme in ("calibrated", "qcfs"):
        with pytest.raises(NeurosimInputError, match=r"no token of it reached layers\.0\.mixer\.unit\.[a-z]+_proj"):
            convert(model, Coding(scheme, rotate=False), text(200), windows=2, length=16)


@torch.no_grad()
def test_comparison_in_parts_is_that_of_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """Logits of some tokens and streams of some texts at a time, as of a large vocabulary and a wide model."""
    import neurosim.language.conversion.comparison as module
    from neurosim.language.conversion import logits

    dense = LanguageModel(LanguageConfig((MixerSpec("gla"), MixerSpec("window")), width=32, hidden=48), 1)
    made = convert(dense, Coding("ternary", k=1.5))
    tokens = torch.arange(1501) * 7 % 256
    whole = compare_models(dense, made.model, tokens, length=32, streams=8)
    monkeypatch.setattr(module, "VALUES", 32 * 48 * 3)
    monkeypatch.setattr(module, "HIDDEN", 1)
    monkeypatch.setattr(logits, "LOGITS", 100 * 5)
    monkeypatch.setattr(logits, "WORDS", 100)
    calls: list[tuple[int, int]] = []
    parts = compare_models(dense, made.model, tokens, 32, 8, lambda done, total: calls.append((done, total)))
    assert parts.tokens == whole.tokens and abs(parts.agreement - whole.agreement) < 0.01
    assert parts.dense == pytest.approx(whole.dense, rel=1e-6)
    assert parts.spiking == pytest.approx(whole.spiking, rel=1e-3)
    # Two models of two blocks read three groups of streams.
    assert calls[-1] == (whole.tokens, whole.tokens) and len(calls) == 2 * 2 * 3


def test_comparison_and_layers_alone(dense: LanguageModel) -> None:
    tokens = text(300)
    same = compare_models(dense, dense, tokens)
    assert same.agreement == 1.0 and same.perplexity_increase == 0.0
    logits, _ = dense(tokens[None, :-1])
    loss = float(nn.functional.cross_entropy(logits[0], tokens[1:]).detach())
    assert compare_models(dense, dense, tokens, length=len(tokens), streams=1).dense == pytest.approx(loss, rel=1e-5)
    made = convert(dense, Coding("ternary", k=0.5))
    found = each_layer_alone(dense, made, tokens)
    assert set(found) == set(made.layers) and not any(coder.bypassed for coder in made.coders().values())
    whole = compare_models(dense, made.model, tokens)
    silent = convert(dense, Coding("ternary", k=1e-5, qk=True))  # says nothing at all
    each = each_layer_alone(dense, silent, tokens)
    assert set(each) - set(silent.layers) == {f"layers.{i}.mixer.codes.{n}" for i in (0, 1) for n in "qk"}
    assert all(c.spiking != c.dense for c in each.values())
    assert sum(c.agreement > whole.agreement for c in found.values()) > len(found) / 2
    execution = check_execution(convert(dense, Coding("ternary", weights="int8")), tokens[:64].view(2, 32))
    assert execution.largest == 0.0 and execution.agreement == 1.0 and execution.tokens == 64
    assert execution.state == {}
    states = check_execution(convert(dense, Coding("ternary", k=1.0, qk=True)), tokens[:64].view(2, 32)).state
    assert set(states) == {"layers.0.mixer", "layers.1.mixer"}
    for each in states.values():
        assert 0 < each["operations"] < each["dense_operations"] and each["rows_written"] <= each["rows_read"]


@pytest.mark.parametrize("kinds", [("rwkv7", "gla"), pytest.param(("hgrn", "window"), marks=pytest.mark.slow)])
def test_a_layer_alone_is_the_model_with_all_other_coders_bypassed(kinds: tuple[str, ...]) -> None:
    dense = model_of(*kinds)
    made = convert(dense, Coding("ternary", k=0.5, head=True))
    coders = made.coders()
    # Two windows, the second of which continues the states of the first.
    tokens = text(32 * 160 + 1)
    found = each_layer_alone(dense, made, tokens)
    assert list(found) == list(coders) and "lm_head" in found
    for name in ("layers.0.mixer.o_proj", "layers.1.mixer.o_proj", "lm_head"):
        for other, coder in coders.items():
            coder.bypassed = other != name
        expected = compare_models(dense, made.model, tokens)
        for coder in coders.values():
            coder.bypassed = False
        assert found[name].spiking == pytest.approx(expected.spiking, rel=1e-12) and found[name].tokens == 32 * 160
        assert found[name].agreement == expected.agreement and found[name].dense == pytest.approx(expected.dense)


def test_everything_on_floats_is_listed(dense: LanguageModel) -> None:
    made = convert(dense, Coding("ternary"))
    named = dict(made.dense)
    spiked = tuple(made.layers)
    for name, module in dense.named_modules():
        own = [n for n, _ in module.named_parameters(recurse=False)]
        if own:
            assert name in named or name in spiked, name
    assert named["lm_head"] == "linear layer on floats"
    assert named["layers.0.mixer.q_conv1d"] == "short convolution over tokens"
    assert "delta rule" in named["layers.0.mixer"]
    hybrid = convert(model_of("gla", "window"), Coding("ternary"))
    assert "softmax attention" in dict(hybrid.dense)["layers.1.mixer"]


@pytest.mark.parametrize(
    "coding", [Coding("ternary", qk=True, head=True), Coding("calibrated", weights="float32"), Coding("stbif", k=2.0)]
)
@torch.no_grad()
def test_saved_and_loaded_is_the_same_model(coding: Coding, dense: LanguageModel, tmp_path: Path) -> None:
    made = convert(dense, coding, text(), windows=4, length=32)
    write_converted(tmp_path / "m", made)
    assert is_converted(tmp_path / "m")
    again = read_converted(tmp_path / "m")
    tokens = text(40)[None]
    assert torch.equal(again.model(tokens)[0], made.model(tokens)[0])
    assert again.coding == coding and again.dense == made.dense and again.price == made.price
    assert sorted(p.name for p in (tmp_path / "m").iterdir()) == ["config.json", "model.safetensors"]


@torch.no_grad()
def test_a_tied_head_is_converted_and_saved(tmp_path: Path) -> None:
    model = LanguageModel(dataclasses.replace(model_of("gla").config, tied=True)).eval()
    for coding in (Coding("ternary", head=True), Coding("calibrated", head=True)):
        made = convert(model, coding, text(), windows=4, length=32)
        write_converted(tmp_path, made)
        assert torch.equal(read_converted(tmp_path).model(text(20)[None])[0], made.model(text(20)[None])[0])


@pytest.fixture(scope="module")
def saved(dense: LanguageModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("converted")
    write_converted(folder, convert(dense, Coding("calibrated"), text(), windows=4, length=32))
    return folder


CODER = {"k": 3.0, "shrink": 0.0, "price": 0.0, "limit": 127.0}


def _config(folder: Path, **changes: object) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | changes))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"format": 9}, "format: must be 1: upgrade neurosim"),
        ({"coding": {"scheme": "ternery"}}, "did you mean 'ternary'"),
        ({"coding": {"k": "3"}}, r"coding.k: must be a number \(got '3'\)"),
        ({"coding": {"kk": 3}}, "coding: unknown key 'kk'"),
        ({"coding": 5}, "coding: must be a table"),
        ({"price": None}, "price: must be a number"),
        (
            {"coders": {"layers.0.mixer.z_proj": CODER}},
            "coders: unknown name 'layers.0.mixer.z_proj'",
        ),
        ({"coders": {"layers.0.mixer.q_proj": {"k": 3.0}}}, "needs the fields shrink, price, limit"),
        ({"coders": {"layers.0.mixer.q_proj": 3}}, "q_proj: must be a table"),
        ({"coders": {}}, "tensors do not fit"),
        ({"model_type": "gla"}, "model_type: must be neurosim-spiking"),
        ({"blocks": {"embeddings.weight": "Q9_0"}}, "blocks.embeddings.weight: unknown name 'Q9_0'"),
        (
            {"blocks": {"embeddings.weight": "Q8_0"}},
            "tensor 'embeddings.weight': must be bytes U8 of blocks Q8_0, 34 each",
        ),
    ],
)
def test_damaged_configs_say_what_is_wrong(saved: Path, tmp_path: Path, changes: dict[str, object], words: str) -> None:
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).write_bytes((saved / name).read_bytes())
    _config(tmp_path, **changes)
    with pytest.raises(NeurosimInputError, match=words):
        read_converted(tmp_path)


def test_damaged_tensors_say_which(saved: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    (tmp_path / "config.json").write_bytes((saved / "config.json").read_bytes())
    tensors = load_file(saved / "model.safetensors")
    name = "layers.0.mixer.q_proj.coder.thresholds"
    for changed, words in (
        (tensors | {name: torch.ones(3)}, f"tensor '{name}' must be"),
        (tensors | {name: -tensors[name]}, f"tensor '{name}' must be finite and > 0"),
        (tensors | {"more": torch.ones(1)}, "unexpected 'more'"),
        ({n: t for n, t in tensors.items() if n != name}, f"missing '{name}'"),
    ):
        save_file(changed, tmp_path / "model.safetensors")
        with pytest.raises(NeurosimInputError, match=words):
            read_converted(tmp_path)
    whole = (saved / "model.safetensors").read_bytes()
    for bad in (whole[:100], (2**40).to_bytes(8, "little") + whole[8:], b""):
        (tmp_path / "model.safetensors").write_bytes(bad)
        with pytest.raises(NeurosimInputError, match=r"model\.safetensors"):
            read_converted(tmp_path)


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: Coding("bitwise"), "spike coding scheme|Coding.scheme: unknown name 'bitwise'"),
        (lambda: Coding(k=0.0), r"Coding.k: must be > 0 and < 1e6 \(got 0.0\)"),
        (lambda: Coding(spikes=-1.0), r"Coding.spikes: must be > 0 and < 8 a channel"),
        (lambda: Coding(expansion="unary_binary"), "Coding.expansion: must have a sign"),
        (lambda: Coding(weights="int2"), "unknown name 'int2'"),
        (lambda: Coding("calibrated", shrink=0.2), "finds its own"),
        (lambda: Coding(price=0.5), r"Coding.price: must be 0 but for scheme 'ternary' in canonical digits"),
        (lambda: Coding(price=2.0, expansion="canonical"), r"Coding.price: must be >= 0 and <= 1 squared threshold"),
        (lambda: Coding("stbif", balance=True), r"Coding.balance: must be false but for scheme 'ternary'"),
        (
            lambda: convert(model_of("gla"), Coding(balance=True)),
            "takes a k for each group of layers from text",
        ),
        (lambda: convert(model_of("gla"), Coding("calibrated")), "takes thresholds from text; give a text"),
        (
            lambda: convert(model_of("gla"), Coding("stbif"), text(40)),
            "calibration text: must have more than 129 tokens",
        ),
        (lambda: convert(model_of("ssm"), Coding(qk=True)), "DiagonalSSM has no q and k to code"),
        (lambda: convert(model_of("softmax"), Coding(state=True)), "SoftmaxAttention holds earlier tokens, .*leave"),
        (lambda: Sampling(temperature=-1.0), "Sampling.temperature: must be >= 0"),
        (lambda: convert(_broken(), Coding("ternary")), "tensor 'norm.weight': holds NaN or infinity"),
        (lambda: list(generate_tokens(model_of("gla"), b"", Sampling())), "prompt: must have at least one byte"),
        (lambda: Tuning(steps=0).check(), r"Tuning.steps: must be > 0 \(got 0\)"),
    ],
)
def test_errors_name_the_setting(build: object, words: str) -> None:
    with pytest.raises(NeurosimError, match=words):
        build()  # type: ignore[operator]


def _broken() -> LanguageModel:
    model = model_of("gla")
    with torch.no_grad():
        model.norm.weight[3] = float("nan")
    return model


def test_a_mixer_without_linear_layers_cannot_be_converted() -> None:
    model = model_of("gla")
    for name in ("q_proj", "k_proj", "v_proj", "g_proj", "o_proj", "gk_proj"):
        setattr(model.layers[0].mixer, name, nn.Identity())
    with pytest.raises(NeurosimInputError, match=r"layers.0.mixer: a GLA holds no linear layer to code"):
        convert(model, Coding("ternary"))


def test_the_dense_model_is_left_alone(dense: LanguageModel) -> None:
    made = convert(dense, Coding("ternary", qk=True))
    assert isinstance(made, Converted)
    assert not any(isinstance(m, SpikedLinear) for m in dense.modules())
    assert dense.mixers()[0].codes.q is None


CASES = cases("convert_cases")


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_on_a_card_in_the_interpreter(case: str) -> None:
    interpret("convert_cases", case)


@pytest.mark.gpu
@pytest.mark.parametrize("case", CASES)
def test_on_a_gpu(case: str) -> None:
    on_gpu("convert_cases", case)


def test_weights_are_saved_as_int8_and_read_back_bit_for_bit(tmp_path: Path) -> None:
    model = model_of("gla")
    made = convert(model, Coding("ternary", head=True))
    write_converted(tmp_path, made)
    from safetensors.torch import load_file

    stored = load_file(tmp_path / "model.safetensors")
    name = "layers.0.mlp.up_proj"
    assert stored[f"{name}.weight"].dtype == torch.int8 and stored[f"{name}.steps"].dtype == torch.float32
    read = read_converted(tmp_path)
    tokens = torch.arange(20)[None]
    for layer, own in made.layers.items():
        for one, other in zip(read.layers[layer].stored(), own.stored(), strict=True):
            assert one is not None and other is not None and torch.equal(one, other)
    with torch.no_grad():
        assert torch.equal(read.model(tokens)[0], made.model(tokens)[0])
        assert torch.equal(read.execute().model(tokens)[0], made.model(tokens)[0])
    write_converted(tmp_path / "again", read)
    again = load_file(tmp_path / "again" / "model.safetensors")
    assert set(again) == set(stored) and all(torch.equal(again[each], stored[each]) for each in stored)
    # Trained further, its weights become floats.
    read.execute(False)
    tune(read.model, read.layers, torch.arange(400) % 50, Tuning(1, batch=1, length=16))
    assert read.layers[name].weight.dtype == torch.float32 and read.layers[name].steps is None


def test_rows_of_a_saved_model_are_read_where_its_file_is_mapped(tmp_path: Path) -> None:
    made = convert(LanguageModel(LanguageConfig((MixerSpec("gla"),), width=64, hidden=96), 1), Coding("ternary", k=2.0))
    write_converted(tmp_path / "new", made)
    read = read_converted(tmp_path / "new")
    decoder = Decoder(read.model)
    tokens = [3, 99, 7]
    # Addresses of rows are the first arguments of their operations.
    addresses = {_first_argument(row) for own in decoder._programs[1].lists for row in own}
    mapped = {name: layer.weight.data_ptr() in addresses for name, layer in read.layers.items()}
    # 96 outputs are padded to 128, and 16 and 32 to 64: copied.
    assert mapped["layers.0.mixer.o_proj"] and mapped["layers.0.mlp.down_proj"]
    assert not any(mapped[name] for name, layer in read.layers.items() if layer.out_features % 64)
    logits = [decoder.step([token]).copy() for token in tokens]
    assert np.array_equal(Decoder(made.model).step(tokens[:1]), logits[0])


def _first_argument(operation: Any) -> int:
    return ctypes.c_int64.from_address(int(operation[OPERANDS])).value


def test_a_save_that_was_killed_between_its_files_reads_as_the_old_model(tmp_path: Path) -> None:
    """Whichever file took its place first, config and weights are those of one model."""
    one = convert(model_of("gla"), Coding("ternary"))
    other = convert(model_of("gla"), Coding("ternary", k=1.0))
    for name, made in (("old", one), ("new", other)):
        write_converted(tmp_path / name, made)
    mixed = tmp_path / "mixed"
    mixed.mkdir()
    for config, weights, k in (("new", "old", 3.0), ("old", "new", 1.0)):
        (mixed / "config.json").write_bytes((tmp_path / config / "config.json").read_bytes())
        (mixed / "model.safetensors").write_bytes((tmp_path / weights / "model.safetensors").read_bytes())
        assert read_converted(mixed).coding.k == k


def test_a_converted_config_of_many_words_takes_no_memory(tmp_path: Path) -> None:
    write_converted(tmp_path, convert(model_of("gla"), Coding("ternary")))
    config = json.loads((tmp_path / "config.json").read_text())
    for change, words in (({"vocabulary": 10**8}, "tensor 'embeddings.weight' must be"), ({"hidden": 10**12}, "mlp")):
        changed = config | {"config": config["config"] | change}
        (tmp_path / "config.json").write_text(json.dumps(changed))
        with pytest.raises(NeurosimFormatError, match=words):
            read_converted(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(config | {"config": config["config"] | {"width": 2**62}}))
    with pytest.raises(NeurosimInputError, match=r"config\.json makes no model"):
        read_converted(tmp_path)


@torch.no_grad()
def test_a_model_read_block_by_block_has_the_same_values_and_keeps_no_rounded_weights() -> None:
    """Windows of two groups that follow each other, of kinds that share values between layers, bit for bit."""
    mixers = [MixerSpec("rwkv7", {"head_dim": 16}), MixerSpec("rwkv7", {"head_dim": 16}), MixerSpec("window")]
    made = convert(
        LanguageModel(LanguageConfig(tuple(mixers), width=32, hidden=48, mlp="channel_mix"), 3), Coding(k=2.0)
    )
    tokens = torch.arange(3 * 25).view(3, 25) * 7 % 256
    groups = [[part[:, :16], part[:, 16:]] for part in (tokens[:2], tokens[2:])]
    calls: list[tuple[int, int]] = []
    found = hidden_by_block(made.model, groups, lambda done, total: calls.append((done, total)))
    assert calls == [(1, 3), (2, 3), (3, 3)]
    assert all(layer._cached_floats is None for layer in made.layers.values())
    for windows, results in zip(groups, found, strict=True):
        state = None
        for window, result in zip(windows, results, strict=True):
            wanted, state = made.model.hidden(made.model.embed(window), state)
            assert torch.equal(result, wanted)


def test_rows_of_one_block_exist_at_a_time_in_the_check_of_the_executed_form(dense: LanguageModel) -> None:
    """Each layer adds rows while its block is called, and no layer of another block holds any then or later."""
    made = convert(dense, Coding("ternary", k=2.0))
    holding: list[set[str]] = []

    def note(*_: object) -> None:
        holding.append({name for name, layer in made.layers.items() if layer._rows is not None})

    handles = [layer.register_forward_hook(note) for layer in made.layers.values()]
    check_execution(made, torch.arange(16)[None])
    for handle in handles:
        handle.remove()
    executed = [names for names in holding if names]
    blocks = [{name.split(".")[1] for name in names} for names in executed]
    assert len(executed) == len(holding) / 2 and all(len(block) == 1 for block in blocks)
    assert {name for block in blocks for name in block} == {"0", "1"}
    assert all(layer._rows is None for layer in made.layers.values()) and not made.executed


def test_large_k_is_exact_or_refused() -> None:
    """Sums beyond 2^24 are the same executed and simulated; those that could pass 32 bits are refused."""
    model = model_of("gla")
    made = convert(model, Coding("ternary", k=2e4))
    tokens = torch.arange(24)[None]
    assert check_execution(made, tokens).largest == 0.0
    with pytest.raises(NeurosimInputError, match=r"Coding\.k: must be < 528415 for the 32 channels of .*q_proj"):
        convert(model, Coding("ternary", k=9e5))


def test_activations_that_are_not_finite_name_the_layer() -> None:
    made = convert(model_of("gla"), Coding("ternary"))
    with torch.no_grad():
        made.model.layers[0].mlp_norm.weight.fill_(torch.nan)  # type: ignore[union-attr]
    with pytest.raises(NeurosimInputError, match=r"layers\.0\.mlp\.gate_proj: its inputs hold NaN"), made.counting():
        made.model(torch.arange(9)[None])
