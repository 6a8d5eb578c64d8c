"""Networks of many populations: small ones lie in one block each, and nothing else differs."""

from __future__ import annotations

import hashlib
import lzma
from pathlib import Path

import numpy as np
import pytest

from neurosim import (
    LIF,
    STDP,
    CubaLIF,
    FixedNumberPre,
    FixedProbability,
    Network,
    PoissonInput,
    PoissonSource,
    Population,
    Probe,
    Projection,
    Simulation,
)
from neurosim.engine.compile import layout as layouts
from neurosim.engine.compile.layout import FLAG_GROUP, PAGE_SLOTS, Layout, lay_out
from neurosim.network import Normal, Uniform

COUNT = 300
FORMER = Path(__file__).parents[1] / "fixtures" / "former"
DIGESTS = {
    "spikes": "a001634d77d7da7fe3186565ced45b1e5637529939598ef332aa1eab1045676d",
    "weights": "622c4e5e305e2c72960508bb6d87f13a0b0ca7c04a51adcbacfec30b729ce578",
}


def small(k: int) -> Population:
    return Population(f"p{k:03d}", 2 + k % 5, CubaLIF(tau_mem=0.01) if k % 3 else LIF())


@pytest.fixture(scope="module")
def network() -> Network:
    """300 small populations and a large one, with synapses of all forms, plastic ones, and random input."""
    populations = [*(small(k) for k in range(COUNT)), Population("large", 3000, LIF())]
    populations.append(Population("source", 5, PoissonSource(300.0)))
    chosen = np.random.default_rng(3).integers(0, COUNT, (COUNT, 2))
    kinds = [
        {"weight": 0.2, "delay": 2e-3},
        {"weight": Normal(0.2, 0.05), "delay": 3e-3},
        {"weight": 0.2, "delay": Uniform(1e-3, 6e-3)},
        {"weight": 0.2, "delay": 2e-3, "plasticity": STDP(a_plus=0.05, a_minus=0.05, w_max=0.5)},
    ]
    projections = [
        Projection(f"p{k:03d}", f"p{j:03d}", FixedProbability(0.6), name=f"{k}.{n}", **kinds[(k + n) % 4])  # type: ignore[arg-type]
        for k, row in enumerate(chosen)
        for n, j in enumerate(row)
    ]
    projections += [
        Projection("large", "p007", FixedProbability(0.01), 0.1),
        Projection("p007", "large", FixedNumberPre(2), 0.4, 2e-3),
        Projection("source", "p009", FixedProbability(1.0), 0.3),
    ]
    stimuli = [PoissonInput(p.name, 300.0, 0.4) for p in populations[: COUNT + 1]]
    return Network(populations, projections, stimuli)


def run(network: Network, **options: object) -> tuple[str, np.ndarray, np.ndarray]:
    """Digest of all spikes, learned weights, samples."""
    probes = [Probe("p011", "v"), Probe("large", "v", units=[0, 2999])]
    result = Simulation(network, clock=1e-3, seed=1, precision="float64", probes=probes, **options).run(0.1)  # type: ignore[arg-type]
    digests = "".join(spikes.digest() for spikes in result.spikes.values())  # type: ignore[union-attr]
    samples = np.concatenate([result.states["p011.v"].ravel(), result.states["large.v"].ravel()])  # type: ignore[union-attr]
    assert sum(len(spikes) for spikes in result.spikes.values()) > 20_000
    return digests, np.concatenate([*result.weights.values()]), samples  # type: ignore[arg-type]


