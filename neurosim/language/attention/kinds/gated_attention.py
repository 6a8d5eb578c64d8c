"""Gated attention units behind a linear recurrence or convolutions: SeqBoat, which few tokens pass, and TCNCA."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ....base.rules import Rule
from .base import Inputs, Mixer, Shared, State
from .modules import linear
from .nested import initial_inside, run_inside
from .softmax import CachedAttention
from .state_space import DiagonalSSM
from .tracing import leaf
from .windows import Blocks


class AttentionUnit(nn.Module):
    """q, k = gamma z + beta for both, z = silu(W y), v = silu(W x), gate r = silu(W y); h = W (attention r) (Hua 2022).

    One head: K channels of z, V of v.
    """

    def __init__(self, width: int, k_size: int, v_size: int) -> None:
        super().__init__()
        self.z_proj, self.v_proj, self.r_proj = (linear(width, n, True) for n in (k_size, v_size, v_size))
        self.h_proj = linear(v_size, width)
        self.scales = nn.Parameter(1 + 0.1 * torch.randn(2, k_size))
        self.shifts = nn.Parameter(torch.zeros(2, k_size))

    def forward(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return q, k, v and r of tokens x [.., D], and y, x behind the recurrence."""
        z = F.silu(self.z_proj(y))
        q, k = (z * scale + shift for scale, shift in zip(self.scales, self.shifts, strict=True))
        return q, k, F.silu(self.v_proj(x)), F.silu(self.r_proj(y))


