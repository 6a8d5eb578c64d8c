"""Spike coding of activations: x is about scale * s with whole counts s, which are what is sent.

    z = x / (token * threshold),  s = round(z),  y = token * scale * s

`token` is 1, or the token's own level mean |x| / k clamped to 1e-5 .. 1e4 (SpikingBrain, arXiv 2509.05276, eq. 5);
thresholds and scales are one for all channels or one each. A scheme says which of these it uses and how it rounds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Any, final

import torch
from torch import Tensor, nn

from ..errors import lookup, require
from .tally import Tally

LEAST, MOST = 1e-5, 1e4  # of a token's level
LARGEST = 2.0**22  # counts saturate here, as those of `kernels.spikes.encode`
INT8 = 127.0
FINE = 8  # steps a unit of |z|: fine enough for prices of 0, 1/2 and 1
DIGITS, FLOOR = 38, -60  # as in `kernels.spikes.encode`: what makes the mean free of the order of its terms


@dataclass(frozen=True)
class Scheme:
    """How thresholds are set and counts rounded.

    Attributes:
        meaning: in a sentence.
        expansion: the spikes it was published with, a name of `EXPANSIONS`.
        rounding: a name of `ROUNDINGS`.
        strength: what makes it finer: a name of a setting of `Coding`, 'k', 'spikes' or 'levels'.
        token: thresholds follow each token's level.
        channel: one threshold a channel; otherwise one a layer.
        text: thresholds come from text.
        learned: thresholds are trained after they are calibrated.
    """

    meaning: str
    expansion: str
    rounding: str
    strength: str
    token: bool = False
    channel: bool = False
    text: bool = True
    learned: bool = False


SCHEMES: Mapping[str, Scheme] = {
    "ternary": Scheme(
        "Each token's own threshold, mean |x| / k, as SpikingBrain.", "bitwise", "even", "k", token=True, text=False
    ),
    "calibrated": Scheme(
        "A threshold a channel, where a spike more would not pay for the loss it saves.",
        "bitwise",
        "sparing",
        "spikes",
        channel=True,
    ),
    "learned": Scheme(
        "As calibrated, then thresholds and scales trained for a few steps.",
        "bitwise",
        "sparing",
        "spikes",
        channel=True,
        learned=True,
    ),
    "qcfs": Scheme(
        "clip(floor(|x| L / lambda + 1/2), 0, L) of an on and an off neuron that integrate and fire (QCFS).",
        "unary_ternary",
        "away",
        "levels",
    ),
    "stbif": Scheme(
        "clip(floor(x / threshold + 1/2), -L, L) of bipolar neurons with a spike tracer (SpikeZIP).",
        "unary_ternary",
        "up",
        "levels",
    ),
}


def _even(z: Tensor, price: float) -> Tensor:
    """To the nearest, ties to even."""
    return z.round()


def _away(z: Tensor, price: float) -> Tensor:
    """To the nearest, ties away from 0."""
    return z.sign() * (z.abs() + 0.5).floor()


def _up(z: Tensor, price: float) -> Tensor:
    """To the nearest, ties up."""
    return (z + 0.5).floor()


def _sparing(z: Tensor, price: float) -> Tensor:
    """The count that makes (z - s)^2 + price * ones(|s|) least: cheap counts draw more, dear ones fewer."""
    return z.sign() * levels_of(price).nearest(z.abs())


ROUNDINGS: Mapping[str, Callable[[Tensor, float], Tensor]] = {
    "even": _even,
    "away": _away,
    "up": _up,
    "sparing": _sparing,
}


@dataclass(frozen=True, eq=False)
class Levels:
    """Counts that are worth their spikes.

    Attributes:
        edges: [n - 1] where |z| goes from one to the next.
        counts: [n] of 0 .. 127.
        fine: [128 * FINE] the level of every |z| in steps of 1 / FINE where all edges lie on such steps, else none: a
            look-up is 20 times faster than a search.
    """

    edges: Tensor
    counts: Tensor
    fine: Tensor | None

    def index(self, sizes: Tensor) -> Tensor:
        """The level of each |z|, of any shape."""
        if self.fine is None:
            return torch.bucketize(sizes, self.edges.to(sizes), right=True)
        step = (sizes * FINE).clamp(max=len(self.fine) - 1).to(torch.int32)
        return self.fine.to(sizes.device).index_select(0, step.flatten()).view(sizes.shape)

    def nearest(self, sizes: Tensor) -> Tensor:
        """The count of each |z|, in its type."""
        chosen = self.index(sizes).flatten()
        return self.counts.to(sizes).index_select(0, chosen).view(sizes.shape)


@cache
def levels_of(price: float) -> Levels:
    """The counts 0 .. 127 that are worth their spikes at this price.

    (z - s)^2 + price ones(s) differs from count to count by lines in z: their lower envelope is found as that of lines
    sorted by slope.
    """
    kept = [0]

    def edge(a: int, b: int) -> float:
        return (a + b) / 2 + price * (b.bit_count() - a.bit_count()) / (2 * (b - a))

    for count in range(1, int(INT8) + 1):
        while len(kept) > 1 and edge(kept[-1], count) <= edge(kept[-2], kept[-1]):
            kept.pop()
        kept.append(count)
    edges = torch.tensor([edge(a, b) for a, b in pairwise(kept)], dtype=torch.float64)
    fine = None
    if bool((edges * FINE == (edges * FINE).round()).all()):
        steps = torch.arange((int(INT8) + 1) * FINE, dtype=torch.float64) / FINE
        fine = torch.bucketize(steps, edges, right=True).to(torch.int32)
    return Levels(edges, torch.tensor(kept), fine)


def token_levels(x: Tensor, k: float) -> Tensor:
    """[.., 1] clamp(mean |x| / k, 1e-5, 1e4) over the last axis, bit for bit that of `kernels.spikes.encode`.

    The sum is one of whole numbers, so that it has no order. It carries no gradient.
    """
    sizes = x.detach().abs().float()
    exponent = (torch.frexp(sizes.amax(-1, keepdim=True)).exponent - 1).clamp(min=FLOOR)
    units = torch.ldexp(torch.ones_like(sizes[..., :1]), DIGITS - exponent)
    total = (sizes * units).to(torch.int64).sum(-1, keepdim=True)
    per = torch.tensor(k, dtype=torch.float32) * x.shape[-1]
    return (total.float() / per / units).clamp(LEAST, MOST).to(x.dtype)


class _Straight(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, value: Tensor, soft: Tensor) -> Tensor:
        return value.view_as(value)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[None, Tensor]:
        return None, gradients[0]


def straight(value: Tensor, soft: Tensor) -> Tensor:
    """`value`, exactly, with the gradient of `soft`: the straight-through estimator (Bengio et al. 2013)."""
    found: Tensor = _Straight.apply(value, soft)
    return found


@final
class Coder(nn.Module):
    """Codes the last axis of its input; differentiable straight through the rounding.

    Attributes:
        thresholds, scales: [K] or [1], > 0; parameters, trained only where a tuning asks for it.
        scheme: a name of `SCHEMES`.
        k: spikes that a token's mean |x| is worth, where the scheme looks at tokens.
        shrink: soft threshold before rounding, in thresholds: |z| is taken down by it.
        price: of a spike, in squared thresholds of error, for the rounding that knows prices.
        limit: counts saturate at +- it.
        tally: counts of what was coded, while it is not None.
        heard: called with z, which carries its gradient, and the counts; None calls nothing.
        bypassed: code nothing; a layer then works on floats as the dense one does.

    Raises:
        NeurosimInputError: a parameter that breaks its rule.
    """

    def __init__(
        self,
        scheme: str,
        thresholds: Tensor,
        scales: Tensor | None = None,
        *,
        k: float = 3.0,
        shrink: float = 0.0,
        price: float = 0.0,
        limit: float = LARGEST,
    ) -> None:
        super().__init__()
        rule = lookup(SCHEMES, scheme, "spike coding scheme")
        require(k > 0, "Coder.k", "must be > 0", k)
        require(0 <= shrink < LARGEST, "Coder.shrink", "must be >= 0 and finite", shrink)
        require(0 <= price < LARGEST, "Coder.price", "must be >= 0 and finite", price)
        require(1 <= limit <= LARGEST, "Coder.limit", f"must be 1 to {LARGEST:.0f}", limit)
        require(bool((thresholds > 0).all()), "Coder.thresholds", "must be > 0", float(thresholds.min()))
        self.scheme, self.rule, self.round = scheme, rule, ROUNDINGS[rule.rounding]
        self.k, self.shrink, self.price, self.limit = float(k), float(shrink), float(price), float(limit)
        self.tally: Tally | None = None
        self.heard: Callable[[Tensor, Tensor], None] | None = None
        self.bypassed = False
        self.thresholds = nn.Parameter(thresholds.detach().clone().float(), requires_grad=False)
        scales = thresholds if scales is None else scales
        self.scales = nn.Parameter(scales.detach().clone().float(), requires_grad=False)

    def level(self, x: Tensor) -> Tensor | None:
        """[.., 1] each token's level, or None where the scheme has none."""
        return token_levels(x, self.k) if self.rule.token else None

    def counts(self, x: Tensor, level: Tensor | None) -> Tensor:
        """The counts of x, whole numbers in its own type; their gradient is that of z: straight through."""
        z = self._z(x, level)
        counts = self._rounded(z.detach()).clamp(-self.limit, self.limit)
        if self.tally is not None:
            self.tally.add(counts)
        if self.heard is not None:
            self.heard(z, counts)
        return straight(counts, z.clamp(-self.limit, self.limit)) if z.requires_grad else counts

    def forward(self, x: Tensor) -> Tensor:
        """What a receiver makes of the spikes of x: level * scale * s."""
        if self.bypassed:
            return x
        level = self.level(x)
        y = self.counts(x, level) * self.scales.to(x.dtype)
        return y if level is None else y * level

    def _z(self, x: Tensor, level: Tensor | None) -> Tensor:
        thresholds = self.thresholds.to(x.dtype)
        return x / (thresholds if level is None else level * thresholds)

    def _rounded(self, z: Tensor) -> Tensor:
        if self.shrink:
            z = z.sign() * (z.abs() - self.shrink).clamp(min=0)
        return self.round(z, self.price)


def ternary(k: float = 3.0, shrink: float = 0.0) -> Coder:
    """SpikingBrain's rule, which needs no text."""
    return Coder("ternary", torch.ones(1), k=k, shrink=shrink)
