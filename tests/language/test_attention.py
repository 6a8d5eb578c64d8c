"""Attention kinds: the chunked form is the recurrence, and the recurrence is what its paper says."""

from __future__ import annotations

import importlib
import itertools
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.attention_kinds import SMALL, WIDTH, handed, mixer_of, noise
from torch import Tensor

from neurosim.base import NeurosimInputError
from neurosim.base.distribution import install
from neurosim.language import (
    KINDS,
    Decoder,
    Depth,
    LanguageConfig,
    LanguageModel,
    Mixer,
    MixerSpec,
    build,
    read_model,
    write_model,
)
from neurosim.language.attention.kinds import options_of
from neurosim.language.attention.kinds.chunks import additive, delta, rank_one
from neurosim.language.attention.kinds.feature_maps import FEATURE_MAPS, feature_map
from neurosim.language.attention.kinds.modules import ShortConv
from neurosim.language.attention.kinds.rotary import build_rotary

MORE: list[tuple[str, dict[str, Any]]] = [
    ("linear", {"num_heads": 2, "feature_map": "hadamard", "do_feature_map_norm": False}),
    ("linear", {"num_heads": 2, "feature_map": "hedgehog", "tie_feature_map_qk": True}),
    ("linear", {"num_heads": 4, "num_kv_heads": 2, "feature_map": "hedgehog_by_head"}),
    ("linear", {"num_heads": 2, "feature_map": "based", "key_dim": 8}),
    ("linear", {"num_heads": 4, "num_kv_heads": 2, "feature_map": "hedgehog", "rotary_dim": 4}),
    ("linear", {"num_heads": 2, "feature_map": "norm_aware", "train_norm_power": True}),
    ("linear", {"num_heads": 2, "feature_map": "based", "key_dim": 8, "conv_size": 3, "use_output_norm": False}),
    ("linear", {"num_heads": 2, "feature_map": "relu", "norm_q": True, "norm_k": True}),
    (
        "deltanet",
        {"num_heads": 2, "allow_neg_eigval": True, "qk_activation": "elu", "qk_norm": "sum", "use_beta": False},
    ),
    ("deltaproduct", {"num_heads": 2, "head_dim": 6, "use_forget_gate": False}),
    ("kda", {"num_heads": 2, "head_dim": 6, "lower_bound": -5.0, "allow_neg_eigval": True}),
    ("mom", {"num_heads": 2, "head_dim": 6, "shared_mem": False, "single_kv_proj": True, "conv_size": 0}),
    ("sse", {"num_heads": 2, "head_dim": 6, "topk": 2, "readers": 1}),
    ("sse", {"linear_attn_type": "gdn", "num_heads": 1, "num_v_heads": 2, "head_dim": 4, "readers": 3, "conv_size": 3}),
    ("gla", {"num_heads": 4, "num_kv_heads": 2, "decay": "head", "conv_size": 4}),
    ("retention", {"num_heads": 4, "decay": "lightning", "rotary": False, "feature_map": "silu"}),
    ("tcnca", {"layers": 2, "kernel": 3, "window_size": 5, "moving": True, "simple": True}),
    ("tcnca", {"window_size": 7, "averages": "ema", "state_size": 3}),
    ("seqboat", {"slots": 6, "state_size": 3, "positions": "bias", "attention": "relu2", "ssm": "s4d"}),
    ("paragru", {"units": 10, "rounds": None, "blocks": 2}),
    ("plstm", {"num_heads": 2, "conv_size": 2, "states": 3}),
    ("plstm", {"num_heads": 2, "states": 2, "value_parts": 4, "passthrough": True}),
    ("plstm", {"num_heads": 2, "states": 2, "conv_size": 4, "conv_inputs": True, "passthrough": True}),
    ("plstm", {"num_heads": 2, "closed": True, "gate_fn": None}),
    ("sea", {"num_heads": 2, "topk": 5, "columns": 6, "hidden": 7, "learnt_positions": 9}),
    ("moneta", {"num_heads": 1, "head_dim": 4, "memory_depth": 1, "span": 4, "retain": "span"}),
    ("mamba2", {"head_dim": 6, "state_size": 5, "rmsnorm": False, "D_has_hdim": True, "dt_limit": (0.01, 0.05)}),
    ("mamba", {"state_size": 3, "inner_norm_eps": 1e-6, "use_bias": True}),
    ("latent", {"num_heads": 2, "q_lora_rank": 5, "attention_bias": True}),
    ("ssm", {"state_size": 4, "discretisation": "zoh"}),
    ("softmax", {"num_heads": 2, "rotary_dim": 4, "o_bias": True, "rope_scaling": {"type": "linear", "factor": 2.0}}),
    ("window", {"num_heads": 2, "window_size": 0}),
    ("local_linear", {"num_heads": 2, "window_size": 5}),
    ("titans", {"num_heads": 2, "head_dim": 4, "memory_depth": 1, "span": 1}),
    ("moneta", {"num_heads": 2, "head_dim": 8, "expansion": 2, "span": 4, "retention": "printed"}),
    ("titans_gate", {"num_heads": 2, "head_dim": 4, "expansion": 2, "span": 4, "window_size": 5, "persistent": 0}),
    ("titans", {"num_heads": 2, "head_dim": 4, "expansion": 2, "span": 4, "gates": "channel", "gate_rank": 3}),
    ("titans", {"num_heads": 2, "head_dim": 8, "expansion": 2, "span": 4, "read": "linear", "max_step": 0.05}),
    ("yaad", {"num_heads": 2, "head_dim": 4, "memory_depth": 1, "span": 4, "gates": "channel"}),
    ("lssl", {"state_size": 5, "measure": "legt"}),
    ("retention", {"num_heads": 2, "num_kv_heads": 1, "trained_angles": True}),
    ("lssl", {"state_size": 4, "structured": True, "copies": 2, "outputs": 3}),
    ("bmojo", {"num_heads": 2, "window_size": 3, "use_fading": False}),
    ("comba", {"num_heads": 2, "head_dim": 6, "normalise_feedback": True, "use_gate": False}),
    ("comba", {"num_heads": 2, "head_dim": 6, "use_inner_decay": False, "use_output_correction": False}),
    ("gsa", {"num_heads": 2, "feature_map": "t2r"}),
    ("hgrn", {"expand_ratio": 1.5, "use_lower_bound": False}),
]
CASES = [*SMALL.items(), *MORE]
TRAINED_ON_THE_WAY = ("memora", "moneta", "titans", "titans_context", "titans_gate", "titans_layer", "yaad")


