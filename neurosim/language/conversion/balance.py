"""A k for each group of layers that read the same values: one price of a spike over all of them.

Thresholds that follow tokens round x with noise of variance (level / k)^2 / 12, level = mean |x| of the token. With the
gradient g of the loss by x it costs, to second order and for independent errors,

    D = E / k^2,  E = sum over tokens of level^2 sum g^2 / 24

nats, and a k twice as large sends about as many spikes more for every channel. At one price of a spike k^2 is therefore
proportional to E / K, with K the channels of all readers of x (reverse water-filling, Cover & Thomas 2006, 10.3.3).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from torch import Tensor

from ..attention.model import LanguageModel
from .coding import token_levels
from .gradients import collect_gradients

WINDOWS = 6  # of text: a k for each group needs less of it than a threshold for each channel
RANGE = 4.0  # of a factor, up and down


class _Groups:
    """Sums over text by group of layers with one input.

    Attributes:
        of: the first layer of each layer's group, by name.
        costs: sums of level^2 g^2 over tokens and channels, by first layer; of all readers.
        entries: channels x tokens, of all readers.
    """

    def __init__(self) -> None:
        self.of: dict[str, str] = {}
        self.costs: dict[str, float] = {}
        self.entries: dict[str, int] = {}
        self._inputs: dict[tuple[int, tuple[int, ...]], str] = {}

    def add(self, name: str, x: Tensor, gradient: Tensor) -> None:
        """Add inputs [n, K] of a layer and the gradients of the loss by them."""
        # All inputs of a pass exist at once: one address is one input, until a layer comes again.
        if name in self.of:
            self._inputs.clear()
        else:
            self.of[name] = self._inputs.setdefault((x.data_ptr(), tuple(x.shape)), name)
        group = self.of[name]
        levels = token_levels(x, 1.0)[:, 0].double()
        cost = float((gradient.double().square().sum(1) * levels.square()).sum())
        self.costs[group] = self.costs.get(group, 0.0) + cost
        self.entries[group] = self.entries.get(group, 0) + x.numel()


def balance_counts(
    model: LanguageModel,
    names: Sequence[str],
    windows: Tensor,
    seed: int = 0,
    on_progress: Callable[[int, int], None] | None = None,
) -> dict[str, float]:
    """Return the factor of k of every layer; their geometric mean over channels is 1, where none is out of range.

    A layer that the text does not reach, or that costs nothing, has a factor of 1.

    Args:
        windows: [B, T + 1] tokens.
        seed: key of the labels of the first window, see `collect_gradients`; the next has the next key.
        on_progress: called with (windows read, windows in all).
    """
    groups = _Groups()
    for read, window in enumerate(windows):
        # One window at a time: the logits of a large vocabulary take more memory than all else.
        collect_gradients(model, names, windows=window[None], observer=groups.add, seed=seed + read)
        if on_progress is not None:
            on_progress(read + 1, len(windows))
    logs = {
        group: 0.5 * math.log(cost / groups.entries[group])
        for group, cost in groups.costs.items()
        if cost > 0 and math.isfinite(cost)
    }
    if not logs:
        return dict.fromkeys(names, 1.0)
    entries = sum(groups.entries[group] for group in logs)
    mean = sum(groups.entries[group] * log for group, log in logs.items()) / entries
    factors = {group: min(max(math.exp(log - mean), 1 / RANGE), RANGE) for group, log in logs.items()}
    return {name: factors.get(groups.of.get(name, name), 1.0) for name in names}