@dataclass(eq=False, repr=False, kw_only=True)
class SeqBoat(Mixer):
    """Attention for the tokens that a router activates (Ren et al. 2023, sparse modular activation, arXiv 2306.11197).

        s = silu(SSM(x)),  [u, h] = W s,  p = softmax(u / temperature),  a token is active where p_1 > p_0
        y = silu(h + p_1 unit(x, s)) where active, silu(h) elsewhere

    The unit is an `AttentionUnit` over the last `slots` active tokens; its layers compute active tokens alone, so that
    a conversion counts those. The state-space layer is `DiagonalSSM`, in the source averages of the same form.

    Args:
        slots: active tokens that attention sees, the present one among them.
        key_dim, value_dim: K and V (defaults: width / 2, width).
        state_size: size of the state of the state-space layer.

    The memory is [B, slots, K + V + 1], the last channel 1 where there is a token.
    """

    why_not_parallel = "its keys come from active tokens, which lie in other processes"

    slots: Annotated[int, Rule(">= 1 tokens")] = 256
    key_dim: int | None = None
    value_dim: int | None = None
    state_size: int = 8

    def build(self) -> None:
        self.k_size = self.key_dim or max(self.width // 2, 1)
        self.v_size = self.value_dim or self.width
        self.ssm: Mixer = DiagonalSSM(self.width, self.depth, state_size=self.state_size)
        self.hx_proj = linear(self.width, 2 + self.width, True)
        # temperature = sqrt(width) at the start
        self.log_temperature = nn.Parameter(torch.tensor(0.5 * math.log(self.width)))
        self.unit = AttentionUnit(self.width, self.k_size, self.v_size)

    def initial(self, x: Tensor) -> State:
        memory = x.new_zeros(len(x), self.slots, self.k_size + self.v_size + 1)
        return {"memory": memory} | initial_inside(self.ssm, x)

    def project(self, x: Tensor, state: State, shared: Shared) -> tuple[Inputs, State]:
        s, after = run_inside(self.ssm, x, state, shared)
        s = F.silu(s)
        u, h = self.hx_proj(s).split([2, self.width], -1)
        p = (u * (-self.log_temperature).exp()).softmax(-1)
        # The choice has no gradient; p_1, which multiplies the output, trains the router.
        active = p[..., 1] > p[..., 0]
        q, k, v, r = (x.new_zeros(*x.shape[:2], n) for n in (self.k_size, self.k_size, self.v_size, self.v_size))
        # Only rows of active tokens pass the layers; others stay zero.
        projected = self.unit(x[active], s[active])
        q, k, v, r = (
            zeros.masked_scatter(active[..., None], f) for zeros, f in zip((q, k, v, r), projected, strict=True)
        )
        return {"q": q, "k": k, "v": v, "r": r, "active": active, "share": p[..., 1:], "h": h}, after

    def recur(self, memory: Tensor, inputs: Inputs) -> tuple[Tensor, Tensor]:
        active = inputs["active"][:, None]
        token = torch.cat([inputs["k"], inputs["v"], torch.ones_like(inputs["k"][:, :1])], -1)
        # An active token pushes the oldest out; the state of the others is unchanged.
        memory = torch.where(active[..., None], torch.cat([memory[:, 1:], token[:, None]], 1), memory)
        keys, values, there = memory.split([self.k_size, self.v_size, 1], -1)
        scores = torch.einsum("bk,btk->bt", inputs["q"], keys) * self.k_size**-0.5
        # Without any token nothing is read: the output is multiplied by 0 below.
        weights = scores.masked_fill(there[..., 0] == 0, torch.finfo(scores.dtype).min).softmax(-1)
        return memory, torch.einsum("bt,btv->bv", weights, values) * active

    def chunked(self, memory: Tensor, inputs: Inputs) -> tuple[Tensor, Tensor]:
        active = inputs["active"]
        slots = self.slots
        sizes = active.sum(1)
        max_active = int(sizes.max())
        if max_active == 0:
            return memory, torch.zeros_like(inputs["v"])
        # Active tokens first, in order of time: attention is computed for them alone.
        order = (~active).to(torch.uint8).argsort(dim=1, stable=True)[:, :max_active]
        token = torch.cat([inputs["k"], inputs["v"], active[..., None].to(memory.dtype)], -1)
        picked, q = (x.gather(1, order[..., None].expand(-1, -1, x.shape[-1])) for x in (token, inputs["q"]))
        known = torch.cat([memory, picked], 1)
        # Query i, the i-th active token, lies at slots + i: it sees itself and the slots - 1 before it.
        blocks = Blocks(slots, max_active, slots + max_active)
        seen = blocks.tokens(known[:, :, None])[:, :, 0]  # [B, blocks, tokens, K + V + 1]
        keys, values, there = seen.split([self.k_size, self.v_size, 1], -1)
        visible = blocks.visible(q.device) & (there[..., 0] != 0)[:, :, None]
        scores = blocks.queries(q[:, :, None])[:, :, :, 0] @ keys.mT * self.k_size**-0.5
        weights = scores.masked_fill(~visible, torch.finfo(q.dtype).min).softmax(-1)
        mixed = blocks.join((weights @ values)[..., None, :])[:, :, 0]
        out = torch.zeros_like(inputs["v"]).scatter(1, order[..., None].expand(-1, -1, self.v_size), mixed)
        # The memory after it: the last `slots` tokens of each sequence, before the padding.
        last = sizes[:, None] + torch.arange(slots, device=q.device)
        return known.gather(1, last[..., None].expand(-1, -1, known.shape[-1])), out * active[..., None]

    def finish(self, out: Tensor, x: Tensor, inputs: Inputs) -> Tensor:
        active = inputs["active"]
        read = torch.zeros_like(x).masked_scatter(active[..., None], self.unit.h_proj((out * inputs["r"])[active]))
        return F.silu(inputs["h"] + read * inputs["share"])


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


@dataclass(eq=False, repr=False, kw_only=True)
class TCNCA(CachedAttention):
    """Attention unit behind dilated convolutions, which replace the averages of MEGA (Sommer et al. 2023, 2312.05605).

        y_0 = x,  y_{l+1} = y_l + silu(conv_l y_l),  conv_l each channel on its own, causal, dilated by b^l
        y = W (attention over the last window_size tokens, of q, k from y and v from x) r

    The convolutions see 1 + (kernel - 1) (b^L - 1) / (b - 1) tokens. The window moves with the token; the source cuts
    the text into chunks instead.

    Args:
        layers: L.
        kernel, dilation: tokens of a convolution, and b.
        window_size: tokens that attention sees.
        key_dim, value_dim: K and V (defaults: width / 2, width).
    """

    why_not_parallel = "its convolutions reach far into earlier slices"

    layers: Annotated[int, Rule("> 0")] = 4
    kernel: Annotated[int, Rule(">= 1 tokens")] = 5
    dilation: Annotated[int, Rule("> 0")] = 3
    window_size: Annotated[int, Rule(">= 1 tokens")] = 128
    key_dim: int | None = None
    value_dim: int | None = None

    def build(self) -> None:
        self.kv_heads = self.groups = 1
        self.k_size = self.key_dim or max(self.width // 2, 1)
        self.v_size = self.value_dim or self.width
        bound = self.kernel**-0.5
        self.filters = nn.Parameter(torch.empty(self.layers, self.kernel, self.width).uniform_(-bound, bound))
        self.unit = AttentionUnit(self.width, self.k_size, self.v_size)

    def initial(self, x: Tensor) -> State:
        # A convolution of `kernel` taps dilated by b^l reaches (kernel - 1) b^l tokens back.
        reach = [(self.kernel - 1) * self.dilation**layer for layer in range(self.layers)]
        return super().initial(x) | {f"tail_{i}": x.new_zeros(len(x), n, self.width) for i, n in enumerate(reach)}

    def project(self, x: Tensor, state: State, shared: Shared) -> tuple[Inputs, State]:
        y = x
        length = x.shape[1]
        tails = {}
        for i, weights in enumerate(self.filters):
            y, tails[f"tail_{i}"] = dilated(y, state[f"tail_{i}"], weights, self.dilation**i)
        q, k, v, r = self.unit(x, y)
        inputs = {"q": q[:, :, None], "k": k[:, :, None], "v": v[:, :, None], "r": r}
        return inputs, tails | {"position": state["position"] + length}

    def finish(self, out: Tensor, x: Tensor, inputs: Inputs) -> Tensor:
        return self.unit.h_proj(out[:, :, 0] * inputs["r"])