def both_forms(mixer: Mixer, dtype: torch.dtype) -> tuple[list[Tensor], list[Tensor]]:
    """Memory, outputs and gradients of the recurrence, and of the chunked form, from a state that is not empty."""
    mixer = mixer.to(dtype)
    x, before = (noise(2, n, WIDTH, seed=seed, dtype=torch.float32).to(dtype) for n, seed in ((39, 0), (9, 1)))
    _, state = mixer(before, None, handed(9, dtype))
    inputs, _ = mixer.project(x.requires_grad_(), state, handed(39, dtype))

    def results(run: Any) -> list[Tensor]:
        memory, out = run(state["memory"], inputs)
        y = mixer.finish(out, x, inputs)
        loss = (y * noise(*y.shape, seed=2, dtype=torch.float32)).sum() + memory.square().sum()
        grads = torch.autograd.grad(loss, [x, *mixer.parameters()], retain_graph=True, allow_unused=True)
        return [memory.detach(), y.detach(), *(g for g in grads if g is not None)]

    return results(mixer.stepwise), results(mixer.chunked)


@pytest.mark.parametrize(
    "dtype, close", [(torch.float64, 1e-10), pytest.param(torch.float32, 1e-5, marks=pytest.mark.slow)]
)
@pytest.mark.parametrize("kind, options", CASES, ids=lambda x: x if isinstance(x, str) else "-".join(map(str, x)))
def test_chunked_equals_the_recurrence(kind: str, options: dict[str, Any], dtype: torch.dtype, close: float) -> None:
    """Values and gradients, over more than one chunk and an odd rest.

    Gradients through memories that are trained on the way lose more than 1e-5 in float32, more on one processor than
    on another. There the two forms may lie as far apart as the recurrence lies from itself in float64.
    """
    mixer = mixer_of(kind, options, torch.float32)
    mixer.chunk = min(mixer.chunk, 16)
    steps, chunks = both_forms(mixer, dtype)
    assert len(steps) == len(chunks) > 5

    def apart(some: list[Tensor], others: list[Tensor]) -> list[float]:
        return [
            float((one - other).abs().max()) / max(float(one.abs().max()), 1.0)
            for one, other in zip(some, others, strict=True)
        ]

    difference = apart(steps, chunks)
    assert max(difference[:2]) <= close
    if kind in TRAINED_ON_THE_WAY and dtype == torch.float32:
        close = max(close, 2 * max(apart(steps, both_forms(mixer, torch.float64)[0])[2:]))
    assert max(difference[2:]) <= close


