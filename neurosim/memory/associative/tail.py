"""Rare classes in a one-layer associative memory, under four optimisers."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from ...base.errors import lookup, require
from .common import Array

Step = Callable[[Array], Array]
# Weights of X X^T of the quintic Newton-Schulz iteration; K. Jordan et al. 2024, Muon.
QUINTIC = (3.4445, -4.7750, 2.0315)
MAX_STEPS = 200_000


@dataclass(frozen=True, eq=False)
class TailRun:
    """Course of a training.

    Attributes:
        best, worst: [steps + 1] probability of the right class, of the best and the worst class.
    """

    best: Array
    worst: Array


def tail_run(
    optimizer: str,
    ratio: float,
    classes: int = 64,
    seed: int = 0,
    reach: float = 0.99,
    *,
    basis: str = "random",
    correlation: float = 0.0,
) -> TailRun:
    """Train a memory until the probability of the best class is `reach`.

    One-layer memory softmax(F^T W E) with embeddings E, F; half the classes are `ratio` times as frequent as the
    others; W starts at zero and follows the exact gradient of the cross-entropy (Wang et al. 2025, "Muon outperforms
    Adam in tail-end associative memory learning").

    Args:
        basis: kind of embeddings: "random", orthonormal and drawn by `seed`; or "axes", one-hot.
        correlation: scalar product of any two embeddings of unit length, 0 to below 1.
        optimizer: "gradient", "sign", "adam", "muon" (gradient orthogonalised by its singular value decomposition)
            or "muon-ns" (by five Newton-Schulz steps, as on accelerators).

    Raises:
        NeurosimInputError: an unknown optimizer, a ratio, number of classes or reach out of bounds.
    """
    step = lookup(OPTIMIZERS, optimizer, "tail_run.optimizer")()
    require(0 < ratio <= 1, "tail_run.ratio", "must be in 0..1, 0 excluded", ratio)
    require(classes >= 2, "tail_run.classes", "must be >= 2", classes)
    require(1 / classes < reach < 1, "tail_run.reach", f"must be in {1 / classes:.3g}..1, ends excluded", reach)
    require(0 <= correlation < 1, "tail_run.correlation", "must be in 0..1, 1 excluded", correlation)
    draws = np.random.Generator(np.random.Philox(key=seed))
    make = lookup(BASES, basis, "tail_run.basis")
    e = make(classes, draws)
    f = make(classes, draws)
    if correlation:
        mixing = _correlated(classes, correlation)
        e = e @ mixing
        f = f @ mixing
    frequency = np.where(np.arange(classes) < classes // 2, 1.0, ratio)
    frequency /= frequency.sum()
    w = np.zeros((classes, classes))
    best = []
    worst = []
    for _ in range(MAX_STEPS):
        # [classes, classes] probabilities, column k for the key of class k; the right ones lie on the diagonal.
        p = _softmax(f.T @ w @ e)
        best.append(p.diagonal().max())
        worst.append(p.diagonal().min())
        if best[-1] >= reach:
            break
        # The step goes down the cross-entropy, whose gradient is -F ((1 - p) frequency) E^T.
        w += step(f @ ((np.eye(classes) - p) * frequency) @ e.T)
    return TailRun(np.array(best), np.array(worst))


def _correlated(classes: int, correlation: float) -> Array:
    """Return the symmetric root of (1 - r) I + r 1 1^T: its columns are of unit length and product r."""
    mean = np.full((classes, classes), 1 / classes)
    # Roots of the two eigenvalues: along the mean of all vectors, and across it.
    along = np.sqrt(1 - correlation + classes * correlation)
    return np.asarray(np.sqrt(1 - correlation) * (np.eye(classes) - mean) + along * mean)


BASES: Mapping[str, Callable[[int, np.random.Generator], Array]] = {
    "axes": lambda classes, draws: np.eye(classes),
    "random": lambda classes, draws: np.linalg.qr(draws.normal(size=(classes, classes)))[0],
}


def polar(g: Array) -> Array:
    """Return the orthogonal factor U V^T of g = U S V^T."""
    try:
        u, _, v = np.linalg.svd(g, full_matrices=False)
    except np.linalg.LinAlgError:  # the quick driver gives up on some gradients of correlated embeddings
        from scipy.linalg import svd

        u, _, v = svd(g, full_matrices=False, lapack_driver="gesvd")
    return np.asarray(u @ v)


def newton_schulz(g: Array, steps: int = 5) -> Array:
    """Return an approximation of `polar` by products alone: X = a X + (b Y + c Y^2) X with Y = X X^T, from g / |g|.

    Singular values end in about 0.7..1.2, which trains as well (Jordan et al. 2024).
    """
    a, b, c = QUINTIC
    x = g / max(float(np.linalg.norm(g)), 1e-30)
    for _ in range(steps):
        y = x @ x.T
        x = a * x + (b * y + c * y @ y) @ x
    return np.asarray(x)


def _constant(step: Step) -> Callable[[], Step]:
    """Return the factory of an optimiser without state."""
    return lambda: step


def _adam() -> Step:
    moments: list[Array] = [np.zeros(1), np.zeros(1)]
    steps = 0

    def step(g: Array) -> Array:
        nonlocal steps
        steps += 1
        moments[0] = 0.9 * moments[0] + 0.1 * g
        moments[1] = 0.999 * moments[1] + 0.001 * g * g
        # Moments start at zero: divide by the weight that the gradients so far have in them.
        first = moments[0] / (1 - 0.9**steps)
        second = moments[1] / (1 - 0.999**steps)
        return np.asarray(0.01 * first / (np.sqrt(second) + 1e-12))

    return step


OPTIMIZERS: Mapping[str, Callable[[], Step]] = {
    "gradient": _constant(lambda g: 5.0 * g),
    "sign": _constant(lambda g: 0.04 * np.sign(g)),
    "adam": _adam,
    "muon": _constant(lambda g: 0.05 * polar(g)),
    "muon-ns": _constant(lambda g: 0.05 * newton_schulz(g)),
}


def tail_expected(ratio: float, classes: int = 64, reach: float = 0.99) -> float:
    """Return the probability of the worst class after gradient descent, by a formula.

    With orthonormal embeddings and zero start the classes do not disturb each other: the logit gap x of a class of
    frequency f obeys dx/dt = f (1 - p) (1 + 1 / (K - 1)), p = 1 / (1 + (K - 1) exp(-x)), so that
    x + exp(x) / (K - 1) grows in proportion to f.
    """
    require(0 < ratio <= 1 and classes >= 2, "tail_expected", "needs 0 < ratio <= 1, classes >= 2", (ratio, classes))
    k = classes - 1
    # Logit gap of the frequent classes at the end; the rare ones have come `ratio` times as far.
    top = math.log(k * reach / (1 - reach))
    goal = ratio * (top + math.expm1(top) / k)
    low = 0.0
    high = top
    while high - low > 1e-12:
        x = (low + high) / 2
        if x + math.expm1(x) / k < goal:
            low = x
        else:
            high = x
    return 1 / (1 + k * math.exp(-low))


def _softmax(logits: Array) -> Array:
    """Return the probabilities of each column of logits."""
    p = np.exp(logits - logits.max(axis=0))
    return np.asarray(p / p.sum(axis=0))
