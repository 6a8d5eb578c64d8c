"""Digits never trained on, seen and heard: two fixed liquids, one trained projection each (after Lin et al.).

    NEUROSIM_DATA=FOLDER python benchmarks/zero_shot.py [--seeds 5] [--pairs] [--json]

Images are N-MNIST, speech is FSDD-SHD. The projections learn on the training recordings of digits 1 to 7 and are asked,
on test recordings, about 1 to 7 (one of seven) and about 8 and 9 (one of two: chance is .5). How they are trained was
chosen on the training recordings alone: two recipes were compared on 11 pairs of the digits 1 to 7, left out in turn
and asked about, and came out alike (--choose compares all of `GRID` so). A choice is between one example of each digit,
over all examples, or between the means of each digit's examples; both ways, image to speech and speech to image.

Whether a new digit's look lies where its sound does depends on the two digits more than on the method, so one pair
says nothing. --pairs leaves out each of the 45 pairs of digits in turn, learns on the other eight, and asks which of
the two it is: the distribution over pairs; the same with the names of the sounds permuted at random, which no method
can beat without further knowledge, for then looks and sounds of a new digit have nothing to do with each other; and
with 1, 3 and 10 labelled examples of each new digit and sense. It learns from --each recordings of a digit and sense.
The gains of the liquids are set on digits 1 to 7, without labels, also where one of these is left out.
"""

from __future__ import annotations

import argparse
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
# examples of a new digit; permutations of the names of the sounds
SHOTS = (1, 3, 10)
RENAMED = 4


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
    shots: int = 0,
) -> tuple[float, float]:
    """Accuracy on digits `about`, of projections trained on the training recordings of the digits `learned`, and on
    `shots` of each other digit in each sense."""
    a, b = (np.isin(s.train_digits, learned) | few(s.train_digits, about, shots, recipe.seed) for s in (seen, heard))
    model = recipe.fit(seen.train[a], seen.train_digits[a], heard.train[b], heard.train_digits[b])
    parts: list[NDArray] = []
    for s in (seen, heard):
        x = getattr(s, split)
        digits = getattr(s, f"{split}_digits")
        chosen = np.isin(digits, about)
        parts += [x[chosen], digits[chosen]]
    return model.accuracy(*parts)


def few(digits: NDArray, about: tuple[int, ...], shots: int, seed: int) -> NDArray[np.bool_]:
    """[n] whether a recording is among `shots` of each digit `about`, drawn by the seed."""
    order = np.random.default_rng(seed).permutation(len(digits))
    chosen = np.zeros(len(digits), bool)
    for digit in about:
        chosen[order[digits[order] == digit][:shots]] = True
    return chosen


def pairs(seen: Sense, heard: Sense, seed: int) -> dict[str, list[float]]:
    """Accuracy on each of the 45 pairs, one example against one: as they are, renamed at random, with examples."""
    recipe = replace(CHOSEN, seed=seed)
    found = {}
    ways: list[tuple[str, Sense, int]] = [("no examples", heard, 0)]
    for k in range(RENAMED):
        name = np.random.default_rng([seed, k]).permutation(10)
        renamed = replace(heard, train_digits=name[heard.train_digits], test_digits=name[heard.test_digits])
        ways.append((f"sounds renamed, {k + 1}", renamed, 0))
    ways += [(f"{shots} examples a digit and sense", heard, shots) for shots in SHOTS]
    for name, sounds, shots in tqdm(ways, file=sys.stderr):
        found[name] = [
            asked(recipe, seen, sounds, tuple(d for d in range(10) if d not in pair), pair, "test", shots)[0]
            for pair in itertools.combinations(range(10), 2)
        ]
        frame.say(f"{name} {np.mean(found[name]):.3f} {json.dumps(found[name])}")
    return found


def fewer(senses: Sense, each: int) -> Sense:
    """A sense with the first `each` training recordings of every digit."""
    kept = few(senses.train_digits, tuple(range(10)), each, 0)
    return replace(senses, train=senses.train[kept], train_digits=senses.train_digits[kept])


def report_pairs(options: argparse.Namespace) -> None:
    """Print the distribution over pairs for each seed's liquids."""
    rows = []
    for seed in range(options.seeds):
        seen, heard = (sense(name, seed) for name in SETS)
        tested = len(seen.test), len(heard.test)
        rows.append(pairs(fewer(seen, options.each), fewer(heard, options.each), seed))
    cells = []
    for name in rows[0]:
        values = np.mean([row[name] for row in rows], axis=0)
        spots = [values.mean(), values.std(ddof=1), *np.quantile(values, [0, 0.25, 0.5, 0.75, 1])]
        cells.append([name, *(f"{spot:.3f}" for spot in spots), np.count_nonzero(values > 0.5)])
    heads = ("", "mean", "sd of pairs", "lowest", "quarter", "median", "three quarters", "highest", "above .5")
    title = f"45 pairs, {options.seeds} seeds, {options.each} recordings of a digit and sense; {tested} test recordings"
    lines = [title, *frame.table(heads, cells)]
    frame.report(options, lines, {"each": options.each, "rows": rows}, describe(os.cpu_count() or 1))


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
    parser.add_argument("--pairs", action="store_true", help="each pair of digits left out, beside controls")
    parser.add_argument("--each", type=int, default=30, help="training recordings of a digit and sense, with --pairs")
    options = parser.parse_args()
    if options.choose:
        print(json.dumps(choose(*(sense(name, 0) for name in SETS))))
        return
    if options.pairs:
        report_pairs(options)
        return
    row = measure(options.seeds)
    lines = [f"{row['seeds']} seeds, {row['recipe']}"]
    for name in row:
        if name not in ("seeds", "recipe"):
            lines.append(f"{name:20}{row[name]['mean']:.3f} +- {row[name]['sd']:.3f}")
    frame.report(options, lines, {"rows": [row]}, describe(os.cpu_count() or 1))


if __name__ == "__main__":
    main()
