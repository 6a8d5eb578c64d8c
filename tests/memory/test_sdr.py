import math
import statistics

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurosim import Spikes
from neurosim.base import NeurosimInputError
from neurosim.kernels.memory.packed.reference import unpack
from neurosim.memory import (
    SDR,
    CategoryEncoder,
    EventWindowEncoder,
    RandomDistributedScalarEncoder,
    ScalarEncoder,
    false_positive,
    overlaps,
)
from neurosim.memory.sdr import code
from neurosim.memory.sdr.encoders import CoordinateEncoder
from neurosim.memory.sdr.probability import (
    any_false_positive,
    false_negative,
    overlap_set_size,
    union_density,
    union_false_positive,
)


@pytest.mark.parametrize(
    ("indices", "size", "message"),
    [
        ([1, 9], 8, "SDR.indices: must be < size 8 (got 9)"),
        ([-1], 8, "SDR.indices: must be >= 0 (got -1)"),
        ([3, 1, 3], 8, "SDR.indices: must not repeat a bit (got [3])"),
        ([[1]], 8, "SDR.indices: must be one list of bits"),
        ([0.5], 8, "SDR.indices: must be integers"),
        ([], 0, "SDR.size: must be > 0 bits (got 0)"),
    ],
)
def test_bad_codes_are_refused_by_name(indices, size, message):
    with pytest.raises(NeurosimInputError) as error:
        SDR(np.array(indices), size)
    assert str(error.value).startswith(message)


sets = st.sets(st.integers(0, 129), max_size=40)


@given(sets, sets)
def test_operations_are_those_of_sets(a, b):
    x = SDR(np.array(sorted(a), int), 130)
    y = SDR(np.array(list(b), int), 130)
    assert x.overlap(y) == len(a & b)
    assert set(x.union(y).indices.tolist()) == a | b
    assert set(x.intersection(y).indices.tolist()) == a & b
    assert set(x.concatenate(y).indices.tolist()) == a | {i + 130 for i in b}
    assert SDR.from_dense(x.dense()) == x
    assert np.array_equal(unpack(x.packed(), 130), x.dense())
    assert overlaps(x, code.bank([y, x])).tolist() == [len(a & b), len(a)]


def test_sizes_must_agree():
    a = SDR.random(64, 4, seed=0)
    b = SDR.random(65, 4, seed=0)
    for operation in (a.overlap, a.union, a.intersection):
        with pytest.raises(NeurosimInputError, match=r"SDR: must have the same size 64 \(got 65\)"):
            operation(b)
    with pytest.raises(NeurosimInputError, match=r"overlaps: needs a bank \[M, 1\] \(got \(1, 2\)\)"):
        overlaps(a, code.bank([b]))


@pytest.mark.parametrize("fraction", [0.0, 0.3, 1.0])
def test_noise_moves_exactly_that_fraction(fraction):
    x = SDR.random(1024, 20, seed=1)
    y = x.noise(fraction, seed=2)
    assert len(y) == 20 and x.overlap(y) == 20 - round(20 * fraction)
    assert y == x.noise(fraction, seed=2)
    assert fraction == 0 or y != x.noise(fraction, seed=3)


def test_subsample_and_kill():
    x = SDR.random(1000, 200, seed=1)
    part = x.subsample(50, seed=4)
    assert len(part) == 50 and x.overlap(part) == 50
    dead = SDR(np.arange(1000), 1000).kill(0.25, seed=5)
    assert len(dead) == 750
    # The same units die whatever the code.
    assert x.kill(0.25, seed=5) == x.intersection(dead)


def test_draws_depend_on_seed_and_index_only_and_are_even():
    assert SDR.random(500, 10, seed=3, index=7) == SDR.random(500, 10, seed=3, index=7)
    assert SDR.random(500, 10, seed=3, index=7) != SDR.random(500, 10, seed=3, index=8)
    hits = sum(SDR.random(50, 5, seed=0, index=i).dense().astype(int) for i in range(4000))
    # Each bit is on with chance .1: 4 000 draws have a standard deviation of 19.
    assert abs(hits - 400).max() < 5 * 19


def test_scalar_overlap_falls_with_distance():
    encoder = ScalarEncoder(0, 100, size=130, active=30)
    codes = [encoder.encode(x) for x in (0, 10, 20, 100)]
    assert [codes[0].overlap(c) for c in codes] == [30, 20, 10, 0]
    assert codes[-1].indices[-1] == 129
    hours = ScalarEncoder(0, 24, size=240, active=20, periodic=True)
    assert hours.encode(23.5).overlap(hours.encode(0)) == 15 and hours.encode(0) == hours.encode(24)
    with pytest.raises(NeurosimInputError, match=r"must be in 0\.\.100 \(got 101"):
        encoder.encode(101)
    with pytest.raises(NeurosimInputError, match="needs a finite number"):
        encoder.encode(float("nan"))
    with pytest.raises(NeurosimInputError, match=r"ScalarEncoder\.minimum: must be finite \(got -inf\)"):
        ScalarEncoder(float("-inf"), 100, size=130, active=30)


