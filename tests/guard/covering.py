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
        drawn = [_drawn(axes, wanted, apart, rng) for _ in range(CANDIDATES)]
        possible = [case for case in drawn if case]
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


def _drawn(
    axes: Mapping[str, Sequence[str]],
    wanted: frozenset[str],
    apart: frozenset[frozenset[str]],
    rng: np.random.Generator,
) -> tuple[str, ...]:
    """Return a random case with the wanted features and no pair that is apart; empty if none is left."""
    chosen = {name: feature for name, features in axes.items() for feature in features if feature in wanted}
    for name in rng.permutation([name for name in axes if name not in chosen]):
        fitting = [
            feature
            for feature in axes[name]
            if not any(frozenset((feature, other)) in apart for other in chosen.values())
        ]
        if not fitting:
            return ()
        chosen[name] = fitting[int(rng.integers(len(fitting)))]
    return tuple(chosen[name] for name in axes)
