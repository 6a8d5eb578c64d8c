"""The settings of a run that matches two senses: the recordings, the liquids, the projections, the new classes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from ....base.errors import require
from ....base.rules import Count, Natural, NotEmpty, Seed
from ....learning.liquid.cross_modal import Contrast
from ....learning.liquid.liquid import Liquid
from ..frame.config import Data, RunConfig, without_use


@dataclass(frozen=True, kw_only=True)
class MatchConfig(RunConfig):
    """Everything that decides the results of a run that matches two senses.

    Attributes:
        seed: key of both liquids, of the first weights of the projections, and of the draws of recordings.
        seen, heard: recordings of both senses; classes are the same where their numbers are.
        new: numbers of the classes that are not learned; empty: each pair of classes in turn.
        shots: numbers of labelled recordings of each new class and sense that are learned beside the others.
        each: number of recordings of a class and sense that are learned.
        neurons: of each liquid, which does not learn.
        windows: parts of a recording; the spikes of each neuron in each of them are a feature.
        contrast: how the projections are trained; see `learning.liquid.cross_modal.Contrast`. Its seed is `seed`.
    """

    seed: Seed = 0
    seen: Data
    heard: Data
    new: tuple[Natural, ...] = ()
    shots: Annotated[tuple[Natural, ...], NotEmpty()] = (0, 1, 3, 10)
    each: Count = 30
    neurons: Count = 1000
    windows: Count = 4
    contrast: Contrast = Contrast()

    def unused(self) -> Mapping[str, str]:
        return without_use("in a run whose settings are those of no dataset", "seen.like", "heard.like")

    def check(self) -> None:
        least = Liquid.in_degree + 1
        rule = f"must be at least {least}: a neuron has synapses from {Liquid.in_degree} others"
        require(self.neurons >= least, "neurons", rule, self.neurons)
        good = len(self.new) != 1 and len(set(self.new)) == len(self.new)
        require(good, "new", "must be two classes at least, each once, or none for each pair in turn", self.new)


# The kind of run finds its settings by this name.
CONFIG = MatchConfig