@pytest.mark.parametrize("kind, options", CASES, ids=lambda x: x if isinstance(x, str) else "-".join(map(str, x)))
def test_a_sequence_may_be_cut_anywhere(kind: str, options: dict[str, Any]) -> None:
    """Whole, in two parts, and a token at a time: one result, and memory that stays of one size."""
    mixer = mixer_of(kind, options)
    x = noise(2, 21, WIDTH)
    shared = handed(21)
    whole, end = mixer(x, None, dict(shared))
    first, state = mixer(x[:, :8], None, shared | {"first_values": shared["first_values"][:, :8]})
    rest, state = mixer(x[:, 8:], state, shared | {"first_values": shared["first_values"][:, 8:]})
    torch.testing.assert_close(torch.cat([first, rest], 1), whole, rtol=1e-9, atol=1e-10)
    steps = []
    now = None
    sizes = []
    for t in range(21):
        y, now = mixer(x[:, t : t + 1], now, shared | {"first_values": shared["first_values"][:, t : t + 1]})
        steps.append(y)
        sizes.append(sum(value.numel() for value in now.values()))
    torch.testing.assert_close(torch.cat(steps, 1), whole, rtol=1e-9, atol=1e-10)
    assert now is not None
    for name, value in end.items():
        torch.testing.assert_close(now[name], value, rtol=1e-9, atol=1e-10)
    if kind not in ("hax", "latent") and (options_of(kind) | options).get("window_size") != 0:
        # Two chunks of 7 tokens later, where a text is cut into them.
        assert sizes[-1] == sizes[6 if kind == "tcnca" else 8]


@pytest.mark.slow
def test_every_option_has_a_compiled_step() -> None:
    """Decoder against the model's own logits, for all cases; `test_decoder.py` has them in spikes."""
    tokens = torch.randint(11, (1, 12), generator=torch.Generator().manual_seed(1))
    for kind, options in CASES:
        model = LanguageModel(LanguageConfig((MixerSpec(kind, options),), vocabulary=11, width=WIDTH, hidden=16)).eval()
        decoder = Decoder(model)
        steps = torch.stack([torch.from_numpy(decoder.step([token])[0].copy()) for token in tokens[0].tolist()])
        with torch.no_grad():
            whole = model(tokens)[0][0]
        error = float((steps - whole).abs().max() / whole.abs().max())
        assert error < 1e-4, (kind, options, error)


def test_every_kind_is_tested_and_takes_only_its_options() -> None:
    assert set(SMALL) == set(KINDS)
    with pytest.raises(NeurosimInputError, match="gla option: unknown name 'num_headz'; did you mean 'num_heads'"):
        build("gla", WIDTH, Depth(), {"num_headz": 2})
    with pytest.raises(NeurosimInputError, match="attention kind: unknown name 'gated_deltnet'; did you mean"):
        build("gated_deltnet", WIDTH, Depth(), {})
    with pytest.raises(NeurosimInputError, match=r"must be a multiple of 5 and > 0 \(got 24\)"):
        build("retention", WIDTH, Depth(), {"num_heads": 5})
    assert options_of("kda")["lower_bound"] is None
    page = (Path(__file__).parents[2] / "docs" / "kinds.md").read_text()
    assert [kind for kind in KINDS if f"`{kind}`" not in page] == []


