"""Accuracy and speed of the default liquid, over seeds, beside logistic regression on the input's event counts.

    NEUROSIM_DATA=FOLDER python benchmarks/liquid.py [--seeds 5] [--json] [nmnist shd digits]
    NEUROSIM_DATA=FOLDER python benchmarks/liquid.py --noise nmnist     in resistive memory, against its noise
    NEUROSIM_DATA=FOLDER python benchmarks/liquid.py --readouts nmnist  every readout on the same spikes
    NEUROSIM_DATA=FOLDER python benchmarks/liquid.py --transductive shd [--seeds 3]
        readouts standardised by speaker, and self-trained, each training speaker left out in turn, and the official
        split; liquids whose scores are summed; and strangers of whom fewer recordings, or only some classes, come
        together; --neurons 3000 makes a wider liquid, --input-groups 140 has groups of the input read beside it

`shd` reads $NEUROSIM_DATA/FSDD-SHD where that exists, and is then named so. Validation is every fifth training
recording, read by a readout trained on the others; the test set takes no part in any choice. Where recordings name
their speaker, each speaker of the training set is also left out in turn. The measures of the liquid itself
(neurosim/learning/liquid/quality.py) are of the test recordings.
"""

from __future__ import annotations

import os
import sys
import time
from dataclasses import fields, replace
from functools import partial
from pathlib import Path
from typing import Any

import frame
import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from tqdm import tqdm

from neurosim import Recordings
from neurosim.data import catalog
from neurosim.learning import Liquid, Readout, TrainedReadout
from neurosim.learning.liquid.classifiers import CLASSIFIERS
from neurosim.learning.liquid.quality import Quality, generalisation_rank, measure_quality

ADAPT = 90
# Spread of the logarithm of a conductance once written, and of a read as a fraction of the weight.
NOISES = [(0.0, 0.0), *((w, 0.0) for w in (0.1, 0.3, 1.0)), *((0.0, r) for r in (0.1, 0.3, 1.0)), (0.3, 0.3)]
# Kinds of readout, and the group by which they are standardised.
GROUPED = (("ridge", ""), ("ridge", "speaker"), ("ann", "speaker"))
FEWER = (20, 50, 100, 200)  # recordings of a stranger that come together
SCORES = ("validation", "test", "speaker")
QUALITIES = (*(field.name for field in fields(Quality)), "generalisation_rank")


def load_both(name: str) -> tuple[str, Recordings, Recordings]:
    root = Path(os.environ.get("NEUROSIM_DATA", "")) / "FSDD-SHD"
    fsdd = name == "shd" and root.is_dir()
    train, test = (catalog.load(name, split, root if fsdd else None) for split in ("train", "test"))
    return "FSDD-SHD" if fsdd else name, train, test


def linear_accuracy(train: Recordings, test: Recordings) -> float:
    """Accuracy of logistic regression on each input unit's event count, its penalty by cross-validation."""
    search = GridSearchCV(LogisticRegression(max_iter=200), {"C": [1e-3, 3e-3, 1e-2, 3e-2, 1e-1]}, cv=3)
    model = make_pipeline(StandardScaler(), search).fit(train.counts(), train.labels)
    return float(model.score(test.counts(), test.labels))


