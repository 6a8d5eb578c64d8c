"""Readout that learns in place by a local rule, window by window, with changes projected for one task after another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, final

import numpy as np
from numpy.typing import NDArray

from ...base.errors import NeurosimInputError, lookup, require
from ...base.measure.work import LayerCounts
from ...base.random import rng_key
from ...base.rules import Fraction, Positive, Rule
from ...memory.dendrites.inputs import integer
from ...network.neurons.base import LATER
from ...network.windowed import MAX_COUNT, Arrivals, Output, WindowModel, WindowState, WindowTotals, array_of
from .class_errors import label_error, reward_error
from .features import INPUT, Features, feature_rules
from .lateral import LateralCircuit, LateralState
from .linear import MAX_SCORE, score_names
from .online_weights import OnlineWeights

LABEL = "label"
REWARD = "reward"
TASK = "task"
RULES = ("delta", "reward")
ERRORS = ("linear", "softmax")
# Units of the receptor "reward".
WRONG = 0
RIGHT = 1
# Maximum number of features with a weight for each pair: 2 GB.
MAX_PAIRED = 2**14


@final
@dataclass(frozen=True, eq=False)
class OnlineReadout(WindowModel):
    """Scores s = W x of the features x of the recording so far; W changes when a label or a reward arrives.

        W += step e r^T,    step = learning_rate, or learning_rate / r.x if `normalised`
        r = x, or with a `lateral` circuit x - H_old^T H_old x: the part of x that no earlier task has used

    With `input_rates`, r = g x: feature i has a rate of its own, g_i = 1 / sum x_i^2 over what was learned so far, the
    item included. It is the diagonal of recursive least squares: features that were rarely active learn the most from
    an item, and each synapse needs no more than the history of its own input.

    With a `penalty`, all of recursive least squares: inputs are joined by synapses P, which start at 1 / penalty on the
    diagonal. They answer k = P x, W += e k^T / (1 + k.x), and P -= k k^T / (1 + k.x): each weakens by the product of
    the two answers that it joins. After every item W is the ridge regression of all items so far on targets of 1 and 0,
    each seen once. For a small penalty, penalty P is the projection onto the directions that no item has used (Zeng et
    al. 2019), so that it takes no `lateral` circuit. P has as many weights as pairs of features; `learning_rate` and
    `normalised` play no part.

    where e is the error of each class:
        "delta": from the receptor "label", a spike of the right class. "linear": e = t - s, t being 1 for the right
            class and 0 for others; "softmax": e = t - p, p = softmax(s) over the classes seen so far.
        "reward": from the receptor "reward", a spike of unit 1 (right) or 0 (wrong). Only the weights of the unit that
            has spiked in this window change. "linear": e = +-1 - s; "softmax": e = 1 - p if right, -p if wrong.

    A label or reward may come in any window, and acts after the unit of that window has spiked. One spike must come in
    every recording while the readout learns. The features have `windows` slots, see `LinearReadout`; by default one
    slot collects the whole recording.

    Units are the classes, then the lateral neurons. At the end of every window the class with the largest score spikes,
    on ties the first; with "delta" among the classes seen so far. Readings are the scores, and with a lateral circuit
    |y|^2 / |x|^2 of its answers y and the number of its spikes. It acts only while the readout learns.

    A new task is announced by a spike of the receptor "task", or between two runs by `next_task`: rows of H freeze, and
    the rows of the next task start. With "linear", old classes learn targets of 0 for the new directions of the items
    of a new task, and projection leaves new classes at 0 for old items, so that scores of classes of different tasks
    can be compared.

    Attributes:
        inputs, classes: number of inputs and of classes.
        windows, features, decay, gain: features, as in `LinearReadout`.
        rule, error, learning_rate, normalised, input_rates, penalty: see above; a penalty of 0 is none.
        exploration: fraction of recordings in which a unit drawn at random spikes, with "reward".
        lateral: the circuit that projects changes; None: none.
        seed: key of exploration and of the first lateral weights.

    Raises:
        NeurosimInputError: on construction, naming the attribute and its rule.
    """

    inputs: int
    classes: int
    windows: int = 1
    features: Literal["counts", "roots", "traces"] = "roots"
    decay: Annotated[float, Rule(">= 0 and < 1")] = 0.0
    gain: Positive = 1.0
    rule: Literal["delta", "reward"] = "delta"
    error: Literal["linear", "softmax"] = "linear"
    learning_rate: Positive = 0.5
    normalised: bool = True
    exploration: Fraction = 0.1
    lateral: LateralCircuit | None = None
    seed: int = 0
    input_rates: bool = field(default=False, metadata=LATER)
    penalty: Annotated[float, Rule(">= 0")] = field(default=0.0, metadata=LATER)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_rules", feature_rules(self))
        integer(self.classes, "OnlineReadout.classes", 1, 2**31 - 1)
        integer(self.seed, "OnlineReadout.seed", 0, 2**63 - 1)
        lookup(dict.fromkeys(RULES), self.rule, "OnlineReadout.rule")
        lookup(dict.fromkeys(ERRORS), self.error, "OnlineReadout.error")
        for name in ("normalised", "input_rates"):
            value = getattr(self, name)
            require(isinstance(value, bool), f"OnlineReadout.{name}", "must be true or false", value)
        if self.penalty:
            self._check_pairs()
        if self.lateral is not None:
            good = isinstance(self.lateral, LateralCircuit)
            require(good, "OnlineReadout.lateral", "must be a LateralCircuit or None", self.lateral)
            if self.input_rates:
                raise NeurosimInputError(
                    "OnlineReadout.input_rates: must be false with a lateral circuit (got true): rates of each input "
                    "lead changes out of the directions that the circuit leaves free"
                )
            size = self.inputs * self.windows
            rows = self.lateral.neurons
            require(rows <= size, "OnlineReadout.lateral.rows", f"must be at most the {size} features in all", rows)

    def _check_pairs(self) -> None:
        for name, only in (("rule", "delta"), ("error", "linear"), ("input_rates", False), ("lateral", None)):
            value = getattr(self, name)
            require(value == only, f"OnlineReadout.{name}", f"must be {only!r} with a penalty", value)
        size = self.inputs * self.windows
        rule = f"must be 0 with more than {MAX_PAIRED} inputs x windows, here {size}"
        require(size <= MAX_PAIRED, "OnlineReadout.penalty", rule, self.penalty)

    @property
    def receptors(self) -> Mapping[str, int]:
        receptors = {INPUT: self.inputs}
        if self.rule == "delta":
            receptors[LABEL] = self.classes
        else:
            receptors[REWARD] = 2
        if self.lateral is not None:
            receptors[TASK] = 1
        return receptors

    @property
    def outputs(self) -> int:
        if self.lateral is None:
            return self.classes
        return self.classes + self.lateral.neurons

    @property
    def teachers(self) -> tuple[str, ...]:
        return (LABEL if self.rule == "delta" else REWARD,)

    @property
    def readings(self) -> tuple[str, ...]:
        if self.lateral is None:
            return score_names(self.classes)
        return (*score_names(self.classes), "captured", "lateral_spikes")

    @property
    def lateral_bytes(self) -> int:
        """Bytes of the lateral circuit with the rows of all tasks."""
        if self.lateral is None:
            return 0
        return self.lateral.bytes(self.inputs * self.windows)

    def start(self) -> WindowState:
        return OnlineState(self)

    def next_task(self, learned: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Return what was learned, after the announcement of a new task; for `Windowed.learned`.

        Raises:
            NeurosimInputError: arrays of another model, no lateral circuit, or more tasks than its `rows`.
        """
        state = OnlineState(self)
        state.restore(learned)
        state.next_task()
        return state.arrays()


