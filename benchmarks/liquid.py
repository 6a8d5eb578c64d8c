"""Accuracy and speed of the default liquid, over seeds, beside logistic regression on the input's event counts.

    NEUROSIM_DATA=FOLDER python benchmarks/liquid.py [--seeds 5] [--json] [nmnist shd digits]
    NEUROSIM_DATA=FOLDER python benchmarks/liquid.py --noise nmnist     in resistive memory, against its noise
    NEUROSIM_DATA=FOLDER python benchmarks/liquid.py --readouts nmnist  every readout on the same spikes
    NEUROSIM_DATA=FOLDER python benchmarks/liquid.py --transductive shd [--seeds 3]    readouts standardised by speaker,
        each training speaker left out in turn, and the official split; and liquids whose scores are summed

`shd` reads $NEUROSIM_DATA/FSDD-SHD where that exists, and is then named so. Validation is every fifth training
recording, read by a readout trained on the others; the test set takes no part in any choice. Where recordings name
their speaker, each speaker of the training set is also left out in turn. The measures of the liquid itself
(neurosim/liquid/quality.py) are of the test recordings.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
from machine import describe
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from tqdm import tqdm

from neurosim import Recordings, catalog
from neurosim.liquid import Liquid, Readout
from neurosim.liquid.quality import Quality, generalisation_rank, quality
from neurosim.liquid.readout import CLASSIFIERS

ADAPT = 90
# Spread of the logarithm of a conductance once written, and of a read as a fraction of the weight.
NOISES = [(0.0, 0.0), *((w, 0.0) for w in (0.1, 0.3, 1.0)), *((0.0, r) for r in (0.1, 0.3, 1.0)), (0.3, 0.3)]
# Kinds of readout, and the group by which they are standardised.
GROUPED = (("ridge", ""), ("ridge", "speaker"), ("ann", "speaker"))
SCORES = ("validation", "test", "speaker")
QUALITIES = (*(field.name for field in fields(Quality)), "generalisation_rank")


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


def adapted(train: Recordings, seed: int, write: float = 0.0, read: float = 0.0) -> Liquid:
    every = np.arange(len(train))
    made = Liquid(train.shape, seed=seed, write_noise=write, read_noise=read)
    return made.adapt(train.select(every[:: max(1, len(every) // ADAPT)]))


def reader(name: str, seed: int, kind: str | None = None) -> Readout:
    """The readout that `neurosim simulate` gives the dataset, or another kind of it."""
    settings = catalog.datasets()[name].defaults.get("readout", {})
    return Readout(**{**settings, "seed": seed, **({"kind": kind} if kind else {})})


def once(readout: Readout, train: Recordings, test: Recordings, seed: int) -> dict[str, float]:
    start = time.perf_counter()
    every = np.arange(len(train))
    liquid = adapted(train, seed)
    learned, played = liquid.run(train), liquid.run(test)
    a, b = learned.spikes["liquid"], played.spikes["liquid"]
    accuracy = float((readout.fit(a, train.labels).predict(b) == test.labels).mean())
    seconds = time.perf_counter() - start
    held = every % 5 == 4
    partial = readout.fit(a.select(~held), train.labels[~held])
    validation = float((partial.predict(a.select(held)) == train.labels[held]).mean())
    factor = (learned.run_s + played.run_s) / (learned.duration + played.duration)
    found = {"validation": validation, "test": accuracy, "seconds": seconds, "real_time_factor": factor}
    about = quality(liquid, test, b)
    found |= {name: value for name, value in about.to_dict().items() if value is not None}
    found["generalisation_rank"] = generalisation_rank(liquid, test, n=about.states)
    return {**found, "speaker": strangers(readout, train, a)} if "speaker" in train.groups else found


def strangers(readout: Readout, train: Recordings, spikes: Recordings) -> float:
    """Mean accuracy on a speaker whom the readout never heard."""
    return float(np.mean(by_speaker(train, left_out(readout, train, spikes))))


def left_out(readout: Readout, train: Recordings, spikes: Recordings) -> NDArray[np.float64]:
    """[n, classes] scores of each recording by a readout that never heard its speaker."""
    speaker, found = np.asarray(train.groups["speaker"]), np.empty((len(train), len(train.classes)))
    for who in np.unique(speaker):
        trained = readout.fit(spikes.select(speaker != who), train.labels[speaker != who])
        found[speaker == who] = trained.scores(spikes.select(speaker == who))
    return found


def by_speaker(train: Recordings, scores: NDArray[np.float64]) -> list[float]:
    """Accuracy on each speaker."""
    right, speaker = scores.argmax(axis=1) == train.labels, np.asarray(train.groups["speaker"])
    return [float(right[speaker == who].mean()) for who in np.unique(speaker)]


def measure(name: str, seeds: int) -> dict:
    title, train, test = data(name)
    runs = [once(reader(name, seed), train, test, seed) for seed in tqdm(range(seeds), desc=title, file=sys.stderr)]
    neurons = Liquid(train.shape).neurons
    row = {"dataset": title, "neurons": neurons, "train": len(train), "test_recordings": len(test), "seeds": seeds}
    for key in (key for key in SCORES if key in runs[0]):
        row[key] = spread([run[key] for run in runs])
    for key in (key for key in runs[0] if key not in SCORES):
        row[key] = float(np.median([run[key] for run in runs]))
    return {**row, "linear_on_counts_test": linear(train, test)}


def spread(values: list[float]) -> dict[str, float]:
    return {"mean": float(np.mean(values)), "sd": float(np.std(values, ddof=1)) if len(values) > 1 else 0.0}


def against_noise(name: str, seeds: int) -> list[dict]:
    """Test accuracy of liquids whose weights lie in resistive memory, the readout trained on what they do."""
    title, train, test = data(name)
    rows = []
    for write, read in tqdm(NOISES, desc=title, file=sys.stderr):
        scores = []
        for seed in range(seeds):
            liquid = adapted(train, seed, write, read)
            a, b = (liquid.run(recordings).spikes["liquid"] for recordings in (train, test))
            scores.append(float((reader(name, seed).fit(a, train.labels).predict(b) == test.labels).mean()))
        rows.append(
            {"dataset": title, "seeds": seeds, "write_noise": write, "read_noise": read, "test": spread(scores)}
        )
    return rows


def of_readouts(name: str, seeds: int) -> list[dict]:
    """Validation and test accuracy of every readout on the same spikes."""
    title, train, test = data(name)
    held = np.arange(len(train)) % 5 == 4
    scores: dict[str, list[tuple[float, float]]] = {}
    for seed in tqdm(range(seeds), desc=title, file=sys.stderr):
        liquid = adapted(train, seed)
        a, b = (liquid.run(recordings).spikes["liquid"] for recordings in (train, test))
        for kind in CLASSIFIERS:
            readout = reader(name, seed, kind)
            partial = readout.fit(a.select(~held), train.labels[~held]).predict(a.select(held))
            whole = readout.fit(a, train.labels).predict(b)
            pair = float((partial == train.labels[held]).mean()), float((whole == test.labels).mean())
            scores.setdefault(kind, []).append(pair)
    return [
        {
            "dataset": title,
            "seeds": seeds,
            "readout": kind,
            "validation": spread([v for v, _ in pairs]),
            "test": spread([t for _, t in pairs]),
        }
        for kind, pairs in scores.items()
    ]


def of_groups(name: str, seeds: int) -> list[dict]:
    """Strangers and the official split by readouts with and without standardisation by speaker, on the same spikes."""
    title, train, test = data(name)
    scores: dict[tuple[str, str], list[tuple[NDArray, NDArray]]] = {(k, g): [] for k, g in GROUPED}
    for seed in tqdm(range(seeds), desc=title, file=sys.stderr):
        liquid = adapted(train, seed)
        a, b = (liquid.run(recordings).spikes["liquid"] for recordings in (train, test))
        for (kind, group), pairs in scores.items():
            readout = replace(reader(name, seed, kind), transductive=group)
            pairs.append((left_out(readout, train, a), readout.fit(a, train.labels).scores(b)))
    rows = []
    for (kind, group), pairs in scores.items():
        sums = sum(strange for strange, _ in pairs), sum(known for _, known in pairs)
        rows.append(
            {
                "dataset": title,
                "seeds": seeds,
                "readout": kind,
                "standardised by": group or "nothing",
                "speaker": spread([float(np.mean(by_speaker(train, strange))) for strange, _ in pairs]),
                "test": spread([float((known.argmax(axis=1) == test.labels).mean()) for _, known in pairs]),
                "all seeds summed, speaker": round(float(np.mean(by_speaker(train, sums[0]))), 4),
                "each": [round(value, 3) for value in by_speaker(train, sums[0])],
                "all seeds summed, test": round(float((sums[1].argmax(axis=1) == test.labels).mean()), 4),
            }
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("datasets", nargs="*", default=["nmnist", "shd", "digits"])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--noise", action="store_true", help="accuracy against the noise of resistive memory instead")
    parser.add_argument("--readouts", action="store_true", help="every readout on the same spikes instead")
    parser.add_argument("--transductive", action="store_true", help="readouts standardised by speaker instead")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    threads = os.cpu_count() or 1
    if options.noise or options.readouts or options.transductive:
        study = against_noise if options.noise else of_readouts if options.readouts else of_groups
        rows = [row for name in options.datasets for row in study(name, options.seeds)]
        print(json.dumps({"machine": describe(threads), "rows": rows}) if options.json else "\n".join(map(_line, rows)))
        return
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
        print("    " + ", ".join(f"{name} {row[name]:.4g}" for name in QUALITIES if name in row))


def _line(row: dict) -> str:
    return "  ".join(
        f"{name} {value['mean']:.3f} +- {value['sd']:.3f}" if isinstance(value, dict) else f"{name} {value}"
        for name, value in row.items()
    )


if __name__ == "__main__":
    main()
