"""A table of pairs of features: how often two of them were tried in one case, and why some pairs cannot meet."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

Pair = frozenset[str]


@dataclass
class PairTable:
    """Number of cases in which each pair of features met.

    title: heading of the printed table.
    axes: features by axis ("kind", "coding", "threads"). Two features of one axis exclude each other, and their cell is
        empty without a reason, unless the axis is in `several`.
    least: number of cases in which each pair must meet.
    several: axes of which one case may have several features.
    """

    title: str
    axes: Mapping[str, Sequence[str]]
    least: int = 1
    several: frozenset[str] = frozenset()
    counts: dict[Pair, int] = field(default_factory=dict)
    reasons: dict[Pair, str] = field(default_factory=dict)
    cases: int = 0

    def __post_init__(self) -> None:
        self.axis = {feature: axis for axis, features in self.axes.items() for feature in features}
        if len(self.axis) != sum(len(features) for features in self.axes.values()):
            raise ValueError(f"{self.title}: a feature is listed twice")

    @property
    def features(self) -> list[str]:
        return list(self.axis)

    def pairs(self) -> list[tuple[str, str]]:
        """Return the pairs that need a count or a reason."""
        return [
            (a, b)
            for a, b in itertools.combinations(self.features, 2)
            if self.axis[a] != self.axis[b] or self.axis[a] in self.several
        ]

    def met(self, feature_a: str, feature_b: str, times: int = 1) -> None:
        """Count `times` cases in which two features met."""
        pair = self._pair(feature_a, feature_b)
        self.counts[pair] = self.counts.get(pair, 0) + times

    def case(self, features: Iterable[str]) -> None:
        """Count one case: each pair of its features met once."""
        self.cases += 1
        for a, b in itertools.combinations(sorted(set(features)), 2):
            self.met(a, b)

    def cannot(self, feature_a: str, feature_b: str, reason: str) -> None:
        """Say why two features cannot meet; the reason is printed below the table."""
        self.reasons[self._pair(feature_a, feature_b)] = reason

    def missing(self) -> list[tuple[str, str]]:
        """Return the pairs that met fewer than `least` times and have no reason."""
        return [
            (a, b)
            for a, b in self.pairs()
            if self.counts.get(frozenset((a, b)), 0) < self.least and frozenset((a, b)) not in self.reasons
        ]

    def contradictions(self) -> list[tuple[str, str]]:
        """Return the pairs that met although a reason says that they cannot."""
        return [
            (a, b)
            for a, b in itertools.combinations(self.features, 2)
            if frozenset((a, b)) in self.reasons and self.counts.get(frozenset((a, b)), 0) > 0
        ]

    def render(self) -> str:
        """Return the table as text: a count, the letter of a reason, "!" for a gap, "." for features that exclude."""
        letters = {reason: _letters(i) for i, reason in enumerate(dict.fromkeys(self.reasons.values()))}
        name_width = max(len(feature) for feature in self.features)
        needed = {frozenset(pair) for pair in self.pairs()}
        lines = [f"{self.title}: {self.cases} cases, each pair at least {self.least} times", ""]
        for row, feature in enumerate(self.features):
            cells = [self._cell(frozenset((feature, other)), needed, letters) for other in self.features[:row]]
            lines.append(f"{row + 1:3} {feature:<{name_width}} " + "".join(f"{cell:>5}" for cell in cells))
        lines.append(" " * (name_width + 5) + "".join(f"{column + 1:>5}" for column in range(len(self.features) - 1)))
        lines += ["", *(f"{letter}: {reason}" for reason, letter in letters.items())]
        lines += [f"missing: {a} with {b} ({self.counts.get(frozenset((a, b)), 0)})" for a, b in self.missing()]
        lines += [f"met, though it is said that they cannot: {a} with {b}" for a, b in self.contradictions()]
        return "\n".join(lines).rstrip()

    def is_full(self) -> bool:
        return not self.missing() and not self.contradictions()

    def _pair(self, a: str, b: str) -> Pair:
        for feature in (a, b):
            if feature not in self.axis:
                raise ValueError(f"{self.title}: unknown feature {feature!r}; choose from {', '.join(self.features)}")
        if a == b:
            raise ValueError(f"{self.title}: a pair is of two features (got {a!r} twice)")
        return frozenset((a, b))

    def _cell(self, pair: Pair, needed: set[Pair], letters: Mapping[str, str]) -> str:
        count = self.counts.get(pair, 0)
        if count:
            if count < self.least and pair in needed and pair not in self.reasons:
                return f"{count}!"
            return str(count)
        if pair in self.reasons:
            return letters[self.reasons[pair]]
        return "!" if pair in needed else "."


def _letters(index: int) -> str:
    """Return a, b, ..., z, aa, ab, ..."""
    first, last = divmod(index, 26)
    return (chr(ord("a") + first - 1) if first else "") + chr(ord("a") + last)
