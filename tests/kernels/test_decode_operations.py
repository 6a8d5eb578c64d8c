"""Operations of a decoder on vectors against their references in numpy, their work cut in two, as threads cut it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from helpers.operations import KEYS, TOKENS, Draws, assert_close, empty, run

from neurosim.kernels.decode import program
from neurosim.kernels.decode.vectors import convolutions as convolution_kernels
from neurosim.kernels.decode.vectors import features, patches
from neurosim.kernels.decode.vectors import norms as norm_kernels
from neurosim.kernels.decode.vectors import pointwise as pointwise_kernels
from neurosim.kernels.decode.vectors import positions as position_kernels
from neurosim.kernels.decode.vectors import products as product_kernels
from neurosim.kernels.decode.vectors import reference as vectors_reference
from neurosim.kernels.decode.vectors import rows as row_kernels


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
