"""Networks in TOML: what a file says is what runs, and what is written reads back."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.descriptions import SMALL, changed, everything, write
from helpers.pipelines import Tally
from helpers.windowed import clip, windowed

from neurosim import (
    LIF,
    STDP,
    AllToAll,
    FixedProbability,
    FromList,
    Link,
    Network,
    NeurosimError,
    PoissonInput,
    PoissonSource,
    Population,
    Probe,
    Projection,
    Spikes,
    Windowed,
    simulate,
)
from neurosim.base import NeurosimFormatError, NeurosimInputError, NeurosimMissingError
from neurosim.data import write_sonata
from neurosim.data.files import formats
from neurosim.data.files.arrays import read_arrays
from neurosim.engine import Description, read_description, write_description
from neurosim.engine.description import arrays
from neurosim.engine.description.description import Settings
from neurosim.engine.description.dump import dump_description
from neurosim.engine.identity import describe
from neurosim.network import Neuron, ShortTermPlasticity
from neurosim.network.neurons import MODELS
from neurosim.network.plasticity.equations import synapse_equations


def same(a: Any, b: Any) -> bool:
    """Equal through dataclasses, mappings and arrays, bit for bit."""
    if dataclasses.is_dataclass(a):
        return type(a) is type(b) and all(same(getattr(a, f.name), getattr(b, f.name)) for f in dataclasses.fields(a))
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, np.ndarray) or isinstance(b, np.ndarray):
        return np.array_equal(a, b)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    return bool(a == b)


def test_every_kind_of_thing_survives_the_round_trip(tmp_path: Path) -> None:
    told = everything()
    write_description(tmp_path / "all.toml", told)
    again = read_description(tmp_path / "all.toml")
    for name in ("network", "settings", "inputs"):
        assert same(getattr(again, name), getattr(told, name)), name
    assert [(p.name, p.interval, None if p.units is None else list(p.units)) for p in again.probes] == [
        ("z.v", 2e-3, [3, 1]),
        ("x.g_excitatory", 1e-3, None),
    ]
    assert dump_description(again) == dump_description(told) == (tmp_path / "all.toml").read_text()


def test_the_file_runs_as_the_python_does(tmp_path: Path) -> None:
    network = Network(
        [Population("in", 10, PoissonSource(50.0)), Population("E", (2, 4), LIF(0.01))],
        [Projection("in", "E", FixedProbability(0.5), 0.4)],
        [PoissonInput("E", 100.0, 0.2)],
    )
    python = simulate(network, 0.1, seed=3, probes=[Probe("E", "v")])
    toml = read_description(write(tmp_path / "n.toml", SMALL)).simulate()
    assert len(python.spikes["E"]) > 3
    assert toml.spikes["E"].digest() == python.spikes["E"].digest()
    assert np.array_equal(toml.states["E.v"], python.states["E.v"])


@pytest.mark.parametrize("name", MODELS)
def test_every_neuron_can_be_named(name: str, tmp_path: Path) -> None:
    tree = {"population": [{"name": "x", "shape": 2, "model": name}]}
    assert read_description(write(tmp_path / "n.toml", tree)).network.populations[0].model == MODELS[name]()


def test_continuous_time_has_a_word(tmp_path: Path) -> None:
    told = read_description(write(tmp_path / "n.toml", changed("simulation", "clock", to="continuous")))
    assert told.settings.clock is None
    assert 'clock = "continuous"' in dump_description(told)


def test_long_arrays_lie_beside_the_file(tmp_path: Path) -> None:
    n = arrays.MAX_INLINE + 1
    units = np.arange(n)
    told = Network(
        [Population("a", n, PoissonSource(1.0)), Population("b", n, LIF())],
        [Projection("a", "b", FromList(units, units[::-1]), np.linspace(0, 1, n))],
    )
    with pytest.raises(NeurosimInputError, match=r"4,097 numbers are too many for TOML; write_description puts"):
        dump_description(told)
    write_description(tmp_path / "n.toml", told)
    assert (tmp_path / "n.safetensors").is_file()
    assert len((tmp_path / "n.toml").read_text()) < 2000
    assert same(read_description(tmp_path / "n.toml").network, told)
    (tmp_path / "n.safetensors").write_bytes(b"\xff" * 100)
    with pytest.raises(NeurosimFormatError, match="expected a safetensors file"):
        read_description(tmp_path / "n.toml")
    (tmp_path / "n.safetensors").unlink()
    with pytest.raises(NeurosimMissingError, match=r"projection 'a->b'.*n\.safetensors: no such file"):
        read_description(tmp_path / "n.toml")


@pytest.mark.parametrize(("name", "extra"), [("s.csv", {}), ("s.h5", {}), ("two.h5", {"population": "b"})])
def test_a_source_plays_a_file_beside_the_toml(tmp_path: Path, name: str, extra: dict[str, str]) -> None:
    spikes = Spikes([0.001, 0.004, 0.02], [5, 0, 3], 6, 0.02, (2, 3))
    (write_sonata(tmp_path / name, {"a": spikes, "b": spikes}) if extra else formats.write(tmp_path / name, spikes))
    tree = {
        "population": [
            {
                "name": "in",
                "shape": [2, 3],
                "model": "SpikeSource",
                "spikes": {"file": name, **extra} if extra else name,
            },
            {"name": "out", "shape": 6, "model": "LIF"},
        ],
        "projection": [{"source": "in", "target": "out", "pattern": "OneToOne", "weight": 2.0}],
        "simulation": {"duration": 0.03},
    }
    told = read_description(write(tmp_path / "n.toml", tree))
    assert told.recordings()["in"].digest() == spikes.digest()
    assert told.simulate().spikes["out"].units.tolist() == [5, 0, 3]  # type: ignore[union-attr]
    write_description(tmp_path / "deeper" / "copy.toml", told)
    assert read_description(tmp_path / "deeper" / "copy.toml").recordings()["in"].digest() == spikes.digest()


@pytest.mark.parametrize("extra", [{}, {"population": "b"}, {"downsample": 2, "format": "dat"}])
def test_the_shape_of_a_source_may_be_left_to_its_file(tmp_path: Path, extra: dict[str, Any]) -> None:
    spikes = Spikes([0.001, 0.004, 0.02], [5, 0, 23], 24, 0.02, (2, 3, 4))
    name = {0: "s.h5", 1: "two.h5", 2: "s.dat"}[len(extra)]
    if name == "two.h5":
        write_sonata(tmp_path / name, {"a": spikes.window(0, 0.01), "b": spikes})
    else:
        formats.write(tmp_path / name, spikes)
    played = {"file": name, **extra} if extra else name
    tree = {"population": [{"name": "in", "model": "SpikeSource", "spikes": played}]}
    told = read_description(write(tmp_path / "n.toml", tree))
    expected = (2, 2, 2) if name == "s.dat" else (2, 3, 4)
    assert told.network.populations[0].shape == expected
    assert told.recordings()["in"].shape == expected and len(told.recordings()["in"]) == 3
    # Times and units do not say it.
    tree["population"][0]["spikes"] = {"times": [0.0], "units": [1], "duration": 1.0}
    with pytest.raises(NeurosimInputError, match="population 'in': shape is missing"):
        read_description(write(tmp_path / "n.toml", tree))
    tree["population"][0]["spikes"] = "absent.dat"
    with pytest.raises(NeurosimError, match=r"absent\.dat"):
        read_description(write(tmp_path / "n.toml", tree))


def test_a_neuron_of_ones_own_is_named_only_when_given(tmp_path: Path) -> None:
    @dataclasses.dataclass(frozen=True)
    class Own(Neuron):
        gain: float = 2.0
        state = ("v",)
        receptors = ("input",)

        def initial(self) -> tuple[float, ...]:
            return (0.0,)

        def constants(self, dt: float) -> tuple[float, ...]:
            return (self.gain,)

        @staticmethod
        def step(state, inputs, c, spiked) -> None:  # type: ignore[no-untyped-def]
            for i in range(spiked.size):
                spiked[i] = 0

    path = write(tmp_path / "n.toml", {"population": [{"name": "x", "shape": 2, "model": "Own", "gain": 3.0}]})
    assert read_description(path, {"Own": Own}).network.populations[0].model == Own(3.0)
    with pytest.raises(NeurosimInputError, match="population 'x': model: unknown name 'Own'"):
        read_description(path)


@pytest.mark.slow
def test_plastic_networks_run_from_toml(tmp_path: Path) -> None:
    """What the weights learn shows in the spikes: the same as from Python, others than without the rule."""
    cells = [Population("in", 20, PoissonSource(40.0)), Population("E", 10, LIF(0.02))]
    rule = STDP(a_plus=0.05, a_minus=0.06, w_max=0.6)
    plastic = Projection("in", "E", AllToAll(), 0.2, plasticity=rule, short_term=ShortTermPlasticity(0.5, 0.05))
    digests = []
    for projection in (plastic, dataclasses.replace(plastic, plasticity=None)):
        told = Description(Network(cells, [projection]), Settings(duration=0.5, seed=2))
        write_description(tmp_path / "n.toml", told)
        runs = told.simulate(), read_description(tmp_path / "n.toml").simulate()
        assert runs[0].spikes["E"].digest() == runs[1].spikes["E"].digest()
        assert len(runs[0].spikes["E"]) > 20  # type: ignore[arg-type]
        digests.append(runs[0].spikes["E"].digest())
    assert digests[0] != digests[1]


def test_windowed_populations_come_back(tmp_path: Path) -> None:
    """Parameters, windows and links; large parameters and what a model learned before are in a file beside."""
    path = tmp_path / "net.toml"
    network = windowed()
    write_description(path, network)
    learned = {f"population patches learned {name}" for name in ("rows", "seen", "stored")}
    assert set(read_arrays(path.with_suffix(".safetensors"))) == {"population gated segments"} | learned
    assert describe(read_description(path).network) == describe(network)


@pytest.mark.slow
def test_what_windowed_populations_learned_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "net.toml"
    network = windowed()
    learned = simulate(network, clip()).learned
    frozen = windowed(learn=False, learned=learned)
    write_description(path, frozen)
    again = read_description(path).network
    assert describe(again) == describe(frozen)
    assert simulate(again, clip()).spikes["memory"].digest() == simulate(frozen, clip()).spikes["memory"].digest()


FIELDS = """
[[population]]
name = "columns"
model = "Hierarchy"
window = 0.01
inputs = 32
[[population.levels]]
fields = {fields}
modules = 2
units = 3
"""


def test_receptive_fields_are_named_by_the_function_that_makes_them(tmp_path: Path) -> None:
    from neurosim import Windowed
    from neurosim.memory import Hierarchy, patches

    def load(fields: str) -> Description:
        (tmp_path / "net.toml").write_text(FIELDS.format(fields=fields))
        return read_description(tmp_path / "net.toml")

    model = load('{ name = "patches", shape = [2, 4, 4], side = [2, 3], stride = 2 }').network.populations[0].model
    assert isinstance(model, Windowed) and isinstance(model.model, Hierarchy)
    assert np.array_equal(model.model.levels[0].fields, patches((2, 4, 4), (2, 3), 2))
    for fields, message in (
        ('{ name = "patchs", shape = [2, 4, 4], side = 2 }', "fields: name: unknown name 'patchs'"),
        ('{ name = "patches", shape = [2, 4, 4], sides = 2 }', "fields: unknown key 'sides'"),
        ('{ name = "patches", shape = [2, 4, 4] }', "missing 1 required positional argument: 'side'"),
        ('{ name = "patches", shape = [2, 4, 4], side = 5 }', r"patches.side: must be in 1..4 by 1..4 \(got 5\)"),
    ):
        with pytest.raises(NeurosimInputError, match=message):
            load(fields)


def test_classes_that_no_file_can_name_are_refused_and_not_written(tmp_path: Path) -> None:
    """Refuse to write what would not read back: a rule from equations, a windowed model in a user's file."""
    rule = synapse_equations(
        "dx/dt = -x / tau : 1 (event-driven)", on_pre="x += 1", parameters={"tau": 0.02}, name="STDP"
    )
    cells = [Population("a", 4, LIF()), Population("b", 3, LIF())]
    written = Network(cells, [Projection("a", "b", AllToAll(), 0.1, plasticity=rule())])
    own = Network([Population("a", 4, LIF()), Population("t", 3, Windowed(Tally(4, 3), 0.01))], links=[Link("a", "t")])
    for network, line in (
        (written, "projection a->b plasticity: STDP is no class of the package, so that TOML cannot name it; keep"),
        (own, "population t: Tally is no class of the package"),
    ):
        with pytest.raises(NeurosimInputError, match=line):
            write_description(tmp_path / "n.toml", network)
        assert not list(tmp_path.iterdir())
