"""The liquid of a problem, shared by the learners that read one out: with one seed they have the same liquid."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ...errors import check_fields, require
from ...liquid import Liquid
from ...random import rng_key
from ...spikes import Recordings
from ..encoding import spike_trains
from ..tasks import Problem, Task

ADAPTED = 60  # items of the first task that the liquid's rates are set on


@dataclass(frozen=True)
class ItemLiquid:
    """A liquid, and how items are played to it.

    Attributes:
        neurons: of the liquid.
        windows: in which a neuron's spikes are counted.
        spikes: of a fully driven unit in a step.
        seconds: that a still image is shown for; a recording's steps take a fifth of it each.
        shape: of the sensor, e.g. [28, 28]: a neuron's synapses come from neighbours in it; none: a line of all units.
    """

    neurons: int = 400
    windows: int = 4
    spikes: int = 4
    seconds: float = 0.1
    shape: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        check_fields(self, {"neurons windows spikes": ">= 1", "seconds": "> 0"})

    def liquid(self, problem: Problem) -> Liquid:
        """Return the liquid of a problem, its gains not yet set."""
        name, shape = f"{type(self).__name__}.shape", self.shape or (problem.units,)
        require(math.prod(shape) == problem.units, name, f"must unfold to the {problem.units} units of an item", shape)
        return Liquid(
            shape,
            neurons=self.neurons,
            in_degree=min(30, self.neurons - 1),
            seed=rng_key(problem.seed, "learner", "liquid") & (2**31 - 1),
        )

    def adapted(self, liquid: Liquid, problem: Problem, task: Task) -> Liquid:
        """Return the liquid with gains set on some items of a task, without their labels."""
        some = np.unique(np.linspace(0, len(task.train) - 1, ADAPTED).round().astype(np.int64))
        return liquid.adapt(self.recordings(problem, task.train.x[some]), threads=1)

    def recordings(self, problem: Problem, x: NDArray[np.uint8]) -> Recordings:
        """Return items as spikes at equal distances in a step; still images among recordings last as long as those."""
        n, steps, units = x.shape
        step = self.seconds if problem.steps == 1 else self.seconds / 5
        if steps < problem.steps:
            x = np.broadcast_to(x, (n, problem.steps, units))
        return replace(spike_trains(x, self.spikes, step), shape=self.shape or (problem.units,))
