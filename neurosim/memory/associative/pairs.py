"""Key-value memories in one matrix: linear attention as Hebbian learning, delta rule, momentum and forgetting."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from ...base.errors import lookup, require
from ...base.measure.activity import count
from ...base.measure.work import LayerCounts
from ...data.files.state import Saved
from .common import Array, warn_full


@dataclass(frozen=True)
class FastWeights:
    """Linear attention as a Hebbian memory of key-value pairs, in one [d_k, d_v] matrix S.

    Writing a pair is one step of learning; reading is S^T q. With `delta` False the step is Hebbian, k v^T: pairs add
    up, and d_k of them fit if the keys are orthogonal. With `delta` True it is a gradient step on the recall loss
    |S^T k - v|^2 / 2 (Widrow & Hoff 1960), which subtracts the value that the key already recalls. `momentum` and
    `forgetting` come from test-time memories (Titans, arXiv 2501.00663):
    M = momentum M + learning_rate k u^T; S = (1 - forgetting) S + M.

    Raises:
        NeurosimInputError: a learning rate that is not positive, momentum or forgetting outside 0..1.
    """

    delta: bool = False
    learning_rate: float = 1.0
    momentum: float = 0.0
    forgetting: float = 0.0

    def __post_init__(self) -> None:
        finite = 0 < self.learning_rate < math.inf
        require(finite, "FastWeights.learning_rate", "must be > 0 and finite", self.learning_rate)
        require(0 <= self.momentum < 1, "FastWeights.momentum", "must be in 0..1, 1 excluded", self.momentum)
        require(0 <= self.forgetting < 1, "FastWeights.forgetting", "must be in 0..1, 1 excluded", self.forgetting)

    def memory(self, d_k: int, d_v: int) -> PairMemory:
        """Return an empty memory for keys of width d_k and values of width d_v.

        Raises:
            NeurosimInputError: a width below 1.
        """
        require(d_k >= 1 and d_v >= 1, "FastWeights.memory", "needs widths >= 1", (d_k, d_v))
        return PairMemory(self, np.zeros((d_k, d_v)), np.zeros((d_k, d_v)))


@dataclass(frozen=True, eq=False)
class PairMemory(Saved):
    """A memory of key-value pairs, with all of its state.

    Attributes:
        rule: rule by which a pair is written.
        weights: [d_k, d_v] S.
        velocity: [d_k, d_v] M, the momentum.
        stored: number of pairs written.

    Raises:
        NeurosimInputError: arrays that do not fit each other.
    """

    rule: FastWeights
    weights: Array
    velocity: Array
    stored: int = 0

    def __post_init__(self) -> None:
        shape = self.weights.shape
        require(len(shape) == 2, "PairMemory.weights", "must be [d_k, d_v]", shape)
        require(self.velocity.shape == shape, "PairMemory.velocity", f"must be {shape}", self.velocity.shape)

    def write(self, keys: object, values: object) -> PairMemory:
        """Return the memory after writing the pairs `keys` [n, d_k], `values` [n, d_v], one after the other.

        The first pair beyond d_k gives a `CapacityWarning`, with the expected error for random keys of unit length.

        Raises:
            NeurosimInputError: pairs of another shape, or not finite.
        """
        k = self._keys(keys)
        v = np.asarray(values, np.float64)
        shape = (len(k), self.weights.shape[1])
        require(v.shape == shape, "PairMemory.write", f"needs values {list(shape)} for these keys", v.shape)
        require(bool(np.isfinite(v).all()), "PairMemory.write", "needs finite values", "NaN or infinity")
        rule = self.rule
        decay = 1 - self.rule.forgetting
        state = self.weights
        step = self.velocity
        for key, value in zip(k, v, strict=True):
            # u: the value, or for the delta rule its error against the recall of the decayed memory.
            if rule.delta:
                target = value - decay * (key @ state)
            else:
                target = value
            # M = momentum M + learning_rate k u^T
            step = rule.momentum * step + rule.learning_rate * np.outer(key, target)
            # S = (1 - forgetting) S + M
            state = decay * state + step
        after = replace(self, weights=state, velocity=step, stored=self.stored + len(k))
        if self.stored <= len(state) < after.stored:
            _warn(after)
        return after

    def read(self, keys: object) -> Array:
        """Return [n, d_v] values recalled for keys [n, d_k]."""
        return np.asarray(self._keys(keys) @ self.weights)

    def work(self, keys: object) -> list[LayerCounts]:
        """Return the work of reading keys [n, d_k]: a multiply-accumulate for each weight of an entry that is not 0.

        Raises:
            NeurosimInputError: as `read`.
        """
        k = self._keys(keys)[:, None]
        v = self.read(keys)[:, None]
        return [count("pairs", self.weights, k, v, np.zeros((*v.shape, 0)), spiking=False)]

    def error(self, keys: object, values: object) -> float:
        """Return the mean squared error of recall for `keys`, as a fraction of the mean square of `values`.

        Raises:
            NeurosimInputError: values of another shape than those recalled.
        """
        v = np.asarray(values, np.float64)
        read = self.read(keys)
        require(v.shape == read.shape, "PairMemory.error", f"needs values {list(read.shape)}", v.shape)
        return float(np.mean((read - v) ** 2) / np.mean(v**2))

    def _keys(self, keys: object) -> Array:
        k = np.asarray(keys, np.float64)
        fits = k.ndim == 2 and k.shape[1] == len(self.weights)
        require(fits, "PairMemory", f"needs keys [n, {len(self.weights)}]", k.shape)
        require(bool(np.isfinite(k).all()), "PairMemory", "needs finite keys", "NaN or infinity")
        return k


def keys(kind: str, pairs: int, d_k: int, seed: int = 0) -> Array:
    """Return [pairs, d_k] keys of unit length: "random", or "orthogonal" and repeated after d_k of them."""
    draws = np.random.Generator(np.random.Philox(key=seed))
    return lookup(_KEYS, kind, "keys")(draws, pairs, d_k)


def _random(draws: np.random.Generator, pairs: int, d_k: int) -> Array:
    drawn = draws.normal(size=(pairs, d_k))
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


def _orthogonal(draws: np.random.Generator, pairs: int, d_k: int) -> Array:
    basis = np.linalg.qr(draws.normal(size=(d_k, d_k)))[0]
    return basis[np.arange(pairs) % d_k]


_KEYS = {"random": _random, "orthogonal": _orthogonal}


def expected_error(rule: FastWeights, pairs: int, d_k: int, kind: str = "random") -> float:
    """Return the mean of `PairMemory.error` over all pairs after writing them; keys are drawn as by `keys`.

    Values are independent with mean zero. The plain Hebbian memory has the error (pairs - 1) / d_k with random keys and
    0 with up to d_k orthogonal ones. The other cases follow one pair through all later writes: see `_hebbian`,
    `_same_key` and `_delta`. Exact in the mean for any d_k.

    Raises:
        NeurosimInputError: delta rule with momentum, which has no known closed form.
    """
    require(pairs >= 1 and d_k >= 1, "expected_error", "needs pairs, d_k >= 1", (pairs, d_k))
    if rule.delta:
        require(rule.momentum == 0, "expected_error", "has no formula for the delta rule with momentum", rule.momentum)
    if rule.delta:
        with_random_keys = _delta
    else:
        with_random_keys = _hebbian
    formulas = {"random": with_random_keys, "orthogonal": _same_key}
    formula = lookup(formulas, kind, "expected_error.kind")
    return float(formula(rule, pairs, d_k).mean())


def propagated_error(pairs: int, d_k: int, depth: int = 1, heads: int = 1) -> float:
    """Return the mean squared error of a chain of Hebbian memories, as a fraction of the mean square of values.

    Each of `depth` layers has `heads` memories of the same pairs with random keys of their own, of width d_k, whose
    mean it reads; what it reads are the keys of the heads of the next layer. A layer adds e = (pairs - 1) / (d_k heads)
    to an exact cue, and (1 + e) x + e to one of error x, so that the error is (1 + e)^depth - 1: exact in the mean.
    H heads of width d_k are as good as one of width H d_k (after Qiao 2025, arXiv 2508.08289).
    """
    good = min(pairs, d_k, depth, heads) >= 1
    require(good, "propagated_error", "needs pairs, d_k, depth, heads >= 1", (pairs, d_k, depth, heads))
    error = (pairs - 1) / (d_k * heads)
    return (1 + error) ** depth - 1


def chain_error(pairs: int, d_k: int, depth: int, heads: int, seed: int = 0) -> float:
    """Return the mean squared error of such a chain of `PairMemory`s, over all pairs, by writing and reading them.

    The last layer has values of the width of one head.
    """
    # All keys and the last values, none drawn twice: one vector after the other.
    vectors = keys("random", (depth * heads + 1) * pairs, d_k, seed).reshape(-1, pairs, d_k)
    # [depth, heads, pairs, d_k]; the values of a layer are the keys of the next.
    drawn = vectors[:-1].reshape(depth, heads, pairs, d_k)
    values = [np.concatenate(layer, axis=1) for layer in drawn[1:]]
    values.append(vectors[-1])
    cues = list(drawn[0])
    for layer, value in zip(drawn, values, strict=True):
        memories = [FastWeights().memory(d_k, value.shape[1]).write(key, value) for key in layer]
        read = np.mean([memory.read(cue) for memory, cue in zip(memories, cues, strict=True)], axis=0)
        cues = np.split(read, read.shape[1] // d_k, axis=1)
    return float(np.mean((cues[0] - values[-1]) ** 2) / np.mean(values[-1] ** 2))


def _shares(rule: FastWeights, pairs: int, again: int) -> Array:
    """Return [pairs] factors of k v^T of each pair in S at the end, if its key returns every `again` pairs.

    Forgetting multiplies by (1 - forgetting) each step; momentum adds the step of the pair again, smaller by `momentum`
    each time; the delta rule multiplies by (1 - learning_rate) whenever the key is written again.
    """
    decay = 1 - rule.forgetting
    share = np.empty(pairs)
    total = rule.learning_rate
    moving = rule.learning_rate
    for age in range(pairs):
        if age:
            # The pair's own step, which momentum adds once more.
            moving *= rule.momentum
            rewritten = rule.delta and age % again == 0
            if rewritten:
                correction = 1 - rule.learning_rate
            else:
                correction = 1
            total = decay * total * correction + moving
        share[pairs - 1 - age] = total
    return share


def _hebbian(rule: FastWeights, pairs: int, d_k: int) -> Array:
    """Return errors with random keys: (1 - w_j)^2 of the pair itself, and w_i^2 / d_k of each other pair."""
    share = _shares(rule, pairs, pairs)
    return (1 - share) ** 2 + (np.sum(share**2) - share**2) / d_k


def _same_key(rule: FastWeights, pairs: int, d_k: int) -> Array:
    """Return errors with orthogonal keys: only pairs of the same key, d_k apart, disturb each other."""
    share = _shares(rule, pairs, d_k)
    group = np.arange(pairs) % d_k
    of_key = np.bincount(group, share**2, minlength=d_k)[group]
    return (1 - share) ** 2 + of_key - share**2


def _delta(rule: FastWeights, pairs: int, d_k: int) -> Array:
    """Return errors of the delta rule with random keys.

    Means over keys uniform on the sphere, with g = 1 - forgetting, b = learning_rate and |v|^2 = 1: of F = |S|^2,
    F' = g^2 F (1 - (2b - b^2) / d) + b^2; of a pair's own B = v . S^T k, which is b at writing and
    B' = g B (1 - b / d) at each later write; and of A = |S^T k|^2, which starts at (1 - b)^2 g^2 F / d + b^2 and
    A' = g^2 A (1 - 2b/d) + b^2 [(g^2 F + 2 g^2 A) / (d (d + 2)) + 1 / d]. The error is A - 2B + 1.
    """
    g = 1 - rule.forgetting
    b = rule.learning_rate
    d = d_k
    # F, A of every pair, B of every pair.
    f = 0.0
    a = np.zeros(pairs)
    own = np.zeros(pairs)
    for j in range(pairs):
        # Pairs written before meet the key of pair j.
        decayed = g * g * a[:j]
        a[:j] = decayed * (1 - 2 * b / d) + b * b * ((g * g * f + 2 * decayed) / (d * (d + 2)) + 1 / d)
        own[:j] *= g * (1 - b / d)
        # Pair j itself, just written.
        a[j] = (1 - b) ** 2 * g * g * f / d + b * b
        own[j] = b
        f = g * g * f * (1 - (2 * b - b * b) / d) + b * b
    return a - 2 * own + 1


def _warn(memory: PairMemory) -> None:
    d_k = len(memory.weights)
    rule = memory.rule
    has_formula = not (rule.delta and rule.momentum)
    if has_formula:
        error = f"{expected_error(rule, memory.stored, d_k):.3g} of the values' square"
    else:
        error = "no longer small"
    warn_full(
        "PairMemory",
        f"{memory.stored} pairs",
        f"the {d_k} independent keys of this width",
        f"expected recall: a mean squared error of {error} with random keys of unit length",
    )
