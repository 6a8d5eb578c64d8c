"""Fit reservoirpy's echo-state network to series and print its errors and times as JSON.

    python run_reservoirpy.py SERIES.npz

The file has, for each name of a series, NAME/input [values, 1], NAME/targets [values, horizons], NAME/settings (units,
spectral radius, leak, input scaling, share of connections, seed) and NAME/parts: washout, begin of the validation part,
end of training, begin and end of the test. The ridge penalty of each horizon is chosen on the validation part.
"""

from __future__ import annotations

import argparse
import json
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from reservoirpy.nodes import Reservoir, Ridge

RIDGES = tuple(10.0**k for k in range(-12, 2))


def run(values: NDArray, targets: NDArray, settings: NDArray, parts: NDArray) -> tuple[list[float], float]:
    """Return the NRMSE of each horizon on the test part, and the seconds of running the reservoir over all values."""
    units, radius, leak, scaling, share, seed = settings.tolist()
    washout, cut, end, begin, last = parts.astype(int).tolist()
    reservoir = Reservoir(
        units=int(units), sr=radius, lr=leak, input_scaling=scaling, rc_connectivity=share, seed=int(seed)
    )
    start = time.perf_counter()
    states = np.hstack([reservoir.run(values), values])
    spent = time.perf_counter() - start
    errors = []
    for column in targets.T[:, :, None]:
        chosen = min(RIDGES, key=lambda ridge: error(states, column, ridge, (washout, cut), (cut, end)))
        errors.append(error(states, column, chosen, (washout, end), (begin, last)))
    return errors, spent


def error(states: NDArray, target: NDArray, ridge: float, train: tuple[int, int], test: tuple[int, int]) -> float:
    """Return the NRMSE on [test) of a readout that was fitted to [train)."""
    readout = Ridge(ridge=ridge).fit(states[slice(*train)], target[slice(*train)])
    wanted = target[slice(*test)]
    difference = readout.run(states[slice(*test)]) - wanted
    return float(np.sqrt((difference**2).mean()) / wanted.std())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("series", type=Path, help="series, settings and parts")
    options = parser.parse_args()
    content = np.load(options.series)
    names = sorted({name.split("/")[0] for name in content.files})
    found = {}
    for name in names:
        errors, seconds = run(*(content[f"{name}/{part}"] for part in ("input", "targets", "settings", "parts")))
        found[name] = {"errors": errors, "seconds": seconds}
    print(json.dumps({"version": version("reservoirpy"), "series": found}))


if __name__ == "__main__":
    main()
