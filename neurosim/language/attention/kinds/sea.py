"""SEA: softmax attention over the few keys that a linear estimate of the attention matrix points at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ....base.errors import require
from ....base.rules import Rule
from ....kernels.layers.picks.launch import attend_to_picks
from ....kernels.layers.picks.reference import PICK_NONE
from . import chunks
from .base import Inputs, Shared, State
from .growing import appended
from .modules import ShortConv, linear, repeat_heads
from .nested import spread_over
from .softmax import SoftmaxAttention

DISTILLED = 0.1  # weight of the loss of the estimate
ROWS = 256  # rows of the attention of a sequence that the estimate learns from
OPEN = 4.0  # first bias of the mix: sigmoid(4) = 0.98 of the output comes from the selected keys


@dataclass(eq=False, repr=False, kw_only=True)
class SEA(SoftmaxAttention):
    """o = m softmax(q K^T / sqrt(K)) V over `topk` keys + (1 - m) mean of v so far (Lee et al. 2024, 2310.01777).

    Linear attention of q, k and v, positive by elu + 1, and v itself pass an MLP and a causal convolution to scores of
    `columns` parts of the tokens so far, whose softmax p estimates a row of the attention matrix. The keys in the parts
    of highest p are chosen, of one part the latest first. m = s(w . context) for each head. `auxiliary` trains p on the
    layer's own attention: relative entropy from its rows, summed over the parts; the choice itself has no gradient. Of
    a longer sequence these are 256 rows at equal distances, so that time grows with the tokens, and not their pairs.

    Args:
        topk: keys that a token sees.
        columns: parts of a row.
        hidden: channels of the MLP of a head.
    """

    why_not_parallel = "its keys of earlier tokens lie in other processes"

    topk: Annotated[int, Rule(">= 1 keys")] = 32
    columns: Annotated[int, Rule("> 0")] = 64
    hidden: Annotated[int, Rule("> 0")] = 64

    def build(self) -> None:
        require(self.window_size == 0, self.name("window_size"), "must be 0: any key may be chosen", self.window_size)
        super().build()
        self.estimate = nn.Sequential(linear(2 * self.v_size, self.hidden, True), nn.GELU())
        self.columns_proj = linear(self.hidden, self.columns, True)
        self.conv1d = ShortConv(self.num_heads * self.columns, 3, activation=None)
        self.mix_proj = linear(self.v_size, 1, True)
        nn.init.constant_(self.mix_proj.bias, OPEN)

    def initial(self, x: Tensor) -> State:
        sums = x.new_zeros(len(x), self.num_heads, self.k_size, self.v_size + 1)
        total = x.new_zeros(len(x), self.num_heads, self.v_size + 1)
        return super().initial(x) | {"sums": sums, "total": total, "tail": self.conv1d.initial(x)}

    def project(self, x: Tensor, state: State, shared: Shared) -> tuple[Inputs, State]:
        inputs, after = super().project(x, state, shared)
        k, v = (repeat_heads(inputs[name], self.groups) for name in "kv")
        ones = torch.cat([v, torch.ones_like(v[..., :1])], -1)
        # Linear attention with the kernel phi = elu + 1; the column of ones beside v is its normaliser.
        sums, context = chunks.additive(F.elu(inputs["q"]) + 1, F.elu(k) + 1, ones, state["sums"], None, self.chunk)
        # o of linear attention, from which an MLP estimates the row of the attention matrix.
        context = context[..., :-1] / context[..., -1:]
        scores = self.columns_proj(self.estimate(torch.cat([context, v], -1)))
        scores, tail = self.conv1d(scores.flatten(2), state["tail"])
        length = state["position"] + torch.arange(1, x.shape[1] + 1, device=x.device)
        # Sums of the values so far and, in the last column, the number of tokens: their mean.
        total = state["total"][:, None] + ones.cumsum(1)
        log_p = scores.unflatten(-1, (self.num_heads, self.columns)).log_softmax(-1)
        # Rows of attention are known only where the keys of all tokens are in x.
        if self.training and torch.is_grad_enabled() and x.shape[1] == int(length[-1]):
            self.auxiliary = DISTILLED * self._distance(inputs["q"].detach(), k.detach(), log_p)
        inputs |= {"log_p": log_p.detach(), "mix": self.mix_proj(context).sigmoid()}
        inputs |= {"mean": total[..., :-1] / total[..., -1:], "length": length.expand(len(x), -1)}
        return inputs, after | {"sums": sums, "total": total[:, -1], "tail": tail}

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
        after, out = self.chunked(memory, {name: value[:, None] for name, value in inputs.items()})
        return after, out[:, 0]

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