@torch.no_grad()
def test_features_of_linear_attention_see_positions() -> None:
    """With the identity as feature map and one token repeated, phi(q_i) . phi(k_j) depends on i - j alone."""
    options = {"num_heads": 2, "feature_map": "identity", "rotary_dim": 10, "rope_theta": 100.0}
    mixer = mixer_of("linear", options)
    x = noise(1, 1, WIDTH).expand(1, 12, WIDTH)
    state = mixer.initial(x)
    state["position"] += 5
    inputs, after = mixer.project(x, state, {})
    scores = torch.einsum("ihk,jhk->hij", inputs["q"][0], inputs["k"][0])
    assert int(after["position"]) == 17
    for shift in range(-11, 12):
        line = scores.diagonal(shift, 1, 2)
        torch.testing.assert_close(line, line[:, :1].expand_as(line), rtol=1e-12, atol=1e-12)
    assert float((scores[:, 0] - scores[:, 0, :1]).abs().max()) > 0.1
    with pytest.raises(NeurosimInputError, match=r"LinearAttention\.rotary_dim: must be 0 to 12 \(got 13\)"):
        mixer_of("linear", options | {"rotary_dim": 13})


def test_without_torch_the_text_is_there_and_the_rest_says_what_to_install() -> None:
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "import neurosim.language as a, neurosim.base.errors\n"
        "assert a.python_text()\n"
        "try: a.LanguageModel\n"
        "except neurosim.base.errors.NeurosimMissingError as error: print(error)"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "needs torch" in said and install("train") in said


def plain(q: Tensor, k: Tensor, v: Tensor, step: Any) -> Tensor:
    """Outputs of S = step(S, t), o = S^T q over [T, ..], one head."""
    s = torch.zeros(k.shape[1], v.shape[1], dtype=q.dtype)
    out = []
    for t in range(len(q)):
        s = step(s, t)
        out.append(s.T @ q[t])
    return torch.stack(out)


@pytest.mark.parametrize("gated", ["none", "scalar", "vector"])
def test_chunk_algorithms_against_matrices(gated: str) -> None:
    """Each token multiplies the state by its transition matrix, written out."""
    q, k, v, a, b = (noise(33, n, seed=i) / 2 for i, n in enumerate((5, 5, 3, 5, 5)))
    beta = noise(33, seed=7).sigmoid() * 2
    g = {"none": None, "scalar": -3 * noise(33, seed=8).exp(), "vector": -3 * noise(33, 5, seed=8).exp()}[gated]
    decay = [torch.eye(5, dtype=q.dtype) if g is None else torch.diag(g[t].exp().expand(5)) for t in range(33)]
    one = torch.eye(5, dtype=q.dtype)
    empty = torch.zeros(1, 1, 5, 3, dtype=q.dtype)
    q1, k1, v1, a1, b1, beta1 = (x[None, :, None] for x in (q, k, v, a, b, beta))
    g1 = None if g is None else g[None, :, None]
    runs = {
        "additive": (additive(q1, k1, v1, empty, g1, 8), lambda s, t: decay[t] @ s + torch.outer(k[t], v[t])),
        "delta": (
            delta(q1, k1, v1, beta1, empty, g1, 8),
            lambda s, t: (one - beta[t] * torch.outer(k[t], k[t])) @ decay[t] @ s + beta[t] * torch.outer(k[t], v[t]),
        ),
        "rank_one": (
            rank_one(q1, k1, v1, a1, b1, empty, g1, 8),
            lambda s, t: (one + torch.outer(b[t], a[t])) @ decay[t] @ s + torch.outer(k[t], v[t]),
        ),
    }
    for (_, out), step in runs.values():
        torch.testing.assert_close(out[0, :, 0], plain(q, k, v, step), rtol=1e-10, atol=1e-11)


def test_strong_decays_do_not_overflow() -> None:
    q, k, v = (noise(1, 64, 1, 4, seed=i, dtype=torch.float32) for i in range(3))
    g = torch.full((1, 64, 1, 4), -80.0).requires_grad_()
    _, out = additive(q, k, v, torch.zeros(1, 1, 4, 4), g, 16)
    out.sum().backward()
    assert torch.isfinite(out).all() and g.grad is not None and torch.isfinite(g.grad).all()
    # Nothing is left of the token before: o = (q . k) v.
    torch.testing.assert_close(out, (q * k).sum(-1, keepdim=True) * v)


