"""The spatial pooler against its specification, against what the rules imply, and across saving."""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np
import pytest

from neurosim import NeurosimError
from neurosim.base import NeurosimFormatError, NeurosimInputError, NeurosimMissingError
from neurosim.kernels.memory.pooler.reference import advance_reference
from neurosim.memory import SDR, SpatialPooler, TemporalMemory
from neurosim.memory.dendrites.topology import boxes, centres

CASES = {
    "global": {"inputs": 70, "columns": 100, "density": 0.05, "boost": 3.0, "bump_every": 7, "weak_fraction": 0.5},
    "local": {
        "inputs": (9, 11), "columns": (12, 7), "density": 0.1, "inhibition_radius": 2, "potential_radius": 3,
        "boost": 1.0, "bump_every": 5, "weak_fraction": 0.9, "stimulus_threshold": 1,
    },
    "line": {"inputs": 130, "columns": 67, "density": 0.2, "inhibition_radius": 5, "stimulus_threshold": 3},
    "held down": {"inputs": 40, "columns": 30, "density": 0.1, "boost": 700.0, "duty_period": 5},
}  # fmt: skip


def codes(size: int, steps: int, seed: int = 0, most: int = 25):
    rng = np.random.default_rng(seed)
    for _ in range(steps):
        yield np.sort(rng.choice(size, rng.integers(0, most), replace=False))


def same(a: SpatialPooler, b: SpatialPooler) -> None:
    others = b.state()
    for name, array in a.state().items():
        np.testing.assert_array_equal(array, others[name], name)


@pytest.mark.parametrize("case", CASES)
def test_equals_the_specification(case: str) -> None:
    pooler = SpatialPooler(**CASES[case])
    plain = SpatialPooler(**CASES[case])
    chance = np.random.default_rng(1)
    for code in codes(pooler._input_size, 200):
        learn = bool(chance.random() < 0.9)
        winners = advance_reference(plain._rules, plain._field, code, learn)
        assert pooler.step(code, learn=learn).indices.tolist() == winners
        same(pooler, plain)


@pytest.mark.parametrize("boost", [0.0, 5.0])
def test_global_inhibition_takes_the_largest(boost: float) -> None:
    pooler = SpatialPooler(300, 500, density=0.0459, boost=boost)
    for code in codes(300, 100):
        winners = pooler.step(code)
        able = np.flatnonzero(pooler.overlaps > 0)
        assert len(winners) == min(math.floor(0.0459 * 500), len(able))
        if boost == 0.0 and len(winners):
            losers = np.setdiff1d(np.arange(500), winners.indices)
            assert pooler.overlaps[winners.indices].min() >= pooler.overlaps[losers].max()


def test_densities_are_those_of_decimals() -> None:
    """.29 x 100 = 28.999999999999996 in binary."""
    assert len(SpatialPooler(300, 100, density=0.29).step(np.arange(150))) == 29


def test_boost_is_the_stated_exponential() -> None:
    """Two columns with the same inputs: the one that won more often needs overlap exp(boost d duty) as large."""
    pooler = SpatialPooler(10, 2, density=0.5, potential=1.0, boost=2.0)
    field = pooler._field
    field.permanence[:] = 0
    field.permanence[0, :3] = field.permanence[1, :2] = 5000
    field.connected[:] = (field.permanence >= 1000).T
    for duty, winner in ((0.19, 0), (0.21, 1)):  # 3 exp(-2 duty) = 2 at duty = ln(1.5) / 2 = .2027
        field.active_duty[:] = duty, 0.0
        assert pooler.step([0, 1, 2], learn=False).indices.tolist() == [winner]


def test_columns_without_overlap_never_win() -> None:
    pooler = SpatialPooler(100, 50, density=0.5, potential=0.1, boost=100.0)
    fewer = 0
    for code in codes(100, 200, most=4):
        winners = pooler.step(code)
        assert (pooler.overlaps[winners.indices] > 0).all()
        fewer += len(winners) < 25
    assert fewer > 100


