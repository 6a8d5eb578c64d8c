"""Kinds whose tokens see a few others, or a bank: what is seen, and what they are in their simplest case."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from helpers.activations import sigmoid, silu
from helpers.attention_kinds import noise
from torch import Tensor

from neurosim.base import NeurosimInputError
from neurosim.kernels.layers.picks.reference import PICK_NONE
from neurosim.language import Depth, LanguageConfig, LanguageModel, MixerSpec, build
from neurosim.language.attention.kinds import hax, sea
from neurosim.language.attention.kinds.nested import spread_over

WIDTH = 12


def layer_of(kind: str, **options: Any) -> Any:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return build(kind, WIDTH, Depth(), options).double()


def like(other: Any, kind: str, **options: Any) -> Any:
    """A layer of this kind with the weights of another, of the same names."""
    layer = layer_of(kind, **options)
    layer.load_state_dict({name: other.state_dict()[name] for name in layer.state_dict()})
    return layer


def test_a_checkpoint_of_every_token_is_softmax_attention() -> None:
    scout = layer_of("scout", num_heads=2, interval=1)
    x = noise(2, 30, WIDTH)
    torch.testing.assert_close(scout(x)[0], like(scout, "softmax", num_heads=2)(x)[0], rtol=0, atol=1e-12)


def test_a_token_sees_checkpoints_before_it_and_itself() -> None:
    """A change of token 7 of 20, checkpoints 4, 9, 14, 19, reaches no other token; one of token 9, all behind it."""
    scout = layer_of("scout", num_heads=2, interval=5)
    x = noise(1, 20, WIDTH)
    before, state = scout(x)
    assert state["memory"].shape[1] == 4
    for token, reached in ((7, [7]), (9, list(range(9, 20)))):
        other = x.clone()
        other[0, token] += 1
        changed = (scout(other)[0] - before)[0].abs().amax(-1) > 1e-9
        assert changed.nonzero()[:, 0].tolist() == reached


def test_a_bank_at_low_temperature_returns_the_nearest_pattern() -> None:
    """The bank alone, its gate open, is a dense associative memory with values for patterns."""
    gam = layer_of("gam", slots=8)
    patterns = torch.nn.functional.normalize(noise(8, WIDTH, seed=3), dim=-1)
    with torch.no_grad():
        gam.bank.weight.copy_(200 * patterns)
        gam.o_proj.weight.copy_(patterns.T)
        gam.gate_proj.weight.zero_()
        gam.gate_proj.bias.copy_(torch.cat([torch.full((WIDTH,), -1e9), torch.full((WIDTH,), 1e9)]))
    cue = patterns + 0.1 * noise(8, WIDTH, seed=4)
    torch.testing.assert_close(gam(cue[None])[0][0], patterns, rtol=0, atol=1e-3)


def test_a_bank_that_is_not_written_hears_no_more_than_its_convolution() -> None:
    gam = layer_of("gam", slots=8)
    x = noise(1, 12, WIDTH)
    before, _ = gam(x)
    x[0, 3] += 1
    changed = (gam(x)[0] - before)[0].abs().amax(-1) > 1e-9
    assert changed.nonzero()[:, 0].tolist() == [3, 4, 5]


def test_bmojo_without_states_is_a_window() -> None:
    bmojo = layer_of("bmojo", num_heads=2, window_size=5, use_fading=False)
    x = noise(2, 20, WIDTH)
    window = like(bmojo, "window", num_heads=2, window_size=5)
    torch.testing.assert_close(bmojo(x)[0], window(x)[0], rtol=0, atol=1e-12)


def test_eidetic_tokens_are_the_most_surprising_of_those_that_left_the_window() -> None:
    """Token 3 of 30 is ten times as large: it is remembered, and the last token sees it."""
    bmojo = layer_of("bmojo", num_heads=2, window_size=4, use_fading=False, eidetic=2)
    x = noise(1, 30, WIDTH)
    x[0, 3] *= 10
    before, state = bmojo(x)
    surprise = [
        float((x[0, t] - torch.cat([torch.zeros(4, WIDTH).double(), x[0]])[t : t + 4].mean(0)).square().mean())
        for t in range(26)
    ]
    kept = sorted(range(26), key=lambda t: surprise[t])[-2:]
    assert 3 in kept
    torch.testing.assert_close(sorted(state["memory"][0, :2, 0, -1].tolist()), sorted(surprise[t] for t in kept))
    for token, seen in ((3, True), (12, 12 in kept)):
        other = x.clone()
        other[0, token] *= 1.001
        assert bool((bmojo(other)[0] - before)[0, 29].abs().max() > 1e-9) == seen


@pytest.mark.parametrize("use_fading, eidetic", [(True, 3), (True, 0), (False, 2)])
def test_bmojo_sees_its_window_states_of_the_one_before_and_eidetic_tokens(*, use_fading: bool, eidetic: int) -> None:
    """Against attention token by token, over 50 tokens."""
    options = {"num_heads": 2, "window_size": 4, "use_fading": use_fading, "eidetic": eidetic}
    layer = layer_of("bmojo", **options, mamba={"head_dim": 6, "state_size": 4})
    x = noise(1, 50, WIDTH)
    state = layer.initial(x)
    inputs, _ = layer.project(x, state, {})
    _, out = layer.chunked(state["memory"], inputs)
    surprise = inputs["innovation"][0]
    for t in range(50):
        left = range(max(t - 3, 0))
        best = sorted(left, key=lambda j: (-float(surprise[j]), j))[:eidetic]
        own = [*range(max(t - 3, 0), t + 1), *best]
        keys = inputs["k"][0, own]
        values = inputs["v"][0, own]
        if use_fading:
            old = list(range(max(t - 7, 0), max(t - 3, 0)))
            keys = torch.cat([keys, inputs["faded_k"][0, old]])
            values = torch.cat([values, inputs["faded_v"][0, old]])
        weights = (torch.einsum("hk,jhk->hj", inputs["q"][0, t], keys) * 6**-0.5).softmax(-1)
        torch.testing.assert_close(out[0, t], torch.einsum("hj,jhv->hv", weights, values), rtol=0, atol=1e-12)


def arrays(layer: Any) -> dict[str, Any]:
    return {name: value.detach().numpy() for name, value in layer.state_dict().items()}


def turned(x: Any, position: int) -> Any:
    """Rotary positions of one vector."""
    half = len(x) // 2
    angles = position * 10000.0 ** (-np.arange(half) / half)
    first, second = x[:half], x[half:]
    return np.concatenate(
        [first * np.cos(angles) - second * np.sin(angles), first * np.sin(angles) + second * np.cos(angles)]
    )


def damped(x: Any, w: dict[str, Any]) -> Any:
    """Averages of x [T, D] of a `MovingAverage` inside another mixer, token by token."""
    p = sigmoid(w["average.delta"])
    decay = 1 - p * sigmoid(w["average.alpha"])
    state = np.zeros_like(p)
    rows = []
    for row in x:
        state = decay * state + p * w["average.beta"] * row[:, None]
        rows.append((state * w["average.gamma"]).sum(1) / p.shape[1] ** 0.5 + w["average.omega"] * row)
    return np.stack(rows)


@pytest.mark.parametrize(
    ("positions", "attention", "slots"), [("rotary", "softmax", 5), ("bias", "relu2", 5), ("none", "softmax", 40)]
)
def test_seqboat_is_the_unit_of_its_source(positions: str, attention: str, slots: int) -> None:
    """Token by token in numpy: averages, router, unit, and the activation behind the residual."""
    layer = layer_of("seqboat", slots=slots, key_dim=6, state_size=3, positions=positions, attention=attention)
    x = 2 * noise(1, 30, WIDTH)
    stream = noise(1, 30, WIDTH, seed=1)
    w = arrays(layer)
    past: list[tuple[int, Any, Any]] = []
    expected = []
    averages = damped(x[0].numpy(), w)
    for t, (average, raw) in enumerate(zip(averages, stream[0].numpy(), strict=True)):
        s = silu(average)
        u = w["hx_proj.weight"] @ s + w["hx_proj.bias"]
        chances = np.exp(u[:2] / np.exp(w["log_temperature"]))
        share = chances[1] / chances.sum()
        total = u[2:] + raw
        if share > 0.5:
            z, v, r = (silu(w[f"unit.{n}_proj.weight"] @ s + w[f"unit.{n}_proj.bias"]) for n in "zvr")
            q, k = w["unit.scales"] * z + w["unit.shifts"]
            past.append((t, turned(k, t) if positions == "rotary" else k, v))
            seen = past[-slots:]
            q = turned(q, t) if positions == "rotary" else q
            bias = np.array([w["bias"][t - then] if positions == "bias" else 0.0 for then, _, _ in seen])
            scores = np.array([key @ q for _, key, _ in seen])
            if attention == "softmax":
                weights = np.exp(scores / 6**0.5 + bias)
                weights /= weights.sum()
            else:
                weights = np.maximum(scores / (slots - 1) + bias, 0) ** 2
            read = weights @ np.stack([value for _, _, value in seen])
            total = total + share * (w["unit.h_proj.weight"] @ (read * r) + w["unit.h_proj.bias"])
        expected.append(silu(total) - raw)
    assert 5 < len(past) < 28
    found, _ = layer(x, None, {"stream": stream})
    np.testing.assert_allclose(found[0].detach().numpy(), expected, rtol=0, atol=1e-12)


def test_a_block_leaves_the_activation_of_seqboat_alone() -> None:
    """The stream behind the block is silu(..), not the sum of both."""
    model = LanguageModel(LanguageConfig((MixerSpec("seqboat", {"key_dim": 6}),), 9, WIDTH, mlp="none")).double()
    x = noise(2, 20, WIDTH)
    block: Any = model.layers[0]
    inputs, _ = block.mixer.project(block.norm(x), block.mixer.initial(x), {"stream": x})
    after, _ = block(x, None, {})
    idle = ~inputs["active"]
    assert 0 < int(idle.sum()) < 40
    torch.testing.assert_close(after[idle], torch.nn.functional.silu(inputs["h"] + x)[idle], rtol=0, atol=1e-12)
    with pytest.raises(NeurosimInputError, match=r"SeqBoat\.ssm: unknown name 'em'; did you mean 'ema'"):
        layer_of("seqboat", ssm="em")


def test_tokens_that_are_not_active_pass_no_layer_of_the_unit() -> None:
    layer = layer_of("seqboat", slots=30, key_dim=6)
    x = noise(2, 20, WIDTH)
    calls: list[Tensor] = []
    layer.unit.z_proj.register_forward_hook(lambda module, inputs, out: calls.append(inputs[0]))
    layer.eval()(x)
    inputs, _ = layer.project(x, layer.initial(x), {})
    assert 0 < int(inputs["active"].sum()) < 40 and len(calls[0]) == int(inputs["active"].sum())


def test_dilated_convolutions_reach_as_far_as_they_say() -> None:
    """1 + (kernel - 1)(b^L - 1)/(b - 1) = 27 tokens, and a window of 1 that adds none."""
    layer = layer_of("tcnca", layers=3, kernel=3, dilation=3, window_size=1)
    x = noise(1, 40, WIDTH).requires_grad_()
    y, _ = layer(x)
    (grad,) = torch.autograd.grad(y[0, 39].sum(), x)
    assert grad[0].abs().amax(-1).nonzero()[:, 0].tolist() == list(range(13, 40))


@pytest.mark.parametrize(
    "options",
    [{}, {"moving": True}, {"simple": True}, {"simple": True, "moving": True}, {"averages": "ema", "state_size": 3}],
)
def test_tcnca_is_the_unit_of_mega_behind_its_convolutions(options: dict[str, Any]) -> None:
    """Token by token in numpy: a token sees its chunk of 7 so far, or the last 7."""
    layer = layer_of("tcnca", layers=2, kernel=3, dilation=2, window_size=7, key_dim=6, **options)
    x = noise(1, 30, WIDTH)
    stream = noise(1, 30, WIDTH, seed=1)
    w = arrays(layer)
    y = x[0].numpy()
    if "averages" in options:
        y = silu(damped(y, w))
    for i, taps in enumerate(w.get("filters", [])):
        padded = np.concatenate([np.zeros((2 * 2**i, WIDTH)), y])
        y = y + silu(sum(tap * padded[n * 2**i : n * 2**i + 30] for n, tap in enumerate(taps)))
    z, r = (silu(y @ w[f"unit.{n}_proj.weight"].T + w[f"unit.{n}_proj.bias"]) for n in "zr")
    v = silu(x[0].numpy() @ w["unit.v_proj.weight"].T + w["unit.v_proj.bias"])
    q, k = (z * scale + shift for scale, shift in zip(w["unit.scales"], w["unit.shifts"], strict=True))
    expected = []
    for t, raw in enumerate(stream[0].numpy()):
        first = max(t - 6, 0) if "moving" in options else t // 7 * 7
        scores = k[first : t + 1] @ q[t] / 6**0.5
        if "bias" in w:
            scores = scores + w["bias"][: t + 1 - first][::-1]
        weights = np.exp(scores)
        read = (weights / weights.sum() @ v[first : t + 1]) * r[t]
        out = w["unit.h_proj.weight"] @ read + w["unit.h_proj.bias"]
        if "simple" not in options:
            phi = sigmoid(w["phi_proj.weight"] @ y[t] + w["phi_proj.bias"])
            candidate = silu(w["hx_proj.weight"] @ y[t] + w["hx_proj.bias"] + out)
            out = phi * candidate + (1 - phi) * raw - raw
        expected.append(out)
    found, _ = layer(x, None, {"stream": stream})
    np.testing.assert_allclose(found[0].detach().numpy(), expected, rtol=0, atol=1e-12)


def test_hax_sees_the_last_of_its_bucket_and_the_best_so_far() -> None:
    """Against the choice token by token; without both choices a token sees itself."""
    layer = layer_of("hax", topk=3, key_dim=6, mamba={"head_dim": 6, "state_size": 4})
    x = noise(1, 40, WIDTH)
    inputs, _ = layer.project(x, layer.initial(x), {})
    _, out = layer.chunked(layer.initial(x)["memory"], inputs)
    keys, values, scores = (inputs[name][0] for name in ("k", "values", "scores"))
    buckets, expected = (layer._bucket(inputs[name])[0] for name in ("centred_k", "centred_q"))
    seen_by_hash = 0
    for t in range(40):
        same = [j for j in range(t + 1) if buckets[j] == expected[t]]
        best = sorted(range(t + 1), key=scores[:, 0].tolist().__getitem__)[-3:]
        seen = sorted({t, *same[-3:], *best})
        seen_by_hash += len(set(same[-3:]) - set(best))
        weights = (keys[seen] @ inputs["q"][0, t] * 6**-0.5).softmax(-1)
        torch.testing.assert_close(out[0, t], weights @ values[seen], rtol=0, atol=1e-12)
    assert seen_by_hash > 0


def test_hax_is_trained_on_means_of_the_sequence_where_it_is_told_to() -> None:
    """As published in training; while a text is read, the means are those so far."""
    options = {"topk": 3, "key_dim": 6, "mamba": {"head_dim": 6, "state_size": 4}}
    layer = layer_of("hax", centre="sequence", **options)
    running = like(layer, "hax", **options)
    x = noise(2, 20, WIDTH)
    inputs, _ = layer.project(x, layer.initial(x), {})
    for name in "qk":
        torch.testing.assert_close(inputs[f"centred_{name}"], inputs[name] - inputs[name].mean(1, keepdim=True))
    so_far, _ = running.project(x, running.initial(x), {})
    assert bool(((so_far["centred_q"] - inputs["centred_q"]).abs() > 0.01).any())
    torch.testing.assert_close(layer.eval()(x)[0], running.eval()(x)[0], rtol=0, atol=0)
    with pytest.raises(NeurosimInputError, match=r"HAX\.centre: unknown name 'sequenc'; did you mean 'sequence'"):
        layer_of("hax", centre="sequenc")


def test_hax_adds_its_attention_before_the_gate_of_the_state_space_layer() -> None:
    layer = layer_of("hax", topk=3, key_dim=6, mamba={"head_dim": 6, "state_size": 4})
    x = noise(2, 20, WIDTH)
    with torch.no_grad():
        layer.gain.zero_()
    torch.testing.assert_close(layer(x)[0], layer.ssm(x)[0], rtol=0, atol=1e-12)


def test_the_loss_of_the_ranking_of_hax_trains_its_score_alone() -> None:
    layer = layer_of("hax", topk=3, key_dim=6, mamba={"head_dim": 6, "state_size": 4})
    layer(noise(2, 20, WIDTH))
    layer.auxiliary.backward()
    assert {name.split(".")[0] for name, p in layer.named_parameters() if p.grad is not None} == {"score"}


def test_losses_of_long_sequences_are_taken_on_tokens_at_equal_distances(monkeypatch: pytest.MonkeyPatch) -> None:
    """A limit of all tokens or more changes nothing; a loss on half of them is near that on all."""
    for kind, module, limit, options in (
        ("hax", hax, "RANKED", {"topk": 3, "key_dim": 6, "mamba": {"head_dim": 6, "state_size": 4}}),
        ("sea", sea, "ROWS", {"num_heads": 2, "topk": 4, "columns": 5}),
    ):
        losses = []
        for tokens in (256, 64, 32):
            monkeypatch.setattr(module, limit, tokens)
            layer = layer_of(kind, **options)
            layer(noise(2, 64, WIDTH))
            losses.append(float(layer.auxiliary.detach()))
        assert losses[0] == losses[1] and 0 < abs(losses[2] - losses[0]) < 0.4 * losses[0]
    assert spread_over(10, 4, torch.device("cpu")).tolist() == [1, 4, 6, 9]


def test_the_score_of_hax_learns_the_ranking_of_its_attention() -> None:
    layer = layer_of("hax", topk=3, key_dim=6, mamba={"head_dim": 6, "state_size": 4})
    x = noise(4, 30, WIDTH)
    optimizer = torch.optim.Adam(layer.score.parameters(), lr=0.03)
    losses = []
    for _ in range(40):
        layer(x)
        losses.append(float(layer.auxiliary.detach()))
        optimizer.zero_grad()
        layer.auxiliary.backward()
        optimizer.step()
    assert losses[-1] < 0.8 * losses[0]


def test_sea_over_all_keys_is_softmax_attention() -> None:
    layer = layer_of("sea", num_heads=2, topk=20)
    x = noise(2, 20, WIDTH)
    with torch.no_grad():
        layer.mix_proj.bias.fill_(1e9)
    torch.testing.assert_close(layer(x)[0], like(layer, "softmax", num_heads=2)(x)[0], rtol=0, atol=1e-12)


def test_sea_reads_the_keys_of_the_parts_it_estimates_highest() -> None:
    layer = layer_of("sea", num_heads=1, topk=4, columns=5)
    x = noise(1, 23, WIDTH)
    inputs, _ = layer.project(x, layer.initial(x), {})
    picks = layer._picks(inputs["log_p"], inputs["length"][0])[0, :, 0]
    for t in (0, 3, 4, 22):
        part = [min(j * 5 // (t + 1), 4) for j in range(t + 1)]
        ranked = sorted(range(t + 1), key=lambda j: (float(inputs["log_p"][0, t, 0, part[j]]), j))
        assert sorted(picks[t][picks[t] != PICK_NONE].tolist()) == sorted(ranked[-4:])


def test_the_rows_of_sea_are_convolutions_over_time_and_columns() -> None:
    """torch's convolutions of the whole map, with 3 of 4 columns of the last part; and cut anywhere."""
    decoder = sea.RowDecoder(2, 15).double()
    x = noise(3, 9, 2, 8)
    zeros = (decoder.conv1.initial(x[:, :1].flatten(2)), decoder.conv2.initial(x[:, :1].flatten(2)))
    scores, _ = decoder(x, zeros)
    rows = torch.nn.functional.layer_norm(x.unflatten(-1, (2, 4)), [4])
    rows = rows.flatten(2, 3).transpose(1, 2)  # [B, channels, T, columns]
    for conv in (decoder.conv1, decoder.conv2):
        padded = torch.nn.functional.pad(rows, (2, 2, 4, 0))
        rows = torch.nn.functional.conv2d(padded, conv.weight, conv.bias, dilation=2).relu()
    mixed = torch.nn.functional.conv2d(rows, decoder.mix[..., None, None], decoder.mix_bias)
    repeated = mixed.repeat_interleave(4, -1)[..., :15].transpose(1, 2)
    torch.testing.assert_close(scores, torch.nn.functional.layer_norm(repeated, [15]), rtol=0, atol=1e-12)
    before, tails = decoder(x[:, :5], zeros)
    after, _ = decoder(x[:, 5:], tails)
    torch.testing.assert_close(torch.cat([before, after], 1), scores, rtol=0, atol=1e-12)


