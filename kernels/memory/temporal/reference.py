"""A temporal memory by plain loops over plain objects: the specification."""

from __future__ import annotations

from dataclasses import dataclass, field

from ...tools.random import threefry_reference
from ..permanence import ONE
from .store import TemporalRules


@dataclass
class Synapse:
    source: int
    permanence: int
    heard: int


@dataclass
class Segment:
    cell: int
    learned: int
    synapses: list[Synapse] = field(default_factory=list)


class ReferenceTemporalMemory:
    """Segments in a dictionary by number; active synapses are found by looking at every synapse of every segment."""

    def __init__(self, columns: int, rules: TemporalRules) -> None:
        self.rules = rules
        self.columns = columns
        self.segments: dict[int, Segment] = {}
        self.free: list[int] = []
        self.made = self.now = self.drawn = 0
        self.active: set[int] = set()
        self.winners: list[int] = []
        self.predicting: list[int] = []
        self.potential: dict[int, int] = {}

    def step(self, columns, learn: bool = True) -> float:
        """Advance by one step on ascending active columns; return the anomaly."""
        r = self.rules
        self.drawn = 0
        active_columns = {int(c) for c in columns}
        # Columns as the step before left them: predicted, matching, and the winners there.
        predicted = {self._column(n) for n in self.predicting} & active_columns
        matching = list(self.potential)
        burst = sorted(active_columns - predicted)
        best = {c: self._best(c, matching) for c in burst}
        former = {c: next((w for w in self.winners if w // r.cells == c), None) for c in burst}
        winners: set[int] = set()
        # Learning may drop segments: the list is made before.
        for n in [n for n in self.predicting if self._column(n) in predicted]:
            winners.add(self.segments[n].cell)
            if learn:
                self._learn(n)
        active = set(winners)
        for c in burst:
            active |= set(range(c * r.cells, (c + 1) * r.cells))
            winners.add(self._burst(c, best[c], former[c], learn))
        if learn and r.punishment > 0:
            for n in matching:
                if n in self.segments and self._column(n) not in active_columns:
                    self._adapt(n, -r.punishment, 0)
        self.active = active
        self.winners = sorted(winners)
        self._activate()
        self.now += 1
        if active_columns:
            return 1 - len(predicted) / len(active_columns)
        return 0.0

    def _column(self, n: int) -> int:
        return self.segments[n].cell // self.rules.cells

    def _activate(self) -> None:
        r = self.rules
        self.potential = {}
        self.predicting = []
        for n, segment in sorted(self.segments.items()):
            heard = [s for s in segment.synapses if s.source in self.active]
            if len(heard) >= r.minimum:
                self.potential[n] = len(heard)
                if sum(s.permanence >= r.connected for s in heard) >= r.activation:
                    self.predicting.append(n)

    def _best(self, column: int, matching: list[int]) -> int | None:
        here = [n for n in matching if self._column(n) == column]
        return max(here, key=lambda n: (self.potential[n], -n), default=None)

    def _burst(self, column: int, best: int | None, former: int | None, learn: bool) -> int:
        if best is not None:
            cell = self.segments[best].cell
            if learn:
                self._learn(best)
            return cell
        cell = self._least_used(column) if former is None else former
        if learn and self.winners:
            self._grow(self._new_segment(cell), self.rules.growth)
        return cell

    def _owned(self, cell: int) -> list[int]:
        return [n for n, segment in self.segments.items() if segment.cell == cell]

    def _least_used(self, column: int) -> int:
        cells = range(column * self.rules.cells, (column + 1) * self.rules.cells)
        counts = [len(self._owned(cell)) for cell in cells]
        ties = [cell for cell, count in zip(cells, counts, strict=True) if count == min(counts)]
        return ties[self._draw(len(ties))]

    def _draw(self, below: int) -> int:
        block, word = divmod(self.drawn, 4)
        self.drawn += 1
        mask = 0xFFFFFFFF
        key = self.rules.key
        counter = (self.now & mask, self.now >> 32, block & mask, block >> 32)
        return threefry_reference(counter, (key & mask, key >> 32, 0, 0))[word] * below >> 32

    def _learn(self, n: int) -> None:
        self.segments[n].learned = self.now
        self._adapt(n, self.rules.increment, self.rules.decrement)
        self._grow(n, self.rules.growth - self.potential[n])

    def _adapt(self, n: int, up: int, down: int) -> None:
        synapses = self.segments[n].synapses
        # From the last: dropping one moves the last into its place.
        for i in reversed(range(len(synapses))):
            s = synapses[i]
            heard = s.source in self.active
            if heard:
                s.permanence = min(s.permanence + up, ONE)
            else:
                s.permanence = s.permanence - down
            s.heard = self.now if heard else s.heard
            if s.permanence <= 0:
                self._drop(synapses, i)
        if not synapses:
            self._drop_segment(n)

    def _grow(self, n: int, wanted: int) -> None:
        synapses = self.segments[n].synapses
        known = {s.source for s in synapses}
        pool = [w for w in self.winners if w not in known]
        for i in range(min(max(wanted, 0), len(pool))):
            j = i + self._draw(len(pool) - i)
            pool[i], pool[j] = pool[j], pool[i]
            if len(synapses) == self.rules.synapses:
                self._drop(synapses, min(range(len(synapses)), key=lambda k: (synapses[k].heard, k)))
            synapses.append(Synapse(pool[i], self.rules.initial, self.now))

    @staticmethod
    def _drop(synapses: list[Synapse], i: int) -> None:
        synapses[i] = synapses[-1]
        synapses.pop()

    def _drop_segment(self, n: int) -> None:
        del self.segments[n]
        self.free.append(n)

    def _new_segment(self, cell: int) -> int:
        owned = self._owned(cell)
        if len(owned) == self.rules.segments:
            self._drop_segment(min(owned, key=lambda n: (self.segments[n].learned, n)))
        # The last segment that was freed is used first.
        n = self.free.pop() if self.free else self.made
        self.made = max(self.made, n + 1)
        self.segments[n] = Segment(cell, self.now)
        return n
