"""Local linear attention: the value that a weighted linear regression on the keys predicts at the query."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ....base.rules import Rule
from ....kernels.decode.attention import windows
from .base import Inputs
from .compiled import Heads, Step
from .modules import repeat_heads
from .softmax import SoftmaxAttention
from .windows import Blocks


def regress_locally(scores: Tensor, q: Tensor, keys: Tensor, values: Tensor, ridge: Tensor) -> Tensor:
    """Return the intercept b of min_{b, W} sum_j w_j |v_j - b - W (k_j - q)|^2 + ridge |W|^2.

    w_j = e^(score_j - max). With the means k' and v' under the weights p = w / sum w, the intercept is

        b = v' + sum_j p_j v_j (k_j - k') . r,   r = (sum_j p_j k_j k_j^T - k' k'^T + ridge / sum w)^-1 (q - k')

    which is what the paper writes around q instead of k': around k' the matrix is no difference of large numbers.

    Args:
        scores: [.., T, N], -inf where a key is not seen.
        q: [.., T, K].
        keys, values: [.., N, K] and [.., N, V].
        ridge: [.., 1, 1].
    """
    p = scores.softmax(-1)
    total = (scores - scores.amax(-1, keepdim=True)).exp().sum(-1, keepdim=True)
    # k' and v', the means under p
    centre = p @ keys
    mean = p @ values
    squares = keys[..., :, None] * keys[..., None, :]
    # sum_j p_j k_j k_j^T - k' k'^T: the covariance of the keys under p
    second = (p @ squares.flatten(-2)).unflatten(-1, squares.shape[-2:])
    spread = second - centre[..., :, None] * centre[..., None, :]
    eye = torch.eye(q.shape[-1], dtype=q.dtype, device=q.device)
    # The weights are relative to their maximum, so that the ridge does not depend on the size of the scores.
    r = torch.linalg.solve(spread + (ridge / total)[..., None] * eye, q - centre)
    # v' + sum_j p_j ((k_j - k') . r) v_j
    return mean + (p * (r @ keys.mT - (r * centre).sum(-1, keepdim=True))) @ values


@dataclass(eq=False, repr=False, kw_only=True)
class LocalLinearAttention(SoftmaxAttention):
    """o = b of min_{b, W} sum_j w_j |v_j - b - W (k_j - q)|^2 + ridge |W|^2, w_j = e^(q . k_j / sqrt(K)).

    Softmax attention fits a constant around the query, this a line: a value that is a linear function of its key is
    recalled exactly from few pairs (Zuo et al. 2025, arXiv 2510.01450). For a large ridge it is softmax attention. The
    weights are relative to the largest. Each query solves a system of K equations: on a CPU K should be small.

    Args:
        ridge: ridge penalty of every head at the start of training, > 0; it is trained as softplus(parameter).
        rotary_dim: channels of a head that positions turn; the source has none.
    """

    chunk = 32

    rotary_dim: int | None = 0
    ridge: Annotated[float, Rule("finite and > 0")] = 1.0

    def build(self) -> None:
        super().build()
        inverse = self.ridge + math.log(-math.expm1(-self.ridge))  # of softplus
        self.ridge_param = nn.Parameter(torch.full((self.num_heads,), inverse))

    def recur(self, memory: Tensor, inputs: Inputs) -> tuple[Tensor, Tensor]:
        known = torch.cat([memory, torch.cat([inputs["k"], inputs["v"]], -1)[:, None]], 1)[:, -self.window_size :]
        return self.visible_later(known), self._regress(inputs["q"][:, None], known)[:, 0]

    def compiled(self, step: Step, memory: Tensor, inputs: Inputs) -> Tensor | None:
        size = self.k_size
        out = step.value(self.num_heads, self.v_size)
        step.append(
            windows.regression,
            Heads(self.kv_heads),
            {name: inputs[name] for name in "qkv"},
            {"out": out},
            cache=self.cache(),
            ridge=F.softplus(self.ridge_param),
            # The normal equations are solved in float64.
            spare=step.scratch(size * (size + 2), "float64"),
        )
        return out

    def chunked(self, memory: Tensor, inputs: Inputs) -> tuple[Tensor, Tensor]:
        known = torch.cat([memory, torch.cat([inputs["k"], inputs["v"]], -1)], 1)
        if self.window_size:
            return self.visible_later(known), self._regress_in_blocks(inputs["q"], known)
        end = memory.shape[1]
        outputs = []
        for q in inputs["q"].split(self.chunk, 1):
            end += q.shape[1]
            outputs.append(self._regress(q, known[:, :end]))
        return known, torch.cat(outputs, 1)

    def _regress_in_blocks(self, q: Tensor, known: Tensor) -> Tensor:
        """Return o [B, T, H, V], block by block: the covariances of a block are K times as large as its keys."""
        blocks = Blocks(self.window_size, q.shape[1], known.shape[1])
        tokens = blocks.tokens(known).movedim(2, 3)
        visible = blocks.visible(q.device)
        parts = zip(blocks.queries(q).unbind(1), tokens.unbind(1), visible, strict=True)
        return blocks.join(torch.stack([self._regress(*part) for part in parts], 1))

    def _regress(self, q: Tensor, known: Tensor, visible: Tensor | None = None) -> Tensor:
        """Return o [B, T, H, V] of q [B, T, H, K] among the N tokens of `known`; `visible` is [T, N].

        Without it q are the last T tokens of these, and see all up to themselves.
        """
        keys, values = (part.movedim(1, 2) for part in repeat_heads(known, self.groups).split(self.k_size, -1))
        q = q.movedim(1, 2)
        if visible is None:
            now = torch.arange(known.shape[1] - q.shape[2], known.shape[1], device=q.device)[:, None]
            visible = torch.arange(known.shape[1], device=q.device) <= now
        scores = (q @ keys.mT * self.k_size**-0.5).masked_fill(~visible, -torch.inf)
        return regress_locally(scores, q, keys, values, F.softplus(self.ridge_param)[:, None, None]).movedim(2, 1)
