"""Thresholds from text: for each channel the one whose error and spikes together cost the loss least.

Of every channel and every threshold of a grid the text tells two figures: the error the coding makes, weighted by how
much the loss minds it (`listen`), D nats a token, and the spikes it sends, R a token. With one price a spike for the
whole network, each channel takes the threshold of least D + price * R; the price is the one at which the mean over all
channels is what was asked for. So spikes go where they save most, within a layer and between layers: the Lagrangian
form of optimal bit allocation (Shoham & Gersho 1988).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..attention import LanguageModel
from ..errors import lookup, require
from .coding import INT8, Coder, Levels, levels_of
from .expansions import EXPANSIONS, count_spikes
from .listen import listen

# Thresholds in multiples of a channel's mean |x|; the last one silences it.
GRID = (*np.geomspace(0.05, 8.0, 22).tolist(), 1e6)
# Of a layer whose counts are limited, in multiples of what its largest |x| needs.
LAYER_GRID = tuple(np.geomspace(0.02, 1.5, 22).tolist())
PRICE = 0.5  # of a spike within a channel, in squared thresholds: see `coding.levels_of`
LEAST = 1e-6


@dataclass(frozen=True)
class Calibrated:
    """Coders by the name of their layer, and what they are expected to do.

    Attributes:
        coders: one a layer.
        price: nats a token that one more spike a token must save.
        spikes: expected mean a channel.
        increase: expected loss, nats a token, to second order and as if errors were independent.
    """

    coders: Mapping[str, Coder]
    price: float
    spikes: float
    increase: float


class _Table:
    """Sums over text for one layer, for every threshold of the grid: rows of [grid, K]."""

    def __init__(self, first: Tensor, costs: Tensor, levels: Levels) -> None:
        self.thresholds = torch.tensor(GRID)[:, None] * first.abs().mean(0).clamp(min=LEAST)
        self.costs, self.counts, self.levels = costs, levels.counts.float(), levels
        shape = self.thresholds.shape
        self.cross, self.power, self.spikes = (torch.zeros(shape, dtype=torch.float64) for _ in range(3))
        self.whole, self.rows = torch.zeros(shape[1], dtype=torch.float64), 0

    def add(self, x: Tensor, gradient: Tensor) -> None:
        weight, size = gradient.square(), x.abs()
        self.rows += len(x)
        self.whole += (weight * size.square()).sum(0)
        for i, thresholds in enumerate(self.thresholds):
            level = self.levels.index(size / thresholds).flatten()
            counts = self.counts.index_select(0, level).view(x.shape)
            weighted = weight * counts
            self.cross[i] += (weighted * size).sum(0)
            self.power[i] += (weighted * counts).sum(0)
            self.spikes[i] += self.costs.index_select(0, level).view(x.shape).sum(0)

    def finish(self) -> tuple[Tensor, Tensor, Tensor]:
        """(scales, D, R), each [grid, K]: the scale of least weighted error, nats and spikes a token."""
        # A channel that sends nothing has any scale; a small one, for int8 weights share the range of a row.
        scales = torch.where(self.cross > 0, self.cross / self.power.clamp(min=1e-300), LEAST)
        errors = self.whole - 2 * scales * self.cross + scales.square() * self.power
        return scales, errors.clamp(min=0) / (2 * self.rows), self.spikes / self.rows


@dataclass(frozen=True, eq=False)
class Survey:
    """What the text tells of every channel of a model, whatever number of spikes is then asked for.

    Attributes:
        model: the dense model that was listened to.
        thresholds, scales, errors, spikes: by layer, each [grid, K]: D nats and R spikes a token.
    """

    model: LanguageModel
    thresholds: Mapping[str, Tensor]
    scales: Mapping[str, Tensor]
    errors: Mapping[str, Tensor]
    spikes: Mapping[str, Tensor]

    def choose(self, spikes: float, scheme: str = "calibrated") -> Calibrated:
        """Coders for a mean of so many spikes a channel and token.

        Raises:
            NeurosimInputError: more spikes than the finest thresholds send.
        """
        require(spikes > 0, "calibrate.spikes", "must be > 0 a channel", spikes)
        errors, sent = (torch.cat(list(part.values()), 1) for part in (self.errors, self.spikes))
        price = _price(errors, sent, spikes)
        coders, mean, lost = {}, 0.0, 0.0
        for name in self.errors:
            best = (self.errors[name] + price * self.spikes[name]).argmin(0, keepdim=True)
            thresholds, scales = (part[name].gather(0, best)[0].float() for part in (self.thresholds, self.scales))
            coders[name] = Coder(scheme, thresholds, scales, price=PRICE, limit=INT8)
            mean += float(self.spikes[name].gather(0, best).sum()) / sent.shape[1]
            lost += float(self.errors[name].gather(0, best).sum())
        return Calibrated(coders, price, mean, lost)


def survey(
    model: LanguageModel, names: Sequence[str], windows: Tensor, expansion: str = "bitwise", seed: int = 0
) -> Survey:
    """Listen to these layers of a model.

    Args:
        windows: [B, T + 1] tokens.
        expansion: whose spikes are counted.
        seed: of the labels drawn for sensitivities.
    """
    levels = levels_of(PRICE)
    costs = torch.from_numpy(count_spikes(lookup(EXPANSIONS, expansion, "expansion"), levels.counts.numpy(), 8)).float()
    tables: dict[str, _Table] = {}

    def add(name: str, x: Tensor, gradient: Tensor) -> None:
        if name not in tables:
            tables[name] = _Table(x, costs, levels)
        tables[name].add(x, gradient)

    listen(model, names, windows, add, seed)
    done = {name: tables[name].finish() for name in names}
    parts = [{name: figures[i] for name, figures in done.items()} for i in range(3)]
    return Survey(model, {name: tables[name].thresholds for name in names}, *parts)


def _price(errors: Tensor, spikes: Tensor, wanted: float) -> float:
    """The price of a spike at which the mean over channels is `wanted`, by bisection of its logarithm."""
    most = float(spikes[0].mean())
    require(wanted <= most, "calibrate.spikes", f"must be <= {most:.3g} a channel, which the finest code sends", wanted)
    low, high = -60.0, 20.0
    for _ in range(60):
        middle = (low + high) / 2
        best = (errors + math.exp(middle) * spikes).argmin(0, keepdim=True)
        low, high = (middle, high) if float(spikes.gather(0, best).mean()) > wanted else (low, middle)
    return math.exp(high)


def layer_thresholds(
    model: LanguageModel, names: Sequence[str], windows: Tensor, scheme: str, levels: int, seed: int = 0
) -> dict[str, Tensor]:
    """[1] of each layer the threshold of least error where counts are limited to +-levels, weighted as in `survey`.

    Args:
        windows: [B, T + 1] tokens.
        scheme: whose rounding is used.
        seed: of the labels drawn for sensitivities.
    """
    thresholds: dict[str, Tensor] = {}
    errors: dict[str, Tensor] = {}

    def add(name: str, x: Tensor, gradient: Tensor) -> None:
        if name not in thresholds:
            thresholds[name] = torch.tensor(LAYER_GRID) * x.abs().max().clamp(min=LEAST) / levels
            errors[name] = torch.zeros(len(LAYER_GRID), dtype=torch.float64)
        weight = gradient.square()
        for i, threshold in enumerate(thresholds[name]):
            coder = Coder(scheme, threshold[None], limit=float(levels))
            errors[name][i] += (weight * (x - coder(x)).square()).sum()

    listen(model, names, windows, add, seed)
    return {name: thresholds[name][errors[name].argmin()][None] for name in names}
