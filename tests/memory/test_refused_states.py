"""A saved state with one array that does not fit is refused, and the memory is as before."""

from __future__ import annotations

import pytest
from helpers.tampered import check_refusals, check_window_state
from helpers.windowed import MODELS

from neurosim.memory import DendriteLayer, DendriticSegments, PatchCode
from neurosim.memory.associative.windowed import HopfieldUnits, ModernHopfieldUnits, SparseDistributedUnits
from neurosim.memory.sdr.encoders import CategoryEncoder
from neurosim.memory.series.detector import AnomalyDetector, number_encoder
from neurosim.network.windowed import WindowModel

gated = MODELS["gated"]
assert isinstance(gated, DendriteLayer)
MEMORIES: dict[str, WindowModel] = {
    **MODELS,
    "patches": PatchCode((6, 10), units=24, side=3, winners=2, pool=(2, 3)),
    "learning dendrites": DendriteLayer(gated.weights, gated.bias, gated.segments, winners=4, learning_rate=0.05),
    "segments": DendriticSegments(8, 40, activation_threshold=6, min_threshold=4),
    "Hopfield": HopfieldUnits(40, seed=4),
    "modern Hopfield": ModernHopfieldUnits(40, capacity=20, beta=0.5),
    "sparse": SparseDistributedUnits(300, 40, 40, p=0.05, seed=2),
}


@pytest.mark.parametrize("name", MEMORIES)
def test_a_refusal_leaves_a_memory_as_it_was(name: str) -> None:
    check_window_state(MEMORIES[name])


@pytest.mark.parametrize("part", ["", "memory", "likelihood", "jumps", "classifier"])
def test_a_refusal_leaves_a_detector_and_its_parts_as_they_were(part: str) -> None:
    encoders = {"value": number_encoder(0.0, 10.0), "kind": CategoryEncoder(("a", "b"), 5)}
    detector = AnomalyDetector(
        encoders, watched="value", range=(0.0, 10.0), probation=20, columns=64, cells_per_column=4
    )
    for k in range(40):
        detector.step({"value": float(k % 7), "kind": "ab"[k % 2]})
    before = detector.state()
    for k in range(40):
        detector.step({"value": 1.3 * float(k % 9), "kind": "ab"[k % 3 % 2]})
    owner = detector if not part else getattr(detector, part)
    later = owner.state()
    detector.restore(before)
    owner = detector if not part else getattr(detector, part)
    check_refusals(owner.state, owner.restore, later)
