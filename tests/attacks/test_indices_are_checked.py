"""Promise: every index that compiled code trusts is checked where it enters, from files and from calls."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from helpers.saved_kinds import KINDS
from safetensors import safe_open

from neurosim import (
    LIF,
    FromList,
    Network,
    NeurosimError,
    Population,
    Probe,
    Projection,
    Recordings,
    Simulation,
    Spikes,
)
from neurosim.data import write_state
from neurosim.data.files.state import HEADER

# What an attacker writes where an index, a count or an offset is expected.
VALUES = (-1, 1 << 20, np.iinfo(np.int64).min)


@pytest.mark.parametrize("kind", ["temporal memory", "macrocolumn"])
def test_integers_of_saved_states(kind: str, tmp_path: Path) -> None:
    KINDS[kind].make(tmp_path / "sound")
    with safe_open(str(tmp_path / "sound"), "np") as stored:
        header = json.loads(stored.metadata()[HEADER])
        arrays = {name: stored.get_tensor(name) for name in sorted(stored.keys())}
    tried = 0
    for name, array in arrays.items():
        if array.dtype.kind not in "iu" or not array.size:
            continue
        for value in VALUES:
            changed = array.copy()
            with np.errstate(all="ignore"):
                changed.reshape(-1)[array.size // 2] = np.asarray(value).astype(array.dtype)
            path = tmp_path / "changed"
            write_state(path, header["kind"], header["version"], header["settings"], {**arrays, name: changed})
            use_or_refuse(kind, path)
            tried += 1
    assert tried


def use_or_refuse(kind: str, path: Path) -> None:
    """A state is refused in one line, or means something: then it gives the same numbers twice."""
    try:
        with np.errstate(all="ignore"):
            first, second = (KINDS[kind].use(path) for _ in range(2))
    except NeurosimError as error:
        assert len(str(error).splitlines()) == 1
        return
    for a, b in zip(first, second, strict=True):
        assert np.array_equal(a, b, equal_nan=a.dtype.kind == "f")


@pytest.mark.parametrize("unit", [-1, 12, 1 << 32, 1 << 40, -(1 << 63), np.uint64(1 << 63), 2.0**32, 2.0**70])
def test_units_of_spikes(unit: int) -> None:
    """A cast to 32 bits would make unit 0 of unit 2^32."""
    with pytest.raises(NeurosimError):
        Spikes(np.array([0.1]), np.array([unit]), 12, 1.0)


@pytest.mark.parametrize("offsets", [[0, 1 << 40], [0, -1], [0, 2, 1], [1, 2]])
def test_offsets_of_recordings(offsets: list[int]) -> None:
    with pytest.raises(NeurosimError):
        Recordings(np.zeros(2), np.zeros(2, np.int64), np.array(offsets), np.ones(len(offsets) - 1), 12)


@pytest.mark.parametrize(
    ("sources", "targets"), [([0, 3], [0, 1]), ([0, -1], [0, 1]), ([0, 1], [0, 1 << 40]), ([0, 1], [-(1 << 63), 0])]
)
def test_ends_of_synapses(sources: list[int], targets: list[int]) -> None:
    with pytest.raises(NeurosimError):
        pairs = FromList(np.array(sources), np.array(targets))
        Simulation(Network([Population("a", 3, LIF())], [Projection("a", "a", pairs, 1.0)]), clock=1e-3)


def test_units_of_probes() -> None:
    network = Network([Population("a", 3, LIF())])
    with pytest.raises(NeurosimError):
        Simulation(network, clock=1e-3, probes=[Probe("a", "v", units=[0, 3])])
    with pytest.raises(NeurosimError):
        Simulation(network, clock=1e-3, probes=[Probe("a", "v", units=[0, 1 << 32])])
