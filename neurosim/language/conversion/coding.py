"""Spike coding of activations: x is about scale * s; the integer counts s are sent.

    z = x / (token * threshold),  s = round(z),  y = token * scale * s

`token` is 1, or the token's own level mean |x| / k clamped to 1e-5 .. 1e4 (SpikingBrain, arXiv 2509.05276, eq. 5).
Thresholds and scales are one for all channels or one for each. A scheme selects among these, and how to round.

A coder computes in torch, with gradients, for the simulated form. The executed form takes the same counts, bit for bit,
from `kernels.spikes.encode`, whose constants are used here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, final

import torch
from torch import Tensor, nn

from ...base.errors import lookup, require
from ...base.rules import Positive, Rule, check_rules
from ...kernels.spikes.encode import reference as spec
from ...kernels.spikes.encode.launch import encode, whole_counts
from ...kernels.spikes.encode.reference import MAX_COUNT, SEARCH, Rounding
from ..attention.kinds.tracing import leaf
from .histogram import CountHistogram
from .roundings import INT8, PRICED, ROUNDINGS, levels_of

CANONICAL = "canonical"  # the expansion of the digits that a price counts where thresholds follow tokens
CODES = "neurosim_codes"  # attribute of a tensor that was coded: the rule, counts and levels
MIN_CODED = 2**14  # values from which on the kernel is faster than torch


@dataclass(frozen=True)
class Scheme:
    """Rules for thresholds and rounding.

    Attributes:
        meaning: in a sentence.
        expansion: expansion of its publication, a name of `EXPANSIONS`.
        rounding: a name of `ROUNDINGS`.
        strength: the setting of `Coding` that makes it finer: 'k', 'spikes' or 'levels'.
        token: thresholds follow each token's level.
        channel: one threshold for each channel; otherwise one for each layer.
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


def token_levels(x: Tensor, k: float) -> Tensor:
    """Return [.., 1] clamp(mean |x| / k, 1e-5, 1e4) over the last axis, without gradient.

    The bits are those of `kernels.spikes.encode`.
    """
    sizes = x.detach().abs().float()
    # Sums of integers have one result in any order, as sums of floats do not: the same bits on every device.
    exponent = (torch.frexp(sizes.amax(-1, keepdim=True)).exponent - 1).clamp(min=spec.FLOOR)
    units = torch.ldexp(torch.ones_like(sizes[..., :1]), spec.DIGITS - exponent)
    total = (sizes * units).to(torch.int64).sum(-1, keepdim=True)
    per = torch.tensor(k, dtype=torch.float32) * x.shape[-1]
    return (total.float() / per / units).clamp(float(spec.MIN_THRESHOLD), float(spec.MAX_THRESHOLD)).to(x.dtype)


