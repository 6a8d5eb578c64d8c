"""Learn what two senses share from some classes, and match recordings of others."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import combinations
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ....base.errors import require
from ....data.recordings import Recordings
from ....learning.liquid.cross_modal import CrossModal
from ....learning.liquid.liquid import Liquid
from ....learning.liquid.windows import features
from .. import data
from ..data import Splits, spread
from ..frame.kind import Inputs, Run
from ..frame.options import RunOptions
from ..frame.progress import bar
from ..summary import data_facts, labels_of
from .config import MatchConfig
from .result import MatchResult, ShotsResult

# Training recordings that set the gains of a liquid, without their labels.
GAIN_RECORDINGS = 90


class Senses(NamedTuple):
    """Recordings of both senses, and the numbers of the classes that both have."""

    seen: Splits
    heard: Splits
    classes: tuple[int, ...]


class Vectors(NamedTuple):
    """Features [n, f] and classes [n] of the training and the test recordings of a sense."""

    train: NDArray[Any]
    train_classes: NDArray[np.int64]
    test: NDArray[Any]
    test_classes: NDArray[np.int64]

    def renamed(self, names: NDArray[np.int64]) -> Vectors:
        """Return the same recordings with other classes."""
        return self._replace(train_classes=names[self.train_classes], test_classes=names[self.test_classes])


MatchRun: TypeAlias = Run[MatchConfig, Senses]


def load(config: MatchConfig, options: RunOptions) -> Inputs[Senses]:
    """Return the recordings of the classes that both senses have.

    Raises:
        NeurosimInputError: as `data.load`; too few classes, new ones that a sense lacks, or some that no test
            recording is of.
    """
    with data.named_as("seen"):
        seen = data.load(config.seen)
    with data.named_as("heard"):
        heard = data.load(config.heard)
    both = (seen, heard)
    known = [set(labels_of(split.train).tolist()) for split in both]
    classes = tuple(sorted(known[0] & known[1]))
    rule = f"must be classes that both senses have, {list(classes)}"
    strange = [each for each in config.new if each not in classes]
    require(not strange, "new", rule, strange)
    least = (len(config.new) or 2) + 2
    rule = f"must share {least} classes by number at least, two of them to learn from"
    require(len(classes) >= least, "seen and heard", rule, list(classes))
    for name, split, own in (("seen", seen, config.seen), ("heard", heard, config.heard)):
        untested = sorted(set(classes) - set(labels_of(split.test).tolist()))
        rule = f"must leave test recordings of the classes {list(classes)}, and has none of {untested}"
        require(not untested, f"{name}.limit", rule, own.limit)
    inputs = Senses(*both, classes)
    return Inputs(inputs, {name: data_facts(split) for name, split in zip(("seen", "heard"), both, strict=True)})


def work(run: MatchRun) -> MatchResult:
    """Train the projections for each set of new classes, and match the test recordings."""
    config = run.config
    own = run.inputs
    with run.time("simulate"):
        seen = _vectors(run, own.seen)
        heard = _vectors(run, own.heard)
    sets = [config.new] if config.new else list(combinations(own.classes, 2))
    with run.time("match"):
        rows, known = _match_sets(run, seen, heard, sets)
    titles = own.seen.train.classes
    return MatchResult(
        seen=config.seen.shown_name,
        heard=config.heard.shown_name,
        seed=config.seed,
        classes=tuple(titles[c] for c in own.classes),
        new=tuple(tuple(titles[c] for c in new) for new in sets),
        learned=config.each,
        tested=(len(seen.test), len(heard.test)),
        known=float(np.mean(known)) if known else None,
        rows=tuple(rows),
    )


def _match_sets(
    run: MatchRun, seen: Vectors, heard: Vectors, sets: Sequence[Sequence[int]]
) -> tuple[list[ShotsResult], list[float]]:
    """Return a row for each way of training, and the accuracy on known classes for each set of new ones."""
    rows = []
    known: list[float] = []
    ways = list(_ways(run.config))
    total = len(ways) * len(sets)
    done = itertools.count(1)
    with bar("matching", "sets of classes", run.options.quiet) as report:

        def on_set() -> None:
            if report is not None:
                report(next(done), total)

        for way in ways:
            values, values_of_known = _match_by(run, way, seen, heard, sets, on_set)
            rows.append(replace(way, mean=float(np.mean(values)), values=tuple(values)))
            known += values_of_known
    return rows, known


def _match_by(
    run: MatchRun,
    way: ShotsResult,
    seen: Vectors,
    heard: Vectors,
    sets: Sequence[Sequence[int]],
    on_set: Callable[[], None],
) -> tuple[list[float], list[float]]:
    """Return the accuracies of one way of training on each set of new classes, and on the classes known beside them.

    Args:
        on_set: is called after each set.
    """
    config = run.config
    classes = run.inputs.classes
    sounds = heard.renamed(_random_names(classes, config.seed)) if way.renamed else heard
    values = []
    known = []
    for new in sets:
        model = _trained(config, seen, sounds, classes, new, way.shots)
        values.append(_matched(model, seen, sounds, new))
        # One figure beside all rows: of known classes, with no example of the new ones.
        if way.shots == 0 and not way.renamed:
            known.append(_matched(model, seen, sounds, [c for c in classes if c not in new]))
        on_set()
    return values, known


def _ways(config: MatchConfig) -> Iterator[ShotsResult]:
    for shots in config.shots:
        yield ShotsResult(shots=shots)
        if shots == 0:
            # With names at random looks and sounds of a new class have nothing to do with each other.
            yield ShotsResult(shots=0, renamed=True)


def _random_names(classes: Sequence[int], seed: int) -> NDArray[np.int64]:
    """Return [largest class + 1] the name of each class, the classes in an order drawn by the seed: some may stay."""
    names = np.arange(max(classes) + 1)
    names[list(classes)] = np.random.default_rng(seed).permutation(classes)
    return names


def _vectors(run: MatchRun, splits: Splits) -> Vectors:
    """Return the features that a liquid has of `each` training recordings of a class, and of the test recordings."""
    config = run.config
    train = splits.train
    bare = Liquid(train.shape, neurons=config.neurons, seed=config.seed)
    threads = run.options.threads
    liquid = bare.adapt(train.select(spread(len(train), GAIN_RECORDINGS)), threads)
    parts: list[NDArray[Any]] = []
    for recordings, limit in ((train, config.each), (splits.test, None)):
        labels = labels_of(recordings)
        chosen = np.isin(labels, run.inputs.classes)
        if limit is not None:
            chosen &= _few(labels, run.inputs.classes, limit, config.seed)
        own: Recordings = recordings.select(chosen)
        spikes = liquid.run(own, threads=threads).recordings("liquid")
        parts += [features(spikes, windows=config.windows, timing="time"), labels[chosen]]
    return Vectors(*parts)


def _few(labels: NDArray[np.int64], classes: Sequence[int], count: int, seed: int) -> NDArray[np.bool_]:
    """Return [n] whether a recording is among `count` of each of the classes, drawn by the seed."""
    order = np.random.default_rng(seed).permutation(len(labels))
    chosen = np.zeros(len(labels), bool)
    for each in classes:
        chosen[order[labels[order] == each][:count]] = True
    return chosen


def _trained(
    config: MatchConfig, seen: Vectors, heard: Vectors, classes: Sequence[int], new: Sequence[int], shots: int
) -> CrossModal:
    """Return projections learned from all recordings of the other classes and from `shots` of each new one."""
    known = [c for c in classes if c not in new]
    parts: list[NDArray[Any]] = []
    for sense in (seen, heard):
        chosen = np.isin(sense.train_classes, known) | _few(sense.train_classes, new, shots, config.seed)
        parts += [sense.train[chosen], sense.train_classes[chosen]]
    return replace(config.contrast, seed=config.seed).fit(*parts)


def _matched(model: CrossModal, seen: Vectors, heard: Vectors, classes: Sequence[int]) -> float:
    """Return the share of right choices, one example of each class being compared."""
    parts: list[NDArray[Any]] = []
    for sense in (seen, heard):
        chosen = np.isin(sense.test_classes, classes)
        parts += [sense.test[chosen], sense.test_classes[chosen]]
    return model.accuracy(*parts)[0]