def test_winners_reach_the_stimulus_threshold() -> None:
    pooler = SpatialPooler(100, 50, density=0.5, stimulus_threshold=4)
    for code in codes(100, 100):
        winners = pooler.step(code)
        assert (pooler.overlaps[winners.indices] >= 4).all()
        assert len(winners) == min(25, (pooler.overlaps >= 4).sum())


def test_local_inhibition_by_brute_force() -> None:
    """On a 9 x 8 sheet, a column wins where fewer than floor(.12 neighbours), at least 1, have a larger key."""
    pooler = SpatialPooler((9, 8), (9, 8), density=0.12, inhibition_radius=2, potential_radius=3)
    place = np.stack(np.unravel_index(np.arange(72), (9, 8)), axis=1)
    rank = pooler.state()["rank"]
    for code in codes(72, 60):
        winners = set(pooler.step(code).indices.tolist())
        key = [(o, r) for o, r in zip(pooler.overlaps, rank, strict=True)]
        for c in range(72):
            near = np.flatnonzero(np.abs(place - place[c]).max(axis=1) <= 2)
            beaten = sum(key[k] > key[c] for k in near)
            wins = pooler.overlaps[c] > 0 and beaten < max(math.floor(0.12 * len(near)), 1)
            assert (c in winners) == wins
    assert winners


def test_local_inhibition_spreads_the_winners() -> None:
    """An input on the left: globally all winners may lie there, locally they lie wherever there is any overlap."""
    left = SDR(np.arange(20), 200)
    shapes = {"inputs": 200, "columns": 200, "potential_radius": 40, "density": 0.05}
    near = SpatialPooler(**shapes, inhibition_radius=10)
    far = SpatialPooler(**shapes)
    spread = [int(p.step(left, learn=False).indices.max()) for p in (near, far)]
    assert spread[0] > spread[1] and spread[0] < 60


def test_learning_moves_permanences_within_the_pool() -> None:
    pooler = SpatialPooler(60, 40, density=0.1, permanence_increment=0.05, permanence_decrement=0.02, permanence_bump=0)
    before = pooler.permanences
    code = np.arange(0, 60, 3)
    winners = pooler.step(code).indices
    moved = np.full(60, -0.02)
    moved[code] = 0.05
    expected = before.copy()
    expected[winners] = np.clip(before[winners] + moved, 0, 1)
    np.testing.assert_allclose(pooler.permanences, expected, rtol=0, atol=1e-12)
    assert np.isnan(before).sum() == 40 * 30


def test_duty_cycles_are_running_means() -> None:
    pooler = SpatialPooler(100, 80, density=0.1, duty_period=1000)
    won = np.zeros(80)
    reached = np.zeros(80)
    for code in codes(100, 50):
        winners = pooler.step(code)
        won[winners.indices] += 1
        reached += pooler.overlaps > 0
    np.testing.assert_allclose(pooler.active_duty, won / 50, atol=1e-12)
    np.testing.assert_allclose(pooler.overlap_duty, reached / 50, atol=1e-12)
    pooler = SpatialPooler(100, 80, density=0.1, duty_period=10)
    duty = np.zeros(80)
    for t, code in enumerate(codes(100, 50), 1):
        winners = pooler.step(code)
        duty += (np.isin(np.arange(80), winners.indices) - duty) / min(t, 10)
    np.testing.assert_allclose(pooler.active_duty, duty, atol=1e-12)