def test_the_delta_rule_writes_what_is_read_back() -> None:
    """beta = 1 and orthonormal keys: every value is recalled exactly; a key written again holds the last value."""
    keys = torch.linalg.qr(noise(4, 4)).Q
    k = torch.cat([keys, keys[:1]])[None, :, None]
    v = noise(1, 5, 1, 3, seed=1)
    memory, _ = delta(k, k, v, torch.ones(1, 5, 1, dtype=k.dtype), torch.zeros(1, 1, 4, 3, dtype=k.dtype), None, 2)
    read = keys @ memory[0, 0]
    torch.testing.assert_close(read[1:], v[0, 1:4, 0])
    torch.testing.assert_close(read[0], v[0, 4, 0])


def test_decays_of_retention_and_lightning() -> None:
    retnet = build("retention", 32, Depth(1, 4), {"num_heads": 4}).log_decays
    np.testing.assert_allclose(np.exp(retnet), 1 - 2.0 ** -np.arange(5, 9), rtol=1e-6)
    lightning = build("retention", 32, Depth(1, 4), {"num_heads": 4, "decay": "lightning"}).log_decays
    np.testing.assert_allclose(lightning, -2 * 0.75 * np.arange(4), rtol=1e-6)


@pytest.mark.parametrize("rule", ["zoh", "bilinear"])
def test_the_state_space_against_scipy(rule: str) -> None:
    """Each channel's discrete system is scipy's discretisation of the continuous one, and its outputs dlsim's."""
    from scipy.signal import cont2discrete

    mixer = mixer_of("ssm", {"state_size": 3, "discretisation": rule})
    a, b = mixer.discrete()  # type: ignore[operator]
    c = (-mixer.A_log.exp() + 1j * mixer.omega).detach().numpy()
    d = mixer.dt_log.exp().detach().numpy()
    for channel in range(0, WIDTH, 7):
        system = (np.diag(c[channel]), np.ones((3, 1)), np.ones((1, 3)), np.zeros((1, 1)))
        ad, bd, *_ = cont2discrete(system, d[channel, 0], rule)
        np.testing.assert_allclose(a[channel].detach(), np.diag(ad), rtol=1e-10)
        np.testing.assert_allclose(b[channel].detach(), bd[:, 0], rtol=1e-9)
    u = noise(1, 70, WIDTH)
    y = mixer.chunked(torch.zeros(1, WIDTH, 3, 2, dtype=u.dtype), {"u": u})[1].detach()
    s = np.zeros(3, complex)
    weights = torch.view_as_complex(mixer.C)[5].detach().numpy()
    for t in range(70):
        s = a[5].detach().numpy() * s + b[5].detach().numpy() * float(u[0, t, 5])
        expected = 2 * (weights * s).real.sum() + mixer.D[5].item() * float(u[0, t, 5])
        assert math.isclose(y[0, t, 5].item(), expected, rel_tol=1e-9, abs_tol=1e-12)


def test_the_state_of_lightnet_is_a_softmax_over_time() -> None:
    mixer = mixer_of("lightnet", SMALL["lightnet"])
    x = 9 * noise(2, 30, WIDTH)
    (_, c, v), _ = mixer.convolved(x, mixer.initial(x))
    _, state = mixer(x)
    weights = c.unflatten(-1, (4, 6)).softmax(1)  # [B, T, H, K]
    expected = torch.einsum("bthk,bthv->bhkv", weights, v.unflatten(-1, (4, 6)))
    torch.testing.assert_close(state["memory"], expected, rtol=1e-10, atol=1e-12)


def test_window_attention_is_softmax_over_the_window() -> None:
    mixer = mixer_of("window", {"num_heads": 2, "window_size": 5})
    x = noise(1, 12, WIDTH)
    inputs, _ = mixer.project(x, mixer.initial(x), {})
    _, out = mixer.chunked(mixer.initial(x)["memory"], inputs)
    for t in (0, 3, 11):
        low = max(t - 4, 0)
        scores = torch.einsum("hk,thk->ht", inputs["q"][0, t], inputs["k"][0, low : t + 1]) / 12**0.5
        expected = torch.einsum("ht,thk->hk", scores.softmax(-1), inputs["v"][0, low : t + 1])
        torch.testing.assert_close(out[0, t], expected)


