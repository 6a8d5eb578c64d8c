"""HGRN and HGRN-2: forget gates with lower bounds that rise from layer to layer."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ....base.errors import require
from .base import Inputs, Shared, State
from .matrix_memory import AdditiveMixer
from .modules import divide, linear, split_heads
from .qkv import ConvolvedMixer, NormedMixer


@dataclass(eq=False, repr=False, kw_only=True)
class BoundedMixer(AdditiveMixer, ConvolvedMixer, NormedMixer):
    """Kinds whose decay is f = lb + (1 - lb) sigmoid(W x).

    The lower bounds lb belong to the model (`LanguageModel.lower_bounds`), which hands over this layer's row; layer 0
    has none.

    Args:
        use_lower_bound: use the model's lower bounds.
    """

    chunk = 16

    use_lower_bound: bool = True

    def log_forget(self, f: Tensor, shared: Shared) -> Tensor:
        """Return log f [B, T, D] from W x."""
        # log(lb + (1 - lb) sigmoid(f)), in logarithms: sigmoid(f) may be smaller than a float32.
        g = F.logsigmoid(f)
        if self.use_lower_bound and "lower_bound" in shared:
            bound = shared["lower_bound"]
            g = torch.logaddexp(bound.log(), torch.log1p(-bound) + g)
        return g


@dataclass(eq=False, repr=False, kw_only=True)
class HGRN(BoundedMixer):
    """h = f h + (1 - f) silu(W x) for each channel, with the gate f of `BoundedMixer` (Qin et al. 2023, 2311.04823).

    y = W_o (norm(h) silu(W_g x)), the norm over all channels. The state is as in additive kinds with heads of one
    key and one value channel: k = 1 - f, v = silu(W x), q = 1.

    Args:
        expand_ratio: channels of the state, in units of the width; other than 1 without lower bounds only.
    """

    chunk = 64
    has_qk = False  # its heads have one channel, and q is 1
    conv_names = ("f", "i")

    expand_ratio: float = 1.0

    def build(self) -> None:
        width = self.width
        self.k_size = 1
        self.v_size = 1
        self.heads = int(width * self.expand_ratio)
        require(self.heads > 0, "HGRN.expand_ratio", "must give at least one channel", self.expand_ratio)
        fits = self.heads == width or not self.use_lower_bound
        require(fits, "HGRN.expand_ratio", "must be 1 with lower bounds, one a channel", self.expand_ratio)
        self.use_lower_bound = self.use_lower_bound and self.depth.layer > 0
        self.i_proj, self.f_proj, self.g_proj = (linear(width, self.heads) for _ in range(3))
        self.convolve(None, None)
        self.g_norm = nn.RMSNorm(self.heads, self.norm_eps, self.elementwise_affine)
        self.o_proj = linear(self.heads, width)

    def project(self, x: Tensor, state: State, shared: Shared) -> tuple[Inputs, State]:
        (f, i), tails = self.convolved(x, state)
        g = self.log_forget(f, shared)
        # k = 1 - f = -(e^g - 1), exact for f near 1
        k, v = (value[..., None] for value in (-torch.expm1(g), F.silu(i)))
        # q = 1 reads the state itself: h = f h + (1 - f) silu(W x).
        return {"q": torch.ones_like(k), "k": k, "v": v, "g": g}, tails

    def finish(self, out: Tensor, x: Tensor, inputs: Inputs) -> Tensor:
        return self.o_proj(self.g_norm(out[..., 0]) * F.silu(self.g_proj(x)))


@dataclass(eq=False, repr=False, kw_only=True)
class HGRN2(BoundedMixer):
    """HGRN-2: g = log f with the gate f of `BoundedMixer`, k = 1 - f, q = swish (Qin et al. 2024, arXiv 2404.07904).

    Args:
        expand_ratio: channels of a key; there are width / expand_ratio heads.
    """

    conv_names = ("q", "f", "i")

    expand_ratio: int = 32

    def build(self) -> None:
        width = self.width
        self.heads = divide(width, self.expand_ratio, "HGRN2.width")
        self.k_size = self.expand_ratio
        self.v_size = width // self.heads
        self.scale = self.k_size**-0.5
        self.use_lower_bound = self.use_lower_bound and self.depth.layer > 0
        self.q_proj, self.f_proj, self.i_proj = (linear(width, width) for _ in range(3))
        self.convolve(None, None, None)
        self.o_norm = nn.RMSNorm(width, self.norm_eps, self.elementwise_affine)
        self.o_proj = linear(width, width)

    def project(self, x: Tensor, state: State, shared: Shared) -> tuple[Inputs, State]:
        (q, f, v), tails = self.convolved(x, state)
        g = self.log_forget(f, shared)
        q, k, g = (split_heads(value, self.k_size) for value in (F.silu(q), -torch.expm1(g), g))
        return {"q": q, "k": k, "v": split_heads(v, self.v_size), "g": g}, tails

    def finish(self, out: Tensor, x: Tensor, inputs: Inputs) -> Tensor:
        return self.o_proj(self.o_norm(out.flatten(-2)))