def test_weak_columns_are_raised_until_they_take_part() -> None:
    pooler = SpatialPooler(50, 20, density=0.2, bump_every=5, permanence_bump=0.01)
    field = pooler._field
    field.permanence[3] = np.where(field.permanence[3] >= 0, 0, -1)
    field.connected[:, 3] = 0
    pool = field.permanence[3] >= 0
    for step in range(1, 51):
        pooler.step(np.arange(0, 50, 2))
        if step <= 45:
            np.testing.assert_array_equal(field.permanence[3][pool], 100 * (step // 5))
    assert pooler.overlap_duty[3] == 0.0 and field.permanence[3][pool].min() == 1000
    pooler.step(np.arange(0, 50, 2))
    assert pooler.overlaps[3] == pool[::2].sum() > 0


def test_boosting_evens_out_the_use_of_columns() -> None:
    spread = []
    for boost in (0.0, 20.0):
        pooler = SpatialPooler(200, 200, density=0.05, boost=boost, duty_period=100)
        for _ in range(4):
            for code in codes(200, 200, seed=3, most=12):
                pooler.step(code)
        spread.append(pooler.active_duty.std())
    assert spread[1] < 0.7 * spread[0]


def test_similar_inputs_have_similar_codes() -> None:
    pooler = SpatialPooler(1000, 1024, density=0.04)
    base = SDR.random(1000, 60, seed=1)
    shared = [
        pooler.step(base, learn=False).overlap(pooler.step(base.noise(f, seed=2), learn=False)) for f in (0.1, 0.4, 1.0)
    ]
    assert shared[0] > 20 and shared[0] > shared[1] > shared[2]


def test_an_input_without_active_bits_has_no_winners() -> None:
    pooler = SpatialPooler(50, 20, density=0.2)
    pooler.step(np.arange(20))
    duty = pooler.active_duty
    assert len(pooler.step([])) == 0 == len(pooler.step(SDR([], 50), learn=False))
    np.testing.assert_allclose(pooler.active_duty, duty / 2)
    assert pooler.steps == 2


def test_first_permanences_are_drawn_evenly() -> None:
    permanences = SpatialPooler(400, 300, potential=0.25).permanences
    assert (np.isfinite(permanences).sum(axis=1) == 100).all()
    values = permanences[np.isfinite(permanences)]
    high = values >= 0.1
    assert high.mean() == pytest.approx(0.5, abs=4 * 0.5 / np.sqrt(values.size))
    assert values[high].mean() == pytest.approx(0.55, abs=0.01) and values[~high].mean() == pytest.approx(
        0.05, abs=0.001
    )
    assert values.min() >= 0 and values.max() <= 1
    # Which inputs form the pool is even too: 300 columns x 1/4, 5 standard deviations.
    assert np.abs(np.isfinite(permanences).sum(axis=0) - 75).max() < 5 * np.sqrt(300 * 0.25 * 0.75)
    assert (SpatialPooler(400, 300, potential=0.25, seed=1).permanences != permanences).any()


def test_pools_lie_around_their_column() -> None:
    pooler = SpatialPooler((10, 30), (5, 10), potential=1.0, potential_radius=2, density=0.1)
    for c, (y, x) in enumerate(centres((5, 10), (10, 30))):
        pool = np.flatnonzero(np.isfinite(pooler.permanences[c]))
        rows, columns = np.unravel_index(pool, (10, 30))
        assert (np.abs(rows - y) <= 2).all() and (np.abs(columns - x) <= 2).all()
        assert len(pool) == (min(y + 3, 10) - max(y - 2, 0)) * (min(x + 3, 30) - max(x - 2, 0))
    np.testing.assert_array_equal(centres((5,), (10,)).ravel(), [1, 3, 5, 7, 9])
    offsets, near = boxes((4,), np.array([[0], [3]]), 1)
    assert offsets.tolist() == [0, 2, 4] and near.tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("case", ["global", "local"])
def test_saving_loses_nothing(tmp_path: Path, case: str) -> None:
    pooler = SpatialPooler(**CASES[case], seed=9)
    every = list(codes(pooler._input_size, 150))
    for code in every[:77]:
        pooler.step(code)
    pooler.save(tmp_path / "sp")
    twin = SpatialPooler.load(tmp_path / "sp")
    same(twin, pooler)
    assert [pooler.step(c) for c in every[77:]] == [twin.step(c) for c in every[77:]]
    same(twin, pooler)
    pooler.save(tmp_path / "a")
    twin.save(tmp_path / "b")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_damaged_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "sp"
    SpatialPooler(**CASES["global"]).save(path)
    whole = path.read_bytes()
    for kept in (0, 50, len(whole) - 1):
        path.write_bytes(whole[:kept])
        with pytest.raises(NeurosimFormatError, match="is not a complete neurosim SpatialPooler file"):
            SpatialPooler.load(path)
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(NeurosimFormatError, match="do not match its digest"):
        SpatialPooler.load(path)
    path.write_bytes(whole.replace(b'\\"version\\": 1', b'\\"version\\": 2'))
    with pytest.raises(NeurosimFormatError, match=re.escape("SpatialPooler format up to 1 is known (got 2)")):
        SpatialPooler.load(path)
    TemporalMemory(columns=20).save(path)
    with pytest.raises(NeurosimFormatError, match=re.escape("must hold a SpatialPooler (got TemporalMemory)")):
        SpatialPooler.load(path)
    with pytest.raises(NeurosimMissingError, match="no such file"):
        SpatialPooler.load(tmp_path / "none")


@pytest.mark.parametrize(
    "settings, words",
    [
        ({"inputs": 0}, "SpatialPooler.inputs: must be an integer in 1..2147483648 (got 0)"),
        ({"inputs": ()}, "SpatialPooler.inputs: must have a dimension (got ())"),
        ({"columns": (4, 0)}, "SpatialPooler.columns: must be an integer in 1..2147483648 (got 0)"),
        ({"inputs": 10**6, "columns": 10**5}, "must have fewer than 2147483648 inputs x columns (got 100000000000)"),
        ({"density": 0.0}, "SpatialPooler.density: must be > 0 and <= 1 (got 0.0)"),
        (
            {"density": 0.001, "columns": 100},
            "SpatialPooler.density: must let at least one of 100 columns win (got 0.001)",
        ),
        ({"potential": 1.5}, "SpatialPooler.potential: must be > 0 and <= 1 (got 1.5)"),
        ({"boost": -1.0}, "SpatialPooler.boost: must be finite and >= 0 (got -1.0)"),
        ({"boost": 5000.0}, "SpatialPooler.boost: must be <= 70 / density, to fit into float32 (got 5000.0)"),
        ({"boost": float("nan")}, "SpatialPooler.boost: must be finite and >= 0 (got nan)"),
        ({"stimulus_threshold": 101}, "SpatialPooler.stimulus_threshold: must be an integer in 0..100 (got 101)"),
        ({"connected_permanence": 2}, "SpatialPooler.connected_permanence: must be in 0.0001..1 (got 2)"),
        ({"permanence_bump": 0.00001}, "SpatialPooler.permanence_bump: must be a multiple of 0.0001 (got 1e-05)"),
        ({"duty_period": 0}, "SpatialPooler.duty_period: must be an integer in 1.."),
        ({"inhibition_radius": 0}, "SpatialPooler.inhibition_radius: must be an integer in 1.."),
        ({"columns": (5, 10), "potential_radius": 1}, "must have 1 dimensions, as inputs (got (5, 10))"),
        ({"seed": -1}, "SpatialPooler.seed: must be an integer in 0.."),
    ],
)
def test_bad_settings_are_refused(settings: dict, words: str) -> None:
    with pytest.raises(NeurosimInputError, match=re.escape(words)):
        SpatialPooler(**({"inputs": 100, "columns": 60} | settings))


@pytest.mark.parametrize(
    "code, words",
    [
        (SDR([1], 61), "SpatialPooler.step: needs an SDR of 60 bits (got 61)"),
        ([60], "SpatialPooler.step: must be < size 60 (got 60)"),
        ([-1], "SpatialPooler.step: must be >= 0 (got -1)"),
        ([3, 3], "SpatialPooler.step: must not repeat a bit (got [3])"),
        (np.ones(60), "SpatialPooler.step: must be integers; see SDR.from_dense (got float64)"),
    ],
)
def test_bad_codes_are_refused_and_change_nothing(code, words: str) -> None:
    pooler = SpatialPooler(60, 50, density=0.1)
    twin = SpatialPooler(60, 50, density=0.1)
    with pytest.raises(NeurosimError, match=re.escape(words)):
        pooler.step(code)
    same(pooler, twin)
