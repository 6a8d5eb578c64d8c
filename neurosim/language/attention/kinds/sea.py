"""SEA: softmax attention over the few keys that a linear estimate of the attention matrix points at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ....base.errors import require
from ....base.rules import Rule
from ....kernels.decode.attention import sparse
from ....kernels.decode.vectors import rows as row_kernels
from ....kernels.layers.picks.launch import attend_to_picks
from ....kernels.layers.picks.reference import PICK_NONE
from . import chunks
from .base import Inputs, Shared, State
from .compiled import Channels, Heads, Step
from .growing import appended
from .modules import linear, repeat_heads
from .nested import spread_over
from .softmax import SoftmaxAttention
from .tracing import compiles, leaf

DISTILLED = 0.1  # weight of the loss of the estimate
ROWS = 256  # rows of the attention of a sequence that the estimate learns from
OPEN = 4.0  # first bias of the mix: sigmoid(4) = 0.98 of the output comes from the selected keys
DILATION = 2  # rows and columns from tap to tap of a convolution
REPEATS = 4  # columns that one column of the convolutions stands for
CHANNELS = 2  # channels of the convolutions for each head


class RowConv(nn.Module):
    """A convolution of 3 x 3 taps over rows of columns, causal in time, its taps `DILATION` apart.

    y[t, o, c] = b_o + sum over i, r, s of w[o, i, r, s] x[t - 2 (2 - r), i, c + 2 (s - 1)], 0 beyond the columns and
    before the first row. A row is one product with a matrix: parts are few.

    Args:
        channels: inputs and outputs of a column.
        parts: columns of a row.
    """

    def __init__(self, channels: int, parts: int) -> None:
        super().__init__()
        self.parts = parts
        # As torch starts a convolution of this many inputs.
        bound = (9 * channels) ** -0.5
        self.weight = nn.Parameter(torch.empty(channels, channels, 3, 3).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(channels).uniform_(-bound, bound))

    def initial(self, x: Tensor) -> Tensor:
        """Return [B, 4, channels parts] zeros: the rows before the first."""
        return x.new_zeros(len(x), 2 * DILATION, self.weight.shape[0] * self.parts)

    def forward(self, x: Tensor, tail: Tensor) -> tuple[Tensor, Tensor]:
        """Return (y [B, T, channels parts], the new tail) from x of that shape and the rows before it."""
        known = torch.cat([tail, x], 1)
        length = x.shape[1]
        taps = torch.cat([known[:, begin : begin + length] for begin in (0, DILATION, 2 * DILATION)], -1)
        # [3, parts, parts]: the column that each tap reads.
        column = torch.arange(self.parts, device=x.device)
        shifts = torch.stack([column[:, None] + DILATION * tap == column for tap in (-1, 0, 1)])
        # Rows of the matrix are [channel, column], its columns [tap of time, channel, column].
        matrix = torch.einsum("oirs,scd->ocrid", self.weight, shifts.to(self.weight))
        bias = self.bias.repeat_interleave(self.parts)
        y = F.linear(taps, matrix.flatten(2).flatten(0, 1).to(taps.dtype), bias.to(taps.dtype))
        return y, known[:, length:]


class RowDecoder(nn.Module):
    """Scores of the columns of a row of attention from few numbers of each head, with the rows before it.

    Two `RowConv` over `CHANNELS` channels of every head and a quarter of the columns, relu behind each; heads are mixed
    column by column, and every column repeated `REPEATS` times. Both ends are normalised over columns (Lee et al.).
    """

    def __init__(self, heads: int, columns: int) -> None:
        super().__init__()
        self.heads = heads
        self.columns = columns
        self.parts = -(-columns // REPEATS)
        channels = CHANNELS * heads
        self.norm_in = nn.LayerNorm(self.parts)
        self.conv1 = RowConv(channels, self.parts)
        self.conv2 = RowConv(channels, self.parts)
        # As torch starts a linear layer of this many inputs.
        self.mix = nn.Parameter(torch.empty(heads, channels).uniform_(-1, 1) * channels**-0.5)
        self.mix_bias = nn.Parameter(torch.zeros(heads))
        self.norm_out = nn.LayerNorm(columns)

    def forward(self, x: Tensor, tails: tuple[Tensor, Tensor]) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Return (scores [B, T, H, columns], new tails) from x [B, T, H, CHANNELS parts]."""
        rows = self.norm_in(x.unflatten(-1, (CHANNELS, self.parts))).flatten(2)
        rows, first = self.conv1(rows, tails[0])
        rows, second = self.conv2(torch.relu(rows), tails[1])
        # [H parts, channels parts]: the same mix of channels in every column.
        mix = torch.einsum("hi,cd->hcid", self.mix, torch.eye(self.parts).to(self.mix))
        bias = self.mix_bias.repeat_interleave(self.parts)
        mixed = F.linear(torch.relu(rows), mix.flatten(2).flatten(0, 1).to(rows.dtype), bias.to(rows.dtype))
        mixed = mixed.unflatten(-1, (self.heads, self.parts, 1))
        repeated = mixed.expand(*mixed.shape[:-1], REPEATS).flatten(-2)[..., : self.columns]
        return self.norm_out(repeated), (first, second)


