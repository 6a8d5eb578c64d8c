"""Key-value memories in one matrix: linear attention read as Hebbian learning, the delta rule, momentum, forgetting."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace

import numpy as np

from .. import files
from ..errors import lookup, require
from .common import Array, warn_full

VERSION = 1


@dataclass(frozen=True)
class FastWeights:
    """Linear attention read as a Hebbian memory of key-value pairs, in one [d_k, d_v] matrix S.

    Writing a pair takes one step on it and reading is S^T q. With `delta` False the step is Hebbian, k v^T: pairs
    pile up, and d_k of them fit if the keys are orthogonal. With `delta` True it is a gradient step on the recall
    loss |S^T k - v|^2 / 2 (Widrow & Hoff 1960), which takes back what the key already recalls. `momentum` and
    `forgetting` are those of test-time memories (Titans, arXiv 2501.00663):
    M = momentum M + rate k u^T; S = (1 - forgetting) S + M.

    Raises:
        NeurosimInputError: a rate that is not positive, momentum or forgetting outside 0..1.
    """

    delta: bool = False
    rate: float = 1.0
    momentum: float = 0.0
    forgetting: float = 0.0

    def __post_init__(self) -> None:
        require(self.rate > 0, "FastWeights.rate", "must be > 0", self.rate)
        require(0 <= self.momentum < 1, "FastWeights.momentum", "must be in 0..1, 1 excluded", self.momentum)
        require(0 <= self.forgetting < 1, "FastWeights.forgetting", "must be in 0..1, 1 excluded", self.forgetting)

    def memory(self, d_k: int, d_v: int) -> PairMemory:
        """An empty memory for keys of width d_k and values of width d_v."""
        require(d_k >= 1 and d_v >= 1, "FastWeights.memory", "needs widths >= 1", (d_k, d_v))
        return PairMemory(self, np.zeros((d_k, d_v)), np.zeros((d_k, d_v)))


@dataclass(frozen=True, eq=False)
class PairMemory:
    """A memory of key-value pairs: all of its state.

    Attributes:
        rule: how a pair is written.
        weights: [d_k, d_v] S.
        velocity: [d_k, d_v] M, which momentum carries from pair to pair.
        stored: pairs written so far.

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
        """The memory after the pairs `keys` [n, d_k], `values` [n, d_v], one after the other.

        The first pair beyond d_k is a `CapacityWarning`, with the error to expect of random keys of unit length.

        Raises:
            NeurosimInputError: pairs of another shape, or not finite.
        """
        k, v = self._keys(keys), np.asarray(values, np.float64)
        shape = (len(k), self.weights.shape[1])
        require(v.shape == shape, "PairMemory.write", f"needs values {list(shape)} for these keys", v.shape)
        require(bool(np.isfinite(v).all()), "PairMemory.write", "needs finite values", "another")
        rule, kept = self.rule, 1 - self.rule.forgetting
        state, step = self.weights, self.velocity
        for key, value in zip(k, v, strict=True):
            # The error is that of the memory as it will be read: after the decay, before the step.
            target = value - kept * (key @ state) if rule.delta else value
            step = rule.momentum * step + rule.rate * np.outer(key, target)
            state = kept * state + step
        after = replace(self, weights=state, velocity=step, stored=self.stored + len(k))
        if self.stored <= len(state) < after.stored:
            _warn(after)
        return after

    def read(self, keys: object) -> Array:
        """[n, d_v] what is recalled for keys [n, d_k]."""
        return np.asarray(self._keys(keys) @ self.weights)

    def error(self, keys: object, values: object) -> float:
        """Mean squared error of what is read for `keys`, as a fraction of the mean square of `values`."""
        v = np.asarray(values, np.float64)
        read = self.read(keys)
        require(v.shape == read.shape, "PairMemory.error", f"needs values {list(read.shape)}", v.shape)
        return float(np.mean((read - v) ** 2) / np.mean(v**2))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write everything to a safetensors file, atomically."""
        files.write_dataclass(path, self, VERSION)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> PairMemory:
        """Read what `save` wrote; writing goes on as if it had never stopped.

        Raises:
            NeurosimMissingError, NeurosimFormatError: as `files.read_dataclass`.
        """
        return files.read_dataclass(path, PairMemory, VERSION)

    def _keys(self, keys: object) -> Array:
        k = np.asarray(keys, np.float64)
        require(k.ndim == 2 and k.shape[1] == len(self.weights), "PairMemory", f"needs keys [n, {len(self.weights)}]",
              k.shape)  # fmt: skip
        require(bool(np.isfinite(k).all()), "PairMemory", "needs finite keys", "another")
        return k


def keys(kind: str, pairs: int, d_k: int, seed: int = 0) -> Array:
    """[pairs, d_k] keys of unit length: "random" directions, or "orthogonal" ones, used again after d_k of them."""
    draws = np.random.Generator(np.random.Philox(key=seed))
    return lookup(_KEYS, kind, "keys")(draws, pairs, d_k)


def _random(draws: np.random.Generator, pairs: int, d_k: int) -> Array:
    drawn = draws.normal(size=(pairs, d_k))
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


def _orthogonal(draws: np.random.Generator, pairs: int, d_k: int) -> Array:
    return np.linalg.qr(draws.normal(size=(d_k, d_k)))[0][np.arange(pairs) % d_k]


_KEYS = {"random": _random, "orthogonal": _orthogonal}


def expected_error(rule: FastWeights, pairs: int, d_k: int, kind: str = "random") -> float:
    """Mean of `PairMemory.error` over all pairs written, once they all are; keys as `keys` draws them.

    Values are independent, of mean zero. The plain Hebbian memory errs by (pairs - 1) / d_k with random keys and
    not at all with up to d_k orthogonal ones. The other cases follow one pair through all later writes: see
    `_hebbian`, `_same_key` and `_delta`. Exact in the mean for any d_k.

    Raises:
        NeurosimInputError: delta rule together with momentum, of which no closed form is known.
    """
    require(pairs >= 1 and d_k >= 1, "expected_error", "needs pairs, d_k >= 1", (pairs, d_k))
    if rule.delta:
        require(
            rule.momentum == 0, "expected_error", "knows no formula for the delta rule with momentum", rule.momentum
        )
    kinds = {"random": _delta if rule.delta else _hebbian, "orthogonal": _same_key}
    return float(lookup(kinds, kind, "expected_error.kind")(rule, pairs, d_k).mean())


def _shares(rule: FastWeights, pairs: int, again: int) -> Array:
    """[pairs] the factor before k v^T of each pair in S at the end, where its key comes back every `again` pairs.

    Forgetting takes (1 - forgetting) each step, momentum adds the pair's step again, smaller by `momentum` each
    time, and the delta rule takes (1 - rate) of what its key recalls whenever the key is written again.
    """
    kept = 1 - rule.forgetting
    share = np.empty(pairs)
    total, moving = rule.rate, rule.rate
    for age in range(pairs):
        if age:
            moving *= rule.momentum
            total = kept * total * (1 - rule.rate if rule.delta and age % again == 0 else 1) + moving
        share[pairs - 1 - age] = total
    return share


def _hebbian(rule: FastWeights, pairs: int, d_k: int) -> Array:
    """Errors with random keys: (1 - w_j)^2 of its own share, and w_i^2 / d_k of each other's."""
    share = _shares(rule, pairs, pairs)
    return (1 - share) ** 2 + (np.sum(share**2) - share**2) / d_k


