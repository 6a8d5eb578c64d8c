"""Work and energy of converted models against brute-force counts, and what is left on floats."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers.convert_models import model_of, text
from torch import Tensor

from neurosim.base import NeurosimInputError
from neurosim.engine import PROFILES, count
from neurosim.language import Coding, LanguageConfig, LanguageModel, MixerSpec, convert
from neurosim.language.conversion.costs import coding_counts, energy_comparison, layer_counts, other_processes


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
