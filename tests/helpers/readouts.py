"""Networks of one readout, and the readout by a plain loop in float64."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from neurosim import Link, Network, Population, Recordings, Spikes, SpikeSource, Windowed
from neurosim.learning import LinearReadout, OnlineReadout, label_recordings

WINDOW = 0.01


def reading(
    model: LinearReadout | OnlineReadout, learn: bool = True, learned: object = None, window: float = WINDOW
) -> Network:
    """A source of spikes, a source for every other receptor, and the readout "readout"."""
    sources = [Population(name, size, SpikeSource()) for name, size in model.receptors.items()]
    readout = Population("readout", model.outputs, Windowed(model, window, learn, learned))  # type: ignore[arg-type]
    links = [Link(name, "readout", name) for name in model.receptors]
    return Network([*sources, readout], links=links)


def clip(seed: int, inputs: int, windows: int, events: int = 60) -> Spikes:
    """Random spikes in the middle of steps of 1 ms, more of some inputs than of others."""
    rng = np.random.default_rng(seed)
    times = (rng.integers(0, round(windows * WINDOW * 1e3), events) + 0.5) * 1e-3
    chosen = rng.choice(inputs, events, p=(weights := rng.uniform(size=inputs) ** 2) / weights.sum())
    return Spikes.sort(times, chosen, inputs, windows * WINDOW)


def clips(count: int, inputs: int, windows: int, seed: int = 0) -> Recordings:
    return Recordings.collect([clip(1000 * seed + i, inputs, windows) for i in range(count)])


def of_counts(counts: NDArray) -> Recordings:
    """Recordings of one window with these spikes [recordings, inputs]."""
    inputs = counts.shape[1]
    lists = [np.repeat(np.arange(inputs), row) for row in counts]
    times = [np.sort(np.resize(np.arange(5) * 1e-3 + 5e-4, len(units))) for units in lists]
    return Recordings.collect([Spikes.sort(t, u, inputs, WINDOW) for t, u in zip(times, lists, strict=True)])


def teachers(model: OnlineReadout, labels: object, tasks: object, duration: float, time: float = 0.0) -> dict:
    """Recordings of the receptors beside "input": labels or rewards, and announcements of tasks (0, or -1: none)."""
    named = {"label": labels, "reward": labels, "task": tasks}
    return {
        name: label_recordings(named[name], size, time, duration)
        for name, size in model.receptors.items()
        if name != "input"
    }


class PlainReadout:
    """The equations of `OnlineReadout`, dense and in float64; windows are given as [inputs] counts."""

    def __init__(self, model: OnlineReadout, rows: NDArray) -> None:
        """rows: the lateral weights at the start of each task, one after the other."""
        self.m = model
        size = model.inputs * model.windows
        self.w = np.zeros((model.classes, size))
        self.seen = np.zeros(model.classes, bool)
        self.h = rows.astype(float)
        self.velocity = np.zeros(rows.shape)
        self.power = np.zeros(len(rows))
        self.task = 0
        self.squares = np.zeros(size)
        self.pairs = np.eye(size) / (model.penalty or 1)

    def begin(self) -> None:
        self.counts = np.zeros((self.m.windows, self.m.inputs))
        self.k = 0

    def window(self, counts: NDArray, label: int | None, learn: bool = True, winner: int | None = None) -> tuple:
        """Return winner and scores of a window; `winner` is that of a readout that explores."""
        m = self.m
        slot = min(self.k, self.m.windows - 1)
        if m.features == "traces":
            if self.k:
                before = self.counts[min(self.k - 1, m.windows - 1)]
            else:
                before = 0
            self.counts[slot] = m.decay * before + counts
        else:
            self.counts[slot] += counts
        self.k += 1
        x = m.gain * (np.sqrt(self.counts) if m.features == "roots" else self.counts).ravel()
        scores = self.w @ x
        if m.rule == "delta" and self.seen.any():
            among = self.seen
        else:
            among = np.ones(m.classes, bool)
        if winner is None:
            winner = max(np.flatnonzero(among), key=lambda c: (scores[c], -c))
        if learn and label is not None:
            self.learn(x, scores, label, winner)
        return winner, scores

    def learn(self, x: NDArray, scores: NDArray, label: int, winner: int) -> None:
        m = self.m
        error = np.zeros(self.m.classes)
        if m.rule == "delta":
            self.seen[label] = True
        p = np.exp(scores) * (self.seen if m.rule == "delta" else 1)
        guess = scores if m.error == "linear" else p / p.sum()
        if m.rule == "delta":
            error = np.eye(m.classes)[label] - guess
        else:
            error[winner] = (label if m.error == "softmax" else 2 * label - 1) - guess[winner]
        first, last = self.span()
        left = x - self.quantised(self.h[:first] @ x) @ self.h[:first]
        if m.penalty:
            k = self.pairs @ x
            self.w += np.outer(error, k) / (1 + k @ x)
            self.pairs -= np.outer(k, k) / (1 + k @ x)
        elif x.any() and m.input_rates:
            self.squares += left**2
            moved = left / np.where(left == 0, 1, self.squares)
            self.w += m.learning_rate / (moved @ left if m.normalised else 1) * np.outer(error, moved)
        elif x.any():
            if m.normalised:
                step = m.learning_rate / (left @ left + 1e-3 * x @ x)
            else:
                step = m.learning_rate
            self.w += step * np.outer(error, left)
            if m.lateral is not None:
                self.adapt(x, left, slice(first, last))

    def adapt(self, x: NDArray, left: NDArray, new: slice) -> None:
        lateral = self.m.lateral
        h = self.h[new]
        if lateral.rule == "hebbian":
            for _ in range(lateral.iterations):
                y = self.quantised(h @ x)
                change = np.clip(np.outer(y, left - y @ h), -10, 10)
                self.velocity[new] = lateral.momentum * self.velocity[new] + (1 - lateral.momentum) * change
                h += lateral.learning_rate * self.velocity[new]
            return
        power = self.power[new]
        rest = left.copy()
        for r in range(len(h)):
            y = self.quantised(h[r] @ rest)
            power[r] += y**2
            h[r] += y / (power[r] + 1e-4 * x @ x) * (rest - y * h[r])
            rest -= y * h[r]

    def span(self) -> tuple[int, int]:
        ends = np.cumsum([0, *(self.m.lateral.rows if self.m.lateral else (0,))])
        return ends[self.task], ends[self.task + 1]

    def next_task(self, fresh: NDArray) -> None:
        """Orthonormal rows of a deflating circuit; `fresh` are the rows of the next task."""
        first, last = self.span()
        if self.m.lateral.rule == "deflation":
            q, r = np.linalg.qr(self.h[:last].T)
            self.h[first:last] = (q * np.sign(np.diag(r))).T[first:last]
        self.task += 1
        first, last = self.span()
        self.h[first:last] = fresh

    def quantised(self, y: NDArray) -> NDArray:
        lateral = self.m.lateral
        if lateral is None or not lateral.spiking:
            return y
        step = lateral.scale / lateral.levels
        return np.clip(np.round(y / step), -lateral.levels, lateral.levels) * step
