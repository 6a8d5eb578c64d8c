"""Hierarchies of macrocolumns: what they store, complete and cover."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.macrocolumns import hierarchy

from neurosim.memory import SDR, Selection, patches, scattered
from neurosim.memory.macrocolumn.run import draw_keys
from neurosim.memory.macrocolumn.selection import kernel_parameters
from neurosim.memory.macrocolumn.state import ColumnMemory


def test_a_hierarchy_stores_recalls_and_completes() -> None:
    owner = hierarchy()
    memory = owner.memory()
    sequences = [[SDR.random(400, 60, s, i) for i in range(6)] for s in range(5)]
    stored = [owner.store(memory, s) for s in sequences]
    for frames, codes in zip(sequences, stored, strict=True):
        low, high = owner.recall(memory, frames)
        assert (low.codes == codes[0].codes).mean() > 0.9 and (high.codes == codes[1].codes).mean() > 0.9
        assert high.status[:, 0].tolist() == ["chosen", "kept"] * 3
        assert low.terms[:, 0].tolist() == ["U", *["UHD"] * 5]
        # From the code above alone down to the inputs.
        back = owner.complete(memory, 1, codes[1].codes[0])
        assert back.overlap(frames[0]) >= 57 and len(back) <= 70
    assert memory.stored == 5


def test_a_hidden_part_is_completed_from_above() -> None:
    owner = hierarchy(top_down=False)
    memory = owner.memory()
    scenes = [SDR.random(400, 60, 1, i) for i in range(10)]
    for scene in scenes:
        owner.store(memory, scene)
    right = np.arange(400) % 20 >= 10
    for scene in scenes:
        seen = SDR(scene.indices[~right[scene.indices]], 400)
        low, high = owner.recall(memory, seen)
        assert low.status[0].tolist() == ["chosen", "below", "chosen", "below"]
        whole = owner.complete(memory, 1, high.codes[0])
        assert whole.overlap(scene) >= 0.9 * 60 and len(whole) <= 80


@pytest.mark.slow
def test_levels_run_alike_with_any_number_of_threads() -> None:
    from neurosim.memory.macrocolumn.run import Frames, run_columns

    fields = patches((20, 20), 6, 2)
    x = (np.random.default_rng(0).random((30, 400)) < 0.2).astype(np.uint8)
    numbers = kernel_parameters(Selection(), (1, 36), 1, 1.0, None, 0)
    found = []
    for threads in (1, 3):
        memory = ColumnMemory.empty(len(fields), (36, 20, 0), 20, False)
        batch = run_columns(
            memory, fields, Frames(x, np.zeros(30, np.uint8)), 5, numbers, draw_keys(0, 64), learn=True, threads=threads
        )
        found.append((batch.codes.tobytes(), memory.u.tobytes(), memory.h.tobytes()))
    assert found[0] == found[1]


def test_fields_cover_the_edge() -> None:
    fields = patches((2, 7, 8), 3, 3)
    assert fields.shape == (9, 18) and set(fields.ravel().tolist()) == set(range(112))
    bands = patches((3, 1, 10), (1, 4), 3)
    assert bands.shape == (3, 12) and bands[1].tolist() == [3, 4, 5, 6, 13, 14, 15, 16, 23, 24, 25, 26]
    drawn = scattered(50, 7, 12, seed=1)
    assert drawn.shape == (7, 12) and all(len(set(row)) == 12 for row in drawn.tolist())
