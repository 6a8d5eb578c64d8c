"""Associative memories: Hopfield, dense (order P) Hebbian, multitasking, and linear attention as a Hebbian memory.

A pattern is [N] of -1 and 1 (multitasking: 0 too, where the pattern says nothing about a unit).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .errors import check, pick

Array = NDArray


@dataclass(frozen=True, eq=False)
class Hopfield:
    """Pairwise Hebbian memory in one [N, N] matrix, whatever it stores (Hopfield 1982).

    J = sum over patterns xi xi^T / N, without a diagonal; recall sets each unit in turn to the sign of its field.
    Patterns with zeros make it a multitasking memory (Agliari et al. 2012): the units that one pattern leaves free
    recall the next, and several patterns are retrieved at once.

    Attributes:
        couplings: [N, N] float64, symmetric with a zero diagonal.
    """

    couplings: Array

    @classmethod
    def store(cls, patterns: object) -> Hopfield:
        """From patterns [K, N] of -1, 0 and 1."""
        xi = _patterns(patterns, (-1, 0, 1))
        couplings = xi.T @ xi / xi.shape[1]
        np.fill_diagonal(couplings, 0.0)
        return cls(couplings)

    def recall(self, cue: object, seed: int = 0, sweeps: int = 100) -> Recall:
        """Settle from `cue` [N] of -1 and 1, units taking turns in an order drawn for each sweep."""
        from .kernels.settle import settle

        state = _cue(cue, len(self.couplings))
        draws = np.random.Generator(np.random.Philox(key=seed))
        orders = np.stack([draws.permutation(state.size) for _ in range(sweeps)])
        end, flips, done = settle(self.couplings, state, orders)
        return Recall(end, done, flips * state.size)


@dataclass(frozen=True, eq=False)
class Recall:
    """The end of a recall: `state` [N], `sweeps` done, and `operations`, couplings added up on the way."""

    state: Array
    sweeps: int
    operations: int

    def overlap(self, patterns: object) -> Array:
        """[K] overlaps (1/N) xi . s with patterns [K, N]."""
        xi = np.atleast_2d(np.asarray(patterns, np.float64))
        return xi @ self.state / xi.shape[1]


@dataclass(frozen=True, eq=False)
class DenseHebbian:
    """Memory with interactions of order P (Krotov & Hopfield 2016; Agliari et al. 2022-23).

    s_i = sign of sum over mu of F(xi_i + rest) - F(-xi_i + rest), with F(x) = x^P and rest the overlap of the
    other units with pattern mu. P = 2 is the Hopfield network; P > 2 stores of the order of N^(P-1) patterns.

    Attributes:
        vectors: [K, N] what overlaps are taken with: patterns, examples, or means of examples.
        order: P >= 2.
    """

    vectors: Array
    order: int

    def __post_init__(self) -> None:
        check(self.order >= 2, "DenseHebbian.order", "must be >= 2", self.order)

    @classmethod
    def store(cls, patterns: object, order: int) -> DenseHebbian:
        """From patterns [K, N] of -1 and 1."""
        return cls(_patterns(patterns, (-1, 1)), order)

    @classmethod
    def supervised(cls, examples: object, labels: object, order: int) -> DenseHebbian:
        """From noisy examples [M, N] with labels [M]: one vector a label, the mean of its examples."""
        eta, label = _patterns(examples, (-1, 1)), np.asarray(labels)
        check(label.shape == (len(eta),), "DenseHebbian.supervised", f"needs {len(eta)} labels", label.shape)
        return cls(np.stack([eta[label == k].mean(axis=0) for k in np.unique(label)]), order)

    @classmethod
    def unsupervised(cls, examples: object, order: int) -> DenseHebbian:
        """From noisy examples [M, N] without labels: every example is a vector of its own."""
        return cls.store(examples, order)

    def recall(self, cue: object, sweeps: int = 20) -> Recall:
        """Update all units together until nothing changes, at most `sweeps` times; a zero field keeps the unit."""
        state = _cue(cue, self.vectors.shape[1])
        done, settled = 0, False
        while done < sweeps and not settled:
            field = self.field(state)
            new = np.where(field == 0, state, np.sign(field))
            done, settled, state = done + 1, np.array_equal(new, state), new
        return Recall(state, done, done * self.vectors.size)

    def field(self, state: Array) -> Array:
        """[N] the energy each unit would gain by pointing up."""
        n = state.size
        rest = (self.vectors @ state)[:, None] - self.vectors * state
        # Overlaps as fractions of N: N^P overflows soon, and only the sign counts.
        up, down = (rest + self.vectors) / n, (rest - self.vectors) / n
        return (up**self.order - down**self.order).sum(axis=0)


@dataclass(frozen=True)
class FastWeights:
    """Linear attention read as a Hebbian memory of key-value pairs, in one [d_k, d_v] matrix S.

    Writing a pair takes one step on it and reading is S^T q. With `delta` False the step is Hebbian, k v^T: pairs
    pile up, and d_k of them fit if the keys are orthogonal. With `delta` True it is a gradient step on the recall
    loss |S^T k - v|^2 / 2 (Widrow & Hoff 1960), which takes back what the key already recalls. `momentum` and
    `forgetting` are those of test-time memories (Titans, arXiv 2501.00663):
    M = momentum M + rate k u^T; S = (1 - forgetting) S + M.
    """

    delta: bool = False
    rate: float = 1.0
    momentum: float = 0.0
    forgetting: float = 0.0

    def __post_init__(self) -> None:
        check(self.rate > 0, "FastWeights.rate", "must be > 0", self.rate)
        check(0 <= self.momentum < 1, "FastWeights.momentum", "must be in 0..1, 1 excluded", self.momentum)
        check(0 <= self.forgetting < 1, "FastWeights.forgetting", "must be in 0..1, 1 excluded", self.forgetting)

    def write(self, keys: object, values: object) -> Array:
        """S [d_k, d_v] after the pairs `keys` [n, d_k], `values` [n, d_v], one after the other."""
        k, v = np.asarray(keys, np.float64), np.asarray(values, np.float64)
        check(
            k.ndim == v.ndim == 2 and len(k) == len(v),
            "FastWeights.write",
            "needs keys [n, d_k], values [n, d_v]",
            (k.shape, v.shape),
        )
        state: Array = np.zeros((k.shape[1], v.shape[1]))
        step: Array = np.zeros_like(state)
        for key, value in zip(k, v, strict=True):
            # The error is that of the memory as it will be read: after the decay, before the step.
            target = value - (1 - self.forgetting) * key @ state if self.delta else value
            step = self.momentum * step + self.rate * np.outer(key, target)
            state = (1 - self.forgetting) * state + step
        return state


def recall_error(state: Array, keys: Array, values: Array) -> float:
    """Mean squared error of S^T k against v, as a fraction of the mean square of v."""
    return float(np.mean((keys @ state - values) ** 2) / np.mean(values**2))


# --- What theory says -----------------------------------------------------------------------------------------


def hopfield_capacity() -> tuple[float, float]:
    """(alpha_c, m): the largest K/N a Hopfield network of many units recalls at T = 0, and the overlap there.

    Amit, Gutfreund & Sompolinsky 1985: with m = erf(y), sqrt(2 alpha) = erf(y)/y - 2 exp(-y^2)/sqrt(pi).
    """
    from scipy.optimize import minimize_scalar

    best = minimize_scalar(lambda y: -_root_load(y), bounds=(0.5, 5.0), method="bounded", options={"xatol": 1e-10})
    return _root_load(best.x) ** 2 / 2, math.erf(best.x)


def hopfield_overlap(alpha: float) -> float:
    """The overlap m with a recalled pattern at load alpha = K/N (T = 0, many units); 0 above capacity."""
    from scipy.optimize import brentq

    critical, m = hopfield_capacity()
    check(alpha > 0, "hopfield_overlap.alpha", "must be > 0", alpha)
    if alpha > critical:
        return 0.0
    from scipy.special import erfinv

    # The retrieval branch lies right of the maximum, where the load falls as y grows.
    return math.erf(brentq(lambda y: _root_load(y) - math.sqrt(2 * alpha), float(erfinv(m)), 40.0))


def dense_bit_error(units: int, order: int, patterns: int) -> float:
    """Chance of a wrong bit after one update from a stored pattern: Q(sqrt(N^(P-1) / ((2P-3)!! K)))."""
    check(
        units > 0 and patterns > 0 and order >= 2,
        "dense_bit_error",
        "needs units, patterns > 0, order >= 2",
        (units, patterns, order),
    )
    ratio = units ** (order - 1) / (_odd_factorial(2 * order - 3) * patterns)
    return 0.5 * math.erfc(math.sqrt(ratio / 2))


def dense_capacity(units: int, order: int) -> float:
    """Patterns recalled without any error: N^(P-1) / (2 (2P-3)!! ln N) (Krotov & Hopfield 2016, eq. 7)."""
    check(units > 1 and order >= 2, "dense_capacity", "needs units > 1, order >= 2", (units, order))
    return units ** (order - 1) / (2 * _odd_factorial(2 * order - 3) * math.log(units))


def multitasking_overlaps(patterns: int, dilution: float) -> Array:
    """[K] overlaps d^(k-1) (1 - d) of hierarchical retrieval, d the chance that a pattern is silent on a unit."""
    check(0 < dilution < 1, "multitasking_overlaps.dilution", "must be in 0..1, ends excluded", dilution)
    return dilution ** np.arange(patterns) * (1 - dilution)


# --- Rare classes in an associative memory ---------------------------------------------------------------------


def tail_class(optimizer: str, ratio: float, classes: int = 64, seed: int = 0, reach: float = 0.99) -> float:
    """How well the worst class is known once the best is known at `reach`.

    One-layer memory softmax(F^T W E) with orthonormal embeddings E, F drawn by `seed`; half the classes are `ratio`
    times as frequent as the others; W starts at zero and follows the exact gradient of the cross-entropy.

    Args:
        optimizer: "gradient", "sign", "adam" or "muon" (orthogonalised gradient).
    """
    step = pick(OPTIMIZERS, optimizer, "tail_class.optimizer")()
    check(0 < ratio <= 1, "tail_class.ratio", "must be in 0..1, 0 excluded", ratio)
    draws = np.random.Generator(np.random.Philox(key=seed))
    e, f = (np.linalg.qr(draws.normal(size=(classes, classes)))[0] for _ in range(2))
    frequency = np.where(np.arange(classes) < classes // 2, 1.0, ratio)
    frequency /= frequency.sum()
    w = np.zeros((classes, classes))
    while True:
        known = _softmax(f.T @ w @ e)
        if known.diagonal().max() >= reach:
            return float(known.diagonal().min())
        w += step(f @ ((np.eye(classes) - known) * frequency) @ e.T)


def _gradient() -> Callable[[Array], Array]:
    return lambda g: 5.0 * g


def _sign() -> Callable[[Array], Array]:
    return lambda g: 0.002 * np.sign(g)


def _muon() -> Callable[[Array], Array]:
    def step(g: Array) -> Array:
        u, _, v = np.linalg.svd(g)
        return 0.05 * u @ v

    return step


def _adam() -> Callable[[Array], Array]:
    moments: list[Array] = [np.zeros(1), np.zeros(1)]
    steps = 0

    def step(g: Array) -> Array:
        nonlocal steps
        steps += 1
        moments[0] = 0.9 * moments[0] + 0.1 * g
        moments[1] = 0.999 * moments[1] + 0.001 * g * g
        first, second = moments[0] / (1 - 0.9**steps), moments[1] / (1 - 0.999**steps)
        return 0.01 * first / (np.sqrt(second) + 1e-12)

    return step


OPTIMIZERS = {"gradient": _gradient, "sign": _sign, "adam": _adam, "muon": _muon}


def _softmax(logits: Array) -> Array:
    """Columns to probabilities."""
    p = np.exp(logits - logits.max(axis=0))
    return np.asarray(p / p.sum(axis=0))


def _root_load(y: float) -> float:
    return math.erf(y) / y - 2 / math.sqrt(math.pi) * math.exp(-y * y)


def _odd_factorial(n: int) -> int:
    """n (n-2) (n-4) ... 1."""
    return math.prod(range(n, 0, -2))


def _patterns(patterns: object, allowed: tuple[int, ...]) -> Array:
    xi = np.asarray(patterns, np.float64)
    check(xi.ndim == 2 and xi.size > 0, "patterns", "must be an array [K, N]", xi.shape)
    check(
        bool(np.isin(xi, allowed).all()),
        "patterns",
        f"must hold only {', '.join(map(str, allowed))}",
        xi.flat[np.argmin(np.isin(xi, allowed))],
    )
    return xi


def _cue(cue: object, units: int) -> Array:
    state = np.array(cue, np.float64)
    check(state.shape == (units,), "recall.cue", f"must be an array [{units}]", state.shape)
    check(
        bool(np.isin(state, (-1, 1)).all()),
        "recall.cue",
        "must hold only -1 and 1",
        state.flat[np.argmin(np.isin(state, (-1, 1)))],
    )
    return state
