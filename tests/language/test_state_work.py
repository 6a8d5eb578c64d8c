"""The work of the states of converted models, counted row by row from the q and k that enter the recurrence."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from helpers import bruteforce

from neurosim.language import Coding, LanguageConfig, LanguageModel, MixerSpec, convert
from neurosim.language.conversion.state_work import dense_counts, state_counts, uncounted_states

SMALL: dict[str, dict[str, Any]] = {
    "retention": {"num_heads": 2},
    "gated_deltanet": {"num_heads": 2, "head_dim": 4, "head_v_dim": 6},
    "deltaproduct": {"num_heads": 2, "head_dim": 4, "head_v_dim": 4},
    "mamba2": {"head_dim": 8, "state_size": 4},
    "rwkv7": {"head_dim": 8},
}
DELTA = {"gated_deltanet", "deltaproduct"}


def by_hand(kind: str, inputs: list[dict[str, np.ndarray]], width: int, lazy: bool) -> dict[str, int]:
    """Counts of the update and the reading of every row, for every token, step of the rule and head."""
    found = dict.fromkeys(("synaptic_operations", "dense_operations", "membrane_updates", "input_events"), 0)
    for given in inputs:
        tokens = (given[name].reshape(-1, *given[name].shape[2:]) for name in "qk")
        for q, k in zip(*tokens, strict=True):
            for row in np.ndindex(q.shape):
                found["input_events"] += q[row] != 0
                found["synaptic_operations"] += width * (q[row] != 0)
                found["dense_operations"] += width * (3 if kind == "rwkv7" else 1)
                found["synaptic_operations"] += 2 * width if kind == "rwkv7" else 0
                found["membrane_updates"] += 0 if lazy else width
            for row in np.ndindex(k.shape):
                found["input_events"] += k[row] != 0
                found["synaptic_operations"] += width * (2 if kind in DELTA else 1) * (k[row] != 0)
                found["dense_operations"] += width * (2 if kind in DELTA else 1)
                found["membrane_updates"] += width * (k[row] != 0) if lazy else 0
    return {name: int(value) for name, value in found.items()}


@pytest.mark.parametrize("qk", [True, False])
@pytest.mark.parametrize("kind", SMALL)
@torch.no_grad()
def test_states_are_counted_row_by_row(kind: str, qk: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    model = LanguageModel(LanguageConfig((MixerSpec(kind, SMALL[kind]),), width=16, hidden=16), 1).eval()
    made = convert(model, Coding("ternary", k=1.0, qk=qk))
    mixer = made.model.mixers()[0]
    kept = []
    coded = mixer.coded

    def record(inputs: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        found = coded(inputs)
        # Floats all count, those that happen to be 0 too.
        kept.append({name: found[name].numpy() if qk else np.ones(found[name].shape) for name in "qk"})
        return found

    monkeypatch.setattr(mixer, "coded", record)
    with made.counting() as histograms:
        made.model(torch.arange(14).view(2, 7) * 9)
    (layer,) = state_counts(made, histograms)
    heads, rows, width = mixer.initial(torch.zeros(1, 1, 16))["memory"].shape[-3:]
    expected = by_hand(kind, kept, width, qk and kind != "rwkv7")
    assert {name: getattr(layer, name) for name in expected} == expected
    assert layer.steps == 14 and layer.state_bytes == 4 * heads * rows * width
    assert (layer.synaptic_operations < layer.dense_operations) == qk
    assert layer.dense_membrane_updates == 14 * heads * rows * width
    assert uncounted_states(made.model) == ()


def test_attention_over_earlier_tokens_is_named_and_left_out() -> None:
    specs = (MixerSpec("retention", {"num_heads": 2}), MixerSpec("window", {"num_heads": 2}))
    model = LanguageModel(LanguageConfig(specs, width=16, hidden=16), 1).eval()
    made = convert(model, Coding("ternary"))
    with made.counting() as histograms, torch.no_grad():
        made.model(torch.arange(6)[None])
    assert [layer.name for layer in state_counts(made, histograms)] == ["layers.0.mixer.state"]
    assert uncounted_states(made.model) == (
        "layers.1.mixer: the work of its softmax attention over earlier tokens is not counted, for it is not of the "
        "form S += k v^T",
    )


def test_layers_in_a_row_that_are_left_out_are_named_once() -> None:
    window = MixerSpec("window", {"num_heads": 2})
    specs = (window, window, MixerSpec("retention", {"num_heads": 2}), window)
    model = LanguageModel(LanguageConfig(specs, width=16, hidden=16), 1).eval()
    names = [sentence.split(":")[0] for sentence in uncounted_states(model)]
    assert names == ["layers.0.mixer to layers.1.mixer", "layers.3.mixer"]


def test_a_dense_model_is_counted_product_by_product() -> None:
    specs = (MixerSpec("retention", {"num_heads": 2}), MixerSpec("window", {"num_heads": 2}))
    model = LanguageModel(LanguageConfig(specs, width=8, hidden=12), 1).eval()
    seen: dict[str, Any] = {}
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.Linear):
            with torch.no_grad():
                module.weight[0, :3] = 0  # absent weights cost nothing
            module.register_forward_hook(
                lambda m, given, out, name=name: seen.update({name: (m.weight, given[0], out)})
            )
    layers = {layer.name: layer for layer in dense_counts(model, torch.arange(10).view(2, 5))}
    assert layers.keys() - seen.keys() == {"layers.0.mixer.state"} and "lm_head" in seen
    for name, (weight, x, out) in seen.items():
        arrays = weight.detach().T.numpy(), *(v.flatten(0, -2)[:, None].numpy() for v in (x, out))
        expected = bruteforce.count(*arrays) | {"dense_membrane_updates": 0}
        assert {key: getattr(layers[name], key) for key in expected} == expected, name
    state = layers["layers.0.mixer.state"]
    # Every entry of k and q takes a row; all cells decay at every token.
    heads, rows, width = model.mixers()[0].initial(torch.zeros(1, 1, 8))["memory"].shape[-3:]
    assert state.synaptic_operations == state.dense_operations == 2 * 10 * heads * rows * width
    assert state.membrane_updates == 10 * heads * rows * width
    assert len(uncounted_states(model)) == 1
