"""Lateral circuit of a readout: neurons that learn the directions of its inputs, task by task."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal, final

import numpy as np
from numpy.typing import NDArray

from ...base.errors import lookup, require
from ...base.random import rng_key
from ...base.rules import Positive, Rule, check_rules
from ...memory.dendrites.inputs import integer
from ...network.windowed import array_of
from .features import MAX_FEATURES

if TYPE_CHECKING:
    from ...kernels.memory.lateral.reference import LateralRules

RULES = ("hebbian", "deflation")
# Bound of a weight in a saved state.
MAX_WEIGHT = float(np.finfo(np.float32).max)
MAX_ANSWER = 1e300


@final
@dataclass(frozen=True)
class LateralCircuit:
    """Lateral neurons with weights H: they answer y = H x and send back x^ = H^T y (Xiao et al., ICLR 2024).

    Each task has rows of its own. Rows of the present task learn to answer what all earlier ones leave of the input,
    x - H_old^T H_old x; with the next task they are frozen, and new rows start orthogonal to them.

    - "deflation", the default: dh = y (x - x^) / p, row after row. x^ is the feedback of the rows up to this one, and p
      the power sum y^2 of the row so far (Yang 1995, PASTd). Each item is seen once, at any scale, and there is nothing
      to choose; frozen rows are made orthonormal.
    - "hebbian", as published: dH = y (x - x^)^T of all new rows at once, cut at +-10, m = momentum m + (1 - momentum)
      dH, H += learning_rate m, `iterations` times an item. It needs many items and a rate below 1 / |x|^2.

    Attributes:
        rows: number of lateral neurons of each task, at most the features in all.
        rule, learning_rate, momentum, iterations: see above; the last three have an effect on "hebbian" alone.
        spiking: whether y is rounded to signed levels and sent as spikes, one for each level that y rises or falls.
        scale, levels: y reaches from -scale to scale in `levels` steps each way.

    Raises:
        NeurosimInputError: on construction, naming the attribute and its rule.
    """

    rows: tuple[int, ...]
    rule: Literal["deflation", "hebbian"] = "deflation"
    learning_rate: Positive = 0.01
    momentum: Annotated[float, Rule(">= 0 and < 1")] = 0.9
    iterations: int = 5
    spiking: bool = False
    scale: Positive = 20.0
    levels: int = 40

    def __post_init__(self) -> None:
        lookup(dict.fromkeys(RULES), self.rule, "LateralCircuit.rule")
        if isinstance(self.rows, (tuple, list)):
            rows = tuple(self.rows)
        else:
            rows = (self.rows,)
        require(len(rows) > 0, "LateralCircuit.rows", "needs a number for each task", rows)
        checked = tuple(integer(n, f"LateralCircuit.rows[{t}]", 1, MAX_FEATURES) for t, n in enumerate(rows))
        object.__setattr__(self, "rows", checked)
        for name in ("iterations", "levels"):
            integer(getattr(self, name), f"LateralCircuit.{name}", 1, MAX_FEATURES)
        check_rules(self)
        require(isinstance(self.spiking, bool), "LateralCircuit.spiking", "must be true or false", self.spiking)

    @property
    def neurons(self) -> int:
        """Number of lateral neurons of all tasks."""
        return sum(self.rows)

    def bytes(self, features: int) -> int:
        """Return the bytes of weights and of the state of learning, for this number of features."""
        weights = 4 * features
        # "hebbian" has a momentum for each weight, "deflation" a power for each neuron.
        if self.rule == "hebbian":
            learning = weights
        else:
            learning = 8
        return self.neurons * (weights + learning)

    def compiled(self) -> LateralRules:
        """Return the settings as the kernel takes them."""
        from ...kernels.memory.lateral.reference import DEFLATION, HEBBIAN, LateralRules

        kind = {"hebbian": HEBBIAN, "deflation": DEFLATION}[self.rule]
        level = self.scale / self.levels if self.spiking else 0.0
        return LateralRules(
            kind=kind,
            rate=self.learning_rate,
            momentum=self.momentum,
            iterations=self.iterations,
            level=level,
            levels=self.levels,
        )


@final
class LateralState:
    """Weights and answers of the lateral neurons.

    Attributes:
        rows: [neurons, features] float32; rows of later tasks are zero.
        task: number of the present task.
    """

    def __init__(self, circuit: LateralCircuit, features: int, seed: int) -> None:
        n = circuit.neurons
        self.circuit = circuit
        self._rules = circuit.compiled()
        self._seed = seed
        self.rows: NDArray[np.float32] = np.zeros((n, features), np.float32)
        hebbian = circuit.rule == "hebbian"
        self._velocity: NDArray[np.float32] = np.zeros((n, features) if hebbian else (0, features), np.float32)
        self._power: NDArray[np.float64] = np.zeros(0 if hebbian else n)
        self._answers: NDArray[np.float64] = np.zeros(n)
        # Levels that the spikes of each neuron add up to so far.
        self._sent: NDArray[np.int64] = np.zeros(n, np.int64)
        # Task t has the rows from ends[t] to ends[t + 1].
        self._ends = np.cumsum([0, *circuit.rows]).tolist()
        self.task = 0
        self._grow()

    @property
    def frozen(self) -> int:
        """Number of rows of earlier tasks."""
        return int(self._ends[self.task])

    @property
    def end(self) -> int:
        """Number of rows of all tasks so far."""
        return int(self._ends[self.task + 1])

    @property
    def tasks_left(self) -> int:
        """Number of tasks that may still be announced."""
        return len(self.circuit.rows) - self.task - 1

    def begin(self) -> None:
        """Start a new recording: the neurons fall silent."""
        self._answers[:] = 0.0
        self._sent[:] = 0

    def respond(self, changed: NDArray[np.int64], delta: NDArray[np.float64]) -> tuple[NDArray[np.int64], int]:
        """Update y by a change of features; return the neurons that spike, and the number of their spikes."""
        from ...kernels.memory.readout.cpu import respond

        respond(self.rows[: self.end], changed, delta, self._answers[: self.end])
        if not self.circuit.spiking:
            return np.empty(0, np.int64), 0
        # A neuron sends a spike for each level that its answer has risen or fallen.
        levels = np.rint(self._rounded() / self._rules.level).astype(np.int64)
        change = levels - self._sent[: self.end]
        self._sent[: self.end] = levels
        return np.flatnonzero(change), int(np.abs(change).sum())

    def captured(self, x: NDArray[np.float32]) -> float:
        """Return |y|^2 / |x|^2, the fraction of the power captured once rows are orthonormal; 0 for no input."""
        power = float(np.square(x, dtype=np.float64).sum())
        if power:
            return float(np.square(self._rounded()).sum()) / power
        return 0.0

    def residual(self, x: NDArray[np.float32]) -> tuple[NDArray[np.float64], int]:
        """Return x - H_old^T y_old, and the number of synapses that fed back."""
        from ...kernels.memory.lateral.cpu import subtract

        residual = x.astype(np.float64)
        # Only rows of earlier tasks project: rows of the present task are still learning its directions.
        answers = self._rounded()[: self.frozen]
        subtract(self.rows, answers, residual)
        return residual, int(np.count_nonzero(answers)) * len(x)

    def learn(self, x: NDArray[np.float32], residual: NDArray[np.float64]) -> int:
        """Train the rows of the present task on an item; return the number of synapses that answered or fed back.

        Args:
            residual: `residual(x)`.
        """
        from ...kernels.memory.lateral.cpu import deflate, hebbian

        new = slice(self.frozen, self.end)
        iterations = 1
        if self.circuit.rule == "hebbian":
            hebbian(self._rules, self.rows[new], self._velocity[new], x, residual)
            iterations = self.circuit.iterations
        else:
            deflate(self._rules, self.rows[new], self._power[new], x, residual)
        # The rows have changed, and with them the answers to the features so far.
        self._answer(new, x)
        # Each iteration answers and feeds back once through every synapse.
        return 2 * iterations * (self.end - self.frozen) * len(x)

    def next_task(self, x: NDArray[np.float32]) -> None:
        """Freeze the rows, start the next task's, and compute all answers to the features x of the recording so far."""
        from ...kernels.memory.lateral.cpu import orthonormalise

        # This rule makes rows orthonormal in the limit only; the projection needs them exactly so.
        if self.circuit.rule == "deflation":
            orthonormalise(self.rows[: self.end], self.frozen)
        self.task += 1
        self._grow()
        self._answer(slice(0, self.end), x)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return copies of the arrays that later windows depend on."""
        arrays: dict[str, NDArray[Any]] = {"rows": self.rows, "velocity": self._velocity, "power": self._power}
        arrays |= {"answers": self._answers, "sent": self._sent, "task": np.array([self.task], np.int64)}
        return {name: array.copy() for name, array in arrays.items()}

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Continue from the arrays of another circuit with the same settings.

        Raises:
            NeurosimInputError: an array is missing, of another form, or holds a value out of range; nothing is changed
                then.
        """
        last = len(self.circuit.rows) - 1
        task = array_of(arrays, "task", like=np.zeros(1, np.int64), low=0, high=last)
        levels = self.circuit.levels
        bounds: dict[str, tuple[NDArray[Any], float, float]] = {
            "rows": (self.rows, -MAX_WEIGHT, MAX_WEIGHT),
            "velocity": (self._velocity, -MAX_WEIGHT, MAX_WEIGHT),
            "power": (self._power, 0.0, MAX_ANSWER),
            "answers": (self._answers, -MAX_ANSWER, MAX_ANSWER),
            "sent": (self._sent, -levels, levels),
        }
        restored = {name: array_of(arrays, name, *like) for name, like in bounds.items()}
        # Nothing is changed before every array has been checked.
        for name, array in restored.items():
            bounds[name][0][...] = array
        self.task = int(task[0])

    def _rounded(self) -> NDArray[np.float64]:
        """Return the answers of all rows so far, rounded to levels where neurons spike."""
        answers = self._answers[: self.end]
        if not self.circuit.spiking:
            return answers
        levels = np.clip(np.rint(answers / self._rules.level), -self._rules.levels, self._rules.levels)
        return levels * self._rules.level

    def _answer(self, rows: slice, x: NDArray[np.float32]) -> None:
        from ...kernels.memory.readout.cpu import product

        product(self.rows[rows], x, self._answers[rows])

    def _grow(self) -> None:
        """Draw the rows of the present task: orthonormal, and orthogonal to all earlier rows."""
        from ...kernels.memory.lateral.cpu import orthonormalise
        from ...kernels.tools.random import normals

        drawn = np.empty((self.end - self.frozen) * self.rows.shape[1])
        # Keyed by the task: the same after a restore, independent of all other draws.
        normals(np.uint64(rng_key(self._seed, "lateral", str(self.task))), 0, 0, drawn)
        self.rows[self.frozen : self.end] = drawn.reshape(-1, self.rows.shape[1])
        orthonormalise(self.rows[: self.end], self.frozen)
