"""Connection patterns against what defines them; values by counter."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest

from neurosim import AllToAll, FixedNumberPre, FixedProbability, FromList, OneToOne
from neurosim.base import NeurosimInputError
from neurosim.base.values import check_value, draw
from neurosim.kernels.engine.connect.choices.reference import choose_reference
from neurosim.kernels.engine.connect.fixed.cpu import fixed_columns, fixed_rows, histogram, transpose
from neurosim.kernels.engine.connect.fixed.reference import (
    fixed_rows_reference,
    histogram_reference,
    transpose_reference,
)
from neurosim.kernels.engine.connect.listed.cpu import is_sorted, sort_listed
from neurosim.kernels.engine.connect.listed.reference import sort_listed_reference
from neurosim.kernels.engine.connect.pairs.cpu import distance_rows
from neurosim.kernels.engine.connect.pairs.reference import bernoulli_reference, distance_reference
from neurosim.kernels.engine.connect.views import DistanceRule, RowRange
from neurosim.kernels.tools.random import normal_reference
from neurosim.network import Convolution, DistanceDependentProbability, LogNormal, Normal, Uniform
from neurosim.network.synapses import PATTERNS
from neurosim.network.synapses.base import Pattern, Side
from neurosim.network.synapses.parts import BetweenParts
from neurosim.network.synapses.patterns import FixedNumberPost, FixedTotalNumber

KEY = 0xFEDCBA9876543210
_ALL = [(a, b) for a in (True, False) for b in (True, False)]
EXAMPLES: dict[str, list[Pattern]] = {
    "AllToAll": [AllToAll(), AllToAll(allow_self_connections=False)],
    "OneToOne": [OneToOne()],
    "FixedProbability": [FixedProbability(p, loops) for p in (0.0, 0.2, 0.9, 1.0) for loops in (True, False)],
    "FixedNumberPre": [FixedNumberPre(n, again, loops) for n in (0, 3, 20, 36) for again, loops in _ALL],
    "FixedNumberPost": [FixedNumberPost(n, again, loops) for n in (0, 3, 20, 36) for again, loops in _ALL],
    "FixedTotalNumber": [FixedTotalNumber(n, again, loops) for n in (0, 5, 400, 1300) for again, loops in _ALL],
    "DistanceDependentProbability": [DistanceDependentProbability(0.8, 2.0, 2.0, loops) for loops in (True, False)],
    "Convolution": [],  # between sides of other shapes: tested by itself
    "FromList": [FromList(np.array([3, 0, 3, 3]), np.array([1, 2, 0, 1]))],
    "BetweenParts": [
        BetweenParts(AllToAll(), "5:20", "::3"),
        BetweenParts(FixedProbability(0.4, allow_self_connections=False), "4:30:2", "4:30:2"),
        BetweenParts(FixedNumberPre(3), np.array([0, 7, 8, 36]), None),
        BetweenParts(FixedNumberPost(4), slice(30, None), np.array([2, 5, 6, 9, 11])),
        BetweenParts(FixedTotalNumber(40, False, False), range(10), range(10, 37)),
        BetweenParts(OneToOne(), ":9", "9:18"),
        BetweenParts(DistanceDependentProbability(0.8, 2.0, 2.0), None, "1:30"),
        BetweenParts(FromList(np.array([3, 0, 3, 3]), np.array([1, 2, 0, 1])), "20:", "20:"),
    ],
}
CASES = [pattern for patterns in EXAMPLES.values() for pattern in patterns]
SQUARE = Side((37,))


def matrix(pattern: Pattern, source: Side, target: Side, same: bool, key: int = KEY) -> np.ndarray:
    """[sources, targets] how many synapses join each pair."""
    rows = pattern.rows(source, target, same, key, 0, source.size)
    counts = np.zeros((source.size, target.size), int)
    np.add.at(counts, (np.repeat(np.arange(source.size), np.diff(rows.offsets)), rows.targets), 1)
    return counts


def test_every_pattern_is_tried() -> None:
    assert set(EXAMPLES) == set(PATTERNS)


@pytest.mark.parametrize("pattern", CASES, ids=str)
@pytest.mark.parametrize("same", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_rows_are_sorted_and_do_not_depend_on_the_cut(pattern: Pattern, same: bool) -> None:
    pattern.check(SQUARE, SQUARE, same)
    whole = pattern.rows(SQUARE, SQUARE, same, KEY, 0, 37)
    assert whole.offsets.dtype == np.int64 and whole.targets.dtype == np.int32
    assert whole.offsets[0] == 0 and whole.offsets[-1] == len(whole.targets)
    for i in range(37):
        row = whole.targets[whole.offsets[i] : whole.offsets[i + 1]]
        assert np.all(np.diff(row) >= 0) and (row.size == 0 or (row[0] >= 0 and row[-1] < 37))
    parts = [pattern.rows(SQUARE, SQUARE, same, KEY, a, b) for a, b in ((0, 1), (1, 20), (20, 37))]
    assert np.array_equal(np.concatenate([part.targets for part in parts]), whole.targets)
    assert np.array_equal(np.concatenate([np.diff(part.offsets) for part in parts]), np.diff(whole.offsets))


@pytest.mark.parametrize("pattern", CASES, ids=str)
def test_parts_of_the_targets_make_the_whole(pattern: Pattern) -> None:
    check_parts(pattern, SQUARE, SQUARE)


def check_parts(pattern: Pattern, source: Side, target: Side) -> None:
    """Every process draws the rows onto its targets, and knows or is told how many synapses come before them."""
    whole = pattern.rows(source, target, True, KEY, 3, 37)
    degrees = np.diff(whole.offsets)
    found = []
    for onto in ((0, 9), (9, 9), (9, 30), (30, target.size)):
        maker = pattern.maker(source, target, True, KEY, onto)
        made = maker.rows(3, 37)
        mine = (whole.targets >= onto[0]) & (whole.targets < onto[1])
        assert np.array_equal(made.targets, whole.targets[mine]) and made.targets.dtype == np.int32
        assert np.array_equal(made.offsets, np.concatenate([[0], np.cumsum(mine)])[whole.offsets])
        assert (made.order is None) == (whole.order is None)
        if made.order is not None:
            assert np.array_equal(made.order, whole.order[mine])  # type: ignore[index]
        if made.weights is not None:
            assert np.array_equal(made.weights, whole.weights[mine])  # type: ignore[index]
        if maker.first_synapse is not None:
            assert np.array_equal(np.diff(maker.first_synapse)[3:37], degrees)
            earlier = np.concatenate([[0], np.cumsum(whole.targets < onto[0])])[whole.offsets]
            rows = np.diff(made.offsets) > 0
            before = np.zeros(34) if made.before is None else made.before
            assert np.array_equal(before[rows], np.diff(earlier)[rows])
        found.append(np.diff(made.offsets))
    assert np.array_equal(sum(found), degrees)


@pytest.mark.parametrize("pattern", CASES, ids=str)
def test_self_connections_and_replacement(pattern: Pattern) -> None:
    joined = matrix(pattern, SQUARE, SQUARE, True)
    if not getattr(pattern, "allow_self_connections", True):
        assert not joined.diagonal().any()
    if not getattr(pattern, "with_replacement", True) or isinstance(pattern, FixedProbability):
        assert joined.max(initial=0) <= 1


def test_degrees_are_as_named() -> None:
    wide = Side((50,))
    for again in (True, False):
        assert np.all(matrix(FixedNumberPre(7, again), SQUARE, wide, False).sum(axis=0) == 7)
        assert np.all(matrix(FixedNumberPost(7, again), SQUARE, wide, False).sum(axis=1) == 7)
        assert matrix(FixedTotalNumber(123, again), SQUARE, wide, False).sum() == 123
    assert np.array_equal(matrix(OneToOne(), SQUARE, SQUARE, False), np.eye(37))
    assert np.all(matrix(AllToAll(), SQUARE, wide, False) == 1)


@pytest.mark.parametrize(
    "pattern",
    [
        FixedProbability(0.3),
        FixedNumberPre(11),
        FixedNumberPre(11, True),
        FixedNumberPost(11),
        FixedTotalNumber(400),
        FixedTotalNumber(400, with_replacement=False),
    ],
    ids=str,
)
def test_every_pair_is_as_likely(pattern: Pattern) -> None:
    total = sum(matrix(pattern, SQUARE, SQUARE, True, key) for key in range(1, 401))
    chance = pattern.expected(SQUARE, SQUARE) / 37**2
    spread = (total / 400 - chance) / math.sqrt(chance / 400)
    assert abs(spread.mean()) < 0.15
    assert np.abs(spread).max() < 5
    # Rows and columns too: a bias along one of them would hide in single pairs.
    assert np.abs(spread.sum(axis=0) / math.sqrt(37)).max() < 4.5
    assert np.abs(spread.sum(axis=1) / math.sqrt(37)).max() < 4.5


def test_fixed_probability_is_its_reference() -> None:
    rows = FixedProbability(0.2, allow_self_connections=False).rows(SQUARE, SQUARE, True, KEY, 5, 20)
    reference = bernoulli_reference(KEY, 5, 20, 37, 0.2, True)
    assert rows.targets.tolist() == [j for row in reference for j in row]
    assert np.diff(rows.offsets).tolist() == [len(row) for row in reference]


def test_distance_decides() -> None:
    grid = Side((6, 6))
    pattern = DistanceDependentProbability(0.9, 1.5)
    total = sum(matrix(pattern, grid, grid, False, key) for key in range(300)) / 300
    at = np.stack(np.unravel_index(np.arange(36), (6, 6)), axis=1)
    distance = np.linalg.norm(at[:, None] - at[None], axis=2)
    chance = 0.9 * np.exp(-((distance / 1.5) ** 2))
    assert np.all(np.abs(total - chance) < 5 * np.sqrt(chance * (1 - chance) / 300) + 0.01)
    elsewhere = Side((36,), np.array([[0.0, 100.0]] * 36))
    assert matrix(pattern, grid, elsewhere, False).sum() == 0


def test_a_list_keeps_track_of_its_order() -> None:
    pattern = FromList(np.array([3, 0, 3, 3]), np.array([1, 2, 0, 1]))
    rows = pattern.rows(SQUARE, SQUARE, False, KEY, 0, 37)
    assert rows.targets.tolist() == [2, 0, 1, 1]
    assert rows.order is not None and rows.order.tolist() == [1, 2, 0, 3]


@pytest.mark.parametrize(("stride", "padding"), [(1, 0), (2, 1), (3, 2), (2, 0)])
def test_convolution_is_the_convolution(stride: int, padding: int) -> None:
    """Against sums over windows written out: response of every target to a random picture."""
    rng = np.random.default_rng(0)
    kernel = rng.normal(size=(4, 3, 3, 2))
    picture = rng.normal(size=(3, 7, 6))
    pattern = Convolution(kernel, stride, padding)
    source = Side(picture.shape)
    target = Side(pattern.output_shape(picture.shape))
    pattern.check(source, target, False)
    check_parts(pattern, source, target)
    padded = np.pad(picture, ((0, 0), (padding, padding), (padding, padding)))
    expected = np.zeros(target.shape)
    for f, i, j in np.ndindex(*target.shape):
        window = padded[:, i * stride : i * stride + 3, j * stride : j * stride + 2]
        expected[f, i, j] = (kernel[f] * window).sum()
    found = np.zeros(target.size)
    for a, b in ((0, 50), (50, source.size)):
        rows = pattern.rows(source, target, False, KEY, a, b)
        values = np.repeat(picture.ravel()[a:b], np.diff(rows.offsets))
        assert rows.weights is not None
        np.add.at(found, rows.targets, values * rows.weights)
        for s in range(b - a):
            assert np.all(np.diff(rows.targets[rows.offsets[s] : rows.offsets[s + 1]]) > 0)
    assert np.allclose(found.reshape(target.shape), expected)


def test_streams_differ() -> None:
    a, b = (matrix(FixedProbability(0.5), SQUARE, SQUARE, False, key) for key in (1, 2))
    assert 0.4 < (a == b).mean() < 0.6


@pytest.mark.parametrize("value", [Uniform(-1, 3), Normal(2, 3, low=0), LogNormal(0.1, 0.5, high=2.0), 1.5])
def test_values_may_be_cut_anywhere(value: object) -> None:
    whole = draw(value, KEY, 0, 1000, "x")  # type: ignore[arg-type]
    parts = [draw(value, KEY, a, n, "x") for a, n in ((0, 1), (1, 600), (601, 399))]  # type: ignore[arg-type]
    assert np.array_equal(np.concatenate(parts), whole)
    if not isinstance(value, float):
        # Runs as rows of a part have them: short and long, with gaps between.
        firsts = np.array([3, 4, 300, 299, 700])
        offsets = np.array([0, 1, 7, 7, 408, 611])
        runs = [whole[a : a + n] for a, n in zip(firsts, np.diff(offsets), strict=True)]
        assert np.array_equal(value.draw_runs(KEY, firsts, offsets), np.concatenate(runs))  # type: ignore[attr-defined]


def test_clipped_values_are_drawn_again() -> None:
    clipped = Normal(2.0, 3.0, low=0.0, high=2.5)
    expected = []
    for index in range(40):
        draws = (2.0 + 3.0 * normal_reference(KEY, index, draw) for draw in itertools.count())
        expected.append(next(value for value in draws if 0.0 <= value <= 2.5))
    assert np.allclose(clipped.draw(KEY, 0, 40), expected, rtol=1e-12, atol=0)
    values = Normal(0.0, 1.0, low=0.0).draw(KEY, 0, 100_000)
    assert values.min() > 0
    assert abs(values.mean() - math.sqrt(2 / math.pi)) < 0.01  # the half-normal's mean: no heap at the edge
    logs = np.log(LogNormal(0.3, 0.7).draw(KEY, 0, 100_000))
    assert abs(logs.mean() - 0.3) < 0.01 and abs(logs.std() - 0.7) < 0.01


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: FixedProbability(1.5), "FixedProbability.p_connect: must be between 0 and 1 (got 1.5)"),
        (lambda: FixedNumberPre(-1), "FixedNumberPre.n: must be >= 0 (got -1)"),
        (lambda: FixedNumberPost(2.5), "FixedNumberPost.n: must be an integer (got 2.5)"),
        (lambda: FixedNumberPre(38).check(SQUARE, SQUARE, False), "FixedNumberPre.n: must be <= the 37 sources"),
        (
            lambda: FixedNumberPost(37, False, False).check(SQUARE, SQUARE, True),
            "FixedNumberPost.n: must be <= the 36 targets there are (got 37)",
        ),
        (
            lambda: FixedTotalNumber(1370, with_replacement=False).check(SQUARE, SQUARE, False),
            "FixedTotalNumber.n: must be <= the 1369 pairs there are (got 1370)",
        ),
        (
            lambda: OneToOne().check(SQUARE, Side((2,)), False),
            "OneToOne: needs as many targets as sources 37 (got 2)",
        ),
        (
            lambda: FromList([0, 37], [0, 0]).check(SQUARE, SQUARE, False),  # type: ignore[arg-type]
            "FromList.pre: must be < the population's size 37 (got 37)",
        ),
        (lambda: FromList([0.5], [0]), "FromList.pre: must be a vector of integers"),  # type: ignore[arg-type]
        (lambda: FromList([-1], [0]), "FromList.pre: must be >= 0 (got -1)"),  # type: ignore[arg-type]
        (lambda: FromList([1, 2], [0]), "FromList.post: must be as long as pre 2 (got 1)"),  # type: ignore[arg-type]
        (
            lambda: DistanceDependentProbability(0.5, 1.0).check(SQUARE, Side((2, 2)), False),
            "DistanceDependentProbability: needs positions of 1 dimensions on both sides (got 2)",
        ),
        (lambda: DistanceDependentProbability(0.5, 0.0), "DistanceDependentProbability.length: must be > 0 (got 0.0)"),
        (lambda: Convolution(np.ones((3, 3))), "Convolution.kernel: must be [f, c, rows, columns] (got (3, 3))"),
        (lambda: Convolution(np.ones((1, 1, 3, 3)), 0), "Convolution.stride: must be > 0 (got 0)"),
        (
            lambda: Convolution(np.ones((1, 2, 3, 3))).check(Side((1, 9, 9)), SQUARE, False),
            "Convolution.kernel: must have the source's 1 channels (got 2)",
        ),
        (
            lambda: Convolution(np.ones((1, 1, 3, 3))).check(Side((1, 9, 9)), SQUARE, False),
            "Convolution: needs a target of shape (1, 7, 7) (got (37,))",
        ),
        (
            lambda: Convolution(np.ones((1, 1, 3, 3))).output_shape((1, 2, 9)),
            "Convolution.kernel: must fit into the source (1, 2, 9) with its padding",
        ),
        (lambda: Normal(0, -1), "Normal.sd: must be >= 0 (got -1)"),
        (lambda: Uniform(1, 1), "Uniform.high: must be > low 1 (got 1)"),
        (lambda: LogNormal(float("nan"), 1), "LogNormal.mu: must be finite (got nan)"),
        (lambda: Normal(0, 1, low=50).draw(KEY, 0, 10), "almost nothing of it lies between low and high"),
        (lambda: check_value("fast", "P.weight"), "P.weight: must be a number, a vector or a distribution"),  # type: ignore[arg-type]
        (lambda: check_value(np.array([1, np.nan]), "P.weight"), "P.weight: must be finite (got nan)"),
        (lambda: draw(np.ones(3), KEY, 0, 4, "P.weight"), "P.weight: must hold 4 values (got 3)"),
    ],
)
def test_bad_input_is_named(make, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(NeurosimInputError) as caught:
        make()
    assert message in str(caught.value)


@pytest.mark.parametrize("among", [5, 300, 70_000])
@pytest.mark.parametrize("with_replacement", [True, False])
@pytest.mark.parametrize("share", [0.01, 0.4, 1.0])
def test_choices_are_their_reference(among: int, with_replacement: bool, share: float) -> None:
    if among > 5:
        degree = min(int(share * among), 400 if share < 1 else among - 1)
    else:
        degree = 3
    if among == 70_000 and share == 1:
        degree = among - 100  # few enough are left out for a plain list to find them
    out = np.empty(degree, np.int32)
    degrees = np.array([degree])
    fixed_rows(np.uint64(KEY), 2, 3, degrees, among, with_replacement, True, out)
    if not (with_replacement and degree > 1000):
        assert [out.tolist()] == fixed_rows_reference(KEY, 2, 3, degrees, among, with_replacement, True)
    assert (np.diff(out) >= (0 if with_replacement else 1)).all()


@pytest.mark.parametrize(("among", "degree"), [(3, 1000), (300, 400), (5000, 200), (70_000, 200)])
def test_choices_are_sorted_however_dense_they_are(among: int, degree: int) -> None:
    # Three numbers of 1,000 choices occur more often than a byte counts.
    out = np.empty(degree, np.int32)
    degrees = np.array([degree])
    fixed_rows(np.uint64(KEY), 2, 3, degrees, among, True, False, out)
    assert [out.tolist()] == fixed_rows_reference(KEY, 2, 3, degrees, among, True, False)


@pytest.mark.parametrize("with_replacement", [True, False])
@pytest.mark.parametrize("skip_self", [True, False])
def test_fixed_columns_are_their_reference(with_replacement: bool, skip_self: bool) -> None:
    out = np.empty((5, 7), np.int32)
    fixed_columns(np.uint64(KEY), 11, 3, 8, 7, with_replacement, skip_self, out)
    expected = [
        choose_reference(KEY, target, 11, 7, with_replacement, target if skip_self else -1) for target in range(3, 8)
    ]
    assert out.tolist() == expected


@pytest.mark.parametrize("skip_self", [True, False])
@pytest.mark.parametrize("exponent", [1.0, 2.0])
def test_distance_rows_are_their_reference(skip_self: bool, exponent: float) -> None:
    positions = np.random.default_rng(0).random((37, 3))
    probability = DistanceRule(0.8, 0.4, exponent)
    offsets = np.empty(14, np.int64)
    out = np.empty(1000, np.int32)
    span = RowRange(4, 17, 0, 29)
    count = distance_rows(np.uint64(KEY), span, positions, positions[:29], probability, skip_self, offsets, out)
    rows = [out[a:b].tolist() for a, b in pairwise(offsets)]
    assert count == offsets[-1]
    assert rows == distance_reference(KEY, 4, 17, positions, positions[:29], probability, skip_self)


def test_transposed_columns_are_their_reference() -> None:
    columns = np.random.default_rng(0).integers(0, 9, (31, 4)).astype(np.int32)
    offsets = np.empty(10, np.int64)
    out = np.empty(columns.size, np.int32)
    transpose(columns, 5, offsets, out)
    assert [out[a:b].tolist() for a, b in pairwise(offsets)] == transpose_reference(columns, 5, 9)


def test_lists_are_sorted_as_their_reference() -> None:
    rng = np.random.default_rng(0)
    pre = rng.integers(0, 13, 700)
    post = rng.integers(0, 29, 700)
    order = np.empty(700, np.int64)
    sort_listed(pre, post, 13, 29, order)
    assert np.array_equal(order, sort_listed_reference(pre, post))
    assert is_sorted(pre[order], post[order]) and not is_sorted(pre, post)


@pytest.mark.parametrize("bins", [7, 70_000])
def test_histogram_is_its_reference(bins: int) -> None:
    counts = np.empty(bins, np.int64)
    histogram(np.uint64(KEY), 1000, bins, counts)
    np.testing.assert_array_equal(counts, histogram_reference(KEY, 1000, bins))


@pytest.mark.parametrize("order", ["drawn", "sorted", "by target"])
@pytest.mark.parametrize("onto", [None, (0, 9), (3, 7), (9, 9)])
def test_a_list_is_in_order_of_sources_then_targets(order: str, onto: tuple[int, int] | None) -> None:
    rng = np.random.default_rng(3)
    pre = rng.integers(0, 12, 300)
    post = rng.integers(0, 9, 300)
    if order == "sorted":
        places = np.lexsort((post, pre))
    elif order == "by target":
        places = np.lexsort((pre, post))
    else:
        places = np.arange(300)
    pre = pre[places]
    post = post[places]
    maker = FromList(pre, post).maker(Side((12,)), Side((9,)), False, 1, onto)
    low, high = onto or (0, 9)
    inside = np.flatnonzero((post >= low) & (post < high))
    right = inside[np.lexsort((inside, post[inside], pre[inside]))]
    assert maker.first_synapse is not None
    assert np.array_equal(maker.first_synapse, np.searchsorted(np.sort(pre), np.arange(13)))
    for first, last in ((0, 12), (2, 5)):
        rows = maker.rows(first, last)
        own = right[(pre[right] >= first) & (pre[right] < last)]
        assert rows.order is not None and np.array_equal(rows.order, own)
        assert np.array_equal(rows.targets, post[own])
        assert np.array_equal(np.diff(rows.offsets), np.bincount(pre[own] - first, minlength=last - first))
        assert rows.before is not None
        counts = [np.count_nonzero((pre == i) & (post < low)) for i in range(first, last)]
        assert rows.before.tolist() == counts


def test_parts_have_the_synapses_of_populations_of_their_size() -> None:
    """The synapses are those of the pattern between two populations that are the parts, with their positions."""
    spaced = Side((50,), np.random.default_rng(0).random((50, 2)))
    sources = np.array([1, 4, 5, 9, 20, 21, 33, 48])
    targets = np.arange(2, 50, 3)
    for pattern in (FixedProbability(0.5), FixedNumberPre(3), DistanceDependentProbability(0.9, 0.3, 1.0)):
        inner = matrix(pattern, Side((8,), spaced.positions[sources]), Side((16,), spaced.positions[targets]), False)  # type: ignore[index]
        whole = matrix(BetweenParts(pattern, sources, "2::3"), spaced, spaced, False)
        assert inner.sum() and np.array_equal(whole[np.ix_(sources, targets)], inner)
        assert whole.sum() == inner.sum()
        expected = BetweenParts(pattern, sources, "2::3").expected(spaced, spaced)
        assert expected == pattern.expected(Side((8,)), Side((16,)))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: BetweenParts(Convolution(np.ones((1, 1, 3, 3)))), "other than Convolution"),
        (lambda: BetweenParts(AllToAll(), np.array([1, 1])), "sources: must ascend, with each unit once"),
        (lambda: BetweenParts(AllToAll(), np.array([-1, 1])), "sources: must be >= 0"),
        (lambda: BetweenParts(AllToAll(), None, np.array([0.5])), "targets: must be a vector of integers, a slice"),
        (lambda: BetweenParts(AllToAll(), "some"), "sources: must be a slice such as '0:800'"),
        (lambda: BetweenParts(AllToAll(), "5::-1"), "sources: must have a step > 0"),
        (lambda: BetweenParts(AllToAll(), "40:").check(SQUARE, SQUARE, False), "must have a unit of the 37 there are"),
        (lambda: BetweenParts(AllToAll(), np.array([37])).check(SQUARE, SQUARE, False), "population's size 37"),
        (lambda: BetweenParts(OneToOne(), ":5").check(SQUARE, SQUARE, False), "as many targets as sources 5"),
        (
            lambda: BetweenParts(BetweenParts(AllToAll(False)), ":5", ":7").check(SQUARE, SQUARE, True),
            "targets: must have the same units as sources, or none of them",
        ),
        (
            lambda: BetweenParts(AllToAll(False), ":5", ":7").check(SQUARE, SQUARE, True),
            "targets: must have the same units as sources, or none of them",
        ),
    ],
)
def test_parts_that_cannot_be_joined_are_refused(make: Callable[[], object], words: str) -> None:
    with pytest.raises(NeurosimInputError, match=words):
        make()