def test_learnt_positions_of_sea_are_summed_beside_the_values() -> None:
    """The estimate sees the mean of (p, v) weighted by phi(q) phi(k), and v; the text is longer than the table."""
    layer = layer_of("sea", num_heads=2, topk=5, columns=6, hidden=7, learnt_positions=9)
    x = noise(1, 15, WIDTH)
    seen: list[Tensor] = []
    layer.estimate.register_forward_hook(lambda module, inputs, out: seen.append(inputs[0]))
    inputs, _ = layer.project(x, layer.initial(x), {})
    q, k = (torch.nn.functional.elu(inputs[name][0]) + 1 for name in "qk")
    for t in (0, 8, 14):
        weights = torch.einsum("hk,jhk->hj", q[t], k[: t + 1])
        weights = weights / weights.sum(1, keepdim=True)
        places = layer.positions.weight[torch.arange(t + 1).clamp(max=8)]
        values = inputs["v"][0, : t + 1]
        expected = torch.cat([weights @ places, torch.einsum("hj,jhv->hv", weights, values), values[t]], -1)
        torch.testing.assert_close(seen[0][0, t], expected, rtol=0, atol=1e-12)


def test_sea_learns_where_its_attention_looks() -> None:
    """The share of the attention on the keys chosen rises as the estimate is trained alone."""
    layer = layer_of("sea", num_heads=1, topk=6, columns=16)
    x = 2 * noise(2, 32, WIDTH)
    with torch.no_grad():  # keys at the start of the sequence stand out
        layer.q_proj.weight.copy_(3 * layer.k_proj.weight)
    trained = [*layer.estimate.parameters(), *layer.rows_proj.parameters(), *layer.rows.parameters()]
    optimizer = torch.optim.Adam(trained, lr=0.01)
    losses = []
    shares = []
    for step in range(80):
        inputs, _ = layer.project(x, layer.initial(x), {})
        losses.append(float(layer.auxiliary.detach()))
        if step in (0, 79):
            rows = torch.einsum("bthk,bjhk->bhtj", inputs["q"], inputs["k"]) * layer.k_size**-0.5
            rows = rows.masked_fill(torch.ones(32, 32).triu(1).bool(), -torch.inf).softmax(-1)
            picks = layer._picks(inputs["log_p"], inputs["length"][0])[:, 8:, 0]  # from token 8 on all are 6
            shares.append(float(rows[:, 0, 8:].gather(-1, picks).sum(-1).mean().detach()))
        optimizer.zero_grad()
        layer.auxiliary.backward()
        optimizer.step()
    assert losses[-1] < 0.6 * losses[0] and shares[1] > shares[0] + 0.05


