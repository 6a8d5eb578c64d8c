"""Saved simulations with values out of range are refused before native code sees them, or run on harmlessly."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from helpers.networks import recording, small

from neurosim import (
    LIF,
    STDP,
    AllToAll,
    FixedNumberPre,
    FixedProbability,
    Network,
    NeurosimError,
    Population,
    Projection,
    Simulation,
    Spikes,
    SpikeSource,
)
from neurosim.base import NeurosimFormatError
from neurosim.base.errors import NeurosimOverflowError
from neurosim.data import read_state, write_state
from neurosim.network import RewardSTDP, ShortTermPlasticity, Uniform
from neurosim.network.plasticity.timing import TripletSTDP

LEARNED = {
    "pair": STDP(a_plus=0.01, a_minus=0.012, w_max=0.5),
    "triplet": TripletSTDP(w_max=0.5),
    "reward": RewardSTDP(reward="dopamine", w_max=0.5),
}


def learning() -> Network:
    """Every learning rule, short-term plasticity, and the rows of drawn delays."""
    populations = [
        Population("input", 20, SpikeSource()),
        Population("dopamine", 1, LIF(i_offset=1.2, tau_mem=0.01)),
        *(Population(name, 15, LIF(tau_mem=0.02)) for name in LEARNED),
        Population("others", 25, LIF(tau_mem=0.02)),
    ]
    projections = [
        Projection("input", name, FixedProbability(0.5), Uniform(0.1, 0.4), 0.002, plasticity=rule)
        for name, rule in LEARNED.items()
    ]
    projections += [
        Projection("input", "others", FixedProbability(0.5), 0.4, short_term=ShortTermPlasticity(0.5, 0.1, 0.0)),
        Projection("pair", "others", FixedNumberPre(5), 0.1, Uniform(0.001, 0.009)),
    ]
    return Network(populations, projections)


NETWORKS = {"small": lambda: small(True), "learning": learning}
SLOW = [pytest.param(seed, marks=pytest.mark.slow) for seed in range(60, 300)]


@pytest.fixture(scope="module", params=NETWORKS)
def saved(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    path = tmp_path_factory.mktemp("saved") / "a"
    simulation = Simulation(NETWORKS[request.param](), recording(), seed=3)
    simulation.run(0.0873)
    simulation.save(path)
    return request.param, path


@pytest.mark.parametrize("seed", [*range(60), *SLOW])
def test_a_changed_value_is_refused_or_harmless(saved: tuple[str, Path], tmp_path: Path, seed: int) -> None:
    name, path = saved
    rng = np.random.default_rng(seed)
    settings, arrays = read_state(path, "Simulation", 1)
    names = sorted(key for key, array in arrays.items() if array.size)
    key = names[int(rng.integers(len(names)))]
    array = arrays[key].copy()
    if array.dtype.kind in "iu":
        info = np.iinfo(array.dtype)
    else:
        info = None
    if info:
        values = [info.min, info.max, -1, 1 << 20, array.size]
    else:
        values = [-1.0, 1e30, -1e30, np.nan, 1e9]
    array.reshape(-1)[int(rng.integers(array.size))] = values[int(rng.integers(len(values)))]
    if rng.random() < 0.3:
        settings = {**settings, "step": int(rng.choice([-1, 0, 5, 10**9, 2**40]))}
    write_state(tmp_path / "b", "Simulation", 1, settings, {**arrays, key: array})
    try:
        with np.errstate(all="ignore"):
            Simulation.load(tmp_path / "b", NETWORKS[name](), recording()).run(0.05)
    except NeurosimOverflowError as error:
        # A finite value may be large enough to overflow later, which names its unit.
        assert "must stay finite" in str(error)
    except NeurosimError as error:
        assert str(tmp_path / "b") in str(error)


@pytest.mark.parametrize(
    ("key", "change", "message"),
    [
        ("log.0", lambda a: a + 10_000, "log.0: must hold units of block 0"),
        ("marks", lambda a: a[:, ::-1].copy(), "marks: must ascend from 0"),
        ("marks", lambda a: a[:, :-3].copy(), "marks: must be"),
        ("steps", lambda a: a + np.array([10**6, 0]), r"steps\[0\]: must be in"),
        ("steps", lambda a: a * np.array([1, 0]), r"steps\[1\]: must be in"),
        ("cursors", lambda a: a + 7, r"cursors: must be in 0..0"),
        ("tally.0", lambda a: a - 10**9, r"tally.0: must be in 0.."),
    ],
)
def test_the_error_names_array_rule_and_next_step(tmp_path: Path, key, change, message: str) -> None:  # type: ignore[no-untyped-def]
    simulation = Simulation(small(True), recording())
    simulation.run(0.09)
    simulation.save(tmp_path / "a")
    settings, arrays = read_state(tmp_path / "a", "Simulation", 1)
    changed = np.asarray(change(arrays[key]), arrays[key].dtype)
    write_state(tmp_path / "a", "Simulation", 1, settings, {**arrays, key: changed})
    with pytest.raises(NeurosimFormatError, match=message) as error:
        Simulation.load(tmp_path / "a", small(True), recording())
    assert "restore a copy" in str(error.value)


def test_more_full_release_sites_than_a_synapse_has_are_refused(tmp_path: Path) -> None:
    sites = ShortTermPlasticity(0.5, 0.1, sites=3)
    cells = [Population("input", 2, SpikeSource()), Population("x", 4, LIF())]
    network = Network(cells, [Projection("input", "x", AllToAll(), 0.4, short_term=sites)])
    given = Spikes([0.002], [0], 2, 0.05)
    simulation = Simulation(network, given)
    simulation.run(0.01)
    simulation.save(tmp_path / "a")
    settings, arrays = read_state(tmp_path / "a", "Simulation", 1)
    full = arrays["lesson.0.full"]
    assert full.shape == (8,) and full[4:].tolist() == [3] * 4 and full[:4].min() < 3
    write_state(tmp_path / "a", "Simulation", 1, settings, {**arrays, "lesson.0.full": full + np.uint8(1)})
    with pytest.raises(NeurosimFormatError, match=r"lesson.0.full: must be in 0..3"):
        Simulation.load(tmp_path / "a", network, given)
