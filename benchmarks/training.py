"""Accuracy of trained spiking networks with the default settings of `neurosim train`, over seeds.

    NEUROSIM_DATA=FOLDER python benchmarks/training.py [nmnist shd speakers digits] [--seeds 3] [--json]
    NEUROSIM_DATA=FOLDER python benchmarks/training.py nmnist --folds 5 [--parts 4 5] [--seeds 1] [--json]

`shd` reads $NEUROSIM_DATA/FSDD-SHD where that exists, and is then named so. Settings were chosen on validation parts of
the training recordings; the test set is looked at once, by the network that validation kept. `speakers` leaves each
speaker of the training set out in turn: a network trained on the training recordings of the others, tested on all of
that speaker's. Where recordings name speakers, validation is on one who is not trained on; with `--set
validation.speakers=shared` speakers are on both sides, as in figures before. Beside each is the same network in the
event-driven engine: its accuracy, its operations, and (--json) its energy estimate; with `--set attention.kind=gla`
attention layers are trained, and beside them are the same in spikes. With `--set members=3` the scores of three
networks are summed; each network's own accuracy is in --json.

`--folds 5` estimates the accuracy on other recordings of the kind and leaves the test set alone: each fifth of the
training recordings is answered by a network trained on the others, with no choice by it (`validation.fraction` is 0).
`--parts 4 5` runs two of these fifths. `wrong` in --json lists the recordings of a part that the engine, or the network
in spikes, answers wrongly; `benchmarks/paired.py` compares two networks by it, recording by recording, and sums the
`scores` of both.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import frame
import numpy as np
import torch
from machine import describe
from tqdm import tqdm

from neurosim import Recordings
from neurosim.app.runs.frame.options import RunOptions
from neurosim.app.runs.train.attention import run_in_spikes
from neurosim.app.runs.train.config import TrainConfig
from neurosim.app.runs.train.run import fit
from neurosim.base.measure import estimates
from neurosim.data import catalog
from neurosim.engine import LayerCounts, measure
from neurosim.learning import AttentionNet, Binning, EventNet, SpikingNet
from neurosim.learning.training.scoring import scores

SETS = ("nmnist", "shd", "speakers", "digits")


def data(name: str) -> tuple[str, Recordings, Recordings]:
    root = Path(os.environ.get("NEUROSIM_DATA", "")) / "FSDD-SHD"
    fsdd = name == "shd" and root.is_dir()
    train, test = (catalog.load(name, part, root if fsdd else None) for part in ("train", "test"))
    return "FSDD-SHD" if fsdd else name, train, test


def trained(config: TrainConfig, train: Recordings, test: Recordings) -> dict[str, Any]:
    """One run from its seed to what the engine makes of it; of several members the sums of scores and work."""
    start = time.perf_counter()
    members = fit(config, train, RunOptions(), None, None)
    seconds = time.perf_counter() - start
    each = [scores(member.net, member.trainer.binning, test) for member in members]
    again: np.ndarray = np.zeros(each[0].shape)
    layers: list[LayerCounts] = []
    for member in members:
        run = in_engine if isinstance(member.net, SpikingNet) else in_spikes
        answers, work = run(member.net, member.trainer.binning, test)
        again += answers
        layers += work
    said = sum(each[1:], each[0]).argmax(axis=1)
    wrong = np.flatnonzero(again.argmax(axis=1) != test.labels)
    done = measure(layers, len(test), float(test.durations.sum()), len(test.ticks)).synaptic_operations
    energy = estimates.energy(layers, len(test)).memory_aware
    course = members[0].trainer.state
    return {
        "validation": course.history[course.best - 1].validation_accuracy,
        "test": float(np.mean(said == test.labels)),
        "members": [float(np.mean(one.argmax(axis=1) == test.labels)) for one in each],
        "engine": 1 - len(wrong) / len(test),
        "wrong": wrong.tolist(),
        "scores": again.tolist(),
        "labels": test.labels.tolist(),
        "epochs": course.epoch,
        "seconds": seconds,
        "operations": done.effective,
        "dense_operations": done.Dense,
        "energy_j": [energy.low, energy.high],
        "parameters": sum(p.numel() for member in members for p in member.net.parameters()),
    }


def in_engine(net: SpikingNet, binning: Binning, test: Recordings) -> tuple[np.ndarray, list[LayerCounts]]:
    event = EventNet.of(net, binning.max_count)
    result = event.run(binning.recordings(test), count_updates=True)
    return event.scores(result), list(result.work)


def in_spikes(net: AttentionNet, binning: Binning, test: Recordings) -> tuple[np.ndarray, list[LayerCounts]]:
    found = run_in_spikes(net, binning, test, None, torch.get_num_threads())
    return found.scores, found.layers


def parts_in_turn(labels: np.ndarray, folds: int) -> np.ndarray:
    """[n] the part of each recording, each class divided alike."""
    part = np.empty(len(labels), int)
    draws = np.random.default_rng(12345)
    for label in np.unique(labels):
        mine = np.flatnonzero(labels == label)
        part[draws.permutation(mine)] = np.arange(len(mine)) % folds
    return part


def sets(name: str, folds: int, parts: list[int]) -> Iterator[tuple[str, str, Recordings, Recordings]]:
    """Title, dataset, training and test recordings of each training that a set has for a seed."""
    title, train, test = data("shd" if name == "speakers" else name)
    if folds:
        part = parts_in_turn(np.asarray(train.labels), folds)
        for k in parts or range(1, folds + 1):
            yield f"{title}, part {k} of {folds}", name, train.select(part != k - 1), train.select(part == k - 1)
        return
    if name != "speakers":
        yield title, name, train, test
        return
    speaker = np.asarray(train.groups["speaker"])
    for who in np.unique(speaker):
        yield f"{title}, speaker {who} held out", "shd", train.select(speaker != who), train.select(speaker == who)


def show(rows: list[dict[str, Any]]) -> list[str]:
    cells = []
    for row in rows:
        runs = row["runs"]
        spread = [mean_and_sd([run[key] for run in runs]) for key in ("validation", "test", "engine")]
        operations = float(np.mean([run["operations"] for run in runs]))
        fewer = float(np.mean([run["dense_operations"] for run in runs])) / operations
        seconds = float(np.median([run["seconds"] for run in runs]))
        work = [f"{operations:.3g}", f"{fewer:.1f}", f"{seconds:.0f}"]
        cells.append([row["title"], spread[0], spread[1], spread[2].split(" ")[0], *work])
    for chosen in dict.fromkeys(row["set"] for row in rows):
        parts = [row for row in rows if row["set"] == chosen]
        if len(parts) > 1:
            weights = [row["tested"] for row in parts]
            test, engine = (
                np.average([[run[key] for run in row["runs"]] for row in parts], 0, weights)
                for key in ("test", "engine")
            )
            cells.append(
                ["mean over what was left out", "", mean_and_sd(list(test)), f"{np.mean(engine):.3f}", "", "", ""]
            )
    return frame.table(["recordings", "validation", "test", "engine", "operations", "fewer", "seconds"], cells)


def mean_and_sd(values: list[float | None]) -> str:
    known = [value for value in values if value is not None]
    if not known:
        return "-"
    spread = np.std(known, ddof=1) if len(known) > 1 else 0.0
    return f"{np.mean(known):.3f} +- {spread:.3f}"


def main() -> None:
    parser = frame.arguments(__doc__, seeds=3)
    parser.add_argument("sets", nargs="*", default=list(SETS[:3]), metavar="set", help=", ".join(SETS))
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--folds", type=int, default=0, help="parts of the training recordings to answer in turn")
    parser.add_argument("--parts", type=int, nargs="+", default=[], metavar="N", help="those of --folds to run, from 1")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="as neurosim train")
    options = parser.parse_args()
    if not all(1 <= part <= options.folds for part in options.parts):
        parser.error(f"--parts: must be from 1 to --folds, {options.folds} (got {options.parts})")
    if options.folds:
        options.set += ["validation.fraction=0"]
    rows = []
    for chosen in options.sets:
        for title, name, train, test in sets(chosen, options.folds, options.parts):
            runs = []
            for seed in tqdm(range(options.first_seed, options.first_seed + options.seeds), title, file=sys.stderr):
                config = TrainConfig.configure(None, options.set, {"data.name": name, "seed": seed})
                runs.append(trained(config, train, test))
                frame.say(f"{title} {seed} {json.dumps(runs[-1])}")
            rows.append({"set": chosen, "title": title, "train": len(train), "tested": len(test), "runs": runs})
    frame.report(options, show(rows), {"rows": rows}, describe(torch.get_num_threads()))


if __name__ == "__main__":
    main()
