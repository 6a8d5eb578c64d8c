"""The temporal memory against its specification, against what the rules imply, and across saving."""

from __future__ import annotations

import itertools
import json
import re
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load, save

from neurosim import NeurosimError
from neurosim.base import NeurosimFormatError, NeurosimInputError, NeurosimMissingError
from neurosim.base.plain import to_plain
from neurosim.kernels.memory.temporal import store as tables
from neurosim.kernels.memory.temporal.reference import ReferenceTemporalMemory
from neurosim.memory import SDR, TemporalMemory

SMALL = {"columns": 60, "cells_per_column": 4, "activation_threshold": 3, "min_threshold": 2, "max_new_synapses": 5}
CASES = {
    "caps are reached": {**SMALL, "columns": 30, "max_segments": 3, "max_synapses": 6, "predicted_decrement": 0.05},
    "one cell": {**SMALL, "cells_per_column": 1, "min_threshold": 1, "max_segments": 2, "max_synapses": 5},
    "connected at once": {**SMALL, "initial_permanence": 0.6, "predicted_decrement": 0.01, "max_synapses": 40},
    "slow": {**SMALL, "permanence_increment": 0.03, "permanence_decrement": 0.0, "seed": 2**62 + 12345},
}  # fmt: skip


def series(columns: int, steps: int, seed: int = 0, noise: float = 0.2, active: int = 6):
    """Four sequences of five codes in random order, some codes replaced by noise of 0 to 7 columns."""
    rng = np.random.default_rng(seed)
    known = [[np.sort(rng.choice(columns, active, replace=False)) for _ in range(5)] for _ in range(4)]
    for _ in range(steps // 5):
        for code in known[rng.integers(4)]:
            strange = rng.random() < noise
            yield np.sort(rng.choice(columns, rng.integers(0, 8), replace=False)) if strange else code


def plain_state(plain: ReferenceTemporalMemory) -> dict:
    return {
        n: (s.cell, s.learned, [(y.source, y.permanence, y.heard) for y in s.synapses])
        for n, s in sorted(plain.segments.items())
    }


def state(memory: TemporalMemory) -> dict:
    """Of each segment: its cell, when it last learned, and source, permanence and last hearing of each synapse."""
    s = memory.state()
    synapses = np.stack([s["source"], s["permanence"], s["heard"]], axis=2)
    rows = enumerate(zip(s["cell"].tolist(), s["learned"].tolist(), s["filled"].tolist(), strict=True))
    return {n: (cell, at, [tuple(y) for y in synapses[n, :k].tolist()]) for n, (cell, at, k) in rows if cell >= 0}


def segments_per_cell(memory: TemporalMemory) -> np.ndarray:
    cells = memory.state()["cell"]
    return np.bincount(cells[cells >= 0], minlength=memory.columns * memory.cells_per_column)


@pytest.mark.parametrize("case", CASES)
def test_equals_the_specification(case: str) -> None:
    memory = TemporalMemory(**CASES[case])
    plain = ReferenceTemporalMemory(memory.columns, memory._rules)
    chance = np.random.default_rng(1)
    for t, code in enumerate(series(memory.columns, 400)):
        learn = bool(chance.random() < 0.9)
        assert memory.step(code, learn=learn) == plain.step(code, learn), t
        assert memory.active_cells.indices.tolist() == sorted(plain.active)
        assert memory.winner_cells.indices.tolist() == plain.winners
        assert memory.predicted_cells.indices.tolist() == sorted({plain.segments[n].cell for n in plain.predicting})
        if t % 100 == 99:
            assert state(memory) == plain_state(plain)
    assert memory.segments == len(plain.segments) > 20
    assert memory.synapses == sum(len(s.synapses) for s in plain.segments.values())


def test_outgoing_lists_hold_each_synapse_once() -> None:
    memory = TemporalMemory(**CASES["caps are reached"])
    for code in series(memory.columns, 300):
        memory.step(code)
    s = memory._store
    found = set()
    for cell in range(memory.columns * memory.cells_per_column):
        chunk = s.cell[cell, tables.NEWEST]
        n = s.cell[cell, tables.FILL]
        while chunk >= 0:
            for k in range(n):
                segment = int(s.target[chunk, k]) >> 1
                slot = int(s.slot[chunk, k])
                source, permanence, place, _ = s.synapse[segment, slot]
                assert (source, place) == (cell, chunk * 32 + k)
                assert (s.target[chunk, k] & 1) == (permanence >= memory._rules.connected)
                found.add((segment, slot))
            chunk = s.target[chunk, tables.LINK]
            n = 32
    assert len(found) == memory.synapses > 100


def test_a_sequence_becomes_predictable_and_a_break_is_seen() -> None:
    memory = TemporalMemory(columns=256, cells_per_column=8, seed=1)
    codes = [SDR.random(256, 20, seed=3, index=i) for i in range(10)]
    for _ in range(10):
        memory.reset()
        anomalies = [memory.step(code) for code in codes]
    assert anomalies[0] == 1.0 and anomalies[1:] == [0.0] * 9
    # Predicted columns fire one cell each; what is expected next is the code of the next step.
    memory.reset()
    for code, following in itertools.pairwise(codes):
        memory.step(code, learn=False)
        assert memory.predicted_columns == following
    assert len(memory.active_cells) == 20
    assert memory.step(SDR.random(256, 20, seed=4), learn=False) > 0.7


def test_cells_of_a_column_tell_contexts_apart() -> None:
    """A B C D and X B C Y: after B C the columns are the same, the cells and so the predictions are not."""
    a, b, c, d, x, y = (SDR.random(512, 20, seed=5, index=i) for i in range(6))
    memory = TemporalMemory(columns=512, cells_per_column=8, predicted_decrement=0.05)
    for _ in range(20):
        for sequence in ((a, b, c, d), (x, b, c, y)):
            memory.reset()
            for code in sequence:
                memory.step(code)
    ends = {}
    for name, sequence in {"d": (a, b, c), "y": (x, b, c)}.items():
        memory.reset()
        for code in sequence:
            memory.step(code, learn=False)
        ends[name] = memory.active_cells, memory.predicted_columns
    assert ends["d"][1] == d and ends["y"][1] == y
    assert ends["d"][0].overlap(ends["y"][0]) < 5


def test_one_segment_by_hand() -> None:
    """Two steps make a segment; the third adapts it: +.1 for what was heard, -.1 for what was not."""
    rules = {"activation_threshold": 2, "min_threshold": 2, "max_new_synapses": 4, "cells_per_column": 1}
    memory = TemporalMemory(columns=10, **rules)
    memory.step([0, 1, 2])
    memory.step([5])
    assert state(memory) == {0: (5, 1, [(pre, 2100, 1) for pre, _, _ in state(memory)[0][2]])}
    assert {pre for pre, _, _ in state(memory)[0][2]} == {0, 1, 2}
    memory.reset()
    memory.step([0, 1])
    assert len(memory.predicted_cells) == 0  # matches, but no synapse is connected
    memory.step([5])
    assert {pre: p for pre, p, _ in state(memory)[0][2]} == {0: 3100, 1: 3100, 2: 1100}
    for _ in range(2):
        memory.reset()
        memory.step([0, 1])
        memory.step([5])
    assert {pre: p for pre, p, _ in state(memory)[0][2]} == {0: 5100, 1: 5100}  # cell 2 fell to 0.01, then away
    memory.reset()
    memory.step([0, 1])
    assert memory.predicted_cells.indices.tolist() == [5]


def test_matching_segments_of_silent_columns_are_punished_until_they_go() -> None:
    rules = {"activation_threshold": 2, "min_threshold": 2, "cells_per_column": 1, "predicted_decrement": 0.1}
    memory = TemporalMemory(columns=10, **rules)
    memory.step([0, 1])
    memory.step([5])
    for left in (1100, 100):
        memory.reset()
        memory.step([0, 1])
        memory.step([], learn=True)
        assert [p for _, p, _ in state(memory)[0][2]] == [left, left]
    memory.reset()
    memory.step([0, 1])
    memory.step([])
    assert memory.segments == memory.synapses == 0


def test_winner_of_a_burst_is_the_former_one_else_the_least_used() -> None:
    memory = TemporalMemory(columns=20, cells_per_column=3, activation_threshold=2, min_threshold=2)
    memory.step([4])
    first = memory.winner_cells
    assert len(memory.active_cells) == 3 and len(first) == 1
    memory.step([4])
    assert memory.winner_cells == first
    for _ in range(2):  # cells without segments come first: after three sequences each cell has one
        memory.reset()
        memory.step([0, 1, 2])
        memory.step([4])
    assert segments_per_cell(memory)[12:15].max() == 1


def test_an_empty_input_ends_the_sequence() -> None:
    memory = TemporalMemory(**SMALL)
    for code in series(60, 200, noise=0):
        memory.step(code)
    before = memory.segments
    assert memory.step([]) == 0.0 and memory.step(SDR([], 60), learn=False) == 0.0
    assert len(memory.active_cells) == len(memory.winner_cells) == len(memory.predicted_cells) == 0
    assert memory.segments == before and memory.steps == 202


def test_without_learning_nothing_is_learned() -> None:
    memory = TemporalMemory(**SMALL)
    for code in series(60, 200):
        memory.step(code)
    before = state(memory)
    for code in series(60, 100, seed=9):
        memory.step(code, learn=False)
    assert state(memory) == before


def test_memory_is_bounded() -> None:
    """Noise without end fills every cap and then no more."""
    memory = TemporalMemory(**CASES["caps are reached"])
    held = []
    for code in series(30, 4000, noise=1.0):
        memory.step(code)
        held.append(memory.bytes)
    assert segments_per_cell(memory).max() == 3 and memory.state()["filled"].max() == 6
    assert memory.segments <= 30 * 4 * 3 and memory.synapses <= memory.segments * 6
    assert held[-1] == held[len(held) // 2] <= memory.max_bytes
    assert memory._count("CHUNKS") <= 30 * 4 * 3 * 6 // 32 + 2 * 30 * 4


def test_room_grows_with_what_is_learned() -> None:
    memory = TemporalMemory(columns=500, cells_per_column=20, max_segments=4)
    plain_start = len(memory._store.segment)
    rng = np.random.default_rng(0)
    for _ in range(150):
        memory.step(np.sort(rng.choice(500, 60, replace=False)))
    assert memory.segments > plain_start
    assert memory.synapses > 32 * 4096
    s = memory.state()
    assert s["filled"][s["cell"] >= 0].sum() == memory.synapses


@pytest.mark.parametrize("learn", [True, False])
def test_saving_loses_nothing(tmp_path: Path, learn: bool) -> None:
    memory = TemporalMemory(**CASES["caps are reached"], seed=7)
    codes = list(series(30, 700, seed=4))
    for code in codes[:333]:
        memory.step(code)
    memory.save(tmp_path / "tm.safetensors")
    twin = TemporalMemory.load(tmp_path / "tm.safetensors")
    assert to_plain(twin) == to_plain(memory) and twin.steps == 333 and state(twin) == state(memory)
    assert [memory.step(c, learn=learn) for c in codes[333:]] == [twin.step(c, learn=learn) for c in codes[333:]]
    assert state(twin) == state(memory)
    assert (twin.segments, twin.synapses, twin.visits) == (memory.segments, memory.synapses, memory.visits)
    memory.save(tmp_path / "a")
    twin.save(tmp_path / "b")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_fresh_memory_can_be_saved(tmp_path: Path) -> None:
    TemporalMemory(**SMALL).save(tmp_path / "tm")
    assert TemporalMemory.load(tmp_path / "tm").step([1, 2]) == 1.0


def changed(path: Path, about: dict | None = None, arrays: dict | None = None) -> None:
    data = path.read_bytes()
    size = int.from_bytes(data[:8], "little")
    known = json.loads(json.loads(data[8 : 8 + size])["__metadata__"]["neurosim"])
    path.write_bytes(save(load(data) | (arrays or {}), {"neurosim": json.dumps(known | (about or {}))}))


def test_damaged_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "tm"
    memory = TemporalMemory(**SMALL)
    for code in series(60, 100):
        memory.step(code)

    def refused(words: str) -> None:
        with pytest.raises(NeurosimFormatError, match=words) as caught:
            TemporalMemory.load(path)
        assert "\n" not in str(caught.value) and str(path) in str(caught.value)

    with pytest.raises(NeurosimMissingError, match="no such file"):
        TemporalMemory.load(path)
    memory.save(path)
    whole = path.read_bytes()
    for kept in (0, 7, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:kept])
        refused("is not a complete neurosim TemporalMemory file")
    path.write_bytes(whole)
    changed(path, about={"kind": "SpatialPooler"})
    refused(re.escape("must hold a TemporalMemory (got SpatialPooler); load it with SpatialPooler.load"))
    path.write_bytes(whole)
    changed(path, about={"version": 2})
    refused(re.escape("TemporalMemory format up to 1 is known (got 2); upgrade neurosim"))
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    refused("do not match its digest")
    path.write_bytes(whole)
    changed(path, about={"settings": to_plain(memory) | {"seed": 3}})
    refused("do not match its digest")


def test_a_file_cannot_lead_the_kernels_astray(tmp_path: Path, monkeypatch) -> None:
    """With a digest that fits, indices out of range are still refused."""
    path = tmp_path / "tm"
    memory = TemporalMemory(**SMALL)
    for code in series(60, 100):
        memory.step(code)
    memory.save(path)
    whole = path.read_bytes()
    good = load(path.read_bytes())
    monkeypatch.setattr("neurosim.data.files.state._digest", lambda *_: json.loads("null"))
    cases = {"source": 240, "cell": -2, "filled": 33, "permanence": 20_000, "active": 240, "winners": -1, "step": -1}
    for name, value in cases.items():
        path.write_bytes(whole)
        array = good[name].copy()
        array.flat[0] = value
        changed(path, about={"digest": None}, arrays={name: array})
        with pytest.raises(NeurosimFormatError, match="holds values that do not fit"):
            TemporalMemory.load(path)
    for name in good:
        path.write_bytes(whole)
        changed(path, about={"digest": None}, arrays={name: good[name].astype(np.float32)})
        with pytest.raises(NeurosimFormatError, match=f"{name}: must be"):
            TemporalMemory.load(path)


@pytest.mark.parametrize(
    "settings, words",
    [
        ({"columns": 0}, "TemporalMemory.columns: must be an integer in 1..16777216 (got 0)"),
        ({"columns": 10**6}, "TemporalMemory: must have at most 16777216 cells (got 32000000)"),
        ({"cells_per_column": True}, "TemporalMemory.cells_per_column: must be an integer"),
        ({"max_synapses": 256}, "TemporalMemory.max_synapses: must be an integer in 1..255 (got 256)"),
        ({"activation_threshold": 33}, "activation_threshold: must be an integer in 1..32 (got 33)"),
        ({"min_threshold": 14}, "TemporalMemory.min_threshold: must be an integer in 1..13 (got 14)"),
        ({"max_new_synapses": 33}, "TemporalMemory.max_new_synapses: must be an integer in 1..32 (got 33)"),
        ({"max_segments": 0}, "TemporalMemory.max_segments: must be an integer in 1..32767 (got 0)"),
        ({"max_segments": 20_000}, "TemporalMemory.max_segments: must allow at most 1073741824 segments"),
        ({"initial_permanence": 1.5}, "TemporalMemory.initial_permanence: must be in 0.0001..1 (got 1.5)"),
        ({"connected_permanence": 0.0}, "TemporalMemory.connected_permanence: must be in 0.0001..1 (got 0.0)"),
        ({"permanence_increment": float("nan")}, "TemporalMemory.permanence_increment: must be in 0..1 (got nan)"),
        ({"predicted_decrement": 0.00005}, "predicted_decrement: must be a multiple of 0.0001 (got 5e-05)"),
        ({"seed": -1}, "TemporalMemory.seed: must be an integer in 0..9223372036854775807 (got -1)"),
    ],
)
def test_bad_settings_are_refused(settings: dict, words: str) -> None:
    with pytest.raises(NeurosimInputError, match=re.escape(words)):
        TemporalMemory(**settings)


@pytest.mark.parametrize(
    "code, words",
    [
        (SDR([1], 61), "TemporalMemory.step: needs an SDR of 60 bits (got 61)"),
        ([60], "TemporalMemory.step: must be < size 60 (got 60)"),
        ([-1, 3], "TemporalMemory.step: must be >= 0 (got -1)"),
        ([3, 1, 3], "TemporalMemory.step: must not repeat a bit (got [3])"),
        ([1.0], "TemporalMemory.step: must be integers; see SDR.from_dense (got float64)"),
    ],
)
def test_bad_codes_are_refused_and_change_nothing(code, words: str) -> None:
    memory = TemporalMemory(**SMALL)
    memory.step([1, 2, 3])
    with pytest.raises(NeurosimError, match=re.escape(words)):
        memory.step(code)
    assert memory.steps == 1 and len(memory.active_cells) == 12


@pytest.mark.slow
def test_the_benchmark_prints_and_writes_its_table(capsys) -> None:
    import htm

    htm.main(["--steps", "40", "--repeats", "2", "--long", "50", "--json"])
    printed = capsys.readouterr()
    result = json.loads(printed.out)
    assert [(r["what"], r["workload"]) for r in result["rows"]] == [
        ("pooler", "sine"), ("memory", "sine"), ("memory", "sequences"), ("pooler", "images"), ("pooler", "local"),
    ]  # fmt: skip
    for r in result["rows"]:
        assert 0 < r["least_ms"] <= r["median_ms"] <= r["most_ms"] and r["repeats"] == 2
    assert [r["after_steps"] for r in result["long"]] == list(range(5, 51, 5))
    assert all(word in printed.err for word in ("published_ms", "sequences", "after_steps"))
