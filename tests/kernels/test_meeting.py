"""Threads that meet thousands of times, more threads than cores included: none goes on before all have come."""

from __future__ import annotations

import _thread
import time
from collections.abc import Callable

import numpy as np
import pytest
from helpers.networks import DT, recording, small

from neurosim import Simulation
from neurosim.kernels.tools.compiled import compiled
from neurosim.kernels.tools.intrinsics import APART, barrier
from neurosim.kernels.tools.threads import together


@compiled
def rounds(sync, board, thread, threads, count, spins, faults):
    """Write the number of each round, meet, and count the threads that have not written it."""
    for r in range(1, count + 1):
        # Two boards in turn: the next round is written while others still read this one.
        board[r & 1, thread * APART] = r
        barrier(sync, thread, threads, r, spins)
        for other in range(threads):
            faults[thread] += board[r & 1, other * APART] != r


def meet(threads: int, count: int, spins: int) -> int:
    """Return how often a thread went on before another had come."""
    sync = np.zeros(threads * APART, np.int64)
    board = np.zeros((2, threads * APART), np.int64)
    faults = np.zeros(threads, np.int64)
    together(lambda thread: rounds(sync.ctypes.data, board, thread, threads, count, spins, faults), threads)
    assert np.array_equal(sync[::APART], np.full(threads, count))
    return int(faults.sum())


@pytest.mark.slow
@pytest.mark.parametrize(("threads", "spins"), [(2, 1000), (2, 0), (5, 3), (16, 0)])
def test_no_thread_goes_on_alone(threads: int, spins: int) -> None:
    assert meet(threads, 5000, spins) == 0


def test_those_who_come_first_wait() -> None:
    sync = np.zeros(2 * APART, np.int64)
    times = np.zeros(2)

    def come(thread: int) -> None:
        if thread:
            time.sleep(0.05)
            times[1] = time.monotonic()
        barrier(sync.ctypes.data, thread, 2, 1, 0)
        if not thread:
            times[0] = time.monotonic()

    together(come, 2)
    assert times[0] >= times[1]


def test_nobody_begins_where_a_thread_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The others would wait for it for ever."""
    start = _thread.start_new_thread
    granted = iter([True, False])
    began = []
    ended = []

    def start_or_refuse(function: Callable[..., object], arguments: tuple[object, ...]) -> int:
        if not next(granted):
            raise RuntimeError("can't start new thread")

        def run() -> None:
            function(*arguments)
            ended.append(True)

        return start(run, ())

    monkeypatch.setattr(_thread, "start_new_thread", start_or_refuse)
    with pytest.raises(RuntimeError, match="can't start"):
        together(began.append, 3)
    while not ended:
        time.sleep(0.001)
    assert not began


@pytest.mark.slow
def test_a_network_on_many_threads_is_the_network_on_one() -> None:
    """Delays of one step, so that threads meet in every step; started and continued at other steps each time."""
    spikes = {}
    for threads in (1, 2, 7, 16):
        for piece in (0.05, 0.013):
            with Simulation(small(noise=True), recording(), clock=DT, seed=3, threads=threads) as simulation:
                parts = []
                while simulation.time < 0.05 - 1e-9:
                    parts.append(simulation.run(min(piece, 0.05 - simulation.time)))
                times = [part.spikes[name].times for part in parts for name in sorted(part.spikes)]
            spikes[threads, piece] = np.sort(np.concatenate(times))
    first = spikes[1, 0.05]
    assert first.size and all(np.array_equal(first, other) for other in spikes.values())
