"""Memories trained at test time: the delta rule as their simplest case, outliers, gradients in closed form."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from helpers.attention_kinds import noise

from neurosim.base import NeurosimInputError
from neurosim.language import Depth, build
from neurosim.language.attention.kinds.neural_memory import NeuralMemory
from neurosim.memory import FastWeights

ALWAYS = 1e9  # a bias of a sigmoid


def memory_of(kind: str, width: int = 12, **options: Any) -> Any:
    """A memory of one head that forgets nothing, without momentum, whose theta is `max_step`."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        mixer: Any = build(kind, width, Depth(), {"num_heads": 1} | options).double()
    with torch.no_grad():
        for layer, bias in ((mixer.alpha_proj, -ALWAYS), (mixer.theta_proj, ALWAYS)):
            layer.weight.zero_()
            layer.bias.fill_(bias)
        if mixer.has_momentum:
            mixer.momentum_proj.weight.zero_()
            mixer.momentum_proj.bias.fill_(-ALWAYS)
    return mixer


def test_one_matrix_without_momentum_is_the_delta_rule() -> None:
    titans = memory_of("titans", memory_depth=1, span=1, max_step=1.0)
    delta: Any = build("deltanet", 12, Depth(), {"num_heads": 1, "use_beta": False}).double()
    delta.load_state_dict({name: value for name, value in titans.state_dict().items() if name in delta.state_dict()})
    delta.scale = 1.0
    x = noise(2, 50, 12)
    y, state = titans(x)
    expected, other = delta(x)
    torch.testing.assert_close(y, expected, rtol=0, atol=1e-12)
    memory = state["memory"][:, :, 1].unflatten(-1, (12, 12))
    torch.testing.assert_close(memory, other["memory"], rtol=0, atol=1e-12)


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_linear_reads_are_the_derivative_of_the_memory(depth: int) -> None:
    """Weights are those of exact reads; outputs M(q) before the span, and its derivative times their change."""
    options = {"memory_depth": depth, "expansion": 2, "span": 6, "max_step": 0.5}
    linear = memory_of("titans", 6, read="linear", **options)
    exact = memory_of("titans", 6, **options)
    exact.load_state_dict(linear.state_dict())
    for mixer in (linear, exact):
        with torch.no_grad():
            mixer.momentum_proj.bias.fill_(0.2)
            mixer.alpha_proj.bias.fill_(-2.0)
    x = noise(2, 6, 6)
    first = linear.initial(x)
    inputs, _ = linear.project(x, first, {})
    after, out = linear.chunked(first["memory"], inputs)
    expected, _ = exact.chunked(first["memory"], inputs)
    torch.testing.assert_close(after, expected, rtol=0, atol=1e-12)
    anchor = first["memory"][:, :, 1]
    for t in range(6):
        part = {name: value[:, : t + 1] for name, value in inputs.items()}
        now = exact.chunked(first["memory"], part)[0][:, :, 1]
        q = inputs["q"][:, t]
        read = partial(lambda q, a: exact.recall(exact.weights(a), q), q)
        value, change = torch.autograd.functional.jvp(read, anchor, now - anchor)
        torch.testing.assert_close(out[:, t], value + change, rtol=0, atol=1e-12)
    with pytest.raises(
        NeurosimInputError, match=r"Moneta\.read: must be 'exact' with gates of channels or a retention"
    ):
        memory_of("moneta", read="linear")


def test_one_matrix_is_the_fast_weights_of_the_associative_room() -> None:
    """With momentum, too; forgetting differs: there the error is that of the memory after it."""
    titans = memory_of("titans", memory_depth=1, span=1, max_step=0.3)
    with torch.no_grad():
        titans.momentum_proj.bias.fill_(0.4)
    x = noise(1, 12, 12)
    inputs, _ = titans.project(x, titans.initial(x), {})
    memory, _ = titans.chunked(titans.initial(x)["memory"], inputs)
    rule = FastWeights(delta=True, learning_rate=0.3, momentum=float(torch.tensor(0.4, dtype=x.dtype).sigmoid()))
    pairs = rule.memory(12, 12).write(*(inputs[name][0, :, 0].detach().numpy() for name in "kv"))
    torch.testing.assert_close(
        memory[0, 0, 1].unflatten(-1, (12, 12)).detach(), torch.from_numpy(pairs.weights), rtol=0, atol=1e-12
    )


