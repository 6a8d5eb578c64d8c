"""The work of columns, counted frame by frame from the codes: active afferents of each term times units."""

from __future__ import annotations

import numpy as np
import pytest

from neurosim.base import NeurosimInputError
from neurosim.engine import energy, measure
from neurosim.memory import SDR, Hierarchy, Level, Macrocolumn, Recogniser
from neurosim.memory.macrocolumn.state import ColumnMemory, LevelBatch


def patterns(frames: int, inputs: int, active: int, seed: int) -> list[SDR]:
    return [SDR.random(inputs, active, seed, i) for i in range(frames)]


def on(memory: ColumnMemory) -> int:
    return sum(int(np.unpackbits(w.view(np.uint8)).sum()) for w in (memory.u, memory.h, memory.d))


@pytest.mark.parametrize("learn", [True, False])
def test_a_column_counts_inputs_and_the_code_before(learn: bool) -> None:
    column = Macrocolumn(40, modules=3, units=5, bounds=(6, 40))
    memory = column.memory()
    frames = [*patterns(4, 40, 7, seed=1), SDR([1, 2], 40)]
    batch = column.store_sequence(memory, frames)
    if not learn:
        batch = column.recall_sequence(memory, frames)
    (layer,) = column.work(memory, batch)
    # Seven inputs in each frame; from the second on a winner in each of the two other modules; the last does not run.
    arrivals = 4 * 7 + 3 * 2
    assert (layer.input_events, layer.synaptic_operations) == (arrivals, arrivals * 15)
    assert layer.output_events == 4 * 3 and layer.output_entries == 5 * 15
    assert (layer.membrane_updates, layer.dense_membrane_updates) == (4 * 15, 5 * 15)
    assert layer.weights == 15 * (40 + 15) and layer.nonzero_weights == on(memory) > 0
    assert layer.dense_operations == 5 * layer.weights and layer.inputs == 40 + 15
    assert layer.parameter_bytes == memory.nbytes and energy([layer], 1).memory_aware is not None


def brute(owner: Hierarchy, items: list[SDR], batches: tuple[LevelBatch, ...]) -> list[int]:
    """Operations of each level: from below in this frame, from itself and from above in the one before."""
    low, high = owner.levels
    found = [0, 0]
    for f, item in enumerate(items):
        dense = np.zeros(owner.inputs, bool)
        dense[item.indices] = True
        runs = [[batch.codes[t, :, 0] >= 0 for batch in batches] for t in range(f + 1)]
        for m, seen in enumerate(low.fields):
            found[0] += int(dense[seen].sum()) * low.size * runs[f][0][m]
            above = [p for p, children in enumerate(high.fields) if m in children]
            if f and runs[f][0][m]:
                found[0] += (low.modules - 1) * low.size * runs[f - 1][0][m]
                found[0] += sum(high.modules * runs[f - 1][1][p] for p in above) * low.size
        for p, seen in enumerate(high.fields):
            found[1] += int(runs[f][0][seen].sum()) * low.modules * high.size * runs[f][1][p]
            if f and runs[f][1][p]:
                found[1] += (high.modules - 1) * high.size * runs[f - 1][1][p]
    return found


def test_levels_count_what_comes_from_below_beside_and_above() -> None:
    low = Level(np.arange(24).reshape(4, 6), 2, 7, bounds=(2, 6))
    high = Level(np.array([[0, 1, 2], [1, 2, 3]]), 3, 5)
    owner = Hierarchy(24, (low, high), seed=2)
    memory = owner.memory()
    items = patterns(5, 24, 12, seed=3)
    stored = owner.store(memory, items)
    for batches in (stored, owner.recall(memory, items)):
        layers = owner.work(memory, batches)
        assert [layer.name for layer in layers] == ["level 1", "level 2"]
        assert [layer.synaptic_operations for layer in layers] == brute(owner, items, batches)
        assert [layer.nonzero_weights for layer in layers] == [on(level) for level in memory.levels]
        # Each level sees the units below, its own, and those above.
        assert [layer.inputs for layer in layers] == [24 + 56 + 30, 56 + 30]
        assert [layer.weights for layer in layers] == [56 * (6 + 14 + 2 * 15), 30 * (3 * 14 + 15)]
    with pytest.raises(NeurosimInputError, match=r"work.batches: must be 2, one a level \(got 1\)"):
        owner.work(memory, stored[:1])


def test_a_recogniser_counts_levels_and_votes() -> None:
    level = Level(np.arange(24).reshape(4, 6), 2, 7, lateral=False, bounds=(2, 6))
    owner = Recogniser(Hierarchy(24, (level,), top_down=False, seed=1), 2, 3)
    memory = owner.memory()
    chance = np.random.default_rng(0)
    items = (chance.random((9, 2, 24)) < 0.4).astype(np.uint8)
    labels = np.arange(9) % 3
    owner.store(memory, items, labels)
    columns, votes = owner.work(memory, items)
    winners = owner.hierarchy.recall_many(memory.hierarchy, items)[0].codes
    runs = items.reshape(18, 4, 6).sum(axis=2)
    assert columns.synaptic_operations == runs[runs >= 2].sum() * 14
    assert votes.input_events == np.count_nonzero(winners >= 0) == 2 * np.count_nonzero(runs >= 2)
    # No logarithm is 0: a vote is three additions.
    assert votes.synaptic_operations == 3 * votes.input_events
    assert votes.weights == 2 * 4 * 2 * 7 * 3 and votes.dense_operations == 9 * votes.weights
    measures = measure([columns, votes], len(items), 0.0)
    assert set(measures.reasons) == {"spikes_per_neuron_second", "events_in"}
    with pytest.raises(NeurosimInputError, match=r"Recogniser.work: needs at least one item \(got 0\)"):
        owner.work(memory, items[:0])
