"""Shares of training objectives: fixed, or chosen by the progress of their losses (Blouir et al. 2024, 2411.01030).

After each interval every objective's loss l has become l'. Its reward is high where the loss fell:

    r = clip(-100 e tanh(e sqrt(l' l) ((l' - l) / l)^3), -1, 1)

A network learns r from (l, shares) of the intervals so far and predicts it for 16,384 random shares. The next shares
are the mean of its eight best, or random ones, in a part of the intervals that falls from a half to a fifth. Draws are
keyed by the seed and the number of the interval, and the network is fitted anew: the record of intervals is the whole
state.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ...base.optimizers import AdamW
from ...base.plain import Record
from ...base.random import rng_key

# Share of the intervals with random shares, at the start and from the middle of the training on.
EXPLORATION = (0.5, 0.2)
CANDIDATES = 4096  # random shares of each of the four distributions
BEST = 8  # candidates of highest predicted reward, whose mean is taken
# Of the network of rewards: hidden channels, updates, and learning rate.
HIDDEN = 64
FITS = 200
LEARNING_RATE = 5e-3
MIN_SHARE = 0.01  # share of every objective, so that its loss is known
LAST_INTERVALS = 64  # intervals that the network learns from


@dataclass(frozen=True, kw_only=True)
class Interval(Record):
    """Shares of the objectives in an interval, their losses before it, and their rewards."""

    shares: tuple[float, ...]
    losses: tuple[float, ...]
    rewards: tuple[float, ...]


def rewards(before: Tensor, after: Tensor) -> Tensor:
    """Return r of each objective from its losses before and after an interval."""
    change = (after - before) / before
    return (-100 * math.e * torch.tanh(math.e * (after * before).sqrt() * change**3)).clamp(-1, 1)


def choose_shares(
    intervals: tuple[Interval, ...], losses: tuple[float, ...], done: float, seed: int
) -> tuple[float, ...]:
    """Return the shares of the next interval.

    Args:
        intervals: the intervals so far.
        losses: current losses of the objectives.
        done: share of the training that is over.
    """
    draws = torch.Generator().manual_seed(rng_key(seed, "mixture", str(len(intervals))) >> 1)
    first, last = EXPLORATION
    exploration = last + (first - last) * 0.5 * (1 + math.cos(math.pi * min(2 * done, 1.0)))
    candidates = _candidates(len(losses), draws)
    if not intervals or float(torch.rand((), generator=draws)) < exploration:
        point = candidates[int(torch.randint(len(candidates), (), generator=draws))]
    else:
        network = _fitted(intervals[-LAST_INTERVALS:], seed)
        now = torch.tensor(losses).expand(len(candidates), -1)
        with torch.no_grad():
            expected = network(torch.cat([now, candidates], 1)).sum(1)
        # The mean of the best is steadier than the best, whose prediction is the most lucky.
        point = candidates[expected.topk(BEST).indices].mean(0)
    # Every objective keeps MIN_SHARE, and the rest is divided as the point says.
    return tuple((MIN_SHARE + (1 - MIN_SHARE * len(losses)) * point).tolist())


def _candidates(count: int, draws: torch.Generator) -> Tensor:
    """Return [4 CANDIDATES, count] shares: uniform ones, and ones with few large parts, of Pareto's distribution."""
    parts = [torch.rand(CANDIDATES, count, generator=draws)]
    parts += [(1 - torch.rand(CANDIDATES, count, generator=draws)) ** (-1 / power) for power in (1, 2, 3)]
    points = torch.cat(parts)
    return points / points.sum(1, keepdim=True)


def _fitted(intervals: tuple[Interval, ...], seed: int) -> nn.Module:
    """Return a network [losses, shares] -> rewards, fitted to the intervals."""
    inputs = torch.tensor([[*each.losses, *each.shares] for each in intervals])
    targets = torch.tensor([each.rewards for each in intervals])
    # torch's own generator goes on as it was: the training that asks draws from it.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(rng_key(seed, "mixture", "network") >> 1)
        network = nn.Sequential(
            nn.Linear(inputs.shape[1], HIDDEN),
            nn.GELU(),
            nn.Linear(HIDDEN, HIDDEN),
            nn.GELU(),
            nn.Linear(HIDDEN, targets.shape[1]),
            nn.Tanh(),
        )
    optimizer = AdamW(network.parameters(), lr=LEARNING_RATE, weight_decay=0.1)
    for _ in range(FITS):
        optimizer.zero_grad()
        (network(inputs) - targets).square().mean().backward()
        optimizer.step()
    return network