def _same_key(rule: FastWeights, pairs: int, d_k: int) -> Array:
    """Errors with orthogonal keys: only pairs of the same key, d_k apart, disturb each other."""
    share = _shares(rule, pairs, d_k)
    group = np.arange(pairs) % d_k
    of_key = np.bincount(group, share**2, minlength=d_k)[group]
    return (1 - share) ** 2 + of_key - share**2


def _delta(rule: FastWeights, pairs: int, d_k: int) -> Array:
    """Errors of the delta rule with random keys.

    Means over keys uniform on the sphere, with g = 1 - forgetting, b = rate and |v|^2 = 1: of F = |S|^2,
    F' = g^2 F (1 - (2b - b^2) / d) + b^2; of a pair's own B = v . S^T k, which is b when written and
    B' = g B (1 - b / d) at each later write; and of A = |S^T k|^2, which starts at (1 - b)^2 g^2 F / d + b^2 and
    A' = g^2 A (1 - 2b/d) + b^2 [(g^2 F + 2 g^2 A) / (d (d + 2)) + 1 / d]. The error is A - 2B + 1.
    """
    g, b, d = 1 - rule.forgetting, rule.rate, d_k
    whole = 0.0
    a, own = np.zeros(pairs), np.zeros(pairs)
    for j in range(pairs):
        seen = g * g * a[:j]
        a[:j] = seen * (1 - 2 * b / d) + b * b * ((g * g * whole + 2 * seen) / (d * (d + 2)) + 1 / d)
        own[:j] *= g * (1 - b / d)
        a[j], own[j] = (1 - b) ** 2 * g * g * whole / d + b * b, b
        whole = g * g * whole * (1 - (2 * b - b * b) / d) + b * b
    return a - 2 * own + 1


def _warn(memory: PairMemory) -> None:
    d_k, rule = len(memory.weights), memory.rule
    known = not (rule.delta and rule.momentum)
    error = f"{expected_error(rule, memory.stored, d_k):.3g} of the values' square" if known else "no longer small"
    warn_full(
        "PairMemory",
        f"{memory.stored} pairs",
        f"the {d_k} independent keys of this width",
        f"expected recall: a mean squared error of {error} with random keys of unit length",
    )
