"""Operations of the recurrences whose state is not one matrix of keys and values, against their references."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.operations import HEADS, KEYS, SIZES, TOKENS, VALUES, Draws, assert_close, empty, run
from scipy.linalg import expm

from neurosim.kernels.decode.matrix_states import cpu as states
from neurosim.kernels.decode.matrix_states import reference as matrix_states_reference
from neurosim.kernels.decode.vector_states import cpu as vector_states
from neurosim.kernels.decode.vector_states import reference as vector_states_reference
from neurosim.kernels.decode.vectors import reference as vectors_reference
from neurosim.kernels.decode.vectors import rotations


@pytest.mark.parametrize("outputs", [1, 3])
def test_a_filter_of_each_channel(outputs: int) -> None:
    draw = Draws()
    width = 5
    count = 3
    u = draw(TOKENS, width)
    a = draw(width, count, count)
    b = draw(width, count)
    c = draw(width, outputs, count)
    d = draw(width, outputs)
    out = empty(TOKENS, width, outputs)
    state = draw(TOKENS, width, count)
    expected = state.copy()
    sizes = {"width": width, "states": count, "outputs": outputs, "tokens": TOKENS}
    run(vector_states.linear_filter(u=u, **sizes, a=a, b=b, c=c, d=d, state=state, before=empty(count), out=out), width)
    assert_close(out, vector_states_reference.linear_filter(expected, u, a, b, c, d))
    assert_close(state, expected)


@pytest.mark.parametrize(("states", "weights"), [(1, 3), (2, 5)])
def test_gated_units(states: int, weights: int) -> None:
    draw = Draws()
    units = 7
    u = draw(TOKENS, units, 3)
    w = draw(weights, units)
    state = draw(TOKENS, units, states)
    out = empty(TOKENS, units)
    expected = state.copy()
    run(
        vector_states.gated_units(u=u, units=units, tokens=TOKENS, states=states, weights=w, state=state, out=out),
        units,
    )
    assert_close(out, vector_states_reference.gated_units(expected, u, w))
    assert_close(state, expected)


@pytest.mark.parametrize("parts", [1, 2])
def test_states_that_a_matrix_mixes(parts: int) -> None:
    draw = Draws()
    count = 3
    state = draw(TOKENS, HEADS, count * KEYS, VALUES)
    expected = state.copy()
    q = draw(TOKENS, HEADS, KEYS)
    k = draw(TOKENS, HEADS, KEYS)
    v = draw(TOKENS, HEADS, parts, VALUES)
    transition = draw(TOKENS, HEADS, count, count)
    source = draw(TOKENS, HEADS, count, parts)
    mark = draw(TOKENS, HEADS, parts, count)
    out = empty(TOKENS, HEADS, parts, VALUES)
    rows = {"q": q, "k": k, "v": v, "transition": transition, "source": source, "mark": mark}
    spare = empty(count, VALUES)
    run(states.several_states(state=state, **SIZES, **rows, mixed=count, parts=parts, change=spare, out=out), HEADS)
    assert_close(out, matrix_states_reference.several_states(expected, **rows))
    assert_close(state, expected)


@pytest.mark.parametrize("size", [1, 2, 3, 5])
@pytest.mark.parametrize("scale", [0.1, 1.0, 30.0])
def test_rotations(size: int, scale: float) -> None:
    """Against the reference, and scipy's exponential; also by angles of many turns."""
    x = (scale * Draws()(TOKENS, 4, size, size)).astype(np.float32)
    out = empty(TOKENS, 4, size, size)
    spare = np.full((3, size, size), np.nan)
    run(rotations.rotations(x=x, size=size, spare=spare, out=out), 4 * TOKENS)
    exact = x.astype(float)
    expected = vectors_reference.rotations(exact)
    np.testing.assert_allclose(expected, expm(exact - np.swapaxes(exact, -1, -2)), atol=1e-11 * max(scale, 1))
    assert_close(out, expected)
