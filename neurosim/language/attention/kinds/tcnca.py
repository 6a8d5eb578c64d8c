"""TCNCA: a gated attention unit in chunks behind dilated convolutions, or behind averages, as in MEGA."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ....base.errors import lookup
from ....base.rules import Rule
from ....kernels.decode.vectors import convolutions as convolution_kernels
from .base import Inputs, Shared, State
from .compiled import Channels, Step
from .gated_attention import AVERAGES, AttentionUnit
from .modules import linear
from .nested import initial_inside, run_inside
from .softmax import CachedAttention
from .tracing import compiles, leaf


@leaf
def dilated(y: Tensor, tail: Tensor, weights: Tensor, step: int) -> tuple[Tensor, Tensor]:
    """Return (y [B, T, D] plus silu of its convolution over every `step`-th token, the tokens behind it).

    Args:
        tail: [B, (size - 1) step, D], the tokens before.
        weights: [size, D].
    """
    known = torch.cat([tail, y], 1)
    length = y.shape[1]
    # Tap n of a token is n step tokens after the first that its convolution sees.
    taps = zip(range(0, known.shape[1] - length + 1, step), weights, strict=True)
    mixed = sum((known[:, n : n + length] * w for n, w in taps), torch.zeros_like(y))
    return y + F.silu(mixed), known[:, length:]


@compiles(dilated)
def _dilated(step: Step, y: Tensor, tail: Tensor, weights: Tensor, dilation: int) -> tuple[Tensor, Tensor]:
    size, width = weights.shape
    # The ring has a place for the token itself, which the tail has not.
    ring = step.state((size - 1) * dilation + 1, width)
    out = step.value(1, width)
    step.append(
        convolution_kernels.dilate,
        Channels(width),
        {"x": y},
        {"ring": ring, "out": out},
        width=width,
        size=size,
        dilation=dilation,
        weight=weights,
    )
    return out, tail


@dataclass(eq=False, repr=False, kw_only=True)
class TCNCA(CachedAttention):
    """Attention unit of MEGA behind dilated convolutions instead of averages (Sommer et al. 2023, arXiv 2312.05605).

        y_0 = x,  y_{l+1} = y_l + silu(conv_l y_l),  conv_l each channel on its own, causal, dilated by b^l
        or with `averages`, as in MEGA (Ma et al. 2022, arXiv 2209.10655): y = silu(SSM(x))
        o = attention of q, k from y and v from x, with a bias for each distance,  r, phi, h from y
        out = phi silu(h + W (o r)) + (1 - phi) x_0,  phi = sigmoid(W y)

    The text is cut into chunks of `window_size` tokens, and a token sees those of its chunk up to itself. x_0 is the
    stream of which x is the norm; outside a stack it is x. Blocks add out - x_0 to the stream. The convolutions see
    1 + (kernel - 1) (b^L - 1) / (b - 1) tokens.

    Args:
        layers: L.
        kernel, dilation: tokens of a convolution, and b.
        window_size: tokens of a chunk.
        moving: see the last `window_size` tokens instead, wherever they lie; there is no bias then.
        simple: y = W (o r) without phi, h and the bias, the form that the source takes for recall.
        averages: 'ema' (`MovingAverage`, as MEGA) or 's4d' (`DiagonalSSM`) in place of the convolutions.
        state_size: size of the state of `averages`.
        key_dim, value_dim: K and V (defaults: width / 2, width).

    The memory is the tokens of the present chunk [B, tokens, 1, K + V].
    """

    why_not_parallel = "its convolutions reach far into earlier slices"

    layers: Annotated[int, Rule("> 0")] = 4
    kernel: Annotated[int, Rule(">= 1 tokens")] = 5
    dilation: Annotated[int, Rule("> 0")] = 3
    window_size: Annotated[int, Rule(">= 1 tokens")] = 128
    moving: bool = False
    simple: bool = False
    averages: str | None = None
    state_size: Annotated[int, Rule("> 0")] = 16
    key_dim: int | None = None
    value_dim: int | None = None

    def build(self) -> None:
        self.kv_heads = self.groups = 1
        self.k_size = self.key_dim or max(self.width // 2, 1)
        self.v_size = self.value_dim or self.width
        if self.averages is None:
            bound = self.kernel**-0.5
            self.filters = nn.Parameter(torch.empty(self.layers, self.kernel, self.width).uniform_(-bound, bound))
        else:
            average = lookup(AVERAGES, self.averages, self.name("averages"))
            self.average = average(self.width, self.depth, self.state_size)
        self.unit = AttentionUnit(self.width, self.k_size, self.v_size)
        # One number for each distance within a chunk.
        self.bias: nn.Parameter | None = None
        if not self.simple:
            self.phi_proj, self.hx_proj = (linear(self.width, self.width, bias=True) for _ in range(2))
            if not self.moving:
                self.bias = nn.Parameter(0.02 * torch.randn(self.window_size))

    def initial(self, x: Tensor) -> State:
        if self.averages is not None:
            return super().initial(x) | initial_inside(self.average, x)
        # A convolution of `kernel` taps dilated by b^l reaches (kernel - 1) b^l tokens back.
        reach = [(self.kernel - 1) * self.dilation**layer for layer in range(self.layers)]
        return super().initial(x) | {f"tail_{i}": x.new_zeros(len(x), n, self.width) for i, n in enumerate(reach)}

    def project(self, x: Tensor, state: State, shared: Shared) -> tuple[Inputs, State]:
        y, after = self.mixed(x, state, shared)
        q, k, v, r = self.unit(x, y)
        inputs = {"q": q[:, :, None], "k": k[:, :, None], "v": v[:, :, None], "r": r}
        if not self.simple:
            inputs |= {"phi": self.phi_proj(y).sigmoid(), "h": self.hx_proj(y), "stream": shared.get("stream", x)}
        return inputs, after | {"position": state["position"] + x.shape[1]}

    def mixed(self, x: Tensor, state: State, shared: Shared) -> tuple[Tensor, State]:
        """Return (y [B, T, D] of the convolutions or averages, the state after them)."""
        if self.averages is not None:
            y, after = run_inside(self.average, x, state, shared)
            return F.silu(y), after
        y = x
        tails = {}
        for i, weights in enumerate(self.filters):
            y, tails[f"tail_{i}"] = dilated(y, state[f"tail_{i}"], weights, self.dilation**i)
        return y, tails

    def recur(self, memory: Tensor, inputs: Inputs) -> tuple[Tensor, Tensor]:
        if self.moving:
            return super().recur(memory, inputs)
        return self.one_by_chunked(memory, inputs)

    def compiled(self, step: Step, memory: Tensor, inputs: Inputs) -> Tensor | None:
        # A full memory begins anew, as the chunks do.
        return step.attend(self.cache(restarts=not self.moving), *(inputs[name] for name in "qkv"), bias=self.bias)

    def chunked(self, memory: Tensor, inputs: Inputs) -> tuple[Tensor, Tensor]:
        if self.moving:
            return super().chunked(memory, inputs)
        size = self.window_size
        # The memory begins with a chunk: the tokens fill it up, and begin further ones.
        known = torch.cat([memory, torch.cat([inputs["k"], inputs["v"]], -1)], 1)[:, :, 0]
        before = memory.shape[1]
        count = known.shape[1]
        # A single chunk has no more queries and keys than there are tokens.
        long = min(size, count)
        q = F.pad(inputs["q"][:, :, 0], (0, 0, before, -count % long)).unflatten(1, (-1, long))
        keys, values = (
            F.pad(known, (0, 0, 0, -count % long)).unflatten(1, (-1, long)).split([self.k_size, self.v_size], -1)
        )
        distance = torch.arange(long, device=q.device)[:, None] - torch.arange(long, device=q.device)
        visible = torch.zeros(long, long, dtype=q.dtype, device=q.device)
        if self.bias is not None:
            visible = self.bias[distance.clamp(min=0)]
        visible = visible.masked_fill(distance < 0, -torch.inf)
        out = F.scaled_dot_product_attention(q, keys, values, attn_mask=visible)
        rest = count % size
        return known[:, count - rest :, None], out.flatten(1, 2)[:, before:count, None]

    def finish(self, out: Tensor, x: Tensor, inputs: Inputs) -> Tensor:
        read = self.unit.h_proj(out[:, :, 0] * inputs["r"])
        if self.simple:
            return read
        # phi c + (1 - phi) x_0 - x_0
        return inputs["phi"] * (F.silu(inputs["h"] + read) - inputs["stream"])
