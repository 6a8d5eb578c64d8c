"""pLSTM: linear recurrences with source, transition and mark gates, along a sequence, over a grid and over a graph."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ....base.errors import NeurosimInputError, lookup, require
from . import chunks
from .base import Inputs, Shared, State, decayed, read
from .modules import divide, linear, split_heads
from .qkv import ConvolvedMixer, GatedMixer

DIRECT = 4.0  # first bias of the transition gates: they keep sigmoid(4) = 0.98 of a state
ANGLES = 2.0  # first biases of the angles: of the heads in turn, from this below 0 to this above, as published
ANGLE_SCALE = 0.5  # of W x / D beside the first angles of the complement, as in the source's code


@dataclass(eq=False, repr=False, kw_only=True)
class PLSTM(ConvolvedMixer, GatedMixer):
    """o = m S^T q + d (q . k) v, then S = t S + s k v^T (Poeppel et al. 2025, arXiv 2506.11997, on a chain).

    S is what the edge from the token before brings; source s, transition t and mark m are sigmoids of W x for each
    head, d a weight of each head. q is scaled by K^-1/2.

    Args:
        num_heads: heads; width / num_heads channels each.
        gate_fn: activation of the output gate; None for no gate.
    """

    num_heads: int = 4
    gate_fn: str | None = "swish"

    def build(self) -> None:
        self.heads = self.num_heads
        self.k_size = self.v_size = divide(self.width, self.num_heads, self.name("width"))
        self.project_qkv(self.width, self.width, self.width)
        self.convolve()
        self.edge_proj = linear(self.width, 3 * self.heads, True)
        nn.init.constant_(self.edge_proj.bias[self.heads : 2 * self.heads], DIRECT)
        self.direct = nn.Parameter(torch.ones(self.heads))
        self.output()

    def project(self, x: Tensor, state: State, shared: Shared) -> tuple[Inputs, State]:
        values, tails = self.convolved(x, state)
        q, k, v = (split_heads(value, self.k_size) for value in values)
        source, transition, mark = self.edge_proj(x).chunk(3, -1)
        inputs = {"q": q * self.k_size**-0.5, "k": k, "v": v, "g": F.logsigmoid(transition)}
        return inputs | {"source": source.sigmoid(), "mark": mark.sigmoid()}, tails

    def own(self, inputs: Inputs) -> Tensor:
        """Return d (q . k) v [.., H, V], the share of a token in its own output."""
        return ((inputs["q"] * inputs["k"]).sum(-1) * self.direct)[..., None] * inputs["v"]

    def recur(self, memory: Tensor, inputs: Inputs) -> tuple[Tensor, Tensor]:
        # o = m S^T q + d (q . k) v, with S before this token
        out = inputs["mark"][..., None] * read(memory, inputs["q"]) + self.own(inputs)
        new = (inputs["source"][..., None] * inputs["k"])[..., None] * inputs["v"][..., None, :]
        # S = t S + s k v^T, t = e^g
        return decayed(memory, inputs["g"]) + new, out

    def chunked(self, memory: Tensor, inputs: Inputs) -> tuple[Tensor, Tensor]:
        # The mark scales what is read, the source what is written: both go onto q and k.
        q = inputs["mark"][..., None] * inputs["q"]
        k = inputs["source"][..., None] * inputs["k"]
        # A token reads the state before its own update: shift the queries back by one token.
        later = torch.cat([q[:, 1:], torch.zeros_like(q[:, :1])], 1)
        after, out = chunks.additive(later, k, inputs["v"], memory, inputs["g"], self.chunk)
        out = torch.cat([read(memory, q[:, 0])[:, None], out[:, :-1]], 1)
        return after, out + self.own(inputs)


def over_grid(q: Tensor, k: Tensor, v: Tensor, source: Tensor, transition: Tensor, mark: Tensor) -> Tensor:
    """Return o [B, X, Y, H, V] of a state that flows to the right and down over a grid, node by node.

    An edge that leaves a node brings C_out = sum_in t[in, out] C_in + s[out] k v^T to the next; o = sum_in m[in] C_in^T
    q. The nodes of an antidiagonal are computed at once, X + Y - 1 in turn. With fewer than K V nodes the edges bring
    the weight of each node before instead, the sum over all paths from it: o = sum_n w_n (q . k_n) v_n.

    Args:
        q, k, v: [B, X, Y, H, K] and [.., V].
        source: s [B, X, Y, H, 2], out to the next column (right) and row (down).
        transition: t [B, X, Y, H, 2, 2], in from the column (left) and row (up) before.
        mark: m [B, X, Y, H, 2].
    """
    nodes = q.shape[1] * q.shape[2]
    if nodes >= q.shape[-1] * v.shape[-1]:
        return _flow(q, k, v, source, transition, mark)
    one = torch.ones_like(q[..., :1])
    # Weights of all paths: the state of an edge is the weight of each earlier node in it.
    own = torch.eye(nodes, dtype=v.dtype, device=v.device).view(1, *v.shape[1:3], 1, nodes)
    weights = _flow(one, one, own.expand(*v.shape[:-1], -1), source, transition, mark)
    scores = torch.einsum("bxyhk,bnhk->bxyhn", q, k.flatten(1, 2)) * weights
    return torch.einsum("bxyhn,bnhv->bxyhv", scores, v.flatten(1, 2))


def _flow(q: Tensor, k: Tensor, v: Tensor, source: Tensor, transition: Tensor, mark: Tensor) -> Tensor:
    """Return `over_grid` by the states of edges."""
    # One product a node: of the rows that lead out, right and down, and of the marks, with the edges that come in.
    ways = torch.cat([transition.transpose(-1, -2), mark[..., None, :]], -2)
    q, k, v, source, ways = map(_sheared, (q, k, v, source, ways))
    shape = (*k[0].shape, v.shape[-1])
    state = v.new_zeros(*shape[:-2], 2, shape[-2] * shape[-1])
    outputs = []
    for n in range(len(q)):
        # C of the edges to the right and down, and the marked sum that this node reads.
        right, down, read_out = (ways[n] @ state).unbind(-2)
        outputs.append((q[n][..., None, :] @ read_out.view(shape))[..., 0, :])
        new = (k[n][..., None] * v[n][..., None, :]).flatten(-2)
        right = right + source[n][..., :1] * new
        down = down + source[n][..., 1:] * new
        # Right stays in its row x, down goes to the next.
        state = torch.stack([right, F.pad(down[:, :-1], (0, 0, 0, 0, 1, 0))], -2)
    return _unsheared(torch.stack(outputs))


def _sheared(x: Tensor) -> Tensor:
    """Return [B, X, Y, ..] to [X + Y - 1, B, X, ..], the antidiagonals, 0 outside the grid: nothing flows there."""
    rows, columns = x.shape[1:3]
    i, j = _nodes(rows, columns)
    out = x.new_zeros(rows + columns - 1, rows, len(x), *x.shape[3:])
    return out.index_put((i + j, i), x.movedim(0, 2)).transpose(1, 2)


def _unsheared(x: Tensor) -> Tensor:
    """Return [X + Y - 1, B, X, ..] back to [B, X, Y, ..]."""
    i, j = _nodes(x.shape[2], len(x) - x.shape[2] + 1)
    return x.transpose(1, 2)[i + j, i].movedim(2, 0)


def _nodes(rows: int, columns: int) -> list[Tensor]:
    """Return row and column [X, Y] of every node."""
    return list(torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij"))


def line_graph(edges: Tensor) -> Tensor:
    """Return the pairs [P, 2] of edges, in and out, that meet at a node, of edges [E, 2] from node to node."""
    begins, order = edges[:, 0].sort(stable=True)
    ends = edges[:, 1].contiguous()
    first = torch.searchsorted(begins, ends)
    counts = torch.searchsorted(begins, ends, right=True) - first
    incoming = torch.arange(len(edges), device=edges.device).repeat_interleave(counts)
    # Position among the edges that leave the same node.
    position = torch.arange(len(incoming), device=edges.device) - (counts.cumsum(0) - counts)[incoming]
    return torch.stack([incoming, order[first[incoming] + position]], -1)


def topological_levels(nodes: int, edges: Tensor) -> Tensor:
    """Return the edges on the longest path to each node [nodes].

    Raises:
        NeurosimInputError: the edges form a cycle.
    """
    levels = torch.zeros(nodes, dtype=torch.int64, device=edges.device)
    for _ in range(nodes + 1):
        later = levels.scatter_reduce(0, edges[:, 1], levels[edges[:, 0]] + 1, "amax")
        if torch.equal(later, levels):
            return levels
        levels = later
    raise NeurosimInputError("over_graph.edges: form a cycle; leave out an edge of each cycle")


def over_graph(
    q: Tensor, k: Tensor, v: Tensor, edges: Tensor, source: Tensor, transition: Tensor, mark: Tensor
) -> Tensor:
    """Return o [B, N, H, V] of a state that flows along the edges of a directed graph without cycles.

    The edge e from node a to node b brings C_e = s_e k_a v_a^T + sum_d t_de C_d, d all edges to a; node b reads
    o_b = sum_e m_e C_e^T q_b, e all edges to b. The edges from all nodes of one topological level are computed at
    once. Nodes that no edge reaches read 0. The states of all edges are in memory, E K V a head.

    Args:
        q, k, v: [B, N, H, K] and [.., V].
        edges: [E, 2], node to node.
        source: s [B, E, H].
        transition: t [B, P, H], in the order of the pairs of edges that `line_graph(edges)` returns.
        mark: m [B, E, H].

    Raises:
        NeurosimInputError: an edge names a node that is not there, the edges form a cycle, or the gates do not have
            a value for each edge and each pair.
    """
    nodes = q.shape[1]
    outside = edges[(edges < 0) | (edges >= nodes)]
    require(not len(outside), "over_graph.edges", f"must name nodes 0 to {nodes - 1}", outside.tolist())
    pairs = line_graph(edges)
    for name, gate, count in (("source", source, edges), ("transition", transition, pairs), ("mark", mark, edges)):
        require(gate.shape[1] == len(count), f"over_graph.{name}", f"must have {len(count)} gates", gate.shape[1])
    begins, ends = edges.unbind(-1)
    state = source[..., None, None] * k[:, begins, :, :, None] * v[:, begins, :, None]
    levels = topological_levels(nodes, edges)[begins]
    level_of_pair = levels[pairs[:, 1]]
    for chosen in level_of_pair.argsort().split(level_of_pair.bincount().tolist()):
        before, after = pairs[chosen].unbind(-1)
        # Edges of earlier levels are complete: each pair carries its share of one over the node between.
        state.index_add_(1, after, transition[:, chosen, :, None, None] * state[:, before])
    read_out = mark[..., None] * read(state, q[:, ends])
    return torch.zeros_like(v).index_add(1, ends, read_out)


class PLSTMGraph(nn.Module):
    """pLSTM over a directed graph without cycles: y = W_o norm(o + d (q . k) v), o of `over_graph`.

    `layer(x, edges)`, x [B, N, width] of nodes and edges [E, 2] to y [B, N, width]. The source of an edge is a sigmoid
    of W x at the node that it leaves, its mark at the one that it reaches. The transition of a pair of edges is a
    sigmoid of W x at the node between, over the number of edges that leave it: what a node passes on never grows (the
    P-mode of Poeppel et al. 2025).

    Raises:
        NeurosimInputError: a width that the heads do not divide, or as `over_graph`.
    """

    def __init__(self, width: int, num_heads: int = 4) -> None:
        super().__init__()
        self.heads = num_heads
        self.size = divide(width, num_heads, "PLSTMGraph.width")
        self.q_proj, self.k_proj, self.v_proj, self.o_proj = (linear(width, width) for _ in range(4))
        self.source_proj, self.transition_proj, self.mark_proj = (linear(width, num_heads, True) for _ in range(3))
        nn.init.constant_(self.transition_proj.bias, DIRECT)
        self.direct = nn.Parameter(torch.ones(num_heads))
        self.norm = nn.RMSNorm(self.size, 1e-5)

    def forward(self, x: Tensor, edges: Tensor) -> Tensor:
        q, k, v = (split_heads(layer(x), self.size) for layer in (self.q_proj, self.k_proj, self.v_proj))
        q = q * self.size**-0.5
        source = self.source_proj(x).sigmoid()[:, edges[:, 0]]
        mark = self.mark_proj(x).sigmoid()[:, edges[:, 1]]
        between = edges[line_graph(edges)[:, 0], 1]
        leaving = edges[:, 0].bincount(minlength=x.shape[1])
        transition = self.transition_proj(x).sigmoid()[:, between] / leaving[between][:, None]
        out = ((q * k).sum(-1) * self.direct)[..., None] * v
        out = out + over_graph(q, k, v, edges, source, transition, mark)
        return self.o_proj(self.norm(out).flatten(-2))


def _directional(edges: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return s, t and m of the P-mode: an angle splits what leaves a node between right and down: nothing grows."""
    source, transition, mark, angle, _ = edges.unbind(-1)
    shares = torch.stack([angle, 1 - angle], -1)
    return (
        source[..., None] * shares,
        (transition[..., None] * shares)[..., None, :].expand(*shares.shape, 2),
        mark[..., None].expand_as(shares),
    )


