"""Kanerva's sparse distributed memory: contents in counters at fixed random addresses, of which few answer a cue."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from ...base.errors import require
from ...base.measure.activity import count
from ...base.measure.work import LayerCounts
from ...data.files.state import Saved
from .common import Array, Recall, Recalls, check_cue, check_cues, check_patterns

# Bytes of the comparisons of addresses that are made at once.
PART_BYTES = 2**26
MAX_DIM = 2**24
# Chance below which a term of a mean is left out.
NEGLIGIBLE = 1e-15


@dataclass(frozen=True, eq=False)
class SparseDistributed(Saved):
    """Contents at random addresses, written to and read from all addresses near a cue (Kanerva 1988).

    An address answers if at most `radius` of its bits differ from the cue. Writing adds the content, of -1 and 1, to
    the counters of all addresses that answer; reading adds up their counters and takes the signs. So a cue near a
    written address shares some of its addresses, and the rest is noise of mean zero. The names are those of torchhd.

    Attributes:
        addresses: [num_addresses, address_dim] int8 of -1 and 1, which never change.
        content: [num_addresses, content_dim] int32 counters.
        radius: number of bits in which an address that answers may differ.
        kappa: bound of a counter, -kappa..kappa; 0: none.
        stored: number of contents written.

    Raises:
        NeurosimInputError: arrays that do not fit each other, a radius outside 0..address_dim, a negative kappa.
    """

    addresses: Array
    content: Array
    radius: int
    kappa: int = 0
    stored: int = 0

    def __post_init__(self) -> None:
        check_patterns(self.addresses, (-1, 1))
        shape = self.content.shape
        fits = len(shape) == 2 and shape[0] == len(self.addresses) and shape[1] > 0
        require(fits, "SparseDistributed.content", f"must be [{len(self.addresses)}, content_dim]", shape)
        dim = self.addresses.shape[1]
        require(dim <= MAX_DIM, "SparseDistributed.addresses", f"must have at most {MAX_DIM} bits", dim)
        require(0 <= self.radius <= dim, "SparseDistributed.radius", f"must be in 0..{dim}", self.radius)
        require(self.kappa >= 0, "SparseDistributed.kappa", "must be >= 0", self.kappa)
        require(self.stored >= 0, "SparseDistributed.stored", "must be >= 0", self.stored)

    @classmethod
    def random(
        cls, num_addresses: int, address_dim: int, content_dim: int, p: float = 0.01, kappa: int = 0, seed: int = 0
    ) -> SparseDistributed:
        """Return an empty memory with addresses drawn at random.

        Args:
            num_addresses: number of addresses.
            address_dim: bits of a cue.
            content_dim: bits of a content.
            p: fraction of the addresses that answer a random cue, at least; for K contents the errors are fewest near
                (2 num_addresses K)^(-1/3) (Kanerva 1988).
            kappa: bound of a counter; 0: none.
            seed: key of the addresses.

        Raises:
            NeurosimInputError: a size below 1, p outside 0..1.
        """
        sizes = (num_addresses, address_dim, content_dim)
        require(min(sizes) >= 1, "SparseDistributed.random", "needs sizes >= 1", sizes)
        draws = np.random.Generator(np.random.Philox(key=seed))
        addresses = draws.integers(0, 2, (num_addresses, address_dim), np.int8) * np.int8(2) - np.int8(1)
        content = np.zeros((num_addresses, content_dim), np.int32)
        return cls(addresses, content, radius_of(address_dim, p), kappa)

    def write(self, addresses: object, values: object) -> SparseDistributed:
        """Return the memory after writing `values` [n, content_dim] at `addresses` [n, address_dim], one by one.

        Raises:
            NeurosimInputError: arrays of another shape, or with entries other than -1 and 1.
        """
        cues = check_cues(addresses, self.addresses.shape[1])
        added = check_patterns(values, (-1, 1)).astype(np.int32)
        shape = (len(cues), self.content.shape[1])
        require(added.shape == shape, "SparseDistributed.write", f"needs values {list(shape)}", added.shape)
        content = self.content.copy()
        for value, near in zip(added, self._answering(cues), strict=True):
            content[near] += value
            if self.kappa:
                content[near] = np.clip(content[near], -self.kappa, self.kappa)
        return replace(self, content=content, stored=self.stored + len(cues))

    def read(self, addresses: object) -> Array:
        """Return the contents [n, content_dim] read at `addresses` [n, address_dim]: -1, 1, and 0 for a sum of zero.

        Raises:
            NeurosimInputError: addresses of another shape, or with entries other than -1 and 1.
        """
        return np.sign(self._sums(check_cues(addresses, self.addresses.shape[1]))[0])

    def recall(self, cue: object, sweeps: int = 20) -> Recall:
        """Read from `cue` [N], then from the pattern that was read, until none changes, at most `sweeps` times.

        Patterns are stored by writing each at itself. A bit whose sum is zero stays as it was.

        Raises:
            NeurosimInputError: as `read`; contents that are not as long as addresses; no sweeps.
        """
        return self.recall_many(check_cue(cue, self.addresses.shape[1])[None], sweeps).one()

    def recall_many(self, cues: object, sweeps: int = 20) -> Recalls:
        """Read from each of the cues [n, N], as `recall` does from one.

        Raises:
            NeurosimInputError: as `recall`; no cue.
        """
        dim = self.addresses.shape[1]
        long = self.content.shape[1]
        require(long == dim, "SparseDistributed.recall", f"needs contents of {dim} bits", long)
        require(sweeps >= 1, "recall.sweeps", "must be >= 1", sweeps)
        states = check_cues(cues, dim)
        done = np.zeros(len(states), np.int64)
        operations = np.zeros(len(states), np.int64)
        moving = np.arange(len(states))
        for _ in range(sweeps):
            before = states[moving]
            sums, near = self._sums(before)
            after = np.where(sums == 0, before, np.sign(sums))
            states[moving] = after
            done[moving] += 1
            # Every address is compared with the cue; those that answer add their counters.
            operations[moving] += self.addresses.size + near * dim
            moving = moving[(after != before).any(axis=1)]
            if not len(moving):
                break
        return Recalls(states, done, operations)

    def work(self, addresses: object) -> list[LayerCounts]:
        """Return the work of reading at `addresses` [n, address_dim]: comparisons, and sums of counters that are not 0.

        Raises:
            NeurosimInputError: as `read`.
        """
        cues = check_cues(addresses, self.addresses.shape[1])
        near = np.zeros((len(cues), len(self.addresses)), np.int8)
        for row, active in zip(near, self._answering(cues), strict=True):
            row[active] = 1
        read = self.read(cues)[:, None]
        answers = near[:, None]
        compared = count("addresses", self.addresses.T, cues[:, None], answers, np.zeros((*answers.shape, 0)))
        return [compared, count("content", self.content, answers, read, np.zeros((*read.shape, 0)))]

    def _sums(self, cues: Array) -> tuple[Array, Array]:
        """Return sums of counters [n, content_dim], and numbers of addresses that answered [n]."""
        sums = np.zeros((len(cues), self.content.shape[1]), np.int64)
        near = np.zeros(len(cues), np.int64)
        for k, active in enumerate(self._answering(cues)):
            sums[k] = self.content[active].sum(axis=0, dtype=np.int64)
            near[k] = len(active)
        return sums, near

    def _answering(self, cues: Array) -> Iterator[Array]:
        """Yield for each cue the addresses that answer it, ascending."""
        # Exact in float32: sums of at most 2^24 ones.
        places = self.addresses.astype(np.float32).T
        least = self.addresses.shape[1] - 2 * self.radius
        part = max(1, PART_BYTES // (4 * len(self.addresses)))
        for first in range(0, len(cues), part):
            near = cues[first : first + part].astype(np.float32) @ places >= least
            yield from map(np.flatnonzero, near)


def radius_of(address_dim: int, p: float) -> int:
    """Return the smallest radius within which a random address lies with a chance of at least p."""
    from scipy.stats import binom

    require(0 < p <= 1, "SparseDistributed.p", "must be in 0..1, 0 excluded", p)
    return int(binom.ppf(p, address_dim, 0.5))


def sparse_bit_error(num_addresses: int, address_dim: int, radius: int, contents: int, flips: int = 0) -> float:
    """Return the chance of a wrong bit in one reading, at a written address of which `flips` bits are flipped.

    Of the A addresses that answer, S were written to with the content, and each of the other K - 1 contents adds a
    random sign to those that it shares. The chance is the mean of Q(S / sqrt((K - 1) (A p + A (A - 1) c / p^2))), with
    A binomial of num_addresses and p, S binomial of A and q(flips) / p, and c the mean of q(h)^2 over the distance h of
    two random addresses. Here p is the chance that a random address lies within the radius of another, and q(h) that it
    lies within the radius of both of two that differ in h bits. Exact in the mean but for the normal noise, which takes
    many contents, and for contents that are independent of the addresses: patterns written at themselves have fewer
    errors, because near addresses have like contents. A reading without a sign, S = 0 or a sum of 0, is half wrong.

    Raises:
        NeurosimInputError: a size below 1, a radius or flips outside 0..address_dim.
    """
    from scipy.special import ndtr
    from scipy.stats import binom

    sizes = (num_addresses, address_dim, contents)
    require(min(sizes) >= 1, "sparse_bit_error", "needs sizes >= 1", sizes)
    require(0 <= radius <= address_dim, "sparse_bit_error.radius", f"must be in 0..{address_dim}", radius)
    require(0 <= flips <= address_dim, "sparse_bit_error.flips", f"must be in 0..{address_dim}", flips)
    p = float(binom.cdf(radius, address_dim, 0.5))
    both = _square_within_both(address_dim, radius)
    shared = min(1.0, _within_both(address_dim, radius, flips) / p)
    answering = np.arange(num_addresses + 1)
    weights = binom.pmf(answering, num_addresses, p)
    likely = weights > NEGLIGIBLE
    a = answering[likely, None]
    own = np.arange(a.max() + 1)
    noise = np.sqrt((contents - 1) * (a * p + a * (a - 1) * both / p**2))
    # Without noise only a content that shares no address is wrong, in half of its bits.
    wrong = np.where(own == 0, 0.5, ndtr(-own / np.maximum(noise, NEGLIGIBLE)))
    return float(weights[likely] @ (binom.pmf(own, a, shared) * wrong).sum(axis=1))


@lru_cache(maxsize=16)
def _square_within_both(dim: int, radius: int) -> float:
    """Return the mean square of `_within_both` over two random addresses."""
    from scipy.stats import binom

    distances = np.arange(dim + 1)
    chances = binom.pmf(distances, dim, 0.5)
    likely = distances[chances > NEGLIGIBLE]
    return float(sum(chances[h] * _within_both(dim, radius, h) ** 2 for h in likely))


def _within_both(dim: int, radius: int, distance: int) -> float:
    """Return the chance that a random address lies within the radius of both of two at this distance."""
    from scipy.stats import binom

    # Of the bits in which the two differ, i differ from the first and the others from the second.
    i = np.arange(distance + 1)
    rest = radius - np.maximum(i, distance - i)
    return float(binom.pmf(i, distance, 0.5) @ binom.cdf(rest, dim - distance, 0.5))
