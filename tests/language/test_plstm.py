"""pLSTM: the chain as gated linear attention, the grid as a sum over all paths, gates and norms node by node."""

from __future__ import annotations

import importlib
import itertools
import math
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from helpers.attention_kinds import noise
from helpers.plstm import Node
from scipy.linalg import expm
from torch import Tensor, nn
from torch.nn import functional as F

from neurosim.base import NeurosimInputError
from neurosim.language import Depth, build
from neurosim.language.attention.kinds.chunks import additive
from neurosim.language.attention.kinds.plstm import MatrixGates
from neurosim.language.attention.kinds.plstm_2d import PLSTM2D, over_grid


def test_the_chain_is_linear_attention_with_one_gate_a_head() -> None:
    """Marks that undo the transition, and what a token brings itself: o = S_t^T q."""
    mixer: Any = build("plstm", 12, Depth(), {"num_heads": 2}).double()
    x = noise(2, 30, 12)
    inputs, _ = mixer.project(x, mixer.initial(x), {})
    with torch.no_grad():
        mixer.direct.fill_(1.0)
    inputs |= {"mark": inputs["g"].exp(), "source": torch.ones_like(inputs["g"])}
    memory, out = mixer.chunked(mixer.initial(x)["memory"], inputs)
    expected = additive(*(inputs[name] for name in "qkv"), mixer.initial(x)["memory"], inputs["g"])
    torch.testing.assert_close(memory, expected[0], rtol=0, atol=1e-11)
    torch.testing.assert_close(out, expected[1], rtol=0, atol=1e-11)


def paths(begin: Node, end: Node) -> Iterator[list[int]]:
    """Directions, 0 to the right and 1 down, of every path between two nodes."""
    if begin == end:
        yield []
    for direction, after in ((0, (begin[0], begin[1] + 1)), (1, (begin[0] + 1, begin[1]))):
        if after[0] <= end[0] and after[1] <= end[1]:
            yield from ([direction, *rest] for rest in paths(after, end))


