"""What is in the folder of a run, and results without times."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

# Wall-clock times and the run's own name.
TIMED = {
    "timings",
    "run",
    "seconds",
    "layer_seconds",
    "real_time_factor",
    "run_s",
    "build_s",
    "measured_energy",
    # Of a conversion: both ways to run it, and a token of each model.
    "executed_seconds",
    "simulated_seconds",
    "speed",
    # Figures of a sweep's cells, by label.
    "Real-time factor",
    "Energy measured",
    "store_seconds",
    "recall_seconds",
}


def manifest(run: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Path(run, "manifest.json").read_text())
    return found


def untimed(tree: Any) -> Any:
    """The tree without wall-clock times."""
    if isinstance(tree, dict):
        return {key: untimed(value) for key, value in tree.items() if key not in TIMED}
    if isinstance(tree, list):
        return [untimed(value) for value in tree]
    return tree