def adapted_liquid(train: Recordings, seed: int, **settings: Any) -> Liquid:
    every = np.arange(len(train))
    made = Liquid(train.shape, seed=seed, **settings)
    return made.adapt(train.select(every[:: max(1, len(every) // ADAPT)]))


def readout_for(name: str, seed: int, kind: str | None = None) -> Readout:
    """The readout that `neurosim simulate` gives the dataset, or another kind of it."""
    settings = catalog.datasets()[name].defaults.get("readout", {})
    return Readout(**{**settings, "seed": seed, **({"kind": kind} if kind else {})})


def measure_seed(readout: Readout, train: Recordings, test: Recordings, seed: int) -> dict[str, float]:
    start = time.perf_counter()
    liquid = adapted_liquid(train, seed)
    learned = liquid.run(train)
    played = liquid.run(test)
    train_spikes = learned.spikes["liquid"]
    test_spikes = played.spikes["liquid"]
    accuracy = test_accuracy(readout, train_spikes, train, test_spikes, test)
    seconds = time.perf_counter() - start
    validation = validation_accuracy(readout, train_spikes, train)
    factor = (learned.run_s + played.run_s) / (learned.duration + played.duration)
    figures = {"validation": validation, "test": accuracy, "seconds": seconds, "real_time_factor": factor}
    quality = measure_quality(liquid, test, test_spikes)
    figures |= {name: value for name, value in quality.to_dict().items() if value is not None}
    figures["generalisation_rank"] = generalisation_rank(liquid, test, n=quality.states)
    if "speaker" in train.groups:
        figures["speaker"] = strangers(readout, train, train_spikes)
    return figures


def spikes_of(liquid: Liquid, recordings: Recordings) -> Recordings:
    return liquid.run(recordings).spikes["liquid"]


def validation_accuracy(readout: Readout, spikes: Recordings, train: Recordings) -> float:
    """Return the accuracy on every fifth training recording of a readout that is fitted to the others."""
    held_out = np.arange(len(train)) % 5 == 4
    trained = readout.fit(spikes.select(~held_out), train.labels[~held_out])
    return float((trained.predict(spikes.select(held_out)) == train.labels[held_out]).mean())


def test_accuracy(
    readout: Readout, train_spikes: Recordings, train: Recordings, test_spikes: Recordings, test: Recordings
) -> float:
    return float((readout.fit(train_spikes, train.labels).predict(test_spikes) == test.labels).mean())


def strangers(readout: Readout, train: Recordings, spikes: Recordings) -> float:
    """Mean accuracy on a speaker whom the readout never heard."""
    trained = [readout.fit(spikes.select(rows), train.labels[rows]) for _, rows in without_each(train)]
    return float(np.mean(by_speaker(train, left_out(trained, train, spikes))))


def without_each(train: Recordings) -> list[tuple[int, NDArray[np.bool]]]:
    """Each speaker, and the recordings of the others."""
    speaker = np.asarray(train.groups["speaker"])
    return [(int(who), speaker != who) for who in np.unique(speaker)]


def left_out(trained: list[TrainedReadout], train: Recordings, spikes: Recordings) -> NDArray[np.float64]:
    """[n, classes] scores of each recording by the readout that never heard its speaker."""
    scores = np.empty((len(train), len(train.classes)))
    for each, (_, rows) in zip(trained, without_each(train), strict=True):
        scores[~rows] = each.scores(spikes.select(~rows))
    return scores


def by_speaker(train: Recordings, scores: NDArray[np.float64]) -> list[float]:
    """Accuracy on each speaker."""
    right = scores.argmax(axis=1) == train.labels
    speaker = np.asarray(train.groups["speaker"])
    return [float(right[speaker == who].mean()) for who in np.unique(speaker)]


def measure(name: str, seeds: int) -> dict:
    title, train, test = load_both(name)
    runs = [
        measure_seed(readout_for(name, seed), train, test, seed)
        for seed in tqdm(range(seeds), desc=title, file=sys.stderr)
    ]
    neurons = Liquid(train.shape).neurons
    row = {"dataset": title, "neurons": neurons, "train": len(train), "test_recordings": len(test), "seeds": seeds}
    for key in (key for key in SCORES if key in runs[0]):
        row[key] = spread([run[key] for run in runs])
    for key in (key for key in runs[0] if key not in SCORES):
        row[key] = float(np.median([run[key] for run in runs]))
    return {**row, "linear_on_counts_test": linear_accuracy(train, test)}


def spread(values: list[float]) -> dict[str, float]:
    return {"mean": float(np.mean(values)), "sd": float(np.std(values, ddof=1)) if len(values) > 1 else 0.0}


def compare_noise(name: str, seeds: int) -> list[dict]:
    """Return test accuracies of liquids whose weights lie in resistive memory, the readout trained on their spikes."""
    title, train, test = load_both(name)
    rows = []
    for write, read in tqdm(NOISES, desc=title, file=sys.stderr):
        scores = []
        for seed in range(seeds):
            liquid = adapted_liquid(train, seed, write_noise=write, read_noise=read)
            train_spikes = spikes_of(liquid, train)
            scores.append(test_accuracy(readout_for(name, seed), train_spikes, train, spikes_of(liquid, test), test))
        rows.append(
            {"dataset": title, "seeds": seeds, "write_noise": write, "read_noise": read, "test": spread(scores)}
        )
    return rows


def compare_readouts(name: str, seeds: int) -> list[dict]:
    """Return validation and test accuracy of every readout on the same spikes."""
    title, train, test = load_both(name)
    scores: dict[str, list[tuple[float, float]]] = {}
    for seed in tqdm(range(seeds), desc=title, file=sys.stderr):
        liquid = adapted_liquid(train, seed)
        train_spikes = spikes_of(liquid, train)
        test_spikes = spikes_of(liquid, test)
        for kind in CLASSIFIERS:
            readout = readout_for(name, seed, kind)
            validation = validation_accuracy(readout, train_spikes, train)
            tested = test_accuracy(readout, train_spikes, train, test_spikes, test)
            scores.setdefault(kind, []).append((validation, tested))
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


def compare_standardisations(name: str, seeds: int, settings: dict[str, int]) -> list[dict]:
    """Return accuracies on strangers and on the test set, on the same spikes: readouts with and without
    standardisation by speaker, and with and without a second readout of each speaker."""
    title, train, test = load_both(name)
    scores: dict[tuple[str, str, bool], list[tuple[NDArray, NDArray]]] = {}
    parts: dict[str, list[list[float]]] = {}
    for seed in tqdm(range(seeds), desc=title, file=sys.stderr):
        liquid = adapted_liquid(train, seed, **settings)
        train_spikes = liquid.read(spikes_of(liquid, train), train)
        test_spikes = liquid.read(spikes_of(liquid, test), test)
        for kind, group in GROUPED:
            readout = replace(readout_for(name, seed, kind), transductive=group)
            pairs, fewer = scores_of_readout(readout, train, train_spikes, test_spikes)
            for second, pair in enumerate(pairs):
                scores.setdefault((kind, group, bool(second)), []).append(pair)
            for words, accuracies in fewer.items():
                parts.setdefault(words, []).append(accuracies)
    return group_rows(title, test, train, scores, parts)


def scores_of_readout(
    readout: Readout, train: Recordings, spikes: Recordings, tested: Recordings
) -> tuple[list[tuple[NDArray, NDArray]], dict[str, list[float]]]:
    """Return scores of strangers and of the test recordings, without and with second readouts; and of a ridge
    `accuracy_of_fewer`."""
    each = [readout.fit(spikes.select(rows), train.labels[rows]) for _, rows in without_each(train)]
    whole = readout.fit(spikes, train.labels)
    pairs = []
    for second in (False, True) if readout.transductive else (False,):
        *left, final = (replace(t, readout=replace(readout, self_trained=second)) for t in (*each, whole))
        pairs.append((left_out(left, train, spikes), final.scores(tested)))
    some = readout.transductive and readout.kind == "ridge"
    return pairs, accuracy_of_fewer(each, train, spikes, readout.seed) if some else {}


def group_rows(
    title: str,
    test: Recordings,
    train: Recordings,
    scores: dict[tuple[str, str, bool], list[tuple[NDArray, NDArray]]],
    parts: dict[str, list[list[float]]],
) -> list[dict]:
    rows: list[dict] = []
    for (kind, group, second), pairs in scores.items():
        strangers_sum = sum(strange for strange, _ in pairs)
        test_sum = sum(known for _, known in pairs)
        rows.append(
            {
                "dataset": title,
                "seeds": len(pairs),
                "readout": f"{kind}, self-trained" if second else kind,
                "standardised by": group or "nothing",
                "speaker": spread([float(np.mean(by_speaker(train, strange))) for strange, _ in pairs]),
                "test": spread([float((known.argmax(axis=1) == test.labels).mean()) for _, known in pairs]),
                "all seeds summed, speaker": round(float(np.mean(by_speaker(train, strangers_sum))), 4),
                "each": [round(value, 3) for value in by_speaker(train, strangers_sum)],
                "all seeds summed, test": round(float((test_sum.argmax(axis=1) == test.labels).mean()), 4),
            }
        )
    for words, accuracies in parts.items():
        plain, second = np.mean(accuracies, axis=0)
        rows.append({"a stranger's recordings": words, "ridge": round(plain, 3), "self-trained": round(second, 3)})
    return rows


def accuracy_of_fewer(
    left: list[TrainedReadout], train: Recordings, spikes: Recordings, seed: int
) -> dict[str, list[float]]:
    """Return accuracies without and with second readouts where fewer recordings of a stranger come together, or half
    the classes."""
    draws = np.random.default_rng(seed)
    accuracies = {}
    for number in (*FEWER, "half the classes"):
        hits: dict[bool, list[NDArray]] = {False: [], True: []}
        for trained, (speaker, _) in zip(left, without_each(train), strict=True):
            own = draws.permutation(np.flatnonzero(np.asarray(train.groups["speaker"]) == speaker))
            if isinstance(number, int):
                parts = [own[k : k + number] for k in range(0, len(own) - number + 1, number)]
            else:
                parts = [own[train.labels[own] < len(train.classes) // 2]]
            for second, right in hits.items():
                judge = replace(trained, readout=replace(trained.readout, self_trained=second))
                right += [judge.predict(spikes.select(part)) == train.labels[part] for part in parts]
        accuracies[str(number)] = [float(np.concatenate(right).mean()) for right in hits.values()]
    return accuracies


def _line(row: dict) -> str:
    return "  ".join(
        f"{name} {value['mean']:.3f} +- {value['sd']:.3f}" if isinstance(value, dict) else f"{name} {value}"
        for name, value in row.items()
    )


def table(rows: list[dict]) -> list[str]:
    cells = []
    for row in rows:
        scores = [f"{row[k]['mean']:.3f} +- {row[k]['sd']:.3f}" if k in row else "-" for k in SCORES]
        figures = [f"{row['linear_on_counts_test']:.3f}", f"{row['seconds']:.1f}", f"{row['real_time_factor']:.4f}"]
        cells.append([row["dataset"], row["neurons"], *scores, *figures])
    lines = frame.table(["dataset", "neurons", *SCORES, "linear, test", "seconds", "real-time factor"], cells)
    for row in rows:
        qualities = ", ".join(f"{name} {row[name]:.4g}" for name in QUALITIES if name in row)
        lines.append(f"{row['dataset']}: {qualities}")
    return lines


def main() -> None:
    parser = frame.arguments(__doc__, seeds=5)
    parser.add_argument("datasets", nargs="*", default=["nmnist", "shd", "digits"])
    parser.add_argument("--noise", action="store_true", help="accuracy against the noise of resistive memory instead")
    parser.add_argument("--readouts", action="store_true", help="every readout on the same spikes instead")
    parser.add_argument("--transductive", action="store_true", help="readouts standardised by speaker instead")
    parser.add_argument("--neurons", type=int, default=1000, help="with --transductive: `liquid.neurons`")
    parser.add_argument("--input-groups", type=int, default=0, help="with --transductive: `liquid.input_groups`")
    options = parser.parse_args()
    settings = {"neurons": options.neurons, "input_groups": options.input_groups}
    transductive = partial(compare_standardisations, settings=settings)
    studies = {"noise": compare_noise, "readouts": compare_readouts, "transductive": transductive}
    study = next((study for name, study in studies.items() if getattr(options, name)), None)
    if study is not None:
        rows = [row for name in options.datasets for row in study(name, options.seeds)]
        frame.report(options, map(_line, rows), {"rows": rows})
        return
    rows = [measure(name, options.seeds) for name in options.datasets]
    frame.report(options, table(rows), {"rows": rows})


if __name__ == "__main__":
    main()
