"""Operations of a decoder on states of matrices and vectors against their references in numpy, cut in two parts."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.operations import HEADS, KEYS, SIZES, TOKENS, VALUES, Draws, assert_close, empty, run

from neurosim.kernels.decode.matrix_states import cpu as states
from neurosim.kernels.decode.matrix_states import reference as matrix_states_reference
from neurosim.kernels.decode.routing import cpu as routing
from neurosim.kernels.decode.routing import reference as routing_reference
from neurosim.kernels.decode.vector_states import cpu as vector_states
from neurosim.kernels.decode.vector_states import reference as vector_states_reference


def decays(draw: Draws, kind: int, heads: int) -> np.ndarray | None:
    shape = {states.NO_DECAY: None, states.HEAD_DECAY: (TOKENS, heads), states.KEY_DECAY: (TOKENS, heads, KEYS)}[kind]
    return None if shape is None else -np.abs(draw(*shape))


@pytest.mark.parametrize("kind", [states.NO_DECAY, states.HEAD_DECAY, states.KEY_DECAY])
def test_additive_state(kind: int) -> None:
    draw = Draws()
    groups = 2
    state = draw(TOKENS, HEADS, KEYS, VALUES)
    expected = state.copy()
    few = HEADS // groups
    keep = empty(KEYS)
    for _ in range(2):
        q = draw(TOKENS, HEADS, KEYS)
        k = draw(TOKENS, few, KEYS)
        v = draw(TOKENS, few, VALUES)
        g = decays(draw, kind, HEADS)
        out = empty(TOKENS, HEADS, VALUES)
        run(
            states.additive(
                state=state,
                **SIZES,
                q=q,
                k=k,
                v=v,
                g=g,
                q_group=1,
                k_group=groups,
                v_group=groups,
                g_group=1,
                decay=kind,
                scale=0.5,
                keep=keep,
                out=out,
            ),
            HEADS,
        )
        assert_close(out, matrix_states_reference.additive(expected, q, k, v, g, kind, 0.5))
        assert_close(state, expected)


@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize("kind", [states.NO_DECAY, states.HEAD_DECAY, states.KEY_DECAY])
def test_state_of_the_delta_rule(kind: int, steps: int) -> None:
    draw = Draws()
    few = HEADS // 2
    state = draw(TOKENS, HEADS, KEYS, VALUES)
    expected = state.copy()
    q = draw(TOKENS, few, KEYS)
    k = draw(TOKENS, steps, few, KEYS)
    v = draw(TOKENS, steps, HEADS, VALUES)
    beta = np.abs(draw(TOKENS, steps, HEADS))
    g = decays(draw, kind, HEADS)
    out = empty(TOKENS, HEADS, VALUES)
    run(
        states.delta(
            state=state,
            **SIZES,
            q=q,
            k=k,
            v=v,
            g=g,
            beta=beta,
            q_group=2,
            k_group=2,
            g_group=1,
            steps=steps,
            decay=kind,
            scale=0.5,
            keep=empty(KEYS),
            change=empty(VALUES),
            out=out,
        ),
        HEADS,
    )
    assert_close(out, matrix_states_reference.delta(expected, q, k, v, g, beta, kind, 0.5))
    assert_close(state, expected)


def test_tokens_that_a_mask_leaves_out_keep_their_states() -> None:
    draw = Draws()
    state = draw(TOKENS, HEADS, KEYS, VALUES)
    out = empty(TOKENS, HEADS, VALUES)
    mask = np.array([1, 0, 1], np.uint8)
    before = state.copy()
    q, k = (draw(TOKENS, HEADS, KEYS) for _ in range(2))
    v = draw(TOKENS, HEADS, VALUES)
    keep = empty(KEYS)
    run(
        states.additive(
            state=state,
            **SIZES,
            q=q,
            k=k,
            v=v,
            q_group=1,
            k_group=1,
            v_group=1,
            g_group=1,
            decay=states.NO_DECAY,
            scale=1.0,
            keep=keep,
            out=out,
            mask=mask,
        ),
        HEADS,
    )
    assert (state[1] == before[1]).all() and np.isnan(out[1]).all() and (state[::2] != before[::2]).any()


def test_rank_one_states() -> None:
    draw = Draws()
    state = draw(TOKENS, HEADS, KEYS, VALUES)
    expected = state.copy()
    q, k, a, b = (draw(TOKENS, HEADS, KEYS) for _ in range(4))
    v = draw(TOKENS, HEADS, VALUES)
    g = decays(draw, states.KEY_DECAY, HEADS)
    out = empty(TOKENS, HEADS, VALUES)
    operands = {"q": q, "k": k, "v": v, "g": g, "a": a, "b": b, "decay": states.KEY_DECAY}
    spare = {"keep": empty(KEYS), "change": empty(VALUES)}
    run(states.rank_one(state=state, **SIZES, **operands, **spare, out=out), HEADS)
    assert_close(out, matrix_states_reference.rank_one(expected, q, k, v, g, a, b, states.KEY_DECAY))
    assert_close(state, expected)


@pytest.mark.parametrize("decay", [states.KEY_DECAY, states.HEAD_DECAY])
@pytest.mark.parametrize("has_bonus", [True, False])
def test_states_with_a_bonus_for_the_token_itself(decay: int, has_bonus: bool) -> None:
    draw = Draws()
    state = draw(TOKENS, HEADS, KEYS, VALUES)
    expected = state.copy()
    q = draw(TOKENS, HEADS, KEYS)
    k = draw(TOKENS, HEADS, KEYS)
    v = draw(TOKENS, HEADS, VALUES)
    g = decays(draw, decay, HEADS)
    u = draw(HEADS, KEYS) if has_bonus else None
    out = empty(TOKENS, HEADS, VALUES)
    operands = {"q": q, "k": k, "v": v, "g": g, "g_rows": 1, "u": u, "decay": decay}
    run(states.bonus(state=state, **SIZES, **operands, keep=empty(KEYS), out=out), HEADS)
    assert_close(out, matrix_states_reference.bonus(expected, q, k, v, g, u if has_bonus else 0, decay))
    assert_close(state, expected)


def test_diagonal_and_selective_states() -> None:
    draw = Draws()
    width = 5
    count = 3
    u = draw(TOKENS, width)
    d = draw(width)
    out = empty(TOKENS, width)
    a, b, c = (draw(width, count, 2) for _ in range(3))
    state = draw(TOKENS, width, count, 2)
    expected = state.astype(float) @ [1, 1j]
    run(
        vector_states.diagonal(u=u, width=width, states=count, tokens=TOKENS, a=a, b=b, c=c, d=d, state=state, out=out),
        width,
    )
    assert_close(out, vector_states_reference.diagonal(expected, u, a @ [1, 1j], b @ [1, 1j], c @ [1, 1j], d))
    assert_close(state, np.stack([expected.real, expected.imag], -1))
    dt = np.abs(draw(TOKENS, width))
    k = draw(TOKENS, count)
    q = draw(TOKENS, count)
    rates = -np.abs(draw(width, count))
    state = draw(TOKENS, width, count)
    kept = state.copy()
    run(
        vector_states.selective(
            u=u, dt=dt, width=width, k=k, q=q, states=count, tokens=TOKENS, a=rates, d=d, state=state, out=out
        ),
        width,
    )
    assert_close(out, vector_states_reference.selective(kept, u, dt, k, q, rates, d))
    assert_close(state, kept)


@pytest.mark.parametrize("position", [0, 1])
def test_decay_by_a_running_softmax(position: int) -> None:
    draw = Draws()
    c = draw(TOKENS, 5)
    z = draw(TOKENS, 5)
    k = empty(TOKENS, 5)
    g = empty(TOKENS, 5)
    expected = z.copy()
    run(vector_states.soft_decay(c=c, width=5, tokens=TOKENS, z=z, k=k, g=g), 5, position)
    want_k, want_g = vector_states_reference.soft_decay(expected, c, position)
    assert_close(k, want_k)
    assert_close(g, want_g)
    assert_close(z, expected)


def test_almost_linear_units_and_routes() -> None:
    draw = Draws()
    u = draw(TOKENS, 5)
    a = draw(5)
    w = draw(5, 5)
    z = draw(TOKENS, 5)
    out = empty(TOKENS, 5)
    expected = z.copy()
    run(vector_states.almost_linear(u=u, units=5, rectified=2, a=a, w=w, z=z, active=empty(5), out=out), TOKENS)
    assert_close(out, vector_states_reference.almost_linear(expected, u, a, w, 2))
    assert_close(z, expected)
    for sum_to_one, bias, groups, kept in ((0, None, 1, 1), (1, None, 3, 2), (0, draw(6), 1, 1), (1, draw(6), 3, 2)):
        scores = draw(TOKENS, 6)
        weights = empty(6, TOKENS)
        masks = np.full((6, TOKENS), 9, np.uint8)
        shares = empty(6, TOKENS)
        run(
            routing.route(
                scores=scores,
                memories=6,
                picked=2,
                sum_to_one=sum_to_one,
                tokens=TOKENS,
                weights=weights,
                masks=masks,
                sigmoid=int(bias is not None),
                bias=bias,
                groups=groups,
                top_groups=kept,
                scale=1.5,
                choice=empty(6 + groups),
                shares=shares,
            ),
            TOKENS,
        )
        want_weights, want_masks = routing_reference.route(scores, 2, sum_to_one, bias, groups, kept, 1.5)
        assert_close(weights, want_weights)
        assert (masks == want_masks).all() and (shares == want_masks).all()
