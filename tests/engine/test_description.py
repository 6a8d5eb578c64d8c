"""Networks in TOML: what a file says is what runs, what is written reads back, and what is wrong is named."""

from __future__ import annotations

import copy
import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tomli_w
from helpers.samples import sampled
from helpers.windowed import clip, windowed

from neurosim import (
    LIF,
    STDP,
    AllToAll,
    CobaLIF,
    CubaLIF,
    FixedNumberPre,
    FixedProbability,
    FromList,
    Network,
    NeurosimError,
    OneToOne,
    PoissonInput,
    PoissonSource,
    Population,
    Probe,
    Projection,
    Spikes,
    SpikeSource,
    simulate,
)
from neurosim.base import NeurosimFormatError, NeurosimInputError, NeurosimMissingError
from neurosim.data import write_sonata
from neurosim.data.files import formats
from neurosim.data.files.arrays import read_arrays
from neurosim.engine import Description, read_description, write_description
from neurosim.engine.description import arrays
from neurosim.engine.description.description import Settings, SpikeFile
from neurosim.engine.description.dump import description_tree, dump_description
from neurosim.engine.description.parse import is_network, parse_description
from neurosim.engine.identity import describe
from neurosim.network import (
    Convolution,
    DistanceDependentProbability,
    LogNormal,
    Neuron,
    Normal,
    RewardSTDP,
    ShortTermPlasticity,
    Uniform,
)
from neurosim.network.neurons import MODELS
from neurosim.network.synapses import BetweenParts
from neurosim.network.synapses.patterns import FixedNumberPost, FixedTotalNumber

SMALL: dict[str, Any] = {
    "simulation": {"duration": 0.1, "clock": 1e-3, "seed": 3},
    "population": [
        {"name": "in", "shape": 10, "model": "PoissonSource", "rate": 50.0},
        {"name": "E", "shape": [2, 4], "model": "LIF", "tau_mem": 0.01},
    ],
    "projection": [
        {"source": "in", "target": "E", "pattern": {"name": "FixedProbability", "p_connect": 0.5}, "weight": 0.4}
    ],
    "stimulus": [{"target": "E", "rate": 100.0, "weight": 0.2}],
    "probe": [{"population": "E", "variable": "v"}],
}


def changed(*path: object, to: object = None) -> dict[str, Any]:
    """SMALL with one value changed (None: taken out)."""

    def change(node: Any, keys: tuple[object, ...]) -> Any:
        key, *rest = keys
        copy = dict(node) if isinstance(node, dict) else list(node)
        if rest:
            copy[key] = change(copy[key], tuple(rest))
        elif to is None:
            del copy[key]
        else:
            copy[key] = to
        return copy

    return change(SMALL, path)  # type: ignore[no-any-return]


def write(path: Path, tree: dict[str, Any]) -> Path:
    path.write_text(tomli_w.dumps(tree))
    return path


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


