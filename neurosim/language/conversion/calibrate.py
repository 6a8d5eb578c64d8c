"""Thresholds from text: for each channel the threshold of least cost, error and spikes together.

Text gives two numbers for every channel and every threshold of a grid: D nats a token, the error of the coding weighted
by the gradient of the loss (`collect_gradients`), and R, spikes a token. With one price of a spike for the whole
network, each channel takes the threshold of least D + price * R; the price is chosen so that the mean over all channels
is the requested one. Spikes then go where they save most, within a layer and between layers: the Lagrangian form of
optimal bit allocation (Shoham & Gersho 1988).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ...base.errors import NeurosimInputError, lookup, require
from ...base.shown import Shown
from ..attention.model import LanguageModel
from .coding import Coder
from .expansions import EXPANSIONS, count_spikes
from .gradients import collect_gradients
from .roundings import INT8, Levels, levels_of

# Thresholds in multiples of the mean |x| of a channel; the last one silences it.
GRID = (*np.geomspace(0.05, 8.0, 22).tolist(), 1e6)
# Thresholds of a layer with limited counts, in multiples of max |x| / limit.
LAYER_GRID = tuple(np.geomspace(0.02, 1.5, 22).tolist())
PRICE = 0.5  # of a spike within a channel, in squared thresholds: see `roundings.levels_of`
MIN_THRESHOLD = 1e-6


@dataclass(frozen=True)
class CoderChoice:
    """Coders by the name of their layer, and their expected effect.

    Attributes:
        coders: one for each layer.
        price: nats a token that one more spike a token must save.
        spikes: expected mean of a channel.
        increase: expected increase of the loss, nats a token, to second order and for independent errors.
    """

    coders: Mapping[str, Coder]
    price: float
    spikes: float
    increase: float


@dataclass(frozen=True, eq=False)
class ChannelStatistics:
    """Effect of every threshold of the grid on every channel of a layer, each [grid, K].

    Attributes:
        thresholds: in units of the input.
        scales: scales of least weighted error.
        errors: D, nats a token.
        spikes: R, a token.
    """

    thresholds: Tensor
    scales: Tensor
    errors: Tensor
    spikes: Tensor


class _Table:
    """Sums over text for one layer, for every threshold of the grid: rows of [grid, K].

    With g the gradient by x and s the count, D = sum g^2 (|x| - scale s)^2 / 2, which is (whole - 2 scale cross +
    scale^2 power) / 2: three sums give the error of every scale.

    Attributes:
        whole, cross, power: sums of g^2 x^2, g^2 |x| s and g^2 s^2.
        spikes: sum of the spikes of s.
    """

    def __init__(self, first: Tensor, costs: Tensor, levels: Levels) -> None:
        means = first.abs().mean(0).clamp(min=MIN_THRESHOLD)
        self.thresholds = torch.tensor(GRID, device=first.device)[:, None] * means
        self.costs = costs.to(first.device)
        self.counts = levels.counts.to(first.device).float()
        self.levels = levels
        zeros = torch.zeros(self.thresholds.shape, dtype=torch.float64, device=first.device)
        self.cross = zeros.clone()
        self.power = zeros.clone()
        self.spikes = zeros.clone()
        self.whole = zeros[0].clone()
        self.rows = 0

    def add(self, x: Tensor, gradient: Tensor) -> None:
        """Add inputs [n, K] and the gradients of the loss by them."""
        weight = gradient.square()
        size = x.abs()
        self.rows += len(x)
        self.whole += (weight * size.square()).sum(0)
        for i, thresholds in enumerate(self.thresholds):
            level = self.levels.index(size / thresholds).flatten()
            counts = self.counts.index_select(0, level).view(x.shape)
            weighted = weight * counts
            self.cross[i] += (weighted * size).sum(0)
            self.power[i] += (weighted * counts).sum(0)
            self.spikes[i] += self.costs.index_select(0, level).view(x.shape).sum(0)

    def finish(self) -> ChannelStatistics:
        """Return the statistics at the best scale of every threshold."""
        # dD / dscale = 0 at cross / power.
        # A silent channel may have any scale; a small one, because int8 weights share the range of a row.
        scales = torch.where(self.cross > 0, self.cross / self.power.clamp(min=1e-300), MIN_THRESHOLD)
        errors = self.whole - 2 * scales * self.cross + scales.square() * self.power
        errors = errors.clamp(min=0) / (2 * self.rows)
        return ChannelStatistics(self.thresholds, scales, errors, self.spikes / self.rows)


@dataclass(frozen=True, eq=False)
class Survey(Shown):
    """Statistics of every channel of a model, for any number of spikes.

    Attributes:
        model: the dense model.
        layers: statistics of the layers by name.
    """

    model: LanguageModel
    layers: Mapping[str, ChannelStatistics]

    def choose(self, spikes: float, scheme: str = "calibrated") -> CoderChoice:
        """Choose coders for a mean number of spikes a channel and token.

        Raises:
            NeurosimInputError: more spikes than the finest thresholds send.
        """
        require(spikes > 0, "calibrate.spikes", "must be > 0 a channel", spikes)
        errors = torch.cat([layer.errors for layer in self.layers.values()], 1)
        sent = torch.cat([layer.spikes for layer in self.layers.values()], 1)
        price = _price(errors, sent, spikes)
        coders = {}
        mean = 0.0
        increase = 0.0
        for name, layer in self.layers.items():
            # The threshold of least D + price R of each channel, on its own.
            best = (layer.errors + price * layer.spikes).argmin(0, keepdim=True)
            thresholds, scales = (part.gather(0, best)[0].float() for part in (layer.thresholds, layer.scales))
            coders[name] = Coder(scheme, thresholds, scales, price=PRICE, limit=INT8)
            mean += float(layer.spikes.gather(0, best).sum()) / sent.shape[1]
            increase += float(layer.errors.gather(0, best).sum())
        return CoderChoice(coders, price, mean, increase)


def survey_channels(
    model: LanguageModel,
    names: Sequence[str],
    windows: Tensor,
    expansion: str = "bitwise",
    seed: int = 0,
    on_progress: Callable[[int, int], None] | None = None,
) -> Survey:
    """Collect the statistics of the layers `names`.

    Args:
        windows: [B, T + 1] tokens.
        expansion: expansion in which spikes are counted.
        seed: key of the labels, see `collect_gradients`.
        on_progress: called with (windows read, windows in all).
    """
    levels = levels_of(PRICE)
    costs = torch.from_numpy(count_spikes(lookup(EXPANSIONS, expansion, "expansion"), levels.counts.numpy(), 8)).float()
    tables: dict[str, _Table] = {}

    def add(name: str, x: Tensor, gradient: Tensor) -> None:
        if not len(x):
            return
        if name not in tables:
            tables[name] = _Table(x, costs, levels)
        tables[name].add(x, gradient)

    collect_gradients(model, names, windows, add, seed, on_progress)
    _require_all(names, tables)
    return Survey(model, {name: tables[name].finish() for name in names})


def _require_all(names: Sequence[str], present: Mapping[str, object]) -> None:
    """Raise `NeurosimInputError` for a layer that no token of the text reached: an expert, or one of chosen tokens."""
    for name in names:
        if name not in present:
            raise NeurosimInputError(
                f"calibration text: no token of it reached {name}; give more windows (calibration.windows), or use "
                "scheme 'ternary', which needs no text"
            )


def _price(errors: Tensor, spikes: Tensor, spike_limit: float) -> float:
    """Return the price of a spike for which the mean over channels is `spike_limit`, by bisection of its logarithm."""
    finest = float(spikes[0].mean())
    rule = f"must be <= {finest:.3g} a channel, of the finest code"
    require(spike_limit <= finest, "calibrate.spikes", rule, spike_limit)
    # e^-60 is free, and e^20 silences every channel; 60 halvings leave less than rounding.
    low = -60.0
    high = 20.0
    for _ in range(60):
        middle = (low + high) / 2
        best = (errors + math.exp(middle) * spikes).argmin(0, keepdim=True)
        # A higher price never sends more spikes.
        if float(spikes.gather(0, best).mean()) > spike_limit:
            low = middle
        else:
            high = middle
    return math.exp(high)


def layer_thresholds(
    model: LanguageModel,
    names: Sequence[str],
    windows: Tensor,
    scheme: str,
    levels: int,
    seed: int = 0,
    on_progress: Callable[[int, int], None] | None = None,
) -> dict[str, Tensor]:
    """Return for each layer the threshold [1] of least error, counts being limited to +-levels.

    Args:
        windows: [B, T + 1] tokens.
        scheme: the one that rounds.
        seed: key of the labels, see `collect_gradients`.
        on_progress: called with (windows read, windows in all).
    """
    thresholds: dict[str, Tensor] = {}
    errors: dict[str, Tensor] = {}

    def add(name: str, x: Tensor, gradient: Tensor) -> None:
        if not len(x):
            return
        if name not in thresholds:
            # From the first batch alone: the grid covers thresholds up to 1.5 times the one that its maximum needs.
            largest = x.abs().max().clamp(min=MIN_THRESHOLD)
            thresholds[name] = torch.tensor(LAYER_GRID, device=x.device) * largest / levels
            errors[name] = torch.zeros(len(LAYER_GRID), dtype=torch.float64, device=x.device)
        weight = gradient.square()
        for i, threshold in enumerate(thresholds[name]):
            coder = Coder(scheme, threshold[None], limit=float(levels))
            errors[name][i] += (weight * (x - coder(x)).square()).sum()

    collect_gradients(model, names, windows, add, seed, on_progress)
    _require_all(names, thresholds)
    return {name: thresholds[name][errors[name].argmin()][None] for name in names}
