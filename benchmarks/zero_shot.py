"""Digits never trained on, seen and heard: two fixed liquids, one trained projection each (after Lin et al.).

    NEUROSIM_DATA=FOLDER python benchmarks/zero_shot.py [--seeds 5] [--json]

Images are N-MNIST, speech is FSDD-SHD. The projections learn on the training recordings of digits 1 to 7 and are asked,
on test recordings, about 1 to 7 (one of seven) and about 8 and 9 (one of two: chance is .5). How they are trained was
chosen on the training recordings alone: two recipes were compared on 11 pairs of the digits 1 to 7, left out in turn
and asked about, and came out alike (--choose compares all of `GRID` so). A choice is between one example of each digit,
over all examples, or between the means of each digit's examples; both ways, image to speech and speech to image. The
gains of the liquids are set on digits 1 to 7, without labels.

Whether a new digit's look lies where its sound does depends on the two digits more than on the method, so one pair
says nothing: `neurosim match nmnist shd` leaves out each pair in turn, beside controls.
"""

from __future__ import annotations

import itertools
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import frame
import numpy as np
from machine import describe
from numpy.typing import NDArray
from tqdm import tqdm

from neurosim import Recordings
from neurosim.data import catalog
from neurosim.learning import Liquid, features
from neurosim.learning.liquid.cross_modal import Contrast

SETS = {"nmnist": "NMNIST", "shd": "FSDD-SHD"}
KNOWN = tuple(range(1, 8))
NEW = (8, 9)
ADAPT = 90
WINDOWS = 4
GRID = {"components": (32, 100), "steps": (30, 100)}
CHOSEN = Contrast(components=100, steps=100)


@dataclass(frozen=True)
class Sense:
    """Features [n, f] and digits [n] of training and test recordings."""

    train: NDArray
    train_digits: NDArray
    test: NDArray
    test_digits: NDArray


def sense(name: str, seed: int) -> Sense:
    """One liquid's features; its gains are set on digits 1 to 7 alone, and no label is used."""
    root = Path(os.environ.get("NEUROSIM_DATA", "")) / SETS[name]
    train, test = (catalog.load(name, split, root if root.is_dir() else None) for split in ("train", "test"))
    known = np.flatnonzero(np.isin(train.labels, KNOWN))
    liquid = Liquid(train.shape, seed=seed).adapt(train.select(known[:: max(1, len(known) // ADAPT)]))
    found = []
    for recordings in (train, test):
        spikes = liquid.run(recordings).spikes["liquid"]
        assert isinstance(spikes, Recordings)
        found += [features(spikes, windows=WINDOWS, timing="time"), np.asarray(recordings.labels) % 10]
    return Sense(*found)


def asked(
    recipe: Contrast,
    seen: Sense,
    heard: Sense,
    learned: tuple[int, ...],
    about: tuple[int, ...],
    split: str,
) -> tuple[float, float]:
    """Accuracy on digits `about`, of projections trained on the training recordings of the digits `learned`."""
    a, b = (np.isin(s.train_digits, learned) for s in (seen, heard))
    model = recipe.fit(seen.train[a], seen.train_digits[a], heard.train[b], heard.train_digits[b])
    parts: list[NDArray] = []
    for s in (seen, heard):
        x = getattr(s, split)
        digits = getattr(s, f"{split}_digits")
        chosen = np.isin(digits, about)
        parts += [x[chosen], digits[chosen]]
    return model.accuracy(*parts)


def recipes() -> Iterator[Contrast]:
    for values in itertools.product(*GRID.values()):
        yield replace(CHOSEN, **dict(zip(GRID, values, strict=True)))


def choose(seen: Sense, heard: Sense) -> dict:
    """Mean accuracy on left-out pairs of the known digits, by recipe; training recordings alone."""
    pairs = list(itertools.combinations(KNOWN, 2))[::2]
    rows = []
    for recipe in tqdm(list(recipes()), file=sys.stderr):
        scores = []
        for pair in pairs:
            learned = tuple(d for d in KNOWN if d not in pair)
            scores.append(asked(recipe, seen, heard, learned, pair, "train"))
        single, mean = np.mean(scores, axis=0)
        rows.append({**{name: getattr(recipe, name) for name in GRID}, "single": float(single), "mean": float(mean)})
        frame.say(str(rows[-1]))
    return {"chosen_on": "left-out pairs of digits 1 to 7", "rows": rows}


def spread(values: list[float]) -> dict[str, float]:
    return {"mean": float(np.mean(values)), "sd": float(np.std(values, ddof=1)) if len(values) > 1 else 0.0}


def measure(seeds: int) -> dict:
    found: dict[str, list[float]] = {}
    for seed in tqdm(range(seeds), file=sys.stderr):
        seen, heard = (sense(name, seed) for name in SETS)
        recipe = replace(CHOSEN, seed=seed)
        for what, about in (("seen", KNOWN), ("unseen", NEW)):
            single, mean = asked(recipe, seen, heard, KNOWN, about, "test")
            found.setdefault(f"{what}_single", []).append(single)
            found.setdefault(f"{what}_mean", []).append(mean)
    return {"seeds": seeds, "recipe": asdict(CHOSEN), **{name: spread(values) for name, values in found.items()}}


def main() -> None:
    parser = frame.arguments(__doc__, seeds=5)
    parser.add_argument("--choose", action="store_true", help="only choose how to train, on digits 1 to 7")
    options = parser.parse_args()
    if options.choose:
        print(json.dumps(choose(*(sense(name, 0) for name in SETS))))
        return
    row = measure(options.seeds)
    lines = [f"{row['seeds']} seeds, {row['recipe']}"]
    for name in row:
        if name not in ("seeds", "recipe"):
            lines.append(f"{name:20}{row[name]['mean']:.3f} +- {row[name]['sd']:.3f}")
    frame.report(options, lines, {"rows": [row]}, describe(os.cpu_count() or 1))


if __name__ == "__main__":
    main()