def test_categories_do_not_overlap():
    encoder = CategoryEncoder(("a", "b", "c"), active=5)
    a = encoder.encode("a")
    b = encoder.encode("b")
    assert encoder.size == 15 and len(a) == len(b) == 5 and a.overlap(b) == 0
    with pytest.raises(NeurosimInputError, match="must be one of"):
        encoder.encode("d")


def test_random_distributed_neighbours_share_all_but_one_bit():
    encoder = RandomDistributedScalarEncoder(0.5, size=2000, active=20, seed=1)
    base = encoder.encode(-3.0)
    assert len(base) == 20
    for distance in range(20):
        assert base.overlap(encoder.encode(-3.0 + 0.5 * distance)) >= 20 - distance
    far = [base.overlap(encoder.encode(1000.0 + i)) for i in range(200)]
    assert statistics.mean(far) < 1  # by chance 20 / 100


def test_numbers_of_any_size_have_a_code():
    """Beyond 2^62 buckets all numbers of a sign share one; numbers below them are what they were."""
    encoder = RandomDistributedScalarEncoder(1e-3, size=2000, active=20, seed=1)
    high = [encoder.encode(value) for value in (1e20, 1e300, float(np.finfo(np.float64).max))]
    low = encoder.encode(-1e300)
    assert all(np.array_equal(each.indices, high[0].indices) and len(each) == 20 for each in high)
    assert len(low) == 20 and low.overlap(high[0]) < 20
    tiny = RandomDistributedScalarEncoder(1e-300, size=2000, active=20, seed=1)
    assert len(tiny.encode(1e300)) == 20
    points = CoordinateEncoder(resolution=1.0, radius=3, size=400, active=21)
    assert np.array_equal(points.encode((1e20, 3.0)).indices, points.encode((1e300, 3.0)).indices)


def test_event_window_keeps_the_busiest_units():
    spikes = Spikes(np.arange(7) / 10, [4, 2, 2, 9, 9, 9, 1], 10, 1.0)
    assert EventWindowEncoder(10, active=2).encode(spikes).indices.tolist() == [2, 9]
    assert EventWindowEncoder(10).encode(spikes.window(0, 0.25)).indices.tolist() == [2, 4]
    # A tie between 1 and 4 goes to the lower unit.
    assert EventWindowEncoder(10, active=3).encode(spikes).indices.tolist() == [1, 2, 9]
    with pytest.raises(NeurosimInputError, match=r"needs Spikes of 11 units \(got 10\)"):
        EventWindowEncoder(11).encode(spikes)


@pytest.mark.parametrize(
    ("size", "active", "value"),
    [
        (300, 64, 1.0946166e-3),
        (500, 64, 5.6957111e-6),
        (700, 64, 1.4125323e-7),
        (300, 128, 0.29207821),
        (500, 128, 7.3678830e-3),
        (4000, 128, 1.3432394e-12),
        (2000, 40, 1.5602300e-15),
        (4000, 200, 2.8112161e-10),
        (10000, 300, 8.3758452e-13),
    ],
)
def test_false_positive_anchors(size, active, value):
    assert false_positive(size, active, 24, 12) == pytest.approx(value, rel=6e-8)