def everything() -> Description:
    """One of every kind of thing there is."""
    rng = np.random.default_rng(1)
    image = Population("image", (2, 6, 6), SpikeSource())
    cells = Population("cells", (3, 4, 4), CubaLIF(0.01, 0.003))
    more = [
        Population("noise", 20, PoissonSource(30.0)),
        Population("x", 20, CobaLIF(tau_syn_inhibitory=None), {"v": Uniform(-0.06, -0.05), "refractory": np.zeros(20)}),
        Population("y", 12, LIF(soft_reset=True), positions=rng.random((12, 2))),
        Population("z", 12, LIF(), {"v": 0.25}, positions=rng.random((12, 2))),
        Population("varied", 4, LIF(v_threshold=Normal(1.0, 0.1), tau_mem=np.array([1, 2, 3, 4]) / 100)),
        Population("reward", 1, PoissonSource(2.0)),
        *(Population(f"n {name}", 3, model()) for name, model in MODELS.items()),
    ]
    projections = [
        Projection("image", "cells", Convolution(rng.normal(size=(3, 2, 3, 3))), 0.3, 2e-3, "inhibitory"),
        Projection("noise", "x", OneToOne(), Normal(1e-9, 1e-10, low=0.0), Uniform(1e-3, 4e-3)),
        Projection("noise", "y", FromList([3, 1, 2], [0, 5, 11]), np.array([0.1, 0.2, -0.3]), name="a list"),  # type: ignore[arg-type]
        Projection("noise", "y", FixedTotalNumber(40, with_replacement=False), LogNormal(-3.0, 0.5)),
        Projection("y", "z", DistanceDependentProbability(0.8, 0.5), 0.1),
        Projection("z", "y", FixedNumberPre(2, True), 0.2, short_term=ShortTermPlasticity(0.3, 0.2, 0.05)),
        Projection("z", "z", FixedNumberPost(3, allow_self_connections=False), 0.4, plasticity=STDP(pairing="nearest")),
        Projection("y", "y", FixedProbability(0.3), 0.4, plasticity=RewardSTDP("reward")),
        Projection("x", "y", AllToAll(), 0.01),
        Projection("x", "z", BetweenParts(FixedProbability(0.5), "2:9", np.array([0, 4, 11])), 0.02),
    ]
    network = Network([image, cells, *more], projections, [PoissonInput("z", 300.0, 0.1, name="drive")])
    settings = Settings(0.2, 5e-4, 2**62, 4, "float64", ("y", "z"), False)
    probes = (Probe("z", "v", 2e-3, [3, 1]), Probe("x", "g_excitatory"))
    return Description(network, settings, probes, {"image": Spikes([0.01, 0.02], [5, 71], 72, 0.2, (2, 6, 6))})


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


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        (changed("projection", to=None) | {"projections": []}, "unknown key 'projections'; did you mean"),
        (changed("population", 1, "tau_mem", to=-1.0), "population 'E': LIF.tau_mem: must be > 0 s (got -1.0)"),
        (changed("population", 1, "tau_mem", to="long"), "population 'E': tau_mem: must be a number (got 'long')"),
        (changed("population", 1, "tau_mem", to=True), "population 'E': tau_mem: must be a number (got True)"),
        (
            changed("population", 1, to={**SMALL["population"][1], "tau_men": 1.0}),
            "population 'E': unknown key 'tau_men'; did you mean 'tau_mem'?",
        ),
        (
            changed("population", 1, "model", to="LIFF"),
            "population 'E': model: unknown name 'LIFF'; did you mean 'LIF'?",
        ),
        (changed("population", 1, "model"), "population 'E': model is missing"),
        (changed("population", 1, "shape"), "population 'E': shape is missing"),
        (changed("population", 1, "shape", to=-3), "Population['E'].shape: must be integers > 0 (got -3)"),
        (changed("population", 1, "shape", to=2.5), "population 'E': shape: must be an integer (got 2.5)"),
        (changed("population", 0, "name"), "population number 1: name is missing"),
        (changed("population", 0, "rate"), "population 'in': rate is missing"),
        (changed("population", to={"name": "E"}), "population: must be a list of tables; write each as [[population]]"),
        (changed("population", to=[3]), "[[population]] number 1: must be a table (got 3)"),
        (changed("projection", 0, "weight"), "projection 'in->E': weight is missing"),
        (changed("projection", 0, "pattern"), "projection 'in->E': pattern is missing"),
        (changed("projection", 0, "source", to="input"), "Projection['input->E'].source: unknown name 'input'"),
        (
            changed("projection", 0, "pattern", "p_connect", to=2.0),
            "FixedProbability.p_connect: must be between 0 and 1",
        ),
        (
            changed("projection", 0, "pattern", "name", to="FixedProb"),
            "pattern: name: unknown name 'FixedProb'; did you",
        ),
        (changed("projection", 0, "pattern", "name"), "projection 'in->E': pattern: name is missing"),
        (changed("projection", 0, "pattern", to=3), "projection 'in->E': pattern: must be a table (got 3)"),
        (
            changed("projection", 0, "weight", to="strong"),
            "projection 'in->E': weight: must be a number (got 'strong')",
        ),
        (
            changed("projection", 0, "weight", to=[1.0, [2.0]]),
            "weight: must be a list of numbers, all rows equally long",
        ),
        (
            changed("projection", 0, "weight", to={"mean": 1.0}),
            "weight: must be a list of numbers or {file = ..., array",
        ),
        (
            changed("projection", 0, "weight", to=float("nan")),
            "projection 'in->E': Projection['in->E'].weight: must be fin",
        ),
        (
            changed("projection", 0, "weight", to={"distribution": "Normal", "mean": 1.0}),
            "projection 'in->E': weight: sd is missing",
        ),
        (
            changed("projection", 0, "weight", to={"distribution": "Normale", "mean": 1.0}),
            "weight: distribution: unknown name 'Normale'; did you mean 'Normal'?",
        ),
        (
            changed("projection", 0, to={**SMALL["projection"][0], "plasticity": {"rule": "STPD"}}),
            "projection 'in->E': plasticity: rule: unknown name 'STPD'; did you mean 'STDP'?",
        ),
        (
            changed("projection", 0, to={**SMALL["projection"][0], "short_term": {"U": 2.0}}),
            "projection 'in->E': short_term: ShortTermPlasticity.U: must be > 0 and <= 1 (got 2.0)",
        ),
        (changed("stimulus", 0, "rate", to=-1.0), "stimulus 'to E': PoissonInput['poisson->E'].rate: must be >= 0"),
        (
            changed("probe", 0, to={"population": "E", "variable": "v", "interval": 0}),
            "probe 'E': Probe['E.v'].interval: must be > 0 s",
        ),
        (changed("simulation", "clock", to="fast"), 'simulation: clock (seconds, or "continuous"): must be a number'),
        (changed("simulation", "seed", to=1.5), "simulation: seed: must be an integer (got 1.5)"),
        (changed("simulation", to=3), "simulation: must be a table (got 3)"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, tree: dict[str, Any], message: str) -> None:
    path = write(tmp_path / "bad.toml", tree)
    with pytest.raises(NeurosimInputError) as caught:
        read_description(path)
    text = str(caught.value)
    assert text.startswith(f"{path}: ") and message in text and "\n" not in text
    assert text.count(str(path)) == 1


