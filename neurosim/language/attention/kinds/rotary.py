"""Rotary positions: pairs of channels turned by angles that grow with the position (Su et al. 2021, arXiv 2104.09864).

Angular rates are theta^(-2i/K) of pair i, changed by one of the scalings that public configs name, so that a model
reads more tokens than it was trained on.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ....base.errors import NeurosimInputError, lookup, require
from .tracing import leaf

Settings = Mapping[str, object]
MAX_CHANNELS = 2**14  # channels: their rates are made before the weights are compared with their file


@dataclass(frozen=True)
class Rotary:
    """Angles of the pairs of a head's channels.

    Attributes:
        rates: radians a token of each pair.
        scale: factor of the turned channels.
        limit: tokens up to which the rates hold; None for any number.
    """

    rates: tuple[float, ...]
    scale: float = 1.0
    limit: int | None = None

    @leaf
    def turn(self, x: Tensor, position: Tensor) -> Tensor:
        """Turn pairs (i, i + n) of the first 2n channels of x [B, T, H, K], n rates; the others stay.

        Args:
            position: [], of the first token.

        Raises:
            NeurosimInputError: a token lies beyond the limit.
        """
        if self.limit is not None and int(position) + x.shape[1] > self.limit:
            raise NeurosimInputError(
                f"rope_scaling: its rates change for all tokens beyond {self.limit}, which is not supported "
                f"(got token {int(position) + x.shape[1]}); read at most {self.limit} tokens"
            )
        half = len(self.rates)
        # Angles grow without bound, so that they are computed in float64; only cos and sin are rounded.
        rates = torch.tensor(self.rates, device=x.device, dtype=torch.float64)
        angles = (torch.arange(x.shape[1], device=x.device) + position).to(torch.float64)[:, None] * rates
        cos, sin = ((self.scale * f(angles)).to(x.dtype)[:, None] for f in (torch.cos, torch.sin))
        # (x_i, x_{i+n}) turned by the angle of pair i
        first = x[..., :half]
        second = x[..., half : 2 * half]
        return torch.cat([first * cos - second * sin, first * sin + second * cos, x[..., 2 * half :]], -1)


class TrainedAngles(nn.Module):
    """Positions by trained angles: x to [x cos(a t), x sin(a t)], a of each head and channel (LRPE-d of TransNormerLLM,
    Qin et al. 2023, arXiv 2307.14995).

    A product of two becomes sum_i q_i k_i cos(a_i (s - t)). The first angles are 10000^(-2i/d) over all d channels.
    """

    def __init__(self, heads: int, channels: int) -> None:
        super().__init__()
        total = heads * channels
        first = 10000.0 ** (-2 * torch.arange(total, dtype=torch.float64) / total)
        self.angles = nn.Parameter(first.view(heads, channels).float())

    @leaf
    def forward(self, x: Tensor, position: Tensor) -> Tensor:
        """Return [B, T, H, 2 K] of x [B, T, H, K], whose first token is at `position`."""
        places = torch.arange(x.shape[1], device=x.device, dtype=torch.float64) + position
        turned = places[:, None, None] * self.angles.double()
        return torch.cat([x * turned.cos().to(x.dtype), x * turned.sin().to(x.dtype)], -1)


def build_rotary(channels: int, theta: float = 10000.0, scaling: Settings | None = None) -> Rotary:
    """Return the angles of `channels` channels (an odd last one stays), scaled by the entries of `rope_scaling`.

    Raises:
        NeurosimInputError: an unknown scaling, or an entry that is missing, unknown or breaks its rule.
    """
    require(
        channels <= MAX_CHANNELS, "rotary positions", f"must turn at most {MAX_CHANNELS} channels of a head", channels
    )
    entries = dict(scaling or {})
    name = str(entries.pop("rope_type", entries.pop("type", "default")))
    entries.pop("type", None)
    rates = [theta ** (-2 * i / (channels - channels % 2)) for i in range(channels // 2)]
    make, known = lookup(SCALINGS, name, "rope_scaling: rope_type")
    for entry in entries:
        lookup(dict.fromkeys(known), entry, f"rope_scaling: entry of '{name}'")
    return make(rates, theta, entries)


def _number(entries: Settings, name: str, default: float | None = None) -> float:
    """Return an entry, or `default` where it is absent or null."""
    value = entries.get(name)
    value = default if value is None else value
    fine = isinstance(value, int | float) and type(value) is not bool and 0 < value < 1e12
    require(fine, f"rope_scaling.{name}", "must be a number > 0 and < 1e12", value)
    return float(value)  # type: ignore[arg-type]


def _default(rates: list[float], theta: float, entries: Settings) -> Rotary:
    """Leave the rates as they are."""
    return Rotary(tuple(rates))


def _linear(rates: list[float], theta: float, entries: Settings) -> Rotary:
    """Divide positions by `factor`."""
    factor = _number(entries, "factor")
    return Rotary(tuple(rate / factor for rate in rates))


def _dynamic(rates: list[float], theta: float, entries: Settings) -> Rotary:
    """Let the base grow with the text beyond the length of the training; up to it the rates stay."""
    _number(entries, "factor")
    return Rotary(tuple(rates), limit=round(_number(entries, "original_max_position_embeddings")))


def _llama3(rates: list[float], theta: float, entries: Settings) -> Rotary:
    """Divide the rates of long waves by `factor`, leave short ones, and take a mean of both between them."""
    factor, low, high = (_number(entries, name) for name in ("factor", "low_freq_factor", "high_freq_factor"))
    require(high > low, "rope_scaling.high_freq_factor", f"must be > low_freq_factor ({low:g})", high)
    length = _number(entries, "original_max_position_embeddings")
    turns = [length * rate / (2 * math.pi) for rate in rates]  # over the length of the training
    shares = [min(max((turn - low) / (high - low), 0.0), 1.0) for turn in turns]
    return Rotary(tuple(rate * (part + (1 - part) / factor) for rate, part in zip(rates, shares, strict=True)))


def _yarn(rates: list[float], theta: float, entries: Settings) -> Rotary:
    """Scale as YaRN (Peng et al. 2023, arXiv 2309.00071): a ramp over channels between both, and larger outputs."""
    factor = _number(entries, "factor")
    length = _number(entries, "original_max_position_embeddings")
    channels = 2 * len(rates)

    def channel(turns: float) -> float:
        """Return the channel pair that makes `turns` turns over the length of the training."""
        return channels * math.log(length / (turns * 2 * math.pi)) / (2 * math.log(theta))

    # Pairs below `low` turn often and stay; pairs above `high` turn less than once and are divided by the factor.
    low = channel(_number(entries, "beta_fast", 32.0))
    high = channel(_number(entries, "beta_slow", 1.0))
    if entries.get("truncate", True):
        low = math.floor(low)
        high = math.ceil(high)
    low = max(low, 0)
    high = min(high, channels - 1)
    high = high + 0.001 if high == low else high
    spread = [min(max((i - low) / (high - low), 0.0), 1.0) for i in range(len(rates))]
    scaled = tuple(rate * (1 - part + part / factor) for rate, part in zip(rates, spread, strict=True))
    return Rotary(scaled, _yarn_scale(entries, factor))


def _yarn_scale(entries: Settings, factor: float) -> float:
    """Return the factor of turned channels: 0.1 ln(factor) + 1, which sharpens the softmax over longer texts."""
    if entries.get("attention_factor") is not None:
        return _number(entries, "attention_factor")

    def growth(weight: float) -> float:
        if factor > 1:
            return 0.1 * weight * math.log(factor) + 1.0
        return 1.0

    if entries.get("mscale") and entries.get("mscale_all_dim"):
        return growth(_number(entries, "mscale")) / growth(_number(entries, "mscale_all_dim"))
    return growth(1.0)


def _longrope(rates: list[float], theta: float, entries: Settings) -> Rotary:
    """Scale as LongRoPE (Ding et al. 2024, arXiv 2402.13753): a divisor a pair, up to the length of the training."""
    divisors = entries.get("short_factor")
    length = _number(entries, "original_max_position_embeddings")
    if isinstance(divisors, list | tuple):
        divisors = list(divisors)
    else:
        divisors = []
    require(len(divisors) == len(rates), "rope_scaling.short_factor", f"must be {len(rates)} numbers", len(divisors))
    parts = [_number({"short_factor": value}, "short_factor") for value in divisors]
    factor = _number(entries, "factor", 1.0)
    if factor > 1:
        grown = math.sqrt(1 + math.log(factor) / math.log(length))
    else:
        grown = 1.0
    scale = _number(entries, "attention_factor", grown)
    return Rotary(tuple(rate / part for rate, part in zip(rates, parts, strict=True)), scale, round(length))


def _divided(rates: list[float], theta: float, entries: Settings) -> Rotary:
    """Return rates divided by a number each, as GGUF files have them."""
    listed = entries.get("divisors")
    divisors = list(listed) if isinstance(listed, list | tuple) else []
    require(len(divisors) == len(rates), "rope_scaling.divisors", f"must be {len(rates)} numbers", len(divisors))
    parts = [_number({"divisors": value}, "divisors") for value in divisors]
    return Rotary(tuple(rate / part for rate, part in zip(rates, parts, strict=True)))


_LENGTH = "original_max_position_embeddings"
# By name: the angles from (rates, theta, entries), and the names of its entries.
SCALINGS: Mapping[str, tuple[Callable[[list[float], float, Settings], Rotary], tuple[str, ...]]] = {
    "default": (_default, ("factor",)),
    "divided": (_divided, ("divisors",)),
    "dynamic": (_dynamic, ("factor", _LENGTH)),
    "linear": (_linear, ("factor",)),
    "llama3": (_llama3, ("factor", "low_freq_factor", "high_freq_factor", _LENGTH)),
    "longrope": (_longrope, ("factor", "short_factor", "long_factor", "attention_factor", _LENGTH)),
    "yarn": (
        _yarn,
        ("factor", "beta_fast", "beta_slow", "mscale", "mscale_all_dim", "attention_factor", "truncate", _LENGTH),
    ),
}
