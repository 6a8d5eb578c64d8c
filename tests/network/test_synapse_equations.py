"""Synapses from equations in text: as the rules of the package, as a closed form, and refused where they cannot be
read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from neurosim import (
    LIF,
    STDP,
    AllToAll,
    Network,
    OneToOne,
    Population,
    Probe,
    Projection,
    Simulation,
    Spikes,
    SpikeSource,
    simulate,
)
from neurosim.base import NeurosimInputError
from neurosim.engine.identity import describe, difference
from neurosim.engine.result import Result
from neurosim.network import ShortTermPlasticity, equations
from neurosim.network.plasticity.equations import synapse_equations
from neurosim.network.plasticity.synapse import SynapseModel

SOURCES = 20
TARGETS = 4
PAIR = """
dpre/dt = -pre / tau_pre : 1 ({kind})
dpost/dt = -post / tau_post : 1 ({kind})
"""
PAIR_EVENTS = {
    "on_pre": "input += w; pre += 0.02; w = clip(w + post, 0, w_top)",
    "on_post": "post -= 0.021; w = clip(w + pre, 0, w_top)",
    "parameters": {"tau_pre": 0.02, "tau_post": 0.03, "w_top": 1.0},
}
RULE = STDP(tau_plus=0.02, tau_minus=0.03, a_plus=0.02, a_minus=0.021)


def pair(kind: str = "event-driven", **more: Any) -> type[SynapseModel]:
    return synapse_equations(PAIR.format(kind=kind), **{**PAIR_EVENTS, **more})  # type: ignore[arg-type]


def network(**more: Any) -> tuple[Network, Spikes]:
    """Return cells that a recording drives through synapses with delays of their own, and the recording."""
    rng = np.random.default_rng(0)
    joined = Projection(
        "input",
        "cells",
        AllToAll(),
        rng.uniform(0.2, 0.8, SOURCES * TARGETS),
        rng.integers(1, 6, SOURCES * TARGETS) * 1e-3,
        name="joined",
        **more,
    )
    cells = Population("cells", TARGETS, LIF(tau_mem=0.02))
    played = Spikes.sort(rng.random(600) * 0.3, rng.integers(0, SOURCES, 600), SOURCES, 0.3)
    return Network([cells, Population("input", SOURCES, SpikeSource())], [joined]), played


def played_by(rule: object, precision: str = "float64", threads: int = 1, **more: Any) -> Result:
    made, played = network(plasticity=rule, **more)
    return simulate(made, played, clock=1e-3, precision=precision, threads=threads)


@pytest.mark.parametrize("kind", ["event-driven", pytest.param("clock-driven", marks=pytest.mark.slow)])
def test_pairs_in_text_are_the_rule_of_the_package(kind: str) -> None:
    right = played_by(RULE)
    mine = played_by(pair(kind)())
    assert len(right.spikes["cells"]) > 100
    assert mine.spikes["cells"].digest() == right.spikes["cells"].digest()
    np.testing.assert_allclose(mine.weights["joined"], right.weights["joined"], rtol=0, atol=1e-12)


@pytest.mark.slow
def test_resources_in_text_are_short_term_plasticity() -> None:
    Release = synapse_equations(
        "du/dt = -u / tau_facil : 1 (event-driven); dx/dt = (1 - x) / tau_rec : 1 (event-driven)",
        on_pre="u += U * (1 - u); released = u * x; x -= released; input += 3 * w * released",
        parameters={"tau_facil": 0.1, "tau_rec": 0.2, "U": 0.3},
        initial={"x": 1.0},
    )
    made, played = network(plasticity=Release())
    right, _ = network(short_term=ShortTermPlasticity(0.3, 0.2, 0.1))
    tripled = replace(right.projections[0], weight=3 * np.asarray(right.projections[0].weight))
    spikes = [
        simulate(each, played, clock=1e-3, precision="float64").spikes["cells"]
        for each in (made, Network(right.populations, [tripled]))
    ]
    assert len(spikes[0]) > 20 and spikes[0].digest() == spikes[1].digest()


@pytest.mark.slow
def test_what_moves_in_every_step_is_summed_and_noisy() -> None:
    """ds/dt = -s / tau + xi / sqrt(1 s) of each synapse is an Ornstein-Uhlenbeck process; the sum over the synapses of
    a target is its input of the step."""
    tau = 0.02
    Noisy = synapse_equations(
        "ds/dt = -s/tau + xi/sqrt(second) : 1 (clock-driven); input = w*s : 1 (summed)",
        on_pre="s += 0",
        parameters={"tau": tau},
        method="euler",
    )
    Reader = equations("dlast/dt = (I - last)/dt; I : 1 (input)", method="euler")
    joined = Projection("in", "x", AllToAll(), 0.5, name="joined", receptor="I", plasticity=Noisy())
    made = Network([Population("x", 50, Reader()), Population("in", 30, SpikeSource())], [joined])
    silent = Spikes(np.empty(0), np.empty(0, np.int64), 30, 1.5)
    result = simulate(made, silent, clock=1e-3, precision="float64", probes=[Probe("x", "last")])
    last = np.asarray(result.states["x.last"])[100:]
    # Of Euler's method, s <- (1 - dt / tau) s + sqrt(dt) xi.
    variance = 30 * 0.5**2 * 1e-3 / (1 - (1 - 1e-3 / tau) ** 2)
    assert last.var() == pytest.approx(variance, rel=0.12)
    assert (last[1:] * last[:-1]).mean() == pytest.approx(variance * (1 - 1e-3 / tau), rel=0.12)


def test_states_of_the_target_are_read() -> None:
    """The weight is the membrane of the target at the start of the step in which a spike arrives."""
    Reading = synapse_equations("", on_pre="input += 0.5; w = v_post")
    model = LIF(tau_mem=0.02, v_threshold=10.0)
    rng = np.random.default_rng(1)
    size = 3000  # more than a piece of units
    pulse = Projection("in", "x", OneToOne(), 0.0, 2e-3, name="joined", plasticity=Reading())
    made = Network([Population("x", size, model), Population("in", size, SpikeSource())], [pulse])
    # Each source spikes twice: the second arrival finds the first one's 0.5, decayed.
    first = rng.integers(0, 20, size)
    later = first + rng.integers(1, 20, size)
    times = (np.concatenate([first, later]) + 0.5) * 1e-3
    played = Spikes.sort(times, np.tile(np.arange(size), 2), size, 0.045)
    for threads in (1, 2):
        found = simulate(made, played, clock=1e-3, precision="float64", threads=threads).weights["joined"]
        np.testing.assert_allclose(found, 0.5 * np.exp(-(later - first - 1) * 1e-3 / 0.02), rtol=1e-12)


def test_a_saved_run_goes_on_bit_for_bit(tmp_path: Path) -> None:
    made, played = network(plasticity=pair()())
    whole = Simulation(made, played, clock=1e-3, precision="float64")
    expected = whole.run(0.3)
    first = Simulation(made, played, clock=1e-3, precision="float64")
    first.run(0.11)
    first.save(tmp_path / "state")
    second = Simulation.load(tmp_path / "state", made, played)
    result = second.run(0.19)
    assert result.weights["joined"].tobytes() == expected.weights["joined"].tobytes()
    other, _ = network(plasticity=pair(on_post="w = 0.5")())
    assert difference(describe(made), describe(other)) is not None


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: synapse_equations("dx/dt = -x"), r"dx/dt: must be marked \(event-driven\) or \(clock-driven\)"),
        (lambda: synapse_equations("dx/dt = -x**2 (event-driven)"), r"must be linear in event-driven variables"),
        (lambda: synapse_equations("dx/dt = -v_post (event-driven)"), r"must be linear in event-driven variables"),
        (lambda: synapse_equations("x : 1", on_pre="y + 1"), r"on_pre: must read like 'x \+= 1'"),
        (lambda: synapse_equations("", on_pre="input = w"), r"on_pre: input: must read like 'input \+= w'"),
        (lambda: synapse_equations("", on_pre="w = z"), r"on_pre: w: unknown name 'z'"),
        (lambda: synapse_equations("", on_pre="v_post += 1"), r"on_pre: v_post: must not be assigned"),
        (lambda: synapse_equations("", on_pre="ge += w"), r"on_pre: ge: must be a variable of the synapse; what arriv"),
        (lambda: synapse_equations("", on_pre="w = v_pre"), r"v_pre: must not be read, for it is a variable of the so"),
        (lambda: synapse_equations("", on_pre="w = rand()"), r"on_pre: w: must have no random numbers"),
        (lambda: synapse_equations("input = w"), r"input: must be marked \(summed\)"),
        (lambda: synapse_equations("x : V", on_pre="x = 2*ms"), r"on_pre: x: must be in V \(got s\)"),
        (lambda: pair(initial={"y": 1.0}), r"synapse_equations.initial: must name variables \(got y\)"),
        (
            lambda: synapse_equations("dx/dt = -x/ms (event-driven); input = x (summed)"),
            r"must not be read in every step, for it is event-driven; mark it \(clock-driven\) \(got x\)",
        ),
        (
            lambda: simulate(*network(plasticity=synapse_equations("", on_pre="w = u_post")()), clock=1e-3),
            r"plasticity: u_post: unknown name 'u'; choose from refractory, v",
        ),
        (
            lambda: simulate(*network(plasticity=pair()(), short_term=ShortTermPlasticity(0.3, 0.2)), clock=1e-3),
            r"Projection\['joined'\].short_term: must be None beside a model",
        ),
    ],
)
def test_what_cannot_be_read_is_named(make: Callable[[], object], message: str) -> None:
    with pytest.raises(NeurosimInputError, match=message):
        make()