class _Straight(torch.autograd.Function):
    """The first argument, with the gradient of the second."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, soft: Tensor) -> Tensor:
        return value.view_as(value)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[None, Tensor]:
        return None, gradients[0]


def straight(value: Tensor, soft: Tensor) -> Tensor:
    """Return `value` exactly, with the gradient of `soft`: the straight-through estimator (Bengio et al. 2013)."""
    result: Tensor = _Straight.apply(value, soft)
    return result


@final
class Coder(nn.Module):
    """Codes the last axis of its input; differentiable straight through the rounding.

    Attributes:
        thresholds, scales: [K] or [1], > 0; parameters, trained only by `tune`.
        scheme: a name of `SCHEMES`.
        k: counts that a token's mean |x| is worth, where thresholds follow tokens.
        shrink: soft threshold before rounding, in thresholds: |z| is reduced by it.
        price: price of a spike, in squared thresholds of error: of binary digits where each channel has a threshold,
            of canonical digits where thresholds follow tokens; the other schemes round without.
        limit: counts saturate at +-limit.
        histogram: histogram that counts are added to, or None.
        observer: function that is called with z, which carries its gradient, and the counts; or None.
        bypassed: code nothing; a layer then works on floats as the dense one does.

    Raises:
        NeurosimInputError: a parameter that breaks its rule.
    """

    k: Positive
    shrink: Annotated[float, Rule(f">= 0 and < {MAX_COUNT:.0f}")]
    price: Annotated[float, Rule(f">= 0 and < {MAX_COUNT:.0f}")]
    limit: Annotated[float, Rule(f">= 1 and <= {MAX_COUNT:.0f}")]

    def __init__(
        self,
        scheme: str,
        thresholds: Tensor,
        scales: Tensor | None = None,
        *,
        k: float = 3.0,
        shrink: float = 0.0,
        price: float = 0.0,
        limit: float = float(MAX_COUNT),
    ) -> None:
        super().__init__()
        rule = lookup(SCHEMES, scheme, "spike coding scheme")
        require(bool((thresholds > 0).all()), "Coder.thresholds", "must be > 0", float(thresholds.min()))
        self.scheme = scheme
        self.rule = rule
        self.round, self.kind = ROUNDINGS[PRICED if rule.token and price else rule.rounding]
        self.k = float(k)
        self.shrink = float(shrink)
        self.price = float(price)
        self.limit = float(limit)
        check_rules(self)
        self.histogram: CountHistogram | None = None
        self.observer: Callable[[Tensor, Tensor], None] | None = None
        self.bypassed = False
        self.thresholds = nn.Parameter(thresholds.detach().clone().float(), requires_grad=False)
        scales = thresholds if scales is None else scales
        self.scales = nn.Parameter(scales.detach().clone().float(), requires_grad=False)

    def level(self, x: Tensor) -> Tensor | None:
        """Return [.., 1] levels of tokens, or None where the scheme has none."""
        if self.rule.token:
            return token_levels(x, self.k)
        return None

    def counts(self, x: Tensor, level: Tensor | None) -> Tensor:
        """Return the counts of x, integers in its own type; their gradient is the gradient of z: straight through."""
        z = self._z(x, level)
        counts = self._rounded(z.detach()).clamp(-self.limit, self.limit)
        if self.histogram is not None:
            self.histogram.add(counts)
        if self.observer is not None:
            # z carries the gradient; tuning takes its price of spikes from it.
            self.observer(z, counts)
        if z.requires_grad:
            return straight(counts, z.clamp(-self.limit, self.limit))
        return counts

    def coded(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return the counts of x, and the levels of its tokens, or None where the scheme has none.

        Tokens' own levels and counts come from `kernels.spikes.encode` where no gradient is needed: the same bits in a
        third of the time, and of a conversion with its comparisons a fifth.
        """
        is_plain = self.rule.token and self.observer is None and not torch.is_grad_enabled()
        if not (is_plain and x.device.type == "cpu" and x.dtype == torch.float32 and x.numel() >= MIN_CODED):
            level = self.level(x)
            return self.counts(x, level), level
        rounding, _ = self.kernel_rounding(x.shape[-1])
        # Projections that read one tensor code it alike: its codes are kept with it until it is changed in place. A
        # tensor of torch's inference mode does not count its changes.
        rule = (0 if x.is_inference() else x._version, self.k, self.price, *rounding[:4])
        found = None if x.is_inference() else getattr(x, CODES, None)
        if found is None or found[0] != rule:
            try:
                coded = encode(x.reshape(-1, x.shape[-1]), self.k, rounding=rounding, threads=torch.get_num_threads())
            except ValueError:
                # Values that are not finite are passed on in torch.
                level = self.level(x)
                return self.counts(x, level), level
            counts = whole_counts(coded).to(x.dtype).view(x.shape)
            found = rule, counts, coded.thresholds.view(*x.shape[:-1], 1)
            setattr(x, CODES, found)
        _, counts, level = found
        if self.histogram is not None:
            self.histogram.add(counts)
        return counts, level

    @leaf
    def forward(self, x: Tensor) -> Tensor:
        """Return level * scale * s, the value that a receiver decodes from the spikes of x."""
        if self.bypassed:
            return x
        counts, level = self.coded(x)
        y = counts * self.scales.to(x.dtype)
        if level is None:
            return y
        return y * level

    @torch.no_grad()
    def executed(self, x: Tensor, rounding: Rounding, threads: int = 1) -> Tensor:
        """Return the values of `forward` of a coder that follows tokens, by `kernels.spikes.encode`, on x's device.

        Args:
            rounding: from `kernel_rounding`.
        """
        if self.bypassed:
            return x
        if self.histogram is not None:
            self.coded(x)
        coded = encode(x.reshape(-1, x.shape[-1]), self.k, rounding=rounding, threads=threads)
        y = whole_counts(coded).to(x.dtype) * self.scales * coded.thresholds[:, None]
        return y.view(x.shape)

    def kernel_rounding(self, channels: int) -> tuple[Rounding, Tensor | None]:
        """Return the arguments of `kernels.spikes.encode` for `channels` channels: rounding, thresholds [K] or None."""
        thresholds = self.thresholds.detach()
        # The one threshold of a scheme with levels of tokens is a factor of them.
        factor = float(thresholds[0]) if self.rule.token else 1.0
        rounding = Rounding(self.kind, self.shrink, self.limit, factor)
        if self.kind == SEARCH:
            levels = levels_of(self.price)
            # Padded to a fixed length, which kernels are compiled for: no |z| is above infinity.
            edges = torch.full((spec.MAX_LEVELS - 1,), torch.inf)
            counts = torch.full((spec.MAX_LEVELS,), int(INT8))
            edges[: len(levels.edges)] = levels.edges.float()
            counts[: len(levels.counts)] = levels.counts
            table = None
            if levels.fine is not None:
                table = levels.counts[levels.fine.long()].to(device=thresholds.device, dtype=torch.int8)
            counts = counts.to(torch.int8)
            rounding = Rounding(*rounding[:4], edges.to(thresholds.device), counts.to(thresholds.device), table)
        elif self.kind == spec.PRICED:
            rounding = rounding._replace(price=self.price)
        if self.rule.token:
            return rounding, None
        return rounding, thresholds.expand(channels).contiguous()

    def _z(self, x: Tensor, level: Tensor | None) -> Tensor:
        """Return z = x / (token * threshold)."""
        thresholds = self.thresholds.to(x.dtype)
        if level is not None:
            thresholds = level * thresholds
        return x / thresholds

    def _rounded(self, z: Tensor) -> Tensor:
        """Return the counts of z, behind the soft threshold."""
        if self.shrink:
            z = z.sign() * (z.abs() - self.shrink).clamp(min=0)
        return self.round(z, self.price)


def ternary(k: float = 3.0, shrink: float = 0.0, price: float = 0.0) -> Coder:
    """Return a coder of SpikingBrain's rule, which needs no text."""
    return Coder("ternary", torch.ones(1), k=k, shrink=shrink, price=price)
