"""pLSTM over grids: states flow along rows and columns of an image."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrize

from ....base.errors import lookup, require
from .modules import divide, linear, split_heads
from .plstm import DIRECT, MatrixGates

ANGLES = 2.0  # first biases of the angles: of the heads in turn, from this below 0 to this above, as published
ANGLE_SCALE = 0.5  # of W x / D beside the first angles of the complement, as in the source's code
CLOSED = -4.0  # first biases of sources and marks, and of the direct weight, in the source's models of images
CLOSED_DIRECT = -6.0


def over_grid(q: Tensor, k: Tensor, v: Tensor, source: Tensor, transition: Tensor, mark: Tensor) -> Tensor:
    """Return o [B, X, Y, H, V] of a state that flows to the right and down over a grid, node by node.

    An edge that leaves a node brings C_out = sum_in t[in, out] C_in + s[out] k v^T to the next; o = sum_in m[in] C_in^T
    q. With J states an edge, t is a matrix of them, s and m are vectors. The nodes of an antidiagonal are computed at
    once, X + Y - 1 in turn. With fewer than K V nodes the edges bring the weight of each node before instead, the sum
    over all paths from it: o = sum_n w_n (q . k_n) v_n.

    Args:
        q, k, v: [B, X, Y, H, K] and [.., V].
        source: s [B, X, Y, H, 2] or [.., 2, J], out to the next column (right) and row (down).
        transition: t [B, X, Y, H, 2, 2] or [.., 2, 2, J, J], in from the column (left) and row (up) before, then out;
            of a matrix the row is the state that leaves.
        mark: m [B, X, Y, H, 2] or [.., 2, J].
    """
    if source.ndim == q.ndim:
        source = source[..., None]
        transition = transition[..., None, None]
        mark = mark[..., None]
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
    states = source.shape[-1]
    # One product a node: rows are the states that leave to the right and down, then the mark; columns those that come.
    leaving = transition.movedim(-4, -2).flatten(-4, -3).flatten(-2)
    ways = torch.cat([leaving, mark.flatten(-2)[..., None, :]], -2)
    q, k, v, source, ways = map(_sheared, (q, k, v, source.flatten(-2), ways))
    shape = (*k[0].shape, v.shape[-1])
    state = v.new_zeros(*shape[:-2], 2 * states, shape[-2] * shape[-1])
    outputs = []
    for query, key, value, sent, way in zip(*(x.unbind(0) for x in (q, k, v, source, ways)), strict=True):
        # C of the edges to the right and down, and the marked sum that this node reads.
        right, down, read_out = (way @ state).split([states, states, 1], -2)
        outputs.append((query[..., None, :] @ read_out.view(shape))[..., 0, :])
        new = (key[..., None] * value[..., None, :]).flatten(-2)[..., None, :]
        right = right + sent[..., :states, None] * new
        down = down + sent[..., states:, None] * new
        # Right stays in its row x, down goes to the next.
        state = torch.cat([right, F.pad(down[:, :-1], (0, 0, 0, 0, 0, 0, 1, 0))], -2)
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


class EdgeGates(NamedTuple):
    """Gates of the nodes of an image in (0, 1), with J states an edge.

    Attributes:
        source: [.., 1, J], of both edges that leave a node, or [.., 2, J] to the right and down.
        transition: [.., 1, J, J]; in the D-mode [.., 3, J, J], from left to right, down, and the turn.
        mark: [.., 1, J], of both edges that reach a node, or [.., 2, J] from the left and above.
        angle: [..] of the P-mode; in the D-mode an empty tensor.
    """

    source: Tensor
    transition: Tensor
    mark: Tensor
    angle: Tensor

    def of_flip(self, n: int) -> EdgeGates:
        """Return the gates of one flip, of those of all [B, X, Y, flips, H, ..]."""
        angle = self.angle[..., n, :] if self.angle.numel() else self.angle
        source, transition, mark = (gate[:, :, :, n] for gate in self[:3])
        return EdgeGates(source, transition, mark, angle)


class Places(NamedTuple):
    """Places of the gates of a flip and head among the outputs of a layer; `transition` is empty for matrices."""

    source: list[int]
    mark: list[int]
    angle: int
    transition: list[int]


def _of_both(gate: Tensor) -> Tensor:
    """Return [.., 2, J] of the gates of both edges, [.., 1 or 2, J]."""
    return gate.expand(*gate.shape[:-2], 2, -1)


def _directional(edges: EdgeGates) -> tuple[Tensor, Tensor, Tensor]:
    """Return s, t and m of the P-mode: an angle splits what leaves a node between right and down: nothing grows."""
    shares = torch.stack([edges.angle, 1 - edges.angle], -1)[..., None]
    rows = edges.transition * shares[..., None]
    both = rows[..., None, :, :, :].expand(*rows.shape[:-3], 2, *rows.shape[-3:])
    return edges.source * shares, both, _of_both(edges.mark)


def _complement(edges: EdgeGates) -> tuple[Tensor, Tensor, Tensor]:
    """Return s, t and m of the P-mode in the source's code: right a s and a t, down 1 - a s and 1 - a t."""
    angle = edges.angle[..., None, None]
    right = angle * edges.source
    row = angle[..., None] * edges.transition
    rows = torch.cat([row, 1 - row], -3)
    both = rows[..., None, :, :, :].expand(*rows.shape[:-3], 2, *rows.shape[-3:])
    return torch.cat([right, 1 - right], -2), both, _of_both(edges.mark)