def test_rotary_products_depend_on_distance_alone() -> None:
    q = noise(1, 1, 1, 8)
    k = noise(1, 1, 1, 8, seed=1)
    far = [
        (build_rotary(8).turn(q, torch.tensor(n + 3)) * build_rotary(8).turn(k, torch.tensor(n))).sum()
        for n in (0, 50, 1000)
    ]
    torch.testing.assert_close(far[0], far[1])
    torch.testing.assert_close(far[0], far[2])


def test_short_convolution_is_a_causal_correlation() -> None:
    conv = ShortConv(3, 4, True, None).double()
    x = noise(2, 9, 3)
    torch.nn.init.normal_(conv.bias, generator=torch.Generator().manual_seed(0))
    y, tail = conv(x, conv.initial(x))
    for c in range(3):
        full = np.convolve(x[0, :, c], conv.weight[c, 0].detach().numpy()[::-1])[:9]
        np.testing.assert_allclose(y[0, :, c].detach(), full + conv.bias[c].item(), rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(tail, x[:, -3:])


@pytest.mark.parametrize("name", FEATURE_MAPS)
def test_feature_maps_have_the_width_they_say(name: str) -> None:
    x = noise(2, 5, 3, 6)
    for query in (True, False):
        layer = feature_map(name, 6, 3, is_query=query).double()
        assert layer(x).shape == (2, 5, 3, layer.features)


def test_hedgehog_by_head_is_a_softmax_for_each_sign() -> None:
    layer: Any = feature_map("hedgehog_by_head", 4, 2, is_query=True).double()
    x = noise(3, 2, 4)
    torch.testing.assert_close(layer(x), torch.cat([x.softmax(-1), (-x).softmax(-1)], -1))
    weight = torch.stack([noise(4, 4, seed=1), noise(4, 4, seed=2)])
    with torch.no_grad():
        for each, own in zip(layer.layers, weight, strict=True):
            each.weight.copy_(own)
    for head in range(2):
        y = x[:, head] @ weight[head].T
        sums = y.exp().sum(-1, keepdim=True), (-y).exp().sum(-1, keepdim=True)
        torch.testing.assert_close(layer(x)[:, head], torch.cat([y.exp() / sums[0], (-y).exp() / sums[1]], -1))


def test_based_map_is_the_taylor_series() -> None:
    layer = feature_map("based", 6, 1, is_query=True)
    q = noise(7, 6)
    k = noise(7, 6, seed=1)
    x = (q * k).sum(-1) / 6**0.5
    torch.testing.assert_close((layer(q) * layer(k)).sum(-1), 1 + x + x**2 / 2)


def test_norm_aware_weights_sharpen_with_the_norm_of_the_query_and_with_the_power() -> None:
    """The entropy of the weights falls with either."""

    def entropy(power: float, size: float) -> float:
        mixer: Any = mixer_of("linear", {"num_heads": 1, "feature_map": "norm_aware", "norm_power": power})
        q = noise(1, 1, 1, WIDTH)
        k = noise(1, 50, 1, WIDTH, seed=1)
        weights = (mixer.feature_map_q(size * q) * mixer.feature_map_k(k)).sum(-1).flatten()
        shares = weights / weights.sum()
        return float(-(shares * shares.log()).sum())

    by_size = [entropy(3.0, n) for n in (0.1, 0.5, 1, 2)]
    by_power = [entropy(p, 1.0) for p in (1.0, 2.0, 3.0, 5.0)]
    for found in (by_size, by_power):
        assert all(after < before for before, after in itertools.pairwise(found))


def test_norm_aware_products_are_positive_and_sharpen_with_the_query() -> None:
    one = feature_map("norm_aware", 8, 1, is_query=True)
    other = feature_map("norm_aware", 8, 1, is_query=False)
    q = noise(8)
    k = noise(50, 8, seed=1)
    weights = [(one(q * n) * other(k)).sum(-1) for n in (0.1, 10.0)]
    assert all((w >= 0).all() for w in weights)
    spread = [float(-(w / w.sum() * (w / w.sum()).log()).sum()) for w in weights]
    assert spread[1] < spread[0]


def test_almost_linear_signs_are_found_where_units_switch_often() -> None:
    mixer = mixer_of("alrnn", {"units": 10, "rectified": 10})
    with torch.no_grad():
        mixer.W.copy_(1.5 * noise(10, 10) / 10**0.5)
    inputs = {"u": 2 * noise(3, 50, 10, seed=4)}
    start = noise(3, 10, seed=5)
    one = mixer.stepwise(start, inputs)
    many = mixer.chunked(start, inputs)
    torch.testing.assert_close(many[1], one[1], rtol=1e-8, atol=1e-8)


def test_memories_only_change_where_tokens_are_routed() -> None:
    mixer = mixer_of("mom", {"num_heads": 1, "head_dim": 4, "num_memories": 5, "topk": 1})
    x = noise(1, 1, WIDTH)
    _, state = mixer(x)
    changed = state["memory"][0].abs().amax((1, 2, 3)) > 0
    assert changed.sum() == 2 and changed[-1]


def test_a_token_writes_and_reads_its_own_numbers_of_partitions() -> None:
    """One written and three read of five; and where both are alike, the numbers are those of one choice."""
    for update in ("gla", "gdn"):
        options = {"linear_attn_type": update, "num_heads": 1, "head_dim": 4, "num_sparse_partition": 5}
        mixer = mixer_of("sse", options | {"topk": 1, "readers": 3})
        x = noise(1, 30, WIDTH)
        _, state = mixer(x)
        _, after = mixer(noise(1, 1, WIDTH, seed=1), state)
        changed = (after["memory"] - state["memory"])[0].abs().amax((1, 2, 3)) > 0
        assert changed.sum() == 2 and changed[-1]
        scores = mixer.e_proj(x[:, -1:]).softmax(-1)[0, 0]
        read = scores.topk(3).indices.tolist()
        for n in range(5):
            memory = state["memory"].clone()
            memory[:, n] += 1
            inputs, _ = mixer.project(x[:, -1:], state, {})
            before, other = (mixer.stepwise(m, inputs)[1] for m in (state["memory"], memory))
            assert bool((other != before).any()) == (n in read)


def test_the_balancing_loss_is_least_where_all_memories_are_used_alike() -> None:
    for kind in ("mom", "sse"):
        mixer: Any = mixer_of(kind, {"num_heads": 1, "head_dim": 4, "topk": 1})
        even = torch.eye(4, dtype=torch.float64).repeat(3, 1)[None]
        losses = []
        for scores in (even, torch.full_like(even, 0.25), torch.eye(4, dtype=torch.float64)[:1].expand(1, 12, 4)):
            mixer.balance(scores, scores.argmax(-1, keepdim=True))
            losses.append(float(mixer.auxiliary))
        np.testing.assert_allclose(losses, [0.01, 0.01, 0.04])
        mixer(noise(2, 9, WIDTH))
        (grad,) = torch.autograd.grad(mixer.auxiliary, (mixer.gate_proj if kind == "mom" else mixer.e_proj).weight)
        assert bool(grad.any())


def test_codes_see_queries_keys_and_state() -> None:
    class Rounded(torch.nn.Module):
        calls = 0

        def forward(self, x: Tensor) -> Tensor:
            self.calls += 1
            return x.round(decimals=1)

    mixer = mixer_of("gated_deltanet", {"num_heads": 2, "head_dim": 6})
    x = noise(1, 6, WIDTH)
    bare, _ = mixer(x)
    for name, calls in (("q", 1), ("k", 1), ("state", 6)):
        code = Rounded()
        setattr(mixer.codes, name, code)
        y, state = mixer(x)
        assert code.calls == calls and not torch.equal(y, bare)
        if name == "state":
            torch.testing.assert_close(state["memory"], state["memory"].round(decimals=1))
        setattr(mixer.codes, name, None)
    torch.testing.assert_close(mixer(x)[0], bare)


def stack() -> LanguageConfig:
    layers = tuple(MixerSpec(kind, options) for kind, options in SMALL.items() if kind != "rwkv7")
    return LanguageConfig((MixerSpec("rwkv7", SMALL["rwkv7"] | {"value_dim": WIDTH}), *layers), 50, WIDTH, hidden=16)


@pytest.mark.slow
def test_any_mix_of_kinds_is_one_model() -> None:
    model = LanguageModel(stack()).double()
    tokens = torch.randint(50, (2, 13), generator=torch.Generator().manual_seed(0))
    logits, _ = model(tokens)
    state = None
    steps = []
    for t in range(13):
        out, state = model.step(tokens[:, t], state)
        steps.append(out)
    torch.testing.assert_close(torch.stack(steps, 1), logits, rtol=1e-8, atol=1e-9)
    (logits.square().sum() + model.auxiliary_loss()).backward()
    silent = [name for name, p in model.named_parameters() if p.grad is None]
    assert not silent


def test_states_that_are_read_are_emptied_where_this_is_said() -> None:
    """The state after the tokens is the same; without it the state before them stays."""
    model = LanguageModel(LanguageConfig((MixerSpec("gla", {"num_heads": 2}), MixerSpec("softmax", {})), width=16), 0)
    tokens = torch.arange(8).view(2, 4)
    with torch.no_grad():
        _, state = model.hidden(model.embed(tokens), None)
        kept = [dict(part) for part in state]
        hidden, after = model.hidden(model.embed(tokens), state)
        assert all(part.keys() == same.keys() and part for part, same in zip(state, kept, strict=True))
        again, same = model.hidden(model.embed(tokens), state, empties=True)
    assert state == [{}, {}]
    assert torch.equal(again, hidden)
    for one, other in zip(after, same, strict=True):
        assert all(torch.equal(one[name], other[name]) for name in one)


def test_models_are_a_function_of_their_seed() -> None:
    before = torch.random.get_rng_state()
    one, same, other = (LanguageModel(stack(), seed).state_dict() for seed in (1, 1, 2))
    assert torch.equal(before, torch.random.get_rng_state())
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not torch.equal(one["embeddings.weight"], other["embeddings.weight"])


def test_configs_survive_json_and_name_what_is_wrong() -> None:
    config = stack()
    assert LanguageConfig.from_json(config.to_json()).to_json() == config.to_json()
    with pytest.raises(NeurosimInputError, match="LanguageConfig: unknown key 'widht'; did you mean 'width'"):
        LanguageConfig.from_json({"widht": 3})
    with pytest.raises(
        NeurosimInputError, match=r"LanguageConfig.layers\[0\]: unknown key 'kynd'; did you mean 'kind'"
    ):
        LanguageConfig.from_json({"layers": [{"kynd": "gla"}]})
    with pytest.raises(NeurosimInputError, match=r"LanguageConfig\.mlp: unknown name 'mlp'"):
        LanguageModel(LanguageConfig((MixerSpec("gla"),), mlp="mlp"))


def test_every_kind_is_saved_and_read(tmp_path: Path) -> None:
    model = LanguageModel(stack(), 3)
    tokens = torch.arange(18).view(2, 9)
    write_model(tmp_path, model)
    assert torch.equal(read_model(tmp_path)(tokens)[0], model(tokens)[0])


@pytest.mark.gpu
@pytest.mark.parametrize("kind, options", CASES, ids=lambda x: x if isinstance(x, str) else "-".join(map(str, x)))
def test_kinds_on_a_gpu(kind: str, options: dict[str, Any]) -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    mixer = mixer_of(kind, options)
    x = noise(2, 39, WIDTH)
    shared = handed(39)
    expected, _ = mixer(x, None, dict(shared))
    y, _ = mixer.cuda()(x.cuda(), None, {name: value.cuda() for name, value in shared.items()})
    torch.testing.assert_close(y.cpu(), expected, rtol=1e-8, atol=1e-9)
    y.sum().backward()


def test_the_benchmark_builds_its_kinds() -> None:
    module = importlib.import_module("attention")
    assert module.memory_size(*module.RECALL["DeltaNet"]) == module.KEY * module.WIDTH
    for kind, options in module.RECALL.values():
        build(kind, module.WIDTH, Depth(), options)
