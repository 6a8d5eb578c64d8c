"""Accuracy and speed of the default liquid, over seeds, beside logistic regression on the input's event counts.

    NEUROSIM_DATA=FOLDER python benchmarks/liquid.py [--seeds 5] [--json] [nmnist shd digits]

`shd` reads $NEUROSIM_DATA/FSDD-SHD where that exists, and is then named so. Validation is every fifth training
recording, read by a readout trained on the others; the test set takes no part in any choice. Where recordings name
their speaker, each speaker of the training set is also left out in turn.
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
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from tqdm import tqdm

from neurosim import Recordings, catalog
from neurosim.liquid import Liquid, Readout

ADAPT = 90
SCORES = ("validation", "test", "speaker")


def data(name: str) -> tuple[str, Recordings, Recordings]:
    root = Path(os.environ.get("NEUROSIM_DATA", "")) / "FSDD-SHD"
    fsdd = name == "shd" and root.is_dir()
    train, test = (catalog.load(name, split, root if fsdd else None) for split in ("train", "test"))
    return "FSDD-SHD" if fsdd else name, train, test


def linear(train: Recordings, test: Recordings) -> float:
    """Accuracy of logistic regression on each input unit's event count, its penalty by cross-validation."""
    search = GridSearchCV(LogisticRegression(max_iter=200), {"C": [1e-3, 3e-3, 1e-2, 3e-2, 1e-1]}, cv=3)
    model = make_pipeline(StandardScaler(), search).fit(train.counts(), train.labels)
    return float(model.score(test.counts(), test.labels))


def once(train: Recordings, test: Recordings, seed: int) -> dict[str, float]:
    start = time.perf_counter()
    every = np.arange(len(train))
    liquid = Liquid(train.shape, seed=seed).adapt(train.select(every[:: max(1, len(every) // ADAPT)]))
    learned, played = liquid.run(train), liquid.run(test)
    a, b = learned.spikes["liquid"], played.spikes["liquid"]
    accuracy = float((Readout().fit(a, train.labels).predict(b) == test.labels).mean())
    seconds = time.perf_counter() - start
    held = every % 5 == 4
    partial = Readout().fit(a.select(~held), train.labels[~held])
    validation = float((partial.predict(a.select(held)) == train.labels[held]).mean())
    factor = (learned.run_s + played.run_s) / (learned.duration + played.duration)
    found = {"validation": validation, "test": accuracy, "seconds": seconds, "real_time_factor": factor}
    return {**found, "speaker": strangers(train, a)} if "speaker" in train.groups else found


def strangers(train: Recordings, spikes: Recordings) -> float:
    """Mean accuracy on a speaker whom the readout never heard."""
    speaker = np.asarray(train.groups["speaker"])
    scores = []
    for who in np.unique(speaker):
        readout = Readout().fit(spikes.select(speaker != who), train.labels[speaker != who])
        scores.append((readout.predict(spikes.select(speaker == who)) == train.labels[speaker == who]).mean())
    return float(np.mean(scores))


def measure(name: str, seeds: int) -> dict:
    title, train, test = data(name)
    runs = [once(train, test, seed) for seed in tqdm(range(seeds), desc=title, file=sys.stderr)]
    neurons = Liquid(train.shape).neurons
    row = {"dataset": title, "neurons": neurons, "train": len(train), "test_recordings": len(test), "seeds": seeds}
    for key in (key for key in SCORES if key in runs[0]):
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
    threads = os.cpu_count() or 1
    rows = [measure(name, options.seeds) for name in options.datasets]
    if options.json:
        print(json.dumps({"machine": describe(threads), "rows": rows}))
        return
    print(json.dumps(describe(threads)))
    heads = "".join(f"{name:>16}" for name in SCORES)
    print(f"{'dataset':12}{'neurons':>8}{heads}{'linear, test':>14}{'seconds':>9}{'real-time factor':>18}")
    for row in rows:
        shown = (f"{row[k]['mean']:.3f} +- {row[k]['sd']:.3f}" if k in row else "-" for k in SCORES)
        scores = "".join(f"{text:>16}" for text in shown)
        print(
            f"{row['dataset']:12}{row['neurons']:8}{scores}{row['linear_on_counts_test']:14.3f}{row['seconds']:9.1f}"
            f"{row['real_time_factor']:18.4f}"
        )


if __name__ == "__main__":
    main()