@pytest.mark.parametrize(("update", "topk", "readers"), [("gla", 2, 1), ("gdn", 1, 2)])
def test_sse_is_the_layer_of_flash_linear_attention(update: str, topk: int, readers: int) -> None:
    """Token by token in numpy; with 'gdn' a score scales q and beta, where the source normalises it away again."""
    sizes = {"num_heads": 2, "num_v_heads": 4, "head_dim": 3, "head_v_dim": 5, "conv_size": 3}
    layer = layer_of("sse", linear_attn_type=update, num_sparse_partition=4, topk=topk, readers=readers, **sizes)
    x = noise(1, 12, WIDTH)
    w = arrays(layer)
    states = np.zeros((5, 4, 3, 5))
    past = {name: np.zeros((3, 6)) for name in "qk"}
    expected = []
    for row in x[0].numpy():
        vectors = {}
        for name in "qk":
            plain = w[f"{name}_proj.weight"] @ row
            past[name] = np.concatenate([past[name][1:], plain[None]])
            low = w[f"lora_{name}_proj.1.weight"] @ (w[f"lora_{name}_proj.0.weight"] @ row)
            common = (past[name] * w[f"{name}_conv1d.weight"][:, 0].T).sum(0)
            vectors[name] = (plain + low).reshape(2, 3), common.reshape(2, 3)
        v = silu(w["v_proj.weight"] @ row).reshape(4, 5)
        scores = np.exp(w["e_proj.weight"] @ row)
        scores /= scores.sum()
        order = np.argsort(-scores)
        out = np.zeros((4, 5))
        for part in range(5):
            is_common = part == 4
            score = 1.0 if is_common else scores[part]
            written = is_common or part in order[:topk]
            q, k = (vectors[name][is_common] for name in "qk")
            q = silu(q)
            if update == "gla":
                k = np.exp(k) / np.exp(k).sum(1, keepdims=True) * score
                gate = f"gk_proj.{0 if is_common else 1}"
                logits = w[f"{gate}.1.weight"] @ (w[f"{gate}.0.weight"] @ row) + w[f"{gate}.1.bias"]
                decays = sigmoid(logits).reshape(2, 3, 1) ** (1 / 16)
            else:
                k = silu(k)
                q, k = (y / np.sqrt((y**2).sum(1, keepdims=True) + 1e-6) for y in (q, k))
                own = slice(0, 4) if is_common else slice(4, 8)
                dt = np.log1p(np.exp(w["a_proj.weight"] @ row + w["dt_bias"]))
                g = np.exp(-np.exp(w["A_log"]) * dt)[own]
                beta = sigmoid(w["b_proj.weight"] @ row)[own] * score
            for head in range(4):
                key = head // 2
                state = states[part, head]
                if written and update == "gla":
                    state = decays[key] * state + np.outer(k[key], v[head])
                elif written:
                    state = g[head] * state
                    state = state + beta[head] * np.outer(k[key], v[head] - k[key] @ state)
                states[part, head] = state
                if is_common or part in order[:readers]:
                    out[head] += score * q[key] @ state / 3**0.5
        out = out / np.sqrt((out**2).mean(1, keepdims=True) + 1e-5) * w["o_norm.weight"]
        gate = silu(w["g_proj.1.weight"] @ (w["g_proj.0.weight"] @ row)).reshape(4, 5)
        expected.append(w["o_proj.weight"] @ (out * gate).ravel())
    np.testing.assert_allclose(layer(x)[0][0].detach().numpy(), expected, rtol=0, atol=1e-12)