def chain_of_matrices(layer: Any, x: Tensor) -> list[Tensor]:
    """Return what the heads of a chain read, token by token: J states [K, V / P] of each, in plain sums."""
    heads, states, parts, size = layer.heads, layer.states, layer.value_parts, layer.k_size
    q, k, v = (p(x).view(len(x), heads, size) for p in (layer.q_proj, layer.k_proj, layer.v_proj))
    outputs = []
    memory = [[torch.zeros(size, size // parts, dtype=x.dtype) for _ in range(states)] for _ in range(heads)]
    for t, row in enumerate(x):
        source, mark = layer.edge_proj(row).sigmoid().view(2, -1)
        source, mark = source.view(heads, states, parts), mark.view(heads, parts, states)
        scales = (5 * layer.transitions.scale_proj(row)).tanh().view(heads, states)
        out, into = layer.transitions.turn_proj(row).view(2, heads, states, states)
        for h in range(heads):
            turn = rotation(out[h]) @ torch.diag(scales[h]) @ rotation(into[h])
            value = v[t, h].view(parts, -1)
            direct = (layer.direct.sigmoid() if layer.closed else layer.direct)[h].view(parts, parts)
            own = q[t, h] @ k[t, h]
            for p in range(parts):
                seen = sum(mark[h, p, j] * memory[h][j].T @ q[t, h] for j in range(states))
                seen = seen + own * sum(direct[p, r] * value[r] for r in range(parts))
                outputs.append(seen / size**0.5)
            before = memory[h]
            memory[h] = [
                sum(turn[i, j] * before[j] for j in range(states))
                + torch.outer(k[t, h], sum(source[h, i, p] * value[p] for p in range(parts)))
                for i in range(states)
            ]
    return outputs


@pytest.mark.parametrize(("parts", "closed"), [(1, False), (1, True), (3, True), (3, False)])
def test_the_chain_of_matrices_is_its_equations(parts: int, closed: bool) -> None:
    """Against plain sums, over several chunks."""
    torch.manual_seed(0)
    options = {"num_heads": 2, "states": 2, "value_parts": parts, "closed": closed}
    layer: Any = build("plstm", 6, Depth(), options).double()
    layer.chunk = 4
    x = noise(1, 11, 6)
    with torch.no_grad():
        for n, value in enumerate([*layer.transitions.parameters(), layer.edge_proj.weight, layer.direct]):
            value.copy_(0.5 * noise(*value.shape, seed=n))
        expected = torch.stack(chain_of_matrices(layer, x[0])).view(11, 2, 3)
        inputs, _ = layer.project(x, layer.initial(x), {})
        _, out = layer.chunked(layer.initial(x)["memory"], inputs)
        torch.testing.assert_close(out[0], expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("states", [None, 1, 3])
def test_a_closed_chain_begins_as_in_the_sources_code(states: int | None) -> None:
    """Sources, marks and d are sigmoid(-5) of any token, and a state is passed on almost whole."""
    layer: Any = build("plstm", 8, Depth(), {"num_heads": 2, "states": states, "closed": True}).double()
    x = noise(2, 3, 8)
    first = 1 / (1 + math.e**5)
    inputs, _ = layer.project(x, layer.initial(x), {})
    for name in ("source", "mark"):
        torch.testing.assert_close(inputs[name], torch.full_like(inputs[name], first))
    own = layer.own({name: torch.ones(1, 2, 1, dtype=torch.float64) for name in "qkv"})
    torch.testing.assert_close(own, torch.full_like(own, first))
    if states is None:
        torch.testing.assert_close(inputs["g"].exp(), torch.full_like(inputs["g"], 1 / (1 + math.e**-4)))
    else:
        expected = math.tanh(5) * torch.eye(states, dtype=torch.float64)
        torch.testing.assert_close(inputs["transition"], expected.expand_as(inputs["transition"]))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"value_parts": 2}, r"PLSTM.value_parts: must be 1 without states \(got 2\)"),
        ({"states": 2, "value_parts": 3}, r"PLSTM.value_parts: must divide the 4 channels of a head \(got 3\)"),
        ({"conv_inputs": True}, r"PLSTM.conv_size: must be > 0 tokens with conv_inputs \(got 0\)"),
    ],
)
def test_options_that_do_not_fit_are_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(NeurosimInputError, match=words):
        build("plstm", 8, Depth(), {"num_heads": 2, **options})


@torch.no_grad()
@pytest.mark.parametrize("states", [None, 2])
def test_the_convolution_of_the_inputs_is_seen_by_all_but_the_values(states: int | None) -> None:
    """The source's layer of sequences is torch's convolution, then the layer without one, but for v."""
    options = {"num_heads": 2, "states": states, "gate_fn": None, "passthrough": True}
    more = {"conv_size": 3, "conv_inputs": True, "conv_bias": True}
    plain, convolved = (build("plstm", 8, Depth(), options | others).double() for others in ({}, more))
    layer: Any = convolved
    layer.conv1d.bias.copy_(noise(8))
    plain.load_state_dict({name: value for name, value in layer.state_dict().items() if "conv1d" not in name})
    x = noise(2, 9, 8)
    weight = layer.conv1d.weight
    seen = F.conv1d(F.pad(x.mT, (2, 0)), weight, layer.conv1d.bias, groups=8).mT
    inputs, _ = plain.project(seen, plain.initial(x), {})
    of_values, _ = plain.project(x, plain.initial(x), {})
    inputs["v"] = of_values["v"]
    _, out = plain.chunked(plain.initial(x)["memory"], inputs)
    torch.testing.assert_close(layer(x)[0], plain.finish(out, x, inputs), rtol=0, atol=1e-12)