@pytest.mark.parametrize("kind", ["titans", "moneta", "yaad", "memora"])
def test_gradients_of_a_matrix_in_closed_form(kind: str) -> None:
    """k (dL/de)^T with e = W^T k - v."""
    mixer = memory_of(kind, memory_depth=1)
    x = 3 * noise(1, 5, 12)
    inputs, _ = mixer.project(x, mixer.initial(x), {})
    anchor = noise(1, 1, 144, seed=3)
    w = anchor[0, 0].view(12, 12)
    if kind == "moneta":
        w = w**3 / (w**4).sum() ** 0.5
    if kind == "memora":
        w = w.softmax(0)
    k = inputs["k"][0, :, 0]
    v = inputs["v"][0, :, 0]
    e = k @ w - v
    pull = e
    if kind == "moneta":
        pull = 3 * torch.tanh(10 * e) * e**2
    if kind == "yaad":
        pull = torch.minimum(e.abs(), inputs["delta"][0, :, 0]) * e.sign()
    found = mixer.gradient(anchor, inputs)[0, :, 0].unflatten(-1, (12, 12))
    torch.testing.assert_close(found, k[:, :, None] * pull[:, None], rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("q", [2.0, 2.5, 3.0, 4.0, 6.0])
def test_weights_of_moneta_are_the_gradient_of_a_squared_norm(q: float) -> None:
    """Of |A|_q^2 / 2: of degree 1, and A itself for q = 2."""
    mixer = memory_of("moneta", memory_depth=1, q=q)
    a = noise(1, 1, 144, seed=3).requires_grad_()
    half = (a.abs() ** q).sum() ** (2 / q) / 2
    (expected,) = torch.autograd.grad(half, a)
    found = mixer.weights(a)[0].flatten(-2)
    torch.testing.assert_close(found, expected, rtol=1e-11, atol=1e-12)
    torch.testing.assert_close(mixer.weights(3 * a)[0].flatten(-2), 3 * found, rtol=1e-11, atol=1e-12)
    if q == 2:
        torch.testing.assert_close(found, a, rtol=0, atol=1e-12)
    zero = torch.zeros_like(a, requires_grad=True)
    (slope,) = torch.autograd.grad(mixer.weights(zero)[0].sum(), zero)
    assert torch.isfinite(slope).all()


def test_moneta_starts_from_the_weights_of_the_other_memories() -> None:
    """Its A at the start is the inverse of its map."""
    mixer = memory_of("moneta", q=3.5)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        first = mixer.first_weights().double()
        torch.manual_seed(1)
        expected = NeuralMemory.first_weights(mixer).double()
    found = torch.cat([matrix.flatten(-2) for matrix in mixer.weights(first)], -1)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


def test_moneta_of_two_squares_is_yaad_without_a_bound() -> None:
    """p = q = 2, errors so large that tanh(10 e) is a sign, half of the step."""
    x = noise(1, 6, 12)
    moneta = memory_of("moneta", p=2.0, q=2.0, max_step=0.05, memory_depth=1, span=2)
    yaad = memory_of("yaad", max_step=0.1, memory_depth=1, span=2)
    yaad.load_state_dict(moneta.state_dict(), strict=False)
    inputs, _ = moneta.project(x, moneta.initial(x), {})
    inputs["v"] = 1e3 * (1 + inputs["v"].abs())
    bounded = inputs | {"theta": 2 * inputs["theta"], "delta": torch.full_like(inputs["v"], torch.inf)}
    memory, out = moneta.chunked(moneta.initial(x)["memory"], inputs)
    other, expected = yaad.chunked(moneta.initial(x)["memory"], bounded)
    torch.testing.assert_close(memory, other, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(out, expected, rtol=1e-12, atol=1e-12)


def test_the_printed_retention_of_moneta_is_no_gradient() -> None:
    mixer = memory_of("moneta", memory_depth=1, retention="printed")
    a = noise(1, 1, 144, seed=3)
    norm = float((a**4).sum()) ** 0.25
    torch.testing.assert_close(mixer.weights(a)[0].flatten(-2), a / norm**2, rtol=1e-9, atol=1e-9)
    larger = mixer.weights(2 * a)[0].flatten(-2)
    torch.testing.assert_close(larger, a / norm**2 / 2, rtol=1e-9, atol=1e-9)
    with pytest.raises(NeurosimInputError, match=r"Moneta\.retention: unknown name 'mirrored'; did you mean 'mirror'"):
        memory_of("moneta", retention="mirrored")


RETAINED = [("moneta", {}), ("moneta", {"retention": "printed"}), ("memora", {})]


def retained_by_span_and_by_token(kind: str, span: int, more: dict[str, Any]) -> tuple[Any, Any]:
    """Return two layers of equal weights: one retains weights at the ends of spans, the other at every token."""
    options = {"num_heads": 2, "memory_depth": 1, "conv_size": 0, "span": span, **more}
    by_span = memory_of(kind, retain="span", **options)
    by_token = memory_of(kind, **options)
    by_token.load_state_dict(by_span.state_dict())
    return by_span, by_token


@torch.no_grad()
@pytest.mark.parametrize("kind, more", RETAINED)
def test_the_end_of_every_span_of_one_token_is_every_token(kind: str, more: dict[str, Any]) -> None:
    x = noise(1, 12, 12)
    states = []
    for layer in retained_by_span_and_by_token(kind, 1, more):
        inputs, _ = layer.project(x, layer.initial(x), {})
        states.append(layer.chunked(layer.initial(x)["memory"], inputs))
    for by_span, by_token in zip(*states, strict=True):
        torch.testing.assert_close(by_span, by_token, rtol=0, atol=0)
    with pytest.raises(NeurosimInputError, match=r"\.retain: unknown name 'spam'; did you mean 'span'"):
        memory_of(kind, retain="spam")


@torch.no_grad()
@pytest.mark.parametrize("kind, more", RETAINED)
def test_within_a_span_weights_are_retained_to_first_order(kind: str, more: dict[str, Any]) -> None:
    """w(A + e d) - w(A) - J e d falls with the square of e: at a hundredth of the steps, with their hundredth."""
    layers = retained_by_span_and_by_token(kind, 4, more)
    x = noise(1, 12, 12)
    inputs, _ = layers[0].project(x, layers[0].initial(x), {})
    ends = {"ends": (torch.arange(1, 13) % 4 == 0)[None]}

    def difference(scale: float) -> torch.Tensor:
        """Return [12] the largest difference of the outputs at each token, with steps of `scale`."""
        steps = {"theta": scale * inputs["theta"], "log_keep": scale * inputs["log_keep"]}
        outputs = [layer.chunked(layer.initial(x)["memory"], inputs | steps | ends)[1] for layer in layers]
        return (outputs[0] - outputs[1]).abs().amax((0, 2, 3))

    usual = difference(1.0)
    assert not usual[3::4].any() and bool((usual[[1, 2, 5, 6]] > 0).all())
    assert float(difference(0.01).max()) < float(usual.max()) / 1000


@pytest.mark.parametrize("kind", ["titans", "moneta"])
def test_gates_of_channels_are_those_of_the_columns_of_the_last_matrix(kind: str) -> None:
    """Against a loop over matrices: other layers take the mean of a gate over channels."""
    options = {"num_heads": 2, "head_dim": 3, "expansion": 2, "span": 3, "gates": "channel", "gate_rank": 2}
    mixer: Any = build(kind, 12, Depth(), options).double()
    x = noise(1, 7, 12)
    with torch.no_grad():
        mixer.alpha_proj[-1].bias.add_(3)
    inputs, _ = mixer.project(x, mixer.initial(x), {})
    memory, _ = mixer.chunked(mixer.initial(x)["memory"], inputs)

    def gate(layer: Any) -> torch.Tensor:
        """Return a gate of each weight [T, H, 36]: 3 x 6 of the first matrix, 6 x 3 of the last one."""
        channels = layer(x)[0].sigmoid().unflatten(-1, (2, 3)).detach()
        assert float((channels.amax(-1) - channels.amin(-1)).min()) > 1e-3
        mean = channels.mean(-1, keepdim=True)
        return torch.cat([mean.repeat(1, 1, 18), channels.repeat(1, 1, 6)], -1)

    keep = 1 - gate(mixer.alpha_proj)
    theta = mixer.max_step * gate(mixer.theta_proj)
    momentum = gate(mixer.momentum_proj) if kind == "titans" else torch.zeros_like(keep)
    a = mixer.first.detach()
    step = torch.zeros_like(a)
    for t in range(7):
        if t % 3 == 0:
            anchor = a
        token = {name: value[:, t : t + 1] for name, value in inputs.items()}
        gradient = mixer.gradient(anchor[None], token)[0, 0].detach()
        step = momentum[t] * step - theta[t] * gradient
        a = keep[t] * a + step
    torch.testing.assert_close(memory[0, :, 1], a, rtol=0, atol=1e-12)
    with pytest.raises(NeurosimInputError, match=r"gates: must be 'head' or 'channel' \(got row\)"):
        build(kind, 12, Depth(), {"gates": "row"})


def recall_error(kind: str, factor: float) -> float:
    """Mean squared error of recalled values, of variance 1, where 1 of 20 was written `factor` times as large."""
    width = 32
    pairs = 16
    tokens = 160
    mixer = memory_of(kind, width, memory_depth=1, span=1, max_step=0.2)
    x = noise(4, tokens, width)
    keys = noise(4, pairs, width, seed=1)
    values = noise(4, pairs, width, seed=2)
    keys = keys / keys.norm(dim=-1, keepdim=True)
    draws = torch.Generator().manual_seed(3)
    rows = torch.arange(4)[:, None]
    which = torch.randint(pairs, (4, tokens), generator=draws)
    size = torch.where(torch.rand(4, tokens, generator=draws) < 0.05, factor, 1.0).double()
    inputs, _ = mixer.project(x, mixer.initial(x), {})
    inputs |= {"k": keys[rows, which][:, :, None], "v": (values[rows, which] * size[..., None])[:, :, None]}
    if kind == "yaad":
        inputs["delta"] = torch.ones_like(inputs["delta"])
    with torch.no_grad():
        memory, _ = mixer.chunked(torch.zeros_like(mixer.initial(x)["memory"]), inputs)
    recalled = keys @ memory[:, 0, 1].unflatten(-1, (width, width))
    return float((recalled - values).square().mean())


def test_outliers_do_not_move_a_memory_by_hubers_loss() -> None:
    """5 % of the values times 20."""
    yaad, titans = ([recall_error(kind, factor) for factor in (1.0, 20.0)] for kind in ("yaad", "titans"))
    assert titans[0] < 0.4 and titans[1] > 10 * titans[0]
    assert yaad[1] < 1.5 * yaad[0] + 0.05


def test_an_open_gate_leaves_the_attention_of_a_window() -> None:
    """The memory says nothing, sigmoid(0) = 1/2, and half of the attention is left."""
    gate = memory_of("titans_gate", window_size=5)
    x = noise(2, 20, 12)
    with torch.no_grad():
        gate.o_proj.weight.zero_()
    inputs, _ = gate.project(x, gate.initial(x), {})
    torch.testing.assert_close(gate(x)[0], inputs["attended"] / 2, rtol=0, atol=1e-12)
    assert gate.attention.window_size == 5


@pytest.mark.parametrize("window_size", [3, 64])
def test_every_token_sees_the_learnt_tokens_of_a_gate(window_size: int) -> None:
    """Against attention and memory written out: keys of P without positions, and a memory that reads P first."""
    gate = memory_of("titans_gate", window_size=window_size, persistent=3, span=2)
    layer = gate.attention
    with torch.no_grad():
        gate.tokens.copy_(noise(3, 12, seed=5))
    x = noise(2, 90, 12)
    inputs, _ = gate.project(x, gate.initial(x), {})
    fixed_k = layer.k_proj(gate.tokens)
    fixed_v = layer.v_proj(gate.tokens)
    turn = layer.rotary.turn
    position = torch.tensor(0)
    keys = turn(layer.k_proj(x)[:, :, None], position)[:, :, 0]
    queries = turn(layer.q_proj(x)[:, :, None], position)[:, :, 0]
    for t in (0, 2, 40, 89):
        seen = slice(max(t + 1 - window_size, 0), t + 1)
        scores = (keys[:, seen] @ queries[:, t, :, None])[..., 0]
        scores = torch.cat([layer.q_proj(x[:, t]) @ fixed_k.T, scores], 1) * 12**-0.5
        values = torch.cat([fixed_v.expand(2, -1, -1), layer.v_proj(x)[:, seen]], 1)
        expected = layer.o_proj((scores.softmax(-1)[:, None] @ values)[:, 0])
        torch.testing.assert_close(inputs["attended"][:, t], expected, rtol=0, atol=1e-12)
    # The memory: that of `Titans` behind the three tokens, whose spans of two begin anew with x.
    titans = memory_of("titans", span=2)
    titans.load_state_dict(gate.state_dict(), strict=False)
    _, state = titans(gate.tokens[None].expand(2, -1, -1))
    state["position"] = position
    _, expected = titans(x, state)
    torch.testing.assert_close(gate(x)[1]["memory"], expected["memory"], rtol=0, atol=1e-12)


def test_no_learnt_tokens_leave_a_gate_of_a_window_and_a_memory() -> None:
    gate = memory_of("titans_gate", window_size=5, persistent=0)
    titans = memory_of("titans")
    titans.load_state_dict(gate.state_dict(), strict=False)
    plain: Any = build("window", 12, Depth(), {"num_heads": 1, "window_size": 5}).double()
    plain.load_state_dict(gate.attention.state_dict())
    x = noise(2, 80, 12)
    expected = plain(x)[0] * titans(x)[0].sigmoid()
    torch.testing.assert_close(gate(x)[0], expected, rtol=0, atol=1e-12)


def test_memory_as_a_layer_is_attention_over_the_outputs_of_the_memory() -> None:
    """Learnt tokens come before the text, without positions; with none it is one kind below the other."""
    options = {"num_heads": 2, "window_size": 4, "memory": {"num_heads": 1, "head_dim": 5, "span": 3}}
    layer: Any = build("titans_layer", 12, Depth(), options | {"persistent": 3}).double()
    assert layer.titans.heads == 1
    x = noise(2, 11, 12)
    # Three tokens fill a span, so that spans of the whole sequence are those of the text.
    read, _ = layer.titans(torch.cat([layer.tokens.expand(2, -1, -1), x], 1))
    found, _ = layer(x)
    q, k, v = layer.split(read)
    position = torch.tensor(0)
    turned = [layer.turn(value[:, 3:], position) for value in (q, k)]
    for t in (0, 3, 10):
        seen = slice(max(t - 3, 0), t + 1)
        scores = torch.einsum("bhk,bthk->bht", turned[0][:, t], turned[1][:, seen])
        fixed = torch.einsum("bhk,bthk->bht", q[:, 3 + t], k[:, :3])
        weights = (torch.cat([fixed, scores], -1) * 6**-0.5).softmax(-1)
        values = torch.cat([v[:, :3], v[:, 3:][:, seen]], 1)
        expected = layer.o_proj(torch.einsum("bht,bthk->bhk", weights, values).flatten(1))
        torch.testing.assert_close(found[:, t], expected, rtol=0, atol=1e-12)
    bare: Any = build("titans_layer", 12, Depth(), options | {"persistent": 0}).double()
    window: Any = build("window", 12, Depth(), {"num_heads": 2, "window_size": 4}).double()
    window.load_state_dict(bare.state_dict(), strict=False)
    torch.testing.assert_close(bare(x)[0], window(bare.titans(x)[0])[0], rtol=0, atol=1e-12)


def test_a_context_reaches_the_segment_and_beyond_it_through_the_memory() -> None:
    """Without steps of the memory, a token is seen to the end of its segment; with them further on."""
    for step, reached in ((0.0, range(6, 8)), (0.1, range(6, 20))):
        layer = memory_of("titans_context", span=4, memory_depth=2, max_step=1.0)
        x = noise(1, 20, 12)
        with torch.no_grad():
            layer.theta_proj.bias.fill_(float(torch.tensor(step + 1e-300, dtype=x.dtype).logit()))
        before, _ = layer(x)
        x[0, 6] += 1
        changed = (layer(x)[0] - before)[0].abs().amax(-1) > 1e-9
        assert changed.nonzero()[:, 0].tolist() == list(reached)


def test_attention_within_a_segment_sees_learnt_tokens_what_is_recalled_and_the_segment() -> None:
    """Against attention written out, where the memory says nothing new and its gate is a half."""
    layer = memory_of("titans_context", span=5, persistent=3)
    x = noise(1, 12, 12)
    with torch.no_grad():
        layer.theta_proj.bias.fill_(-ALWAYS)
        layer.o_norm.weight.zero_()
    inputs, _ = layer.project(x, layer.initial(x), {})
    _, out = layer.chunked(layer.initial(x)["memory"], inputs)
    first = layer.weights(layer.first[None])
    recalled = layer.recall([w[:, None] for w in first], inputs["q"])[0, :, 0]
    for t in (0, 4, 7, 11):
        segment = slice(t // 5 * 5, t + 1)
        rows = torch.cat([layer.tokens, recalled[segment], x[0, segment]])
        keys = layer.attend_k(rows)
        values = layer.attend_v(rows)
        query = layer.attend_q(x[0, t])
        expected = (keys @ query * 12**-0.5).softmax(-1) @ values / 2
        torch.testing.assert_close(out[0, t, 0], expected, rtol=0, atol=1e-12)
