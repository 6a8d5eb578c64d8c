"""Attention kinds against their papers: states, decays, feature maps, windows and routes by loops or closed forms."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
import torch
from helpers.attention_kinds import SMALL, WIDTH, mixer_of, noise
from torch import Tensor

from neurosim.base import NeurosimInputError
from neurosim.language import Depth, build
from neurosim.language.attention.kinds.chunks import additive, delta, rank_one
from neurosim.language.attention.kinds.feature_maps import FEATURE_MAPS, feature_map
from neurosim.language.attention.kinds.modules import ShortConv
from neurosim.language.attention.kinds.rotary import build_rotary


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
