"""A description that does not fit together is refused, in one line that names what and why."""

from __future__ import annotations

import numpy as np
import pytest

from neurosim import (
    LIF,
    AllToAll,
    CobaLIF,
    CubaLIF,
    Network,
    OneToOne,
    PoissonInput,
    PoissonSource,
    Population,
    Projection,
    SpikeSource,
)
from neurosim.base import NeurosimInputError
from neurosim.base.random import rng_key
from neurosim.network import Normal

COBA = Population("coba", 4, CobaLIF())
INPUT = Population("input", (2, 3), SpikeSource())
CELLS = Population("cells", 4, CubaLIF())


def joined(**changes: object) -> Network:
    arguments: dict[str, object] = {"source": "input", "target": "cells", "pattern": AllToAll(), "weight": 1.0}
    return Network([INPUT, CELLS], [Projection(**{**arguments, **changes})])  # type: ignore[arg-type]


def test_names_and_receptors_are_found() -> None:
    network = joined(receptor="inhibitory")
    assert network.population("input").size == 6 and network.population("cells").shape == (4,)
    assert network.projections[0].name == "input->cells"
    assert network.receptor(network.projections[0]) == 1
    assert network.receptor(joined().projections[0]) == 0


def test_streams_have_keys_of_their_own() -> None:
    keys = {rng_key(seed, a, b) for seed in (0, 1, -1) for a in ("x", "xy", "") for b in ("yz", "z", "")}
    assert len(keys) == 27 and all(0 <= key < 2**64 for key in keys)
    assert rng_key(1, "weight", "a->b") == rng_key(1, "weight", "a->b")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Population("", 3, LIF()), "Population.name: must be a name (got '')"),
        (lambda: Population("a", 0, LIF()), "Population['a'].shape: must be integers > 0 (got 0)"),
        (lambda: Population("a", (2, 1.5), LIF()), "Population['a'].shape: must be integers > 0 (got (2, 1.5))"),
        (lambda: Population("a", (2**20, 2**20), LIF()), "must unfold to <= 2147483647 units"),
        (lambda: Population("a", 3, "LIF"), "Population['a'].model: must be a neuron, a source or Windowed (got LIF)"),  # type: ignore[arg-type]
        (lambda: Population("a", 3, LIF(), {"w": 1.0}), "Population['a'].initial: unknown name 'w'"),
        (lambda: Population("a", 3, LIF(), {"v": np.nan}), "Population['a'].initial['v']: must be finite (got nan)"),
        (lambda: Population("a", 3, LIF(), {"v": np.ones(2)}), "Population['a'].initial['v']: must hold 3 values"),
        (lambda: Population("a", 3, LIF(), positions=np.ones((2, 2))), "Population['a'].positions: must be [3, dims]"),
        (lambda: PoissonSource(-1.0), "PoissonSource.rate: must be >= 0 spikes/s (got -1.0)"),
        (lambda: PoissonInput("a", np.inf, 1.0), "PoissonInput['poisson->a'].rate: must be >= 0 spikes/s (got inf)"),
        (lambda: PoissonInput("a", 1.0, np.nan), "PoissonInput['poisson->a'].weight: must be finite (got nan)"),
        (lambda: joined(source="inputs"), "Projection['inputs->cells'].source: unknown name 'inputs'; did you mean"),
        (lambda: joined(target="input"), "Projection['input->input'].target: must be a population of neurons"),
        (lambda: joined(receptor="inhib"), "Projection['input->cells'].receptor: unknown name 'inhib'"),
        (
            lambda: joined(pattern=OneToOne()),
            "Projection['input->cells'].pattern: OneToOne: needs as many targets as sources 6 (got 4)",
        ),
        (lambda: joined(pattern="all"), "Projection['input->cells'].pattern: must be a connection pattern (got all)"),
        (lambda: joined(weight=np.nan), "Projection['input->cells'].weight: must be finite (got nan)"),
        (lambda: joined(weight="strong"), "Projection['input->cells'].weight: must be a number, a vector or"),
        (lambda: joined(delay=0.0), "Projection['input->cells'].delay: must be > 0 s (got 0.0)"),
        (lambda: joined(delay=np.array([1e-3, -1e-3])), "Projection['input->cells'].delay: must be > 0 s (got -0.001)"),
        (lambda: Network([]), "Network.populations: needs at least one (got 0)"),
        (lambda: Network([INPUT, INPUT]), "Network: two Populations are named 'input'; give one another name"),
        (
            lambda: Network([CELLS], stimuli=[PoissonInput("cell", 1.0, 1.0)]),
            "unknown name 'cell'; did you mean 'cells'",
        ),
        (lambda: Network([CELLS], stimuli=[PoissonInput("cells", 1.0, 1.0)] * 2), "two PoissonInputs are named"),
        (
            lambda: Network([COBA], [Projection("coba", "coba", AllToAll(), np.array([1.0, -2e-9] * 8))]),
            "Projection['coba->coba'].weight: must be >= 0 S for CobaLIF (got -2e-09)",
        ),
        (
            lambda: Network([COBA], stimuli=[PoissonInput("coba", 1.0, -1e-9, "inhibitory")]),
            "PoissonInput['poisson->coba'].weight: must be >= 0 S for CobaLIF (got -1e-09)",
        ),
    ],
)
def test_bad_descriptions_are_named(make, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(NeurosimInputError) as caught:
        make()
    assert message in str(caught.value)


def test_two_projections_between_a_pair_need_names() -> None:
    first, second = (Projection("input", "cells", AllToAll(), Normal(1, 0.1), name=name) for name in ("a", "b"))
    assert [p.name for p in Network([INPUT, CELLS], [second, first]).projections] == ["a", "b"]
    with pytest.raises(NeurosimInputError, match="two Projections are named 'a'"):
        Network([INPUT, CELLS], [first, first])