def _complement(edges: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return s, t and m of the P-mode in the source's code: right a s and a t, down 1 - a s and 1 - a t."""
    source, transition, mark, angle, _ = edges.unbind(-1)
    right = torch.stack([angle * source, angle * transition], -1)
    sources, transitions = torch.stack([right, 1 - right], -1).unbind(-2)
    rows = transitions[..., None, :].expand(*transitions.shape, 2)
    return sources, rows, mark[..., None].expand_as(sources)


def _diffusive(edges: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return s, t and m of the D-mode: straight on both ways, and one of the two turns, from left to down.

    Of seven gates the last two are the source of the way down and the mark of the edge from above.
    """
    source, right, mark, down, turn, *others = edges.unbind(-1)
    rows = [torch.stack([right, turn], -1), torch.stack([torch.zeros_like(right), down], -1)]
    source_down, mark_up = others or (source, mark)
    return torch.stack([source, source_down], -1), torch.stack(rows, -2), torch.stack([mark, mark_up], -1)


def _turning_left(edges: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return `_diffusive` with the other turn, from above to the right."""
    source, transition, mark = _diffusive(edges)
    return source, transition.transpose(-1, -2), mark


MODES = {"diffusive": _diffusive, "directional": _directional}
TURNS = {"L": _turning_left, "R": _diffusive}
NORMS = {"mean": False, "each": True}  # of the mean over flips, or of each flip


class PLSTM2D(nn.Module):
    """pLSTM over an image: y = W_o norm(o), o the mean over four flips of `over_grid` plus d (q . k) v.

    `layer(x)`, x [B, X, Y, width] to y alike, any X and Y. The gates are sigmoids of W x, for each flip and head. The
    source's code has `norm="each"`, `complement=True` in the P-mode, and in the D-mode `by_direction=True` and
    `chirality="L"`.

    Args:
        mode: 'directional' (P) for what travels along a line, or 'diffusive' (D) for what spreads.
        chirality: turn of the D-mode: 'R' from left to down, 'L' from above to the right.
        by_direction: sources and marks of the D-mode differ between the two edges of a node.
        complement: in the P-mode what does not go right goes down, 1 - a s and 1 - a t, and not (1 - a) s and
            (1 - a) t; its angles are a = sigmoid(b + W x / (2 width)).
        norm: 'mean' for the norm of the mean over flips, 'each' for the mean of the norms.

    Raises:
        NeurosimInputError: no such mode, chirality or norm, an option of the other mode, or a width that the heads do
            not divide.
    """

    def __init__(
        self,
        width: int,
        num_heads: int = 4,
        mode: str = "directional",
        *,
        chirality: str = "R",
        by_direction: bool = False,
        complement: bool = False,
        norm: str = "mean",
    ) -> None:
        super().__init__()
        self.heads = num_heads
        self.size = divide(width, num_heads, "PLSTM2D.width")
        self.gates = lookup(MODES, mode, "PLSTM2D.mode")
        self.norm_each = lookup(NORMS, norm, "PLSTM2D.norm")
        turned = lookup(TURNS, chirality, "PLSTM2D.chirality")
        is_diffusive = mode == "diffusive"
        if is_diffusive:
            require(not complement, "PLSTM2D.complement", "needs mode 'directional'", mode)
            self.gates = turned
        else:
            require(not by_direction, "PLSTM2D.by_direction", "needs mode 'diffusive'", mode)
            require(chirality == "R", "PLSTM2D.chirality", "'L' needs mode 'diffusive'", mode)
        self.q_proj, self.k_proj, self.v_proj, self.o_proj = (linear(width, width) for _ in range(4))
        gates = 7 if by_direction else 5
        self.edge_proj = linear(width, 4 * num_heads * gates, True)
        # Gates begin the same at every position: first the straight edges, then the inputs and the turns.
        nn.init.zeros_(self.edge_proj.weight)
        with torch.no_grad():
            first = self.edge_proj.bias.zero_().view(4, num_heads, gates)
            first[..., 1] = DIRECT
            if is_diffusive:
                first[..., 3:5] = DIRECT
            else:
                first[..., 3] = torch.linspace(-ANGLES, ANGLES, num_heads)
        self.direct = nn.Parameter(torch.ones(num_heads))
        self.norm = nn.RMSNorm(self.size, 1e-5)
        self.angle_scale = 1.0
        if complement:
            self.gates = _complement
            self.angle_scale = ANGLE_SCALE / width

    def edges(self, x: Tensor) -> Tensor:
        """Return the gates [B, X, Y, flips, H, gates] in (0, 1)."""
        logits = self.edge_proj(x).unflatten(-1, (4, self.heads, -1))
        if self.angle_scale != 1:
            first = self.edge_proj.bias.view(4, self.heads, -1)[..., 3]
            # Angles scarcely depend on x: what a step of Adam changes in W counts 1 / (2 width) here.
            angle = first + self.angle_scale * (logits[..., 3] - first)
            logits = torch.cat([logits[..., :3], angle[..., None], logits[..., 4:]], -1)
        return logits.sigmoid()

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (split_heads(layer(x), self.size) for layer in (self.q_proj, self.k_proj, self.v_proj))
        q = q * self.size**-0.5
        edges = self.edges(x)
        out = ((q * k).sum(-1) * self.direct)[..., None] * v
        flips = ((), (1,), (2,), (1, 2))
        # The four flips are computed side by side, as one batch.
        each = [(q, k, v, *self.gates(edges[..., n, :, :])) for n in range(len(flips))]
        parts = (
            torch.cat([part.flip(axes) for part, axes in zip(same, flips, strict=True)])
            for same in zip(*each, strict=True)
        )
        flows = [flow.flip(axes) for flow, axes in zip(over_grid(*parts).chunk(len(flips)), flips, strict=True)]
        if self.norm_each:
            normed = torch.stack([self.norm(out + flow) for flow in flows])
            return self.o_proj(normed.mean(0).flatten(-2))
        for flow in flows:
            out = out + flow / len(flips)
        return self.o_proj(self.norm(out).flatten(-2))
