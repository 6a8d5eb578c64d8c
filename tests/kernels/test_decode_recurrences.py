"""Operations of the recurrences whose state is no matrix of keys and values, against their references."""

from __future__ import annotations

import pytest
from helpers.operations import TOKENS, Draws, assert_close, empty, run

from neurosim.kernels.decode.vector_states import cpu as vector_states
from neurosim.kernels.decode.vector_states import reference as vector_states_reference


def test_a_filter_of_each_channel() -> None:
    draw = Draws()
    width = 5
    count = 3
    u, a, b, c, d, out = (
        draw(TOKENS, width),
        draw(width, 3, 3),
        *(draw(width, 3) for _ in "bc"),
        draw(width),
        empty(3, 5),
    )
    state = draw(TOKENS, width, count)
    wanted = state.copy()
    run(
        vector_states.filtered(
            u=u, width=width, states=count, tokens=TOKENS, a=a, b=b, c=c, d=d, state=state, before=empty(count), out=out
        ),
        width,
    )
    assert_close(out, vector_states_reference.filtered(wanted, u, a, b, c, d))
    assert_close(state, wanted)


@pytest.mark.parametrize(("states", "weights"), [(1, 3), (2, 5)])
def test_gated_units(states: int, weights: int) -> None:
    draw = Draws()
    units = 7
    u = draw(TOKENS, units, 3)
    w = draw(weights, units)
    state = draw(TOKENS, units, states)
    out = empty(TOKENS, units)
    wanted = state.copy()
    run(
        vector_states.gated_units(u=u, units=units, tokens=TOKENS, states=states, weights=w, state=state, out=out),
        units,
    )
    assert_close(out, vector_states_reference.gated_units(wanted, u, w))
    assert_close(state, wanted)
