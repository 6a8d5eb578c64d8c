"""A run folder made up without a simulation, for the tests of what is written from one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from neurosim import Spikes
from neurosim.base.json_toml import write_json, write_toml
from neurosim.data import write_sonata
from neurosim.engine import LayerCounts, count, energy, measure

CAMERA = (2, 12, 10)
SOUND = (64,)


def events(rng: np.random.Generator, n: int, size: int, duration: float, shape: tuple[int, ...] = ()) -> Spikes:
    return Spikes.sort(rng.random(n) * duration, rng.integers(0, size, n), size, duration, shape)


def layers() -> list[LayerCounts]:
    liquid = LayerCounts(
        name="liquid",
        inputs=240 + 50,
        outputs=50,
        weights=900,
        nonzero_weights=900,
        weight_bits=32,
        steps=3000,
        input_events=4000,
        output_events=1500,
        output_entries=150_000,
        synaptic_operations=40_000,
        binary_input=True,
        dense_operations=290 * 50 * 3000,
        membrane_updates=90_000,
        dense_membrane_updates=150_000,
        state_bytes=400,
        parameter_bytes=7200,
        spiking=True,
        index_bits=32,
    )
    weights = np.ones((50, 3), np.float32)
    filtered = np.linspace(0, 2, 500).reshape(10, 1, 50)
    readout = count("readout", weights, filtered, filtered @ weights, np.zeros((10, 1, 3, 0)), spiking=False)
    return [liquid, readout]


def metrics(shape: tuple[int, ...] = CAMERA) -> dict[str, Any]:
    work = layers()
    return {
        "dataset": "made up",
        "split": "test",
        "samples": 10,
        "train_samples": 30,
        "accuracy": 0.8,
        "confidence_interval": [0.49, 0.94],
        "chance": 0.4,
        "classes": ["north", "east", "south"],
        "confusion": [[4, 0, 0], [1, 2, 0], [0, 1, 2]],
        "shape": list(shape),
        "shown": [
            {"index": 2, "label": 0, "predicted": 0, "duration": 0.3},
            {"index": 7, "label": 1, "predicted": 0, "duration": 0.25},
        ],
        "measures": measure(work, samples=10, duration=3.0, events_in=2500).to_dict(),
        "energy": energy(work, samples=10).to_dict(),
        "spikes": 1500,
        "spike_digest": "5eed" * 16,
        "real_time_factor": 0.08,
        "seed": 3,
    }


def manifest() -> dict[str, Any]:
    return {
        "format": "neurosim-run",
        "version": 1,
        "status": "done",
        "command": ["neurosim", "simulate", "made-up"],
        "started": "2025-03-04T05:06:07.000+00:00",
        "seed": 3,
        "config_hash": "c0de" * 16,
        "versions": {"neurosim": "0.1.0", "python": "3.12.1"},
        "git_commit": "abc123",
        "git_changed": True,
        "machine": {"system": "Linux", "processor": "A processor", "cores": 2, "memory_bytes": 2**33},
    }


def spikes(figures: dict[str, Any], seed: int = 0) -> dict[str, Spikes]:
    """Populations of every recording that the metrics list as shown."""
    rng = np.random.default_rng(seed)
    shape = tuple(figures["shape"])
    populations = {}
    for k, entry in enumerate(figures["shown"]):
        populations[f"input_{k}"] = events(rng, 400, int(np.prod(shape)), entry["duration"], shape)
        populations[f"liquid_{k}"] = events(rng, 300, 50, entry["duration"])
    return populations


def write(run: Path, figures: dict[str, Any] | None = None) -> Path:
    """Write the folder of a whole run with these metrics, or those of `metrics`."""
    if figures is None:
        figures = metrics()
    run.mkdir(parents=True, exist_ok=True)
    write_json(run / "metrics.json", figures)
    write_json(run / "manifest.json", manifest())
    write_toml(run / "config.toml", {"seed": 3, "data": {"name": "made-up"}})
    write_sonata(run / "spikes.h5", spikes(figures))
    return run