@torch.no_grad()
def test_a_path_past_the_layer_adds_its_input() -> None:
    x = noise(2, 5, 8)
    layers = []
    for passthrough in (False, True):
        torch.manual_seed(0)
        layers.append(build("plstm", 8, Depth(), {"num_heads": 2, "passthrough": passthrough}).double())
    alone, beside = layers
    torch.testing.assert_close(beside(x)[0] - alone(x)[0], x)


@pytest.mark.parametrize("keys", [3, 11], ids=["by states", "by weights"])
def test_the_grid_is_the_sum_over_all_paths(keys: int) -> None:
    x = 4
    y = 5
    q = noise(1, x, y, 1, keys)
    k = noise(1, x, y, 1, keys, seed=1)
    v = noise(1, x, y, 1, 2, seed=2)
    source = noise(1, x, y, 1, 2, seed=3)
    transition = noise(1, x, y, 1, 2, 2, seed=4)
    mark = noise(1, x, y, 1, 2, seed=5)
    out = over_grid(q, k, v, source, transition, mark)[0, :, :, 0]
    end = (3, 4)
    expected = torch.zeros(2, dtype=torch.float64)
    for i in range(x):
        for j in range(y):
            for path in paths((i, j), end):
                if path:
                    node = (i, j)
                    weight = source[0, i, j, 0, path[0]]
                    for came, goes in itertools.pairwise(path):
                        node = (node[0] + came, node[1] + 1 - came)
                        weight = weight * transition[0, node[0], node[1], 0, came, goes]
                    weight = weight * mark[0, 3, 4, 0, path[-1]]
                    expected = expected + weight * (q[0, 3, 4, 0] @ k[0, i, j, 0]) * v[0, i, j, 0]
    torch.testing.assert_close(out[end], expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("mode", ["directional", "diffusive"])
def test_images_of_any_size(mode: str) -> None:
    """Every pixel sees every other; flip the image and exchange the gates of the flips: the result is flipped."""
    layer = PLSTM2D(8, 2, mode).double()
    with torch.no_grad():
        layer.edge_proj.weight.copy_(noise(*layer.edge_proj.weight.shape, seed=1))
    x = noise(2, 5, 3, 8).requires_grad_()
    y = layer(x)
    (grad,) = torch.autograd.grad(y[0, 2, 1].sum(), x)
    seen = grad[0].abs().amax(-1) > 0
    assert y.shape == x.shape and bool(seen.all())
    assert not grad[1].any()
    with torch.no_grad():
        for value in (layer.edge_proj.weight, layer.edge_proj.bias):
            value.copy_(value.unflatten(0, (4, -1))[[1, 0, 3, 2]].flatten(0, 1))
    torch.testing.assert_close(layer(x.flip(1)), y.flip(1), rtol=0, atol=1e-11)
    with pytest.raises(NeurosimInputError, match=r"PLSTM2D.mode: unknown name 'x'"):
        PLSTM2D(8, 2, "x")


def rotation(a: Tensor) -> Tensor:
    """exp(A - A^T) of [.., J, J] by scipy."""
    return torch.from_numpy(expm((a - a.mT).numpy()))


def node_gates(layer: PLSTM2D, seen: Tensor, flip: int, complement: bool) -> dict[str, Tensor]:
    """Gates of one node as the source's code names them: sources [H, J], transitions [H, J, J], marks [H, J]."""
    heads = layer.heads
    states = layer.states
    moved = (layer.edge_proj.weight @ seen).view(4, heads, -1)[flip]
    bias = layer.edge_proj.bias.view(4, heads, -1)[flip]
    rows = (bias + moved).sigmoid()
    if layer.transitions is None:
        ways = [rows[:, n, None, None] for n in (1, 3, 4)]
        s, m = ([rows[:, n, None] for n in places if n < rows.shape[1]] for places in ((0, 5), (2, 6)))
        last = 3
    else:
        t = layer.transitions
        count = rows.shape[1] // (2 * states)  # of sources, and of marks
        s = list(rows[:, : count * states].view(heads, count, states).unbind(1))
        m = list(rows[:, count * states : 2 * count * states].view(heads, count, states).unbind(1))
        scales = (5 * t.scale_proj(seen)).tanh().view(4, heads, -1, states)[flip]
        turns = t.turn_proj(seen).view(2, 4, heads, -1, states, states)[:, flip]
        ways = list((rotation(turns[0]) @ torch.diag_embed(scales) @ rotation(turns[1])).unbind(1))
        last = -1
    if layer.is_diffusive:
        gates = {"s_r": s[0], "s_d": s[-1], "m_l": m[0], "m_u": m[-1], "t_rl": ways[0], "t_du": ways[1]}
        return gates | {"t_ru": ways[2], "t_dl": torch.zeros_like(ways[2])}  # chirality L
    scale = 0.5 / len(seen) if complement else 1.0
    angle = (bias[:, last] + scale * moved[:, last]).sigmoid()[:, None]
    s_r = angle * s[0]
    t_r = angle[..., None] * ways[0]
    s_d = 1 - s_r if complement else (1 - angle) * s[0]
    t_d = 1 - t_r if complement else (1 - angle[..., None]) * ways[0]
    return {"s_r": s_r, "s_d": s_d, "m_l": m[0], "m_u": m[0], "t_rl": t_r, "t_ru": t_r, "t_dl": t_d, "t_du": t_d}


def node_by_node(layer: PLSTM2D, x: Tensor, complement: bool) -> Tensor:
    """`layer` of x [X, Y, width] in one loop a flip, with the gates of the source's code: C [H, J, K, V] an edge."""
    heads = layer.heads
    seen = x.clone()
    if layer.conv is not None:
        weight = layer.conv.weight[:, 0]
        for i, j in itertools.product(range(x.shape[0]), range(x.shape[1])):
            near = {(r, c): x[i - 2 + r, j - 2 + c] for r in range(3) for c in range(3) if i + r >= 2 and j + c >= 2}
            seen[i, j] = layer.conv.bias + sum(weight[:, r, c] * value for (r, c), value in near.items())
    q, k, v = (
        p(y).unflatten(-1, (heads, -1)) for p, y in ((layer.q_proj, seen), (layer.k_proj, seen), (layer.v_proj, x))
    )
    q = q * q.shape[-1] ** -0.5
    outputs = []
    for flip, (up, left) in enumerate(((1, 1), (-1, 1), (1, -1), (-1, -1))):
        out = torch.zeros_like(v)
        right: dict[Node, Tensor] = {}
        down: dict[Node, Tensor] = {}
        for i in range(x.shape[0])[::up]:
            for j in range(x.shape[1])[::left]:
                here = (i, j)
                g = node_gates(layer, seen[here], flip, complement)
                new = k[here][:, :, None] * v[here][:, None]
                nothing = new.new_zeros(heads, layer.states, *new.shape[1:])
                came_left = right.get((i, j - left), nothing)
                came_up = down.get((i - up, j), nothing)
                read = torch.einsum("hj,hjkv->hkv", g["m_l"], came_left)
                read = read + torch.einsum("hj,hjkv->hkv", g["m_u"], came_up)
                out[here] = torch.einsum("hk,hkv->hv", q[here], read)
                for name, edges in (("r", right), ("d", down)):
                    edges[here] = g[f"s_{name}"][:, :, None, None] * new[:, None]
                    for came, state in (("l", came_left), ("u", came_up)):
                        edges[here] = edges[here] + torch.einsum("hij,hjkv->hikv", g[f"t_{name}{came}"], state)
        outputs.append(out)
    weight = layer.direct.sigmoid() if layer.closed else layer.direct
    direct = (weight * (q * k).sum(-1))[..., None] * v
    if layer.share is None:
        normed = torch.stack([layer.norm(direct + out) for out in outputs]).mean(0)
    else:
        normed = layer.norm(direct + sum(outputs))
    y = layer.o_proj(normed.flatten(-2))
    return y if layer.passthrough is None else y + layer.passthrough * x


@pytest.mark.parametrize(
    "options",
    [
        {"mode": "directional", "complement": True},
        {"mode": "diffusive", "chirality": "L", "by_direction": True, "conv_size": 3, "passthrough": True},
        {"mode": "diffusive", "chirality": "L", "by_direction": True, "states": 2},
        {"mode": "directional", "complement": True, "states": 3, "conv_size": 3},
        {"mode": "directional", "states": 2, "passthrough": True},
        {"mode": "directional", "complement": True, "states": 2, "closed": True, "norm": "sum"},
        {"mode": "diffusive", "chirality": "L", "by_direction": True, "states": 2, "closed": True, "norm": "sum"},
    ],
    ids=["P", "D with a convolution", "D of matrices", "P of matrices", "shares of matrices", "P closed", "D closed"],
)
def test_gates_and_norms_as_in_the_sources_code(options: dict[str, Any]) -> None:
    torch.manual_seed(0)
    layer = PLSTM2D(8, 2, **{"norm": "each"} | options).double()
    with torch.no_grad():
        for n, (name, value) in enumerate(layer.named_parameters()):
            if "edge_proj.weight" in name or "transitions" in name or name == "passthrough":
                value.copy_(0.5 * noise(*value.shape, seed=n))
        x = noise(1, 4, 3, 8)
        expected = node_by_node(layer, x[0], "complement" in options)
        torch.testing.assert_close(layer(x)[0], expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("states", [None, 1, 2])
@pytest.mark.parametrize("mode", ["directional", "diffusive"])
def test_closed_gates_see_a_part_of_the_channels(mode: str, states: int | None) -> None:
    """Channel c moves the gates of flip c // 4 and head c // 2 % 2 alone; angles see all channels."""
    layer = PLSTM2D(16, 2, mode, states=states, closed=True).double()
    x = noise(1, 1, 1, 16)
    first = layer.edges(x)
    torch.testing.assert_close(first.source, torch.full_like(first.source, 1 / (1 + math.e**4)))
    torch.testing.assert_close(first.mark, first.source)
    with torch.no_grad():
        for n, value in enumerate(layer.parameters()):
            value.copy_(noise(*value.shape, seed=n))
        before = layer.edges(x)
        for c in range(16):
            moved = x.clone()
            moved[..., c] += 1
            for name, old, new in zip(before._fields, before, layer.edges(moved), strict=True):
                if name == "angle":
                    assert bool((old != new).all())
                    continue
                changed = (old != new).flatten(5).any(-1)[0, 0, 0]
                expected = torch.zeros(4, 2, dtype=torch.bool)
                expected[c // 4, c // 2 % 2] = True
                assert torch.equal(changed, expected), name
    saved = PLSTM2D(16, 2, mode, states=states, closed=True).double()
    saved.load_state_dict(layer.state_dict())
    torch.testing.assert_close(saved(x), layer(x), rtol=0, atol=0)


def test_a_single_state_has_a_transition_that_may_be_negative() -> None:
    gates = MatrixGates(3, 4, 1)
    x = noise(2, 3, dtype=torch.float32)
    torch.testing.assert_close(gates(x), torch.full((2, 4, 1, 1), math.tanh(5.0)))
    nn.init.constant_(gates.scale_proj.bias, -0.2)
    torch.testing.assert_close(gates(x), torch.full((2, 4, 1, 1), math.tanh(-1.0)))


def test_the_turns_are_mirrored() -> None:
    """Exchange rows and columns, their gates and the flips: a turn to the right is one to the left."""
    right = PLSTM2D(6, 2, "diffusive", by_direction=True).double()
    left = PLSTM2D(6, 2, "diffusive", by_direction=True, chirality="L").double()
    left.load_state_dict(right.state_dict())
    x = noise(2, 4, 3, 6)
    with torch.no_grad():
        for layer in (left, right):
            layer.edge_proj.weight.copy_(noise(*layer.edge_proj.weight.shape, seed=1))
        for value in (left.edge_proj.weight, left.edge_proj.bias):
            gates = value.unflatten(0, (4, 2, 7))[[0, 2, 1, 3]]
            value.copy_(gates[:, :, [5, 3, 6, 1, 4, 0, 2]].flatten(0, 2))
        torch.testing.assert_close(left(x.transpose(1, 2)).transpose(1, 2), right(x), rtol=0, atol=1e-12)
        assert not torch.allclose(left(x), right(x))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"chirality": "R2"}, r"PLSTM2D.chirality: unknown name 'R2'"),
        ({"norm": "all"}, r"PLSTM2D.norm: unknown name 'all'"),
        ({"chirality": "L"}, r"PLSTM2D.chirality: 'L' needs mode 'diffusive' \(got directional\)"),
        ({"by_direction": True}, r"PLSTM2D.by_direction: needs mode 'diffusive' \(got directional\)"),
        ({"mode": "diffusive", "complement": True}, r"PLSTM2D.complement: needs mode 'directional'"),
        ({"states": 0}, r"PLSTM2D.states: must be >= 1 or None \(got 0\)"),
        ({"closed": True, "num_heads": 4}, r"PLSTM2D.width: must be a multiple of 16 and > 0 \(got 8\)"),
        ({"conv_size": -1}, r"PLSTM2D.conv_size: must be >= 0 squares \(got -1\)"),
    ],
)
def test_options_of_the_other_mode_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(NeurosimInputError, match=message):
        PLSTM2D(8, **{"num_heads": 2} | options)


