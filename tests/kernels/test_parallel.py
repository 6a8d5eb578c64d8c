"""Ranges that tile the items, whoever works on them."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from neurosim.kernels.tools.threads import spread


@pytest.mark.parametrize("threads", [1, 2, 3, 8])
@pytest.mark.parametrize("lengths", [[], [0], [5], [0, 0, 7, 0], [1] * 100, [1000, 1, 1, 1], list(range(50))], ids=len)
def test_every_item_is_done_once(threads: int, lengths: list[int]) -> None:
    done = np.zeros(len(lengths), int)
    lock = threading.Lock()

    def fill(a: int, b: int) -> None:
        with lock:
            done[a:b] += 1

    spread(fill, np.cumsum([0, *lengths]), threads, 2)
    assert done.tolist() == [1] * len(lengths)


def test_little_work_stays_in_the_thread_it_came_from() -> None:
    found = []
    spread(lambda a, b: found.append((a, b, threading.get_ident())), np.arange(11), 4, 100)
    assert found == [(0, 10, threading.get_ident())]


@pytest.mark.parametrize("threads", [1, 4])
def test_errors_come_through(threads: int) -> None:
    def fill(a: int, b: int) -> None:
        if a <= 30 < b:
            raise RuntimeError("item 30")

    with pytest.raises(RuntimeError, match="item 30"):
        spread(fill, np.arange(101), threads, 1)
