"""Lists of cases in which every two features of different axes meet."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from itertools import product

import numpy as np

CANDIDATES = 40


def covering(
    axes: Mapping[str, Sequence[str]], least: int, seed: int, apart: frozenset[frozenset[str]] = frozenset()
) -> list[tuple[str, ...]]:
    """Return cases, one feature of each axis, so that each pair meets at least `least` times.

    Each case is the one of `CANDIDATES` random ones, built around a pair that has met too rarely, that brings the most
    such pairs.

    Args:
        apart: pairs that cannot meet.
    """
    rng = np.random.default_rng(seed)
    names = list(axes)
    left = {
        frozenset(pair): least
        for one, other in itertools.combinations(names, 2)
        for pair in product(axes[one], axes[other])
        if frozenset(pair) not in apart
    }
    cases = []
    while left:
        wanted = next(iter(left))
        drawn = [tuple(_drawn(axes, name, wanted, rng) for name in names) for _ in range(CANDIDATES)]
        possible = [case for case in drawn if not any(pair in apart for pair in pairs_of(case))]
        case = max(possible, key=lambda each: sum(pair in left for pair in pairs_of(each)), default=None)
        if case is None:
            raise ValueError(f"no case has {' and '.join(sorted(wanted))}; add them to `apart`")
        cases.append(case)
        for pair in pairs_of(case):
            if pair in left:
                left[pair] -= 1
                if left[pair] == 0:
                    del left[pair]
    return cases


def pairs_of(case: Sequence[str]) -> list[frozenset[str]]:
    return [frozenset(pair) for pair in itertools.combinations(case, 2)]


def _drawn(axes: Mapping[str, Sequence[str]], name: str, wanted: frozenset[str], rng: np.random.Generator) -> str:
    """Return the wanted feature of an axis, or else a random one."""
    for feature in axes[name]:
        if feature in wanted:
            return feature
    return axes[name][int(rng.integers(len(axes[name])))]
