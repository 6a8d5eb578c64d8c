"""Windowed populations compiled for the grid: windows in steps, and the sources of each receptor."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ...base.errors import require
from ...network.network import Network
from ...network.projection import Link
from ...network.windowed import Windowed

# A window this close to an integer number of steps is one: a multiple of the clock is rarely exact in binary.
WINDOW_SLACK = 1e-6


@dataclass(frozen=True)
class Feed:
    """A link: the units of population `source` are the inputs from `offset` on of a receptor.

    Attributes:
        windowed: whether the source is a windowed population itself, so that its spikes are codes at the ends of
            windows.
        delayed: whether these codes belong to the next window.
    """

    source: int
    receptor: str
    offset: int
    windowed: bool
    delayed: bool

    @property
    def early(self) -> int:
        """Number of steps by which a spike counts as earlier: 1 for a code, which belongs to the window it ends."""
        return int(self.windowed and not self.delayed)


@dataclass(frozen=True, eq=False)
class WindowPlan:
    """A windowed population.

    Attributes:
        number: of the population in the network.
        steps: of a window.
        drives: whether its spikes reach neurons, or are the reward of a learning rule.
        delayed: whether a delayed link starts from it, so that others wait for the end of each of its windows.
        consumers: numbers of the windowed populations that it feeds.
    """

    number: int
    name: str
    windowed: Windowed
    steps: int
    feeds: tuple[Feed, ...]
    drives: bool
    delayed: bool
    consumers: tuple[int, ...]


def compile_windows(network: Network, clock: float) -> tuple[WindowPlan, ...]:
    """Return the windowed populations, each after those that feed it.

    Raises:
        NeurosimInputError: a window that is not an integer number of steps.
    """
    numbers = network.numbers
    # Codes of populations that drive synapses, or are a rule's reward, become spikes; others are read by links alone.
    driving = {projection.source for projection in network.projections}
    rules = [projection.plasticity.terms() for projection in network.projections if projection.plasticity]
    driving |= {terms.modulation.population for terms in rules if terms.modulation is not None}
    plans = []
    for name, windowed in network.windowed().items():
        feeds = [_feed(network, link, numbers[link.source]) for link in network.links if link.target == name]
        consumers = [numbers[link.target] for link in network.links if link.source == name]
        plan = WindowPlan(
            number=numbers[name],
            name=name,
            windowed=windowed,
            steps=_window_steps(name, windowed.window, clock),
            feeds=tuple(feeds),
            drives=name in driving,
            delayed=any(link.delayed for link in network.links if link.source == name),
            consumers=tuple(consumers),
        )
        plans.append(plan)
    return tuple(plans)


def _feed(network: Network, link: Link, source: int) -> Feed:
    windowed = isinstance(network.population(link.source).model, Windowed)
    return Feed(
        source=source,
        receptor=network.link_receptor(link),
        offset=int(link.offset),
        windowed=windowed,
        delayed=link.delayed,
    )


def _window_steps(name: str, window: float, clock: float) -> int:
    steps = round(window / clock)
    fits = steps >= 1 and abs(window / clock - steps) <= WINDOW_SLACK * max(1, steps)
    # For the error: the nearest windows that fit, below and above.
    below = max(1, math.floor(window / clock))
    rule = f"must be a whole number of steps of {clock:g} s, such as {below * clock:g} or {(below + 1) * clock:g} s"
    require(fits, f"Population[{name!r}].model.window", rule, window)
    return steps


def tapped(plans: Sequence[WindowPlan]) -> frozenset[int]:
    """Return the numbers of the populations without windows whose spikes windowed ones receive."""
    return frozenset(feed.source for plan in plans for feed in plan.feeds if not feed.windowed)
