"""Accuracy and speed of the default liquid, over seeds, beside a linear readout of the input's event counts.

    NEUROSIM_DATA=FOLDER python benchmarks/liquid.py [--seeds 5] [--json] [nmnist shd digits]

`shd` reads $NEUROSIM_DATA/FSDD-SHD where that exists, and is then named so. Validation is the last fifth of the training
recordings, read by a readout trained on the rest; the test set takes no part in any choice.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path

import numpy as np
from machine import describe
from sklearn.linear_model import RidgeClassifier
from tqdm import tqdm

from neurosim import Recordings, catalog
from neurosim.liquid import Liquid, Readout

ADAPT = 90


def data(name: str) -> tuple[str, Recordings, Recordings]:
    root = Path(os.environ.get("NEUROSIM_DATA", "")) / "FSDD-SHD"
    fsdd = name == "shd" and root.is_dir()
    train, test = (catalog.load(name, split, root if fsdd else None) for split in ("train", "test"))
    return "FSDD-SHD" if fsdd else name, train, test


def linear(train: Recordings, test: Recordings) -> float:
    """Accuracy of a ridge readout of the square root of each input unit's event count."""
    x, y = np.sqrt(train.counts()), np.sqrt(test.counts())
    scale = x.std(axis=0) + 0.3 * x.std(axis=0).mean()
    z = (x - x.mean(axis=0)) / scale
    model = RidgeClassifier(alpha=0.2 * float((z**2).sum(axis=1).mean())).fit(z, train.labels)
    return float(model.score((y - x.mean(axis=0)) / scale, test.labels))


def once(train: Recordings, test: Recordings, seed: int) -> dict[str, float]:
    start = time.perf_counter()
    every = np.arange(len(train))
    liquid = Liquid(train.shape, seed=seed).adapt(train.select(every[:: max(1, len(every) // ADAPT)]))
    learned, played = liquid.run(train), liquid.run(test)
    a, b = learned.spikes["liquid"], played.spikes["liquid"]
    accuracy = float((Readout().fit(a, train.labels).predict(b) == test.labels).mean())
    seconds = time.perf_counter() - start
    held = every >= 0.8 * len(every)
    partial = Readout().fit(a.select(~held), train.labels[~held])
    validation = float((partial.predict(a.select(held)) == train.labels[held]).mean())
    factor = (learned.run_s + played.run_s) / (learned.duration + played.duration)
    return {"validation": validation, "test": accuracy, "seconds": seconds, "real_time_factor": factor}


def measure(name: str, seeds: int) -> dict:
    title, train, test = data(name)
    runs = [once(train, test, seed) for seed in tqdm(range(seeds), desc=title, file=sys.stderr)]
    row = {"dataset": title, "train": len(train), "test_recordings": len(test), "seeds": seeds}
    for key in ("validation", "test"):
        values = [run[key] for run in runs]
        row[key] = {"mean": float(np.mean(values)), "sd": float(np.std(values, ddof=1)) if seeds > 1 else 0.0}
    for key in ("seconds", "real_time_factor"):
        row[key] = float(np.median([run[key] for run in runs]))
    return {**row, "linear_on_counts_test": linear(train, test)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("datasets", nargs="*", default=["nmnist", "shd", "digits"])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = [measure(name, options.seeds) for name in options.datasets]
    if options.json:
        print(json.dumps({"machine": describe(), "rows": rows}))
        return
    print(describe())
    print(f"{'dataset':12}{'validation':>16}{'test':>16}{'linear, test':>14}{'seconds':>9}{'real-time factor':>18}")
    for row in rows:
        scores = "".join(f"{row[k]['mean']:9.3f} +- {row[k]['sd']:.3f}" for k in ("validation", "test"))
        print(
            f"{row['dataset']:12}{scores}{row['linear_on_counts_test']:14.3f}{row['seconds']:9.1f}"
            f"{row['real_time_factor']:18.4f}"
        )


if __name__ == "__main__":
    main()