@pytest.mark.parametrize(
    ("spikes", "message"),
    [
        (None, "population 'in': a SpikeSource must say what it plays; give spikes = \"FILE\""),
        ("none.csv", "none.csv: no such file"),
        ({"file": "n.toml", "format": "csvv"}, "read.format: unknown name 'csvv'; did you mean 'csv'?"),
        (
            {"times": [0.0], "units": [7], "duration": 1.0},
            "population 'in': spikes: Spikes.units: must be < size 3 (got 7)",
        ),
        ({"times": [0.0], "units": [1]}, "population 'in': spikes: duration is missing"),
        (
            {"times": [0.0], "units": ["a"], "duration": 1.0},
            "population 'in': spikes: units: must be a list of numbers",
        ),
        ({"fil": "x"}, "population 'in': spikes: unknown key 'fil'"),
        (3, "population 'in': spikes: must be a table (got 3)"),
    ],
)
def test_bad_inputs_are_named(tmp_path: Path, spikes: object, message: str) -> None:
    entry = {"name": "in", "shape": 3, "model": "SpikeSource", "spikes": spikes}
    tree = {"population": [{k: v for k, v in entry.items() if v is not None}]}
    with pytest.raises(NeurosimError) as caught:
        read_description(write(tmp_path / "n.toml", tree)).simulate()
    assert message in str(caught.value)


def test_spikes_need_a_source(tmp_path: Path) -> None:
    tree = {"population": [{"name": "E", "shape": 3, "model": "LIF", "spikes": "a.csv"}]}
    with pytest.raises(NeurosimInputError, match="population 'E': spikes: needs model = \"SpikeSource\""):
        read_description(write(tmp_path / "n.toml", tree))
    with pytest.raises(NeurosimInputError, match="population 'E': spikes: needs model SpikeSource"):
        Description(Network([Population("E", 3, LIF())]), inputs={"E": SpikeFile(Path("a.csv"))})