class LearntPositions(nn.Module):
    """A learnt vector for each of the first tokens of a text; later tokens have that of the last."""

    def __init__(self, count: int, size: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(count, size))

    @leaf
    def forward(self, x: Tensor, position: Tensor) -> Tensor:
        """Return [B, T, size] of tokens x [B, T, ..], the first of them at `position` []."""
        place = position + torch.arange(x.shape[1], device=x.device)
        rows = self.weight[place.clamp(max=len(self.weight) - 1)]
        return rows.to(x.dtype).expand(len(x), -1, -1)


@compiles(LearntPositions.forward)
def _placed(step: Step, layer: LearntPositions, x: Tensor, position: Tensor) -> Tensor:
    step.require_own(position)
    count, width = layer.weight.shape
    out = step.value(1, width)
    step.append(row_kernels.look_up, Channels(width), {}, {"out": out}, table=layer.weight, count=count, width=width)
    return out


@dataclass(eq=False, repr=False, kw_only=True)
class SEA(SoftmaxAttention):
    """o = m softmax(q K^T / sqrt(K)) V over `topk` keys + (1 - m) mean of v so far (Lee et al. 2024, 2310.01777).

    Linear attention of q, k and v, positive by elu + 1, and v itself pass an MLP and convolutions over rows and columns
    (`RowDecoder`) to scores of `columns` parts of the tokens so far, whose softmax p estimates a row of the attention
    matrix. The keys in the parts of highest p are chosen, of one part the latest first. m = s(w . context) for each
    head. `auxiliary` trains p on the layer's own attention: relative entropy from its rows, summed over the parts; the
    choice itself has no gradient. Of a longer sequence these are 256 rows at equal distances, so that time grows with
    the tokens, and not their pairs.

    Args:
        topk: keys that a token sees.
        columns: parts of a row.
        hidden: channels of the MLP of a head.
        learnt_positions: P, tokens with a vector of their own that linear attention sums up beside v, so that the
            estimate knows where its keys lie. The source has 2,048; 0: none.
    """

    why_not_parallel = "its keys of earlier tokens lie in other processes"

    topk: Annotated[int, Rule(">= 1 keys")] = 32
    columns: Annotated[int, Rule("> 0")] = 64
    hidden: Annotated[int, Rule("> 0")] = 64
    learnt_positions: Annotated[int, Rule(">= 0 tokens")] = 0

    def build(self) -> None:
        require(self.window_size == 0, self.name("window_size"), "must be 0: any key may be chosen", self.window_size)
        super().build()
        count = self.learnt_positions
        self.positions = LearntPositions(count, self.v_size) if count else None
        # Sums of linear attention, of values and positions, and the value of the token itself.
        seen = (3 if count else 2) * self.v_size
        self.estimate = nn.Sequential(linear(seen, self.hidden, bias=True), nn.LayerNorm(self.hidden), nn.GELU())
        self.rows = RowDecoder(self.num_heads, self.columns)
        self.rows_proj = linear(self.hidden, CHANNELS * self.rows.parts, bias=True)
        self.mix_proj = linear(self.v_size, 1, bias=True)
        nn.init.constant_(self.mix_proj.bias, OPEN)

    def initial(self, x: Tensor) -> State:
        summed = (2 if self.learnt_positions else 1) * self.v_size
        sums = x.new_zeros(len(x), self.num_heads, self.k_size, summed + 1)
        total = x.new_zeros(len(x), self.num_heads, self.v_size + 1)
        tails = {"tail": self.rows.conv1.initial(x), "hidden_tail": self.rows.conv2.initial(x)}
        return super().initial(x) | {"sums": sums, "total": total, **tails}

    def project(self, x: Tensor, state: State, shared: Shared) -> tuple[Inputs, State]:
        inputs, after = super().project(x, state, shared)
        k, v = (repeat_heads(inputs[name], self.groups) for name in "kv")
        ones = torch.cat([v, torch.ones_like(v[..., :1])], -1)
        summed = ones
        if self.positions is not None:
            places = self.positions(x, state["position"])[:, :, None]
            summed = torch.cat([repeat_heads(places, self.num_heads), ones], -1)
        # Linear attention with the kernel phi = elu + 1; the column of ones beside v is its normaliser.
        sums, context = chunks.additive(F.elu(inputs["q"]) + 1, F.elu(k) + 1, summed, state["sums"], None, self.chunk)
        # o of linear attention, from which an MLP estimates the row of the attention matrix.
        context = context[..., :-1] / context[..., -1:]
        estimate = self.rows_proj(self.estimate(torch.cat([context, v], -1)))
        scores, tails = self.rows(estimate, (state["tail"], state["hidden_tail"]))
        length = state["position"] + torch.arange(1, x.shape[1] + 1, device=x.device)
        # Sums of the values so far and, in the last column, the number of tokens: their mean.
        total = state["total"][:, None] + ones.cumsum(1)
        log_p = scores.log_softmax(-1)
        # Rows of attention are known only where the keys of all tokens are in x.
        if self.training and torch.is_grad_enabled() and x.shape[1] == int(length[-1]):
            self.auxiliary = DISTILLED * self._distance(inputs["q"].detach(), k.detach(), log_p)
        inputs |= {"log_p": log_p.detach(), "mix": self.mix_proj(context[..., -self.v_size :]).sigmoid()}
        inputs |= {"mean": total[..., :-1] / total[..., -1:], "length": length.expand(len(x), -1)}
        return inputs, after | {"sums": sums, "total": total[:, -1], "tail": tails[0], "hidden_tail": tails[1]}

    def _parts(self, length: Tensor, count: int) -> Tensor:
        """Return [.., count] the part of each token in rows of `length` [..] tokens; later tokens have none in it."""
        token = torch.arange(count, device=length.device)
        # Token j of a row of n tokens lies in part floor(j columns / n).
        return (token * self.columns // length[..., None]).clamp(max=self.columns - 1)

    def _distance(self, q: Tensor, k: Tensor, log_p: Tensor) -> Tensor:
        """Return the relative entropy of rows of attention, summed over parts, to the estimate [B, T, H, columns]."""
        count = q.shape[1]
        rows = spread_over(count, ROWS, q.device)
        future = torch.arange(count, device=q.device) > rows[:, None]
        attention = torch.einsum("bthk,bjhk->bhtj", q[:, rows], k) * self.k_size**-0.5
        attention = attention.masked_fill(future, -torch.inf).softmax(-1)
        parts = self._parts(rows + 1, count).expand_as(attention)
        log_p = log_p[:, rows].movedim(2, 1)
        target = torch.zeros_like(log_p).scatter_add(-1, parts, attention)
        # sum p (log p - log q), 0 log 0 = 0
        return (torch.xlogy(target, target) - target * log_p).sum(-1).mean()

    def recur(self, memory: Tensor, inputs: Inputs) -> tuple[Tensor, Tensor]:
        return self.one_by_chunked(memory, inputs)

    def compiled(self, step: Step, memory: Tensor, inputs: Inputs) -> Tensor | None:
        heads = self.num_heads
        attended = step.value(heads, self.k_size)
        step.append(
            sparse.attend_best_parts,
            Heads(self.kv_heads),
            {"q": inputs["q"], "k": inputs["k"], "v": inputs["v"], "part_values": inputs["log_p"]},
            {"out": attended},
            cache=self.cache(),
            parts=self.columns,
            picked=self.topk,
            picks=step.scratch(self.columns + self.topk, "int32"),
        )
        mean = inputs["mean"]
        return mean + inputs["mix"] * (attended - mean)

    def chunked(self, memory: Tensor, inputs: Inputs) -> tuple[Tensor, Tensor]:
        known = appended(memory, torch.cat([inputs["k"], inputs["v"]], -1))
        picks = self._picks(inputs["log_p"], inputs["length"][0])
        out = attend_to_picks(inputs["q"], known, picks, self.v_size)
        return known, inputs["mix"] * out + (1 - inputs["mix"]) * inputs["mean"]

    def _picks(self, log_p: Tensor, length: Tensor) -> Tensor:
        """Return the tokens [B, T, H, topk] that each of T tokens sees, PICK_NONE where there are fewer.

        Args:
            log_p: [B, T, H, columns].
            length: [T], tokens up to each.
        """
        columns = self.columns
        # Part p of n tokens begins at token ceil(p n / columns): [T, columns + 1].
        first = -(-torch.arange(columns + 1, device=length.device) * length[:, None] // columns)
        sizes = first.diff(dim=-1)
        # Parts of highest p first, and the latest first among equals: a stable sort of the parts from the end.
        order = columns - 1 - log_p.flip(-1).argsort(dim=-1, descending=True, stable=True)
        sizes = sizes[:, None].expand_as(order).gather(-1, order)
        ends = sizes.cumsum(-1)
        rank = torch.arange(self.topk, device=length.device).expand(*order.shape[:-1], -1).contiguous()
        # The pick of rank r lies in the first part whose tokens, with those of the parts before it, are more than r.
        place = torch.searchsorted(ends, rank, right=True)
        absent = place == columns
        place = place.clamp(max=columns - 1)
        before = (ends - sizes).gather(-1, place)
        last = first[:, None].expand(*order.shape[:-1], -1).gather(-1, order.gather(-1, place) + 1) - 1
        return (last - (rank - before)).masked_fill(absent, PICK_NONE)