def test_the_place_of_units_changes_no_result(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    many = run(network, threads=2)
    assert lay_out(network).many
    monkeypatch.setattr(layouts, "MANY_POPULATIONS", 10_000)
    few = run(network, threads=1)
    assert many[0] == few[0]
    for one, other in zip(many[1:], few[1:], strict=True):
        np.testing.assert_array_equal(one, other)


def ring() -> Network:
    """The network of `former/many.state.xz`: 260 populations in a ring, with synapses of every form."""
    kinds = [
        {"weight": 0.11, "delay": 2e-3},
        {"weight": Normal(0.3, 0.05), "delay": 3e-3},
        {"weight": 0.13, "delay": Uniform(1e-3, 4e-3)},
        {"weight": 0.12, "delay": 2e-3, "plasticity": STDP(a_plus=0.05, a_minus=0.05, w_max=0.5)},
    ]
    names = [f"p{k:03d}" for k in range(260)]
    populations = [Population(name, 1 + k % 3, LIF(tau_mem=0.01 + 1e-5 * k)) for k, name in enumerate(names)]
    projections = [
        Projection(names[k - step], names[k], FixedNumberPre(1), name=f"{k}.{step}", **kinds[(k + step) % 4])  # type: ignore[arg-type]
        for k in range(0, 260, 5)
        for step in (1, 7, 11)
    ]
    return Network(populations, projections, [PoissonInput(name, 400.0, 0.37) for name in names[::5]])


def test_a_state_of_the_layout_before_goes_on_bit_for_bit(tmp_path: Path) -> None:
    """The state and the digests are those of the version that cut every population into all blocks."""
    path = tmp_path / "many.state"
    path.write_bytes(lzma.decompress((FORMER / "many.state.xz").read_bytes()))
    simulation = Simulation.load(path, ring(), threads=1)
    simulation.run(0.02)
    simulation.save(path)  # the layout is kept
    loaded = Simulation.load(path, ring(), threads=2)
    loaded.run(0.03)
    path.write_bytes(lzma.decompress((FORMER / "many.state.xz").read_bytes()))
    result = Simulation.load(path, ring(), threads=1).run(0.05)
    spikes = "".join(result.spikes[name].digest() for name in sorted(result.spikes))  # type: ignore[union-attr]
    assert hashlib.sha256(spikes.encode()).hexdigest() == DIGESTS["spikes"]
    weights = b"".join(array.tobytes() for _, array in sorted(result.weights.items()))
    assert hashlib.sha256(weights).hexdigest() == DIGESTS["weights"]
    for name, array in loaded.weights.items():
        np.testing.assert_array_equal(array, result.weights[name])


def test_they_are_saved_and_loaded(network: Network, tmp_path: Path) -> None:
    whole = Simulation(network, clock=1e-3, seed=1, threads=1).run(0.04)
    simulation = Simulation(network, clock=1e-3, seed=1, threads=1)
    simulation.run(0.017)
    simulation.save(tmp_path / "state")
    rest = Simulation.load(tmp_path / "state", network, threads=1).run(0.023)
    for name, spikes in rest.spikes.items():
        later = whole.spikes[name].times >= 0.0169  # type: ignore[union-attr]
        np.testing.assert_array_equal(spikes.units, whole.spikes[name].units[later])  # type: ignore[union-attr]


def places(layout: Layout) -> np.ndarray:
    """[units] the slot of every unit, by the formula; also checked against the blocks."""
    slots = []
    for p, size in enumerate(layout.sizes):
        unit = np.arange(size)
        if size:
            block = (unit + layout.shifts[p]) // layout.parts[p]
        else:
            block = unit
        assert ((block >= layout.begins[p]) & (block < layout.ends[p])).all()
        slots.append(block * (layout.block_slots - layout.parts[p]) + layout.offsets[p] + unit)
    return np.concatenate(slots)


@pytest.mark.parametrize("sizes", [[20] * 2000, [3] * 400 + [9000, 70_000], [65] * 300 + [1]])
def test_every_unit_has_a_slot_of_its_own(sizes: list[int]) -> None:
    layout = lay_out(Network([Population(f"p{k:04d}", size, LIF()) for k, size in enumerate(sizes)]))
    slots = places(layout)
    assert len(np.unique(slots)) == sum(sizes) and slots.max() < layout.slots
    assert layout.block_slots * layout.page_blocks <= PAGE_SLOTS and layout.block_slots % FLAG_GROUP == 0
    held = [np.sort(row[row >= 0]) for row in layout.members]
    for block, members in enumerate(held):
        begin, end = layout.units_in(block)
        assert set(np.flatnonzero(end > begin)) <= set(members.tolist()) and len(np.unique(members)) == len(members)
    # Slots without units: at most a share, and what fills a population up to 64.
    assert layout.slots <= 2.5 * sum(-(-size // FLAG_GROUP) * FLAG_GROUP for size in sizes)


@pytest.mark.slow
def test_ten_thousand_populations_run() -> None:
    populations = [Population(f"p{k:05d}", 20, LIF()) for k in range(10_000)]
    projections = [
        Projection(p.name, q.name, FixedProbability(0.5), 0.1)
        for p, q in zip(populations, populations[1:] + populations[:1], strict=True)
    ]
    network = Network(populations, projections, [PoissonInput(p.name, 200.0, 0.1) for p in populations])
    result = Simulation(network, clock=1e-3, threads=1).run(0.05)
    assert len(result.spikes) == 10_000 and sum(len(spikes) for spikes in result.spikes.values()) > 100