def test_without_recording_a_duration_is_needed(tmp_path: Path) -> None:
    with pytest.raises(NeurosimInputError, match=r"simulation\.duration: is missing"):
        read_description(write(tmp_path / "n.toml", changed("simulation", "duration"))).simulate()


def test_a_network_with_single_brackets_is_told_what_is_missing() -> None:
    tree = {"population": {"a": {"shape": 3, "model": "LIF"}}}
    assert is_network(tree)
    with pytest.raises(NeurosimInputError, match=r"write each as \[\[population\]\]"):
        parse_description(tree, Path())


def test_what_is_no_toml_is_refused(tmp_path: Path) -> None:
    (tmp_path / "n.toml").write_text("population = [")
    with pytest.raises(NeurosimFormatError, match="expected TOML"):
        read_description(tmp_path / "n.toml")
    with pytest.raises(NeurosimMissingError):
        read_description(tmp_path / "none.toml")


ODD: list[Any] = [
    *(-1, 0, 3, 2**70, -0.5, 1e400, float("nan"), True, "", "x", "none", "E"),
    *(
        [],
        [1, "a"],
        [[1], [2, 3]],
        [[1.0]],
        [True],
        {},
        {"distribution": 3},
        {"file": 1, "array": []},
        {"a": {"b": []}},
    ),
    {"file": "none.safetensors", "array": "x"},
]


def places(tree: Any) -> list[tuple[Any, Any]]:
    """Every table or list in a tree, with each of its keys."""
    found = []
    for key in tree if isinstance(tree, dict) else range(len(tree)):
        found.append((tree, key))
        if isinstance(tree[key], (dict, list)):
            found += places(tree[key])
    return found


@pytest.mark.parametrize("first", sampled(range(0, 400, 100), [0]))
def test_whatever_stands_in_the_file_is_read_or_refused(first: int, tmp_path: Path) -> None:
    """One value of a file of everything replaced by something odd, or a key added or taken out."""
    whole = description_tree(everything())
    for seed in range(first, first + 100):
        rng = np.random.default_rng(seed)
        tree = copy.deepcopy(whole)
        spots = places(tree)
        table, key = spots[rng.integers(len(spots))]
        change = rng.integers(4)
        if change == 0:
            del table[key]
        elif change == 1 and isinstance(table, dict):
            table[f"{key}x"] = table[key]
        else:
            table[key] = copy.deepcopy(ODD[rng.integers(len(ODD))])
        try:
            parse_description(tree, tmp_path)
        except NeurosimError as error:
            assert str(error).startswith("network: ") and "\n" not in str(error), seed


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


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"columns": 16}, "population 'sp': window is missing; give seconds: SpatialPooler acts once a window"),
        ({"window": "a"}, "population 'sp': window: must be a number (got 'a')"),
        ({"window": 0.01, "learn": 1}, "population 'sp': learn: must be true or false (got 1)"),
        ({"window": 0.01, "densiti": 1}, "population 'sp': unknown key"),
        ({"window": 0.01, "learned": "none.safetensors"}, "population 'sp': learned: "),
        ({"window": -1.0}, "population 'sp': Windowed.window: must be > 0 s (got -1.0)"),
    ],
)
def test_a_windowed_population_that_breaks_a_rule(entry: dict[str, Any], message: str) -> None:
    tree = {"population": [{"name": "sp", "model": "SpatialPooler", "inputs": 8, "density": 0.1, **entry}]}
    with pytest.raises(NeurosimError) as caught:
        parse_description(tree, Path())
    assert message in str(caught.value)


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


@pytest.mark.parametrize("duration", [-1.0, float("inf"), float("nan")])
def test_a_duration_that_is_none(duration: float) -> None:
    with pytest.raises(NeurosimInputError, match=r"simulation.duration: must be finite and >= 0 s"):
        parse_description({"simulation": {"duration": duration}, "population": SMALL["population"]}, Path())
