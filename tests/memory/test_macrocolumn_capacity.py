"""Mathematics of macrocolumns: intersections of codes, recall, crosstalk, capacity."""

from __future__ import annotations

import itertools
import warnings

import numpy as np
import pytest
from helpers.macrocolumns import RANDOM, items
from scipy.stats import binom

from neurosim.base import CapacityWarning
from neurosim.kernels.memory.macrocolumn import reference
from neurosim.memory import SDR, Macrocolumn, Selection
from neurosim.memory.macrocolumn.theory import Filling, crosstalk, expected_intersection, expected_recall, modulation


def band(p: float, n: int, risk: float = 1e-6) -> tuple[float, float]:
    """Fractions between which a mean of n trials of chance p lies but for `risk`."""
    return binom.ppf(risk / 2, n, p) / n, binom.ppf(1 - risk / 2, n, p) / n


@pytest.mark.parametrize(
    ("form", "units", "expected"),
    [
        ("2017", 8, [0.125, 0.126, 0.805, 0.972, 0.986, 0.991]),
        ("2010", 60, [0.017, 0.017, 0.035, 0.816, 0.973, 0.994]),
    ],
)
def test_expected_intersections(form: str, units: int, expected: list[float]) -> None:
    got = [expected_intersection(g, units, Selection(form=form)) for g in (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)]
    assert np.round(got, 3).tolist() == expected


@pytest.mark.parametrize(("form", "units"), [("2017", 8), ("2010", 60)])
@pytest.mark.parametrize("shared", [0, 4, 8, 12, 16, 20])
def test_codes_of_similar_inputs_intersect_as_expected(form: str, units: int, shared: int) -> None:
    """One stored item, and a new one with `shared` of 20 inputs in common, in columns of many seeds."""
    selection = Selection(form=form)
    first = SDR(np.arange(20), 60)
    second = SDR(np.arange(20) + 20 - shared, 60)
    same = 0
    trials = 0
    for seed in range(60):
        column = Macrocolumn(60, 40, units, lateral=False, selection=selection, seed=seed)
        memory = column.memory()
        a = column.store(memory, first)
        b = column.store(memory, second)
        assert b.familiarity == pytest.approx(shared / 20)
        same = same + int((a.code == b.code).sum())
        trials = trials + 40
    low, high = band(expected_intersection(shared / 20, units, selection), trials)
    assert low <= same / trials <= high


@pytest.mark.parametrize(("count", "expected"), [(200, 0.0396), (300, 0.524), (400, 2.17)])
def test_crosstalk(count: int, expected: float) -> None:
    assert crosstalk(count, 24, 256, 16) == pytest.approx(expected, rel=2e-3)


@pytest.mark.parametrize("count", [100, 200, 300, 400])
def test_recall_of_random_codes_is_as_expected(count: int) -> None:
    """Theory takes the inputs of a unit's items as independent, which 16 units of 300 / 16 items are not quite."""
    hits = []
    full = []
    for seed in range(8):
        column = Macrocolumn(256, 12, 16, selection=RANDOM, seed=seed)
        memory = column.memory()
        known = items(count, seed=seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", CapacityWarning)
            stored = column.store_many(memory, known)
        recalled = column.recall_many(memory, known)
        assert (recalled.familiarity == 1).all()
        hits.append((stored.codes == recalled.codes).mean())
        sums = reference.sums_reference(memory.u[0], known[0].packed()).reshape(12, 16)
        full.append((sums == 24).sum(axis=1).mean() - 1)
    assert np.mean(hits) == pytest.approx(column.expected_recall(count, 24), abs=0.02)


@pytest.mark.parametrize("count", [40, 120, 257])
def test_recall_falls_as_expected_where_codes_follow_familiarity(count: int) -> None:
    """With independent codes .90 of the winners of 257 items would be recalled."""
    hits = []
    for seed in range(4):
        column = Macrocolumn(256, 12, 16, seed=seed)
        memory = column.memory()
        known = items(count, seed=seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", CapacityWarning)
            stored = column.store_many(memory, known)
        hits.append((stored.codes == column.recall_many(memory, known).codes).mean())
    assert np.mean(hits) == pytest.approx(column.expected_recall(count, 24), abs=0.06)
    assert expected_recall(257, 24, 256, 16) > 0.9


def test_the_chance_to_win_is_that_of_all_matches_of_a_module() -> None:
    """E[mu / (mu + R)] of a module of three units, of which one has learned 0, 1 and 4 items each, by all outcomes."""
    selection = Selection()
    filling = Filling(3, 8, 3, selection)
    learned = (0, 1, 4)
    shares = np.zeros(5)
    shares[list(learned)] = 1 / 3
    matches = filling._matches(5)[:5]
    mu = modulation(np.arange(4) / 3, 0.7, 3, selection)
    # Where classes have one unit each, the others of a unit are the two other classes, taken as alike.
    expected = []
    for own in learned:
        rest = np.mean([matches[n] for n in learned if n != own], axis=0)
        outcomes = itertools.product(range(4), repeat=3)
        chances = ((matches[own, a] * rest[b] * rest[c], mu[a] / (mu[a] + mu[b] + mu[c])) for a, b, c in outcomes)
        expected.append(sum(chance * won for chance, won in chances))
    found = filling._wins_at(0.7, shares, matches)[list(learned)]
    assert found == pytest.approx(expected, rel=1e-3)


def test_familiarity_that_varies_fills_units_earlier() -> None:
    selection = Selection(g_min=0.5, exponents=(4.0, 1.0, 1.0))
    many, few = (expected_recall(1612, 128, 2048, 64, selection, modules) for modules in (None, 16))
    assert few < many
    assert expected_recall(1612, 128, 2048, 64, selection, 10**9) == pytest.approx(many, abs=1e-4)


def test_a_single_unit_is_always_recalled() -> None:
    column = Macrocolumn(64, 4, 1)
    assert column.expected_recall(1000, 8) == pytest.approx(1.0)
    assert column.capacity(8) == 2**31


def test_capacity_is_where_recall_falls() -> None:
    column = Macrocolumn(256, 12, 16)
    fits = column.capacity(24, 0.9)
    assert column.expected_recall(fits, 24) >= 0.9 > column.expected_recall(fits + 1, 24)
    assert expected_recall(1, 24, 256, 16) == 1.0
    # As many items as you like look alike where the inputs are all on.
    assert expected_recall(1000, 8, 8, 4) == pytest.approx(0.25)


def test_more_than_fits_is_a_warning_once() -> None:
    column = Macrocolumn(64, 4, 8)
    memory = column.memory()
    known = items(200, 64, 8)
    fits = column.capacity(8)
    with pytest.warns(CapacityWarning, match=rf"200 items of 8 of 64 inputs are stored, and {fits} fit: expect .*%"):
        column.store_many(memory, known)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        column.store_many(memory, known)
    assert memory.stored == 400


def test_without_the_one_in_mu_nothing_would_be_random() -> None:
    v = np.array([0.0, 0.1, 1.0])
    unfamiliar = modulation(v, 0.05, 8)
    assert np.allclose(unfamiliar, 1.0)
    familiar = modulation(v, 1.0, 8)
    assert familiar[2] == pytest.approx(801, rel=1e-6) and familiar[0] == pytest.approx(1, abs=0.01)