def test_first_gates_reach_across_the_image() -> None:
    """Straight lines from corner to corner keep a state; the heads of the directional mode begin at other angles."""
    torch.manual_seed(0)  # how far the directional mode reaches depends on the weights drawn
    middle = noise(1, 9, 9, 12)
    for mode, way in (("diffusive", (0, 8)), ("diffusive", (8, 0)), ("diffusive", (8, 8)), ("directional", (8, 8))):
        layer = PLSTM2D(12, 3, mode).double()
        x = middle.clone().requires_grad_()
        (grad,) = torch.autograd.grad(layer(x)[0, way[0], way[1]].sum(), x)
        assert float(grad[0, 0, 0].norm()) > 1e-3 * float(grad[0, way[0], way[1]].norm())
    angles = PLSTM2D(12, 3).edge_proj.bias.view(4, 3, 5)[..., 3]
    assert angles.tolist() == [[-2.0, 0.0, 2.0]] * 4


@pytest.mark.slow
def test_a_grid_learns_where_an_arrow_points_and_beyond_its_size() -> None:
    """The largest value over the squares is read out: in a mean, two squares count the less, the larger the grid."""
    rays = importlib.import_module("grids").rays
    torch.manual_seed(0)
    embed = nn.Embedding(6, 24)
    layer = PLSTM2D(24, 2)
    head = nn.Sequential(nn.Linear(24, 48), nn.GELU())
    net = nn.ModuleList([embed, layer, head, nn.Linear(48, 2)])

    def answers(grids: Tensor) -> Tensor:
        x = embed(grids)
        return net[3](head(x + layer(x)).amax((1, 2)))

    optimizer = torch.optim.AdamW(net.parameters(), 8e-3)
    for step in range(120):
        grids, labels = rays(32, 5, step)
        optimizer.zero_grad()
        F.cross_entropy(answers(grids), labels).backward()
        optimizer.step()
    for size, least in ((5, 0.9), (10, 0.75)):
        grids, labels = rays(200, size, 1000)
        with torch.no_grad():
            assert float(answers(grids).argmax(1).eq(labels).float().mean()) > least
