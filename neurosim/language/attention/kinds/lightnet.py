"""LightNet: linear attention whose decay normalises the keys over time, in one scan."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ....kernels.decode.vector_states import cpu as vector_states
from .base import Inputs, Shared, State
from .compiled import Channels, Step
from .matrix_memory import AdditiveMixer
from .modules import divide, linear, low_rank, split_heads
from .qkv import ConvolvedMixer, NormedMixer
from .tracing import compiles, leaf


@leaf
def soft_decays(c: Tensor, before: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return k = e^(c - z), g = (z of the token before) - z and the last z, z = log(sum of e^c so far).

    Args:
        c: [B, T, H, K].
        before: z before the first token, [B, H, K].
    """
    # z_t = log(e^{z_before} + sum_{j <= t} e^{c_j}), the logarithm of the normaliser so far
    z = torch.logcumsumexp(torch.cat([before[:, None], c], 1), 1)
    earlier = z[:, :-1]
    z = z[:, 1:]
    first = earlier <= torch.finfo(c.dtype).min / 4  # the state is empty: no decay, instead of e^-huge
    return (c - z).exp(), torch.where(first, torch.zeros_like(z), earlier - z), z[:, -1]


@compiles(soft_decays)
def _soft_decays(step: Step, c: Tensor, before: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    k = step.value(*c.shape[1:])
    g = step.value(*c.shape[1:])
    width = before.numel() // len(before)
    step.append(vector_states.soft_decay, Channels(width), {"c": c}, {"z": before, "k": k, "g": g}, width=width)
    return k, g, before


@dataclass(eq=False, repr=False, kw_only=True)
class LightNet(AdditiveMixer, ConvolvedMixer, NormedMixer):
    """z = logaddexp(z, c); k = e^(c - z); S = e^(z' - z) S + k v^T, z' being z before (Qin et al. 2024, 2405.21022).

    c = W x are key logits, q = silu(W x). S is the softmax of all logits so far, over time and for each key channel,
    applied to the values. y = W_o (norm(o) silu(W2 W1 x)), the norm over all channels.

    Args:
        expand_ratio: channels of a key; there are width / expand_ratio heads.
        gate_low_rank_dim: channels between W1 and W2.
    """

    chunk = 16
    why_not_parallel = "its keys are normalised over all tokens before"
    reads_backwards = False

    expand_ratio: int = 128
    gate_low_rank_dim: int = 128

    def build(self) -> None:
        width = self.width
        self.heads = divide(width, self.expand_ratio, "LightNet.width")
        self.k_size = self.expand_ratio
        self.v_size = width // self.heads
        self.scale = self.k_size**-0.5
        self.project_qkv(width, width, width)
        self.convolve(None, None, None)
        self.g_proj = low_rank(width, self.gate_low_rank_dim, width)
        self.g_norm = nn.RMSNorm(width, self.norm_eps, self.elementwise_affine)
        self.o_proj = linear(width, width)

    def initial(self, x: Tensor) -> State:
        # Below every logit, and finite: differences of it stay numbers.
        lowest = torch.finfo(x.dtype).min / 2
        return super().initial(x) | {"normaliser": x.new_full((x.shape[0], self.heads, self.k_size), lowest)}

    def project(self, x: Tensor, state: State, shared: Shared) -> tuple[Inputs, State]:
        (q, c, v), tails = self.convolved(x, state)
        # e^{z' - z} renormalises all earlier keys, as if the softmax had been taken over all tokens so far.
        k, g, normaliser = soft_decays(split_heads(c, self.k_size), state["normaliser"])
        inputs = {"q": split_heads(F.silu(q), self.k_size), "k": k, "v": split_heads(v, self.v_size), "g": g}
        return inputs, tails | {"normaliser": normaliser}

    def finish(self, out: Tensor, x: Tensor, inputs: Inputs) -> Tensor:
        return self.o_proj(self.g_norm(out.flatten(-2)) * F.silu(self.g_proj(x)))


class LightNet2D(nn.Module):
    """LightNet over an image: S = softmax_pixels(c)^T v, o = K^-1/2 S^T q for every pixel, in one scan of any order.

    `layer(x)`, x [B, X, Y, width] to y alike, any X and Y; q, c, v and the output gate are as in `LightNet`. The
    order of the pixels counts nothing but for their positions (section 3.2 of the paper):

    toeplitz: x + sum_axes T x comes first, T_ij = a b^|i - j| along an axis, a and b of each channel and axis (MD-TPE).
    cosine: q and the softmax k become [k cos(w p), k sin(w p)], w p = w_x i + w_y j for each key channel (MD-LRPE).

    Raises:
        NeurosimInputError: a width that the heads do not divide.
    """

    def __init__(self, width: int, num_heads: int = 4, *, toeplitz: bool = True, cosine: bool = True) -> None:
        super().__init__()
        self.heads = num_heads
        self.size = divide(width, num_heads, "LightNet2D.width")
        self.q_proj, self.k_proj, self.v_proj, self.g_proj, self.o_proj = (linear(width, width) for _ in range(5))
        self.norm = nn.RMSNorm(width, 1e-5)
        # Channels reach from one pixel to about thirty.
        self.reach = nn.Parameter(torch.linspace(-2.0, 3.5, width).repeat(2, 1)) if toeplitz else None
        self.gain = nn.Parameter(torch.full((2, width), 0.1)) if toeplitz else None
        turns = 10.0 ** -torch.linspace(0, 2, self.size)
        self.turns = nn.Parameter(torch.stack([turns, turns.flip(0)])) if cosine else None

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.neighbours(x)
        q, c, v = (split_heads(layer(x).flatten(1, 2), self.size) for layer in (self.q_proj, self.k_proj, self.v_proj))
        q = F.silu(q) * self.size**-0.5
        k = c.softmax(1)
        if self.turns is not None:
            places = torch.cartesian_prod(*(torch.arange(n, dtype=x.dtype, device=x.device) for n in x.shape[1:3]))
            # LRPE: cos(a - b) = cos a cos b + sin a sin b, so that products depend on differences of positions.
            angles = (places @ self.turns.to(x.dtype))[:, None]
            q, k = (torch.cat([value * angles.cos(), value * angles.sin()], -1) for value in (q, k))
        memory = torch.einsum("bnhk,bnhv->bhkv", k, v)
        out = torch.einsum("bnhk,bhkv->bnhv", q, memory).flatten(-2)
        return self.o_proj(self.norm(out.unflatten(1, x.shape[1:3])) * F.silu(self.g_proj(x)))

    def neighbours(self, x: Tensor) -> Tensor:
        """Return sum_axes T x."""
        if self.reach is None or self.gain is None:
            return torch.zeros_like(x)
        sums = torch.zeros_like(x)
        for axis, (reach, gain) in enumerate(zip(self.reach, self.gain, strict=True), 1):
            place = torch.arange(x.shape[axis], device=x.device)
            apart = (place[:, None] - place).abs()[..., None]
            # T_ij = a b^|i - j|, b = sigmoid(reach)
            mixing = gain * (F.logsigmoid(reach) * apart).exp()
            sums = sums + torch.einsum("ijc,bjnc->binc", mixing, x.transpose(1, axis)).transpose(1, axis)
        return sums
