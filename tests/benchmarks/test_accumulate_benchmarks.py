"""The benchmarks of spike products run, and their tables hold together."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from neurosim.kernels.spikes.encode.reference import clip_reference

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
pytest.importorskip("torch")

pytestmark = pytest.mark.slow


def test_products_on_the_cpu() -> None:
    words = ["--json", "--shapes", "200x300", "--batches", "1", "3", "--densities", "0.3", "--rounds", "3"]
    command = [sys.executable, str(BENCHMARKS / "accumulate.py"), *words, "--threads", "1"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["machine"]["cores"] and [row["batch"] for row in found["rows"]] == [1, 3]
    for row in found["rows"]:
        assert row["operations"] == pytest.approx(0.3 * row["batch"] * 200 * 300, rel=0.3)
        assert row["times_torch"]["int8"] == pytest.approx(row["torch"]["ns"] / row["int8"]["ns"])
    (state,) = found["states"]
    assert state["bytes_ratio"] == pytest.approx(state["dense_bytes"] / state["lazy_bytes"]) and state["lazy_ns"] > 0


def test_bytes_and_floors_without_a_gpu() -> None:
    gpu = importlib.import_module("accumulate_gpu")
    if gpu.torch.cuda.is_available():
        pytest.skip("a GPU is here: benchmarks/accumulate_gpu.py would time on it")
    one, *_, many = gpu.decode_rows((512, 256), [0.1, 0.3], 3.0e12)
    assert one["density"] == pytest.approx(0.1, abs=0.03)
    rows = round(one["density"] * 512)
    assert one["bytes"] == rows * 256 * 2 + 512 * 2 + 256 * 4 and one["operations"] == rows * 256
    # A batch of 16 at density .3 selects nearly every row of weights: nothing to gain.
    assert many["floor_us"] == pytest.approx(many["dense_floor_us"], rel=0.02)


def test_work_is_counted() -> None:
    counter = importlib.import_module("spike_work")
    counts = np.array([[1, 0, -2, 0], [0, 0, 3, 0]], np.int8)
    assert counter.work(counts, outputs=10, weight_bytes=4) == counter.Work(
        operations=30, spikes=6, dense_operations=80, weight_bytes=120, batch_bytes=80, dense_bytes=160, silent=5
    )
    whole = np.random.default_rng(0).integers(-400, 400, (3, 50)).astype(np.int32)
    clipped, escapes = clip_reference(whole)
    large = counter.work(clipped, 7, 1, escapes)
    assert large.spikes == np.abs(whole).sum() and large.operations == 7 * np.count_nonzero(whole)
