"""One synapse under a learning rule, run by the kernels."""

from __future__ import annotations

import numpy as np

from neurosim.engine.compile.rule_vectors import rule_vector
from neurosim.kernels.engine.clocked import plasticity as kernel
from neurosim.kernels.engine.clocked import waiting as late
from neurosim.network.plasticity.base import LearningRule

DT = 1e-3


class Synapses:
    """Plastic rows driven through the kernels step by step, their targets shared among `threads` workers."""

    def __init__(self, rule: LearningRule, targets: list[np.ndarray], size: int, threads: int = 1) -> None:
        self.rule = rule_vector(rule.terms(), DT)
        self.decay = kernel.decay_tables(self.rule, 64)  # short, so that both ways to decay are taken
        self.offsets = np.concatenate([[0], np.cumsum([len(row) for row in targets])])
        self.targets = np.concatenate(targets).astype(np.uint32)
        count = len(self.targets)
        arrays = np.empty(size + 1, np.int64), np.empty(count, np.uint32), np.empty(count, np.uint32)
        self.incoming = kernel.Incoming(*arrays)
        kernel.index_incoming(self.offsets, self.targets, *self.incoming)
        self.weights = np.full(count, 0.5)
        self.pre = np.zeros((threads, len(targets), kernel.TRACE_COLUMNS))
        self.post = np.zeros((size, kernel.TRACE_COLUMNS))
        self.eligibility = np.zeros((count, 2))
        self.reward = np.tile([0.0, 0.0, 1.0], (threads, 1))
        self.row = np.zeros(size)
        room = size * late.LINE
        found = np.empty(late.FOUND, np.int64)
        self.waiting = late.Waiting(np.full(room, -1, np.int32), np.empty((room, 2)), found)
        self.sent: list[float] = []
        self.cuts = np.arange(threads + 1) * size // threads

    def step(self, k: int, arrivals: np.ndarray, posts: np.ndarray, rewards: int) -> None:
        self.row[:] = 0
        for t, (low, high) in enumerate(zip(self.cuts[:-1], self.cuts[1:], strict=True)):
            learning = kernel.Learning(self.rule, self.decay, self.pre[t], self.post, self.eligibility, self.reward[t])
            if self.rule[kernel.MODULATED]:
                kernel.advance_reward(learning, self.incoming, self.weights, k, rewards, low, high)
            for i in arrivals:
                a, b = self.offsets[i] + np.searchsorted(
                    self.targets[self.offsets[i] : self.offsets[i + 1]], [low, high]
                )
                before = self.row.sum()
                if not self.rule[kernel.MODULATED]:
                    late.catch_up(learning, self.waiting, i, a, b, a, self.targets, self.weights)
                kernel.on_arrival(learning, k, i, a, b, self.targets, self.weights, 1.0, self.row)
                kernel.after_arrival(learning, k, i)
                self.sent.append(self.row.sum() - before)
            for j in posts:
                if low <= j < high and self.rule[kernel.MODULATED]:
                    kernel.on_target_spike(learning, self.incoming, self.weights, k, j)
                elif low <= j < high:
                    if late.is_full(self.waiting, j):
                        late.catch_up_target(learning, self.waiting, self.incoming, self.weights, j)
                        late.forget(self.waiting, j)
                    late.wait(learning, self.waiting, k, j)

    def catch_up(self) -> None:
        learning = kernel.Learning(self.rule, self.decay, self.pre[0], self.post, self.eligibility, self.reward[0])
        late.catch_up_all(learning, self.waiting, self.offsets[:-1], self.offsets[1:], self.targets, self.weights)
        self.waiting.steps[:] = -1

    def settled(self) -> np.ndarray:
        self.catch_up()
        out = np.empty_like(self.weights)
        kernel.weights_now(self.rule, self.weights, self.eligibility, self.reward[0], out)
        return out


def one_synapse(rule: LearningRule, arrivals, posts, rewards=(), steps: int = 0, weight: float = 0.5):
    """[steps] weight of one synapse after each step, and the weight each arrival delivered."""
    synapse = Synapses(rule, [np.array([0])], 1)
    synapse.weights[:] = weight
    steps = steps or max([*arrivals, *posts, *rewards]) + 1
    counts = [
        np.bincount(spikes, minlength=steps) if len(spikes) else [0] * steps for spikes in (arrivals, posts, rewards)
    ]
    history = []
    for k, (arrived, fired, rewarded) in enumerate(zip(*counts, strict=True)):
        synapse.step(k, np.zeros(arrived, int), np.zeros(fired, int), rewarded)
        history.append(synapse.settled()[0])
    return np.array(history), np.array(synapse.sent)
