"""The same weights and spikes as Brian2: 60 neurons whose synapses learn from 100 inputs and from each other, in
float64, for 500 ms. `plastic.py` describes them and `benchmarks/peers/run_brian2_plastic.py` runs them there."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from helpers.peers import PEERS_PYTHON, call
from helpers.plastic import CASES, DT, INPUTS, NEURON, STEPS, Arrays, Case, arrays, network, recording
from helpers.samples import sampled

from neurosim import simulate

pytestmark = [
    pytest.mark.peer,
    pytest.mark.skipif(not PEERS_PYTHON.exists(), reason="no .venv-peers: run `make peers`"),
]


def save(path: Path, case: Case, given: Arrays) -> None:
    file: dict[str, object] = {"inputs": INPUTS, "steps": given.steps, "units": given.units, "v0": given.v0}
    file |= {"dt": DT, "seconds": STEPS * DT, "neuron": json.dumps(asdict(NEURON))}
    for name, joints in given.joints.items():
        rule = getattr(case, name)
        short_term = case.short_term if name == "feed" else None
        file[f"{name}.settings"] = json.dumps(
            {"rule": asdict(rule.terms()) if rule else None, "short_term": asdict(short_term) if short_term else None}
        )
        file |= {f"{name}.{key}": value for key, value in asdict(joints).items()}
    np.savez(path, **file)


@pytest.mark.parametrize("name", sampled(CASES, ["triplet, short term"]))
def test_same_weights_and_spikes_as_brian2(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    given = arrays(case)
    save(tmp_path / "in.npz", case, given)
    call([str(PEERS_PYTHON), "peers/run_brian2_plastic.py", str(tmp_path / "in.npz"), str(tmp_path / "out.npz")])
    ours = simulate(network(case, given), recording(given), clock=DT, precision="float64", threads=1)
    with np.load(tmp_path / "out.npz") as theirs:
        order = np.lexsort((theirs["units"], theirs["steps"]))
        spikes = ours.spikes["cells"]
        assert len(spikes) > 200
        np.testing.assert_array_equal(np.rint(spikes.times / DT), theirs["steps"][order])
        np.testing.assert_array_equal(spikes.units, theirs["units"][order])
        for part, weights in ours.weights.items():
            assert np.abs(weights - given.joints[part].weight).max() > 1e-3
            np.testing.assert_allclose(weights, theirs[f"{part}.weight"], rtol=0, atol=1e-9)