@final
class OnlineState(WindowState):
    """An online readout in a network."""

    def __init__(self, model: OnlineReadout) -> None:
        self.model = model
        self.features = Features(model._rules)  # type: ignore[attr-defined]
        size = len(self.features.x)
        self.weights = OnlineWeights(
            model.classes,
            size,
            learning_rate=model.learning_rate,
            normalised=model.normalised,
            input_rates=model.input_rates,
            penalty=model.penalty,
        )
        self.scores: NDArray[np.float64] = np.zeros(model.classes)
        # Whether weights have changed since `scores` were computed: most recordings end with their label.
        self._stale = False
        self.seen: NDArray[np.bool_] = np.zeros(model.classes, np.bool_)
        if model.lateral is None:
            self.lateral = None
        else:
            self.lateral = LateralState(model.lateral, size, model.seed)
        # Recordings so far, and items of the present task.
        self._recordings = 0
        self._items = 0
        self._untaught = False

    @property
    def missing(self) -> str | None:
        return self._teacher if self._untaught else None

    def begin(self) -> None:
        if self._untaught:
            name = self._teacher
            raise NeurosimInputError(
                f"OnlineReadout: a recording ended without a spike of its receptor '{name}'; link a source of {name}s "
                "to it, with one spike in every recording, or set Windowed.learn to false"
            )
        self._recordings += self.features.window > 0
        self.features.begin()
        self.scores[:] = 0.0
        self._stale = False
        if self.lateral is not None:
            self.lateral.begin()

    def step(self, arrivals: Mapping[str, Arrivals], *, learn: bool) -> Output:
        from ...kernels.memory.readout.cpu import respond

        self._rescore()
        if learn and self.features.window == 0:
            self._untaught = True
        changed, delta = self.features.arrive(arrivals[INPUT])
        respond(self.weights.w, changed, delta, self.scores)
        operations = len(changed) * self.model.classes
        lateral = np.empty(0, np.int64)
        spikes = 0
        captured = 0.0
        if learn and self.lateral is not None:
            lateral, spikes = self.lateral.respond(changed, delta)
            operations += len(changed) * self.lateral.end
            captured = self.lateral.captured(self.features.x)
        # The unit is chosen before a label or reward of this window acts.
        winner = self._winner(learn)
        readings = tuple(self.scores.tolist())
        if self.lateral is not None:
            readings = (*readings, captured, float(spikes))
        if learn:
            if self.lateral is not None and len(arrivals[TASK].units):
                self.next_task()
            operations += self._learn(arrivals[self._teacher].units, winner)
        units = np.concatenate([[winner], self.model.classes + lateral]).astype(np.int32)
        return Output(units, operations, readings)

    def next_task(self) -> None:
        """Freeze the lateral rows and start the rows of the next task; do nothing before the first item of a task."""
        if self.lateral is None:
            raise NeurosimInputError(
                "OnlineReadout.next_task: has no lateral circuit; give lateral=LateralCircuit(...)"
            )
        if self._items == 0:
            return
        tasks = len(self.lateral.circuit.rows)
        if not self.lateral.tasks_left:
            raise NeurosimInputError(
                f"OnlineReadout: task {tasks + 1} was announced, and LateralCircuit.rows is of {tasks} tasks; give the "
                "rows of every task"
            )
        self.lateral.next_task(self.features.x)
        self._items = 0

    def arrays(self) -> dict[str, NDArray[Any]]:
        self._rescore()
        own = {
            "scores": self.scores.copy(),
            "seen": self.seen.copy(),
            "counters": np.array([self._recordings, self._items], np.int64),
        }
        if self.lateral is None:
            lateral = {}
        else:
            lateral = {f"lateral.{name}": array for name, array in self.lateral.arrays().items()}
        return self.weights.arrays() | own | self.features.arrays() | lateral

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        scores = array_of(arrays, "scores", like=self.scores, low=-MAX_SCORE, high=MAX_SCORE)
        seen = array_of(arrays, "seen", self.seen)
        counters = array_of(arrays, "counters", like=np.zeros(2, np.int64), low=0, high=MAX_COUNT)
        # New parts take the arrays, so that arrays that one of them refuses change nothing here.
        fresh = OnlineState(self.model)
        fresh.weights.restore(arrays)
        if fresh.lateral is not None:
            own = {n.removeprefix("lateral."): array for n, array in arrays.items() if n.startswith("lateral.")}
            fresh.lateral.restore(own)
        fresh.features.restore(arrays)
        self.weights = fresh.weights
        self.lateral = fresh.lateral
        self.features = fresh.features
        self.scores[:] = scores
        self.seen[:] = seen
        self._recordings, self._items = map(int, counters)
        self._untaught = False
        self._stale = False

    def layer(self, name: str, totals: WindowTotals) -> LayerCounts:
        model = self.model
        inputs = self.features.rules.inputs
        if self.lateral is None:
            rows = [self.weights.w]
        else:
            rows = [self.weights.w, self.lateral.rows[: self.lateral.end]]
        units = sum(map(len, rows))
        return LayerCounts(
            name=name,
            inputs=len(self.features.x),
            weights=sum(array.size for array in rows),
            nonzero_weights=sum(int(np.count_nonzero(array)) for array in rows),
            weight_bits=32,
            weight_type="float",
            binary_input=False,
            state_bytes=8 * (units + len(self.features.x)),
            parameter_bytes=self.weights.nbytes + model.lateral_bytes,
            state_bits=64,
            **totals.counts(
                outputs=model.outputs,
                # A dense readout multiplies the features of the present window, whatever spiked.
                dense_operations=inputs * units,
                membranes=units,
            ),
        )

    @property
    def _teacher(self) -> str:
        return self.model.teachers[0]

    def _winner(self, learn: bool) -> int:
        """Return the class that spikes."""
        if learn and self.model.rule == "reward" and self.model.exploration:
            draws = self._draws()
            if draws[0] < self.model.exploration:
                return min(int(draws[1] * self.model.classes), self.model.classes - 1)
        # With "delta" only classes with a label so far compete.
        if self.model.rule == "delta" and self.seen.any():
            scores = np.where(self.seen, self.scores, -np.inf)
        else:
            scores = self.scores
        return int(scores.argmax())

    def _draws(self) -> NDArray[np.float64]:
        """Return two numbers in (0, 1), the same in all windows of a recording."""
        from ...kernels.tools.random import uniforms

        out = np.empty(2)
        uniforms(np.uint64(rng_key(self.model.seed, "readout", "exploration")), 2 * self._recordings, 0, out)
        return out

    def _learn(self, units: NDArray[np.int32], winner: int) -> int:
        """Change weights after a label or reward; return the number of synapses that answered or fed back."""
        if not len(units):
            return 0
        name = self._teacher
        kind = self.model.error
        require(len(units) == 1, f"OnlineReadout: receptor '{name}'", "must get one unit in a window", units.tolist())
        self._untaught = False
        self._items += 1
        if name == LABEL:
            label = int(units[0])
            self.seen[label] = True
            error = label_error(self.scores, label, self.seen, kind)
        else:
            error = reward_error(self.scores, winner, bool(units[0] == RIGHT), kind)
        x = self.features.x
        # A recording without a spike teaches nothing.
        if not x.any():
            return 0
        self._stale = True
        return self.weights.change(x, error, self.lateral)

    def _rescore(self) -> None:
        """Compute the scores anew if weights have changed."""
        from ...kernels.memory.readout.cpu import product

        if self._stale:
            product(self.weights.w, self.features.x, self.scores)
            self._stale = False