@pytest.mark.parametrize(("synapses", "value"), [(2, 0.0317519), (4, 1.4591e-3), (6, 7.21044e-5)])
def test_half_threshold_anchors(synapses, value):
    assert false_positive(2000, 32, synapses, synapses // 2) == pytest.approx(value, rel=2e-5)


@pytest.mark.parametrize(("threshold", "value"), [(8, 7.35429e-4), (12, 0.0716985), (16, 0.5825018)])
def test_false_negative_anchors(threshold, value):
    assert false_negative(128, 30, threshold, 64) == pytest.approx(value, rel=1e-6)


@pytest.mark.parametrize(
    ("threshold", "noise", "value"),
    [
        (8, 0.5, 0.943583),
        (8, 0.6, 0.626236),
        (12, 0.4, 0.626236),
        (12, 0.45, 0.375593),
        (12, 0.5, 0.171534),
        (16, 0.2, 0.652618),
    ],
)
def test_recognition_under_noise_anchors(threshold, noise, value):
    assert 1 - false_negative(40, 20, threshold, round(40 * noise)) == pytest.approx(value, abs=6e-7)


def test_union_anchors():
    assert union_false_positive(1000, 30, 20, 10, 10) == pytest.approx(0.0185736, rel=3e-6)
    assert union_false_positive(4000, 30, 20, 10, 20) == pytest.approx(1.29764e-4, rel=3e-6)


def test_the_nmda_threshold_argument():
    def median(threshold):
        cases = [
            false_positive(n, round(n * mille / 1000), s, threshold)
            for n in range(1000, 17001, 4000)
            for mille in range(5, 31, 5)
            for s in range(20, 51, 5)
        ]
        assert len(cases) == 210
        return statistics.median(cases)

    expected = {3: 0.0173, 5: 1.71e-4, 8: 3.33e-8, 10: 4.80e-11, 12: 3.41e-14}
    for threshold, value in expected.items():
        assert median(threshold) == pytest.approx(value, rel=3e-3)
    assert median(7) > 1e-7 > median(8)


def test_a_fixed_sparsity_tends_to_the_binomial_tail():
    binomial = sum(math.comb(24, b) * 0.02**b * 0.98 ** (24 - b) for b in range(12, 25))
    assert binomial == pytest.approx(8.858e-15, rel=1e-4)
    rising = [false_positive(n, n // 50, 24, 12) for n in (2000, 20000, 200000)]
    assert rising == sorted(rising) and rising[-1] == pytest.approx(binomial, rel=0.02)


@pytest.mark.parametrize(
    "case",
    [(50, 10, 8, 3), (4000, 200, 24, 12), (17000, 100, 50, 45), (100000, 200, 200, 90), (100000, 1000, 400, 160)],
)
def test_log_space_agrees_with_exact_integers(case):
    n, a, s, theta = case
    hits = sum(math.comb(s, b) * math.comb(n - s, a - b) for b in range(theta, min(s, a) + 1))
    assert false_positive(n, a, s, theta) == pytest.approx(hits / math.comb(n, a), rel=1e-9)


def test_smallest_values_keep_their_digits():
    n = 10**6
    a = 100
    s = 70
    exact = math.comb(n - s, a - s) / math.comb(n, a)
    assert 1e-306 < exact < 1e-290
    assert false_positive(n, a, s, s) == pytest.approx(exact, rel=1e-9)


@given(st.integers(1, 40), st.data())
def test_overlap_sets_partition_all_codes(size, data):
    x = data.draw(st.integers(0, size))
    w = data.draw(st.integers(0, size))
    assert sum(overlap_set_size(size, x, w, b) for b in range(size + 1)) == math.comb(size, w)


def test_lists_and_unions_of_patterns():
    assert any_false_positive(1e-18, 1000) == pytest.approx(1e-15, rel=1e-12)
    assert any_false_positive(0.5, 2) == pytest.approx(0.75)
    assert union_density(1000, 20, 1) == pytest.approx(0.02)
    assert union_density(1000, 20, 50) == pytest.approx(1 - 0.98**50)


def test_probabilities_hold_in_simulation():
    """Monte Carlo inside four standard deviations of the binomial law."""
    n = 200
    a = 30
    s = 15
    theta = 5
    trials = 3000
    segment = SDR.random(n, s, seed=0)
    codes = [SDR.random(n, a, seed=1, index=i) for i in range(trials)]
    answered = int((overlaps(segment, code.bank(codes)) >= theta).sum())
    p = false_positive(n, a, s, theta)
    assert abs(answered - trials * p) < 4 * math.sqrt(trials * p * (1 - p))
    stored = SDR.random(n, a, seed=2)
    own = stored.subsample(s, seed=3)
    lost = [stored.subsample(a - 18, seed=4, index=i) for i in range(trials)]
    missed = int((overlaps(own, code.bank(lost)) < theta).sum())
    q = false_negative(a, s, theta, 18)
    assert abs(missed - trials * q) < 4 * math.sqrt(trials * q * (1 - q))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: false_positive(10, 11, 3, 1), "false_positive.active: must be in 0..10 cells (got 11)"),
        (lambda: false_positive(10, 5, 11, 1), "false_positive.synapses: must be in 1..10 (got 11)"),
        (lambda: false_negative(10, 5, 6, 1), "false_negative.threshold: must be in 1..5 (got 6)"),
        (lambda: any_false_positive(1.5, 2), "any_false_positive.probability: must be in 0..1 (got 1.5)"),
    ],
)
def test_impossible_segments_are_refused(call, message):
    with pytest.raises(NeurosimInputError) as error:
        call()
    assert str(error.value) == message
