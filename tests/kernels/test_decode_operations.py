"""Every operation of a decoder against its reference in numpy, its work cut in two parts, as two threads cut it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from helpers.operations import HEADS, KEYS, SIZES, TOKENS, VALUES, Draws, assert_close, empty, run

from neurosim.kernels.decode import program
from neurosim.kernels.decode.attention import reference as attention_reference
from neurosim.kernels.decode.attention import windows as seen
from neurosim.kernels.decode.linear import encode as coding
from neurosim.kernels.decode.linear import floats, product
from neurosim.kernels.decode.linear.parts import PART
from neurosim.kernels.decode.linear.vnni import BLOCK
from neurosim.kernels.decode.matrix_states import cpu as states
from neurosim.kernels.decode.matrix_states import reference as matrix_states_reference
from neurosim.kernels.decode.routing import cpu as routing
from neurosim.kernels.decode.routing import reference as routing_reference
from neurosim.kernels.decode.vector_states import cpu as vector_states
from neurosim.kernels.decode.vector_states import reference as vector_states_reference
from neurosim.kernels.decode.vectors import convolutions as convolution_kernels
from neurosim.kernels.decode.vectors import features, patches
from neurosim.kernels.decode.vectors import norms as norm_kernels
from neurosim.kernels.decode.vectors import pointwise as pointwise_kernels
from neurosim.kernels.decode.vectors import positions as position_kernels
from neurosim.kernels.decode.vectors import products as product_kernels
from neurosim.kernels.decode.vectors import reference as vectors_reference
from neurosim.kernels.decode.vectors import rows as row_kernels
from neurosim.kernels.spikes.accumulate.reference import accumulate_reference
from neurosim.kernels.spikes.encode.cpu import rule_of
from neurosim.kernels.spikes.encode.launch import numpy_rounding
from neurosim.kernels.spikes.encode.reference import NEAREST, encode_reference
from neurosim.kernels.spikes.encode.reference import share as share_of
from neurosim.language import Coder
from neurosim.language.conversion.calibrate import PRICE


@pytest.mark.parametrize("centred", [False, True])
@pytest.mark.parametrize("size", [12, 4])
def test_norm(centred: bool, size: int) -> None:
    draw = Draws()
    x = draw(TOKENS, 12)
    weight = draw(size)
    bias = draw(size)
    out = empty(TOKENS, 12)
    run(
        norm_kernels.norm(x=x, size=size, weight=weight, period=size, bias=bias, centred=centred, eps=1e-3, out=out),
        TOKENS * 12 // size,
    )
    assert_close(out, vectors_reference.norm(x, size, weight, bias, 1e-3, centred))


@pytest.mark.parametrize("kind", [vectors_reference.L2, vectors_reference.SUM, vectors_reference.SOFTMAX])
def test_normalise_and_total(kind: int) -> None:
    x = np.abs(Draws()(TOKENS, 12))
    out = empty(TOKENS, 12)
    sums = empty(TOKENS * 3)
    run(norm_kernels.normalise(x=x, size=4, kind=kind, eps=1e-3, out=out), TOKENS * 3)
    assert_close(out, vectors_reference.normalise(x, 4, kind, 1e-3))
    run(norm_kernels.total(x=x, size=4, out=sums), TOKENS * 3)
    assert_close(sums, vectors_reference.total(x, 4))


@pytest.mark.parametrize("act", sorted(vectors_reference.ACTIVATIONS))
def test_pointwise(act: int) -> None:
    draw = Draws()
    x = draw(TOKENS, 12)
    plus = draw(12)
    times = draw(TOKENS, 12)
    then = draw(4)
    if act in (vectors_reference.LOG, vectors_reference.SQRT, vectors_reference.RECIPROCAL):
        x = np.abs(x) + 0.1
        plus = np.abs(plus)
    out = empty(TOKENS, 12)
    run(
        pointwise_kernels.pointwise(
            x=x,
            width=12,
            tokens=TOKENS,
            activation=act,
            plus=plus,
            plus_columns=12,
            plus_rows=0,
            times=times,
            times_columns=12,
            times_rows=1,
            then=then,
            then_columns=4,
            then_rows=0,
            low=-1.5,
            high=9.0,
            out=out,
        ),
        12,
    )
    assert_close(out, vectors_reference.pointwise(x, act, plus, times, then, -1.5, 9.0))


def test_mix_copy_accumulate_ratio_and_embed() -> None:
    draw = Draws()
    x = draw(TOKENS, 6)
    y = draw(TOKENS, 6)
    w = draw(6)
    out = empty(TOKENS, 6)
    run(pointwise_kernels.mix(x=x, y=y, weight=w, weight_rows=0, width=6, tokens=TOKENS, out=out), 6)
    assert_close(out, vectors_reference.mix(x, y, w))
    wide = np.zeros((2 * TOKENS, 4), np.float32)
    run(
        row_kernels.copy(x=x, x_width=6, x_first=2, out=wide, out_width=4, out_first=1, columns=3, repeats=2),
        2 * TOKENS,
    )
    assert (wide[:, 1:] == np.repeat(x[:, 2:5], 2, 0)).all() and not wide[:, 0].any()
    factors = draw(TOKENS)
    present = np.array([1, 0, 1], np.uint8)
    run(pointwise_kernels.accumulate(x=x, width=6, tokens=TOKENS, factors=factors, sets=1, out=out, mask=present), 6)
    first = vectors_reference.accumulate(x, factors, present, np.zeros_like(x))
    assert_close(out, first)
    run(pointwise_kernels.accumulate(x=y, width=6, tokens=TOKENS, factors=factors, sets=0, out=out, mask=present), 6)
    assert_close(out, vectors_reference.accumulate(y, factors, present, first))
    divided = empty(TOKENS, 5)
    positive = np.abs(x) + 1
    run(norm_kernels.ratio(x=positive, size=5, eps=1e-3, out=divided), TOKENS)
    assert_close(divided, vectors_reference.ratio(positive, 1e-3))
    run(row_kernels.embed(tokens=np.array([5, 0, 5]), table=(table := draw(7, 6)), width=6, out=out), TOKENS)
    assert (out == table[[5, 0, 5]]).all()


@pytest.mark.parametrize("size", [2, 4])
def test_convolve(size: int) -> None:
    draw = Draws()
    weight = draw(size, 6)
    bias = draw(6)
    tails = draw(TOKENS, size - 1, 6)
    wanted_tails = tails.copy()
    for _ in range(3):
        x = draw(TOKENS, 6)
        out = empty(TOKENS, 6)
        run(
            convolution_kernels.convolve(
                x=x,
                width=6,
                tokens=TOKENS,
                size=size,
                weight=weight,
                bias=bias,
                tails=tails,
                activation=vectors_reference.SILU,
                out=out,
            ),
            6,
        )
        assert_close(out, vectors_reference.convolve(x, weight, bias, wanted_tails, vectors_reference.SILU))
    assert (tails == wanted_tails).all()


def test_rotary() -> None:
    x = Draws()(TOKENS, 14)
    rates = np.array([1.0, 0.3])
    out = empty(TOKENS, 14)
    turns = empty(TOKENS, 2, 2)
    positions = (9, 0, 4)
    run(position_kernels.angles(rates=rates, pairs=2, scale=1.2, tokens=TOKENS, out=turns), 2, positions)
    run(position_kernels.rotary(x=x, size=7, heads=2, angles=turns, pairs=2, out=out), 2 * TOKENS)
    expected = vectors_reference.angles(np.array(positions), rates, 1.2)
    assert_close(turns, expected)
    assert_close(out, vectors_reference.rotary(x, 7, expected))


def test_rows_of_a_table_by_position() -> None:
    table = Draws()(5, 6)
    out = empty(TOKENS, 6)
    positions = (9, 0, 4)
    run(row_kernels.look_up(table=table, count=5, width=6, tokens=TOKENS, out=out), 6, positions)
    assert (out == vectors_reference.look_up(np.array(positions), table)).all()


def test_products_of_matrices() -> None:
    draw = Draws()
    x = draw(TOKENS, 2, 3, 5)
    y = draw(TOKENS, 2, 5, 4)
    out = empty(TOKENS, 2, 3, 4)
    run(product_kernels.matmul(x=x, y=y, rows=3, inner=5, columns=4, out=out), 2 * TOKENS)
    assert_close(out, vectors_reference.matmul(x, y))


@pytest.mark.parametrize(
    ("operands", "words"),
    [
        ({"x": 0, "size": 1}, "total: missing operands: out"),
        ({"x": 0, "size": 1, "out": 0, "scale": 2.0}, "total: unknown operands: scale; choose from x, size, out"),
    ],
)
def test_operands_are_checked_by_name(operands: dict[str, Any], words: str) -> None:
    with pytest.raises(TypeError, match=words):
        norm_kernels.total(**operands)


def test_operands_lie_in_the_order_of_their_declaration() -> None:
    declared = program.Operands("x size? scale:real out")
    table = declared.table({"out": 7, "scale": 0.5, "x": 3})
    assert table.tolist()[:2] == [3, 0] and table.view(np.float64)[2] == 0.5 and table[3] == 7
    with pytest.raises(ValueError, match="operand 'x' is declared twice"):
        program.Operands("x out x")


@pytest.mark.parametrize("is_query", [False, True])
@pytest.mark.parametrize("kind", [features.DPFP, features.TAYLOR, features.NORM_AWARE])
def test_feature_maps(kind: int, is_query: bool) -> None:
    x = Draws()(TOKENS, KEYS)
    expected = np.stack([vectors_reference.feature(row.astype(float), kind, is_query, 2.5) for row in x])
    out = empty(*expected.shape)
    run(
        features.feature(x=x, size=KEYS, kind=kind, is_query=is_query, out=out, features=expected.shape[1], power=2.5),
        TOKENS,
    )
    assert_close(out, expected)


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


@pytest.mark.parametrize("together", [0, 1])
def test_patches_of_a_sensor(together: int) -> None:
    x = Draws()(TOKENS, 2, 7, 6)
    kernel = (3, 2)
    stride = (2, 1)
    expected = np.concatenate([vectors_reference.patches(each, kernel, stride) for each in x])
    stored = np.ascontiguousarray(np.moveaxis(x, 1, -1) if together else x)
    out = empty(*expected.shape)
    run(
        patches.patches(
            x=stored, planes=2, height=7, width=6, rows=3, columns=2, down=2, across=1, together=together, out=out
        ),
        len(expected),
    )
    assert (out == expected).all()


def rule_operands(size: int, k: float, rule: Any, thresholds: np.ndarray | None = None) -> dict[str, Any]:
    """Return the operands that say how rows of `size` values are coded."""
    kind, shrink, top, factor, price, edges, levels, table = rule
    given = {"by_channel": int(thresholds is not None), "thresholds": thresholds}
    given |= {"size": size, "share": float(share_of(size, k)), "kind": kind, "whole": 1}
    given |= {"shrink": float(shrink), "top": float(top), "factor": float(factor), "price": float(price)}
    given |= {"edges": edges, "levels": levels, "table": table, "table_size": len(table)}
    return given | {"scratch": np.zeros(coding.padded_to(size), np.int8)}


def empty_list(tokens: int, size: int) -> dict[str, np.ndarray]:
    """Return room for the list of active channels of each row."""
    room = coding.room(size)
    return {
        "channels": np.zeros((tokens, room), np.int32),
        "counts": np.zeros((tokens, room), np.int8),
        "head": np.zeros((tokens, coding.HEAD), np.int64),
        "level": empty(tokens),
        "escaped": np.zeros((tokens, size), np.int32),
        "excess": np.zeros((tokens, size), np.int32),
    }


def coded(x: np.ndarray, k: float) -> tuple[dict[str, np.ndarray], int, dict[str, Any]]:
    """Return the list of active channels of rows, the problem reported, and the operands of the coding."""
    tokens, size = x.shape
    operands = rule_operands(size, k, rule_of(NEAREST))
    found = empty_list(tokens, size)
    return found, run(coding.encode(x=x, **operands, **found, first=0), tokens), operands


@pytest.mark.parametrize("k", [3.0, 300.0])  # counts beyond +-127 escape
def test_rows_of_active_channels(k: float) -> None:
    draw = Draws()
    x = draw(TOKENS, 70)
    found, problem, operands = coded(x, k)
    counts, level = encode_reference(x, k)
    assert not problem and (found["level"] == level).all()
    listed = np.zeros_like(counts)
    for i, (channels, values, head, _, escaped, excess) in enumerate(zip(*found.values(), strict=True)):
        listed[i, channels[: head[coding.NUMBER]]] = values[: head[coding.NUMBER]]
        listed[i, escaped[: head[coding.ESCAPES]]] += excess[: head[coding.ESCAPES]]
    assert (listed == counts).all()
    width = 70
    stride = 2 * BLOCK
    weights = draw.draws.integers(-127, 128, (70, width)).astype(np.int8)
    steps = np.abs(draw(width))
    bias = draw(width)
    before = draw(TOKENS, width)
    swapped = np.zeros((70, stride), np.int8)
    swapped[:, : width - BLOCK] = weights[:, BLOCK:]
    swapped[:, BLOCK:] = weights[:, :BLOCK]
    exact = accumulate_reference(counts, weights)
    for operation in product.INTEGER_ROWS[product.fastest() :]:
        out = empty(TOKENS, width)
        sums = np.empty((TOKENS, stride), np.int32)
        # The outputs in two parts, as two layers would have them, the second one first.
        parts = np.zeros((2, PART), np.int64)
        for part, at, first, count in ((parts[0], 0, BLOCK, width - BLOCK), (parts[1], BLOCK, 0, BLOCK)):
            addresses = [each.ctypes.data + 4 * first for each in (steps, bias, before, out)]
            part[:] = [at, count, *addresses, width]
        sizes = {"stride": stride, "size": 70, "tokens": TOKENS}
        shape = {"rows": swapped, **sizes, "has_levels": 1, "parts": parts, "part_count": 2}
        run(operation(**shape, **found, sums=sums), stride // BLOCK)
        assert_close(out, before + (exact * steps * level[:, None] + bias))
    real = draw(70, width)
    out = empty(TOKENS, width)
    shape = {"rows": real, "size": 70, "width": width, "tokens": TOKENS, "bias": bias, "before": before}
    run(floats.float_rows(**shape, **found, has_levels=1, out=out), 2)
    np.testing.assert_allclose(out, before + (counts @ real * level[:, None] + bias), rtol=1e-4, atol=1e-4)
    scales = np.array([1.5, 0.5], np.float32)
    decoded = empty(TOKENS, 70)
    spare = {name: np.empty(70, np.int32) for name in ("escaped", "excess")}
    run(coding.code(x=x, **operands, **spare, scales=scales, scale_count=2, out=decoded), TOKENS)
    assert_close(decoded, counts * np.resize(scales, 70) * level[:, None])


@pytest.mark.parametrize("case", ["one pass", "no weight", "centred", "no table", "level"])
def test_a_norm_fused_with_its_encoder(case: str) -> None:
    """The bits of one after the other: norm, list, counts."""
    draw = Draws()
    size = 70
    x = draw(TOKENS, size)
    weight = draw(size)
    bias = draw(size)
    thresholds = np.abs(draw(size)) + np.float32(0.3)
    if case in ("no table", "level"):
        rounding = NEAREST
    else:
        rounding = numpy_rounding(Coder("calibrated", torch.ones(size), price=PRICE).kernel_rounding(size)[0])
    rule = rule_of(rounding)
    table = rule[-1]
    first = int(np.argmax(table != 0)) if len(table) else 0
    norm = [None if case == "no weight" else weight, bias if case == "centred" else None, int(case == "centred"), 1e-6]
    given = None if case == "level" else thresholds

    def encoded(operation: Any, source: np.ndarray, more: dict[str, Any]) -> list[np.ndarray]:
        found = empty_list(len(source), size)
        operands = rule_operands(size, 2.0, rule, given)
        assert not run(operation(x=source, **operands, **found, first=first, **more), len(source))
        return [source, *(found[name] for name in ("channels", "counts", "head", "level"))]

    apart = empty(TOKENS, size)
    both = empty(TOKENS, size)
    normed = {"norm_x": x, "weight": norm[0], "bias": norm[1], "centred": norm[2], "eps": norm[3]}
    run(
        norm_kernels.norm(
            x=x, size=size, weight=norm[0], period=size, bias=norm[1], centred=norm[2], eps=norm[3], out=apart
        ),
        TOKENS,
    )
    one = encoded(coding.encode, apart, {})
    other = encoded(coding.norm_encode, both, normed)
    assert one[3][:, coding.NUMBER].min() > 5 and all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))
    x[1, 2] = np.inf
    with pytest.raises(AssertionError):
        encoded(coding.norm_encode, both, normed)


def test_dense_layers_and_values_that_are_not_finite() -> None:
    draw = Draws()
    x = draw(TOKENS, 9)
    weight = draw(70, 9)
    bias = draw(70)
    before = draw(TOKENS, 70)
    out = empty(TOKENS, 70)
    run(floats.dense(weights=weight, size=9, width=70, tokens=TOKENS, x=x, bias=bias, before=before, out=out), 2)
    assert_close(out, before + (x @ weight.T + bias))
    x[1, 2] = np.inf
    assert coded(x, 3.0)[1] == program.NOT_FINITE
