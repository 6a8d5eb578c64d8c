"""Layers of a decoder that add rows of active channels against their references in numpy, cut in two parts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from helpers.operations import TOKENS, Draws, assert_close, empty, run

from neurosim.kernels.decode import program
from neurosim.kernels.decode.linear import encode as coding
from neurosim.kernels.decode.linear import floats, product
from neurosim.kernels.decode.linear.parts import PART
from neurosim.kernels.decode.linear.vnni import BLOCK
from neurosim.kernels.decode.vectors import norms as norm_kernels
from neurosim.kernels.spikes.accumulate.reference import accumulate_reference
from neurosim.kernels.spikes.encode.cpu import rule_of
from neurosim.kernels.spikes.encode.launch import numpy_rounding
from neurosim.kernels.spikes.encode.reference import NEAREST, encode_reference
from neurosim.kernels.spikes.encode.reference import share as share_of
from neurosim.language import Coder
from neurosim.language.conversion.calibrate import PRICE


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
