"""NIR graphs: the same spikes after there and back, as the library reads and writes them; what neither side can say."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nir as library
import numpy as np
import pytest
from helpers.nir_graphs import chain, of, plain, recording, run

from neurosim import (
    LIF,
    STDP,
    AdEx,
    AllToAll,
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
    SpikeSource,
)
from neurosim.base import NeurosimInputError, NeurosimMissingError
from neurosim.network import IF, LI, Convolution, Neuron, Normal, Uniform, from_nir
from neurosim.network.nir.files import read, write_nir
from neurosim.network.nir.save import to_nir

KERNEL = np.random.default_rng(0).normal(size=(3, 2, 3, 3))


def layered() -> Network:
    """Every model and pattern that goes to NIR."""
    return Network(
        [
            Population("in", (2, 6, 6), SpikeSource()),
            Population("conv", (3, 4, 4), LIF(0.013, t_refractory=0.002, i_offset=0.1, r=0.3)),
            Population("soft", (3, 4, 4), IF(soft_reset=True, v_threshold=0.8), {"v": Uniform(0.0, 0.7)}),
            Population("hidden", 20, CubaLIF(0.01, 0.004, v_threshold=0.1, v_leak=0.05, i_offset=0.01)),
            Population("out", 3, LI(0.03, v_leak=0.2)),
        ],
        [
            Projection("in", "conv", Convolution(KERNEL), 0.7),
            Projection("conv", "soft", OneToOne(), np.linspace(0.3, 1.2, 48), 2e-3),
            Projection("soft", "hidden", FixedProbability(0.5), Normal(0.1, 0.05), Uniform(1e-3, 4e-3)),
            Projection("hidden", "hidden", FixedNumberPre(3), -0.05, 2e-3, "inhibitory"),
            Projection("hidden", "soft", FromList([0, 5, 19], [47, 0, 20]), np.array([-0.3, 0.1, 0.2])),  # type: ignore[arg-type]
            Projection("hidden", "out", AllToAll(), Normal(0.0, 0.2)),
        ],
    )


def test_there_and_back_gives_the_same_spikes(tmp_path: Path) -> None:
    network = layered()
    spikes = recording(72, (2, 6, 6))
    write_nir(tmp_path / "net.nir", to_nir(network, 1e-3, seed=5))
    again = from_nir(tmp_path / "net.nir")
    assert {p.name: (p.shape, p.model) for p in again.populations} == {
        p.name: (p.shape, p.model) for p in network.populations
    }
    probes = [Probe("out", "v"), Probe("soft", "v")]
    first, second = (run(each, spikes, probes=probes) for each in (network, again))
    for name, found in first.spikes.items():
        assert name == "out" or len(found) > 50, name  # type: ignore[arg-type]
        assert found.digest() == second.spikes[name].digest(), name
    for name, states in first.states.items():
        assert np.allclose(states, second.states[name], rtol=0, atol=1e-12)
    convolutions = [p for p in again.projections if isinstance(p.pattern, Convolution)]
    assert [p.name for p in convolutions] == ["in->conv"]


def test_the_library_reads_what_we_write_and_we_what_it_writes(tmp_path: Path) -> None:
    network = layered()
    graph = to_nir(network, 1e-3, seed=5)
    write_nir(tmp_path / "ours.nir", graph)
    theirs = library.read(tmp_path / "ours.nir")  # with its own checks of shapes
    assert set(theirs.nodes) >= set(graph.nodes)
    library.write(tmp_path / "theirs.nir", theirs)
    spikes = recording(72, (2, 6, 6))
    digests = [
        run(from_nir(where), spikes).spikes["hidden"].digest()
        for where in (theirs, tmp_path / "theirs.nir", read(tmp_path / "theirs.nir"), graph)
    ]
    assert set(digests) == {run(network, spikes).spikes["hidden"].digest()}


def test_sources_and_stimuli_carry_over() -> None:
    network = Network(
        [Population("p", 10, PoissonSource(40.0)), Population("x", (2, 5), CubaLIF(v_threshold=0.2))],
        [Projection("p", "x", AllToAll(), 0.1)],
        [PoissonInput("x", 300.0, 0.05, "inhibitory", "drive")],
    )
    again = from_nir(to_nir(network))
    assert again.population("p").model.rate == 40.0  # type: ignore[union-attr]
    assert dataclasses.astuple(again.stimuli[0]) == dataclasses.astuple(network.stimuli[0])
    first, second = (run(each, 0.5).spikes["x"] for each in (network, again))
    assert len(first) > 20 and first.digest() == second.digest()  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", [LIF, IF, CubaLIF])
def test_parameters_by_unit_survive_the_round_trip(kind: type[Neuron]) -> None:
    varied = {"v_threshold": Uniform(0.2, 0.5), "v_reset": -0.1, "t_refractory": np.arange(6) / 1000}
    if kind is not IF:
        varied |= {"tau_mem": np.linspace(0.01, 0.03, 6), "r": np.linspace(0.9, 1.1, 6)}
    network = Network(
        [Population("in", 4, SpikeSource()), Population("x", (2, 3), kind(**varied), {"v": np.linspace(0, 0.1, 6)})],
        [Projection("in", "x", AllToAll(), 0.6 if kind is CubaLIF else 0.08)],
    )
    first, second = (run(each, recording(4)).spikes["x"] for each in (network, from_nir(to_nir(network, seed=5))))
    assert len(first) > 20 and first.digest() == second.digest()  # type: ignore[arg-type]


def test_a_bias_that_all_share_is_a_current() -> None:
    graph = chain(library.Affine(np.full((3, 4), 0.1), np.full(3, 0.2)), plain("LIF", 3, 1e-3))
    model = from_nir(graph, 1e-3).population("n1").model
    assert isinstance(model, LIF) and (model.i_offset, model.r) == (0.2, pytest.approx(20.0))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: chain(library.Linear(np.ones((3, 4))), library.Threshold(np.ones(3))),
            "Threshold 'n1': a threshold with",
        ),
        (
            lambda: chain(plain("LI", 4, 1e-3), library.Linear(np.ones((3, 4))), plain("LIF", 3, 1e-3)),
            "LI 'n0': puts out",
        ),
        (lambda: chain(library.Linear(np.ones((3, 4)))), "Output 'out': must follow a neuron or an input"),
        (
            lambda: chain(library.Linear(np.ones((3, 5))), plain("LIF", 3, 1e-3)),
            "Linear 'n0'.weight: must have the 4 inputs",
        ),
        (
            lambda: chain(library.Linear(np.ones((3, 4))), plain("LIF", 2, 1e-3)),
            "LIF 'n1': must get 2 inputs, from Linear",
        ),
        (
            lambda: chain(library.Delay(np.full(4, 1e-4)), plain("LIF", 4, 1e-3)),
            "must be 0 or at least one step of 0.001 s",
        ),
        (lambda: chain(library.Delay(np.full(4, -1.0)), plain("LIF", 4, 1e-3)), "Delay 'n0'.delay: must be >= 0 s"),
        (lambda: chain(plain("LIF", 4, 1e-3, tau=np.zeros(4))), "LIF 'n0'.tau: must be > 0 s (got 0.0)"),
        (lambda: chain(plain("LIF", 4, 1e-3, v_reset=np.full(4, 2.0))), "LIF 'n0': LIF.v_reset: must be < v_threshold"),
        (lambda: chain(plain("LIF", 4, 1e-3, r=np.full(4, np.nan))), "LIF 'n0'.r: must be finite"),
        (
            lambda: chain(
                library.Conv2d((2, 2), np.ones((1, 1, 3, 3)), 1, 0, 1, 1, np.zeros(1)), plain("LIF", 1, 1e-3)
            ),
            "Conv2d",
        ),
        (lambda: circle("Linear", "Scale"), "lies on a circle without a neuron"),
        (lambda: "a graph", "a graph: no such file"),
        (lambda: 3, "from_nir: needs a nir.NIRGraph or the path of a file (got int)"),
        (lambda: library.NIRGraph({"a": plain("LIF", 1, 1e-3)}, [("a", "b")], {}, type_check=False), "'b'"),
    ],
)
def test_what_cannot_run_is_named(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(NeurosimError) as caught:
        from_nir(make(), 1e-3)
    assert message in str(caught.value)


def circle(*kinds: str) -> Any:
    table = {"Linear": library.Linear(np.eye(4)), "Scale": library.Scale(np.ones(4))}
    nodes = {"in": library.Input({"input": np.array([4])}), "x": plain("LIF", 4, 1e-3)}
    nodes |= {kind: table[kind] for kind in kinds}
    edges = [("in", kinds[0]), (kinds[0], kinds[1]), (kinds[1], kinds[0]), (kinds[1], "x")]
    return library.NIRGraph(nodes, edges, {}, type_check=False)


def test_the_step_must_be_known() -> None:
    graph = chain(plain("LIF", 4, 1e-3))
    with pytest.raises(
        NeurosimInputError, match=r"from_nir\.dt: NIR does not say how long a spike lasts; give the step"
    ):
        from_nir(graph)
    with pytest.raises(NeurosimInputError, match=r"from_nir\.dt: must be > 0 s"):
        from_nir(graph, 0.0)
    graph.metadata = {"dt": 1e-3}
    assert from_nir(graph).population("n0").model == LIF(0.02, r=20.0)


def test_edited_nodes_win_over_the_metadata() -> None:
    network = Network([Population("x", 3, LIF(0.02, t_refractory=0.003))])
    graph = to_nir(network)
    graph.nodes["x"].v_threshold = np.full(3, 2.0)
    assert from_nir(graph).population("x").model == LIF(0.02, 2.0, t_refractory=0.003, r=20.0)


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (
            of(AdEx()),
            "population 'a': NIR has no AdEx; it has CubaLIF, IF, LI, LIF; save",
        ),
        (of(IF(i_offset=1.0)), "population 'a': IF.i_offset: must be 0: NIR has no constant current (got 1.0)"),
        (of(CubaLIF(tau_syn_inhibitory=0.01)), "population 'a': CubaLIF.tau_syn_inhibitory: must be tau_syn"),
        (
            of(LIF(), Projection("a", "b", AllToAll(), 0.5, plasticity=STDP())),
            "Projection['a->b'].plasticity: must be None: NIR has no plasticity (got STDP)",
        ),
        (
            of(LIF(), Projection("a", "b", AllToAll(), 0.5, 1e-4)),
            "Projection['a->b'].delay: must round to at least one step",
        ),
        (of(LIF(), Projection("a", "b", AllToAll(), 0.5, name="b")), "to_nir: 'b': must name one thing"),
        (of(LIF(), Projection("a", "b", AllToAll(), 0.5, name="a/b")), "to_nir: 'a/b': must hold no '/'"),
        (
            Network([Population("a", 100, LIF())], [Projection("a", "a", AllToAll(), 0.5, Uniform(1e-3, 0.1))]),
            "Projection['a->a'].delay: must take at most 64 values in NIR",
        ),
    ],
)
def test_what_nir_cannot_say_is_named(network: Network, message: str) -> None:
    with pytest.raises(NeurosimInputError) as caught:
        to_nir(network)
    assert message in str(caught.value)


def test_without_the_library_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "nir", None)
    with pytest.raises(NeurosimMissingError, match=r"pip install .*\[nir\]'"):
        to_nir(layered())