def _diffusive(edges: EdgeGates) -> tuple[Tensor, Tensor, Tensor]:
    """Return s, t and m of the D-mode: straight on both ways, and one of the two turns, from left to down."""
    right, down, turn = edges.transition.unbind(-3)
    rows = [torch.stack([right, turn], -3), torch.stack([torch.zeros_like(right), down], -3)]
    return _of_both(edges.source), torch.stack(rows, -4), _of_both(edges.mark)


def _turning_left(edges: EdgeGates) -> tuple[Tensor, Tensor, Tensor]:
    """Return `_diffusive` with the other turn, from above to the right."""
    source, transition, mark = _diffusive(edges)
    return source, transition.transpose(-3, -4), mark


MODES = {"diffusive": _diffusive, "directional": _directional}
TURNS = {"L": _turning_left, "R": _diffusive}
# Share of each flip in what one norm sees; None: each flip has its norm.
NORMS = {"mean": 0.25, "sum": 1.0, "each": None}


class Masked(nn.Module):
    """W times a mask: outputs see some of the inputs."""

    mask: Tensor

    def __init__(self, mask: Tensor) -> None:
        super().__init__()
        self.register_buffer("mask", mask, persistent=False)

    def forward(self, weight: Tensor) -> Tensor:
        return weight * self.mask


