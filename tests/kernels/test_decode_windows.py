"""Attention of a decoder over windows against its reference in numpy, cut in two parts."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.operations import HEADS, KEYS, SIZES, TOKENS, VALUES, Draws, assert_close, empty, run

from neurosim.kernels.decode.attention import reference as attention_reference
from neurosim.kernels.decode.attention import windows as seen


def test_the_token_that_leaves_a_window_is_taken_before_it_is_overwritten() -> None:
    draw = Draws()
    heads = 2
    capacity = 3
    width = heads * (KEYS + VALUES)
    ring = np.zeros((1, capacity, width), np.float32)
    values = []
    for position in range(5):
        out = empty(1, heads, VALUES + 1)
        operands = {"ring": ring, "width": width, "first": heads * KEYS, "heads": heads, "size": VALUES}
        run(seen.take_oldest(**operands, tokens=1, capacity=capacity, more=1, out=out), heads, position)
        # Behind the values a 1 says that there is such a token.
        expected = np.zeros((heads, VALUES + 1))
        if position >= capacity:
            expected[:, :-1] = values[-capacity]
            expected[:, -1] = 1
        assert_close(out[0], expected)
        values.append(draw(heads, VALUES))
        ring[0, position % capacity, heads * KEYS :] = values[-1].ravel()


@pytest.mark.parametrize("learnt, cap", [(0, 0.0), (2, 0.0), (0, 0.6)])
def test_attention_over_a_window(learnt: int, cap: float) -> None:
    draw = Draws()
    few = 2
    capacity = 3
    memory = np.zeros((1, capacity, few * (KEYS + VALUES)), np.float32)
    own = draw(learnt, HEADS, KEYS + VALUES) if learnt else None
    fixed = {
        **SIZES,
        "tokens": 1,
        "group": HEADS // few,
        "capacity": capacity,
        "memory": memory,
        "scale": 0.4,
        "weights": empty(capacity + learnt),
        "learnt": own,
        "learnt_count": learnt,
        "interval": 1,
        "restarts": 0,
        "rows": 1,
        "cap": cap,
    }
    keys = []
    values = []
    for position in range(5):
        q = draw(1, HEADS, KEYS)
        plain = draw(1, HEADS, KEYS)
        k = draw(1, few, KEYS)
        v = draw(1, few, VALUES)
        out = empty(1, HEADS, VALUES)
        mass = empty(1, HEADS)
        run(seen.window(**fixed, q=q, k=k, v=v, plain=plain, out=out, mass=mass), few, position)
        keys.append(k[0])
        values.append(v[0])
        known = (np.stack(keys), np.stack(values))
        attended, expected_mass = attention_reference.window(q[0], *known, capacity, 0.4, plain[0], own, cap)
        assert_close(out[0], attended)
        assert_close(mass[0], expected_mass)


def test_a_ring_takes_in_what_comes_and_a_share_joins_both() -> None:
    draw = Draws()
    ring = draw(TOKENS, 2, 6)
    before = draw(TOKENS, 6)
    ring[:, 1] = before
    x = draw(TOKENS, 6)
    out = empty(TOKENS, 6)
    run(
        seen.take_oldest(ring=ring, width=6, first=0, heads=2, size=3, tokens=TOKENS, capacity=2, x=x, more=0, out=out),
        2,
        position=3,
    )
    assert (out == before).all() and (ring[:, 1] == x).all()
    near = draw(TOKENS, HEADS, VALUES)
    mass = draw(TOKENS, HEADS)
    offset = draw(HEADS)
    sums = draw(TOKENS, HEADS, VALUES + 1)
    both = empty(TOKENS, HEADS, VALUES)
    sums[..., -1] = np.maximum(sums[..., -1], 0)  # of some heads nothing is older
    sums[sums[..., -1] == 0] = 0
    run(
        seen.share(seen=near, mass=mass, sums=sums, offset=offset, heads=HEADS, size=VALUES, tokens=TOKENS, out=both),
        HEADS,
    )
    assert_close(both, attention_reference.share(near, mass, sums, offset))
