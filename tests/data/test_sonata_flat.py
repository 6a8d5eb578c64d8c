"""SONATA files of the first layout, without populations."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from neurosim.data import read, sonata_populations, write_sonata


@pytest.mark.parametrize("nodes", ["gids", "node_ids"])
def test_spikes_without_populations(nodes: str, tmp_path: Path) -> None:
    with h5py.File(tmp_path / "spikes.h5", "w") as root:
        root["spikes/timestamps"] = np.array([3.0, 1.0, 2.0])
        root[f"spikes/{nodes}"] = np.array([5, 0, 7])
    found = read(tmp_path / "spikes.h5")
    # Milliseconds, if the file does not say.
    assert np.allclose(found.times, [1e-3, 2e-3, 3e-3]) and found.units.tolist() == [0, 7, 5] and found.size == 8


def test_a_population_is_chosen(tmp_path: Path) -> None:
    from neurosim import Spikes

    both = {name: Spikes([0.1 * k], [k], 3, 1.0) for k, name in enumerate(("a", "b"))}
    write_sonata(tmp_path / "spikes.h5", both)
    assert sonata_populations(tmp_path / "spikes.h5") == ["a", "b"]
    assert read(tmp_path / "spikes.h5", population="b").digest() == both["b"].digest()