class PLSTM2D(nn.Module):
    """pLSTM over an image: y = W_o norm(o), o the mean over four flips of `over_grid` plus d (q . k) v.

    `layer(x)`, x [B, X, Y, width] to y alike, any X and Y. The gates are sigmoids of W x, for each flip and head. The
    source's code has `complement=True` in the P-mode, in the D-mode `by_direction=True` and `chirality="L"`, and
    `states=1`. Beside them its models of images have `closed=True` and `norm="sum"`, its single layer `norm="each"`,
    `conv_size=3` and `passthrough=True`.

    Args:
        mode: 'directional' (P) for what travels along a line, or 'diffusive' (D) for what spreads.
        chirality: turn of the D-mode: 'R' from left to down, 'L' from above to the right.
        by_direction: sources and marks of the D-mode differ between the two edges of a node.
        complement: in the P-mode what does not go right goes down, 1 - a s and 1 - a t, and not (1 - a) s and
            (1 - a) t; its angles are a = sigmoid(b + W x / (2 width)).
        norm: 'mean' for the norm of the mean over flips, 'sum' for that of their sum, 'each' for the mean of the norms.
        states: J, number of states of an edge, which `MatrixGates` mix: transitions are matrices, sources and marks
            vectors of J. None: one state, whose transition is a sigmoid.
        conv_size: rows and columns of a convolution of each channel, over the squares up to each; q, k and the gates
            see its output, v sees x. 0: none.
        passthrough: add each channel of x to y times a weight, 1 at first.
        closed: sources and marks begin at sigmoid(-4) in place of 1/2, and d at sigmoid(-6), a sigmoid of a weight, in
            place of 1. The gates of a flip and head see a part of x alone, width / (4 num_heads) channels; angles see
            all.

    Raises:
        NeurosimInputError: no such mode, chirality or norm, an option of the other mode, a size out of range, or a
            width that the heads, of closed gates the heads and flips, do not divide.
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
        states: int | None = None,
        conv_size: int = 0,
        passthrough: bool = False,
        closed: bool = False,
    ) -> None:
        super().__init__()
        self.heads = num_heads
        self.size = divide(width, num_heads, "PLSTM2D.width")
        self.gates = lookup(MODES, mode, "PLSTM2D.mode")
        self.share = lookup(NORMS, norm, "PLSTM2D.norm")
        turned = lookup(TURNS, chirality, "PLSTM2D.chirality")
        self.is_diffusive = mode == "diffusive"
        if self.is_diffusive:
            require(not complement, "PLSTM2D.complement", "needs mode 'directional'", mode)
            self.gates = turned
        else:
            require(not by_direction, "PLSTM2D.by_direction", "needs mode 'diffusive'", mode)
            require(chirality == "R", "PLSTM2D.chirality", "'L' needs mode 'diffusive'", mode)
        require(states is None or states >= 1, "PLSTM2D.states", "must be >= 1 or None", states)
        require(conv_size >= 0, "PLSTM2D.conv_size", "must be >= 0 squares", conv_size)
        self.q_proj, self.k_proj, self.v_proj, self.o_proj = (linear(width, width) for _ in range(4))
        self.states = states or 1
        self._add_gates(states, pair=2 if by_direction else 1)
        self.direct = nn.Parameter(torch.ones(num_heads))
        self.closed = closed
        if closed:
            self._close()
        self.norm = nn.RMSNorm(self.size, 1e-5)
        self.angle_scale = 1.0
        if complement:
            self.gates = _complement
            self.angle_scale = ANGLE_SCALE / width
        self.conv: nn.Conv2d | None = None
        if conv_size:
            self.conv = nn.Conv2d(width, width, conv_size, padding=conv_size - 1, groups=width)
        self.passthrough = nn.Parameter(torch.ones(width)) if passthrough else None

    def _add_gates(self, states: int | None, pair: int) -> None:
        """Add the layers from x to the gates; sources and marks have one gate, or a `pair` for both edges of a node."""
        width = self.q_proj.in_features
        ways = 3 if self.is_diffusive else 1
        if states is None:
            # source, to the right, mark, then angle (P) or down and turn (D), source down and mark from above
            self.places = Places([0, 5][:pair], [2, 6][:pair], 3, [1, 3, 4][:ways])
            self.transitions = None
            gates = 7 if pair == 2 else 5
        else:
            count = pair * states
            self.places = Places([*range(count)], [*range(count, 2 * count)], 2 * count, [])
            self.transitions = MatrixGates(width, 4 * self.heads * ways, states)
            gates = 2 * count if self.is_diffusive else 2 * count + 1
        self.edge_proj = linear(width, 4 * self.heads * gates, bias=True)
        # Gates begin the same at every position: first the straight edges, then the inputs and the turns.
        nn.init.zeros_(self.edge_proj.weight)
        with torch.no_grad():
            first = self.edge_proj.bias.zero_().view(4, self.heads, gates)
            first[..., self.places.transition] = DIRECT
            if not self.is_diffusive:
                # Heads begin at other angles, so that they look in other directions.
                first[..., self.places.angle] = torch.linspace(-ANGLES, ANGLES, self.heads)

    @torch.no_grad()
    def _close(self) -> None:
        """Begin with gates that are nearly closed, each of which sees a part of the channels."""
        flips_heads = 4 * self.heads
        width = self.edge_proj.in_features
        size = divide(width, flips_heads, "PLSTM2D.width")
        nn.init.constant_(self.direct, CLOSED_DIRECT)
        first = self.edge_proj.bias.view(flips_heads, -1)
        first[:, [*self.places.source, *self.places.mark]] = CLOSED
        sight = torch.eye(flips_heads).repeat_interleave(size, 1)
        layers = [(self.edge_proj, 1)]
        if self.transitions is not None:
            # Rotations are two for each transition, the outputs of one before those of the other.
            layers += [(self.transitions.scale_proj, 1)]
            layers += [] if self.transitions.turn_proj is None else [(self.transitions.turn_proj, 2)]
        for layer, sets in layers:
            mask = sight[:, None].repeat(sets, layer.out_features // (sets * flips_heads), 1)
            if layer is self.edge_proj and not self.is_diffusive:
                mask[:, self.places.angle] = 1
            parametrize.register_parametrization(layer, "weight", Masked(mask.flatten(0, 1)))

    def edges(self, x: Tensor) -> EdgeGates:
        """Return the gates of each flip and head, [B, X, Y, flips, H, ..]."""
        logits = self.edge_proj(x).unflatten(-1, (4, self.heads, -1))
        gates = logits.sigmoid()
        if self.transitions is None:
            transition = gates[..., self.places.transition, None, None]
        else:
            transition = self.transitions(x).unflatten(-3, (4, self.heads, -1))
        sources = gates[..., self.places.source].unflatten(-1, (-1, self.states))
        marks = gates[..., self.places.mark].unflatten(-1, (-1, self.states))
        return EdgeGates(sources, transition, marks, self._angles(logits))

    def _angles(self, logits: Tensor) -> Tensor:
        """Return the angles of the P-mode; in the D-mode an empty tensor."""
        if self.is_diffusive:
            return logits.new_empty(0)
        angles = logits[..., self.places.angle]
        if self.angle_scale != 1:
            first = self.edge_proj.bias.view(4, self.heads, -1)[..., self.places.angle]
            # Angles scarcely depend on x: what a step of Adam changes in W counts 1 / (2 width) here.
            angles = first + self.angle_scale * (angles - first)
        return angles.sigmoid()

    def forward(self, x: Tensor) -> Tensor:
        seen = x
        if self.conv is not None:
            # The square itself and those to the left and above.
            rows, columns = x.shape[1:3]
            seen = self.conv(x.movedim(-1, 1))[..., :rows, :columns].movedim(1, -1)
        layers = ((self.q_proj, seen), (self.k_proj, seen), (self.v_proj, x))
        q, k, v = (split_heads(layer(values), self.size) for layer, values in layers)
        q = q * self.size**-0.5
        edges = self.edges(seen)
        direct = self.direct.sigmoid() if self.closed else self.direct
        out = ((q * k).sum(-1) * direct)[..., None] * v
        flips = ((), (1,), (2,), (1, 2))
        # The four flips are computed side by side, as one batch.
        each = [(q, k, v, *self.gates(edges.of_flip(n))) for n in range(len(flips))]
        parts = (
            torch.cat([part.flip(axes) for part, axes in zip(same, flips, strict=True)])
            for same in zip(*each, strict=True)
        )
        flows = [flow.flip(axes) for flow, axes in zip(over_grid(*parts).chunk(len(flips)), flips, strict=True)]
        if self.share is None:
            normed = torch.stack([self.norm(out + flow) for flow in flows]).mean(0)
        else:
            for flow in flows:
                out = out + self.share * flow
            normed = self.norm(out)
        y = self.o_proj(normed.flatten(-2))
        return y if self.passthrough is None else y + self.passthrough * x
