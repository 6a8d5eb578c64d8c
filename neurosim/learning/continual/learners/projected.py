"""A liquid that does not change, and a readout that learns in the same network, task after task, by projection."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, final

import numpy as np
from numpy.typing import NDArray

from ....base.errors import require
from ....base.measure.work import LayerCounts
from ....base.random import rng_key
from ....base.rules import Count, Positive, Rule
from ....data.recordings import Recordings
from ....engine.batch import simulate
from ....engine.result import Result
from ....network.network import Network
from ....network.population import Population
from ....network.projection import Link
from ....network.stimuli import SpikeSource
from ....network.windowed import Windowed
from ...readouts.lateral import LateralCircuit
from ...readouts.online import OnlineReadout
from ...readouts.teaching import label_recordings
from ..learner import BATCH, Arrays, Learner, Progress, no_progress
from ..tasks import Items, Problem, Task
from .item_liquid import FirstPass, ItemLiquid, SpikeCache, liquid_spikes
from .state import about, check_arrays

READOUT = "readout"
PREFIX = "readout."


@dataclass(frozen=True)
class ProjectedSettings(ItemLiquid):
    """A liquid and its readout: as `ItemLiquid`, and

    Attributes:
        rows: lateral neurons of each task; the last number stands for all further tasks. There are never more than
            features.
        learning_rate: learning rate of the readout; with 1 every item would end at its target.
        epochs: passes over a task.
        penalty: > 0 projects by recursive least squares instead, without lateral neurons (`readouts.OnlineReadout`);
            in one pass, and `rows` and `learning_rate` play no part.
    """

    rows: tuple[int, ...] = (40,)
    learning_rate: Positive = 0.2
    epochs: Count = 1
    penalty: Annotated[float, Rule(">= 0")] = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        good = len(self.rows) >= 1 and min(self.rows) >= 1
        require(good, "ProjectedSettings.rows", "must be one number at least, each >= 1", self.rows)
        good = self.epochs == 1 or not self.penalty
        rule = "must be 1 with a penalty: each item counts once; set it, too"
        require(good, "ProjectedSettings.epochs", rule, self.epochs)

    def unused(self, images: bool | None) -> dict[str, str]:
        return dict.fromkeys(("rows", "learning_rate"), f"with penalty {self.penalty:g}") if self.penalty else {}

    def model(self, problem: Problem) -> OnlineReadout:
        """Return the readout of a problem."""
        # Lateral neurons of all tasks together span at most all features.
        share = self.neurons * self.windows // problem.tasks
        require(share >= 1, "ProjectedSettings.neurons", f"must give each of {problem.tasks} tasks a feature", share)
        rows = [min(self.rows[min(t, len(self.rows) - 1)], share) for t in range(problem.tasks)]
        return OnlineReadout(
            self.neurons,
            problem.classes,
            windows=self.windows,
            learning_rate=self.learning_rate,
            lateral=None if self.penalty else LateralCircuit(tuple(rows)),
            penalty=self.penalty,
            seed=rng_key(problem.seed, "learner", "projected") & (2**31 - 1),
        )


@final
class Projected(Learner):
    """A liquid state machine whose readout learns from each item by the delta rule, with Hebbian orthogonal projection.

    Items, labels and the liquid's spikes meet in one network of the engine: the readout changes only in directions to
    which its lateral neurons do not answer, because they learn the directions of earlier tasks
    (`readouts.OnlineReadout`). No item and no sum over items is stored; with least squares (`penalty`) every pair of
    features has a weight.

    Attributes:
        liquid: the liquid; its gains are set on items of the first task, without their labels.
        model: the readout.
        weights: arrays of the readout's state.
    """

    name = "projected"
    SETTINGS = ProjectedSettings

    def __init__(self, problem: Problem, settings: ProjectedSettings) -> None:
        super().__init__(problem)
        self.settings = settings
        self.liquid = settings.liquid(problem)
        self.model = settings.model(problem)
        self.gains: NDArray[np.float64] = np.ones(settings.neurons)
        self.weights = self.model.start().arrays()
        self._cache = SpikeCache()

    def begin(self, task: Task) -> None:
        if task.index:
            if self.model.lateral is not None:
                self.weights = self.model.next_task(self.weights)
            return
        self._cache.clear()
        # Gains are set once, on the first task: features keep their meaning in later ones.
        self.liquid = self.settings.adapted(self.liquid, self.problem, task)
        assert self.liquid.gains is not None
        self.gains = np.asarray(self.liquid.gains)

    def learn(self, task: Task, on_progress: Progress = no_progress) -> None:
        key = rng_key(self.problem.seed, "learner", "projected", str(task.index))
        generator = np.random.Generator(np.random.Philox(key=key))
        n = len(task.train)
        done = 0
        self.updates = 0
        # The liquid never changes: later passes play its spikes of the first pass in its place.
        first_pass = FirstPass(n)
        for _ in range(self.settings.epochs):
            order = generator.permutation(n)
            for first in range(0, n, BATCH):
                rows = order[first : first + BATCH]
                part = task.train.select(rows)
                spikes = first_pass.get(rows)
                self.updates += self._written(part)
                # Spikes are recorded in the first pass, as far as memory allows, if there will be a second.
                records = self.settings.epochs > 1 and spikes is None and not first_pass.full
                result = self._run(part.x, part.y, spikes, records=records)
                if records:
                    first_pass.add(rows, liquid_spikes(result))
                # The readout learns within the run, item after item; the next batch continues from its weights.
                self.weights = dict(result.learned[READOUT])
                done += len(part)
                on_progress(done, n * self.settings.epochs)
        self.learned = task.index + 1

    def scores(self, x: NDArray[np.uint8], task: int | None) -> NDArray[Any]:
        """Return scores; the liquid's spikes for items that were scored before come from a cache."""
        spikes = self._cache.get(x)
        result = self._run(x, spikes=spikes, records=spikes is None)
        if spikes is None:
            self._cache.add(x, liquid_spikes(result))
        readings = result.readings[READOUT]
        # The last window has all features.
        return np.array([windows[-1, : self.problem.classes] for windows in readings])

    def work(self, x: NDArray[np.uint8], task: int | None = None) -> list[LayerCounts]:
        return list(self._run(x, count_updates=True).work)

    def memory_bytes(self) -> dict[str, int]:
        liquid = self._run(np.zeros((1, 1, self.problem.units), np.uint8)).work[0].parameter_bytes
        if self.settings.penalty:
            projecting = {"pairs": self.weights["pairs"].nbytes}
        else:
            projecting = {"lateral": self.model.lateral_bytes}
        return {"liquid": liquid, "readout": self.weights["weights"].nbytes, **projecting}

    def state(self) -> dict[str, NDArray[Any]]:
        own = {PREFIX + name: array.copy() for name, array in self.weights.items()}
        return {**own, "gains": self.gains.copy(), **about(self.problem), "learned": np.array(self.learned)}

    def restore(self, arrays: Arrays, earlier: Sequence[Task]) -> None:
        check_arrays(self.name, arrays, self.state())
        # A new state checks names, shapes and ranges.
        state = self.model.start()
        state.restore({name.removeprefix(PREFIX): a for name, a in arrays.items() if name.startswith(PREFIX)})
        self.weights = state.arrays()
        self.gains = np.array(arrays["gains"])
        self.learned = int(arrays["learned"])
        self._cache.clear()
        self.liquid = replace(self.liquid, gains=self.gains)

    def _run(
        self,
        x: NDArray[np.uint8],
        labels: NDArray[np.int64] | None = None,
        spikes: Recordings | None = None,
        *,
        records: bool = False,
        count_updates: bool = False,
    ) -> Result:
        """Play items to the network; with labels the readout learns from them, one after the other.

        Args:
            spikes: spikes of the liquid for these items, which are played in its place; None: the liquid runs.
            records: whether the liquid's spikes are among the results.
        """
        if spikes is None:
            source = "input"
            played = self.settings.recordings(self.problem, x)
        else:
            source = "liquid"
            played = spikes
        clock = self.liquid.clock
        windows = self.model.windows
        # The last window ends with the item, or, where steps do not divide, up to `windows` steps later.
        window = clock * math.ceil(float(played.durations.max()) / clock / windows - 1e-6)
        inputs = {source: replace(played, durations=np.full(len(x), windows * window))}
        if labels is not None:
            # The label comes in the last window, when all features have arrived.
            time = (windows - 1) * window
            inputs["label"] = label_recordings(labels, self.problem.classes, time, windows * window)
        return simulate(
            self._network(window, learn=labels is not None, plays_spikes=spikes is not None),
            inputs,
            clock=clock,
            seed=self.liquid.seed,
            threads=1,
            record=["liquid"] if records else [],
            count_updates=count_updates,
        )

    def _network(self, window: float, *, learn: bool, plays_spikes: bool) -> Network:
        readout = Population(READOUT, self.model.outputs, Windowed(self.model, window, learn, self.weights))
        if plays_spikes:
            # Stored spikes are played under the liquid's name: the readout cannot tell.
            liquid = Network([Population("liquid", self.settings.neurons, SpikeSource())])
        else:
            liquid = self.liquid.network()
        populations = [*liquid.populations, readout]
        links = [Link("liquid", READOUT)]
        if learn:
            populations.append(Population("label", self.problem.classes, SpikeSource()))
            links.append(Link("label", READOUT, "label"))
        return Network(populations, liquid.projections, links=links)

    def _written(self, items: Items) -> int:
        """Return the number of values that learning these items writes.

        An item writes a row of weights for each class so far, and the lateral rows of the task or the weights of all
        pairs of features.
        """
        lateral = self.model.lateral
        features = self.weights["weights"].shape[1]
        if lateral is None:
            projecting = features
        else:
            projecting = lateral.rows[int(self.weights["lateral.task"][0])]
        # Rows of classes so far change with every item: their target is 0.
        seen = self.weights["seen"].copy()
        rows = 0
        for label in items.y:
            seen[label] = True
            rows += int(seen.sum()) + projecting
        return rows * features
